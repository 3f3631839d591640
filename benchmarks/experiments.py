"""Experiments: false alarms of each way to read one, how soon a broken split is found, and power as planned.

    python benchmarks/experiments.py > benchmarks/RESULTS-experiments.md

Everything is simulated with a known truth and a fixed seed; about a minute on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from genre.experiments.comparison import EARLY
from genre.experiments.confidence import fixed_half
from genre.experiments.interleaving import preference
from genre.experiments.moments import Effect
from genre.experiments.power import Baseline, plan
from genre.experiments.simulation import Kind, World, called, peeking, simulate
from genre.experiments.srm import check_ratio

KINDS: dict[Kind, str] = {
    "rate": "rate of 10 %",
    "rare": "rate of 2 %",
    "mean": "mean (lognormal)",
    "revenue": "revenue: 5 % pay a lognormal sum",
    "ratio": "ratio, delta method",
    "foreseeable": "mean with CUPED (correlation 0.7)",
    "growing": "mean, all units on day 1, values grow",
}
DAYS = 28
WORLDS = (
    World("rate", units_a_day=100), World("rare", units_a_day=20), World("rare", units_a_day=50), World("rare", units_a_day=100),
    World("mean", units_a_day=100), World("revenue", units_a_day=50), World("ratio", units_a_day=100),
    World("foreseeable", units_a_day=100), World("growing", units_a_day=500),
    World("rare", units_a_day=50, share=0.1), World("rare", units_a_day=50, share=0.9),
    World("revenue", units_a_day=50, share=0.1), World("revenue", units_a_day=50, share=0.9),
)  # fmt: skip


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    n = asked.simulations
    print("# Experiments, simulated\n")
    print(f"`python benchmarks/experiments.py`, seed {asked.seed}. ± is two standard errors of a share of simulated experiments.\n")
    print("## A/A experiments read every day\n")
    print(f"{n:,} experiments a row with no effect, {DAYS} days, level 5 %, no interval before each arm has 100 units. "
          "An experiment counts once the interval of its lift, which decides, leaves out zero on any day, to either side.\n")  # fmt: skip
    ways = ["fixed horizon, at the end", "fixed horizon, every day", "anytime-valid, every day"]
    table(["metric", "units a day and arm", "treated", *ways], alarms(n, asked.seed))
    print("\nThe anytime-valid interval is 1.55 times as wide as the fixed-horizon one at the planned size.\n")
    print("## What early looks cost and bring\n")
    print("Lift of 3 % of a mean with CUPED, planned for 80 % power by each method; shares of experiments that find it, and when.\n")
    table(["read by", "planned units", "found by the end", "median units when found"], early(n // 5, asked.seed))
    print(f"\n## A rate of 2 %, read every day\n\n{n:,} experiments a row by the anytime-valid interval, {DAYS} days. Planned for 80 % "
          "power where it says so. "
          "`Beyond` is a guardrail's verdict that the worsening is certainly more than the margin; "
          f"these are tightest at {EARLY:,} units.\n")  # fmt: skip
    table(["true change", "units a day and arm", "asked", "found by the end", "median units when found"], rare(n, asked.seed))
    print("\n## Sample ratio mismatch\n")
    print(f"{n // 5:,} experiments a row, 2,000 units a day, read every day for 100 days; alarm at an e-value of 100 (1 %).\n")
    table(["true split", "alarms", "median units at the alarm", "nine in ten of these by"], mismatch(n // 5, asked.seed))
    print("\n## Power as planned\n")
    print(f"{n:,} experiments a row, fixed horizon, level 5 %, planned for 80 %.\n")
    table(["metric", "lift", "units", "found"], powers(n, asked.seed))
    print("\n## Interleaving against two arms\n")
    print("A user clicks on Poisson(0.5) items of the first ranking or Poisson(0.55) of the second, times how active the user is (gamma "
          "of mean 1); half of an interleaved list is of either team. The less alike users are, the more it helps that each sees both. "
          f"{n // 5:,} experiments a row, fixed horizon, level 5 %.\n")  # fmt: skip
    table(["units", "activity, gamma shape", "two arms find it", "interleaving finds it"], sensitivities(n // 5, asked.seed))


def alarms(n: int, seed: int) -> Iterator[list[str]]:
    """A row a kind of metric."""
    for world in WORLDS:
        found = after(simulate(world, n, np.random.default_rng(seed)), world)
        a_day = f"{world.units_a_day} (500 in all)" if world.kind == "growing" else f"{world.units_a_day}"
        yield [KINDS[world.kind], a_day, f"{world.share:.0%}", *(share(ever) for ever in peeking(found, world.planned).values())]


def early(n: int, seed: int) -> Iterator[list[str]]:
    """A row a method."""
    mean = 2 * (0.7 + np.sqrt(0.51))
    (planned,) = plan(Baseline(mean, 2.0, correlation=0.7), [0.03])
    for label, units in (("fixed horizon, at the end", planned.units_cuped), ("anytime-valid, every day", planned.units_anytime)):
        world = World("foreseeable", 0.03, DAYS, units // (2 * DAYS))
        found = simulate(world, n, np.random.default_rng(seed))
        if "fixed" in label:
            hits = np.asarray(np.abs(found.diff[:, -1]) > fixed_half(found.se[:, -1], found.dof[:, -1]))
            yield [label, f"{world.planned:,}", share(hits), f"{world.planned:,}"]
        else:
            yield [label, f"{world.planned:,}", *when(called(found, world.planned), found)]


def rare(n: int, seed: int) -> Iterator[list[str]]:
    """A row a true change."""
    for lift in (0.2, 0.5):
        (planned,) = plan(Baseline(0.02, 0.02 * 0.98, rate=True), [lift])
        world = World("rare", lift, DAYS, planned.units_anytime // (2 * DAYS))
        found = after(simulate(world, n, np.random.default_rng(seed)), world)
        yield [
            f"{lift:+.0%}",
            f"{world.units_a_day:,}",
            f"not zero ({world.planned:,} planned)",
            *when(called(found, world.planned), found),
        ]
    for lift, margin in ((0.5, 0.5), (1.0, 0.5), (4.0, 0.5), (-0.2, 0.2), (-0.5, 0.2), (-1.0, 0.2)):
        world = World("rare", lift, DAYS, 200)
        found = after(simulate(world, n, np.random.default_rng(seed)), world)
        yield [f"{lift:+.0%}", "200", f"beyond {margin:.0%}", *when(called(found, EARLY, margin=margin), found)]


def after(found: Effect, world: World) -> Effect:
    """Without the days on which an arm has fewer than 100 units."""
    late = int(np.ceil(100 / min(world.arms_a_day))) - 1
    return Effect(*(getattr(found, name)[:, late:] for name in Effect.__dataclass_fields__))


def when(at: np.ndarray, found: Effect) -> tuple[str, str]:
    """How many are ever called, and by how many units half of these are."""
    hits = np.asarray(at.any(1))
    return share(hits), f"{int(np.median(found.n[hits, at[hits].argmax(1)])):,}" if hits.sum() > 1 else "–"


def mismatch(n: int, seed: int) -> Iterator[list[str]]:
    """A row a true split, against a planned 50/50."""
    rng = np.random.default_rng(seed)
    for truth in (0.5, 0.505, 0.51, 0.52, 0.55):
        first = rng.binomial(2000, truth, (n, 100))
        counts = np.cumsum(np.stack([first, 2000 - first], -1), 1)
        alarm = [check_ratio(counts_DV, np.array([0.5, 0.5])).alarm for counts_DV in counts]
        rang = np.array([day is not None for day in alarm])
        units = [2000 * (day + 1) for day in alarm if day is not None]
        ends = [f"{int(np.quantile(units, q)):,}" if truth != 0.5 else "–" for q in (0.5, 0.9)]
        yield [f"{100 * truth:g} / {100 - 100 * truth:g}", share(rang), *ends]


def powers(n: int, seed: int) -> Iterator[list[str]]:
    """A row a metric and lift."""
    rng = np.random.default_rng(seed)
    rate = Baseline(0.1, 0.09, rate=True)
    habit = Baseline(2 * (0.7 + np.sqrt(0.51)), 2.0, correlation=0.7)
    for lift in (0.05, 0.1, 0.2):
        (planned,) = plan(rate, [lift])
        half = planned.units // 2
        control, treatment = (rng.binomial(half, 0.1 * factor, n) / half for factor in (1.0, 1 + lift))
        se = np.sqrt((control * (1 - control) + treatment * (1 - treatment)) / (half - 1))
        found = np.abs(treatment - control) > fixed_half(se, np.asarray(2.0 * half - 2))
        yield ["rate of 10 %", f"{lift:.0%}", f"{planned.units:,}", share(found)]
    for lift in (0.05, 0.1):
        (planned,) = plan(habit, [lift])
        effects = simulate(World("foreseeable", lift, 1, planned.units_cuped // 2), n, np.random.default_rng(seed))
        found = (np.abs(effects.diff) > fixed_half(effects.se, effects.dof))[:, 0]
        yield ["mean with CUPED", f"{lift:.0%}", f"{planned.units_cuped:,}", share(found)]


def sensitivities(n: int, seed: int) -> Iterator[list[str]]:
    """A row a size."""
    rng = np.random.default_rng(seed)
    for shape, units in ((2.0, 2000), (2.0, 5000), (0.3, 2000), (0.3, 5000), (0.3, 10_000)):
        arms, drafts = np.empty(n, np.bool_), np.empty(n, np.bool_)
        for i in range(n):
            active = rng.gamma(shape, 1 / shape, units)
            clicks = rng.poisson(active * np.where(np.arange(units) % 2, 0.55, 0.5))
            first, second = clicks[::2], clicks[1::2]
            se = np.sqrt(first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second))
            arms[i] = abs(second.mean() - first.mean()) > fixed_half(se, np.asarray(units - 2.0))
            drafts[i] = preference(rng.poisson(active * 0.25), rng.poisson(active * 0.275)).p < 0.05
        yield [f"{units:,}", f"{shape:g}", share(arms), share(drafts)]


def share(hits: np.ndarray) -> str:
    """A share of simulated experiments with two standard errors."""
    p = float(np.mean(hits))
    return f"{p:.1%} ±{2 * np.sqrt(p * (1 - p) / len(hits)):.1%}"


def table(header: list[str], rows: Iterator[list[str]]) -> None:
    """As Markdown, a row as soon as it is known."""
    print(f"| {' | '.join(header)} |\n| {' | '.join('---' for _ in header)} |", flush=True)
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
