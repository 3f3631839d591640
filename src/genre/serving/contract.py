"""The contract of API v1: what is asked, what is answered, and what an engine promises to those who log and store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, JsonValue, model_validator

from genre.surfaces import Filter
from genre.surfaces.expressions import check_size
from genre.vocabulary import EVENTS

if TYPE_CHECKING:
    from genre.serving.head import Head

PRINTABLE = r"^[^\x00-\x1f\x7f]+$"
Id = Annotated[str, Field(min_length=1, max_length=256, pattern=PRINTABLE)]
"""Somebody's id, kept as given: no control characters."""
Short = Annotated[str, Field(min_length=1, max_length=100, pattern=PRINTABLE)]
Moment = Annotated[FiniteFloat, Field(ge=0, le=4e10)]
"""Unix seconds."""
EVENT = rf"^({'|'.join(EVENTS)}|custom:[A-Za-z0-9_.-]{{1,50}})$"
EventType = Annotated[str, Field(pattern=EVENT, examples=["click"])]
PATTERNS = {PRINTABLE: "must not hold control characters", EVENT: f"no such type of event; there is {', '.join(EVENTS)}, and custom:NAME"}
"""What is wrong with a text that does not match, in words."""
NEGATIVE = ("hide", "dislike", "report")
"""Events after which an item is not shown to that user again."""
SILENT = ("impression", "search")
"""Events that say nothing of what a user likes."""


class Wire(BaseModel):
    """A body of the API: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class RequestError(ValueError):
    """A request that cannot be answered as asked; `where` is the path of the field to blame. An HTTP server answers 422."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}")
        self.where, self.why = where, why


class Asking(Wire):
    """What every question has: for whom, where, under what circumstances."""

    surface: Short = Field("default", examples=["home"])
    """The placement: a name from the configuration's `surfaces`. An unknown one is an error."""
    user_id: Id | None = Field(None, examples=["42"])
    session_id: Id | None = None
    """Someone without a user id. With both, the session's events count as the user's."""
    context: dict[Short, bool | FiniteFloat | Annotated[str, Field(max_length=1000)]] = Field(default_factory=dict, max_length=50)
    """Circumstances: {"device": "phone"}. Logged with the exposure, and read by a deep ranker that learnt from lists which had them."""
    debug: bool = False
    """Answer with milliseconds a stage."""


class RecommendRequest(Asking):
    """Ask for a list."""

    anchors: list[Id] = Field(default_factory=list, max_length=100)
    """Items that the list should go with: the page being looked at, the cart."""
    n: int = Field(20, ge=1, le=500)
    filter: Filter | None = None
    text: str | None = Field(None, max_length=2000)
    """What is looked for, in words."""
    exclude: list[Id] = Field(default_factory=list, max_length=5000)
    """Items not to show. Unknown ids are ignored."""
    cursor: str | None = Field(None, max_length=65_536)
    """The previous answer's `cursor`: asks for what comes after it."""
    explain: bool = False
    """Answer with a reason an item."""

    @model_validator(mode="after")
    def _filter_is_small(self) -> Self:
        if self.filter is not None:
            check_size(self.filter)
        return self


class Item(Wire):
    """One place of a list."""

    item_id: str
    rank: int
    """From 1; goes on over the pages of a cursor."""
    score: float
    propensity: float | None = None
    """How likely the policy was to put this item at this place; null where a rule or a fallback did, or two lists are interleaved."""
    reasons: list[str] | None = None


class RecommendResponse(Wire):
    """A list, and what made it."""

    request_id: str
    items: list[Item]
    degraded: bool = False
    """A stage failed or ran out of time, and something simpler answered."""
    model: str
    """The bundle's version; two of them, joined by +, where an experiment interleaves their lists."""
    policy: str
    variant: str | None = None
    """The experiment and its arm, `EXPERIMENT/VARIANT`, for who takes part in one on this surface."""
    cursor: str | None = None
    timings: dict[str, float] | None = None
    """Milliseconds a stage, if `debug`."""


class RankRequest(Asking):
    """Ask for the order of a given list."""

    items: list[Id] = Field(min_length=1, max_length=1000)
    """At least one, each once. An unknown item is ranked as one that says nothing."""


class RankedItem(Wire):
    """One of the caller's items."""

    item_id: str
    rank: int
    score: float
    probability: float | None
    """How likely the policy was to put it at this place, given those above it; null where two rankings are interleaved."""


class RankResponse(Wire):
    """The caller's items, best first."""

    request_id: str
    items: list[RankedItem]
    degraded: bool = False
    model: str
    policy: str
    variant: str | None = None
    timings: dict[str, float] | None = None


class EventIn(Wire):
    """Something that happened."""

    event_id: Id
    """Sent twice, it counts once."""
    type: EventType
    user_id: Id | None = None
    session_id: Id | None = None
    item_id: Id | None = None
    """Everything but `search` has one."""
    time: Moment | None = None
    """When; null takes the moment of arrival."""
    value: FiniteFloat | None = None
    """A rating, seconds of dwelling, a share watched."""
    request_id: Id | None = None
    """The answer that showed the item: joins what was shown with what came of it."""
    position: int | None = Field(None, ge=1)
    surface: Short | None = None
    props: dict[Short, JsonValue] = Field(default_factory=dict, max_length=50)

    @model_validator(mode="after")
    def _somebody_and_something(self) -> Self:
        if self.user_id is None and self.session_id is None:
            raise ValueError("an event needs a user_id or a session_id")
        if self.item_id is None and self.type != "search":
            raise ValueError(f"an event of type {self.type!r} needs an item_id")
        return self


Attribute = bool | int | FiniteFloat | Annotated[str, Field(max_length=100_000)]
Attributes = dict[Short, Attribute | Annotated[list[Attribute], Field(max_length=1000)] | None]


class ItemIn(Wire):
    """An item of the catalogue, whole: what is not given is not known."""

    item_id: Id
    attributes: Attributes = Field(default_factory=dict, max_length=200, examples=[{"title": "Alien", "genres": ["horror"], "price": 9.5}])
    """The catalogue's columns by name; those of the text template are what makes a new item recommendable."""
    available: bool = True
    """False: in stock no more, or withdrawn; kept, but not shown."""


class UserIn(Wire):
    """What is known of a user besides events."""

    user_id: Id
    attributes: Attributes = Field(default_factory=dict, max_length=200)


class PastEvent(NamedTuple):
    """One entry of a history, as the store hands it to the engine, oldest first."""

    item_id: str
    time: float
    type: str = "click"


class Noted(NamedTuple):
    """What a policy that learns chose by, logged with the list, so that what comes of it teaches exactly that."""

    head: str
    """Whose choice it was: the surface, and a hash of the policy's settings."""
    space: str
    """What the features mean."""
    features: bytes
    """A row of float32 a place, little-endian; NaN where the policy did not choose."""


@dataclass
class Trace:
    """How an answer came about: what is logged, and what answers "why was X shown, or not".

    Attributes:
        unit: "user:42", "session:abc" or "anonymous".
        item_ids, positions, scores, propensities: the list shown; a propensity is None where a rule or a fallback placed the item.
        degraded: stages that failed or ran out of time, each with why.
        ms: milliseconds of wall-clock time a stage, in order; first `wait`, from the request's arrival to the first of them, last `total`
            without it.
        candidates: item ids each source found, of those whose score was high enough for the policy to choose among.
        dropped: item ids that each filter or rule took from among the candidates.
        stage_scores: the score of each candidate after a stage, by stage and item id.
        allowed: how many items of the catalogue pass each filter.
        plan: how the catalogue was searched: "exact", "subset" or "index".
        teams: of an interleaved list, the variant that picked each item.
        noted: for a policy that learns.
    """

    request_id: str
    time: float
    surface: str
    unit: str
    model: str
    policy: str
    variant: str | None = None
    context: Mapping[str, bool | float | str] = field(default_factory=dict)
    item_ids: list[str] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    propensities: list[float | None] = field(default_factory=list)
    degraded: dict[str, str] = field(default_factory=dict)
    ms: dict[str, float] = field(default_factory=dict)
    candidates: dict[str, list[str]] = field(default_factory=dict)
    dropped: dict[str, list[str]] = field(default_factory=dict)
    stage_scores: dict[str, dict[str, float]] = field(default_factory=dict)
    allowed: dict[str, int] = field(default_factory=dict)
    plan: str = ""
    teams: list[str] | None = None
    noted: Noted | None = None

    def exposure(self) -> dict[str, Any]:
        """One row of the exposure log."""
        return {
            "request_id": self.request_id, "time": self.time, "unit": self.unit, "surface": self.surface, "variant": self.variant,
            "model": self.model, "policy": self.policy, "item_ids": self.item_ids, "positions": self.positions, "scores": self.scores,
            "propensities": self.propensities, "context": dict(self.context), "degraded": sorted(self.degraded), "teams": self.teams,
        }  # fmt: skip

    def details(self) -> dict[str, Any]:
        """All of it, JSON-like: for GET /v1/requests/{id}."""
        more = {"ms": self.ms, "candidates": self.candidates, "dropped": self.dropped, "stage_scores": self.stage_scores}
        return self.exposure() | more | {"allowed": self.allowed, "plan": self.plan, "degraded": self.degraded}


class Answering(Protocol):
    """What lists come from: an engine, or what an experiment makes of two."""

    def recommend(
        self, request: RecommendRequest, history: Sequence[PastEvent], now: float, waited: float = 0.0
    ) -> tuple[RecommendResponse, Trace]:
        """A list and how it came about. Never fails for want of a model: it degrades, and says so.

        Args:
            history: what the store knows of the user or session, oldest first, the newest 200 or so; older events come from the bundle.
            now: unix seconds.
            waited: seconds since the request came in; the surface's deadline counts them.

        Raises:
            RequestError: an unknown surface or column of a filter, a cursor that is none.
        """

    def rank(self, request: RankRequest, history: Sequence[PastEvent], now: float, waited: float = 0.0) -> tuple[RankResponse, Trace]:
        """The caller's items in order, with probabilities. Raises RequestError like `recommend`."""


class Engine(Answering, Protocol):
    """What answers. One object serves many threads; everything but `load` takes milliseconds."""

    version: str
    """The bundle's version, answered as `model`."""
    heads: dict[str, Head]
    """Policies that learn while serving, by name; whoever follows the logs teaches them."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """A verified bundle, warmed up. Raises BundleError if a file is missing, damaged or foreign."""

    def varied(self, surface: str, changes: Mapping[str, Any]) -> Self:
        """The same engine, but for a surface's settings: an experiment's arm. It shares all else, and hears of items and events with it.

        Raises:
            RequestError: there is no such surface, or the settings are wrong.
        """

    def observe(self, event: EventIn, now: float) -> None:
        """Count an event in the trends (once: idempotence is the store's)."""

    @property
    def counts_shown(self) -> bool:
        """Whether the ranker counts what is shown: whoever follows the logs then tells it of every list."""

    def showed(self, item_ids: Sequence[str], when: float) -> None:
        """Count a list that was shown, once, whichever worker showed it."""

    def upsert_item(self, item: ItemIn) -> None:
        """Add an item or replace its attributes; the very next list can show it. Raises RequestError for a wrong type of attribute."""

    def delete_item(self, item_id: str) -> bool:
        """Never show it again; False if there is no such item."""

    def item(self, item_id: str) -> ItemIn | None:
        """What the engine knows of an item."""
