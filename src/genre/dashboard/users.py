"""Users: what is known of one, what they did, what they would be shown."""

from __future__ import annotations

from dataclasses import dataclass

from genre.dashboard.frame import Frame, render
from genre.dashboard.lists import Did, Shown


@dataclass(frozen=True)
class UserLine:
    """A user in a list; `last` in unix seconds."""

    user_id: str
    events: int
    last: float | None


@dataclass(frozen=True)
class User:
    """A user. `facts` are a label and a text a line; `lists` one list a surface, with the arm of
    an experiment that makes it, if one does; `others` ids that are the same person."""

    user_id: str
    facts: tuple[tuple[str, str], ...] = ()
    others: tuple[str, ...] = ()
    history: tuple[Did, ...] = ()
    lists: tuple[tuple[str, tuple[Shown, ...], str], ...] = ()
    variants: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class UsersView:
    """Attributes: `query` is what was looked for, `user` the one found, `recent` those who came last."""

    frame: Frame
    query: str = ""
    user: User | None = None
    recent: tuple[UserLine, ...] = ()


def render_users(view: UsersView) -> str:
    """The page: a user, or the last ones to choose from."""
    return render("users.html", view, "users")
