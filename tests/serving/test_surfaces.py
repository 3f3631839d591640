"""Surfaces: what is decided by hand holds, what fails does not stop an answer, and the answer says so."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from genre.config import parse_config
from genre.policies import Policy
from genre.serving.contract import ItemIn, PastEvent, RankRequest, RecommendRequest, RecommendResponse, RequestError, Trace
from genre.serving.engine import BundleEngine, rng_of
from genre.serving.placement import placements_of
from genre.serving.sources import Asked, Source
from genre.surfaces import Surface
from genre.types import Candidates, Ints, Slate

NOW = 1.8e9
FACTS: dict[str, Any] = {"policy": {"use": "greedy"}, "repeats": False}
HISTORY = [PastEvent("003", NOW - 60), PastEvent("014", NOW - 50)]


@pytest.fixture(scope="module")
def loaded(small_bundle: Path) -> BundleEngine:
    return BundleEngine.load(small_bundle)


@pytest.fixture
def engine(loaded: BundleEngine) -> BundleEngine:
    """Shared, so tests must leave its items as they are."""
    loaded.failures.clear()
    return loaded


Ask = Callable[..., tuple[RecommendResponse, Trace]]


@pytest.fixture
def ask(engine: BundleEngine) -> Ask:
    def asked(surface: dict[str, Any], **request: Any) -> tuple[RecommendResponse, Trace]:
        engine.placements = placements_of({**FACTS, "surfaces": {"home": {"deadline_ms": 60_000, **surface}}})
        return engine.recommend(RecommendRequest(**{"surface": "home", "n": 10, "user_id": "new", **request}), HISTORY, NOW)

    return asked


def column(engine: BundleEngine, name: str, ids: list[str]) -> list[Any]:
    catalogue = engine.world.catalogue
    return [catalogue.columns[name].get(catalogue.index[item_id]) for item_id in ids]


def test_pins_stand_at_their_places_and_have_no_propensity(ask: Ask) -> None:
    _, plain = ask({})
    pinned = [plain.item_ids[4], "059"]
    rules = [{"pin": pinned[0], "place": 1}, {"pin": pinned[1], "place": 3}, {"pin": "unknown", "place": 5}, {"pin": "003", "place": 2}]
    _, trace = ask({"rules": rules})
    assert (trace.item_ids[0], trace.item_ids[2]) == (pinned[0], pinned[1])
    rest = [item_id for item_id in plain.item_ids if item_id not in pinned]
    assert [item_id for item_id in trace.item_ids if item_id not in pinned] == rest[:8]  # 003 is in the history, so it is not shown
    assert [p is None for p in trace.propensities] == [True, False, True, *[False] * 7]
    response, second = ask({"rules": rules}, n=2)
    _, following = ask({"rules": rules}, n=2, cursor=response.cursor)
    assert [*second.item_ids, *following.item_ids] == trace.item_ids[:4]


def test_caps_hold_and_what_they_took_is_named(ask: Ask, engine: BundleEngine) -> None:
    _, plain = ask({})
    assert max(Counter(column(engine, "category", plain.item_ids)).values()) > 2
    _, trace = ask({"rules": [{"cap": "category", "most": 2}, {"cap": "no such column", "most": 1}]}, n=8)
    kinds = Counter(column(engine, "category", trace.item_ids))
    assert max(kinds.values()) == 2 and len(trace.item_ids) == min(8, 2 * len(set(engine.world.catalogue.columns["category"].values_V)))  # type: ignore[union-attr]
    assert set(trace.dropped["cap category"]) & set(plain.item_ids)
    assert trace.item_ids[0] == plain.item_ids[0]


def test_exclusions_filters_and_stock_hold(ask: Ask, engine: BundleEngine) -> None:
    _, trace = ask({"filter": "price < 15", "rules": [{"exclude": "price < 5", "name": "too cheap"}]}, n=60, filter="price != 7")
    prices = column(engine, "price", trace.item_ids)
    assert prices and all(5 <= price < 15 for price in prices)
    assert trace.allowed["surface"] > trace.allowed["all"] == len(prices)
    assert {"available", "surface", "too cheap", "filter"} <= set(trace.allowed)


def test_a_boost_lifts_by_standard_deviations(ask: Ask, engine: BundleEngine) -> None:
    _, plain = ask({}, n=60)
    _, trace = ask({"rules": [{"boost": "price > 12", "by": 100.0}]}, n=60)
    prices = column(engine, "price", trace.item_ids)
    dear = sum(price > 12 for price in prices)
    assert all(price > 12 for price in prices[:dear])
    assert [i for i in trace.item_ids if i in set(trace.item_ids[:dear])] == [i for i in plain.item_ids if i in set(trace.item_ids[:dear])]
    scores = np.array(list(plain.stage_scores["score"].values()))
    lifted = trace.stage_scores["score"][trace.item_ids[0]] - plain.stage_scores["score"][trace.item_ids[0]]
    assert lifted == pytest.approx(100 * scores.std(), rel=1e-4)


def test_a_surface_may_show_what_is_trending_and_nothing_else(ask: Ask, engine: BundleEngine) -> None:
    _, trace = ask({"sources": ["trending"], "order": "source", "repeats": True})
    recent = engine.world.trends.standing.values.first(60)
    assert trace.item_ids == [engine.world.catalogue.ids[i] for i in np.argsort(-recent, kind="stable")[:10]]
    assert set(trace.candidates) == {"trending"}


GATE = threading.Event()


class Slow(Source):
    """Comes back when the gate is opened, which the tests do only after the answer."""

    waits = True

    def find(self, asked: Asked, k: int) -> Ints:
        GATE.wait(60)
        return np.arange(3)


class Broken(Source):
    def find(self, asked: Asked, k: int) -> Ints:
        raise ZeroDivisionError("my bug")


class Lazy(Source):
    def find(self, asked: Asked, k: int) -> Ints:
        time.sleep(0.6)
        return np.array([59, 58, 3])


HERE = f"{__name__}:"


class ShufflePolicy(Policy):
    """Any order is as likely as any other."""

    def select(self, candidates: Candidates, n: int, rng: np.random.Generator) -> Slate:
        picks = rng.permutation(len(candidates.item_idx_K))[:n]
        return Slate(candidates.item_idx_K[picks], 1.0 / (len(candidates.item_idx_K) - np.arange(len(picks))))


def test_a_policy_s_chances_are_logged_and_its_choice_can_be_made_again(ask: Ask, engine: BundleEngine) -> None:
    surface = {"policy": {"use": HERE + "ShufflePolicy"}, "sources": ["model"]}
    _, trace = ask(surface, n=5)
    _, another = ask(surface, n=5)
    assert trace.item_ids != another.item_ids and trace.policy == HERE + "ShufflePolicy"
    candidates = list(trace.stage_scores["score"])
    assert trace.propensities == pytest.approx([1.0 / (len(candidates) - place) for place in range(5)])
    again = rng_of(trace.request_id).permutation(len(candidates))[:5]
    assert trace.item_ids == [candidates[i] for i in again]
    ranked, _ = engine.rank(RankRequest(surface="home", items=["001", "002", "004"]), [], NOW)
    assert [item.probability for item in ranked.items] == pytest.approx([1 / 3, 1 / 2, 1.0])


def test_a_slow_source_is_left_behind_and_the_answer_says_so(ask: Ask, engine: BundleEngine) -> None:
    GATE.clear()
    response, trace = ask({"sources": ["model", HERE + "Slow"], "deadline_ms": 2000})
    assert response.degraded and trace.degraded == {f"source {HERE}Slow": "out of time"}
    assert len(response.items) == 10 and engine.failures == {f"source {HERE}Slow": 1}
    GATE.set()
    response, trace = ask({"sources": ["model", HERE + "Slow"]})
    assert not response.degraded and trace.candidates[HERE + "Slow"]


def test_a_broken_source_costs_its_candidates_only(ask: Ask) -> None:
    _, plain = ask({"sources": ["model"]})
    response, trace = ask({"sources": [HERE + "Broken", "model"]})
    assert trace.item_ids == plain.item_ids
    assert response.degraded and trace.degraded == {f"source {HERE}Broken": "ZeroDivisionError"}


def test_sources_that_come_too_late_do_not_begin(ask: Ask) -> None:
    response, trace = ask({"sources": [HERE + "Lazy", "trending"], "deadline_ms": 1000})
    assert trace.degraded["source trending"] == "out of time"
    assert set(trace.item_ids) == {"059", "058"}  # what a stranger's source names is filtered, too: 003 was read before
    assert response.degraded


@pytest.mark.parametrize("stage", ["scorer", "policy"])
def test_without_the_model_or_the_policy_there_is_still_a_list(
    stage: str, ask: Ask, engine: BundleEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("broken")

    target = engine.world.scorer if stage == "scorer" else type(placements_of({**FACTS, "surfaces": {}})["default"].policy)
    monkeypatch.setattr(target, "read" if stage == "scorer" else "select", fails)
    response, trace = ask({})
    assert response.degraded and len(set(trace.item_ids)) == 10
    assert trace.degraded == {"read" if stage == "scorer" else "policy": "RuntimeError"}
    assert not set(trace.item_ids) & {"003", "014"}
    ranked, _ = engine.rank(RankRequest(items=["001", "002"]), [], NOW)
    assert ranked.degraded and {item.item_id for item in ranked.items} == {"001", "002"}


def test_a_failing_filter_shows_the_static_list_and_not_what_it_should_hold_back(
    ask: Ask, engine: BundleEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise MemoryError("broken")

    monkeypatch.setattr(engine.world.filters, "mask", fails)
    response, trace = ask({"filter": "price < 15", "fallback": ["007", "nobody", "009", "011"]}, exclude=["009"])
    assert [item.item_id for item in response.items] == ["007", "011"]
    assert response.degraded and trace.plan == "static" and trace.propensities == [None, None]
    _, trace = ask({"filter": "price < 15"})
    popular = engine.world.popular.values.first(60)
    assert trace.item_ids == [engine.world.catalogue.ids[i] for i in np.argsort(-popular, kind="stable")[:10]]


def test_an_item_that_sells_out_meanwhile_is_replaced(ask: Ask, engine: BundleEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    _, plain = ask({}, n=3)
    gone = engine.world.catalogue.index[plain.item_ids[1]]
    select = type(engine.placements["default"].policy).select

    def sells_out(self: Any, *args: Any) -> Any:
        slate = select(self, *args)
        engine.world.catalogue.available[gone] = False
        return slate

    monkeypatch.setattr(type(engine.placements["default"].policy), "select", sells_out)
    try:
        _, trace = ask({}, n=3)
    finally:
        engine.world.catalogue.available[gone] = True
    assert trace.item_ids[:2] == [plain.item_ids[0], plain.item_ids[2]] and len(trace.item_ids) == 3
    assert trace.dropped["available"] == [plain.item_ids[1]]


@pytest.mark.parametrize(
    ("surface", "complaint"),
    [
        ({"sources": ["modle"]}, "sources.0"),
        ({"sources": []}, "sources"),
        ({"filter": "price <"}, "expected a value"),
        ({"rules": [{"pin": "a", "place": 1}, {"pin": "b", "place": 1}]}, "two pins share a place"),
        ({"policy": {"use": "greedyy"}}, "no policy called 'greedyy'; did you mean 'greedy'"),
        ({"colour": 1}, "colour"),
    ],
)
def test_a_mistake_in_a_surface_is_refused_with_its_path(surface: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint.replace("(", r"\(")):
        Surface.model_validate(surface)


def test_a_surface_survives_its_way_through_the_configuration() -> None:
    rules = [{"boost": "new = true", "by": 1.0}, {"cap": "brand", "most": 2}]
    tree = {
        "name": "shop",
        "data": {"reader": {"use": "synthetic"}},
        "rankers": {"popularity": {"use": "popularity"}},
        "surfaces": {"home": {"filter": "price < 3 and not seen(30d)", "rules": rules}},
    }
    config = parse_config(tree)
    assert parse_config(config.model_dump(mode="json")) == config


def test_an_unknown_column_in_a_surface_is_told_to_who_asks(ask: Ask) -> None:
    with pytest.raises(RequestError, match="no column 'prize'"):
        ask({"filter": "prize < 3"})


def test_rules_see_items_that_were_added(ask: Ask, small_bundle: Path) -> None:
    engine = BundleEngine.load(small_bundle)
    engine.placements = placements_of({**FACTS, "surfaces": {"home": {"rules": [{"pin": "fresh one", "place": 2}]}}})
    engine.upsert_item(ItemIn(item_id="fresh one"))
    response, _ = engine.recommend(RecommendRequest(surface="home", n=3), [], NOW)
    assert response.items[1].item_id == "fresh one"


def test_an_arm_changes_what_it_says_of_one_surface_and_nothing_else(engine: BundleEngine) -> None:
    engine.placements = placements_of({**FACTS, "surfaces": {"home": {"deadline_ms": 60_000, "per_source": 7}}})
    policy = {"use": "plackett_luce", "temperature": 2.0}
    arm = engine.varied("home", {"policy": policy, "filter": "price < 1000000", "rules": [{"pin": "005"}]})
    settings = arm.placements["home"].settings
    assert (settings.per_source, settings.deadline_ms) == (7, 60_000)
    asked = RecommendRequest(surface="home", n=10, user_id="new")
    varied, trace = arm.recommend(asked, HISTORY, NOW)
    plain, plain_trace = engine.recommend(asked, HISTORY, NOW)
    assert varied.items[0].item_id == "005"
    assert (trace.policy, plain_trace.policy) == ("plackett_luce", "greedy")
    assert {item.propensity for item in plain.items} == {1.0}
    assert arm.placements["default"] is engine.placements["default"]
    assert arm.world is engine.world, "an item that one hears of, both know"
    for surface, changes, where in (
        ("home", {"filter": "price <"}, "filter"),
        ("home", {"sources": ["none:There"]}, "home"),
        ("x", {}, "surface"),
    ):
        with pytest.raises(RequestError, match=where):
            engine.varied(surface, changes)
