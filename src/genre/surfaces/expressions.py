"""Expressions over an item: the JSON form of filters and of the conditions of rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, FiniteFloat, Tag

Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Scalar = bool | Whole | FiniteFloat | Annotated[str, Field(max_length=1000)]
MAX_NODES = 200
"""Parts of an expression at most, values of `in` counted ten a part."""
MAX_DEPTH = 20
DURATION = r"^[1-9][0-9]{0,5}[smhdw]$"
SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


class Node(BaseModel):
    """One part of an expression."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, use_attribute_docstrings=True, serialize_by_alias=True)


class Compare(Node):
    """A column against a value; an item without the column, or of another type, does not pass, whatever `op` is."""

    field: str = Field(min_length=1, max_length=100, examples=["price"])
    op: Literal["==", "!=", "<", "<=", ">", ">="]
    value: Scalar


class In(Node):
    """A column is one of several values."""

    field: str = Field(min_length=1, max_length=100, examples=["brand"])
    values: list[Scalar] = Field(alias="in", max_length=1000, examples=[["A", "B"]])


class Has(Node):
    """A column that holds several values (a list, or "a|b") has this one among them."""

    field: str = Field(min_length=1, max_length=100, examples=["genres"])
    value: Scalar = Field(alias="has")


class Missing(Node):
    """An item says nothing in this column."""

    field: str = Field(alias="missing", min_length=1, max_length=100)


class Seen(Node):
    """The user did something with the item: ever (`true`), or in the last "30d" (s, m, h, d, w)."""

    within: Literal[True] | Annotated[str, Field(pattern=DURATION)] = Field(alias="seen")

    @property
    def seconds(self) -> float:
        """The window in seconds; infinite for ever."""
        return float("inf") if self.within is True else int(self.within[:-1]) * SECONDS[self.within[-1]]


class And(Node):
    """All of these; of none, everything passes."""

    parts: list[Expression] = Field(alias="and", max_length=MAX_NODES)


class Or(Node):
    """Any of these; of none, nothing passes."""

    parts: list[Expression] = Field(alias="or", max_length=MAX_NODES)


class Not(Node):
    """What does not pass this."""

    part: Expression = Field(alias="not")


KINDS: dict[str, str] = {"op": "compare", "in": "in", "values": "in", "has": "has", "missing": "missing", "seen": "seen"} | {
    "and": "and", "or": "or", "not": "not",
}  # fmt: skip


def _kind(value: Any) -> str | None:
    if isinstance(value, Node):
        return type(value).__name__.lower()
    return next((kind for key, kind in KINDS.items() if key in value), None) if isinstance(value, dict) else None


Expression = Annotated[
    Annotated[Compare, Tag("compare")]
    | Annotated[In, Tag("in")]
    | Annotated[Has, Tag("has")]
    | Annotated[Missing, Tag("missing")]
    | Annotated[Seen, Tag("seen")]
    | Annotated[And, Tag("and")]
    | Annotated[Or, Tag("or")]
    | Annotated[Not, Tag("not")],
    Discriminator(
        _kind,
        custom_error_type="expression",
        custom_error_message='an expression has one of the keys "op", "in", "has", "missing", "seen", "and", "or", "not"',
    ),
]
for model in (And, Or, Not):
    model.model_rebuild()


def walk(expression: Node, depth: int = 1) -> Iterator[tuple[Node, int]]:
    """Every part with its depth, the outermost first."""
    yield expression, depth
    parts = expression.parts if isinstance(expression, And | Or) else [expression.part] if isinstance(expression, Not) else []
    for part in parts:
        yield from walk(part, depth + 1)


def check_size(expression: Node) -> None:
    """Refuse what would cost too much to evaluate.

    Raises:
        ValueError: too many parts, or nested too deeply.
    """
    cost = 0
    for part, depth in walk(expression):
        cost += 1 + (len(part.values) // 10 if isinstance(part, In) else 0)
        if cost > MAX_NODES or depth > MAX_DEPTH:
            raise ValueError(f"a filter has at most {MAX_NODES} parts, nested at most {MAX_DEPTH} deep")
