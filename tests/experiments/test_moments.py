"""Effects between arms against regressions of statsmodels: the delta method, CUPED, lifts."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from genre.experiments.confidence import as_share
from genre.experiments.cuped import slope
from genre.experiments.moments import Moments, effect
from genre.experiments.simulation import cumulative


def sums(rng: np.random.Generator, n: int, lift: float = 1.0) -> np.ndarray:
    """Units with impressions, clicks, and both before."""
    habit = rng.beta(2, 8, n)
    shown, before = 1 + rng.poisson(4, n), rng.poisson(6, n)
    return np.column_stack([rng.binomial(shown, np.minimum(habit * lift, 1.0)), shown, rng.binomial(before, habit), before]).astype(float)


def per_unit(sums_UK: np.ndarray) -> np.ndarray:
    """The same with units below the line."""
    done = sums_UK.copy()
    done[:, [1, 3]] = 1.0
    return done


def test_a_difference_of_means_is_that_of_statsmodels() -> None:
    rng = np.random.default_rng(1)
    control, treatment = per_unit(sums(rng, 300)), per_unit(sums(rng, 200, 1.2))
    found = effect(Moments.of(control), Moments.of(treatment))
    theirs = CompareMeans(DescrStatsW(treatment[:, 0]), DescrStatsW(control[:, 0]))
    assert found.diff == pytest.approx(treatment[:, 0].mean() - control[:, 0].mean(), rel=1e-9)
    assert found.se == pytest.approx(theirs.std_meandiff_separatevar, rel=1e-6)
    assert found.dof == pytest.approx(theirs.dof_satt(), rel=1e-6)
    assert float(found.n) == 500 and float(found.reduction) == 0


def test_a_ratio_has_the_error_of_rows_clustered_by_unit() -> None:
    units = sums(np.random.default_rng(2), 250)
    clicked = np.concatenate([np.repeat([1.0, 0.0], [int(clicks), int(shown - clicks)]) for clicks, shown, *_ in units])
    owner = np.repeat(np.arange(len(units)), units[:, 1].astype(int))
    theirs = sm.OLS(clicked, np.ones(len(clicked))).fit(cov_type="cluster", cov_kwds={"groups": owner})
    arm = Moments.of(units)
    gradient, _ = arm.gradients()
    assert arm.value == pytest.approx(theirs.params[0], rel=1e-9)
    assert np.sqrt(gradient @ arm.cov_KK @ gradient / arm.n) == pytest.approx(theirs.bse[0], rel=1e-6)


def test_cuped_is_the_analysis_of_covariance() -> None:
    rng = np.random.default_rng(3)
    control, treatment = per_unit(sums(rng, 400)), per_unit(sums(rng, 300, 1.3))
    found = effect(Moments.of(control), Moments.of(treatment), cuped=True)
    both = np.concatenate([control, treatment])
    treated = np.repeat([0.0, 1.0], [400, 300])
    theirs = sm.OLS(both[:, 0], np.column_stack([np.ones(700), treated, both[:, 2]])).fit()
    assert found.diff == pytest.approx(theirs.params[1], rel=1e-6)
    assert 0.02 < found.reduction < 0.9


def test_cuped_takes_out_what_was_there_before_and_keeps_the_effect() -> None:
    rng = np.random.default_rng(4)
    before = rng.normal(10, 3, 2000)
    control, treatment = before[:1000], before[1000:] + 0.4  # the treatment drew keener users and adds 0.5
    arms = [
        np.column_stack([habit + extra + rng.normal(0, 0.1, 1000), np.ones(1000), habit, np.ones(1000)])
        for habit, extra in ((control, 0.0), (treatment, 0.5))
    ]
    plain, adjusted = (effect(Moments.of(arms[0]), Moments.of(arms[1]), cuped=cuped) for cuped in (False, True))
    assert adjusted.diff == pytest.approx(0.5, abs=0.02)
    assert abs(plain.diff - 0.5) > 0.2
    assert adjusted.se < plain.se / 10
    assert adjusted.reduction == pytest.approx(1 - (adjusted.se / plain.se) ** 2)


def test_cuped_of_a_ratio_narrows_it_and_stays_near() -> None:
    rng = np.random.default_rng(5)
    control, treatment = Moments.of(sums(rng, 20_000)), Moments.of(sums(rng, 20_000, 1.1))
    plain, adjusted = effect(control, treatment), effect(control, treatment, cuped=True)
    assert adjusted.se < 0.97 * plain.se
    assert abs(adjusted.diff - plain.diff) < 3 * plain.se


def test_without_a_past_cuped_changes_nothing() -> None:
    rng = np.random.default_rng(6)
    arms = [sums(rng, 50), sums(rng, 60)]
    for arm in arms:
        arm[:, 2:] = 0.0
    plain, adjusted = (effect(Moments.of(arms[0]), Moments.of(arms[1]), cuped=cuped) for cuped in (False, True))
    assert (plain.diff, plain.se, plain.reduction) == (adjusted.diff, adjusted.se, adjusted.reduction)
    assert slope([np.array(3.0)], [np.array(0.0)]) == 0.0


def test_a_lift_is_a_share_of_control_and_its_error_is_that_of_many_repetitions() -> None:
    rng = np.random.default_rng(7)
    many = [effect(Moments.of(per_unit(sums(rng, 400))), Moments.of(per_unit(sums(rng, 400, 1.5)))) for _ in range(400)]
    lifts = np.array([found.lift for found in many])
    assert lifts.mean() == pytest.approx(0.5, abs=0.03)
    ends = np.array([as_share(found.control, found.treatment, found.each_se[0], found.each_se[1], np.array(1.0)) for found in many])
    assert ((ends[:, 1] - ends[:, 0]) / 2).mean() == pytest.approx(lifts.std(), rel=0.1)


def test_an_arm_without_an_event_is_not_sure_of_itself() -> None:
    some, none = np.tile([0.0, 1.0, 0.0, 1.0], (120, 1)), np.tile([0.0, 1.0, 0.0, 1.0], (120, 1))
    some[:6, 0] = 1.0
    found = effect(Moments.of(some), Moments.of(none))
    # all 240: 6 buyers, so a variance of about 0.025 * 0.975 over 120
    assert found.wary_se[1] == pytest.approx(np.sqrt(0.025 * 0.975 / 120), rel=0.01)
    assert found.wary_se[0] == pytest.approx(np.sqrt(0.05 * 0.95 / 119)) == pytest.approx(found.each_se[0])
    nobody = effect(Moments.of(none), Moments.of(none))
    assert nobody.se == 0
    # the one as unlike the other as can be: far apart, and still with doubt
    certain = effect(Moments.of(none), Moments.of(none + np.array([1.0, 0, 0, 0])))
    assert 0 < 5 * certain.se < certain.diff


def test_looks_of_many_experiments_are_those_of_each() -> None:
    units = np.stack([sums(np.random.default_rng(seed), 30) for seed in range(3)])
    looks = cumulative(units, [10, 30])
    for s in range(3):
        for d, n in enumerate((10, 30)):
            alone = Moments.of(units[s, :n])
            assert looks.mean_K[s, d] == pytest.approx(alone.mean_K)
            assert looks.cov_KK[s, d] == pytest.approx(alone.cov_KK)


def test_arms_of_one_unit_and_values_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="at least two units"):
        Moments.of(np.ones((1, 4)))
    with pytest.raises(ValueError, match="unit 1 has a sum that is not finite"):
        Moments.of(np.array([[1.0, 1, 0, 1], [np.nan, 1, 0, 1]]))
    with pytest.raises(ValueError, match="shape"):
        Moments.of(np.ones((3, 2)))
