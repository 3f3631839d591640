"""Every built-in policy, while serving, reads of its candidates what it read in training, and chooses the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from patient import LONG_MS

from genre.component import build
from genre.config import load_run_config
from genre.data.dataset import Dataset
from genre.deciding import shelf_of
from genre.policies import Policy
from genre.runs import Run
from genre.serving.contract import ItemIn, RankRequest, RecommendRequest
from genre.serving.engine import BundleEngine, rng_of
from genre.serving.placement import placements_of

NOW = 1.8e9
SETTINGS: list[dict[str, Any]] = [
    {"use": "greedy"}, {"use": "plackett_luce"}, {"use": "epsilon"}, {"use": "linucb"}, {"use": "linucb", "per_item": True},
    {"use": "thompson", "draws": 8}, {"use": "mmr"}, {"use": "dpp"}, {"use": "calibrated", "attribute": "category"}, {"use": "long_tail"},
    {"use": "caps", "most": {"category": 2}}, {"use": "chain", "of": [{"use": "long_tail"}, {"use": "mmr"}]},
]  # fmt: skip


@pytest.fixture(scope="module")
def engine(small_bundle: Path) -> BundleEngine:
    return BundleEngine.load(small_bundle)


def placed(engine: BundleEngine, policy: dict[str, Any]) -> None:
    surface = {"sources": ["model"], "policy": policy, "deadline_ms": LONG_MS}
    engine.placements = placements_of({"policy": {"use": "greedy"}, "repeats": False, "surfaces": {"home": surface}})


@pytest.mark.parametrize("policy", SETTINGS, ids=str)
def test_it_chooses_what_it_chooses_in_training(policy: dict[str, Any], engine: BundleEngine, small_bundle: Path) -> None:
    placed(engine, policy)
    folder = small_bundle.parents[1]
    dataset = Dataset.load(folder / "prepare")
    response, trace = engine.recommend(RecommendRequest(surface="home", user_id="0000", n=8), [], NOW)
    assert not trace.degraded
    scores = trace.stage_scores["score"]
    place = {item_id: i for i, item_id in enumerate(dataset.items["item_id"])}
    user = dataset.users["user_id"].to_list().index("0000")
    chosen = build(Policy, policy)
    shelf = shelf_of(load_run_config(folder), Run(folder), dataset, chosen.config.attributes())
    # What is served counts all interactions, as a run does that has held nothing back.
    shelf = replace(shelf, counts_N=dataset.everything.item_counts(dataset.n_items))
    item_idx_K, history_L = np.array([place[item_id] for item_id in scores]), dataset.everything.items(user)
    slate = chosen.select(shelf.candidates(item_idx_K, np.array([*scores.values()]), history_L), 8 + 5, rng_of(response.request_id))
    assert trace.item_ids == [dataset.items["item_id"][int(i)] for i in slate.item_idx[:8]]
    assert trace.propensities == pytest.approx(slate.propensities[:8].tolist(), rel=1e-4)


@pytest.mark.parametrize("policy", SETTINGS, ids=str)
def test_it_takes_items_that_are_new_or_unknown(policy: dict[str, Any], engine: BundleEngine) -> None:
    placed(engine, policy)
    engine.upsert_item(ItemIn(item_id="new", attributes={"title": "coffee", "description": "", "category": "new|newer"}))
    ranked, trace = engine.rank(RankRequest(surface="home", user_id="0000", items=["001", "new", "nobody", "002"]), [], NOW)
    assert not trace.degraded
    assert {item.item_id for item in ranked.items} <= {"001", "new", "nobody", "002"}
    _, trace = engine.recommend(RecommendRequest(surface="home", n=50), [], NOW)
    assert not trace.degraded


def test_a_policy_that_reads_a_column_there_is_not_says_so_and_the_best_are_shown(engine: BundleEngine) -> None:
    placed(engine, {"use": "caps", "most": {"colour": 2}})
    response, trace = engine.recommend(RecommendRequest(surface="home", user_id="0000", n=5), [], NOW)
    assert trace.degraded == {"policy": "ValueError"}
    assert len(response.items) == 5
