"""Retrieval: the plan follows the filter's selectivity, and whatever the plan, little is missed."""

from __future__ import annotations

import numpy as np
import pytest

from genre.publishing.scan import write_scan
from genre.serving.growing import Rows
from genre.serving.retrieval import Plans, retrieve
from genre.serving.scorers.dot import DotItems, DotReading, session

N, D, K = 30_000, 32, 100


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> DotItems:
    file = tmp_path_factory.mktemp("scan") / "scan.onnx"
    vector_ND = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
    write_scan(vector_ND, file)
    return DotItems(Rows(vector_ND), session(file))


def recall(items: DotItems, allowed_N: np.ndarray, plans: Plans) -> tuple[float, set[str]]:
    rng = np.random.default_rng(1)
    hits, used = 0, set()
    for _ in range(20):
        reading = DotReading(items, rng.normal(size=D).astype(np.float32), N)
        scores_N = np.where(allowed_N, reading.all(), -np.inf)
        want = np.argsort(-scores_N)[:K]
        found = retrieve(reading, allowed_N, K, plans)
        assert allowed_N[found.item_idx_K].all() and not allowed_N[found.missed].any()
        assert len(set(found.item_idx_K.tolist())) == len(found.item_idx_K) >= K
        hits += len(set(want.tolist()) & set(found.item_idx_K.tolist()))
        used.add(found.plan)
    return hits / (20 * K), used


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1, 0.01])
def test_little_is_missed_whatever_the_filter(share: float, items: DotItems) -> None:
    allowed_N = np.random.default_rng(2).random(N) < share
    reached, used = recall(items, allowed_N, Plans(exact_up_to=20_000, subset_up_to=1000))
    assert reached >= 0.99
    assert used == {"scan" if share > 0.05 else "subset"}


def test_a_filter_that_goes_with_the_scores_misses_little_too(items: DotItems) -> None:
    # What passes scores low for most queries, which is where a search that filters afterwards comes back empty-handed.
    allowed_N = items.rows.base_ND[:, 0] < np.quantile(items.rows.base_ND[:, 0], 0.05)
    reached, used = recall(items, allowed_N, Plans(subset_up_to=1000))
    assert reached >= 0.99 and used == {"scan"}


def test_a_small_catalogue_is_scored_exactly(items: DotItems) -> None:
    assert recall(items, np.ones(N, bool), Plans(exact_up_to=N)) == (1.0, {"exact"})


def test_nothing_allowed_gives_nothing(items: DotItems) -> None:
    reading = DotReading(items, np.ones(D, np.float32), N)
    assert len(retrieve(reading, np.zeros(N, bool), K, Plans()).item_idx_K) == 0
