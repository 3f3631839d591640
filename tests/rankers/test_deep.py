"""The deep ranker: what it learns from replayed history and from impressions, and what it must not learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from genre.component import build
from genre.data.dataset import Dataset
from genre.data.impressions import impressions_of, training_impressions
from genre.data.synthetic import World, WorldConfig
from genre.rankers import Ranker
from genre.rankers.blend import BlendRanker
from genre.rankers.calibration import Platt
from genre.rankers.deep import DeepRanker
from genre.rankers.deep_network import DeepNetwork
from genre.rankers.experts import Experts
from genre.rankers.mixture import Mixture
from genre.types import GroundTruth, Histories, Impressions, Training
from genre.validation import ndcg

SMALL: dict[str, Any] = {"hidden": 16, "epochs": 8, "patience": 4, "warmup_steps": 10, "learning_rate": 0.005}


def with_members(training: Training, folder: Path, **members: dict[str, Any]) -> Training:
    found: dict[str, Ranker] = {}
    for name, settings in members.items():
        found[name] = build(Ranker, settings)
        found[name].fit(training, folder / name)
    return replace(training, members=found)


def deep(training: Training, folder: Path, **settings: Any) -> DeepRanker:
    ranker = DeepRanker(DeepRanker.Config(**{"of": tuple(training.members), **SMALL, **settings}))
    ranker.fit(training, folder / "deep")
    return ranker


@pytest.fixture(scope="module")
def fashion(tmp_path_factory: pytest.TempPathFactory) -> Training:
    """Everybody takes what is in fashion this week: only a counter that fades can tell, popularity and transitions cannot."""
    rng = np.random.default_rng(0)
    items, times = [], []
    for _ in range(300):
        day = np.sort(rng.random(8)) * 60
        week = (day // 6).astype(int)
        items.append(np.where(rng.random(8) < 0.8, week * 5 + rng.integers(5, size=8), rng.integers(50, size=8)))
        times.append(1e9 + day * 86_400)
    whole = Histories.of(items, times)
    shorter = Histories.of([row[:-1] for row in items], [row[:-1] for row in times])
    queries = replace(shorter, now_B=whole.time_E[whole.offsets[1:] - 1])
    truth = GroundTruth(queries, np.array([row[-1] for row in items]), np.arange(301), np.arange(300))
    training = Training(shorter, 50, validation=truth, repeats=True)
    return with_members(training, tmp_path_factory.mktemp("fashion"), popular={"use": "popularity"}, next={"use": "transitions"})


def test_counters_add_what_no_member_knows(fashion: Training, tmp_path: Path) -> None:
    assert fashion.validation is not None
    ranker = deep(fashion, tmp_path)
    reached = {name: ndcg(each.score, fashion.validation, 50, repeats=True) for name, each in {**fashion.members, "deep": ranker}.items()}
    assert reached["deep"] > 1.3 * max(reached["popular"], reached["next"])
    assert ranker.chosen()["epochs"] >= 1
    chances = ranker.believed(fashion.validation)
    assert chances.entries > 300 * 10
    assert chances.mean == pytest.approx(chances.share, rel=0.05), "calibrated on these"
    assert chances.log_loss < 0.9 * chances.by_share
    assert chances.error < 0.01


@pytest.mark.parametrize(("days", "hidden"), [(1.5, {"hour", "weekday"}), (10.0, {"weekday"}), (60.0, set())])
def test_nothing_is_learnt_of_days_that_a_log_has_seen_once(fashion: Training, tmp_path: Path, days: float, hidden: set[str]) -> None:
    """One weekday more than the log holds is far outside of what the network knows, and would move every chance."""
    squeezed = replace(fashion.histories, time_E=1e9 + (fashion.histories.time_E - 1e9) * days / 60)
    squeezed = replace(squeezed, now_B=squeezed.time_E[squeezed.offsets[1:] - 1])
    ranker = deep(replace(fashion, histories=squeezed, validation=None), tmp_path, of=("popular",), replay_steps=9, epochs=1)
    names = ranker.sources.features.names
    rows_EF = np.zeros((1, len(names)), np.float32)
    before = ranker.mixture.logits(rows_EF)
    moved = set()
    for f, name in enumerate(names):
        if name.startswith(("hour", "weekday")):
            other_EF = rows_EF.copy()
            other_EF[0, f] = 1.0
            if not np.array_equal(ranker.mixture.logits(other_EF), before):
                moved.add(name.split(",")[0])
    assert moved == {"hour", "weekday"} - hidden


def test_later_events_change_no_earlier_list(fashion: Training, tmp_path: Path) -> None:
    """The leak test from outside: whatever is counted later, a request is answered as before; a request after it is not."""
    assert fashion.validation is not None
    ranker = deep(fashion, tmp_path, epochs=2)
    queries = fashion.validation.queries.take(slice(0, 20))
    before = ranker.score(queries)
    latest = float(queries.now_B.max())
    ranker.observe(np.full(500, 7), np.linspace(latest, latest + 1e5, 500))
    assert np.array_equal(ranker.score(queries), before)
    asked_later = replace(queries, now_B=np.full(20, latest + 2e5))
    ranker_before = deep(fashion, tmp_path / "again", epochs=2)
    assert not np.allclose(ranker.score(asked_later), ranker_before.score(asked_later)), "a counter that counts nothing new is no counter"
    with pytest.raises(ValueError, match="counted: touched"):
        ranker.observe(np.array([1]), np.array([latest]), "shown")


def test_what_is_no_candidate_stands_below_in_the_members_order(fashion: Training, tmp_path: Path) -> None:
    ranker = deep(fashion, tmp_path, of=("popular",), shortlist=5, epochs=1)
    queries = Histories.of([[1, 2, 3]])
    scores, popular = ranker.score(queries)[0], fashion.members["popular"].score(queries)[0]
    inside = np.argsort(-popular, kind="stable")[:5]
    outside = np.setdiff1d(np.arange(50), inside)
    assert scores[outside].max() < scores[inside].min()
    order = outside[np.argsort(-scores[outside], kind="stable")]
    assert (np.diff(popular[order]) <= 0).all()


def test_a_killed_fit_ends_with_the_same_bits(fashion: Training, tmp_path: Path) -> None:
    whole = deep(fashion, tmp_path, epochs=2)
    again = DeepRanker(whole.config)
    again.fit(fashion, tmp_path / "deep")  # the same folder: it goes on from the finished checkpoint
    queries = Histories.of([[1, 2], []])
    assert np.array_equal(whole.score(queries), again.score(queries))


def world_log(rounds: int) -> tuple[World, Dataset]:
    world = World(WorldConfig(users=300, items=40, boredom=0.0, new_items=0.0, seed=1, reluctance=0.0))
    shown = world.impressions(rounds=rounds).with_columns(device=pl.when(pl.col("user_id") < "0150").then(pl.lit("phone")))
    events = world.events()
    items = world.items.with_row_index("item_idx").with_columns(pl.col("item_idx").cast(pl.Int32), text=pl.lit(""))
    users = world.users.with_row_index("user_idx").with_columns(pl.col("user_idx").cast(pl.Int32))
    frame = events.join(items.select("item_id", "item_idx"), on="item_id").join(users.select("user_id", "user_idx"), on="user_id")
    frame = frame.sort("user_idx", "time").with_columns(part=pl.lit(0, pl.Int8))
    return world, Dataset(items, users, frame, {}, False, shown.lazy())


def test_impressions_teach_the_bias_of_places_and_calibrated_chances(tmp_path: Path) -> None:
    world, dataset = world_log(rounds=12)
    shown = training_impressions(dataset)
    assert shown is not None
    assert set(shown.labels) == {"click"}
    assert set(shown.queries.context) == {"device"}
    training = with_members(Training(dataset.training, 40, impressions=shown), tmp_path, popular={"use": "popularity"})
    ranker = deep(training, tmp_path, impression_share=0.9, places=10)
    assert ranker.examination(6) == pytest.approx(world.examination(6), abs=0.1)

    newest = shown.take(np.arange(len(shown) - 400, len(shown)))
    chance_E = ranker.probabilities(newest)["click"]
    moved = replace(newest, position_E=newest.position_E[::-1].copy())
    assert np.array_equal(ranker.probabilities(moved)["click"], chance_E), "at serving no place is known, and none biases"
    expected_E = chance_E * ranker.examination(10)[newest.position_E]
    assert expected_E.mean() == pytest.approx(newest.labels["click"].mean(), rel=0.15)

    reloaded = tmp_path / "saved"
    ranker.save(reloaded)
    assert np.array_equal(DeepRanker.load(reloaded).probabilities(newest)["click"], chance_E)
    blend = BlendRanker(BlendRanker.Config(of=("deep",)))
    blend.members = {"deep": ranker}
    assert blend.context_names() == ranker.context_names() == ("device",), "a blend hands the context on"


def test_histories_of_impressions_end_before_them() -> None:
    _, dataset = world_log(rounds=3)
    assert dataset.impressions is not None
    shown = impressions_of(dataset, dataset.impressions.collect())
    assert (shown.queries.time_E < shown.queries.now_B[shown.queries.owner_E()]).all()
    after = sum(
        int((dataset.everything.times(int(user)) < now).sum())
        for user, now in zip(pl.Series(dataset.impressions.sort("time", "request_id", "position").filter(pl.col("position") == 0).join(
            dataset.users.lazy().select("user_id", "user_idx"), on="user_id", maintain_order="left").collect()["user_idx"]).to_list(),
            shown.queries.now_B, strict=True)
    )  # fmt: skip
    assert int(shown.queries.lengths.sum()) == after


def two_tasks() -> Training:
    """Item 0 is clicked more, item 1 is bought more; item 2 is neither."""
    rng = np.random.default_rng(0)
    n = 1200
    item_E = np.tile([0, 1, 2], n)
    click_E = rng.random(3 * n) < np.tile([0.6, 0.3, 0.05], n)
    buy_E = (rng.random(3 * n) < np.tile([0.02, 0.6, 0.02], n)) & click_E
    when = 1e9 + np.arange(n) * 60.0
    queries = replace(Histories.of([[]] * n), now_B=when)
    labels = {"click": click_E.astype(np.float32), "purchase": np.where(np.arange(3 * n) % 5, buy_E, np.nan).astype(np.float32)}
    shown = Impressions(queries, item_E, np.arange(0, 3 * n + 1, 3), labels, np.full(3 * n, -1))
    histories = Histories.of([[0, 1, 2]] * 5, [[1.0, 2.0, 3.0]] * 5)
    return Training(histories, 3, impressions=shown, content_ND=np.eye(3, dtype=np.float32))


@pytest.mark.parametrize(("value", "best"), [({"click": 1.0}, 0), ({"click": 1.0, "purchase": 10.0}, 1), ({"click": -1.0}, 2)])
def test_the_value_model_decides_what_is_best(value: dict[str, float], best: int, tmp_path: Path) -> None:
    training = with_members(two_tasks(), tmp_path, popular={"use": "popularity"})
    ranker = deep(training, tmp_path, tasks=("click", "purchase"), value=value, content=("any",))
    query = replace(Histories.of([[]]), now_B=np.array([1e9 + 1200 * 60.0]))
    assert ranker.score(query)[0].argmax() == best
    assert training.impressions is not None
    chances = ranker.probabilities(training.impressions.take(slice(1199, 1200)))
    assert chances["click"] == pytest.approx([0.6, 0.3, 0.05], abs=0.08)
    assert chances["purchase"] == pytest.approx([0.01, 0.18, 0.0], abs=0.08), "a label that is missing now and then is no zero"


def test_ratings_and_seconds_are_shares_of_their_range(tmp_path: Path) -> None:
    """Item 0 is rated 5 and left at once, item 1 is rated 3 and looked at for a minute; nobody tells of item 2."""
    n = 600
    queries = replace(Histories.of([[]] * n), now_B=1e9 + np.arange(n) * 60.0)
    rating = np.tile(np.array([5, 3, np.nan], np.float32), n)
    dwell = np.tile(np.array([0, 60, 5000], np.float32), n)
    shown = Impressions(queries, np.tile([0, 1, 2], n), np.arange(0, 3 * n + 1, 3), {"rating": rating, "dwell": dwell}, np.full(3 * n, -1))
    training = Training(Histories.of([[0, 1, 2]] * 5, [[1.0, 2.0, 3.0]] * 5), 3, impressions=shown, content_ND=np.eye(3, dtype=np.float32))
    training = with_members(training, tmp_path, popular={"use": "popularity"})
    ranges = {"rating": (1.0, 5.0), "dwell": (0.0, 120.0)}
    last = shown.take(slice(n - 1, n))
    for value, best in (({"rating": 1.0}, 0), ({"dwell": 1.0}, 2)):
        ranker = deep(training, tmp_path / str(best), tasks=("rating", "dwell"), ranges=ranges, value=value, content=("any",), epochs=40)
        found = ranker.probabilities(last)
        assert found["rating"][:2] == pytest.approx([1.0, 0.5], abs=0.05)
        assert found["dwell"] == pytest.approx([0.0, 0.5, 1.0], abs=0.05), "beyond the end of the range is its end"
        shown_first = [0, 1] if best == 0 else [0, 1, 2]
        scores = ranker.score(replace(Histories.of([[]]), now_B=last.queries.now_B))[0][shown_first]
        assert scores.argmax() == best


def test_what_is_served_computes_what_was_learnt() -> None:
    """The network in torch and its arithmetic in numpy, for several tasks and experts."""
    torch.manual_seed(0)
    network = DeepNetwork(Experts(7, 5, 3, 2, 2, 0.3), 6, (1.0, 1.0, 0.0), 0, 0.0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    rows_EF = np.random.default_rng(0).normal(size=(40, 7)).astype(np.float32) * 3
    rows_EF[:, 6] = 1.5  # never varies, so it is left out
    network.experts.standardise(torch.from_numpy(rows_EF))
    network.eval()
    mixture = Mixture(network.arrays(), (Platt(), Platt(2.0, 0.5), Platt()), (1.0, 10.0, -5.0))
    logit_TE = mixture.logits(rows_EF)
    np.testing.assert_allclose(logit_TE, network.logits(rows_EF), rtol=1e-5, atol=1e-5)
    places = np.array([-1, 0, 1, 5, 9])
    want = network.examination(torch.from_numpy(places)).exp().detach().numpy()
    np.testing.assert_allclose(mixture.examined(places), want, rtol=1e-5)
    value_E = 1 / (1 + np.exp(-logit_TE[0])) + 10 / (1 + np.exp(-2 * logit_TE[1] - 0.5)) - 5 / (1 + np.exp(-logit_TE[2]))
    np.testing.assert_allclose(mixture.value(rows_EF), value_E, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"of": []}, "of"),
        ({"of": ["a"], "ranges": {"dwell": [0, 9]}}, "no tasks"),
        ({"of": ["a"], "ranges": {"click": [5, 1]}}, "the lowest value must be below the highest"),
        ({"of": ["a"], "words": "query"}, "needs `content` of one encoder"),
        ({"of": ["a", "a"]}, "twice"),
        ({"of": ["a"], "value": {"buy": 1.0}}, "no tasks"),
        ({"of": ["a"], "value": {"click": 0.0}}, "worth something"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DeepRanker.Config.model_validate(settings)


def test_errors_say_what_is_missing(fashion: Training, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no fitted ranker called other; there are: popular, next"):
        deep(fashion, tmp_path, of=("other",))
    with pytest.raises(ValueError, match="one task; 2 tasks need impressions"):
        deep(fashion, tmp_path, tasks=("click", "buy"))
    with pytest.raises(ValueError, match="set replay: refit"):
        deep(replace(fashion, validation=None), tmp_path, replay="validation")
    shown = two_tasks().impressions
    assert shown is not None
    with pytest.raises(ValueError, match="no label 'like'; they have click, purchase"):
        deep(replace(fashion, impressions=shown), tmp_path, tasks=("like",))
    rated = replace(shown, labels={"rating": shown.labels["click"] * 4 + 1})
    with pytest.raises(
        ValueError, match=r"'rating' runs from 1 to 5, but a task is a chance: say its range \(ranges: \{rating: \[1, 5\]\}\)"
    ):
        deep(replace(fashion, impressions=rated), tmp_path, tasks=("rating",))
    timeless = replace(shown, queries=replace(shown.queries, now_B=np.full(len(shown), np.nan)))
    with pytest.raises(ValueError, match="1200 impressions have no time"):
        deep(replace(fashion, impressions=timeless), tmp_path)
