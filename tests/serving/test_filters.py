"""Filters: bitmaps agree with a plain reading of the expression item by item, whatever the expression."""

from __future__ import annotations

import contextlib
import operator
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from genre.serving.catalogue import Catalogue
from genre.serving.contract import ItemIn, RequestError
from genre.serving.filters import Filters, SeenItems
from genre.surfaces import Filter
from genre.surfaces.expressions import And, Compare, Expression, Has, In, Missing, Node, Not, Or, Seen
from genre.surfaces.shorthand import parse

NOW = 1e9
ITEMS = pl.DataFrame(
    {
        "item_id": [f"i{i}" for i in range(8)],
        "price": [1.0, 20.0, None, 0.5, 20.5, 7.0, 7.0, -3.0],
        "brand": ["A", "B", None, "A", "C|D", "", "b", "A"],
        "new": [True, None, False, True, False, None, True, True],
        "tags": [["x", "y"], [], None, ["y"], ["x"], ["z", "y"], ["x", "x"], None],
    }
)
SEEN = {"i0": 10.0, "i3": 3 * 86_400.0, "i5": np.inf}
ORDER: dict[str, Any] = {"==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
FILTER: TypeAdapter[Node] = TypeAdapter(Filter)
EXPRESSION: TypeAdapter[Node] = TypeAdapter(Expression)


def catalogue() -> Catalogue:
    return Catalogue(ITEMS, np.full(len(ITEMS), np.nan))


def ids(filter_: str | dict[str, Any], items: Catalogue | None = None) -> list[str]:
    items = items or catalogue()
    seen = SeenItems(items.find(SEEN, items.n), np.array(list(SEEN.values())))
    mask = Filters(items).mask(FILTER.validate_python(filter_), seen, items.n)
    return [item_id for item_id, passes in zip(items.ids, mask, strict=True) if passes]


def plain(expression: Node, item: dict[str, Any]) -> bool:
    """What an expression means, for one item."""
    value = item.get(getattr(expression, "field", ""))
    match expression:
        case And():
            return all(plain(part, item) for part in expression.parts)
        case Or():
            return any(plain(part, item) for part in expression.parts)
        case Not():
            return not plain(expression.part, item)
        case Missing():
            return value is None
        case Seen():
            return item["item_id"] in SEEN and (SEEN[item["item_id"]] <= expression.seconds or expression.within is True)
        case In():
            return any(plain(Compare(field=expression.field, op="==", value=one), item) for one in expression.values)
        case Has():
            if isinstance(value, list):
                return expression.value in value
            if isinstance(value, str) and isinstance(expression.value, str):
                return expression.value == value or expression.value in [part.strip() for part in value.split("|")]
            return plain(Compare(field=expression.field, op="==", value=expression.value), item)
        case Compare(op=op, value=wanted):
            number = isinstance(value, float) and isinstance(wanted, int | float) and not isinstance(wanted, bool)
            if not number and (type(value) is not type(wanted) or (isinstance(wanted, bool) and op not in ("==", "!="))):
                return False
            return bool(ORDER[op](value, wanted))
    raise AssertionError(expression)


values = st.one_of(st.sampled_from(["A", "B", "C|D", "C", "x", "y", ""]), st.sampled_from([1, 20, 7.0, 0.5, -3, 20.25]), st.booleans())
fields = st.sampled_from(["price", "brand", "new", "tags"])
leaves = st.one_of(
    st.builds(lambda f, op, v: {"field": f, "op": op, "value": v}, fields, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), values),
    st.builds(lambda f, vs: {"field": f, "in": vs}, fields, st.lists(values, max_size=4)),
    st.builds(lambda f, v: {"field": f, "has": v}, fields, values),
    st.builds(lambda f: {"missing": f}, fields),
    st.sampled_from([{"seen": True}, {"seen": "10s"}, {"seen": "1d"}, {"seen": "9s"}, {"seen": "1w"}]),
)
expressions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda part: {"not": part}, inner),
        st.builds(lambda key, parts: {key: parts}, st.sampled_from(["and", "or"]), st.lists(inner, max_size=4)),
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(expressions)
def test_a_bitmap_says_what_the_expression_says(written: dict[str, Any]) -> None:
    expression = EXPRESSION.validate_python(written)
    assert ids(written) == [item["item_id"] for item in ITEMS.iter_rows(named=True) if plain(expression, item)]


@settings(deadline=None)
@given(expressions)
def test_an_expression_survives_its_way_through_json(written: dict[str, Any]) -> None:
    expression = EXPRESSION.validate_python(written)
    assert EXPRESSION.validate_json(EXPRESSION.dump_json(expression)) == expression
    assert EXPRESSION.validate_python(EXPRESSION.dump_python(expression)) == expression


def as_text(written: dict[str, Any]) -> str:
    """The short form of an expression."""
    if "not" in written:
        return f"not ({as_text(written['not'])})"
    for key in ("and", "or"):
        if key in written:
            return f" {key} ".join(f"({as_text(part)})" for part in written[key])
    if "seen" in written:
        return "seen()" if written["seen"] is True else f"seen({written['seen']})"
    if "missing" in written:
        return f"missing({written['missing']})"
    if "in" in written:
        return f"{written['field']} in ({', '.join(map(_value, written['in']))})"
    return f"{written['field']} {written.get('op', 'has')} {_value(written['value' if 'op' in written else 'has'])}"


def _value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)


def _empty(written: Any) -> bool:
    if isinstance(written, dict):
        return any(_empty(part) for part in written.values())
    return isinstance(written, list) and (not written or any(_empty(part) for part in written))


@settings(deadline=None)
@given(expressions.filter(lambda written: not _empty(written)))
def test_the_short_form_means_the_same(written: dict[str, Any]) -> None:
    assert ids(parse(as_text(written))) == ids(written)


@settings(deadline=None)
@given(st.text(alphabet="ab <=!()\"'\\,0.9`|and or not in has seen missing\n", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ValidationError):
        FILTER.validate_python(text)


def test_facts_by_hand() -> None:
    assert ids('price < 20 and brand in ("A", "B") and not seen(1d)') == ["i3", "i7"]
    assert ids("price != 7") == ["i0", "i1", "i3", "i4", "i7"]
    assert ids('brand has "C"') == ["i4"]
    assert ids('tags has "y"') == ["i0", "i3", "i5"]
    assert ids("new = true or missing(brand)") == ["i0", "i2", "i3", "i6", "i7"]
    assert ids("price = 1 or price = 20 and missing(price)") == ["i0"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("price <", "character 8: expected a value"),
        ("price < 20 and", "expected a column"),
        ("(price < 20", r"expected `\)`, got the end"),
        ("price < 20 brand", "expected `and`, `or` or the end"),
        ("price ~ 3", "expected a column, a value or an operator, got '~'"),
        ("not " * 30 + "seen", "at most 20 deep"),
        ("(" * 3000 + "seen" + ")" * 3000, "at most 20 deep"),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse(text)


def test_an_unknown_column_is_named_with_the_nearest() -> None:
    with pytest.raises(RequestError, match="no column 'prize'; did you mean 'price'") as caught:
        ids("prize < 3")
    assert caught.value.where == "filter"


def test_what_is_remembered_is_forgotten_when_an_item_changes() -> None:
    items = catalogue()
    filters, nobody = Filters(items), SeenItems(np.empty(0, np.int64), np.empty(0))
    cheap = FILTER.validate_python("price < 1")
    assert filters.mask(cheap, nobody, items.n).sum() == 2
    items.put(ItemIn(item_id="i0", attributes={"price": 0.25}), "i0", NOW)
    assert filters.mask(cheap, nobody, items.n).sum() == 3
    i, new = items.put(ItemIn(item_id="i8", attributes={"price": 0, "colour": "red"}), "i8", NOW)
    items.publish("i8", i)
    assert (i, new) == (8, True)
    assert filters.mask(cheap, nobody, items.n).sum() == 4
    assert ids('colour = "red"', items) == ["i8"]


def test_the_catalogue_gives_back_what_was_put() -> None:
    items = catalogue()
    item = ItemIn(item_id="i1", attributes={"price": 3, "tags": ["x", "q"], "new": False, "weight": 1.5}, available=False)
    items.put(item, "i1", NOW)
    assert items.get("i1") == item
    assert ids('tags has "q"', items) == ["i1"]
    with pytest.raises(RequestError, match="holds a number, not str"):
        items.check({"price": "cheap"})
    assert items.delete("i1") and not items.delete("i1") and not items.delete("nobody")
    assert items.get("i1") is None
