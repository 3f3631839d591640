"""Attributes: categories, tags and numbers of the items table, every column with the same say."""

# N items, W width of a column, D dimensions of all columns

from __future__ import annotations

import json
import logging
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field, NonNegativeFloat, PositiveInt, field_validator

from genre.component import Arrays, Settings
from genre.encoders import Encoder
from genre.encoders.columns import Kind, block, guess, numbers, quantiles, values, width

log = logging.getLogger(__name__)

NOT_ATTRIBUTES = {"item_id", "item_idx", "text", "shown"}
"""Columns that name an item; an index read as a number would make neighbours in the file alike."""


class Column(Settings):
    """How one column is read."""

    kind: Kind | None = None
    """`category` has one value, `tags` several (a list, or a string cut by the separator), `number` an order; None goes by the type."""
    separator: str = Field("|", min_length=1)
    """Between the tags of a string."""
    weight: NonNegativeFloat = 1.0
    """How much it counts beside the other columns."""


class AttributesEncoder(Encoder):
    """What the items table says besides text: each column a block of length 1 (times its weight), zero where nothing is known."""

    class Config(Encoder.Config):
        columns: dict[str, Column] = Field(default_factory=dict)
        """The columns to read, a list of names or `name: {kind: tags, separator: ","}`; a kind
        alone (`name: tags`) will do. None named means all but the item's id, index, title shown and text."""
        min_items: PositiveInt = 2
        """Values of fewer items are left out: what only one item has makes it similar to none."""
        max_values: PositiveInt = 256
        """A column of more values is hashed into this many dimensions."""

        @field_validator("columns", mode="before")
        @classmethod
        def _names_alone(cls, columns: Any) -> Any:
            named = {name: {} for name in columns} if isinstance(columns, list | tuple) else columns
            if not isinstance(named, dict):
                return named
            return {name: {"kind": column} if isinstance(column, str) else column for name, column in named.items()}

        def attributes(self) -> tuple[str, ...]:
            """See Encoder.Config.attributes."""
            return (*super().attributes(), *self.columns)

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.learnt: dict[str, dict[str, Any]] = {}

    def fit(self, items: pl.DataFrame) -> None:
        """Learn each column's values, or its quantiles.

        Raises:
            ValueError: a column that the config names is not there, or there is none at all.
        """
        columns = self.config.columns or {name: Column() for name in items.columns if name not in NOT_ATTRIBUTES}
        check_columns(list(columns), items)
        self.learnt = {}
        for name, column in sorted(columns.items()):
            kind = column.kind or guess(items[name], column.separator)
            self.learnt[name] = {"kind": kind, "separator": column.separator, "weight": column.weight}
            if kind == "number":
                self.learnt[name] |= quantiles(numbers(items[name]))
            else:
                spread = values(items[name], kind, column.separator).group_by("value").len()
                known = sorted(spread.filter(pl.col("len") >= self.config.min_items)["value"])
                if not known:
                    log.warning(
                        "encoder attributes: no %d items share a value of %r, which therefore says nothing", self.config.min_items, name
                    )
                self.learnt[name] |= {"known": known} if len(known) <= self.config.max_values else {"hashed": self.config.max_values}

    def encode(self, items: pl.DataFrame) -> npt.NDArray[np.float32]:
        """Vectors of shape (N, D); zero for free text, and for an item of which nothing is known.

        Raises:
            ValueError: a column is missing, though the frame is more than free text.
        """
        free_text = NOT_ATTRIBUTES.issuperset(items.columns) and not NOT_ATTRIBUTES.intersection(self.learnt)
        if not free_text:
            check_columns(list(self.learnt), items)
        blocks = [np.zeros((len(items), 1 if not any(map(width, self.learnt.values())) else 0), np.float32)]
        for name, learnt in self.learnt.items():
            block_NW = np.zeros((len(items), width(learnt)), np.float32) if free_text else block(items[name], learnt)
            blocks.append(block_NW * np.float32(learnt["weight"]))
        return np.hstack(blocks)

    def state(self) -> Arrays:
        """What was learnt of each column, as JSON bytes."""
        return {"columns": np.frombuffer(json.dumps(self.learnt, ensure_ascii=False).encode(), np.uint8)}

    def restore(self, state: Arrays) -> None:
        """Take back what `state` gave."""
        self.learnt = json.loads(state["columns"].tobytes())


def check_columns(wanted: list[str], items: pl.DataFrame) -> None:
    """Every column has to be there, and at least one be wanted."""
    there = [name for name in items.columns if name not in ("item_id", "text")]
    missing = [name for name in wanted if name not in there]
    if missing or not wanted:
        lack = f"no column {missing[0]!r}" if missing else "no columns besides item_id and text"
        raise ValueError(f"encoder attributes: the items have {lack} (there are: {', '.join(there) or 'none'})")
