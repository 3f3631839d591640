"""Replaying: what is held out, and that nobody who scores it has seen it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genre.component import build
from genre.rankers import Ranker
from genre.rankers.replaying import held_out, refitted
from genre.types import Histories, Training


def test_the_last_steps_leave_and_are_asked_for_one_after_another() -> None:
    histories = Histories.of([[1, 2, 3, 4, 5], [6], [7, 8]], [[10, 20, 30, 40, 50], [1], [3, 4]])
    early, truth = held_out(histories, 2, None, repeats=False)
    assert [early.items(b).tolist() for b in range(3)] == [[1, 2, 3], [6], [7]], "at most half of a history leaves"
    assert early.now_B.tolist() == [30, 1, 3]
    assert [truth.queries.items(b).tolist() for b in range(len(truth))] == [[1, 2, 3], [1, 2, 3, 4], [7]]
    assert [truth.targets(b).tolist() for b in range(len(truth))] == [[4], [5], [8]]
    assert truth.queries.now_B.tolist() == [40, 50, 4]
    assert truth.user_idx_B.tolist() == [0, 0, 2]


def test_a_sitting_is_one_step() -> None:
    histories = Histories.of([[1, 2, 3, 4]], [[10, 10, 20, 20]])
    early, truth = held_out(histories, 5, 0.0, repeats=False)
    assert early.items(0).tolist() == [1, 2]
    assert len(truth) == 1
    assert truth.targets(0).tolist() == [3, 4]


@pytest.mark.parametrize(("repeats", "targets"), [(False, [[4]]), (True, [[1], [4]])])
def test_what_was_had_before_is_a_target_only_where_it_may_be_repeated(repeats: bool, targets: list[list[int]]) -> None:
    _, truth = held_out(Histories.of([[1, 2, 1, 4]]), 2, None, repeats)
    assert [truth.targets(b).tolist() for b in range(len(truth))] == targets


def test_nothing_to_hold_out() -> None:
    early, truth = held_out(Histories.of([[1], []]), 3, None, repeats=False)
    assert len(truth) == 0
    assert early.lengths.tolist() == [1, 0]


def test_members_fitted_anew_do_not_know_the_replayed_steps(tmp_path: Path) -> None:
    """On histories that follow no rule, a member that has seen the steps finds them, and one that has not is as good as chance."""
    rng = np.random.default_rng(0)
    histories = Histories.of([rng.permutation(200)[:12] for _ in range(80)])
    training = Training(histories, 200)
    knows = build(Ranker, {"use": "transitions", "popularity_power": 0.0, "source_power": 0.0})
    knows.fit(training, tmp_path)
    training = replace(training, members={"transitions": knows})
    early, truth = held_out(histories, 4, None, repeats=False)
    blind = refitted(training, early, ("transitions",), tmp_path / "refitted")["transitions"]

    def share_above(ranker: Ranker) -> float:
        scores = ranker.score(truth.queries)
        target_B = scores[np.arange(len(truth)), truth.target_E]
        return float(((scores < target_B[:, None]).sum(1) / 200).mean())

    assert share_above(knows) > 0.9
    assert share_above(blind) == pytest.approx(0.5, abs=0.08)
    again = refitted(training, early, ("transitions",), tmp_path / "refitted")["transitions"]
    assert np.array_equal(again.score(truth.queries), blind.score(truth.queries)), "what is done is not done again, and is the same"


def test_members_that_cannot_be_fitted_anew_are_named(tmp_path: Path) -> None:
    members = {name: build(Ranker, settings) for name, settings in {
        "mix": {"use": "blend", "of": ["a"]}, "text": {"use": "content", "content": ["words"]},
    }.items()}  # fmt: skip
    training = Training(Histories.of([[1, 2]]), 3, members=members)
    with pytest.raises(ValueError, match="mix combines a and cannot be fitted anew"):
        refitted(training, training.histories, ("mix",), tmp_path)
    with pytest.raises(ValueError, match="text reads words"):
        refitted(training, training.histories, ("text",), tmp_path)
