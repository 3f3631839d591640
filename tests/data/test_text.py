from __future__ import annotations

import datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from genre.data.text import Template, fields, render

FILMS = pl.DataFrame(
    {
        "title": ["Alien", "Ran", None],
        "genres": [["sf", "horror"], [None, "war"], None],
        "tags": ["space|crew", "", "None"],
        "year": [1979.0, None, float("nan")],
        "brand": ["Fox", None, " "],
    }
)


@pytest.mark.parametrize(
    ("template", "texts"),
    [
        ("{title} {genres}", ["Alien sf, horror", "Ran war", ""]),
        ("{tags}", ["space, crew", "", ""]),
        ("{year}", ["1979", "", ""]),
        ("{title}[ by {brand}].", ["Alien by Fox.", "Ran.", "."]),
        ("[{title} of {year}]", ["Alien of 1979", "", ""]),
        ("[{title}] [{year}]", ["Alien 1979", "Ran", ""]),
        ("{{{title}}} [[x]]", ["{Alien} [x]", "{Ran} [x]", "{} [x]"]),
        ("a  \n film", ["a film"] * 3),
        ("", [""] * 3),
    ],
)
def test_template_renders(template: str, texts: list[str]) -> None:
    assert render(FILMS, template).to_list() == texts


def test_names_its_columns_once_in_order() -> None:
    assert fields("{b} [by {a}] {b} {{c}}") == ["b", "a"]


def test_missing_column_names_the_closest_and_all_there_are() -> None:
    with pytest.raises(ValueError, match=r"no column 'titel'; did you mean 'title'\? The items have title, genres, tags, year, brand"):
        render(FILMS, "{titel}")


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{title", r"'\{' at character 1 has no partner; for a plain \{ write \{\{"),
        ("title}", r"'\}' at character 6 has no partner"),
        ("a]", r"'\]' at character 2 has no partner"),
        ("[{title}", r"begins with \[ and has no \]"),
        ("[a [{title}]]", "cannot be nested"),
        ("[note] {title}", r"needs a \{column\} in it; for plain brackets write \[\[ \]\]"),
    ],
)
def test_broken_template_says_what_to_write(template: str, why: str) -> None:
    class Section(BaseModel):
        text: Template

    with pytest.raises(ValueError, match=why):
        render(FILMS, template)
    with pytest.raises(ValidationError, match="text template"):
        Section(text=template)


def test_column_that_is_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match="the column 'details' of the items holds Struct"):
        render(pl.DataFrame({"details": [{"a": 1}]}), "{details}")


TEXTS = st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(["None", "null", "nan", "|"]))
CELLS = st.one_of(
    st.tuples(st.just(pl.String), st.none() | TEXTS),
    st.tuples(st.just(pl.Float64), st.none() | st.floats()),
    st.tuples(st.just(pl.Int64), st.none() | st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just(pl.Boolean), st.none() | st.booleans()),
    st.tuples(st.just(pl.Date), st.none() | st.dates(datetime.date(1, 1, 1))),
    st.tuples(st.just(pl.List(pl.String)), st.none() | st.lists(st.none() | TEXTS)),
    st.tuples(st.just(pl.List(pl.Float64)), st.none() | st.lists(st.none() | st.floats())),
)


@settings(max_examples=150, deadline=None)
@given(CELLS, st.text("ab {}[]|\n", max_size=12))
def test_any_cell_and_any_template_give_clean_text_or_a_reason(typed: tuple[pl.DataType, object], template: str) -> None:
    dtype, cell = typed
    items = pl.DataFrame({"a": [cell], "b": [None]}, schema={"a": dtype, "b": pl.String}, strict=False)
    try:
        text = render(items, template)
    except ValueError as error:
        assert str(error).startswith("text template")
        return
    assert text.dtype == pl.String and text.null_count() == 0 and len(text) == 1
    assert text[0] == text[0].strip(" \n\t") and "  " not in text[0] and "\n" not in text[0]
    assert text[0] not in ("None", "null", "nan", "NaN")
