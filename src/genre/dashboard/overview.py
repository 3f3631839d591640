"""The overview: is it up, is it fast, is it good; what needs a person."""

from __future__ import annotations

from dataclasses import dataclass

from genre.dashboard.charts import Chart
from genre.dashboard.frame import Frame, State, render


@dataclass(frozen=True)
class Tile:
    """A number and what it was before; `state` says whether that is good."""

    label: str
    value: str
    change: str = ""
    state: State = "idle"


@dataclass(frozen=True)
class Alert:
    """Something that needs a person, and where to look (an address of this dashboard)."""

    text: str
    state: State
    address: str


@dataclass(frozen=True)
class StageLine:
    """A stage of the engine: its time at three quantiles in milliseconds, and how often it failed or came too late."""

    name: str
    p50: float | None
    p95: float | None
    p99: float | None
    failed: float | None
    deadline: float | None = None


@dataclass(frozen=True)
class SurfaceLine:
    """A surface: lists shown, clicks a list, share of lists degraded, share of the catalogue shown."""

    name: str
    lists: float
    clicks: float | None
    degraded: float | None
    coverage: float | None


@dataclass(frozen=True)
class Drift:
    """How far a quantity has moved from the training data, 0 to 1."""

    what: str
    distance: float
    state: State


@dataclass(frozen=True)
class OverviewView:
    """Attributes: `windows` are lengths of time to choose from, `window` the chosen one."""

    frame: Frame
    windows: tuple[str, ...] = ()
    window: str = ""
    tiles: tuple[Tile, ...] = ()
    alerts: tuple[Alert, ...] = ()
    traffic: Chart | None = None
    latency: Chart | None = None
    stages: tuple[StageLine, ...] = ()
    surfaces: tuple[SurfaceLine, ...] = ()
    drift: tuple[Drift, ...] = ()


def render_overview(view: OverviewView) -> str:
    """The page that a product manager opens every morning."""
    return render("overview.html", view, "overview")
