"""Sums: chunks of rows added up a unit and day, so that memory follows the number of units and not of events."""

# U units

from __future__ import annotations

from pathlib import Path

import polars as pl

from genre.data.readers.delimited import ROW
from genre.data.readers.values import numbers
from genre.experiments.arms import known_teams
from genre.experiments.definition import CoverageGuardrail, ExperimentConfig, ExperimentError
from genre.experiments.metrics import SHOWN, row_sums, sum_columns, valued

DAY = 86_400.0
FOLD_ROWS = 2_000_000
FLAGS = {"1": 1.0, "1.0": 1.0, "true": 1.0, "yes": 1.0, "0": 0.0, "0.0": 0.0, "false": 0.0, "no": 0.0}


class Sums:
    """Adds up chunks of rows a unit and day."""

    def __init__(self, config: ExperimentConfig, units: pl.DataFrame, started: float, now: float | None) -> None:
        """Begin with the exposed units: `unit` and `exposed`, and `variant` where it says whose an event is."""
        self.config, self.started, self.now = config, started, float("inf") if now is None else now
        self.latest, self.strangers = float("-inf"), 0
        whose = [pl.col("variant").alias("team")] if config.interleave else []
        self._by = ["unit", "team"] if config.interleave else ["unit"]
        self._key = units.select("unit", *whose, "exposed", pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"))
        self._daily, self._before = list[pl.DataFrame](), list[pl.DataFrame]()
        self._fold_at = FOLD_ROWS
        self._answers, self._shown = list[pl.DataFrame](), list[pl.DataFrame]()
        self._columns, self._valued = sum_columns(config.metrics), sorted(valued(config.metrics))
        self._covers = any(isinstance(rail, CoverageGuardrail) for rail in config.guardrails.values())

    @property
    def reads_exposures(self) -> bool:
        """Whether rows of the exposures are more than first shows."""
        counted = any(metric.denominator() == SHOWN or SHOWN in metric.numerator() for metric in self.config.metrics.values())
        return counted or self._covers or self.config.logs.latency is not None

    def add_events(self, frame: pl.DataFrame, path: Path) -> None:
        """Rows of the events.

        Raises:
            ExperimentError: a row lacks the value that a metric sums.
        """
        logs = self.config.logs
        value = numbers(frame[logs.value]) if self._valued else pl.repeat(None, len(frame), dtype=pl.Float64, eager=True)
        team = [pl.col(logs.team).cast(pl.String).replace("", None).alias("team")] if self.config.interleave and logs.team else []
        frame = frame.select("unit", "time", pl.col(logs.event).cast(pl.String).alias("event"), value.alias("value"), *team, ROW)
        if team:
            known_teams(self.config, frame, "team", path)
        ours = frame.join(self._key, on=self._by, how="inner")
        self.strangers += len(frame) - len(ours)
        broken = ours.filter(pl.col("event").is_in(self._valued) & pl.col("value").is_null())
        if len(broken):
            row = broken.row(0, named=True)
            raise ExperimentError(f"{path} row {row[ROW]}: the {row['event']!r} of unit {row['unit']!r} has no number as its {logs.value}")
        self._add(ours)
        reach = DAY * (self.config.cuped_days or 0)
        before = ours.filter((pl.col("time") < pl.col("exposed")) & (pl.col("time") >= pl.col("exposed") - reach))
        if len(before):
            self._before.append(before.group_by("row").agg(row_sums(self.config.metrics, pl.col("event"), pl.col("value"))))

    def add_exposures(self, frame: pl.DataFrame, path: Path) -> None:
        """Rows of the exposures, each a list that was shown.

        Raises:
            ExperimentError: a latency is no number, or a degraded flag no flag.
        """
        logs = self.config.logs
        if logs.experiment:
            frame = frame.filter(pl.col(logs.experiment).cast(pl.String) == self.config.name)
        frame = frame.with_columns(pl.lit(SHOWN).alias("event"), pl.lit(0.0).alias("value"))
        if logs.degraded:
            flags = frame[logs.degraded].cast(pl.String).str.to_lowercase().replace_strict(FLAGS, default=None, return_dtype=pl.Float64)
            self._refuse_null(frame, flags, logs.degraded, path, "0 or 1, true or false")
            frame = frame.with_columns(flags.alias("value"))
        if logs.latency:
            latency = numbers(frame[logs.latency])
            self._refuse_null(frame, latency, logs.latency, path, "a number of milliseconds")
            frame = frame.with_columns(latency.alias("latency"))
        ours = frame.join(self._key, on="unit", how="inner").filter(pl.col("time").is_between(pl.col("exposed"), self.now))
        self._add(ours)
        if logs.latency:
            self._answers.append(ours.select("row", "latency"))
        if self._covers and logs.items:
            items = ours[logs.items]
            lists = items.str.replace_all("|", " ", literal=True).str.split(" ") if items.dtype == pl.String else items
            pairs = ours.select("row", lists.cast(pl.List(pl.String)).alias("item")).explode("item")
            self._shown.append(pairs.filter(pl.col("item").is_not_null() & (pl.col("item") != "")).unique())

    def tables(self) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        """Sums by day, sums before the first show, answers, and items shown."""
        nothing = pl.DataFrame(schema={"row": pl.UInt32, "latency": pl.Float64}), pl.DataFrame(schema={"row": pl.UInt32, "item": pl.String})
        return (
            self._folded(self._daily, ["row", "day", "age"]),
            self._folded(self._before, ["row"]),
            pl.concat([nothing[0], *self._answers]),
            pl.concat([nothing[1], *self._shown]).unique(),
        )

    def _refuse_null(self, frame: pl.DataFrame, read: pl.Series, column: str, path: Path, wanted: str) -> None:
        if read.null_count():
            row = frame.filter(read.is_null()).row(0, named=True)
            raise ExperimentError(f"{path} row {row[ROW]}: {column} is {row[column]!r}, not {wanted}")

    def _add(self, ours: pl.DataFrame) -> None:
        """Rows at or after the unit's first show, before now, and within its window."""
        age, window = (pl.col("time") - pl.col("exposed")) / DAY, self.config.window_days
        ours = ours.filter((age >= 0) & (pl.col("time") <= self.now))
        if not len(ours):
            return
        self.latest = max(self.latest, float(ours["time"].max()))  # type: ignore[arg-type]
        ours = ours.filter(age < (float("inf") if window is None else window)).with_columns(
            age.floor().cast(pl.Int32).alias("age"), ((pl.col("time") - self.started) / DAY).floor().cast(pl.Int32).alias("day")
        )
        self._daily.append(ours.group_by("row", "day", "age").agg(row_sums(self.config.metrics, pl.col("event"), pl.col("value"))))
        # Doubling, since what was folded stays as long as there are units and days.
        if sum(map(len, self._daily)) > self._fold_at:
            self._daily = [self._folded(self._daily, ["row", "day", "age"])]
            self._fold_at = max(FOLD_ROWS, 2 * len(self._daily[0]))

    def _folded(self, parts: list[pl.DataFrame], keys: list[str]) -> pl.DataFrame:
        types = {"row": pl.UInt32, "day": pl.Int32, "age": pl.Int32}
        empty = pl.DataFrame(schema={**{key: types[key] for key in keys}, **dict.fromkeys(self._columns, pl.Float64)})
        return pl.concat([empty, *parts]).group_by(keys).agg(pl.col(self._columns).sum()).sort(keys)
