"""Who speaks for a member of a blend that does not know an item."""

import numpy as np
import pytest

from genre.standing_in import standing_in
from genre.types import Bools, Floats


def weights(weight_M: Floats, covariance_MM: Floats, known_MN: Bools) -> Floats:
    share_PMM, pattern_N = standing_in(covariance_MM, known_MN)
    return (share_PMM @ weight_M)[pattern_N].T


def test_the_silent_member_is_replaced_by_its_regression_on_those_who_speak() -> None:
    covariance = np.array([[4.0, 2.0], [2.0, 2.0]])
    known = np.array([[True, False, True, False], [True, True, False, False]])
    # The first, given the second: slope 2 / 2 = 1. The second, given the first: 2 / 4 = 0.5.
    by_item = weights(np.array([0.5, 1.0]), covariance, known)
    assert by_item == pytest.approx(np.array([[0.5, 0.0, 0.5 + 1.0 * 0.5, 0.0], [1.0, 1.0 + 0.5 * 1.0, 0.0, 0.0]]))


def test_two_silent_members_are_both_spoken_for() -> None:
    scores = np.random.default_rng(0).normal(size=(3, 5000)) + np.random.default_rng(1).normal(size=5000)
    covariance = scores @ scores.T / 5000
    (a,), (b,), (c,) = weights(np.array([1.0, 2.0, 3.0]), covariance, np.array([[True], [False], [False]]))
    slope = np.linalg.lstsq(scores[:1].T, scores[1:].T @ np.array([2.0, 3.0]), rcond=None)[0].item()
    assert (a, b, c) == (pytest.approx(1 + slope, rel=1e-5), 0, 0)


def test_what_everybody_knows_needs_nobody_to_stand_in() -> None:
    share_PMM, pattern_N = standing_in(np.ones((2, 2)), np.ones((2, 5), bool))
    assert share_PMM.tolist() == [[[1, 0], [0, 1]]] and pattern_N.tolist() == [0]


def test_members_that_say_the_same_share_what_they_take_over() -> None:
    covariance = np.ones((3, 3))  # singular: the first two cannot be told apart
    by_item = weights(np.ones(3), covariance, np.array([[True], [True], [False]]))
    assert by_item.sum() == pytest.approx(3)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes do not fit"):
        standing_in(np.ones((3, 3)), np.ones((2, 4), bool))
