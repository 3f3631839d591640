"""The report of a run: what only some rungs can tell of themselves."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import yaml

import genre
from genre.data.dataset import Dataset
from genre.rankers import Ranker
from genre.rankers.deep import DeepRanker
from genre.runs import Run


def test_how_far_chances_may_be_believed_is_said_on_the_test_part(small_run: Run, tmp_path: Path) -> None:
    shutil.copytree(small_run.folder, tmp_path / "run")
    tree = yaml.safe_load((small_run.folder / "config.yaml").read_text())
    tree["rankers"]["deep"] = {"use": "deep", "of": ["popularity"], "epochs": 2, "shortlist": 10}
    tree["serve"] = "deep"
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    run = genre.run(tmp_path / "small.yaml", folder=tmp_path / "run")

    ranker, truth = Ranker.load(run.path("rank/deep")), Dataset.load(run.path("prepare")).ground_truth("test")
    assert isinstance(ranker, DeepRanker)
    share = np.diff(truth.offsets).mean() / 10
    found = ranker.believed(truth)
    assert found.entries == 10 * len(truth)
    assert 0 < found.share <= share, "a target that is no candidate is not among them"
    page = (run.folder / "report.html").read_text()
    assert re.search(rf"<dt>chances of deep on the test part</dt><dd>{re.escape(str(found))}</dd>", page)
