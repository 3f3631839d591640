"""Exposure logs: what was shown, how likely it was, and what came of it, from Parquet files to arrays."""

# R requests, S places of the longest slate

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from genre.evaluation.off_policy.served import done_in, events_of, is_archive, lists_of
from genre.types import Bools, Floats, Ints

NEEDED = ("request_id", "unit", "items", "propensities")
LISTS = ("items", "positions", "propensities", "marginals", "rewards")
FEW_NAMED = 3


@dataclass(frozen=True)
class ExposureLog:
    """R slates that were shown, padded to the longest.

    Attributes:
        exposures: the rows as logged.
        item_ids: every item that was shown.
        item_RS: indices into `item_ids`; -1 where there is no place.
        position_RS: positions as logged; without them, places from 0.
        logging_RS, marginal_RS, reward_RS: as in `Logged`; `filled_RS` where there is a place.
        cluster_R: units, numbered.
        time_R: unix seconds; NaN where unknown.
        entry_RS: which entry of all lists, one after another as logged, is at each place; -1 where there is none.
        done: what people did, by the log itself (`user_id`, `item_id`, `time`); None where it does not tell.
    """

    exposures: pl.DataFrame
    item_ids: list[str]
    item_RS: Ints
    position_RS: Ints
    logging_RS: Floats
    marginal_RS: Floats | None
    reward_RS: Floats
    filled_RS: Bools
    cluster_R: Ints
    time_R: Floats
    entry_RS: Ints
    done: pl.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.exposures)

    def aligned(self, lists_R: pl.Series, empty: float) -> Floats:
        """Lists in the order of the logged `items`, as a matrix, best place first; `empty` where there is no place."""
        flat_E = lists_R.explode().cast(pl.Float64).to_numpy()
        return np.where(self.filled_RS, flat_E[self.entry_RS], empty)


def read_log(
    path: Path, rewards: Mapping[str, float] | None = None, where: Mapping[str, str] | None = None, since: float | None = None
) -> ExposureLog:
    """Read a log.

    Args:
        path: what a server archived (RUN/logs), a folder with `exposures.parquet` and `events.parquet`, or a Parquet file of exposures that
            have a list column `rewards`.
        rewards: what an event of each type is worth; clicks are worth 1 by default. Counted once a request, item and type.
        where: columns of the exposures that must have a value, such as surface, variant, model or policy.
        since: unix seconds; exposures before, or of no known time, are left out: the candidate may have learnt from them.

    Raises:
        FileNotFoundError: there is no such log.
        ValueError: it is not a log, or a row of it cannot be (the message names the request).
    """
    archived = is_archive(path)
    file = path / "exposures" if archived else path / "exposures.parquet" if path.is_dir() else path
    if not archived and not file.is_file():
        raise FileNotFoundError(f"{path}: no exposure log; give RUN/logs, a folder with exposures.parquet and events.parquet, or one file")
    exposures = lists_of(path) if archived else pl.read_parquet(file)
    if missing := [name for name in NEEDED if name not in exposures.columns]:
        raise ValueError(f"{file}: has no column {', '.join(missing)}; an exposure log needs {', '.join(NEEDED)}")
    for name, value in (where or {}).items():
        if name not in exposures.columns:
            raise ValueError(f"{file}: has no column {name!r} to choose by; it has {', '.join(exposures.columns)}")
        exposures = exposures.filter(pl.col(name).cast(pl.String) == value)
    if since is not None:
        if "time" not in exposures.columns:
            raise ValueError(f"{file}: has no column 'time', so what came since {since:g} cannot be told")
        exposures = exposures.filter(pl.col("time") >= since)
    exposures = exposures.with_columns(pl.col("request_id").cast(pl.String), pl.col("items").cast(pl.List(pl.String)))
    exposures = exposures.filter(pl.col("items").list.len() > 0)
    if not len(exposures):
        raise ValueError(f"{file}: no exposure is left" + (f" where {', '.join(f'{k} is {v}' for k, v in where.items())}" if where else ""))
    _check(file, exposures)
    log = _padded(exposures if "rewards" in exposures.columns else _with_rewards(path, exposures, rewards or {"click": 1.0}))
    return replace(log, done=done_in(path)) if archived else log


def _check(file: Path, exposures: pl.DataFrame) -> None:
    """Say which request is wrong, and how."""
    length = pl.col("items").list.len()
    wrong = {
        "has a request_id that another one has": pl.col("request_id").is_duplicated(),
        "shows an item twice": pl.col("items").list.n_unique() != length,
        "has no propensities: was it logged by a policy that gives none?": pl.col("propensities").is_null(),
        "has a propensity that is not above 0 and at most 1, though the item was shown": ~pl.col("propensities")
        .list.eval((pl.element() > 0) & (pl.element() <= 1 + 1e-9))
        .list.all()
        | pl.col("propensities").list.eval(pl.element().is_null() | pl.element().is_nan()).list.any(),
    }
    for name in LISTS[1:]:
        if name in exposures.columns:
            wrong[f"has another number of {name} than of items"] = pl.col(name).list.len() != length
    for reason, is_wrong in wrong.items():
        names = exposures.filter(is_wrong)["request_id"].to_list()
        if names:
            shown = ", ".join(map(repr, names[:FEW_NAMED])) + (f" and {len(names) - FEW_NAMED:,} more" if len(names) > FEW_NAMED else "")
            raise ValueError(f"{file}: request {shown} {reason}")


def _with_rewards(path: Path, exposures: pl.DataFrame, rewards: Mapping[str, float]) -> pl.DataFrame:
    """The list column `rewards`, from the events that name the request and an item it showed."""
    file = (path if path.is_dir() else path.parent) / "events.parquet"
    if not is_archive(path) and not file.is_file():
        raise FileNotFoundError(f"{file} is missing: what came of the exposures? Or give exposures a list column `rewards`")
    events = events_of(path) if is_archive(path) else pl.scan_parquet(file)
    columns = events.collect_schema().names()
    kind = "type" if "type" in columns else "event"
    if missing := [name for name in ("request_id", "item_id", kind) if name not in columns]:
        raise ValueError(f"{file}: has no column {', '.join(missing)}; events need request_id, item_id and type")
    worth = pl.DataFrame({kind: list(rewards), "reward": [float(value) for value in rewards.values()]})
    earned = (
        events.select(pl.col("request_id", "item_id", kind).cast(pl.String))
        .filter(pl.col("request_id").is_not_null())
        .unique()
        .join(worth.lazy(), on=kind)
        .group_by("request_id", "item_id")
        .agg(pl.col("reward").sum())
        .collect()
    )
    places = exposures.select("request_id", item_id="items").with_row_index("row").explode("item_id").with_row_index("entry")
    joined = places.join(earned, on=["request_id", "item_id"], how="left").sort("entry")
    lists = joined.group_by("row", maintain_order=True).agg(rewards=pl.col("reward").fill_null(0.0))
    return exposures.with_columns(lists["rewards"])


def _padded(exposures: pl.DataFrame) -> ExposureLog:
    """Lists, best place first, as matrices."""
    lists = [name for name in LISTS if name in exposures.columns]
    long = exposures.select(lists).with_row_index("row").explode(lists).with_row_index("entry")
    if "positions" in lists:
        long = long.sort("row", "positions", maintain_order=True)
    count_R = exposures["items"].list.len().to_numpy().astype(np.int64)
    row_E = long["row"].to_numpy()
    place_E = np.arange(len(long)) - np.repeat(np.cumsum(count_R) - count_R, count_R)
    shape = (len(exposures), int(count_R.max()))
    filled_RS = np.zeros(shape, bool)
    filled_RS[row_E, place_E] = True

    def matrix(name: str, empty: float) -> Floats:
        padded_RS = np.full(shape, empty)
        padded_RS[row_E, place_E] = long[name].cast(pl.Float64).to_numpy()
        return padded_RS

    item_ids, item_E = np.unique(long["items"].to_numpy(), return_inverse=True)
    item_RS, entry_RS = np.full(shape, -1), np.full(shape, -1)
    item_RS[row_E, place_E], entry_RS[row_E, place_E] = item_E, long["entry"].to_numpy()
    positions = matrix("positions", 0.0).astype(np.int64) if "positions" in lists else np.where(filled_RS, np.arange(shape[1]), 0)
    unit_R = exposures["unit"].cast(pl.String).fill_null("?" + exposures["request_id"])
    return ExposureLog(
        exposures,
        item_ids.tolist(),
        item_RS,
        positions,
        np.minimum(matrix("propensities", 1.0), 1.0),
        np.minimum(matrix("marginals", 1.0), 1.0) if "marginals" in lists else None,
        matrix("rewards", 0.0),
        filled_RS,
        np.unique(unit_R.to_numpy(), return_inverse=True)[1],
        exposures["time"].cast(pl.Float64).fill_null(np.nan).to_numpy() if "time" in exposures.columns else np.full(len(exposures), np.nan),
        entry_RS,
    )
