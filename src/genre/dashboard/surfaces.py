"""Surfaces: what a chosen user would be shown right now, with and without a rule."""

from __future__ import annotations

from dataclasses import dataclass

from genre.dashboard.frame import Frame, environment, render
from genre.dashboard.lists import Did, Shown


@dataclass(frozen=True)
class Preview:
    """A user's list on a surface. `before` is the list without the rule, if one was chosen; `made_by` has a label and a text a line;
    `arm` is that of an experiment, if one makes the list, as the log calls it; else `left_out` has those there are, and why not."""

    user: str
    now: tuple[Shown, ...]
    before: tuple[Shown, ...] = ()
    rule: str = ""
    history: tuple[Did, ...] = ()
    made_by: tuple[tuple[str, str], ...] = ()
    degraded: str = ""
    arm: str = ""
    left_out: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class SurfacesView:
    """Attributes: what there is to choose from, what was chosen, and the list that follows."""

    frame: Frame
    surfaces: tuple[str, ...] = ()
    surface: str = ""
    user: str = ""
    rules: tuple[str, ...] = ()
    rule: str = ""
    preview: Preview | None = None


def render_surfaces(view: SurfacesView) -> str:
    """The page, with the preview where a user was chosen."""
    return render("surfaces.html", view, "surfaces", swapped=False)


def render_preview(view: SurfacesView) -> str:
    """The preview alone, for htmx to put in place, with the rules of its surface to choose from."""
    return environment().get_template("preview.html").render(view=view, frame=view.frame, swapped=True)
