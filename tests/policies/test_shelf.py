"""The shelf: candidates with what policies read of them."""

# N items, K candidates, C categories, D dimensions

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from genre.data.categories import Categories
from genre.policies.shelf import Shelf

ITEMS = pl.DataFrame({"item_id": ["a", "b", "c", "d"], "genre": ["drama|war", "war", None, "drama"], "brand": ["x", "y", "x", "z"]})
VECTORS = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [-1.0, 0.0]])


def test_candidates_carry_what_is_known_of_them_and_of_the_user() -> None:
    shelf = Shelf.of(ITEMS, np.array([3, 2, 0, 1]), VECTORS, ["genre"])
    found = shelf.candidates(np.array([2, 0]), np.array([0.5, 0.4]), np.array([0, 1]))
    assert found.counts_K is not None and found.counts_K.tolist() == [0, 3]
    assert found.vectors_KD is not None and found.vectors_KD.tolist() == [[0.6, 0.8], [1.0, 0.0]]
    assert found.shares["genre"].tolist() == [[0.0, 0.0], [0.5, 0.5]]
    assert found.history_shares["genre"].tolist() == [0.25, 0.75]  # half drama half war, then war
    assert found.user_D == pytest.approx(np.array([1, 1]) / np.sqrt(2))


def test_a_stranger_has_no_mix_and_no_vector() -> None:
    found = Shelf.of(ITEMS, np.zeros(4, np.int64), VECTORS, ["brand"]).candidates(np.arange(4), np.ones(4), np.empty(0, np.int64))
    assert found.user_D is None
    assert found.history_shares["brand"].sum() == 0


def test_only_categories_at_hand_take_a_column() -> None:
    items = pl.DataFrame({"brand": [f"brand {i}" for i in range(1000)]})
    found = Shelf.of(items, np.zeros(1000, np.int64), None, ["brand"]).candidates(np.array([5, 6]), np.ones(2), np.array([6, 900]))
    assert found.shares["brand"].shape == (2, 3)
    assert found.history_shares["brand"].sum() == pytest.approx(1)


def test_items_added_later_bring_their_categories() -> None:
    shelf = Shelf.of(ITEMS, np.array([3, 2, 0, 1]), VECTORS, ["genre", "brand"])
    grown = shelf.extended(pl.DataFrame({"item_id": ["e"], "genre": ["comedy|war"]}), np.array([[0.0, -1.0]]))
    found = grown.candidates(np.array([4, 1]), np.ones(2), np.array([3]))
    assert grown.categories["genre"].names == ["comedy", "drama", "war"]
    assert found.shares["genre"].tolist() == [[0.5, 0.0, 0.5], [0.0, 0.0, 1.0]]
    assert found.shares["brand"][0].tolist() == [0.0, 0.0]
    assert found.counts_K is not None and found.counts_K.tolist() == [0, 2]


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="no item column 'colour'; there is item_id, genre, brand"):
        Shelf.of(ITEMS, np.zeros(4, np.int64), None, ["colour"])


def test_lists_and_nulls_are_columns_of_categories_too() -> None:
    found = Categories.of(pl.Series([["b", "a"], None, ["b", " b", ""]]))
    assert found.names == ["a", "b"]
    assert found.shares(np.arange(3)).tolist() == [[0.5, 0.5], [0.0, 0.0], [0.0, 1.0]]
