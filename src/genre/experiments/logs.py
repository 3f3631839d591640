"""Logs to sums: who was first shown what and when, and what each unit did by day; files of any size, a chunk at a time."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import dataclass, field

import polars as pl

from genre.data.readers.rejection import NothingRead, Rejections
from genre.experiments.arms import against_assignments, first_picks, first_shows, one_variant
from genre.experiments.definition import ExperimentConfig, ExperimentError
from genre.experiments.metrics import valued
from genre.experiments.rows import rows
from genre.experiments.sums import DAY, Sums


@dataclass(frozen=True)
class Log:
    """What happened, as sums.

    Attributes:
        units: one row a unit: `unit`, `variant`, `exposed` (unix seconds of its first show); two where both variants are interleaved.
        daily: `row` (of `units`), `day` of the experiment, `age` in days since first show, and each metric's sums.
        before: `row` and the sums of the days before first show.
        answers: `row` and `latency` of every list, if there is a column for it.
        shown: `row` and `item`, each pair once, if coverage is guarded.
        started, now: unix seconds.
        crossed: units left out because they were shown two variants.
        strangers: events of units that were never exposed; of an interleaved experiment, events that credit neither variant.
        rejected: rows that could not be read: `file`, `row`, `reason`, `content`.
        firsts: of an interleaved experiment: `day`, `variant`, and `lists` in which it picked first.
    """

    units: pl.DataFrame
    daily: pl.DataFrame
    before: pl.DataFrame
    answers: pl.DataFrame
    shown: pl.DataFrame
    started: float
    now: float
    crossed: int = 0
    strangers: int = 0
    rejected: pl.DataFrame = field(default_factory=pl.DataFrame)
    firsts: pl.DataFrame = field(default_factory=pl.DataFrame)

    @property
    def days(self) -> int:
        """Days begun."""
        return int((self.now - self.started) // DAY) + 1


def read_logs(config: ExperimentConfig, started: float | None = None, now: float | None = None, quiet: bool = False) -> Log:
    """Read an experiment's logs.

    Args:
        started: unix seconds; None takes the first exposure. Rows before do not count, but for CUPED.
        now: unix seconds; None takes the last row of the logs. Rows after do not count.
        quiet: that nobody did anything yet is no mistake.

    Raises:
        ExperimentError: no log is named, a variant is unknown or has nobody, a unit has two variants, or a summed value is missing.
        ReadError: a file or a column is missing.
    """
    logs, rejections = config.logs, Rejections()
    shows = logs.exposures or logs.assignments
    if shows is None or logs.events is None:
        missing = "logs.exposures (or logs.assignments)" if shows is None else "logs.events"
        raise ExperimentError(f"{config.name}: {missing} does not say which file to read")
    seen = first_shows(config, shows, rejections, started, now)
    if logs.exposures is not None and logs.assignments is not None:
        seen = against_assignments(seen, first_shows(config, logs.assignments, rejections, None, None), logs.assignments)
    units, crossed = one_variant(config, seen, shows)
    begun = float(units["exposed"][0]) if started is None else started
    sums = Sums(config, units, begun, now)
    read = [logs.event, *([logs.value] if valued(config.metrics) else []), *([logs.team] if logs.team else [])]
    with suppress(NothingRead) if quiet else nullcontext():
        for frame in rows(logs.events, logs, read, rejections):
            sums.add_events(frame, logs.events)
    if logs.exposures is not None and sums.reads_exposures:
        columns = [name for name in (logs.experiment, logs.latency, logs.degraded) if name]
        for frame in rows(logs.exposures, logs, columns, Rejections(), [logs.items] if logs.items else []):
            sums.add_exposures(frame, logs.exposures)
    daily, before, answers, shown = sums.tables()
    latest = max(sums.latest, float(units["exposed"][-1])) if now is None else now
    firsts = first_picks(config, shows, begun, latest) if config.interleave else pl.DataFrame()
    return Log(units, daily, before, answers, shown, begun, latest, crossed, sums.strangers, rejections.frame(), firsts)
