"""The calculator against statsmodels, and planned power against simulated."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import NormalIndPower

from genre.experiments.confidence import anytime_half, fixed_half
from genre.experiments.power import Baseline, days_needed, plan, power, units_needed
from genre.experiments.simulation import World, simulate


@pytest.mark.parametrize(("effect", "wanted", "ratio"), [(0.02, 0.8, 1.0), (0.1, 0.9, 0.25), (-0.05, 0.6, 3.0)])
def test_units_are_those_of_statsmodels(effect: float, wanted: float, ratio: float) -> None:
    spread, share = 5.0, (1 / (1 + ratio), ratio / (1 + ratio))
    theirs = NormalIndPower().solve_power(abs(10 * effect) / spread, alpha=0.05, power=wanted, ratio=ratio)
    found = units_needed(10 * effect, (25.0, 25.0), share, wanted, stats.norm.ppf(0.975))
    assert found == pytest.approx(theirs * (1 + ratio), rel=1e-6)
    n = (theirs, theirs * ratio)
    assert power(10 * effect, (25.0, 25.0), n, 0.05) == pytest.approx(
        NormalIndPower().power(abs(10 * effect) / spread, theirs, 0.05, ratio=ratio), abs=1e-6
    )


def test_planned_power_is_had() -> None:
    p, lift = 0.1, 0.15
    (planned,) = plan(Baseline(p, p * (1 - p), rate=True), [lift])
    n = planned.units // 2
    rng = np.random.default_rng(0)
    control, treatment = rng.binomial(n, p, 20_000) / n, rng.binomial(n, p * (1 + lift), 20_000) / n
    se = np.sqrt(control * (1 - control) / (n - 1) + treatment * (1 - treatment) / (n - 1))
    found = np.abs(treatment - control) > fixed_half(se, np.array(2.0 * n), 0.05)
    assert found.mean() == pytest.approx(0.8, abs=0.02)


def test_with_cuped_fewer_units_do_and_the_sequence_reaches_its_power_at_its_size() -> None:
    # The simulated habit and value have variance 2 each and correlate by 0.7; the value's mean is 2 (0.7 + 0.714).
    mean = 2 * (0.7 + np.sqrt(0.51))
    (planned,) = plan(Baseline(mean, 2.0, correlation=0.7), [0.05])
    assert planned.units_cuped == pytest.approx(0.51 * planned.units, abs=1)
    for units, anytime in ((planned.units_cuped, False), (planned.units_anytime, True)):
        found = simulate(World("foreseeable", 0.05, days=1, units_a_day=units // 2), 400, np.random.default_rng(1))
        half = anytime_half(found.se, found.n, units) if anytime else fixed_half(found.se, found.dof)
        assert (np.abs(found.diff) > half).mean() == pytest.approx(0.8, abs=0.05)


def test_a_lift_makes_the_treatment_vary_more_by_its_square() -> None:
    (found,) = plan(Baseline(10.0, 25.0), [0.2])
    assert found.units == np.ceil(units_needed(2.0, (25.0, 36.0), (0.5, 0.5), 0.8, stats.norm.ppf(0.975)))


def test_more_treatments_share_the_false_alarms_and_need_more() -> None:
    baseline = Baseline(1.0, 4.0)
    two, three = (plan(baseline, [0.1], shares)[0].units for shares in ((0.5, 0.5), (1 / 3, 1 / 3, 1 / 3)))
    assert three > 1.5 * two


def test_days_follow_the_units_that_come() -> None:
    arrived = np.array([1000.0, 1800.0, 2400.0])
    assert [days_needed(units, arrived) for units in (1, 1000, 1001, 2400, 2401)] == [1, 1, 2, 3, None]


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Baseline(0.0, 1.0), "not zero"),
        (lambda: Baseline(1.0, 0.0), "varies"),
        (lambda: Baseline(float("nan"), 1.0), "not zero"),
        (lambda: Baseline(1.5, 1.0, rate=True), "a rate between 0 and 1"),
        (lambda: plan(Baseline(1.0, 1.0), [0.0]), "cannot be planned"),
        (lambda: plan(Baseline(0.6, 0.24, rate=True), [0.7]), "leaves no rate"),
        (lambda: plan(Baseline(1.0, 1.0), [0.1], (0.5, 0.6)), "sum to 1"),
    ],
)
def test_what_cannot_be_planned_is_said(make: object, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()  # type: ignore[operator]
