"""Intervals against scipy and statsmodels, and how often they lie when looked at every day."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from genre.experiments.confidence import Interval, anytime_half, anytime_p, as_share, fixed_half, fixed_p, mixture, none_seen
from genre.experiments.moments import Moments, effect
from genre.experiments.simulation import Kind, World, called, peeking, simulate


def arm(values: np.ndarray) -> Moments:
    return Moments.of(np.column_stack([values, np.ones_like(values), np.zeros_like(values), np.ones_like(values)]))


def test_the_fixed_interval_is_welchs() -> None:
    rng = np.random.default_rng(0)
    control, treatment = rng.exponential(2, 40), rng.exponential(3, 25)
    found = effect(arm(control), arm(treatment))
    welch = stats.ttest_ind(treatment, control, equal_var=False)
    low, high = welch.confidence_interval(0.9)
    half = fixed_half(found.se, found.dof, 0.1)
    assert (found.diff - half, found.diff + half) == pytest.approx((low, high), rel=1e-6)
    assert fixed_p(found.diff, found.se, found.dof) == pytest.approx(welch.pvalue, rel=1e-6)


def test_at_the_planned_size_the_sequence_is_half_as_wide_again() -> None:
    half = anytime_half(np.array(1.0), np.array(5000.0), 5000)
    assert half / stats.norm.ppf(0.975) == pytest.approx(1.5486, abs=1e-4)


def test_the_sequence_by_hand() -> None:
    # rho² = (2 ln 20 + ln(2 ln 20 + 1)) / 100 = 0.079361; with n = 100 units n rho² = 7.9361
    assert mixture(100) * 100 == pytest.approx(7.9361, abs=1e-4)
    by_hand = 0.5 * np.sqrt(2 * 8.93608 / 7.93608 * np.log(np.sqrt(8.93608) / 0.05))
    assert anytime_half(np.array(0.5), np.array(100.0), 100) == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("n", [50.0, 1000.0, 30_000.0])
def test_the_anytime_p_is_the_level_whose_edge_is_zero(n: float) -> None:
    edge = anytime_half(np.array(1.0), np.array(n), 1000)
    assert anytime_p(edge, np.array(1.0), np.array(n), 1000) == pytest.approx(0.05)
    assert anytime_p(np.array(0.0), np.array(1.0), np.array(n), 1000) == 1.0


def test_where_nothing_varies_nothing_is_significant() -> None:
    zero = np.array(0.0)
    assert fixed_p(np.array(1.0), zero, np.array(9.0)) == 1.0
    assert anytime_p(np.array(1.0), zero, np.array(9.0), 10) == 1.0


def test_none_of_so_many_bounds_a_rate_for_all_times() -> None:
    assert none_seen(100) == pytest.approx(1 - 0.05 ** (1 / 100)) == pytest.approx(0.0295, abs=1e-4)
    # by betting all each time: a rate of 3 % must show itself before the bound falls below it, in 19 of 20
    first = np.random.default_rng(0).geometric(0.03, 20_000) - 1
    n = np.argmax([none_seen(n) < 0.03 for n in range(1, 200)]) + 1
    assert (first >= n).mean() <= 0.05


def test_an_interval_knows_its_side() -> None:
    assert Interval(2, 1, 3).above_zero and not Interval(2, 0, 3).above_zero
    assert Interval(-2, -3, -1).below_zero and not Interval(-2, -3, 0).below_zero


def test_a_share_of_control_leaves_out_zero_exactly_when_the_difference_does() -> None:
    rng = np.random.default_rng(1)
    control, treatment = rng.normal(1, 2, (2, 5000))
    each = rng.exponential(0.3, (2, 5000))
    low, high = as_share(control, treatment, each[0], each[1], np.array(3.1))
    diff, half = treatment - control, 3.1 * np.hypot(*each)
    assert ((low > 0) == (diff > half)).all() and ((high < 0) == (-diff > half)).all()
    assert (low > 0).sum() > 100 and (high < 0).sum() > 100
    clear = np.abs(control) > 3.1 * each[0]
    assert np.isfinite([low, high]).all(0).sum() >= clear.sum() and (~clear).any()


def test_a_share_by_hand() -> None:
    # 10 and 12, each known to 1: r with |12 - 10 r| = 2 sqrt(1 + r²) is (120 ± 2 sqrt(240)) / 96
    ends = as_share(*map(np.array, (10.0, 12.0, 1.0, 1.0, 2.0)))
    assert np.ravel(ends) == pytest.approx([(120 - 2 * np.sqrt(240)) / 96 - 1, (120 + 2 * np.sqrt(240)) / 96 - 1])
    # below zero a rise is a rise
    assert np.ravel(as_share(*map(np.array, (-10.0, -12.0, 1.0, 1.0, 2.0)))) == pytest.approx(np.negative(ends[::-1]))
    # control may be nothing: the rise is 5 - 2 sqrt(2) at least, and control 2 at most
    assert np.ravel(as_share(*map(np.array, (0.0, 5.0, 1.0, 1.0, 2.0)))) == pytest.approx([(5 - 2 * np.sqrt(2)) / 2, np.inf])


@pytest.mark.parametrize(
    ("kind", "a_day"),
    [
        ("rate", 40),
        ("rare", 20),
        ("rare", 50),
        ("rare", 100),
        ("mean", 40),
        ("revenue", 50),
        ("ratio", 40),
        ("foreseeable", 40),
        ("growing", 500),
    ],
)
def test_a_thousand_aa_experiments_read_every_day(kind: Kind, a_day: int) -> None:
    world = World(kind, units_a_day=a_day)
    called = peeking(simulate(world, 1000, np.random.default_rng(7)), world.planned)
    alarms = {how: float(ever.mean()) for how, ever in called.items()}
    assert alarms["anytime-valid, read every day"] <= 0.05
    assert alarms["fixed horizon, read every day"] > 0.1
    assert 0.03 <= alarms["fixed horizon, read once at the end"] <= 0.075


@pytest.mark.parametrize("kind", ["rare", "revenue"])
@pytest.mark.parametrize("share", [0.1, 0.9])
def test_arms_of_unequal_size_and_few_events_are_not_called_more_often(kind: Kind, share: float) -> None:
    world = World(kind, units_a_day=50, share=share)
    assert called(simulate(world, 500, np.random.default_rng(9)), world.planned).any(1).mean() <= 0.02


def test_an_effect_is_found_though_read_every_day() -> None:
    world = World("foreseeable", lift=0.2, units_a_day=40)
    called = peeking(simulate(world, 200, np.random.default_rng(8)), world.planned)
    assert called["anytime-valid, read every day"].mean() > 0.95
