"""Jobs and keys: what the machine is doing, who may ask it, and who changed what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from genre.dashboard.frame import Frame, State, render

JobState = Literal["waiting", "running", "done", "failed", "cancelled"]
MOODS: dict[str, State] = {"waiting": "idle", "running": "good", "done": "good", "failed": "bad", "cancelled": "warn"}


@dataclass(frozen=True)
class Job:
    """A retraining or another task in a process of its own. `progress` from 0 to 1; times in unix seconds."""

    job_id: str
    what: str
    state: JobState
    started: float | None = None
    took: float | None = None
    progress: float | None = None
    last_line: str = ""

    @property
    def mood(self) -> State:
        """For the badge."""
        return MOODS[self.state]


@dataclass(frozen=True)
class Key:
    """An API key; only the beginning of it is known."""

    key_id: str
    name: str
    begins: str
    scopes: tuple[str, ...]
    created: float
    revoked: bool = False


@dataclass(frozen=True)
class AuditLine:
    """Who did what."""

    time: float
    who: str
    what: str


@dataclass(frozen=True)
class OperationsView:
    """Attributes: `fresh_key` is shown once, right after it was made; `scopes` are those a key may have."""

    frame: Frame
    jobs: tuple[Job, ...] = ()
    startable: tuple[str, ...] = ()
    keys: tuple[Key, ...] = ()
    scopes: tuple[str, ...] = ("ingest", "read", "admin")
    fresh_key: str = ""
    audit: tuple[AuditLine, ...] = ()


def render_operations(view: OperationsView) -> str:
    """The page."""
    return render("operations.html", view, "operations")
