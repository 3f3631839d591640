"""The trade-off curve of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genre.evaluation.intervals import Interval
from genre.evaluation.result import Result
from genre.judging import measure
from genre.policies import Policy
from genre.runs import Run
from genre.tradeoff import SWEEPS, Curve, tradeoff


@pytest.fixture(scope="module")
def curve(small_run: Run) -> Curve:
    return tradeoff(small_run.folder)


def test_every_policy_is_swept_from_greedy_on(curve: Curve) -> None:
    assert curve.points[0].policy == "greedy"
    assert [point.policy for point in curve.points[1:]] == [name for name, (_, values) in SWEEPS.items() for _ in values]
    assert {point.policy for point in curve.points} == set(Policy.builtins) - {"chain"}, "a chain is made of the others"


def test_greedy_is_the_ranker_as_it_was_evaluated(small_run: Run, curve: Curve) -> None:
    result: Result = dict(measure(small_run.folder, ["blend"]))["blend"]
    assert curve.points[0].ndcg.mean == pytest.approx(result.metrics["ndcg@10"].mean)
    assert curve.points[0].coverage == pytest.approx(result.beyond["coverage@10"])
    assert curve.points[0].diversity == pytest.approx(result.beyond["diversity@10"], abs=1e-4)
    assert curve.points[0].tail_share == pytest.approx(result.beyond["tail_share@10"])


def test_settings_move_what_they_are_for(curve: Curve) -> None:
    def along(policy: str, what: str) -> list[float]:
        found = [getattr(point, what) for point in curve.points if point.policy == policy]
        return [value.mean if isinstance(value, Interval) else float(value) for value in found]

    assert along("mmr", "diversity")[-1] > along("greedy", "diversity")[0] + 0.05
    assert np.all(np.diff(along("mmr", "diversity")) > -0.01)
    assert along("dpp", "diversity")[-1] > along("dpp", "diversity")[0]
    assert along("long_tail", "tail_share")[-1] > curve.points[0].tail_share
    assert along("caps", "diversity")[-1] > along("greedy", "diversity")[0]
    for name in ("plackett_luce", "epsilon", "linucb", "thompson"):
        assert along(name, "coverage")[-1] >= curve.points[0].coverage
        assert along(name, "ndcg")[-1] < curve.points[0].ndcg.mean, "what draws pays"


def test_the_table_and_the_plot_have_every_point(curve: Curve, tmp_path: Path) -> None:
    header, rows = curve.table()
    assert len(rows) == len(curve.points)
    assert all(len(row) == len(header) for row in rows)
    curve.draw(tmp_path / "curve.svg")
    drawn = (tmp_path / "curve.svg").read_text()
    assert drawn.count("<circle") == 3 * (len(curve.points) - 1 + len(SWEEPS)), "against diversity, coverage and tail share"
    replace(curve, points=tuple(replace(point, diversity=None) for point in curve.points)).draw(tmp_path / "without.svg")
    assert (tmp_path / "without.svg").read_text().count("<circle") == drawn.count("<circle") * 2 // 3
