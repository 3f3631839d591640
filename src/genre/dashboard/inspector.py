"""The request inspector: one list, stage by stage; why each item was shown, and why others were not."""

from __future__ import annotations

from dataclasses import dataclass

from genre.dashboard.frame import Frame, State, render


@dataclass(frozen=True)
class RequestLine:
    """A recent request; `time` in unix seconds."""

    request_id: str
    time: float
    surface: str
    user: str
    took: float
    degraded: bool = False


@dataclass(frozen=True)
class Stage:
    """A stage of a request: when it began and how long it took, in milliseconds; how many items went in and came out."""

    name: str
    start: float
    took: float
    into: int | None = None
    out: int | None = None
    state: State = "good"
    note: str = ""


@dataclass(frozen=True)
class Place:
    """An item that was shown."""

    position: int
    item_id: str
    title: str
    source: str
    score: float | None
    propensity: float | None
    why: str = ""
    events: str = ""


@dataclass(frozen=True)
class Dropped:
    """An item that was considered and not shown: the stage that took it out, and why."""

    item_id: str
    title: str
    stage: str
    why: str


@dataclass(frozen=True)
class Request:
    """A request in full. `facts` are a label and a text a line: model, policy, variant, context."""

    line: RequestLine
    facts: tuple[tuple[str, str], ...] = ()
    stages: tuple[Stage, ...] = ()
    places: tuple[Place, ...] = ()
    dropped: tuple[Dropped, ...] = ()


@dataclass(frozen=True)
class Bar:
    """A stage in the waterfall, `x` and `width` in percent."""

    stage: Stage
    x: float
    width: float


@dataclass(frozen=True)
class InspectorView:
    """Attributes: `query` is what was looked for; `request` the one found; `recent` the last ones."""

    frame: Frame
    query: str = ""
    request: Request | None = None
    recent: tuple[RequestLine, ...] = ()


def waterfall(stages: tuple[Stage, ...]) -> list[Bar]:
    """Where each stage's bar lies; none is too narrow to be seen."""
    end = max((stage.start + stage.took for stage in stages), default=0.0) or 1.0
    return [Bar(stage, round(100 * stage.start / end, 2), round(max(100 * stage.took / end, 0.4), 2)) for stage in stages]


def render_inspector(view: InspectorView) -> str:
    """The page: a request, or the last ones to choose from."""
    return render("inspector.html", view, "requests", waterfall=waterfall)
