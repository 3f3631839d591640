"""Guardrails of latency and coverage, simulated: how often they stop what is not worse, read every day, and how soon what is.

    python benchmarks/guardrails.py

A few minutes on one core.
"""

# U units, A answers, S pairs of unit and item

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import polars as pl

from experiments import share, table
from genre.experiments.comparison import EARLY
from genre.experiments.definition import ExperimentConfig
from genre.experiments.guardrails import guard
from genre.experiments.loading import parse_experiment
from genre.experiments.logs import Log
from genre.experiments.sums import DAY

DAYS, ITEMS, LISTS, PLACES = 28, 500, 5, 10


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(
        f"{asked.simulations:,} experiments a row, {DAYS} days, read every day, level 5 %, tightest at {EARLY:,} units. A unit has {LISTS} "
        "lists, all on its first day. Of latency: lognormal answers (0.5) around a time of the unit's own (0.3). Of coverage: ten of "
        f"{ITEMS} items, whose chances fall with the square root of their rank.\n"
    )
    header = ["guardrail", "margin", "truth", "units a day and arm", "stopped by the end", "median units when stopped"]
    table(header, rows(asked.simulations, asked.seed))


def rows(n: int, seed: int) -> Iterator[list[str]]:
    """A row a truth: times so much as slow, or of so much of the catalogue."""
    for margin, slower, a_day in ((0.0, 1.0, 20), (0.0, 1.0, 100), (0.2, 1.2, 100), (0.2, 1.0, 100), (0.2, 1.5, 100), (0.2, 2.0, 100)):
        rail = {"use": "latency", "margin": margin}
        found = [stopped(config(rail), latency(np.random.default_rng([seed, i]), slower, a_day)) for i in range(n)]
        yield ["latency, p99", f"{margin:.0%}", "the same" if slower == 1 else f"{slower:g} times as slow", f"{a_day}", *told(found)]
    for margin, kept, a_day in ((0.0, 1.0, 20), (0.0, 1.0, 100), (0.2, 1.0, 100), (0.2, 0.8, 100), (0.2, 0.7, 100), (0.2, 0.5, 100)):
        rail = {"use": "coverage", "margin": margin}
        found = [stopped(config(rail), coverage(np.random.default_rng([seed, i]), kept, a_day)) for i in range(n)]
        yield ["coverage", f"{margin:.0%}", "the same" if kept == 1 else f"{kept:.0%} of the items", f"{a_day}", *told(found)]


def config(rail: dict[str, object]) -> ExperimentConfig:
    """An experiment that is watched by one guardrail."""
    arms = {"variants": {"a": {}, "b": {}}, "metrics": {"clicks": {"use": "mean", "event": "click"}}, "primary": "clicks"}
    logs = {"latency": "ms", "items": "items"}
    return parse_experiment({"name": "x", **arms, "guardrails": {"rail": rail}, "logs": logs})


def latency(rng: np.random.Generator, slower: float, a_day: int) -> Log:
    """The whole log of an experiment."""
    units, of_b = arrivals(a_day)
    row_A = np.repeat(np.arange(len(units)), LISTS)
    usual_U = np.exp(rng.normal(3.0, 0.3, len(units)))
    times_A = (usual_U * np.where(of_b, slower, 1.0))[row_A] * np.exp(rng.normal(0.0, 0.5, len(row_A)))
    return log(units, answers=pl.DataFrame({"row": row_A, "latency": times_A}))


def coverage(rng: np.random.Generator, kept: float, a_day: int) -> Log:
    """The whole log of an experiment whose treatment never shows every so many-th item, popular or not."""
    units, of_b = arrivals(a_day)
    chance_N = (np.arange(ITEMS) + 10.0) ** -0.5
    narrow_N = np.where(np.floor(np.arange(ITEMS) * kept) != np.floor((np.arange(ITEMS) + 1) * kept), chance_N, 0.0)
    picked = [rng.choice(ITEMS, (len(units), PLACES), p=chances / chances.sum()) for chances in (chance_N, narrow_N)]
    item_UP = np.where(of_b[:, None], picked[1], picked[0])
    shown = pl.DataFrame({"row": np.repeat(np.arange(len(units)), PLACES), "item": item_UP.ravel()}).unique(maintain_order=True)
    return log(units, shown=shown)


def arrivals(a_day: int) -> tuple[pl.DataFrame, np.ndarray]:
    """Both arms' units in the order of their days, and which are of the treatment."""
    n = 2 * a_day * DAYS
    of_b = np.arange(n) % 2 == 1
    exposed = np.arange(n) // (2 * a_day) * DAY
    variants = np.where(of_b, "b", "a")
    return pl.DataFrame({"unit": np.arange(n).astype(str), "variant": variants, "exposed": exposed.astype(float)}), of_b


def log(units: pl.DataFrame, **more: pl.DataFrame) -> Log:
    """With nothing in it but what is given."""
    none = pl.DataFrame()
    return Log(units, none, none, more.get("answers", none), more.get("shown", none), 0.0, DAYS * DAY - 1)


def stopped(config: ExperimentConfig, whole: Log) -> int | None:
    """Units by the end of the first day on which the guardrail is broken."""
    for day in range(DAYS):
        n = int((whole.units["exposed"] < (day + 1) * DAY).sum())
        tables = {name: table.filter(pl.col("row") < n) for name in ("answers", "shown") if len(table := getattr(whole, name))}
        seen = log(whole.units.head(n), **tables)
        if guard(config, seen, (), config.alpha_each)[0].state == "broken":
            return n
    return None


def told(found: list[int | None]) -> tuple[str, str]:
    """How many, and by how many units half of these."""
    at = [n for n in found if n is not None]
    return share(np.array([n is not None for n in found])), f"{int(np.median(at)):,}" if at else "–"


if __name__ == "__main__":
    main()
