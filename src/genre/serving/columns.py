"""Columns of the catalogue in memory, of one type each, over which conditions are evaluated for all items at once."""

# N items, V distinct values

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from genre.serving.growing import Growing

Mask = npt.NDArray[np.bool_]
Value = bool | int | float | str | list[Any]
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
MISSING = -1
LIST_SEPARATOR = "\x1f"


class Numbers:
    """Numbers, NaN where an item says nothing."""

    kind = "number"

    def __init__(self, values_N: npt.NDArray[np.float64]) -> None:
        self.values = Growing(values_N)

    def fits(self, value: Value) -> bool:
        """Whether the column can hold it."""
        return isinstance(value, int | float) and not isinstance(value, bool)

    def append(self, value: Value | None) -> None:
        """Add an item's value."""
        self.values.append(np.array([np.nan if value is None else value], np.float64))

    def set(self, i: int, value: Value | None) -> None:
        """Replace an item's value."""
        self.values[i] = np.nan if value is None else value

    def get(self, i: int) -> Value | None:
        """An item's value; a whole number comes back as int."""
        value = float(self.values[i])
        return None if np.isnan(value) else int(value) if value.is_integer() and abs(value) < 2**53 else value

    def compare(self, op: str, value: Value, n: int) -> Mask:
        """Which of the first n items pass; missing values and values of another type never do."""
        values_N = self.values.first(n)
        if not self.fits(value):
            return np.zeros(n, bool)
        found: Mask = COMPARE[op](values_N, float(value))  # type: ignore[arg-type]
        return found & ~np.isnan(values_N) if op == "!=" else found

    def is_in(self, values: Iterable[Value], n: int) -> Mask:
        """Which have one of the values."""
        wanted = [float(value) for value in values if self.fits(value)]  # type: ignore[arg-type]
        return np.isin(self.values.first(n), wanted)

    def has(self, value: Value, n: int) -> Mask:
        """Which have the value."""
        return self.compare("==", value, n)

    def missing(self, n: int) -> Mask:
        """Which say nothing."""
        return np.isnan(self.values.first(n))


class Labels:
    """Texts, booleans or lists of either: a code an item, into a table of distinct values."""

    def __init__(self, kind: str, code_N: npt.NDArray[np.int32], values_V: list[Any]) -> None:
        self.kind = kind
        self.codes = Growing(code_N)
        self.values_V = values_V
        self.code_of = {value: code for code, value in enumerate(values_V)}
        self._holding: dict[Any, list[int]] = {}
        self._looked_at = 0

    def fits(self, value: Value) -> bool:
        """Whether the column can hold it."""
        return {"text": str, "flag": bool, "list": list}[self.kind] is type(value)

    def append(self, value: Value | None) -> None:
        """Add an item's value."""
        self.codes.append(np.array([self._code(value)], np.int32))

    def set(self, i: int, value: Value | None) -> None:
        """Replace an item's value."""
        self.codes[i] = self._code(value)

    def get(self, i: int) -> Value | None:
        """An item's value."""
        code = int(self.codes[i])
        value = None if code == MISSING else self.values_V[code]
        return list(value) if isinstance(value, tuple) else value

    def compare(self, op: str, value: Value, n: int) -> Mask:
        """Which of the first n items pass; missing values and values of another type never do, nor do lists."""
        if not self.fits(value) or self.kind == "list" or (self.kind == "flag" and op not in ("==", "!=")):
            return np.zeros(n, bool)
        if op in ("==", "!="):
            equal_N: Mask = self.codes.first(n) == self.code_of.get(value, MISSING - 1)
            return equal_N if op == "==" else ~(equal_N | self.missing(n))
        return self._with_codes([code for code, held in enumerate(self.values_V) if COMPARE[op](held, value)], n)

    def is_in(self, values: Iterable[Value], n: int) -> Mask:
        """Which have one of the values."""
        fitting = [value for value in values if self.fits(value) and self.kind != "list"]
        return self._with_codes([self.code_of[value] for value in fitting if value in self.code_of], n)

    def has(self, value: Value, n: int) -> Mask:
        """Which have the value among theirs: in a list, or between the bars of "a|b"."""
        known = len(self.values_V)
        for code in range(self._looked_at, known):  # two threads may both do this, and no harm is done
            held = self.values_V[code]
            for part in {held, *(part.strip() for part in held.split("|"))} if isinstance(held, str) else _parts(held):
                self._holding.setdefault((type(part), part), []).append(code)
        self._looked_at = known
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
        return self._with_codes(self._holding.get((type(number), number), []), n)

    def missing(self, n: int) -> Mask:
        """Which say nothing."""
        missing_N: Mask = self.codes.first(n) == MISSING
        return missing_N

    def _code(self, value: Value | None) -> int:
        if value is None:
            return MISSING
        key = tuple(value) if isinstance(value, list) else value
        if key not in self.code_of:
            self.values_V.append(key)
            self.code_of[key] = len(self.values_V) - 1
        return self.code_of[key]

    def _with_codes(self, codes: list[int], n: int) -> Mask:
        chosen_V = np.zeros(len(self.values_V) + 1, bool)  # the last stands for MISSING, which indexes from the end
        chosen_V[codes] = True
        return chosen_V[self.codes.first(n)]


Column = Numbers | Labels


def _parts(held: Any) -> set[Any]:
    values = held if isinstance(held, tuple) else (held,)
    return {float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value for value in values}


def column_of(series: pl.Series) -> Column | None:
    """A column from a table's; None for types that no condition can be about (structs, bytes)."""
    dtype = series.dtype
    if dtype.is_numeric():
        return Numbers(series.cast(pl.Float64).fill_null(float("nan")).to_numpy())
    if isinstance(dtype, pl.List | pl.Array):
        return _of_lists(series)
    if isinstance(dtype, pl.Struct | pl.Binary | pl.Object):
        return None
    if dtype == pl.Boolean:
        return Labels("flag", series.cast(pl.Int32).fill_null(MISSING).to_numpy(), [False, True])
    return Labels("text", *_encoded(series.cast(pl.String)))


def empty_column(value: Value, n: int) -> Column:
    """A column that fits a value, missing for all n items there are."""
    if isinstance(value, list | str | bool):
        kind = "list" if isinstance(value, list) else "flag" if isinstance(value, bool) else "text"
        return Labels(kind, np.full(n, MISSING, np.int32), [False, True] if kind == "flag" else [])
    return Numbers(np.full(n, np.nan))


def _of_lists(series: pl.Series) -> Labels | None:
    inner = series.dtype.inner  # type: ignore[attr-defined]
    if isinstance(inner, pl.Struct | pl.List | pl.Array | pl.Binary | pl.Object):
        return None
    lists = [None if row is None else tuple(row if not inner.is_temporal() else map(str, row)) for row in series.to_list()]
    codes: dict[Any, int] = {}
    code_N = np.array([MISSING if row is None else codes.setdefault(row, len(codes)) for row in lists], np.int32)
    return Labels("list", code_N, list(codes))


def _encoded(series: pl.Series) -> tuple[npt.NDArray[np.int32], list[str]]:
    encoded = series.to_arrow().dictionary_encode()
    if hasattr(encoded, "combine_chunks"):
        encoded = encoded.combine_chunks()
    return np.array(encoded.indices.fill_null(MISSING), np.int32), encoded.dictionary.to_pylist()
