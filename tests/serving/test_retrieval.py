"""Retrieval: the plan follows the filter's selectivity, and whatever the plan, little is missed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from genre.publishing.nearest import write_index
from genre.publishing.scan import write_scan
from genre.serving.growing import Rows
from genre.serving.retrieval import Plans, retrieve
from genre.serving.scorers.dot import DotItems, DotReading, session
from genre.serving.sources import closest, positive_best

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


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> DotItems:
    """Vectors in groups, as those of real items are, with an index."""
    folder, rng = tmp_path_factory.mktemp("index"), np.random.default_rng(0)
    centres = rng.normal(size=(100, D))
    vector_ND = (centres[rng.integers(100, size=N)] + 0.7 * rng.normal(size=(N, D))).astype(np.float32)
    write_index(vector_ND, folder)
    assert json.loads((folder / "nearest.json").read_text())["recall"] >= 0.98
    return DotItems.load(vector_ND, folder)


INDEXED = Plans(exact_up_to=0, index_above=0, index_subset_up_to=100)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1, 0.01])
def test_an_index_misses_little_whatever_the_filter(share: float, clustered: DotItems) -> None:
    allowed_N = np.random.default_rng(2).random(N) < share
    reached, used = recall(clustered, allowed_N, INDEXED)
    assert reached >= 0.95 and used == {"index"}


def test_an_index_misses_little_where_only_far_away_groups_pass(clustered: DotItems) -> None:
    allowed_N = clustered.rows.base_ND[:, 0] < np.quantile(clustered.rows.base_ND[:, 0], 0.02)
    reached, used = recall(clustered, allowed_N, INDEXED)
    assert reached >= 0.95 and used == {"index"}


def test_an_index_knows_what_was_added_or_changed_since(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vector_ND = rng.normal(size=(500, 8)).astype(np.float32)
    write_index(vector_ND, tmp_path)
    items = DotItems.load(vector_ND.copy(), tmp_path)
    user_D = rng.normal(size=8).astype(np.float32)
    items.append(9 * user_D[None])
    items.rows.replace(3, 8 * user_D)
    allowed_N = np.ones(501, bool)
    found = DotReading(items, user_D, 501).nearest(20, allowed_N)
    assert {3, 500} <= set(found.tolist())
    allowed_N[[3, 500]] = False
    assert not {3, 500} & set(DotReading(items, user_D, 501).nearest(20, allowed_N).tolist())


def test_nothing_allowed_gives_nothing(items: DotItems) -> None:
    reading = DotReading(items, np.ones(D, np.float32), N)
    assert len(retrieve(reading, np.zeros(N, bool), K, Plans()).item_idx_K) == 0


def test_what_is_closest_by_the_index_is_closest(clustered: DotItems) -> None:
    n = len(clustered.rows.base_ND)
    reading = DotReading(clustered, clustered.rows.base_ND[17], n)
    assert reading.indexed
    allowed_N = np.ones(n, bool)
    allowed_N[17] = False
    found, true = closest(reading, allowed_N, 50), positive_best(reading.all(), allowed_N, 50)
    assert 17 not in found
    assert found[0] == true[0]
    assert len(np.intersect1d(found, true)) >= 0.95 * len(true)
    assert (np.diff(reading.at(found)) <= 0).all()
