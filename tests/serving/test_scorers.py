"""Scorers give the numbers of the rankers they were published from, for any history, and after items were added."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genre.component import build
from genre.publishing.assembling import write_search
from genre.rankers import Ranker
from genre.rankers.blend import BlendRanker
from genre.rankers.deep import DeepRanker
from genre.serving.scorers import BUILTINS, Query, load_scorer
from genre.serving.scorers.blend import BlendScorer
from genre.serving.scorers.deep import DeepScorer
from genre.serving.scorers.recency import recency_L
from genre.testing import CONTENT_DIM, N_ITEMS
from genre.types import Histories, Training

SETTINGS: dict[str, dict[str, object]] = {
    "content": {"content": ["text"], "sitting_seconds": 60.0},
    "sequential": {"content": ["text"], "embedding_dim": 16, "epochs": 2, "layers": 2},
    "transitions": {"sitting_seconds": 60.0},
    "deep": {"of": ["transitions", "sequential"], "content": ["text"], "epochs": 2, "hidden": 8, "shortlist": 4},
}
HISTORIES: list[tuple[list[int], list[float]]] = [
    ([], []), ([3], [5.0]), ([0, 1, 2, 2, 5], [0.0, 10.0, 10.0, 500.0, 530.0]), ([11], [0.0]), (list(range(12)) * 6, list(range(72))),
]  # fmt: skip


def fitted(name: str, settings: dict[str, object], folder: Path) -> Ranker:
    ranker = build(Ranker, {"use": name, **settings})
    rng = np.random.default_rng(0)
    walks = [(rng.integers(10) + np.arange(rng.integers(2, 8))) % 10 for _ in range(30)]
    histories = Histories.of(walks, [1e9 + 40.0 * np.arange(len(walk)) for walk in walks])
    content = rng.normal(size=(N_ITEMS, CONTENT_DIM)).astype(np.float32) if ranker.config.encoders() else None
    names: dict[str, dict[str, object]] = {
        "transitions": {},
        "ease": {},
        "content": SETTINGS["content"],
        "sequential": {"epochs": 1, "embedding_dim": 8},
    }
    members = {}
    for member in ranker.config.members():
        members[member] = fitted(member, names[member], folder / member)
    read = {
        member: rng.normal(size=(N_ITEMS, CONTENT_DIM)).astype(np.float32) for member, each in members.items() if each.config.encoders()
    }
    ranker.fit(Training(histories, N_ITEMS, content, members=members, member_content=read), folder / "fit")
    ranker.save(folder / "saved")
    for file in (folder / "saved").rglob("component.json"):
        write_search(file.parent)
    return Ranker.load(folder / "saved")


IDS_ONLY: dict[str, object] = {"embedding_dim": 8, "epochs": 1}
LEAVES = sorted(set(BUILTINS) - {"blend", "deep"})
CASES = [(name, SETTINGS.get(name, {})) for name in LEAVES] + [("sequential", IDS_ONLY)]


@pytest.mark.parametrize(("name", "settings"), CASES, ids=[*LEAVES, "ids only"])
@pytest.mark.parametrize("added", [0, 3])
def test_scores_are_the_ranker_s(name: str, settings: dict[str, object], added: int, tmp_path: Path) -> None:
    ranker = fitted(name, settings, tmp_path)
    (scorer,) = load_scorer(tmp_path / "saved").leaves()
    assert scorer.encoders() == ranker.config.encoders()
    if added:
        content = np.random.default_rng(1).normal(size=(added, CONTENT_DIM)).astype(np.float32) if scorer.encoders() else None
        ranker.extend(content, added)
        scorer.extend(content, added)
    n = N_ITEMS + added
    some = np.array([n - 1, 0, 7, 10])
    for items, times in HISTORIES:
        want = ranker.score(Histories.of([items], [times]))[0]
        reading = scorer.read(Query(np.array(items, np.int64), np.array(times), 0.0), n)
        np.testing.assert_allclose(reading.all(), want, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(reading.at(some), want[some], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(reading.coarse(), want, atol=0.03 * max(1.0, float(np.abs(want).max())))
        np.testing.assert_allclose(reading.spread(), (want.mean(), want.std()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scaling", ["shared", "query"])
@pytest.mark.parametrize("added", [0, 3])
def test_a_blend_adds_up_its_members(scaling: str, added: int, tmp_path: Path) -> None:
    weights = {"transitions": 0.7, "content": 1.3, "ease": 0.0, "sequential": 0.4}
    ranker = fitted("blend", {"of": list(weights), "weights": weights, "scaling": scaling}, tmp_path)
    scorer = load_scorer(tmp_path / "saved")
    assert len(list(scorer.leaves())) == 3  # a member without weight is not even loaded
    if added:
        assert isinstance(ranker, BlendRanker)
        content = np.random.default_rng(1).normal(size=(added, CONTENT_DIM)).astype(np.float32)
        for known in ranker.leaves():
            known.extend(content if known.config.encoders() else None, added)
        for leaf in scorer.leaves():
            leaf.extend(content if leaf.encoders() else None, added)
    n = N_ITEMS + added
    for items, times in HISTORIES:
        want = ranker.score(Histories.of([items], [times]))[0]
        reading = scorer.read(Query(np.array(items, np.int64), np.array(times), 0.0), n)
        np.testing.assert_allclose(reading.all(), want, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(reading.at(np.array([4, n - 1])), want[[4, n - 1]], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("added", [0, 3])
def test_a_deep_ranker_needs_no_torch_for_its_scores(added: int, tmp_path: Path) -> None:
    ranker = fitted("deep", SETTINGS["deep"], tmp_path)
    scorer = load_scorer(tmp_path / "saved")
    assert isinstance(ranker, DeepRanker)
    assert {leaf.config["use"] for leaf in scorer.leaves()} == {"transitions", "sequential", "content"}
    if added:
        content = np.random.default_rng(1).normal(size=(added, CONTENT_DIM)).astype(np.float32)
        for each in ranker.leaves():
            each.extend(content if each.config.encoders() else None, added)
        for leaf in scorer.leaves():
            leaf.extend(content if leaf.encoders() else None, added)
    now = 1e9 + 86_400.0 * 3  # after all that was counted
    for items, times in HISTORIES:
        want = ranker.score(replace(Histories.of([items], [times]), now_B=np.array([now])))[0]
        reading = scorer.read(Query(np.array(items, np.int64), np.array(times), now), N_ITEMS + added)
        np.testing.assert_allclose(reading.all(), want, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(reading.at(np.array([4, 11])), want[[4, 11]], rtol=1e-4, atol=1e-5)


def test_a_served_deep_ranker_goes_on_counting(tmp_path: Path) -> None:
    ranker = fitted("deep", SETTINGS["deep"], tmp_path)
    scorer = load_scorer(tmp_path / "saved")
    assert isinstance(ranker, DeepRanker)
    now = 1e9 + 86_400.0 * 3
    query = Query(np.array([0, 1]), np.array([0.0, 10.0]), now)
    before = scorer.read(query, N_ITEMS).all()
    for back in (3600.0, 7200.0, 60.0):  # in no order
        scorer.observe("touched", np.array([5]), now - back)
    ranker.observe(np.array([5, 5, 5]), np.array([now - 3600, now - 7200, now - 60]))
    want = ranker.score(query.history())[0]
    assert not np.allclose(before, want, atol=1e-4)
    np.testing.assert_allclose(scorer.read(query, N_ITEMS).all(), want, rtol=1e-4, atol=1e-5)


def test_a_blend_hands_on_what_its_deep_member_counts(tmp_path: Path) -> None:
    fitted("deep", SETTINGS["deep"], tmp_path)
    deep = load_scorer(tmp_path / "saved")
    assert isinstance(deep, DeepScorer)
    one: dict[str, Any] = {"weight_M": np.ones(1), "scale_M": np.ones(1), "covariance_MM": np.eye(1), "by_query": np.zeros(1, np.uint8)}
    blend = BlendScorer({"use": "blend", "of": ["deep"]}, [deep], one)
    assert blend.counts() == {"touched"}
    before = deep.features.counters["touched"].total
    blend.observe("touched", np.array([3]), 1e9)
    assert deep.features.counters["touched"].total == before + 1


def test_changed_content_changes_the_scores_and_not_the_file(tmp_path: Path) -> None:
    fitted("content", SETTINGS["content"], tmp_path)
    before = (tmp_path / "saved" / "state.safetensors").read_bytes()
    (scorer,) = load_scorer(tmp_path / "saved").leaves()
    query = Query(np.array([2]), np.array([0.0]), 0.0)
    vector_D = scorer.read(query, N_ITEMS).vector_D  # type: ignore[attr-defined]
    scorer.replace(5, 3 * vector_D)
    assert scorer.read(query, N_ITEMS).all()[5] == pytest.approx(1.0)
    assert scorer.read(query, N_ITEMS).coarse()[5] == pytest.approx(1.0)
    assert (tmp_path / "saved" / "state.safetensors").read_bytes() == before


def test_recency_by_hand() -> None:
    query = Query(np.array([4, 5, 6]), np.array([0.0, 100.0, 101.0]), 200.0)
    assert recency_L(query, {"decay": 0.5, "sitting_seconds": None}).tolist() == [0.25, 0.5, 1.0]
    assert recency_L(query, {"decay": 0.5, "sitting_seconds": 2.0}).tolist() == [0.5, 1.0, 1.0]
    unknown = Query(np.array([4, 5]), np.array([np.nan, np.nan]), 200.0)
    assert recency_L(unknown, {"decay": 0.5, "sitting_seconds": 2.0}).tolist() == [0.5, 1.0]


def test_a_ranker_of_one_s_own_is_asked_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop_ranker.py").write_text(
        "import numpy as np\nfrom genre.rankers import Ranker\n"
        "class Last(Ranker):\n"
        "    def fit(self, training, folder): self.n = training.n_items\n"
        "    def score(self, queries): return np.tile(np.arange(self.n, dtype=np.float32), (len(queries), 1))\n"
        "    def extend(self, content, m): self.n += m\n"
        "    def state(self): return {'n': np.array([self.n])}\n"
        "    def restore(self, state): self.n = int(state['n'][0])\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    fitted("shop_ranker:Last", {}, tmp_path)
    (scorer,) = load_scorer(tmp_path / "saved").leaves()
    scorer.extend(None, 2)
    assert scorer.read(Query(np.array([1]), np.array([0.0]), 0.0), N_ITEMS + 2).all().tolist() == list(range(14))


def test_scorers_load_without_torch_scipy_or_sklearn(small_bundle: Path) -> None:
    code = (
        "import sys, pathlib, numpy as np\nfrom genre.serving.scorers import Query, load_scorer\n"
        f"scorer = load_scorer(pathlib.Path({str(small_bundle / 'ranker')!r}))\n"
        "scorer.read(Query(np.array([1, 2]), np.array([0.0, 1.0]), 2.0), 60).all()\n"
        "print([name for name in ('torch', 'scipy', 'sklearn', 'onnx', 'transformers') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
