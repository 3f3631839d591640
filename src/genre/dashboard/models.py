"""Models: what was published, how good each is, and which one answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from genre.dashboard.frame import Frame, render

Role = Literal["current", "previous", "shadow", "candidate", "retired"]


@dataclass(frozen=True)
class Model:
    """A published version. `metrics` are a name and a text with its interval; `data` says which snapshot it was trained on."""

    version: str
    role: Role
    published: float
    data: str
    metrics: tuple[tuple[str, str], ...] = ()
    size: str = ""
    note: str = ""
    signed_off: bool = True


@dataclass(frozen=True)
class Ladder:
    """What each rung added: a table as `genre report` prints it."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class ModelsView:
    """Attributes: versions, newest first; the ladder of the current one; what was done to them, newest first, as times and texts."""

    frame: Frame
    models: tuple[Model, ...] = ()
    ladder: Ladder | None = None
    history: tuple[tuple[float, str], ...] = ()

    @property
    def previous(self) -> Model | None:
        """What a rollback returns to."""
        return next((model for model in self.models if model.role == "previous"), None)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric that some version has."""
        return tuple(dict.fromkeys(name for model in self.models for name, _ in model.metrics))

    @property
    def heads(self) -> list[str]:
        """The same as heads of columns of numbers."""
        return [f"#{name}" for name in self.metrics]


def render_models(view: ModelsView) -> str:
    """The page."""
    return render("models.html", view, "models")
