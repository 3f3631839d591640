"""Bootstrap intervals: width, coverage of known cases, pairing, seeds."""

# U users, M metrics, S seeds

import numpy as np
import pytest

from genre.evaluation import intervals
from genre.evaluation.intervals import Interval, bootstrap, paired_difference, seed_spread


def test_the_width_is_that_of_the_normal_approximation() -> None:
    values = (np.random.default_rng(0).random((2000, 1)) < 0.2).astype(float)
    (found,) = bootstrap(values, resamples=2000)
    assert found.mean == pytest.approx(values.mean())
    assert found.half == pytest.approx(1.96 * values.std() / np.sqrt(2000), rel=0.06)
    assert found.low < found.mean < found.high


def test_about_95_of_100_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for trial in range(200):
        (found,) = bootstrap(rng.exponential(size=(150, 1)), resamples=400, seed=trial)
        held += found.low <= 1 <= found.high
    assert 180 <= held <= 198


def test_the_seed_decides_and_the_chunks_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(2).random((50, 3))
    once = bootstrap(values, seed=5)
    assert once == bootstrap(values, seed=5)
    assert once != bootstrap(values, seed=6)
    monkeypatch.setattr(intervals, "CHUNK", 70)
    for whole, chunked in zip(once, bootstrap(values, seed=5), strict=True):
        assert (whole.low, whole.high) == pytest.approx((chunked.low, chunked.high))


def test_a_constant_has_no_width() -> None:
    assert bootstrap(np.full((9, 1), 0.25)) == [Interval(0.25, 0.25, 0.25)]


def test_no_users_and_nan_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one user"):
        bootstrap(np.empty((0, 2)))
    with pytest.raises(ValueError, match="column 1 has NaN"):
        bootstrap(np.array([[0.0, np.nan]]))


def test_pairing_finds_a_small_gain_that_two_intervals_would_hide() -> None:
    rng = np.random.default_rng(3)
    theirs = rng.random((1, 300, 1))
    ours = theirs + 0.01 + rng.normal(scale=0.01, size=theirs.shape)
    (gain,) = paired_difference(ours, theirs)
    assert 0 < gain.low < 0.01 < gain.high
    (a,), (b,) = bootstrap(ours[0]), bootstrap(theirs[0])
    assert a.low < b.high


def test_several_seeds_are_averaged_within_a_user_first() -> None:
    ours = np.array([[[1.0], [0.0]], [[0.0], [1.0]]])  # each user is right with one seed of two
    theirs = np.full((1, 2, 1), 0.5)
    assert paired_difference(ours, theirs) == [Interval(0.0, 0.0, 0.0)]


def test_other_users_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="same users"):
        paired_difference(np.zeros((1, 3, 1)), np.zeros((1, 4, 1)))


def test_the_spread_over_seeds_is_the_deviation_of_their_means() -> None:
    values = np.array([[[0.1], [0.3]], [[0.3], [0.5]]])  # means 0.2 and 0.4
    assert seed_spread(values) == pytest.approx([np.sqrt(0.02)])
    assert np.isnan(seed_spread(values[:1])).all()


def test_an_interval_prints_as_plus_minus() -> None:
    assert str(Interval(0.1134, 0.1074, 0.1194)) == "0.1134 ±0.006"
    assert str(Interval(0.01, 0.0098, 0.0102)) == "0.0100 ±0.0002"
