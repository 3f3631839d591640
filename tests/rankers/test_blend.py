"""Blend: weights from validation or from the config, members that travel with it."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from genre.component import build
from genre.rankers import Ranker
from genre.rankers.blend import BlendRanker, standardised
from genre.rankers.content import ContentRanker
from genre.types import GroundTruth, Histories, Training

N_ITEMS = 10


def ring(n_users: int = 60, content_ND: Any = None) -> Training:
    """Users walk up a ring of ten items; the next step is held out. Transitions know it, popularity cannot."""
    rng = np.random.default_rng(0)
    walks = [(rng.integers(N_ITEMS) + np.arange(rng.integers(2, 7))) % N_ITEMS for _ in range(n_users)]
    histories = Histories.of(walks)
    targets = np.array([(walk[-1] + 1) % N_ITEMS for walk in walks])
    truth = GroundTruth(histories, targets, np.arange(n_users + 1), np.arange(n_users))
    training = Training(histories, N_ITEMS, content_ND, truth)
    members: dict[str, Ranker] = {}
    for name, settings in {"popular": {"use": "popularity"}, "next": {"use": "transitions"}}.items():
        members[name] = build(Ranker, settings)
        members[name].fit(training, Path())
    return replace(training, members=members)


def blend(training: Training, **settings: Any) -> BlendRanker:
    ranker = BlendRanker(BlendRanker.Config(**{"of": ("popular", "next"), **settings}))
    ranker.fit(training, Path())
    return ranker


def test_validation_gives_the_weight_to_the_member_that_knows() -> None:
    ranker = blend(ring())
    weights = ranker.chosen()["weights"]
    assert weights["next"] > 0.7 * sum(weights.values())
    assert ranker.score(Histories.of([[3, 4, 5]])).argmax() == 6


def test_what_was_learnt_is_said_in_words(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    ranker = blend(ring())
    weights = ranker.chosen()["weights"]
    (said,) = [record.message for record in caplog.records if record.name == "genre.rankers.blend"]
    assert said.startswith(f"blend: weights popular {weights['popular']:.3f}, next {weights['next']:.3f} by ")
    assert re.search(r" by (likelihood|ndcg), (own|shared) scales \(cross-validated NDCG@10: (\w+, \w+ scales \d\.\d{4}(, )?){4}\)$", said)


@pytest.mark.parametrize("scaling", ["shared", "query"])
def test_a_blend_is_the_weighted_sum_of_scaled_scores(scaling: str) -> None:
    training = ring()
    ranker = blend(training, weights={"popular": 0.25, "next": 0.75}, scaling=scaling)
    queries = Histories.of([[1, 2], [], [7]])
    parts = [training.members[name].score(queries) for name in ("popular", "next")]
    spreads = [np.maximum(part.std(1, keepdims=True), 1e-30) for part in parts]
    if scaling == "shared":
        spreads = [training.members[name].score(training.histories).std(1).mean() for name in ("popular", "next")]
    parts = [(part - part.mean(1, keepdims=True)) / spread for part, spread in zip(parts, spreads, strict=True)]
    assert ranker.score(queries) == pytest.approx(0.25 * parts[0] + 0.75 * parts[1], rel=1e-4, abs=1e-5)


def test_a_query_without_a_preference_stays_at_zero() -> None:
    score_BN, spread_B = standardised(np.array([[7, 7, 7], [1, 2, 3]], np.float32))
    assert score_BN == pytest.approx(np.array([[0, 0, 0], [-np.sqrt(1.5), 0, np.sqrt(1.5)]]))
    assert spread_B == pytest.approx([0, np.sqrt(2 / 3)])


def grown(scaling: str) -> tuple[BlendRanker, npt.NDArray[np.float32], Histories]:
    """Transitions and content blended; then items 10 and 11 come, which nobody touched: item 1 in other words, and its opposite.

    With the scores of a query before they came.
    """
    training = ring()
    vectors = np.random.default_rng(0).normal(size=(N_ITEMS, 3)).astype(np.float32)
    vectors = np.cumsum(vectors, axis=0)  # neighbours on the ring are alike, so content agrees with transitions, to some degree
    content = build(Ranker, {"use": "content", "content": ["text"]})
    content.fit(replace(training, content_ND=vectors), Path())
    training = replace(training, members={**training.members, "content": content})
    ranker = blend(training, of=("next", "content"), weights={"next": 3.0, "content": 1.0}, scaling=scaling)
    query = Histories.of([[1]])
    before = ranker.score(query)
    training.members["next"].extend(None, 2)
    content.extend(np.stack([vectors[1], -vectors[1]]), 2)
    return ranker, before, query


@pytest.mark.parametrize("scaling", ["shared", "query"])
def test_an_item_that_nobody_touched_stands_where_its_content_puts_it(scaling: str) -> None:
    ranker, before, query = grown(scaling)
    after = ranker.score(query)
    assert after[0, -2] > after[0, -1] and after[0, -2] > np.median(after) and ranker.known() is None
    if scaling == "shared":  # a query's own spread is another when there are more items
        assert after[:, :N_ITEMS] - after[:, :1] == pytest.approx(before - before[:, :1], rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("scaling", ["shared", "query"])
def test_an_item_that_nobody_touched_is_not_the_best_for_a_user_of_whom_nothing_is_known(scaling: str) -> None:
    scores = grown(scaling)[0].score(Histories.of([[]]))[0]
    assert scores[N_ITEMS:].max() < scores[:N_ITEMS].max()


def test_nobody_is_spoken_for_louder_than_it_would_speak_itself() -> None:
    """Nothing has followed item 10 yet, so that transitions say nothing of any item, and content decides alone: as it would of items
    that all know, item 1 is before item 12, which is only nearly the same."""
    ranker, _, _ = grown("shared")
    following, content = ranker.leaves()
    assert isinstance(content, ContentRanker)
    following.extend(None, 1)
    content.extend(content.vector_ND[1:2] + np.array([[0.1, 0, 0]], np.float32), 1)
    scores = ranker.score(Histories.of([[10]]))[0]
    alone = content.score(Histories.of([[10]]))[0]
    assert alone[1] > alone[12] > np.partition(alone[:N_ITEMS], -2)[-2], "else nothing is asked"
    assert scores[1] > scores[12] > np.partition(scores[:N_ITEMS], -2)[-2]


def test_what_one_run_chose_trains_the_next_without_validation() -> None:
    training = ring()
    first = blend(training)
    everything = replace(training, validation=None)
    config = BlendRanker.Config.model_validate({**first.config.model_dump(), **first.chosen()})
    second = BlendRanker(config)
    second.fit(everything, Path())
    queries = Histories.of([[1, 2], []])
    assert np.array_equal(second.score(queries), first.score(queries))


def test_without_validation_and_weights_the_error_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"weights: \{popular: 1.0, next: 1.0\}"):
        blend(replace(ring(), validation=None))


def test_a_missing_member_is_named() -> None:
    with pytest.raises(ValueError, match="no fitted ranker called other; there are: popular, next"):
        blend(ring(), of=("popular", "other"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"of": []}, "of"),
        ({"of": ["a", "a"]}, "named twice"),
        ({"of": ["a", "b"], "weights": {"a": 1.0}}, "a weight for each"),
        ({"of": ["a"], "weights": {"a": 0.0}}, "above 0"),
        ({"of": ["a"], "weights": {"a": -1.0}}, "greater than or equal to 0"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BlendRanker.Config.model_validate(settings)


def test_a_blend_in_a_blend_loads_bit_identically(tmp_path: Path) -> None:
    training = ring()
    inner = blend(training)
    outer = blend(replace(training, members={**training.members, "inner": inner}), of=("inner", "popular"))
    outer.save(tmp_path)
    queries = Histories.of([[1, 2], [], [9]])
    assert np.array_equal(Ranker.load(tmp_path).score(queries), outer.score(queries))
    assert [leaf.config.use for leaf in outer.leaves()] == ["popularity", "transitions"], "a shared member is one leaf"


def test_new_items_reach_every_member_once() -> None:
    training = ring()
    inner = blend(training)
    outer = blend(replace(training, members={**training.members, "inner": inner}), of=("inner", "popular"))
    outer.extend(None, 2)
    assert outer.score(Histories.of([[1], [N_ITEMS + 1]])).shape == (2, N_ITEMS + 2)


def test_a_member_that_reads_content_is_extended_by_itself() -> None:
    vectors = np.eye(N_ITEMS, dtype=np.float32)
    training = ring(content_ND=vectors)
    text = build(Ranker, {"use": "content", "content": ["text"]})
    text.fit(training, Path())
    ranker = blend(replace(training, members={**training.members, "text": text}), of=("next", "text"))
    with pytest.raises(ValueError, match="content read content; extend each of leaves"):
        ranker.extend(None, 1)
    for leaf in ranker.leaves():
        leaf.extend(vectors[:1] if leaf.config.encoders() else None, 1)
    assert ranker.score(Histories.of([[1]])).shape == (1, N_ITEMS + 1)


def test_weights_hold_with_several_targets_and_repeats() -> None:
    training = ring()
    assert training.validation is not None
    held = training.validation
    both = np.stack([held.target_E, held.queries.item_idx_E[held.queries.offsets[1:] - 1]], axis=1).ravel()
    truth = GroundTruth(held.queries, both, 2 * np.arange(len(held) + 1), held.user_idx_B)
    ranker = blend(replace(training, validation=truth, repeats=True), validation_users=40, shortlist=5)
    assert max(ranker.chosen()["weights"].values()) > 0.5
    assert np.isfinite(ranker.score(Histories.of([[1], []]))).all()
