"""Arms: who was first shown which variant, and that nobody is in two."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from genre.data.readers.delimited import ROW
from genre.data.readers.rejection import Rejections
from genre.experiments.assignment import DAY
from genre.experiments.definition import ExperimentConfig, ExperimentError
from genre.experiments.rows import rows


def first_shows(config: ExperimentConfig, path: Path, rejections: Rejections, started: float | None, now: float | None) -> pl.DataFrame:
    """When each unit was first shown each variant: `unit`, `variant`, `exposed`. An interleaved list shows both."""
    logs, found = config.logs, list[pl.DataFrame]()
    both = pl.concat_list(*map(pl.lit, config.variants))
    variant = both if config.interleave else pl.col(logs.variant).cast(pl.String)
    first = (pl.col("unit"), variant.alias("variant"), pl.col("time").alias("exposed"), pl.col(ROW))
    named = [*([] if config.interleave else [logs.variant]), *([logs.experiment] if logs.experiment else [])]
    for frame in rows(path, logs, named, rejections):
        if logs.experiment:
            frame = frame.filter(pl.col(logs.experiment).cast(pl.String) == config.name)
        within = pl.col("time").is_between(started if started is not None else float("-inf"), now if now is not None else float("inf"))
        frame = frame.filter(within).select(first)
        if config.interleave:
            frame = frame.explode("variant")
        unknown = frame.filter(pl.col("variant").is_null() | ~pl.col("variant").is_in(list(config.variants)))
        if len(unknown):
            row = unknown.row(0, named=True)
            raise ExperimentError(
                f"{path} row {row[ROW]}: the variant {row['variant']!r} is none of {config.name}'s: {', '.join(config.variants)}. If the "
                "log holds several experiments, say in logs.experiment which column names them"
            )
        found.append(frame.group_by("unit", "variant").agg(pl.col("exposed").min()))
    if not sum(map(len, found)):
        raise ExperimentError(f"{path}: nobody was exposed to {config.name!r} between its start and now; is the time right, and the name?")
    return pl.concat(found).group_by("unit", "variant").agg(pl.col("exposed").min())


def against_assignments(seen: pl.DataFrame, assigned: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Who was shown another variant than assigned counts as shown both; nobody may be shown what they were not assigned at all."""
    nobody = seen.join(assigned, on="unit", how="anti")
    if len(nobody):
        raise ExperimentError(
            f"{path}: {len(nobody):,} exposed units were never assigned, such as {nobody['unit'][0]!r}; is the log complete?"
        )
    both = seen.join(assigned.select("unit", "variant"), on="unit", suffix="_assigned").filter(
        pl.col("variant") != pl.col("variant_assigned")
    )
    return pl.concat([seen, both.select("unit", pl.col("variant_assigned").alias("variant"), "exposed")])


def one_variant(config: ExperimentConfig, seen: pl.DataFrame, path: Path) -> tuple[pl.DataFrame, int]:
    """The units in order of their first show, without those of two variants, and how many those are."""
    crossed = seen.clear()["unit"] if config.interleave else seen.filter(pl.col("unit").is_duplicated())["unit"].unique()
    if len(crossed) and config.crossed == "error":
        unit = crossed.sort()[0]
        variants = " and ".join(sorted(seen.filter(pl.col("unit") == unit)["variant"].unique()))
        raise ExperimentError(
            f"{path}: {len(crossed):,} units were shown two variants, such as {unit!r}: {variants}. That biases every figure; find out "
            "why, or leave them out with `crossed: drop`"
        )
    units = seen.filter(~pl.col("unit").is_in(crossed.implode())).sort("exposed", "unit", "variant")
    for name in config.variants:
        n = int((units["variant"] == name).sum())
        if n < 2:
            raise ExperimentError(f"{path}: variant {name!r} has {n} units, so there is nothing to compare; was it ever shown?")
    return units, len(crossed)


def first_picks(config: ExperimentConfig, path: Path, started: float, now: float) -> pl.DataFrame:
    """How often each variant picked first in an interleaved list: `day`, `variant`, `lists`. No rows if it is not logged."""
    logs = config.logs
    empty = pl.DataFrame(schema={"day": pl.Int64, "variant": pl.String, "lists": pl.UInt32})
    if logs.first is None:
        return empty
    counted = [empty]
    day = ((pl.col("time") - started) / DAY).floor().cast(pl.Int64)
    for frame in rows(path, logs, (logs.first, *((logs.experiment,) if logs.experiment else ())), Rejections()):
        if logs.experiment:
            frame = frame.filter(pl.col(logs.experiment).cast(pl.String) == config.name)
        frame = frame.filter(pl.col("time").is_between(started, now)).with_columns(variant=pl.col(logs.first).cast(pl.String))
        known_teams(config, frame, "variant", path)
        frame = frame.filter(pl.col("variant").is_not_null())
        counted.append(frame.group_by(day.alias("day"), "variant").agg(pl.len().cast(pl.UInt32).alias("lists")))
    return pl.concat(counted).group_by("day", "variant").agg(pl.col("lists").sum())


def known_teams(config: ExperimentConfig, frame: pl.DataFrame, column: str, path: Path) -> None:
    """Teams are variants, or nobody.

    Raises:
        ExperimentError: one is not.
    """
    unknown = frame.filter(pl.col(column).is_not_null() & ~pl.col(column).is_in(list(config.variants)))
    if len(unknown):
        row = unknown.row(0, named=True)
        raise ExperimentError(f"{path} row {row[ROW]}: the team {row[column]!r} is none of {config.name}'s: {', '.join(config.variants)}")
