"""The synthetic world keeps its promises: exact probabilities, a learnable signal, visible biases, bounded memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError
from scipy.stats import chisquare

from genre.component import build
from genre.data.readers import EVENTS, Reader
from genre.data.synthetic import State, World, WorldConfig, plackett_luce
from genre.testing import check_reader
from genre.types import Floats, Histories, Ints

WORLD = World(WorldConfig())
BIG = World(WorldConfig(users=3000, items=500, seed=1))


def leave_last_out(histories: Histories) -> tuple[Histories, Ints]:
    """Histories without their last entry, asked for at its moment; and that entry."""
    last = histories.age_E() == 0
    offsets = np.concatenate([[0], np.cumsum(histories.lengths - 1)])
    queries = Histories(histories.item_idx_E[~last], histories.time_E[~last], offsets, histories.time_E[last])
    return queries, histories.item_idx_E[last]


def ndcg(scores_BN: Floats, target_B: Ints) -> float:
    """nDCG@10 of one target a row, ties against the scores."""
    rank_B = (scores_BN >= scores_BN[np.arange(len(target_B)), target_B][:, None]).sum(axis=1)
    return float(np.where(rank_B <= 10, 1.0 / np.log2(rank_B + 1.0), 0.0).mean())


def log_likelihood(config: WorldConfig, histories: Histories) -> float:
    """Mean log probability that a world with this config gives to each user's last choice."""
    world = World(config)
    queries, target_B = leave_last_out(histories)
    users = np.arange(len(queries))
    return float(np.log(world.probabilities(users, world.replay(queries))[users, target_B]).mean())


def test_events_have_the_columns_of_a_reader_and_come_in_order_of_time() -> None:
    events = WORLD.events()
    assert dict(events.schema) == EVENTS
    assert events["time"].is_sorted()
    assert 5_000 < len(events) < 7_500
    assert set(events["item_id"]) <= set(WORLD.items["item_id"])
    assert all(name.startswith("0") and len(name) == 4 for name in WORLD.items["item_id"])


def test_the_seed_decides_everything_and_another_seed_changes_it() -> None:
    again, other = World(WorldConfig()), World(WorldConfig(seed=1))
    assert WORLD.events().equals(again.events()) and WORLD.items.equals(again.items) and WORLD.users.equals(again.users)
    assert WORLD.impressions(rounds=2).equals(again.impressions(rounds=2))
    assert not WORLD.events().equals(other.events()) and not WORLD.items.equals(other.items)


def test_histories_and_events_tell_the_same_story() -> None:
    histories = WORLD.sample_histories()
    events = WORLD.events()
    for user in (0, 7, 299):
        mine = events.filter(pl.col("user_id") == WORLD.user_ids[user])
        assert mine["item_id"].to_list() == WORLD.item_ids.gather(histories.items(user)).to_list()
        assert mine["time"].to_list() == histories.times(user).tolist()
        assert mine["item_id"].is_unique().all()


def test_nobody_chooses_an_item_before_it_exists() -> None:
    early = WORLD.events().join(WORLD.items, on="item_id").filter(pl.col("time") < pl.col("created"))
    assert len(early) == 0
    assert (WORLD.items["created"] > WORLD.items["created"].min()).mean() == pytest.approx(0.3, abs=0.1)


def test_probabilities_of_a_tiny_world_by_hand() -> None:
    world = World(WorldConfig(users=2, items=10, topics=2, events_per_user=3, new_items=0, series_length=2, boredom=0.5, recovery=0.5))
    first = int(np.flatnonzero(world.successor_N >= 0)[0])
    successor, topic = int(world.successor_N[first]), int(world.topic_N[first])
    state = world.step(world.step(world.fresh(1), np.array([first])), np.array([first]))
    # Two choices of one topic: the older has faded to a half, so its fatigue is 1.5.
    liking_N = world.taste_UT[1, world.topic_N] - 0.5 * 1.5 * (world.topic_N == topic)
    expected_N = liking_N + world.quality_N + np.log(10) * (np.arange(10) == successor)
    assert world.utility(np.array([1]), state)[0] == pytest.approx(expected_N)
    weight_N = np.exp(expected_N) * (np.arange(10) != first)
    assert world.probabilities(np.array([1]), state)[0] == pytest.approx(weight_N / weight_N.sum())
    assert world.best(np.array([1]), state)[0, 0] == weight_N.argmax()


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("n_seen", [3, 60])
def test_choices_are_drawn_with_exactly_the_probabilities_stated(repeats: bool, n_seen: int) -> None:
    world = World(WorldConfig(users=5, items=120, topics=4, events_per_user=5, repeats=repeats, new_items=0.6, days=10))
    popular = np.argsort(-world.quality_N, kind="stable")[: n_seen - 1]
    last = np.flatnonzero((world.successor_N >= 0) & ~np.isin(world.successor_N, popular))[:1]
    state = world.replay(Histories.of([np.concatenate([popular, last])]))
    state = State(state.last_B, state.fatigue_BT, np.array([6]), state.seen_BL)
    draws = 40_000
    chosen = world.choose(np.full(draws, 2), state.take(np.zeros(draws, np.int64)), np.random.default_rng(0))
    expected_N = world.probabilities(np.array([2]), state)[0] * draws
    observed_N = np.bincount(chosen, minlength=120)
    assert observed_N[expected_N == 0].sum() == 0
    common = expected_N > 5
    observed, expected = observed_N[common], expected_N[common] * observed_N[common].sum() / expected_N[common].sum()
    assert chisquare(observed, expected).pvalue > 0.001


def test_replaying_a_history_gives_the_state_of_walking_through_it() -> None:
    queries, _ = leave_last_out(WORLD.sample_histories())
    replayed = WORLD.replay(queries.take(np.array([3])))
    state = WORLD.fresh(1)
    for item in queries.items(3):
        state = WORLD.step(state, np.array([item]))
    assert replayed.fatigue_BT == pytest.approx(state.fatigue_BT)
    assert replayed.last_B == state.last_B
    assert set(replayed.seen_BL[0].tolist()) == set(state.seen_BL[0].tolist())


def test_the_oracle_ranks_far_better_than_popularity() -> None:
    queries, target_B = leave_last_out(WORLD.sample_histories())
    state = WORLD.replay(queries)
    oracle = ndcg(WORLD.probabilities(np.arange(len(queries)), state), target_B)
    popularity_N = np.bincount(queries.item_idx_E, minlength=200).astype(float)
    popular = ndcg(np.where(WORLD.open(state), popularity_N, -1.0), target_B)
    assert oracle > 3 * popular
    assert oracle > 0.35 and popular > 0.04


def test_popularity_has_a_long_tail() -> None:
    counts_N = np.sort(np.bincount(BIG.sample_histories().item_idx_E, minlength=500))[::-1]
    assert counts_N[:50].sum() > 0.3 * counts_N.sum()
    assert counts_N[-250:].sum() < 0.3 * counts_N.sum()


def test_text_predicts_the_topic() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.neighbors import KNeighborsClassifier

    text = (BIG.items["title"] + " " + BIG.items["description"]).to_list()
    vectors = TfidfVectorizer(token_pattern=r"[a-z]{3,}").fit_transform(text)
    model = KNeighborsClassifier(9, metric="cosine").fit(vectors[:400], BIG.topic_N[:400])
    assert model.score(vectors[400:], BIG.topic_N[400:]) > 0.85
    assert np.bincount(BIG.topic_N).max() < 0.4 * len(text)


def test_the_next_in_a_series_follows_more_often_than_any_other_item() -> None:
    histories = BIG.sample_histories()
    follows = np.flatnonzero(histories.age_E() > 0)
    successor_E = BIG.successor_N[histories.item_idx_E[follows]]
    assert (successor_E == histories.item_idx_E[follows + 1]).mean() > 0.15
    without = World(BIG.config.model_copy(update={"series": -10.0})).sample_histories()
    follows = np.flatnonzero(without.age_E() > 0)
    assert (BIG.successor_N[without.item_idx_E[follows]] == without.item_idx_E[follows + 1]).mean() < 0.02


@pytest.mark.parametrize(("force", "others"), [("boredom", [0.0, 0.25, 1.0]), ("taste", [0.5, 2.5]), ("series", [-1.5, 1.5])])
def test_each_force_is_in_the_log_with_the_strength_configured(force: str, others: list[float]) -> None:
    histories = BIG.sample_histories()
    truth = log_likelihood(BIG.config, histories)
    for value in others:
        assert log_likelihood(BIG.config.model_copy(update={force: value}), histories) < truth - 0.001


def test_boredom_lowers_the_odds_of_a_topic_by_what_is_configured_and_recovers() -> None:
    user = np.array([0])
    leads_elsewhere = WORLD.successor_N != 0
    item = int(np.flatnonzero((WORLD.topic_N == WORLD.topic_N[0]) & leads_elsewhere)[0])
    other = int(np.flatnonzero((WORLD.topic_N != WORLD.topic_N[0]) & leads_elsewhere)[0])
    utilities, state = [], WORLD.fresh(1)
    for chosen in (item, other, other, other):
        utilities.append(WORLD.utility(user, state)[0, 0])
        state = WORLD.step(state, np.array([chosen]))
    bored = -0.5 * np.array([0.0, 1.0, 0.7, 0.49])
    assert np.array(utilities) - utilities[0] == pytest.approx(bored)


def test_clicks_fall_with_the_position_as_configured() -> None:
    world = World(WorldConfig(users=4000, items=100, position_bias=0.7, boredom=0.0, series=-10.0, new_items=0.0))
    log = world.impressions(world.explore(size=5, temperature=1e6), rounds=3)
    rate_S = log.group_by("position").agg(pl.col("clicked").mean()).sort("position")["clicked"].to_numpy()
    # Slates are uniform, so every place shows the same items on average and only examination differs.
    assert rate_S / rate_S[0] == pytest.approx(np.arange(1, 6) ** -0.7, rel=0.1)
    assert np.isclose(log["propensity"].to_numpy()[:5], 1 / np.array([100, 99, 98, 97, 96]), rtol=1e-4).all()


def test_inverse_propensities_recover_the_value_of_another_policy() -> None:
    world = World(WorldConfig(users=4000, items=60, topics=4, events_per_user=5, new_items=0.0))
    log = world.impressions(world.explore(size=1, temperature=1.5), rounds=1)
    users, target = np.arange(4000), WORLD.fresh(4000, day=0)
    state = State(target.last_B, np.zeros((4000, 4)), target.day_B, target.seen_BL)
    best_B1 = world.best(users, state, 1)
    truth = world.click_probability(users, state, best_B1).mean()
    matched = log["item_id"].to_numpy() == world.item_ids.to_numpy()[best_B1[:, 0]]
    weight = matched / log["propensity"].to_numpy()
    estimate = (weight * log["clicked"].to_numpy()).sum() / weight.sum()
    assert estimate == pytest.approx(truth, abs=0.06)
    assert log["clicked"].mean() < truth - 0.2


def test_plackett_luce_propensities_are_the_frequencies() -> None:
    items, propensities = plackett_luce(np.tile(np.log([1.0, 2.0, 3.0]), (30_000, 1)), 2, np.random.default_rng(0))
    assert (items[:, 0] == 2).mean() == pytest.approx(3 / 6, abs=0.01)
    row = int(np.flatnonzero((items[:, 0] == 2) & (items[:, 1] == 0))[0])
    assert propensities[row] == pytest.approx([3 / 6, 1 / 3])


def test_the_world_is_written_in_pieces_that_add_up(tmp_path: Path) -> None:
    world = World(WorldConfig(users=20_500, items=50, events_per_user=4, min_events=2, topics=2))
    world.write(tmp_path)
    written = pl.read_parquet(tmp_path / "events.parquet")
    assert pyarrow_row_groups(tmp_path / "events.parquet") == 2
    assert written.sort("user_id", "time", maintain_order=True).equals(world.events().sort("user_id", "time", maintain_order=True))
    assert pl.read_parquet(tmp_path / "items.parquet").equals(world.items)


def pyarrow_row_groups(file: Path) -> int:
    import pyarrow.parquet

    return int(pyarrow.parquet.ParquetFile(file).num_row_groups)


def test_the_reader_conforms_and_gives_the_events_of_its_settings(tmp_path: Path) -> None:
    reader = build(Reader, {"use": "synthetic", "users": 50, "seed": 3})
    check_reader(reader)
    assert reader.read(tmp_path).events.collect().equals(World(WorldConfig(users=50, seed=3)).events())


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="min_events <= events_per_user"):
        WorldConfig(events_per_user=2, min_events=3)
    with pytest.raises(ValidationError, match="extra"):
        build(Reader, {"use": "synthetic", "user": 50})
