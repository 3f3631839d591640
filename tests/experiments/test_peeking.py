"""What a report decides when it is read every day: few events must not make it sure, and a disaster must."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from genre.experiments.comparison import compare
from genre.experiments.decision import Decision, decide
from genre.experiments.definition import ExperimentError
from genre.experiments.guardrails import of_metric
from genre.experiments.loading import parse_experiment
from genre.experiments.moments import Moments
from genre.experiments.srm import RatioCheck

CONFIG = parse_experiment(
    {
        "name": "x",
        "variants": {"a": {}, "b": {}},
        "metrics": {"bought": {"use": "rate", "event": "purchase"}},
        "primary": "bought",
        "planned_units": 1000,
    }
)


def moments(bought_U: np.ndarray) -> Moments:
    return Moments.of(np.column_stack([bought_U, np.ones_like(bought_U), np.zeros_like(bought_U), np.ones_like(bought_U)]))


def arms(a: tuple[int, int], b: tuple[int, int]) -> dict[str, Moments | str]:
    """Buyers of units."""
    return {name: moments(np.repeat([1.0, 0.0], [some, n - some])) for name, (some, n) in {"a": a, "b": b}.items()}


def every_day(control: np.ndarray, treatment: np.ndarray, a_day: int) -> Iterator[Decision]:
    """As a report is read, from the first to the last day but one."""
    for day in range(13):
        n = a_day * (day + 1)
        try:
            found = compare(CONFIG, "bought", "b", [(day, {"a": moments(control[:n]), "b": moments(treatment[:n])})], CONFIG.alpha)
        except ExperimentError:
            continue
        yield decide(CONFIG, day + 1.0, 2 * n, RatioCheck(1.0, 1.0, None), [found], [])


@pytest.mark.parametrize("rate", [0.02, 0.05])
def test_rare_purchases_are_not_called_worse_by_chance(rate: float) -> None:
    rng = np.random.default_rng(0)
    stopped = 0
    for _ in range(120):
        control, treatment = (rng.random((2, 13 * 60)) < rate).astype(float)
        stopped += any(decision.verdict != "hold" for decision in every_day(control, treatment, 60))
    assert stopped <= 2


def test_six_buyers_against_none_are_no_verdict() -> None:
    found = compare(CONFIG, "bought", "b", [(6, arms((6, 120), (0, 120)))], 0.05)
    assert found.last.anytime.low < found.last.anytime.value < 0 < found.last.anytime.high
    worse, told = of_metric(found)
    assert worse is not None and worse.low < 0.1 < worse.high and "too few to say by which share" in told
    assert found.p_anytime > 0.05


@pytest.mark.parametrize(("a", "b", "worse_by"), [((30, 300), (0, 300), 0.1), ((0, 100), (100, 100), -1.0), ((100, 100), (0, 100), 0.5)])
def test_a_disaster_is_certain_long_before_the_planned_size(a: tuple[int, int], b: tuple[int, int], worse_by: float) -> None:
    found = compare(CONFIG, "bought", "b", [(0, arms(a, b))], 0.05)
    worse, _ = of_metric(found)
    assert worse is not None
    assert worse.low > worse_by if worse_by > 0 else worse.high < worse_by


def test_interval_share_and_p_agree_at_every_look() -> None:
    rng = np.random.default_rng(1)
    sides = set()
    for _ in range(300):
        n = int(rng.integers(100, 900))
        a, b = (int(rng.binomial(n, p)) for p in rng.choice([0.02, 0.1, 0.2], 2))
        try:
            found = compare(CONFIG, "bought", "b", [(0, arms((a, n), (b, n)))], 0.05)
        except ExperimentError:
            continue
        at, share = found.last.anytime, found.share
        assert share is not None
        assert (at.above_zero, at.below_zero) == (share.above_zero, share.below_zero)
        assert (found.p_anytime < 0.05) == (at.above_zero or at.below_zero)
        sides.add((found.relative, at.above_zero, at.below_zero))
    assert len(sides) >= 5
