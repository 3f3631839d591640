"""Publishing: a version for every change, the newest where nothing changed, and a page of numbers beside the model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import genre
from genre.bundle import Bundle
from genre.config import load_run_config, parse_config
from genre.pipeline import publish
from genre.publishing.graph import Graph
from genre.publishing.sampling import recall
from genre.publishing.scan import kept_axes, quantised, restored, write_scan
from genre.runs import Run
from genre.serving.scorers.dot import session


@pytest.fixture
def run(small_run: Run, tmp_path: Path) -> Run:
    """A copy, to be written to."""
    return Run(shutil.copytree(small_run.folder, tmp_path / "run"))


def test_a_bundle_names_what_it_was_made_from(run: Run) -> None:
    config = load_run_config(run.folder)
    folder = publish(config, run)
    facts = Bundle.open(folder).facts
    assert (facts["name"], facts["ranker"], facts["encoders"]) == ("small", "blend", ["text"])
    assert facts["made_from"]["rank/blend"] == run.manifest("rank/blend").fingerprint
    assert facts["data"]["items"] == len(pl.read_parquet(folder / "items.parquet")) == 60
    assert json.loads((folder / "metrics.json").read_text()) == json.loads((run.path("evaluate/blend") / "metrics.json").read_text())
    assert {file.suffix for file in folder.rglob("*") if file.is_file()} == {".json", ".parquet", ".safetensors", ".onnx", ".yaml"}
    assert run.manifest(f"models/{folder.name}").inputs["prepare"] == run.manifest("prepare").fingerprint


def test_versions_count_changes(run: Run) -> None:
    config = load_run_config(run.folder)
    first = publish(config, run)
    assert publish(config, run) == first
    tree = config.model_dump(mode="json")
    changed = parse_config({**tree, "surfaces": {"home": {"filter": "price < 3"}}}, check_files=False)
    second = publish(changed, run)
    assert int(second.name) == int(first.name) + 1
    assert Bundle.open(second).facts["surfaces"]["home"]["filter"] == {"field": "price", "op": "<", "value": 3}
    assert Bundle.open(first).facts["surfaces"] == {}
    third = publish(config, run)  # back to what it was: the newest version, not the first one again
    assert int(third.name) == int(second.name) + 1


def test_a_run_with_surfaces_ends_by_publishing(run: Run) -> None:
    assert not (run.folder / "models").exists()
    tree = load_run_config(run.folder).model_dump(mode="json")
    genre.run(parse_config({**tree, "surfaces": {"home": {}}}, check_files=False), folder=run.folder)
    assert list(Bundle.open(run.path("models/000001")).facts["surfaces"]) == ["home"]


def test_four_bits_keep_the_order_of_what_matters(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vector_ND = rng.normal(size=(3000, 32)).astype(np.float32) * rng.gamma(1.0, size=(3000, 1)).astype(np.float32)
    vector_ND[7] = 0
    write_scan(vector_ND, tmp_path / "scan.onnx")
    scan = session(tmp_path / "scan.onnx")
    for _ in range(20):
        user_D = rng.normal(size=32).astype(np.float32)
        coarse_N, exact_N = scan.run(None, {"vector": user_D[None]})[0][0], vector_ND @ user_D
        best = set(np.argsort(-exact_N)[:50].tolist())
        assert len(best & set(np.argsort(-coarse_N)[:75].tolist())) >= 48
        assert set(np.argsort(-exact_N)[:20].tolist()) <= set(np.argsort(-coarse_N)[:75].tolist())
        assert coarse_N[7] == 0


def test_as_many_axes_are_kept_as_the_vectors_need() -> None:
    rng = np.random.default_rng(0)
    flat_ND = rng.normal(size=(12_000, 128)).astype(np.float32)
    assert kept_axes(flat_ND, rng).shape == (128, 128)
    steep_ND = (flat_ND * np.where(np.arange(128) < 20, 1.0, 0.01)).astype(np.float32)
    axes_DA = kept_axes(steep_ND, rng)
    assert axes_DA.shape == (128, 64)
    np.testing.assert_allclose(axes_DA.T @ axes_DA, np.eye(64), atol=1e-5)
    assert kept_axes(steep_ND[:100], rng).shape == (128, 128)  # nothing to save
    few_DA = kept_axes(steep_ND[:100, :30], rng)  # filled up to a whole group: the products stay what they are
    np.testing.assert_allclose(few_DA @ few_DA.T, np.eye(30), atol=1e-5)


def test_recall_by_hand() -> None:
    assert recall(np.array([[1, 2], [3, 4]]), np.array([[2, 9], [4, 3]])) == 0.5


def test_quantised_by_hand() -> None:
    vector_NA = np.zeros((3, 128))
    vector_NA[0, :3], vector_NA[2, 64:66] = [7.0, -3.6, 0.4], [0.5, -1.0]
    step_NA, factor_NG = quantised(vector_NA)
    assert step_NA[0, :4].tolist() == [15, 4, 8, 8] and step_NA[2, 64:67].tolist() == [12, 1, 8]
    np.testing.assert_allclose(factor_NG, np.array([[1, 0], [0, 0], [0, 1 / 7]]), rtol=1e-6)
    np.testing.assert_allclose(restored(step_NA, factor_NG)[[0, 2], [1, 64]], [-4.0, 4 / 7], rtol=1e-6)


def test_a_graph_by_hand(tmp_path: Path) -> None:
    graph = Graph()
    doubled = graph.add("Mul", "x", graph.constant(np.float32(2)))
    graph.write(tmp_path / "double.onnx", ("x", ["length"]), doubled, ("y", ["length"]))
    assert session(tmp_path / "double.onnx").run(None, {"x": np.array([1, 2, 3], np.float32)})[0].tolist() == [2, 4, 6]
