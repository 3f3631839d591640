from __future__ import annotations

import logging
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from genre.component import build
from genre.encoders.attributes import AttributesEncoder
from genre.encoders.columns import block, guess, signs
from genre.testing import check_encoder


def attributes(**settings: Any) -> AttributesEncoder:
    return build(AttributesEncoder, {"use": "attributes", **settings})


FILMS = pl.DataFrame(
    {
        "item_id": ["a", "b", "c", "d"],
        "text": ["A", "B", "C", "D"],
        "genres": ["drama|war", "war", "drama", None],
        "year": [1950, 1960, 2000, None],
        "seen": [True, False, True, False],
    }
)


@pytest.mark.parametrize(
    "settings", [{}, {"columns": ["year"]}, {"columns": {"genres": {"kind": "tags", "weight": 2.0}}}, {"max_values": 1}]
)
def test_it_conforms(settings: dict[str, Any]) -> None:
    check_encoder(attributes(**settings))


def test_each_column_is_a_block_of_length_one() -> None:
    encoder = attributes(columns={"genres": {}, "seen": {"weight": 3.0}})
    encoder.fit(FILMS)
    half = np.sqrt(0.5)
    # genres: drama, war; then seen: false, true
    assert encoder.encode(FILMS) == pytest.approx(
        np.array([[half, half, 0, 3], [0, 1, 3, 0], [1, 0, 0, 3], [0, 0, 3, 0]])
    )  # fmt: skip


def test_a_number_is_its_place_among_the_others_on_a_half_circle() -> None:
    encoder = attributes(columns=["year"])
    encoder.fit(FILMS)
    assert encoder.encode(FILMS) == pytest.approx(np.array([[1, 0], [0, 1], [-1, 0], [0, 0]]), abs=1e-6)
    later = FILMS.with_columns(year=pl.Series([1900, 1955, 3000, None]))
    assert encoder.encode(later) == pytest.approx(np.array([[1, 0], [np.sqrt(0.5), np.sqrt(0.5)], [-1, 0], [0, 0]]), abs=1e-6)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pl.Series([1, None]), "number"),
        (pl.Series([date(2020, 1, 1)]), "number"),
        (pl.Series([["a"], None]), "tags"),
        (pl.Series(["a|b", "c"]), "tags"),
        (pl.Series(["a", None]), "category"),
        (pl.Series([None], dtype=pl.String), "category"),
        (pl.Series([True]), "category"),
    ],
)
def test_kinds_follow_from_the_type(column: pl.Series, kind: str) -> None:
    assert guess(column, "|") == kind


def test_numbers_written_as_strings_and_dates_and_infinities_are_read() -> None:
    learnt = {"kind": "number", "at": [0.0, 10.0], "place": [0.0, 1.0]}
    strings = pl.Series(["0", "10", "V", None])
    assert block(strings, learnt) == pytest.approx(np.array([[1, 0], [-1, 0], [0, 0], [0, 0]]), abs=1e-6)
    assert not block(pl.Series([np.nan, np.inf]), learnt).any()
    assert block(pl.Series([date(1970, 1, 1), date(1970, 1, 11)]), learnt) == pytest.approx(np.array([[1, 0], [-1, 0]]), abs=1e-6)


def test_lists_and_separated_strings_say_the_same() -> None:
    learnt = {"kind": "tags", "separator": ", ", "known": ["drama", "war"]}
    expected = block(pl.Series(["drama, war", " war ", "", "other"]), learnt)
    assert expected == pytest.approx(np.array([[np.sqrt(0.5)] * 2, [0, 1], [0, 0], [0, 0]]))
    assert np.array_equal(block(pl.Series([["war", "drama", "drama"], ["war", None], [], ["other"]]), learnt), expected)
    assert np.array_equal(block(pl.Series([["war", "drama"]], dtype=pl.Array(pl.String, 2)), learnt), expected[:1])


def test_many_values_are_hashed_into_nearly_orthogonal_directions() -> None:
    brands = [f"brand {i}" for i in range(40)]
    items = pl.DataFrame({"item_id": [str(i) for i in range(80)], "brand": brands * 2})
    encoder = attributes(max_values=32)
    encoder.fit(items)
    vectors = encoder.encode(items)
    assert vectors.shape == (80, 32)
    assert np.array_equal(vectors[:40], vectors[40:])
    alike = vectors[:40] @ vectors[:40].T
    assert np.diag(alike) == pytest.approx(np.ones(40), abs=1e-5)
    assert np.abs(alike - np.eye(40)).mean() < 1.5 / np.sqrt(32)
    assert not np.array_equal(signs("a", 32), signs("b", 32))


def test_values_of_one_item_say_nothing_and_a_column_of_such_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    encoder = attributes(columns=["title", "genres"])
    with caplog.at_level(logging.WARNING):
        encoder.fit(FILMS.with_columns(title=pl.Series(["w", "x", "y", "z"])))
    assert "no 2 items share a value of 'title'" in caplog.text
    assert encoder.encode(FILMS.with_columns(title=pl.lit("w"))).shape == (4, 2)
    alone = attributes()
    alone.fit(FILMS.select("item_id", title="text"))
    assert alone.encode(FILMS.select("item_id", title="text")).tolist() == [[0.0]] * 4


def test_free_text_has_no_attributes() -> None:
    encoder = attributes()
    encoder.fit(FILMS)
    assert encoder.encode(FILMS.select("text")).shape == encoder.encode(FILMS).shape
    assert not encoder.encode(FILMS.select("text")).any()


def test_a_missing_column_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no column 'brand' \(there are: genres, year, seen\)"):
        attributes(columns=["brand"]).fit(FILMS)
    with pytest.raises(ValueError, match=r"no columns besides item_id and text \(there are: none\)"):
        attributes().fit(FILMS.select("item_id", "text"))
    encoder = attributes()
    encoder.fit(FILMS)
    with pytest.raises(ValueError, match="no column 'seen'"):
        encoder.encode(FILMS.drop("seen"))


def test_infinite_and_missing_numbers_alone_do_not_break_a_column() -> None:
    items = pl.DataFrame({"item_id": ["a", "b"], "price": [None, float("nan")]})
    encoder = attributes()
    encoder.fit(items)
    assert not encoder.encode(items).any()


def test_the_index_and_the_title_shown_are_no_attributes() -> None:
    plain = pl.DataFrame({"item_id": ["1", "2", "3", "4"], "text": ["t"] * 4, "brand": ["x", "x", "y", "y"]})
    encoder, stored = (build(AttributesEncoder, {"use": "attributes"}) for _ in range(2))
    encoder.fit(plain)
    prepared = plain.with_row_index("item_idx").with_columns(shown=pl.lit("a title"))
    stored.fit(prepared)
    assert np.array_equal(stored.encode(prepared), encoder.encode(plain))
    assert not stored.encode(pl.DataFrame({"item_id": ["9"], "text": ["free text with an id"]})).any()


def test_a_kind_alone_says_how_a_column_is_read() -> None:
    short = build(AttributesEncoder, {"use": "attributes", "columns": {"genres": "tags", "year": "number"}})
    assert (
        short.config
        == build(AttributesEncoder, {"use": "attributes", "columns": {"genres": {"kind": "tags"}, "year": {"kind": "number"}}}).config
    )
