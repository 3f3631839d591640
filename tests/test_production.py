"""Training on everything, with what validation chose, and with nothing that it chose for something else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import genre
from genre.evaluation.result import Result
from genre.judging import measure
from genre.reporting import ladder
from genre.runs import Run

NONE = "data.split.use=none"


@pytest.fixture
def evaluated(small_run: Run, tmp_path: Path) -> Run:
    """A copy of the evaluated run, to train on everything in."""
    return Run(shutil.copytree(small_run.folder, tmp_path / "run"))


def epochs_of(run: Run) -> int:
    """What the sequential ranker was trained for."""
    return int(run.manifest("rank/hybrid").settings["ranker"]["epochs"])


def test_what_was_chosen_is_used_and_the_ladder_keeps_what_the_evaluated_rankers_cost(evaluated: Run, small_yaml: Path) -> None:
    before = ladder([evaluated.folder])
    genre.run(small_yaml, [NONE], folder=evaluated.folder)
    assert epochs_of(evaluated) == json.loads((evaluated.folder / "chosen.json").read_text())["hybrid"]["epochs"]
    assert ladder([evaluated.folder]) == before


def test_a_refitted_run_learns_from_validation_too_and_is_judged_by_the_same_test(evaluated: Run, small_yaml: Path) -> None:
    before = {name: Result.load(evaluated.path(f"evaluate/{name}")) for name in ("popularity", "blend")}
    weights = json.loads((evaluated.folder / "chosen.json").read_text())["blend"]["weights"]
    genre.run(small_yaml, ["data.split.refit=true"], folder=evaluated.folder)
    assert evaluated.manifest("rank/blend").settings["ranker"]["weights"] == weights
    assert json.loads((evaluated.path("prepare") / "summary.json").read_text())["parts"]["valid"] == 0
    for name, was in before.items():
        now = Result.load(evaluated.path(f"evaluate/{name}"))
        assert now.per_user["user_idx"].equals(was.per_user["user_idx"]) and now.metrics != was.metrics
        assert "learnt anew from training and validation" in str(now.protocol)
    with pytest.raises(ValueError, match="learnt from the validation part, too"):
        next(measure(evaluated.folder))


def test_what_is_set_by_hand_wins(evaluated: Run, small_yaml: Path) -> None:
    file = evaluated.folder / "chosen.json"
    chosen = json.loads(file.read_text())
    chosen["hybrid"]["epochs"] = 2
    file.write_text(json.dumps(chosen))
    by_hand = "rankers.blend.weights={transitions: 1, content: 1, hybrid: 1}"
    genre.run(small_yaml, [NONE, "rankers.hybrid.epochs=1", by_hand, "rankers.blend.scaling=shared"], folder=evaluated.folder)
    assert epochs_of(evaluated) == 1
    assert evaluated.manifest("rank/blend").settings["ranker"]["weights"] == {"transitions": 1, "content": 1, "hybrid": 1}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            "rankers.hybrid.learning_rate=0.5",
            "chose rankers.hybrid.epochs under other settings than now \\(rankers.hybrid.learning_rate changed",
        ),
        ("rankers.blend.of=[transitions, content]", "chose rankers.blend.weights and rankers.blend.scaling .*rankers.blend.of changed"),
        ("rankers.transitions.window=3", "chose rankers.blend.weights .*rankers.transitions.window changed"),
        ("encoders.text.dim=7", "chose rankers.hybrid.epochs .*encoders.text.dim changed"),
    ],
)
def test_what_was_chosen_under_other_settings_is_refused_before_anything_is_trained(
    evaluated: Run, small_yaml: Path, change: str, says: str
) -> None:
    before = {stage: evaluated.manifest(stage) for stage in evaluated.stages()}
    with pytest.raises(ValueError, match=says):
        genre.run(small_yaml, [NONE, change], folder=evaluated.folder)
    assert {stage: evaluated.manifest(stage) for stage in evaluated.stages()} == before
