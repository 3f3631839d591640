"""One column of the items table as vectors: a category, tags or a number, each of length 1."""

# N items, V values of the column, W width of its vectors

from __future__ import annotations

import hashlib
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

Kind = Literal["category", "tags", "number"]

QUANTILES = 65
"""How finely a number's place among the catalogue's numbers is known."""


def guess(column: pl.Series, separator: str) -> Kind:
    """What a column most likely is: numbers and dates by type, tags if a tenth of its strings hold the separator."""
    if column.dtype.is_numeric() or column.dtype.is_temporal():
        return "number"
    if isinstance(column.dtype, pl.List | pl.Array):
        return "tags"
    share = column.drop_nulls().cast(pl.String).str.contains(separator, literal=True).mean()
    return "tags" if isinstance(share, float) and share >= 0.1 else "category"


def values(column: pl.Series, kind: str, separator: str) -> pl.DataFrame:
    """The distinct values of each row, as `row` and `value`; nulls and blanks are none."""
    frame = pl.DataFrame({"value": column}).with_row_index("row")
    if isinstance(column.dtype, pl.Array):
        frame = frame.with_columns(pl.col("value").arr.to_list())
    if isinstance(column.dtype, pl.List | pl.Array):
        frame = frame.explode("value")
    elif kind == "tags":
        frame = frame.with_columns(pl.col("value").cast(pl.String).str.split(separator)).explode("value")
    frame = frame.with_columns(pl.col("value").cast(pl.String).str.strip_chars())
    return frame.filter(pl.col("value").is_not_null() & (pl.col("value") != "")).unique(maintain_order=True)


def numbers(column: pl.Series) -> npt.NDArray[np.float64]:
    """A column as float64, NaN where there is no finite number."""
    plain = column.to_physical() if column.dtype.is_temporal() else column
    found = plain.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy().copy()
    found[~np.isfinite(found)] = np.nan
    return found


def quantiles(numbers_N: npt.NDArray[np.float64]) -> dict[str, list[float]]:
    """Numbers and their places from 0 to 1 in the catalogue, to interpolate between."""
    real = numbers_N[~np.isnan(numbers_N)]
    if not len(real):
        return {"at": [0.0], "place": [0.5]}
    at, inverse = np.unique(np.quantile(real, np.linspace(0, 1, QUANTILES)), return_inverse=True)
    place = np.bincount(inverse, np.linspace(0, 1, QUANTILES)) / np.bincount(inverse)
    return {"at": at.tolist(), "place": place.tolist()}


def width(learnt: dict[str, Any]) -> int:
    """Dimensions of a column's block."""
    return 2 if learnt["kind"] == "number" else learnt.get("hashed") or len(learnt["known"])


def block(column: pl.Series, learnt: dict[str, Any]) -> npt.NDArray[np.float32]:
    """A column's vectors, shape (N, W), each of length 1 or zero.

    A number is a point on a half circle, at the angle of its place among the catalogue's: near numbers have near vectors, the extremes
    are opposite, no outlier is longer than the rest, and a missing one is the zero vector.
    """
    if learnt["kind"] == "number":
        found_N = numbers(column)
        angle_N = np.pi * np.interp(found_N, learnt["at"], learnt["place"])
        circle_N2 = np.stack([np.cos(angle_N), np.sin(angle_N)], axis=1).astype(np.float32)
        circle_N2[np.isnan(found_N)] = 0.0
        return circle_N2
    found = values(column, learnt["kind"], learnt["separator"])
    if "hashed" in learnt:
        distinct = found["value"].unique().to_list()
        rows_VW = np.array([signs(value, learnt["hashed"]) for value in distinct], np.float32).reshape(-1, learnt["hashed"])
    else:
        distinct = learnt["known"]
        rows_VW = np.eye(len(distinct), dtype=np.float32)
    place = pl.DataFrame({"value": distinct}, schema={"value": pl.String}).with_row_index("place")
    found = found.join(place, on="value", how="inner")
    sums_NW = np.zeros((len(column), rows_VW.shape[1]), np.float32)
    np.add.at(sums_NW, found["row"].to_numpy(), rows_VW[found["place"].to_numpy()])
    length_N = np.linalg.norm(sums_NW, axis=1, keepdims=True)
    return np.asarray(sums_NW / np.where(length_N > 0, length_N, 1.0), np.float32)


def signs(value: str, w: int) -> npt.NDArray[np.float32]:
    """A value's own direction: w signs from its hash, so that two values are orthogonal within about 1 / sqrt(w)."""
    bits = np.unpackbits(np.frombuffer(hashlib.shake_256(value.encode()).digest(-(-w // 8)), np.uint8))[:w]
    return (2.0 * bits - 1.0).astype(np.float32) / np.float32(np.sqrt(w))
