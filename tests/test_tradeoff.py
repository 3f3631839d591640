"""The trade-off curve of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genre.evaluation.result import Result
from genre.judging import measure
from genre.runs import Run
from genre.tradeoff import SWEEPS, Curve, tradeoff


@pytest.fixture(scope="module")
def curve(small_run: Run) -> Curve:
    return tradeoff(small_run.folder)


def test_every_policy_is_swept_from_greedy_on(curve: Curve) -> None:
    assert curve.points[0].policy == "greedy"
    assert [point.policy for point in curve.points[1:]] == [name for name, (_, values) in SWEEPS.items() for _ in values]


def test_greedy_is_the_ranker_as_it_was_evaluated(small_run: Run, curve: Curve) -> None:
    result: Result = dict(measure(small_run.folder, ["blend"]))["blend"]
    assert curve.points[0].ndcg.mean == pytest.approx(result.metrics["ndcg@10"].mean)
    assert curve.points[0].coverage == pytest.approx(result.beyond["coverage@10"])
    assert curve.points[0].diversity == pytest.approx(result.beyond["diversity@10"], abs=1e-4)
    assert curve.points[0].tail_share == pytest.approx(result.beyond["tail_share@10"])


def test_settings_move_what_they_are_for(curve: Curve) -> None:
    def along(policy: str, what: str) -> list[float]:
        return [float(getattr(point, what)) for point in curve.points if point.policy == policy]

    assert along("mmr", "diversity")[-1] > curve.points[0].diversity + 0.05  # type: ignore[operator]
    assert np.all(np.diff(along("mmr", "diversity")) > -0.01)
    assert along("dpp", "diversity")[-1] > along("dpp", "diversity")[0]
    assert along("long_tail", "tail_share")[-1] > curve.points[0].tail_share
    assert along("plackett_luce", "coverage")[-1] >= curve.points[0].coverage


def test_the_table_and_the_plot_have_every_point(curve: Curve, tmp_path: Path) -> None:
    header, rows = curve.table()
    assert len(rows) == len(curve.points)
    assert all(len(row) == len(header) for row in rows)
    curve.draw(tmp_path / "curve.svg")
    assert (tmp_path / "curve.svg").read_text().count("<circle") == len(curve.points) - 1 + len(SWEEPS)
