"""What a run that was stopped halfway leaves, and what may be read of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import genre
from genre import pipeline
from genre.config import load_config, load_run_config
from genre.judging import measure
from genre.recommender import Recommender
from genre.runs import Run


@pytest.fixture
def halfway(small_run: Run, small_yaml: Path, tmp_path: Path) -> Run:
    """A finished run whose items are in another order now, and which was stopped after `prepare`."""
    run = Run(shutil.copytree(small_run.folder, tmp_path / "run"))
    pipeline.prepare(load_config(small_yaml, ["data.reader.seed=4"]), run)
    return run


def test_old_rankers_never_meet_new_indices(halfway: Run) -> None:
    with pytest.raises(RuntimeError, match="was made from an earlier prepare than is there now"):
        Recommender.load(halfway.folder)
    with pytest.raises(RuntimeError, match="was made from an earlier prepare than is there now"):
        list(measure(halfway.folder))


def test_a_ranker_that_left_the_configuration_is_kept_and_told_of(
    small_run: Run, small_yaml: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(shutil.copytree(small_run.folder, tmp_path / "run"))
    caplog.set_level("INFO")
    genre.run(small_yaml, folder=run.folder)
    assert "no longer in the configuration" not in caplog.text
    genre.run(small_yaml, ["rankers.blend=null"], folder=run.folder)
    assert "rank/blend: no longer in the configuration" in caplog.text
    assert run.path("rank/blend").is_dir()


def test_whoever_may_read_a_manifest_may_read_the_arrays_beside_it(small_run: Run) -> None:
    for stage in small_run.stages():
        folder = small_run.path(stage)
        assert {file.stat().st_mode for file in folder.rglob("*.safetensors")} <= {(folder / "manifest.json").stat().st_mode}
    assert list(small_run.folder.rglob("*.safetensors"))


BROKEN = """
from genre import Ranker


class Broken(Ranker):
    def fit(self, training, folder):
        raise ValueError("no luck")

    def score(self, queries):
        raise ValueError("not fitted")

    def extend(self, content, m):
        raise ValueError("not fitted")
"""


def test_a_run_that_fails_leaves_the_configuration_of_what_is_there(small_run: Run, small_yaml: Path, tmp_path: Path) -> None:
    run = Run(shutil.copytree(small_run.folder, tmp_path / "run"))
    (tmp_path / "broken.py").write_text(BROKEN)
    with pytest.raises(ValueError, match="no luck"):
        genre.run(small_yaml, ["rankers.own={use: broken:Broken}"], folder=run.folder)
    assert "own" not in load_run_config(run.folder).rankers
    assert Recommender.load(run.folder).recommend("nobody")
