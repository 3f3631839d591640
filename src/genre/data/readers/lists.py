"""Lists that were shown: anybody's file of impressions, one row an entry, by role."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from genre.component import Settings
from genre.data.readers.delimited import ROW
from genre.data.readers.rejection import Rejections
from genre.data.readers.roles import TIME_EXPECTED, reject
from genre.data.readers.storing import aligned, with_types
from genre.data.readers.values import ids, numbers, unix_seconds

STANDARD = ("request_id", "user_id", "time", "item_id", "position", "clicked")
CLICKED = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


class ListColumns(Settings):
    """Which column of the impressions file plays which role. All further columns are kept: numbers are tasks' labels, texts are context."""

    request: str
    """What was shown together: one value a list."""
    user: str | None = None
    """To whom; None: named as in the events."""
    item: str | None = None
    """What; None: named as in the events."""
    time: str | None = None
    """When; None: named as in the events."""
    position: str | None = None
    """The place in the list, from the first on; None: unknown."""
    clicked: str = "clicked"
    """Whether it was clicked: 1 or 0, true or false."""


def store_lists(
    frames: Iterable[tuple[Path, pl.DataFrame]], roles: dict[str, str], time_format: str, folder: Path, rejections: Rejections, typed: bool
) -> pl.LazyFrame:
    """`request_id`, `user_id`, `time`, `item_id`, `position`, `clicked`, then all other columns under their own names.

    Args:
        roles: the file's column of each of those; `position` may be missing.
        typed: turn text columns that hold nothing but numbers into numbers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts: list[Path] = []
    source, rows_left = folder, 0
    for source, rows in frames:
        found = {name: ids(rows[roles[name]]).alias(name) for name in ("request_id", "user_id", "item_id")}
        found["time"] = unix_seconds(rows[roles["time"]], time_format).alias("time")
        told = rows[roles["clicked"]].cast(pl.String, strict=False).str.strip_chars().str.to_lowercase()
        found["clicked"] = told.replace_strict(CLICKED, default=None, return_dtype=pl.Boolean).alias("clicked")
        faults = [(column.is_null(), f"{roles[name]} (the {name.removesuffix('_id')}) is blank") for name, column in found.items()
                  if name.endswith("_id")]  # fmt: skip
        faults.append((found["time"].is_null(), f"{roles['time']} (the time) is blank or {TIME_EXPECTED}"))
        faults.append((found["clicked"].is_null(), f"{roles['clicked']} (clicked) is neither 1 nor 0, true nor false"))
        if "position" in roles:
            found["position"] = numbers(rows[roles["position"]]).alias("position")
            faults.append((found["position"].is_null(), f"{roles['position']} (the position) is not a number"))
        else:
            found["position"] = pl.Series("position", [None], pl.Float64).new_from_index(0, len(rows))
        kept = rows.drop(ROW, *roles.values(), strict=False).with_columns(found.values()).filter(reject(source, rows, faults, rejections))
        rows_left += len(kept)
        if len(kept):
            parts.append(folder / f"{len(parts):06d}.parquet")
            kept.select(*STANDARD, pl.exclude(*STANDARD)).write_parquet(parts[-1])
    rejections.check_rows_left(rows_left, source)
    table = pl.concat(aligned([pl.scan_parquet(part) for part in parts]), how="diagonal_relaxed")
    return with_types(table, ("request_id", "user_id", "item_id")) if typed else table
