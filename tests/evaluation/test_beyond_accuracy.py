"""Coverage, inequality, novelty, tail, diversity and calibration, by hand."""

# B lists, K places, N items, C categories

import numpy as np
import polars as pl
import pytest

from genre.evaluation import beyond_accuracy as beyond
from genre.types import Histories

LISTS = np.array([[0, 1], [0, -1], [-1, -1]])


def test_coverage_counts_items_that_are_shown_at_all() -> None:
    assert beyond.coverage(LISTS, 8) == 2 / 8
    assert beyond.coverage(np.full((2, 3), -1), 8) == 0


def test_gini_is_0_for_equal_places_and_near_1_for_one_item() -> None:
    assert beyond.gini(np.array([[0, 1], [2, 3]]), 4) == 0
    assert beyond.gini(np.array([[0], [0]]), 4) == pytest.approx(0.75)
    assert beyond.gini(np.array([[0, 1], [0, 1]]), 4) == pytest.approx(0.5)
    assert beyond.gini(np.full((1, 2), -1), 4) == 0


def test_novelty_is_the_mean_information_of_the_items() -> None:
    counts = np.array([3, 0, 0, 1])  # with one added: 4, 1, 1, 2 of 8, which is 1, 3, 3 and 2 bits
    found = beyond.novelty(np.array([[0, 1], [3, -1], [-1, -1]]), counts)
    assert found[:2] == pytest.approx([2.0, 2.0])
    assert np.isnan(found[2])


def test_the_head_is_the_fewest_items_that_hold_the_share() -> None:
    counts = np.array([1, 5, 3, 1, 0])
    assert beyond.head_items(counts, 0.8).tolist() == [False, True, True, False, False]
    assert beyond.head_items(counts, 0.81).tolist() == [True, True, True, False, False]
    assert not beyond.head_items(np.zeros(3, int)).any()
    assert beyond.tail_share(np.array([[0, 1], [4, -1]]), counts, 0.8) == pytest.approx([0.5, 1.0])


def test_diversity_is_the_mean_distance_over_pairs() -> None:
    vectors = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [0.0, 0.0]])
    found = beyond.intra_list_diversity(np.array([[0, 1, 2], [0, 1, -1], [0, 3, -1], [0, -1, -1]]), vectors)
    assert found[:3] == pytest.approx([2 / 3, 0.0, 1.0])
    assert np.isnan(found[3])


def test_categories_are_shared_equally_and_nulls_have_none() -> None:
    shares, names = beyond.category_shares(pl.Series(["b|a", "a", None, "", "a| a"]))
    assert names == ["a", "b"]
    assert shares.tolist() == [[0.5, 0.5], [1, 0], [0, 0], [0, 0], [1, 0]]


@pytest.mark.parametrize(
    "column", [pl.Series([["x", "y"], [], None], dtype=pl.List(pl.String)), pl.Series(["x,y", None, None])], ids=["list", "text"]
)
def test_categories_come_as_lists_or_as_text(column: pl.Series) -> None:
    shares, names = beyond.category_shares(column, ",")
    assert names == ["x", "y"] and shares.tolist() == [[0.5, 0.5], [0, 0], [0, 0]]


def test_a_catalogue_without_categories_has_none() -> None:
    shares, names = beyond.category_shares(pl.Series([None, None], dtype=pl.String))
    assert names == [] and shares.shape == (2, 0)


def test_mixes_count_every_event_of_the_history_and_every_place() -> None:
    categories = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    history, listed = beyond.mixes(np.array([[0, 1], [2, -1]]), Histories.of([[0, 0, 0, 1], []]), categories)
    assert history.tolist() == [[0.75, 0.25], [0, 0]]
    assert listed.tolist() == [[0.5, 0.5], [0, 0]]


def test_calibration_by_hand() -> None:
    history, listed = np.array([[0.5, 0.5]] * 3 + [[0.0, 0.0]]), np.array([[0.5, 0.5], [0.75, 0.25], [1.0, 0.0], [1.0, 0.0]])
    exact = beyond.miscalibration(history, listed, smoothing=0.0)
    assert exact[:2] == pytest.approx([0.0, 0.5 * np.log2(0.5 / 0.75) + 0.5 * np.log2(0.5 / 0.25)])
    # A category that is missing from the list is infinitely far without smoothing; with it, q is .995 and .005.
    softened = beyond.miscalibration(history, listed)
    assert softened[2] == pytest.approx(0.5 * np.log2(0.5 / 0.995) + 0.5 * np.log2(0.5 / 0.005))
    assert np.isnan(softened[3])


def test_jensen_shannon_agrees_with_scipy_and_is_1_for_mixes_that_share_nothing() -> None:
    from scipy.spatial.distance import jensenshannon

    p, q = np.array([[0.2, 0.8, 0.0], [1.0, 0.0, 0.0]]), np.array([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5]])
    found = beyond.jensen_shannon(p, q)
    assert found == pytest.approx([jensenshannon(a, b, base=2) ** 2 for a, b in zip(p, q, strict=True)])
    assert found[1] == pytest.approx(1.0)
