"""Updating from the log: what is better is published, what is worse is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from fastapi.testclient import TestClient
from test_store_events import log, row
from typer.testing import CliRunner

from genre.bundle import Bundle
from genre.cli import app
from genre.data.dataset import Dataset
from genre.runs import Run
from genre.serving import operating
from genre.serving.app import create_app
from genre.serving.engine import BundleEngine
from genre.serving.settings import ServeSettings, open_store
from genre.serving.store import registry
from genre.updating import update, windows


@pytest.fixture
def served(small_bundle: Path, tmp_path: Path) -> Path:
    """A run whose bundle serves, in a copy."""
    run = tmp_path / "shop"
    shutil.copytree(small_bundle.parents[1], run)
    operating.promote(run)
    return run


def habit(run: Path, users: int = 60, steps: int = 20, begins: int = 0) -> None:
    """After the training data, everybody begins to walk through the catalogue in order: a habit that the old model has not seen."""
    dataset = Dataset.load(run / "prepare")
    ids = dataset.items["item_id"].to_list()
    begin = float(dataset.interactions["time"].max() or 0) + 1000  # type: ignore[arg-type]
    begin += begins * 1000
    store = open_store(run)
    rows = [
        row(f"{user}-{begins + step}", begin + step * 1000 + user, user=f"walker-{user}", item=ids[(user + begins + step) % len(ids)])
        for step in range(steps)
        for user in range(users)
    ]
    log(store, *rows)
    store.close()


def test_both_are_judged_on_what_neither_has_seen() -> None:
    split = windows(np.arange(100.0), 0.3)
    assert split == {"use": "global_time", "valid_from": "1970-01-01T00:00:50+00:00", "test_from": "1970-01-01T00:01:10+00:00"}
    with pytest.raises(ValueError, match="too little"):
        windows(np.repeat([1.0, 2.0], 50), 0.3)


def test_a_better_model_is_published_and_serves(served: Path) -> None:
    habit(served)
    found = update(served)
    assert found.difference.low > 0, "it learnt the habit"
    assert found.model == "000002"
    Bundle.open(served / "models" / "000002")
    store = open_store(served)
    with store.read() as connection:
        assert registry.now(connection).current == "000002"
        assert registry.now(connection).below == ("000001",)
    store.close()
    work = Run(served / "update")
    assert work.manifest("prepare").settings["split"]["use"] == "none", "the published one has learnt from everything"
    begun = served / "models" / "000001" / "ranker" / "members" / "hybrid"
    assert work.manifest("rank/hybrid").inputs[str(begun)], "it began from the weights that served"
    assert not any("models" in name for name in work.manifest("rank/transitions").inputs)
    with pytest.raises(ValueError, match="too little was done"):
        update(served)
    habit(served, begins=20)
    assert update(served, promote=False).queries == 60


def test_a_worse_model_is_not(served: Path) -> None:
    habit(served)
    update(served)
    habit(served, begins=20)
    config = yaml.safe_load((served / "config.yaml").read_text())
    config["serve"] = "popularity"
    (served / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    found = update(served)
    assert found.model is None
    assert found.difference.mean < 0
    assert sorted(folder.name for folder in (served / "models").iterdir()) == ["000001", "000002"]


def test_the_command_says_that_a_worse_model_is_not_published(served: Path) -> None:
    """From events over the API to the next answer: people take what the model offers them, the candidate knows nothing of who asks."""
    newest = float(Dataset.load(served / "prepare").interactions["time"].max() or 0)  # type: ignore[arg-type]
    config = yaml.safe_load((served / "config.yaml").read_text())
    config["serve"] = "popularity"
    (served / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    with TestClient(create_app(ServeSettings(runs=[served], follow_seconds=0.05), BundleEngine.load)) as api:
        for step in range(12):
            events = []
            for user in range(30):
                anchors = [f"{user:03d}"] if step == 0 else []
                offered = api.post("/v1/recommend", json={"user_id": f"walker-{user}", "anchors": anchors, "n": 1}).json()["items"][0]
                moment = newest + 1000 + step * 1000 + user
                who = {"event_id": f"{user}-{step}", "user_id": f"walker-{user}", "time": moment}
                events.append({**who, "type": "click", "item_id": offered["item_id"]})
            assert api.post("/v1/events", json=events).json()["accepted"] == 30
        done = CliRunner().invoke(app, ["update", str(served)])
        assert done.exit_code == 0, done.output
        assert "worse: not published" in done.output
        assert api.post("/v1/recommend", json={"user_id": "walker-1"}).json()["model"] == "000001"
    assert [folder.name for folder in (served / "models").iterdir()] == ["000001"]


def test_before_anything_serves_there_is_nothing_to_compare_with(small_run: Run, tmp_path: Path) -> None:
    run = tmp_path / "shop"
    shutil.copytree(small_run.folder, run, ignore=shutil.ignore_patterns("models", "store.db*"))
    with pytest.raises(ValueError, match="genre publish"):
        update(run)
