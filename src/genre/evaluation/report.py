"""The report: one self-contained page with the ladder, what it costs, where it fails, and lists of real users."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from genre.data.leaks import Check
from genre.evaluation.ladder import Ladder, Verdict, number
from genre.evaluation.result import Group, Result
from genre.pages import environment, write_page

ABSENT = "–"
MEANING = {
    "coverage": "share of the catalogue that is in at least one list",
    "gini": "inequality of the places items get: 0 if all get as many, 1 if one gets all",
    "novelty": "bits of surprise an item, by how often it occurs in training",
    "tail_share": "share of places given to items outside the head, the fewest items that hold most interactions",
    "diversity": "mean distance (1 − cosine of content) between two items of a list",
    "miscalibration": "bits by which a list's mix of categories strays from the history's (Kullback-Leibler); 0 is the same mix",
    "mix_distance": "the same as a distance between 0 and 1 (Jensen-Shannon)",
}
"""What the measures beyond accuracy say, by the part of their name before the `@`."""


@dataclass(frozen=True)
class Example:
    """One user: history newest first, a list of titles by rung, and what really came next."""

    user: str
    history: list[str]
    lists: dict[str, list[str]]
    targets: list[str]


@dataclass(frozen=True)
class Mark:
    """A rung in the plot: its texts, and where dot (`x`) and interval lie, in percent of the width."""

    label: str
    verdict: Verdict
    figure: str
    cost: str
    low: float
    x: float
    high: float


@dataclass(frozen=True)
class Tick:
    """A value on the axis, `x` in percent of the width."""

    x: float
    label: str


def write_report(
    file: Path,
    ladder: Ladder,
    results: Mapping[str, Result],
    dataset: Mapping[str, str],
    checks: Sequence[Check],
    examples: Sequence[Example],
) -> None:
    """Make the page and write it.

    Args:
        results: by the names of the ladder's rungs; where that has several seeds, those of one of them.
        dataset: what is known of the data, a label and a text a line.
    """
    header, rows = ladder.table()
    marks, ticks = plot(ladder)
    page = (
        environment("genre.evaluation")
        .get_template("report.html")
        .render(
            ladder=ladder,
            best=max(ladder.rungs, key=lambda rung: rung.metrics[ladder.main].mean),
            seeds=max(rung.seeds for rung in ladder.rungs),
            level=f"{100 * ladder.protocol.level:g} %",
            header=header,
            rows=rows,
            marks=marks,
            ticks=ticks,
            results=results,
            masks=(ladder.protocol.history, ladder.protocol.masking_the_other_way().history),
            groups=group_tables(results, ladder.main),
            measures=list(dict.fromkeys(name for result in results.values() for name in result.beyond)),
            meaning=MEANING,
            dataset=dataset,
            checks=checks,
            examples=examples,
        )
    )
    write_page(file, page)


def plot(ladder: Ladder) -> tuple[list[Mark], list[Tick]]:
    """Where each rung's dot and interval lie, and the ticks of the axis, which starts at zero."""
    largest = max(rung.metrics[ladder.main].high for rung in ladder.rungs)
    step = tick_step(largest)
    # Without rounding first, 0.6 / 0.2 and its like may come out a hair above a whole number and add a tick.
    n_steps = max(1, math.ceil(round(largest / step, 9)))

    def across(value: float) -> float:
        return round(100 * value / (n_steps * step), 2)

    marks = []
    for rung in ladder.rungs:
        value, cost = rung.metrics[ladder.main], f"{number(rung.cpu_seconds)} CPU s"
        low, x, high = across(value.low), across(value.mean), across(value.high)
        marks.append(Mark(rung.label, rung.verdict(ladder.main), str(value), cost, low, x, high))
    return marks, [Tick(across(step * i), f"{step * i:.3g}") for i in range(n_steps + 1)]


def tick_step(largest: float) -> float:
    """A round step, 1, 2 or 5 times a power of ten, of which at most five reach the largest value."""
    if largest <= 0:
        return 1.0
    power = math.floor(math.log10(largest)) - 1
    steps = [factor * 10.0**power for factor in (1, 2, 5, 10, 20)]
    return next(step for step in steps if largest <= 5 * step * (1 + 1e-9))


def group_tables(results: Mapping[str, Result], metric: str) -> list[tuple[str, list[Group], dict[str, list[str]]]]:
    """Two tables: in words what they group by, their columns, and a row of values a rung.

    Empty groups are left out, but for the cold ones: that there are none is worth knowing.
    """
    found = {name: {(group.kind, group.label): group for group in result.groups} for name, result in results.items()}
    # A group that a result lacks has a dash there; how many users are in it is the same in all that have it.
    every = {key: group for groups in found.values() for key, group in groups.items()}
    shown = [key for key, group in every.items() if group.users or group.label.startswith("cold")]
    tables = []
    for words, history in (
        ("by whether training knew the right item, and by how much is known of the user.", False),
        ("by the number of events in the history.", True),
    ):
        keys = [key for key in shown if (key[0] == "history") == history]
        rows = {
            name: [str(groups[key].metrics.get(metric, ABSENT)) if key in groups else ABSENT for key in keys]
            for name, groups in found.items()
        }
        if keys:
            tables.append((words, [every[key] for key in keys], rows))
    return tables
