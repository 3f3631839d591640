"""The policy on top of a ranker: in lists, and as the last rung of the ladder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

import genre
from genre.component import build
from genre.config import ConfigError, load_config
from genre.data.dataset import Dataset
from genre.evaluation.result import Result
from genre.policies import Policy
from genre.policies.placing import CANDIDATES, placed, slates
from genre.policies.shelf import Shelf
from genre.recommender import Recommender
from genre.reporting import ladder
from genre.runs import Run
from genre.types import Histories


@pytest.fixture(scope="module")
def decided(small_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The small run with a policy: everything else is fresh and not done again."""
    folder = tmp_path_factory.mktemp("decided")
    shutil.copytree(small_run.folder, folder / "run")
    tree = yaml.safe_load((small_run.folder / "config.yaml").read_text())
    tree["policy"] = [{"use": "caps", "most": {"category": 1}}, {"use": "mmr", "diversity": 0.6}]
    (folder / "small.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    return genre.run(folder / "small.yaml", folder=folder / "run")


def test_a_policy_is_the_ladders_last_rung(decided: Run, small_run: Run) -> None:
    climbed = ladder([decided.folder])
    assert [rung.name for rung in climbed.rungs] == [*(rung.name for rung in ladder([small_run.folder]).rungs), "policy"]
    assert climbed.rungs[-1].label == "blend + chain"
    assert climbed.rungs[-1].cpu_seconds == climbed.rungs[-2].cpu_seconds
    judged = {name: Result.load(decided.path(f"evaluate/{name}")).beyond["diversity@10"] for name in ("blend", "policy")}
    assert judged["policy"] > judged["blend"] + 0.05
    assert "blend + chain" in (decided.folder / "report.html").read_text()


def test_a_greedy_policy_is_no_rung(small_run: Run) -> None:
    assert "policy" not in [rung.name for rung in ladder([small_run.folder]).rungs]


def test_lists_obey_the_policy(decided: Run) -> None:
    recommender = Recommender.load(decided.folder)
    category = dict(recommender.items.select("item_id", "category").iter_rows())
    n_categories = len(set(category.values()))
    for user in recommender.dataset.users["user_id"][:5]:
        shown = [category[line.item_id] for line in recommender.recommend(user, n_categories)]
        assert len(set(shown)) == n_categories
    assert set(recommender.recommend_batch(recommender.dataset.users["user_id"][:3].to_list(), 4)["rank"]) == {1, 2, 3, 4}


def test_an_added_item_takes_part_in_the_policy(decided: Run) -> None:
    recommender = Recommender.load(decided.folder)
    item = recommender.items.row(3, named=True)
    columns = ("title", "description", "category")
    new = pl.DataFrame({"item_id": ["new"], **{name: [item[name]] for name in columns}})
    recommender.add_items(new)
    found = [line.item_id for line in recommender.recommend(text=item["text"], n=60)]
    assert "new" in found
    assert len(set(found)) == 60


def test_slates_as_scores_keep_places_and_the_rest_in_order() -> None:
    scores_BN = np.array([[1e9, 1e9 + 1, 3.0, -5.0, 2.0]], np.float32)
    placed_BN = placed(scores_BN, np.array([[3, 4, -1]]))
    assert np.argsort(-placed_BN[0]).tolist()[:2] == [3, 4]
    assert placed_BN[0, 2] < min(placed_BN[0, 0], placed_BN[0, 1])
    assert len(set(placed_BN[0].tolist())) == 5


def test_greedy_slates_leave_a_rankers_figures_as_they_are() -> None:
    rng = np.random.default_rng(0)
    scores_BN = rng.normal(size=(4, CANDIDATES + 50)).astype(np.float32)
    queries = Histories.of([[0, 1], [], [5], [7, 7]])
    shelf = Shelf(np.zeros(CANDIDATES + 50, np.int64))
    found = slates(build(Policy, {"use": "greedy"}), shelf, scores_BN, 10, queries, queries, rng)
    assert not np.isin([0, 1], found[0]).any()
    masked_N = np.where(np.isin(np.arange(CANDIDATES + 50), [0, 1]), -np.inf, scores_BN[0])
    assert found[0].tolist() == np.argsort(-masked_N)[:10].tolist()


def test_a_policy_of_a_column_that_is_not_there_is_refused(small_run: Run) -> None:
    from genre.deciding import shelf_of

    config = load_config(small_run.folder / "config.yaml", ["policy={use: calibrated, attribute: colour}"])
    with pytest.raises(ValueError, match="no item column 'colour'"):
        shelf_of(config, small_run, Dataset.load(small_run.path("prepare")))


def test_no_ranker_may_take_the_policys_name(small_yaml: Path) -> None:
    with pytest.raises(ConfigError, match="'policy' is the name of the policy's rung"):
        load_config(small_yaml, ["rankers.policy={use: popularity}"])
