"""Distinct items at an equal number of units."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from genre.experiments.coverage import distinct_items, jackknifed


def test_rarefaction_is_the_mean_over_all_draws() -> None:
    lists = [{0, 1}, {0}, {2, 3}, {0, 3}, {4}]
    counts = np.bincount([item for shown in lists for item in shown])
    for m in range(1, 6):
        draws = [len(set().union(*draw)) for draw in itertools.combinations(lists, m)]
        assert distinct_items(counts, 5, m) == pytest.approx(np.mean(draws))


def test_the_jackknife_knows_the_spread_and_errs_on_the_wide_side() -> None:
    rng = np.random.default_rng(0)
    popularity = 1 / np.arange(1, 401)
    popularity /= popularity.sum()
    found = []
    for _ in range(60):
        shown = rng.random((400, 400)) < 5 * popularity
        group = np.arange(400) % 20
        counts = np.stack([shown[group == g].sum(0) for g in range(20)])
        found.append(jackknifed(counts, np.full(20, 20), 360))
    values, errors = np.array(found).T
    assert 0.9 < errors.mean() / values.std() < 1.8


def test_more_units_than_there_are_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="cannot draw 3 of 2"):
        distinct_items(np.array([1]), 2, 3)


def test_where_everything_was_shown_an_item_more_or_less_is_not_certain() -> None:
    everything = np.full((20, 50), 10)
    nearly = everything.copy()
    nearly[:, 0] = 0
    (all_of_them, se), (but_one, other_se) = (jackknifed(counts, np.full(20, 20), 360) for counts in (everything, nearly))
    assert (all_of_them, but_one) == pytest.approx((50, 49)) and se == other_se == 1
