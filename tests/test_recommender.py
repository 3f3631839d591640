from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import yaml

import genre
from genre.bundle import Bundle
from genre.data.dataset import Dataset
from genre.recommender import Recommender
from genre.runs import Run
from genre.serving.contract import RecommendRequest
from genre.serving.engine import BundleEngine
from genre.serving.erasure import forget
from genre.serving.past import Snapshot


@pytest.fixture(scope="module")
def recommender(small_run: Run) -> Recommender:
    return Recommender.load(small_run.folder)


def seen(recommender: Recommender, user: str) -> set[str]:
    return {line.item_id for line in recommender.history(user, 1000)}


def test_a_users_list_is_ranked_and_never_repeats_the_history(recommender: Recommender) -> None:
    user = recommender.dataset.users["user_id"][0]
    found = recommender.recommend(user, 10)
    assert [line.rank for line in found] == list(range(1, 11))
    assert all(a.score >= b.score for a, b in pairwise(found))
    assert not {line.item_id for line in found} & seen(recommender, user)
    assert len({line.item_id for line in found}) == 10
    assert all(line.title for line in found)


def test_a_stranger_is_served_with_and_without_a_history(recommender: Recommender) -> None:
    assert len(recommender.recommend("nobody", 5)) == 5
    items = recommender.items["item_id"].to_list()
    found = recommender.recommend(history=items[:3], n=5)
    assert not {line.item_id for line in found} & set(items[:3])
    assert [line.item_id for line in found] != [line.item_id for line in recommender.recommend(history=items[5:9], n=5)]


def test_what_is_excluded_is_not_shown_and_the_next_moves_up(recommender: Recommender) -> None:
    user = recommender.dataset.users["user_id"][1]
    first, second, *_ = (line.item_id for line in recommender.recommend(user, 5))
    assert recommender.recommend(user, 5, exclude=[first])[0].item_id == second


def test_a_text_alone_finds_the_items_that_say_it(recommender: Recommender) -> None:
    item = recommender.items.row(7, named=True)
    found = recommender.recommend(text=item["text"], n=60)
    assert found[0].item_id == item["item_id"]
    assert found[0].score == pytest.approx(1, abs=1e-3)


def test_a_text_moves_a_users_list_towards_it(recommender: Recommender) -> None:
    user = recommender.dataset.users["user_id"][2]
    wanted = next(line.item_id for line in reversed(recommender.recommend(user, 30)))
    text = recommender.items.filter(pl.col("item_id") == wanted)["text"][0]
    place = {line.item_id: line.rank for line in recommender.recommend(user, 60, text=text)}
    assert place[wanted] < 30


def test_batches_give_the_same_lists_as_one_by_one(recommender: Recommender) -> None:
    users = recommender.dataset.users["user_id"].to_list()[:5]
    frame = recommender.recommend_batch([*users, "nobody"], 4)
    assert frame.columns == ["user_id", "item_id", "rank", "score"]
    for user in [*users, "nobody"]:
        alone = recommender.recommend(user, 4)
        rows = frame.filter(pl.col("user_id") == user)
        assert rows["item_id"].to_list() == [line.item_id for line in alone]
        assert rows["score"].to_list() == pytest.approx([line.score for line in alone], rel=1e-4, abs=1e-5)


def test_everybodys_lists_go_to_parquet(recommender: Recommender, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "recs.parquet"
    rows = recommender.recommend_all(file, 3)
    frame = pl.read_parquet(file)
    assert len(frame) == rows == 3 * len(recommender.dataset.users)
    assert not list(tmp_path.rglob("*.partial"))
    named = {user: set(items) for user, items in frame.group_by("user_id").agg("item_id").iter_rows()}
    assert all(not items & seen(recommender, user) for user, items in named.items())


def test_short_catalogues_give_short_lists(recommender: Recommender) -> None:
    user = recommender.dataset.users["user_id"][0]
    assert len(recommender.recommend(user, 500)) == recommender.n_items - len(seen(recommender, user))


def test_an_explanation_names_an_event_of_the_history(recommender: Recommender) -> None:
    user = recommender.dataset.users["user_id"][3]
    titles = {line.title for line in recommender.history(user, 1000)}
    reasons = [line.reason for line in recommender.recommend(user, 5, explain=True)]
    assert any(reasons)
    assert all(reason is None or reason.removeprefix("because of ") in titles for reason in reasons)
    assert all(line.reason is None for line in recommender.recommend("nobody", 5, explain=True))


@pytest.mark.parametrize("ranker", ["content", "blend"])
def test_an_added_item_is_recommended_by_its_text(small_run: Run, ranker: str) -> None:
    recommender = Recommender.load(small_run.folder, ranker)
    twin = recommender.items.row(4, named=True)
    new = pl.DataFrame({"item_id": ["new"], "title": [twin["title"]], "description": [twin["description"]]})
    before = recommender.recommend(history=[twin["item_id"]], n=recommender.n_items)
    recommender.add_items(new)
    found = recommender.recommend(history=[twin["item_id"]], n=recommender.n_items)
    assert len(found) == len(before) + 1
    assert next(line.rank for line in found if line.item_id == "new") <= 10
    assert recommender.recommend(text=twin["text"], n=2)[1].item_id in ("new", twin["item_id"])
    assert len(recommender.recommend(history=["new"], n=5)) == 5
    with pytest.raises(ValueError, match="must be new and distinct: new"):
        recommender.add_items(new)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"n": 0}, "n is 0; a list has at least one item"),
        ({"history": ["nothing"]}, "history: there is no item 'nothing'"),
        ({"exclude": ["nothing"]}, "exclude: there is no item 'nothing'"),
        ({"exclude": "0000001"}, r"exclude is a list of item ids; write exclude=\['0000001'\]"),
        ({"history": "0000001"}, r"history is a list of item ids; write history=\['0000001'\]"),
        ({"text": "qqqqq"}, "text 'qqqqq' says nothing to any encoder"),
    ],
)
def test_what_cannot_be_served_says_why(recommender: Recommender, asked: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        recommender.recommend(**asked)  # type: ignore[arg-type]


def test_one_id_is_no_list_of_users_and_a_csv_no_parquet(recommender: Recommender, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"write \['0000001'\]"):
        recommender.recommend_batch("0000001")
    with pytest.raises(ValueError, match=r"Parquet; name the file recs\.parquet"):
        recommender.recommend_all(tmp_path / "recs.csv")
    assert not list(tmp_path.iterdir())


def test_another_rung_can_be_asked(small_run: Run) -> None:
    popular = Recommender.load(small_run.folder, "popularity")
    lists = [[line.item_id for line in popular.recommend(history=[popular.items["item_id"][i]], n=5)] for i in (50, 55)]
    assert lists[0] == lists[1]
    with pytest.raises(ValueError, match="has no ranker 'best'; it has popularity"):
        Recommender.load(small_run.folder, "best")


def test_a_folder_that_is_no_run_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"is not a run: it has no config.yaml. Make one with: genre run"):
        genre.Recommender.load(tmp_path)


def test_the_strongest_event_is_the_one_whose_absence_lowers_the_score_most() -> None:
    from genre.explanation import strongest_event
    from genre.types import Histories

    weight = np.array([0.0, 1.0, 5.0, 0.0], np.float32)

    def score(queries: Histories) -> npt.NDArray[np.float32]:
        """Item 3 is worth the sum of the weights of the history."""
        scores = np.tile(np.array([0, 10, 20, 0], np.float32), (len(queries), 1))
        for b in range(len(queries)):
            scores[b, 3] = weight[queries.items(b)].sum()
        return scores

    assert strongest_event(score, Histories.of([[0, 1, 2, 0]]), np.array([3])) == [2]
    assert strongest_event(score, Histories.of([[0, 0]]), np.array([3])) == [None]
    assert strongest_event(score, Histories.of([[]]), np.array([3])) == [None]


@pytest.fixture
def rated(tmp_path: Path) -> tuple[Run, pl.DataFrame]:
    """A published run on ratings of which the low ones do not count, and the ratings."""
    rng = np.random.default_rng(0)
    rows = [(f"u{u}", f"i{i}", int(rng.integers(1, 6)), time) for u in range(30) for time, i in enumerate(rng.permutation(40)[:20])]
    ratings = pl.DataFrame(rows, schema=["user_id", "item_id", "rating", "timestamp"], orient="row")
    ratings.write_csv(tmp_path / "ratings.csv")
    columns = {"user": "user_id", "item": "item_id", "value": "rating", "time": "timestamp"}
    config = {
        "name": "ratings",
        "data": {"reader": {"use": "files", "events": str(tmp_path / "ratings.csv"), "columns": columns}, "min_value": 4},
        "rankers": {"popularity": {"use": "popularity"}}, "evaluate": {"resamples": 100}, "surfaces": {"home": {}},
    }  # fmt: skip
    (tmp_path / "ratings.yaml").write_text(yaml.safe_dump(config))
    return genre.run(tmp_path / "ratings.yaml", folder=tmp_path / "run"), ratings


def test_what_a_user_rated_badly_is_not_recommended_anywhere(rated: tuple[Run, pl.DataFrame]) -> None:
    run, ratings = rated
    recommender, engine = Recommender.load(run.folder), BundleEngine.load(run.path("models/000001"))
    known = {user: set(ratings.filter(pl.col("user_id") == user)["item_id"]) for user in ratings["user_id"].unique()}
    batch = recommender.recommend_batch(list(known), 40)
    for user, items in known.items():
        assert not items & set(batch.filter(pl.col("user_id") == user)["item_id"])
        assert not items & {line.item_id for line in recommender.recommend(user, 40)}
        response, _ = engine.recommend(RecommendRequest(user_id=user, surface="home", n=10), [], 1e3)
        assert response.items
        assert not items & {item.item_id for item in response.items}


def test_who_is_forgotten_leaves_nothing_that_they_rated_badly(rated: tuple[Run, pl.DataFrame]) -> None:
    run, _ = rated
    before = Dataset.load(run.path("prepare")).everything.disliked
    assert before is not None and before.lengths.min() > 0
    forget(run.folder, "u0", "test")
    after = Dataset.load(run.path("prepare")).everything.disliked
    assert after is not None
    assert after.lengths.tolist() == [0, *before.lengths[1:]]
    snapshot = Snapshot.load(Bundle.open(run.path("models/000001")).folder).disliked
    assert snapshot is not None
    assert [len(snapshot.of(user)[0]) for user in ("u0", "u1")] == [0, before.lengths[1]]
