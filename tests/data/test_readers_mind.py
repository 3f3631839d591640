from __future__ import annotations

from pathlib import Path

import pytest

from genre.component import build
from genre.data.readers import Reader
from genre.data.readers.mind import MindReader
from genre.data.readers.rejection import ReadError
from genre.testing import check_reader

LATE = "2\tU1\t11/11/2019 9:05:58 PM\tN8 N9\tN1-0 N2-1 N3-0\n"
EARLY = "1\tU1\t11/11/2019 9:05:58 AM\tN8 N9\tN4-1 N1-0\n"
NEWCOMER = "3\tU2\t11/12/2019 12:00:01 AM\t\tN2-0 N5-0\n"
NEWS = (
    'N1\tsports\tgolf\tThe "Tiger\tHe said "no.\thttps://x/1\t[{"Label": "T"}]\t[]\n'
    "N2\tnews\tworld\tÉlection\t\thttps://x/2\t[]\t[]\n"
    "N2\tnews\tworld\tAgain\t\thttps://x/2\t[]\t[]\n"
    "N3\tnews\n"
)
MORNING, EVENING, NIGHT = 1573463158.0, 1573506358.0, 1573516801.0


def reader(tmp_path: Path, behaviors: str, news: str | None = None) -> MindReader:
    (tmp_path / "behaviors.tsv").write_text(behaviors)
    settings = {"use": "mind", "behaviors": str(tmp_path / "behaviors.tsv")}
    if news is not None:
        (tmp_path / "news.tsv").write_text(news)
        settings["news"] = str(tmp_path / "news.tsv")
    made = build(Reader, settings)
    assert isinstance(made, MindReader)
    return made


def test_histories_come_first_and_without_a_time_then_the_clicks(tmp_path: Path) -> None:
    made = reader(tmp_path, LATE + EARLY + NEWCOMER, NEWS)
    check_reader(made)
    tables = made.read(tmp_path / "scratch")
    assert tables.events.collect().rows() == [
        ("U1", "N8", None, "click", None, None),
        ("U1", "N9", None, "click", None, None),
        ("U1", "N2", EVENING, "click", None, None),
        ("U1", "N4", MORNING, "click", None, None),
    ]


def test_all_that_was_shown_is_an_impression(tmp_path: Path) -> None:
    tables = reader(tmp_path, EARLY + NEWCOMER).read(tmp_path / "scratch")
    assert tables.impressions is not None and tables.items is None
    assert tables.impressions.collect().rows() == [
        ("1", "U1", MORNING, "N4", 1, True),
        ("1", "U1", MORNING, "N1", 2, False),
        ("3", "U2", NIGHT, "N2", 1, False),
        ("3", "U2", NIGHT, "N5", 2, False),
    ]
    assert tables.impressions.collect_schema().names() == ["request_id", "user_id", "time", "item_id", "position", "clicked"]


def test_the_history_is_that_of_the_earliest_impression(tmp_path: Path) -> None:
    tables = reader(tmp_path, LATE.replace("N8 N9", "N8 N9 N4") + EARLY).read(tmp_path / "scratch")
    events = tables.events.collect()
    assert events.filter(events["time"].is_null())["item_id"].to_list() == ["N8", "N9"]


def test_quotes_in_news_are_characters_and_bad_lines_are_named(tmp_path: Path) -> None:
    made = reader(
        tmp_path, EARLY + "4\t\t11/11/2019 9:05:58 AM\tN1\tN1-1\n5\tU3\tnoon\t\tN1-1\n6\tU3\t11/11/2019 9:05:58 AM\t\tN1 N2\n", NEWS
    )
    tables = made.read(tmp_path / "scratch")
    assert tables.items is not None
    items = tables.items.collect()
    assert items["title"].to_list() == ['The "Tiger', "Élection"]
    assert items["abstract"].to_list() == ['He said "no.', None]
    assert tables.rejected.select("row", "reason").rows() == [
        (2, "the user is blank"),
        (3, "the time is not like 11/11/2019 9:05:58 AM"),
        (4, "what was shown is not like N1-0 N2-1 (the test set without labels cannot be used)"),
        (3, "item_id was there before; the first row is kept"),
        (4, "2 fields where there should be 8"),
    ]


def test_the_test_set_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="all 1 rows were rejected: 1 x what was shown is not like N1-0"):
        reader(tmp_path, "1\tU1\t11/11/2019 9:05:58 AM\tN8\tN4 N1\n").read(tmp_path / "scratch")
