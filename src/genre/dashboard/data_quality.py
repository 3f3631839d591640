"""Data quality: what the last snapshot holds, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from genre.dashboard.charts import Chart
from genre.dashboard.frame import Frame, State, render

Severity = Literal["error", "warning", "note"]
MOODS: dict[str, State] = {"error": "bad", "warning": "warn", "note": "idle"}


@dataclass(frozen=True)
class Finding:
    """Something that `genre check` found: what, what to do, and a few examples."""

    severity: Severity
    what: str
    advice: str
    examples: tuple[str, ...] = ()

    @property
    def mood(self) -> State:
        """For the badge."""
        return MOODS[self.severity]


@dataclass(frozen=True)
class Rejected:
    """A row that could not be read."""

    file: str
    row: int
    reason: str


@dataclass(frozen=True)
class DataQualityView:
    """Attributes: `facts` of the snapshot, a label and a text a line; findings, worst first; rows rejected, of which some are shown."""

    frame: Frame
    snapshot: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    findings: tuple[Finding, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    rejected_total: int = 0
    arriving: Chart | None = None


def render_data_quality(view: DataQualityView) -> str:
    """The page."""
    return render("data_quality.html", view, "data")
