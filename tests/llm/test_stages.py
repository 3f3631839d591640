from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

import genre
from genre.config import ConfigError, load_config
from genre.data.dataset import Dataset
from genre.data.splitting import TRAIN
from genre.encoders.catalogue import CatalogueEncoder, load_vectors
from genre.llm.tuning_data import tuning_data
from genre.reporting import cost
from genre.runs import Run

SHAPE = {"vocabulary": 400, "dim": 16, "layers": 3, "heads": 2, "max_tokens": 64}
CHEAP = {"device": "cpu", "precision": "float32"}
WHOLE: dict[str, Any] = {
    "data": {"reader": {"use": "synthetic", "users": 120, "items": 60, "seed": 3}, "text": "{title} {description}"},
    "pretrain": {"scratch": SHAPE, "max_tokens": 64, "epochs": 2, "learning_rate": 5e-3, **CHEAP},
    "finetune": {
        "model": "pretrain", "layer": 2, "top": 1, "dim": 8, "epochs": 1, "warm_up_epochs": 1,
        "objective": {"use": "next_item", "fresh": 20}, **CHEAP,
    },
    "encoders": {
        "plain": {"use": "language_model", "model": "pretrain", "prefix": "Item:", "device": "cpu"},
        "tuned": {"use": "language_model", "model": "finetune", "device": "cpu"},
    },
    "rankers": {"popularity": {"use": "popularity"}, "content": {"use": "content", "content": ["tuned"]}},
    "evaluate": {"category": "category", "resamples": 100},
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A run through every stage of a language model, from scratch."""
    folder = tmp_path_factory.mktemp("whole")
    file = folder / "whole.yaml"
    file.write_text(yaml.safe_dump(WHOLE, sort_keys=False))
    return file, genre.run(file, folder=folder / "run")


def test_text_becomes_a_model_a_tuned_model_and_vectors(whole: tuple[Path, Run]) -> None:
    _, run = whole
    assert {"prepare", "pretrain", "finetune", "embed/plain", "embed/tuned"} <= set(run.stages())
    before_after = json.loads((run.path("pretrain") / "metrics.json").read_text())
    assert before_after["after"]["loss"] < before_after["before"]["loss"]
    assert load_vectors(run.path("embed/plain")).shape == (60, 16)
    assert load_vectors(run.path("embed/tuned")).shape == (60, 8)
    assert run.manifest("embed/tuned").inputs.keys() == {"prepare", "finetune"}
    assert run.manifest("finetune").inputs.keys() == {"prepare", "pretrain"}


def test_a_run_that_was_moved_still_finds_its_model(whole: tuple[Path, Run], tmp_path: Path) -> None:
    _, run = whole
    shutil.copytree(run.folder, tmp_path / "moved")
    catalogue = CatalogueEncoder.load(tmp_path / "moved" / "embed" / "tuned")
    items = Dataset.load(run.path("prepare")).items
    assert catalogue.encode(items) == pytest.approx(load_vectors(run.path("embed/tuned")), abs=1e-5)
    assert len(genre.Recommender.load(tmp_path / "moved").recommend(text="a story", n=3)) == 3


def test_what_is_fresh_is_not_done_again_and_a_changed_stage_takes_those_after_it(whole: tuple[Path, Run]) -> None:
    file, run = whole
    before = {stage: run.manifest(stage).finished for stage in run.stages()}
    genre.run(file, ["finetune.top=2"], folder=run.folder)
    again = {stage: run.manifest(stage).fingerprint for stage in run.stages()}
    assert run.manifest("pretrain").finished == before["pretrain"]
    genre.run(file, ["finetune.top=2"], folder=run.folder)
    assert {stage: run.manifest(stage).fingerprint for stage in run.stages()} == again


def test_for_production_it_is_tuned_on_everything_for_as_long_as_was_chosen(whole: tuple[Path, Run]) -> None:
    file, run = whole
    genre.run(file, folder=run.folder)
    chosen = json.loads((run.folder / "chosen.json").read_text())["/finetune"]["epochs"]
    genre.run(file, ["data.split.use=none"], folder=run.folder)
    assert run.manifest("finetune").settings["finetune"]["epochs"] == chosen
    metrics = json.loads((run.path("finetune") / "metrics.json").read_text())
    assert metrics["frozen"] is None and metrics["epochs"] == chosen


def test_a_rung_costs_what_its_model_cost(tiny_causal: Path, tmp_path: Path) -> None:
    settings = WHOLE | {"pretrain": {"model": str(tiny_causal), "max_tokens": 64, **CHEAP}, "finetune": None}
    settings |= {"encoders": {"own": WHOLE["encoders"]["plain"]}, "rankers": {"content": {"use": "content", "content": ["own"]}}}
    (tmp_path / "cheap.yaml").write_text(yaml.safe_dump({name: section for name, section in settings.items() if section}))
    run = genre.run(tmp_path / "cheap.yaml", folder=tmp_path / "run")
    assert str(tiny_causal) in run.manifest("pretrain").inputs, "a changed model is another stage"
    spent = [run.manifest(stage).cpu_seconds for stage in ("pretrain", "embed/own", "rank/content")]
    assert cost(run, "rank/content")[1] == pytest.approx(sum(spent))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["pretrain=null", "encoders.plain=null"], "finetune.model is pretrain, and there is no section `pretrain`"),
        (["pretrain=null", "finetune=null"], "encoders.plain.model is pretrain, and there is no section `pretrain`"),
        (["finetune.topp=3"], "finetune.topp: unknown key; did you mean 'top'"),
        (["finetune.objective.use=next"], "no objective called 'next'"),
        (["finetune.objective.fresher=3"], "finetune.objective.fresher: unknown key; did you mean 'fresh'"),
        (["pretrain.scratch.head=3"], "pretrain.scratch.head: unknown key; did you mean 'heads'"),
        (["finetune.model=/no/where"], "finetune.model: model '/no/where' is not a folder"),
        (["encoders.tuned.model=/no/where"], "model '/no/where' is not a folder"),
    ],
)
def test_mistakes_are_found_when_the_config_is_read(whole: tuple[Path, Run], changes: list[str], message: str) -> None:
    with pytest.raises((ConfigError, FileNotFoundError), match=message):
        genre.run(load_config(whole[0], changes), folder=whole[0].parent / "never")


def test_nothing_held_out_is_seen(whole: tuple[Path, Run]) -> None:
    _, run = whole
    prepared = Path(run.folder.parent / "again")
    file = prepared.with_suffix(".yaml")
    file.write_text(
        yaml.safe_dump({k: v for k, v in WHOLE.items() if k in ("data", "rankers")} | {"rankers": {"p": {"use": "popularity"}}})
    )
    prepared = genre.run(file, folder=prepared).path("prepare")
    dataset = Dataset.load(prepared)
    found = tuning_data(dataset, prepared, True, 0)
    held = dataset.interactions.filter(pl.col("part") != TRAIN)
    for user, time in held.select("user_idx", "time").iter_rows():
        assert time >= found.until_U[user]
        assert (found.training.histories.times(user) <= found.until_U[user]).all()
    assert np.isfinite(found.until_U).sum() == held["user_idx"].n_unique()
