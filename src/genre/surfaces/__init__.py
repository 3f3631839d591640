"""Surfaces: the placements that ask for lists, each with its own sources, filters, rules and policy."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, FiniteFloat, PositiveFloat, PositiveInt, SerializeAsAny, model_validator

from genre.component import Chosen, Settings
from genre.policies import Policy
from genre.surfaces.expressions import Expression, check_size
from genre.surfaces.shorthand import parse

DEFAULT = "default"
"""The surface that is always there."""
SOURCES = ("model", "transitions", "trending", "fresh", "similar", "text")
OWN_SOURCE = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"


def from_text(value: Any) -> Any:
    """The short text form of an expression is read, anything else is left to be validated."""
    return parse(value) if isinstance(value, str) else value


Filter = Annotated[Expression, BeforeValidator(from_text, json_schema_input_type=Expression | Annotated[str, Field(max_length=10_000)])]
"""An expression, or its short text form: `price < 20 and brand in ("A", "B") and not seen(30d)`."""
SourceName = Annotated[str, Field(pattern=rf"^({'|'.join(SOURCES)})$|{OWN_SOURCE}")]


class Pin(Settings):
    """An item that always stands at a place, if it may be shown at all."""

    pin: str
    """Its id."""
    place: PositiveInt = 1


class Exclude(Settings):
    """Items that are never shown here."""

    exclude: Filter
    name: str | None = None
    """What the trace calls it."""


class Cap(Settings):
    """At most so many items of a list share a value: two of a brand."""

    cap: str
    """The column; items that say nothing in it are not counted."""
    most: PositiveInt


class Boost(Settings):
    """Items whose score is raised, or lowered."""

    boost: Filter
    by: FiniteFloat
    """In standard deviations of the candidates' scores; negative lowers."""
    name: str | None = None


Rule = Pin | Exclude | Cap | Boost


class Surface(Settings):
    """One placement. Its callers send its name; all else is decided here."""

    sources: tuple[SourceName, ...] = Field(("model", "transitions", "similar", "text", "trending", "fresh"), min_length=1)
    """Where candidates come from. `model` searches the whole catalogue with the served ranker; your own are `module:Class`."""
    per_source: PositiveInt = 100
    """Candidates that a source other than `model` adds at most."""
    candidates: PositiveInt = 300
    """How many of the best scores the policy chooses from."""
    filter: Filter | None = None
    """What may be shown here, beside what the request asks for."""
    rules: tuple[Rule, ...] = ()
    repeats: bool | None = None
    """Whether items of the history may be shown; None takes data.repeats."""
    policy: Annotated[SerializeAsAny[Policy.Config], Chosen(Policy)] | None = None
    """From scores to the list; None takes the configuration's policy."""
    deadline_ms: PositiveFloat = 200.0
    """After so much time what is there is answered. Sources have half of it: what has not begun, or not come back, is left out."""
    fallback: tuple[str, ...] = ()
    """Item ids of the list shown when all else fails; empty takes the most popular."""
    order: Literal["model", "source"] = "model"
    """Whether the served ranker scores the candidates, or their source does (a plain list of what is trending)."""

    @model_validator(mode="after")
    def _places_differ(self) -> Self:
        places = [rule.place for rule in self.rules if isinstance(rule, Pin)]
        if len(set(places)) < len(places):
            raise ValueError(f"rules: two pins share a place in {sorted(places)}")
        for rule in (self.filter, *(rule.exclude for rule in self.rules if isinstance(rule, Exclude))):
            if rule is not None:
                check_size(rule)
        return self
