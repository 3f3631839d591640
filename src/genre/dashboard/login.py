"""The login page, and the page for what is not there or not allowed; neither shows anything that needs a key."""

from __future__ import annotations

from dataclasses import dataclass

from genre.dashboard.frame import Problem, environment


@dataclass(frozen=True)
class LoginView:
    """Attributes: `csrf` for the form; `back` the address to return to; `refused` why the last try failed."""

    csrf: str
    back: str = ""
    refused: str = ""


@dataclass(frozen=True)
class ErrorView:
    """Attributes: the HTTP status; what happened and what to do."""

    status: int
    problem: Problem


def render_login(view: LoginView) -> str:
    """A form for the admin key."""
    return environment().get_template("login.html").render(view=view)


def render_error(view: ErrorView) -> str:
    """A page for a request that cannot be answered."""
    return environment().get_template("error.html").render(view=view)
