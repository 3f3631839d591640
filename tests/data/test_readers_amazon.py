from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from genre.component import build
from genre.data.readers import Reader, Tables
from genre.data.readers.amazon import parse_line, product
from genre.data.readers.rejection import ReadError
from genre.testing import check_reader

REVIEWS_2014 = (
    '{"reviewerID": "A1YJEY40YUW4SE", "asin": "7806397051", "helpful": [3, 4], "overall": 1.0, "unixReviewTime": 1391040000}\n'
    '{"reviewerID": "A60XNB876KYML", "asin": "B0000YUX4O", "overall": 3.0, "unixReviewTime": 1397779200}\n'
)  # fmt: skip
META_2014 = (
    "{'asin': '7806397051', 'title': 'Ladies&#39; Palette', 'price': 9.99, 'salesRank': {}, 'categories': [['Beauty', 'Makeup']]}\n"
    "{'asin': 'B0000YUX4O', 'description': 'It\\'s \\/ fine', 'brand': 'WAWO', 'categories': [['Beauty'], ['Beauty', 'Skin']]}\n"
)
REVIEWS_2023 = (
    '{"rating": 5.0, "asin": "B00YQ6X8EO", "parent_asin": "B00YQ6X8E1", "user_id": "AGKHLEW2SO", "timestamp": 1588687728923}\n'
    '{"rating": 4.0, "asin": "B081TJ8YS3", "parent_asin": "B081TJ8YS3", "user_id": "AGKHLEW2SO", "timestamp": 1588615855070}\n'
)
META_2023 = (
    '{"main_category": "All Beauty", "title": "Hair  Spray", "average_rating": 4.8, "features": ["A", "B"], '
    '"description": ["One.", "Two."], "price": "from 12.99", "store": "Howard", "categories": [], "parent_asin": "B00YQ6X8E1"}\n'
)


def read(tmp_path: Path, reviews: str | bytes, metadata: str | None = None, name: str = "reviews.json") -> Tables:
    (tmp_path / name).write_bytes(reviews if isinstance(reviews, bytes) else reviews.encode())
    settings: dict[str, Any] = {"use": "amazon", "reviews": str(tmp_path / name)}
    if metadata is not None:
        (tmp_path / "meta.json").write_text(metadata)
        settings["metadata"] = str(tmp_path / "meta.json")
    reader = build(Reader, settings)
    check_reader(reader)
    return reader.read(tmp_path / "scratch")


def test_2014(tmp_path: Path) -> None:
    tables = read(tmp_path, gzip.compress(REVIEWS_2014.encode()), META_2014, "reviews_Beauty_5.json.gz")
    assert tables.events.collect().rows() == [
        ("A1YJEY40YUW4SE", "7806397051", 1391040000.0, "rate", 1.0, None),
        ("A60XNB876KYML", "B0000YUX4O", 1397779200.0, "rate", 3.0, None),
    ]
    assert tables.items is not None
    first, second = tables.items.collect().to_dicts()
    assert first == {
        "item_id": "7806397051", "title": "Ladies' Palette", "brand": None, "categories": ["Beauty", "Makeup"], "price": 9.99,
        "description": None, "features": [],
    }  # fmt: skip
    assert (second["brand"], second["categories"], second["description"]) == ("WAWO", ["Beauty", "Skin"], "It's \\/ fine")


def test_2023_takes_the_parent_and_leaves_out_what_knows_the_future(tmp_path: Path) -> None:
    tables = read(tmp_path, REVIEWS_2023, META_2023, "All_Beauty.jsonl")
    assert tables.events.collect().rows() == [
        ("AGKHLEW2SO", "B00YQ6X8E1", 1588687728.923, "rate", 5.0, None),
        ("AGKHLEW2SO", "B081TJ8YS3", 1588615855.07, "rate", 4.0, None),
    ]
    assert tables.items is not None
    assert tables.items.collect().to_dicts() == [
        {
            "item_id": "B00YQ6X8E1", "title": "Hair Spray", "brand": "Howard", "categories": ["All Beauty"], "price": 12.99,
            "description": "One. Two.", "features": ["A", "B"],
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        "A39HTATAQ9V7YF,0205616461,5.0,1369699200\nA3JM6GV9MNOF9X,B0000YUX4O,3.0,1355443200\n",  # 2014: user first
        "0205616461,A39HTATAQ9V7YF,5.0,1369699200\nB0000YUX4O,A3JM6GV9MNOF9X,3.0,1355443200\n",  # 2018: item first
        "user_id,parent_asin,rating,timestamp\nA39HTATAQ9V7YF,0205616461,5.0,1369699200000\nA3JM6GV9MNOF9X,B0000YUX4O,3.0,1355443200000\n",
    ],
    ids=["2014", "2018", "2023"],
)
def test_ratings_only(tmp_path: Path, content: str) -> None:
    assert read(tmp_path, content, name="ratings.csv").events.collect().rows() == [
        ("A39HTATAQ9V7YF", "0205616461", 1369699200.0, "rate", 5.0, None),
        ("A3JM6GV9MNOF9X", "B0000YUX4O", 1355443200.0, "rate", 3.0, None),
    ]


def test_bad_lines_of_both_files_are_named(tmp_path: Path) -> None:
    broken = "{'asin': __import__('os').getcwd()}\n{'title': 'no id'}\n" + META_2014.splitlines()[0]
    tables = read(tmp_path, REVIEWS_2014 + '{"reviewerID": null, "asin": "B1", "overall": 1, "unixReviewTime": 1}\n', META_2014 + broken)
    assert tables.rejected.select("row", "reason").rows() == [
        (3, "not JSON"),
        (4, "item_id is blank"),
        (5, "item_id was there before; the first row is kept"),
        (3, "reviewerID (the user) is blank"),
    ]


def test_a_line_is_parsed_and_never_run() -> None:
    assert parse_line('{"a": null}') == {"a": None}
    assert parse_line("{'a': None, 'b': 'it\\'s'}") == {"a": None, "b": "it's"}
    for line in ("__import__('os')", "{'a': 1 + x}", "{", "{[]: 1}", "(" * 5000):
        with pytest.raises(ValueError):
            parse_line(line)


@pytest.mark.parametrize(
    ("price", "amount"), [("$1,299.00 - $1,499.00", 1299.0), ("None", None), (3, 3.0), (None, None), (float("nan"), None)]
)
def test_price_is_the_first_amount(price: object, amount: float | None) -> None:
    assert product({"asin": "1", "price": price})["price"] == amount


def test_other_files_are_refused_with_the_columns_expected(tmp_path: Path) -> None:
    def failure(name: str, content: str) -> str:
        (tmp_path / name).write_text(content)
        with pytest.raises(ReadError) as raised:
            build(Reader, {"use": "amazon", "reviews": str(tmp_path / name)}).read(tmp_path / "scratch")
        return str(raised.value)

    assert "there is no column 'reviewerID'" in failure("r.jsonl", json.dumps({"asin": "x", "overall": 1, "unixReviewTime": 1, "user": 1}))
    assert "there is no column" in failure("r.csv", "a,b,c,d\n1,2,3,4\n")
    assert "need four columns: user, item, rating, time" in failure("s.csv", "B0000YUX4O,A3JM6GV9MNOF9X\n")
