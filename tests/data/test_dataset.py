"""The prepare stage and the dataset it leaves, through a reader that a test can write out by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from genre.component import build
from genre.data.dataset import Dataset
from genre.data.preparing import prepare
from genre.data.readers import EVENTS, Reader, Tables
from genre.data.splitting import Split

Row = tuple[str, str, float | None]


class ByHand(Reader):
    """Reads what it is given."""

    def __init__(self, rows: list[Row], items: pl.DataFrame | None = None, sessions: list[str] | None = None) -> None:
        super().__init__(Reader.Config(use="by_hand"))
        self.rows, self.items, self.sessions = rows, items, sessions

    def read(self, folder: Path) -> Tables:
        users, items, times = zip(*self.rows, strict=True) if self.rows else ((), (), ())
        n = len(self.rows)
        sessions: list[Any] = self.sessions if self.sessions is not None else [None] * n
        columns = {
            "user_id": users, "item_id": items, "time": times, "event": ["view", "buy"] * (n // 2) + ["view"] * (n % 2),
            "value": list(range(n)), "session_id": sessions,
        }  # fmt: skip
        events = pl.DataFrame(columns, schema=EVENTS, strict=False)
        return Tables(events.lazy(), None if self.items is None else self.items.lazy())

    def sources(self) -> Iterator[Path]:
        return iter(())


def prepared(folder: Path, rows: list[Row], split: str | dict[str, Any] = "leave_last_out", **settings: Any) -> Dataset:
    reader = ByHand(rows, settings.pop("items", None), settings.pop("sessions", None))
    prepare(reader, build(Split, {"use": split} if isinstance(split, str) else split), folder, **settings)
    return Dataset.load(folder)


ROWS: list[Row] = [("007", "a", 3), ("u", "b", 1), ("007", "b", 1), ("007", "c", 2), ("u", "a", 2), ("007", "d", 4), ("u", "0c", 3)]


def test_ids_stay_strings_and_order_is_by_time_within_a_user(tmp_path: Path) -> None:
    dataset = prepared(tmp_path, ROWS)
    assert dataset.users["user_id"].to_list() == ["007", "u"]
    named = [[dataset.items["item_id"][int(i)] for i in dataset.everything.items(u)] for u in range(2)]
    assert named == [["b", "c", "a", "d"], ["b", "a", "0c"]]


def test_ground_truth_is_the_history_up_to_the_target(tmp_path: Path) -> None:
    dataset = prepared(tmp_path, ROWS)
    ids = dataset.items["item_id"]
    for part, expected in (
        ("valid", [(["b", "c"], ["a"], 3.0), (["b"], ["a"], 2.0)]),
        ("test", [(["b", "c", "a"], ["d"], 4.0), (["b", "a"], ["0c"], 3.0)]),
    ):
        truth = dataset.ground_truth(part)  # type: ignore[arg-type]
        found = [
            ([ids[int(i)] for i in truth.queries.items(b)], [ids[int(i)] for i in truth.targets(b)], float(truth.queries.now_B[b]))
            for b in range(len(truth))
        ]
        assert found == expected
    assert [dataset.training.items(u).tolist() for u in range(2)] == [
        dataset.everything.items(0)[:2].tolist(),
        dataset.everything.items(1)[:1].tolist(),
    ]


def test_a_target_already_seen_is_dropped_unless_repeats_are_allowed(tmp_path: Path) -> None:
    rows: list[Row] = [("u", "a", 1), ("u", "b", 2), ("u", "c", 3), ("u", "a", 4)]
    assert len(prepared(tmp_path / "no", rows).ground_truth("test")) == 0
    again = prepared(tmp_path / "yes", rows, repeats=True).ground_truth("test")
    assert again.targets(0).tolist() == [0]


def test_who_is_not_judged_is_counted_by_the_reason(tmp_path: Path) -> None:
    rows: list[Row] = [("once", "a", 1), *(("u", item, time) for time, item in enumerate("abc", 1))]
    rows += [("again", item, time) for time, item in enumerate("aba", 1)]
    dataset = prepared(tmp_path, rows)
    left_out = dataset.left_out("test", len(dataset.ground_truth("test")))
    assert left_out == {"users without an interaction in this part": 1, "users who had every item of it before": 1}


def test_a_basket_gives_each_target_once(tmp_path: Path) -> None:
    rows: list[Row] = [("u", "a", 1), ("u", "b", 2), ("u", "c", 3), ("u", "d", 3), ("u", "c", 3)]
    dataset = prepared(tmp_path, rows, {"use": "leave_last_out", "unit": "session"}, sessions=["1", "2", "3", "3", "3"])
    truth = dataset.ground_truth("test")
    assert sorted(dataset.items["item_id"][int(i)] for i in truth.targets(0)) == ["c", "d"]
    assert truth.queries.items(0).tolist() == [0, 1]


def test_sessions_stay_together_where_their_times_overlap(tmp_path: Path) -> None:
    rows: list[Row] = [("u", "a", 1), ("u", "b", 2), ("u", "c", 3), ("u", "d", 4)]
    dataset = prepared(tmp_path, rows, "none", sessions=["x", "y", "x", "y"])
    assert dataset.everything.items(0).tolist() == [0, 2, 1, 3]
    assert dataset.interactions["session"].to_list() == [0, 0, 1, 1]


def test_ties_are_shuffled_by_the_seed_or_left_as_in_the_file(tmp_path: Path) -> None:
    rows: list[Row] = [("u", f"{i:02d}", 1) for i in range(50)]
    orders = [
        prepared(tmp_path / f"{i}", rows, ties=ties, seed=seed).everything.items(0).tolist()
        for i, (ties, seed) in enumerate([("file", 0), ("shuffle", 0), ("shuffle", 0), ("shuffle", 1)])
    ]
    assert orders[0] == list(range(50))
    assert orders[1] == orders[2] != orders[3]
    assert sorted(orders[1]) == orders[0] != orders[1]


def test_without_a_clock_the_files_order_is_kept(tmp_path: Path) -> None:
    rows: list[Row] = [("u", f"{i:02d}", None) for i in range(50)]
    dataset = prepared(tmp_path, rows)
    assert dataset.everything.items(0).tolist() == list(range(50))
    assert np.isnan(dataset.everything.time_E).all()


def test_items_only_in_events_join_the_catalogue_without_text(tmp_path: Path) -> None:
    items = pl.DataFrame({"item_id": ["z", "a"], "title": ["Zed", None]})
    dataset = prepared(tmp_path, ROWS, items=items, text="{title}")
    assert dataset.items["item_id"].to_list() == ["z", "a", "b", "c", "d", "0c"]
    assert dataset.items["text"].to_list() == ["Zed", "", "", "", "", ""]
    assert dataset.items["shown"].to_list() == ["Zed", "a", "b", "c", "d", "0c"]
    assert dataset.summary["items_with_text"] == 1


def test_only_the_events_asked_for_count_and_the_rest_is_told(tmp_path: Path) -> None:
    dataset = prepared(tmp_path, ROWS, "none", events=["view"], min_value=2)
    assert len(dataset.interactions) == 3
    assert dataset.summary["left_out"] == {"data.events": 3, "data.min_value": 1}


def test_what_was_valued_too_low_is_seen_but_no_history(tmp_path: Path) -> None:
    # Values are the rows' numbers: "zero" happened never, "bad" was disliked, "late" too, but after the target.
    rows: list[Row] = [("u", "zero", 1), ("u", "bad", 2), ("only", "bad", 3), ("u", "late", 9)]
    rows += [("u", item, time) for time, item in enumerate(("a", "b", "c", "bad", "late"), 3)]
    dataset = prepared(tmp_path, rows, {"use": "leave_last_out"}, min_value=4)
    ids = dataset.items["item_id"]
    assert dataset.users["user_id"].to_list() == ["u", "only"], "somebody who disliked all is known, too"
    assert [ids[int(i)] for i in dataset.everything.items(0)] == ["a", "b", "c", "bad", "late"]
    assert [sorted(ids[int(i)] for i in dataset.everything.seen.items(u)) for u in (0, 1)] == [
        ["a", "b", "bad", "bad", "c", "late", "late"],
        ["bad"],
    ]
    assert dataset.training.seen.items(0).tolist() == dataset.everything.items(0)[:3].tolist(), "nothing is learnt from them"
    assert len(dataset.ground_truth("valid")) == 0, "what was disliked before is masked and cannot be right"
    test = dataset.ground_truth("test")
    assert [ids[int(i)] for i in test.targets(0)] == ["late"], "what was disliked after it is not known yet"
    assert sorted(ids[int(i)] for i in test.queries.seen.items(0)) == ["a", "b", "bad", "bad", "c"]


def test_nothing_left_says_what_was_left_out(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no interaction is left: .*'data.events': 7"):
        prepared(tmp_path, ROWS, events=["like"])


def test_held_out_items_are_not_trained_on_but_stay_in_histories_and_targets(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows: list[Row] = [(f"u{u}", f"i{i}", float(t)) for u in range(40) for t, i in enumerate(rng.permutation(20)[:8])]
    dataset = prepared(tmp_path, rows, {"use": "leave_last_out", "cold_items": 0.25})
    counts = np.bincount(dataset.training.item_idx_E, minlength=20)
    cold = np.flatnonzero(counts == 0)
    assert len(cold) == 5
    truth = dataset.ground_truth("test")
    assert np.isin(truth.target_E, cold).any()
    assert np.isin(truth.queries.item_idx_E, cold).any()
    assert len(truth) == 40
    assert dataset.summary["protocol"] == "leave-last-out, 25% of items held out"


def test_a_limit_draws_users_with_the_seed(tmp_path: Path) -> None:
    dataset = prepared(tmp_path, [(f"u{u}", f"i{i}", float(i)) for u in range(30) for i in range(3)])
    drawn = [dataset.ground_truth("test", 10, seed).user_idx_B.tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 10
