"""The catalogue in memory: which items there are, what is known of them, and which may be shown."""

# N items

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from genre.bundle import mapped
from genre.serving.columns import Column, Value, column_of, empty_column
from genre.serving.contract import ItemIn, RequestError
from genre.serving.growing import Growing
from genre.types import Ints

OWN = ("item_idx", "item_id", "text", "shown")
"""Columns of the prepared items that are not the caller's; a condition about `text` is a search, not a filter."""


class Catalogue:
    """Items by index, as in the bundle, and behind them those added since. One writer at a time, any number of readers.

    Attributes:
        n: how many items there are; what a request reads stays below the n it began with.
        changes: grows with every change, so that what was computed from the columns can be remembered.
    """

    def __init__(self, items: pl.DataFrame, first_N: npt.NDArray[np.float64]) -> None:
        self.ids: list[str] = items["item_id"].to_list()
        self.index = {item_id: i for i, item_id in enumerate(self.ids)}
        self.shown: list[str] = (items["shown"] if "shown" in items.columns else items["item_id"]).to_list()
        self.columns: dict[str, Column] = {}
        for name in items.columns:
            column = None if name in OWN else column_of(items[name])
            if column is not None:
                self.columns[name] = column
        self.available = Growing(np.ones(len(items), bool))
        self.deleted: set[int] = set()
        self.since = Growing(first_N)
        self.changes = 0
        self.n = len(items)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """From a bundle."""
        return cls(pl.read_parquet(folder / "items.parquet"), mapped(folder / "counts.safetensors")["first_N"])

    def find(self, item_ids: Iterable[str], n: int) -> Ints:
        """Indices of those ids that are known, in the order given."""
        found = (self.index.get(item_id, n) for item_id in item_ids)
        return np.array([i for i in found if i < n], np.int64)

    def column(self, name: str, where: str) -> Column:
        """A column of the caller's.

        Raises:
            RequestError: there is none of this name.
        """
        column = self.columns.get(name)
        if column is None:
            near = difflib.get_close_matches(name, self.columns, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(self.columns)) or 'none'}"
            raise RequestError(where, f"the items have no column {name!r}; {hint}")
        return column

    def check(self, attributes: Mapping[str, Value | None]) -> None:
        """Refuse attributes that their columns cannot hold.

        Raises:
            RequestError: a value of another type than the column's.
        """
        for name, value in attributes.items():
            column = self.columns.get(name)
            if name in OWN:
                raise RequestError(f"attributes.{name}", "this name is taken; call the attribute something else")
            if value is not None and column is not None and not column.fits(value):
                raise RequestError(f"attributes.{name}", f"the column holds a {column.kind}, not {type(value).__name__}")

    def put(self, item: ItemIn, shown: str, now: float) -> tuple[int, bool]:
        """Add an item, or replace all that is known of it; its index, and whether it is new. `check` its attributes first."""
        i = self.index.get(item.item_id, self.n)
        new = i == self.n
        for name, value in item.attributes.items():
            if name not in self.columns and value is not None:
                self.columns = {**self.columns, name: empty_column(value, self.n)}  # readers may be going through the old one
        for name, column in self.columns.items():
            value = item.attributes.get(name)
            if new:
                column.append(value)
            else:
                column.set(i, value)
        if new:
            self.ids.append(item.item_id)
            self.shown.append(shown)
            self.available.append(np.array([item.available]))
            self.since.append(np.array([now]))
        else:
            self.shown[i] = shown
            self.available[i] = item.available
            self.deleted.discard(i)
        self.changes += 1
        return i, new

    def publish(self, item_id: str, i: int) -> None:
        """Let readers see an item that was put: last of all, when the scorers know it too."""
        self.index[item_id] = i
        self.n = max(self.n, i + 1)

    def delete(self, item_id: str) -> bool:
        """Never show it again; False if it is not there."""
        i = self.index.get(item_id)
        if i is None or i in self.deleted:
            return False
        self.available[i] = False
        self.deleted.add(i)
        self.changes += 1
        return True

    def get(self, item_id: str) -> ItemIn | None:
        """What is known of an item; None if it is not there."""
        i = self.index.get(item_id)
        if i is None or i in self.deleted:
            return None
        known = {name: column.get(i) for name, column in self.columns.items()}
        attributes: dict[str, Any] = {name: value for name, value in known.items() if value is not None}
        return ItemIn.model_construct(item_id=item_id, attributes=attributes, available=bool(self.available[i]))
