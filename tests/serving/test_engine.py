"""The engine end to end: the ranker's own lists, fresh within a click, and no torch."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from patient import load_patient
from pydantic import TypeAdapter

from genre.recommender import Recommender
from genre.runs import Run
from genre.serving.contract import EventIn, ItemIn, PastEvent, RankRequest, RecommendRequest, RecommendResponse, RequestError
from genre.serving.engine import BundleEngine
from genre.serving.retrieval import Plans

NOW = 1.8e9
EXACT, SCAN = "exact", "scan"


@pytest.fixture(scope="module")
def recommender(small_run: Run) -> Recommender:
    return Recommender.load(small_run.folder)


@pytest.fixture
def engine(small_bundle: Path) -> BundleEngine:
    return load_patient(small_bundle)


def planned(engine: BundleEngine, plan: str) -> BundleEngine:
    """The same engine, made to choose among few candidates, found by one plan."""
    default = engine.placements["default"]
    few = replace(default, settings=default.settings.model_copy(update={"candidates": 5, "sources": ("model",)}))
    engine.placements = {"default": replace(few, sources={"model": default.sources["model"]})}
    engine.plans = Plans(exact_up_to=1000 if plan == EXACT else 0, subset_up_to=0)
    return engine


def shown(engine: BundleEngine, history: list[PastEvent] | None = None, **request: Any) -> list[str]:
    response, _ = engine.recommend(RecommendRequest(**request), history or [], NOW)
    assert not response.degraded
    return [item.item_id for item in response.items]


@pytest.mark.parametrize("plan", [EXACT, SCAN])
def test_lists_and_scores_are_those_of_the_trained_blend(plan: str, engine: BundleEngine, recommender: Recommender) -> None:
    planned(engine, plan)
    used = Counter[str]()
    for user_id in recommender.dataset.users["user_id"].to_list():
        response, trace = engine.recommend(RecommendRequest(user_id=user_id, n=4), [], NOW)
        used[trace.plan] += 1
        want = recommender.recommend(user_id, 4)
        assert [item.item_id for item in response.items] == [line.item_id for line in want]
        np.testing.assert_allclose([item.score for item in response.items], [line.score for line in want], atol=1e-4)
    assert used[plan] > 100  # the others have read so much that little is left


def test_a_history_from_the_store_gives_what_it_gives_in_training(engine: BundleEngine, recommender: Recommender) -> None:
    ids = recommender.items["item_id"].to_list()[3:9]
    history = [PastEvent(item_id, NOW - 100 + i) for i, item_id in enumerate(ids)]
    assert shown(engine, history, user_id="someone new", n=8) == [line.item_id for line in recommender.recommend(None, 8, history=ids)]
    assert shown(engine, history, session_id="s", n=8) == shown(engine, history, user_id="someone new", n=8)


def test_a_text_gives_what_it_gives_in_training(engine: BundleEngine, recommender: Recommender) -> None:
    text = str(recommender.items["text"][7])
    assert shown(engine, text=text, n=5) == [line.item_id for line in recommender.recommend(None, 5, text=text)]
    user_id = str(recommender.dataset.users["user_id"][4])
    with_history = recommender.recommend(user_id, 5, text=text)
    assert shown(engine, text=text, n=5, user_id=user_id) == [line.item_id for line in with_history]
    assert shown(engine, text="xyzzy", n=5) == shown(engine, n=5)  # words that nobody knows ask for nothing


def test_a_stranger_gets_a_full_list(engine: BundleEngine) -> None:
    assert len(set(shown(engine, n=10))) == 10
    assert shown(engine, user_id="nobody", n=10) == shown(engine, session_id="s1", n=10) == shown(engine, n=10)


def test_the_store_s_events_come_after_the_bundle_s(engine: BundleEngine, recommender: Recommender) -> None:
    user_id = str(recommender.dataset.users["user_id"][0])
    old = recommender.dataset.everything.take(np.array([0]))
    ids = engine.world.catalogue.ids
    new = next(i for i in range(60) if i not in old.item_idx_E)
    want = [line.item_id for line in recommender.recommend(None, 10, history=[*(ids[i] for i in old.item_idx_E), ids[new]])]
    assert shown(engine, [PastEvent(ids[new], NOW)], user_id=user_id, n=10) == want
    # What the store has of the training data itself is not read twice.
    whole = [PastEvent(ids[i], t) for i, t in zip(old.item_idx_E.tolist(), old.time_E.tolist(), strict=True)]
    assert shown(engine, whole, user_id=user_id, n=10) == shown(engine, user_id=user_id, n=10)


def test_a_click_changes_the_next_list(engine: BundleEngine) -> None:
    first = shown(engine, user_id="new", n=10)
    second = shown(engine, [PastEvent(first[0], NOW - 1)], user_id="new", n=10)
    assert first[0] not in second and second != first[1:]
    assert shown(engine, [PastEvent(first[0], NOW - 1, "impression")], user_id="new", n=10) == first  # only what was done counts


def test_what_was_disliked_is_hidden_and_not_learnt_from(engine: BundleEngine) -> None:
    first = shown(engine, user_id="new", n=10)
    clicked = PastEvent(first[5], NOW - 9)
    with_hate = shown(
        engine, [clicked, PastEvent(first[0], NOW - 5, "click"), PastEvent(first[0], NOW - 1, "dislike")], user_id="new", n=10
    )
    assert first[0] not in with_hate
    assert with_hate == [item_id for item_id in shown(engine, [clicked], user_id="new", n=11) if item_id != first[0]][:10]


def test_a_new_item_is_found_by_its_text_at_once(engine: BundleEngine, recommender: Recommender) -> None:
    twin = recommender.items.row(7, named=True)
    item = ItemIn(item_id="twin", attributes={"title": twin["title"], "description": twin["description"], "price": 3})
    engine.upsert_item(item)
    assert engine.item("twin") == item
    assert "twin" in shown(engine, text=str(twin["text"]), n=2)
    _, trace = engine.recommend(RecommendRequest(anchors=[twin["item_id"]]), [], NOW)
    assert "twin" in trace.candidates["similar"]
    alike = [PastEvent(twin["item_id"], NOW - 1)]
    assert shown(engine, alike, user_id="new", n=60).index("twin") < shown(engine, user_id="new", n=61).index("twin")
    assert shown(engine, alike, user_id="new", n=30, filter="price = 3") == ["twin"]
    assert shown(engine, [PastEvent("twin", NOW)], user_id="new", n=10)  # and its clicks are read
    assert engine.delete_item("twin") and not engine.delete_item("twin")
    assert engine.item("twin") is None
    assert "twin" not in shown(engine, text=str(twin["text"]), n=60)


@pytest.mark.parametrize("plan", [EXACT, SCAN])
def test_added_items_score_as_in_training(plan: str, engine: BundleEngine, small_run: Run) -> None:
    planned(engine, plan)
    recommender = Recommender.load(small_run.folder)
    rows = recommender.items.select("title", "description", "category", "price")[5:8]
    new = rows.with_columns(item_id=np.array(["n0", "n1", "n2"]))
    recommender.add_items(new)
    for row in new.iter_rows(named=True):
        engine.upsert_item(ItemIn(item_id=row.pop("item_id"), attributes=row))
    for user_id in ("0000", "0001", "0002"):
        want = recommender.recommend(user_id, 60)
        response, _ = engine.recommend(RecommendRequest(user_id=user_id, n=60), [], NOW)
        got = {item.item_id: item.score for item in response.items}
        assert set(got) == {line.item_id for line in want}
        np.testing.assert_allclose([got[line.item_id] for line in want], [line.score for line in want], atol=1e-4)


def test_an_item_s_new_text_and_price_count(engine: BundleEngine, recommender: Recommender) -> None:
    target, other = recommender.items.row(7, named=True), recommender.items.row(20, named=True)
    said = {"title": target["title"], "description": target["description"], "price": 1e6}
    engine.upsert_item(ItemIn(item_id=other["item_id"], attributes=said))
    assert other["item_id"] in shown(engine, text=str(target["text"]), n=2)
    assert shown(engine, filter="price > 1e5") == [other["item_id"]]
    engine.upsert_item(ItemIn(item_id=other["item_id"], attributes={}, available=False))
    assert other["item_id"] not in shown(engine, n=60)
    with pytest.raises(RequestError, match="holds a number, not str"):
        engine.upsert_item(ItemIn(item_id="bad", attributes={"price": "free"}))
    assert engine.item("bad") is None


def test_pages_do_not_repeat_and_end(engine: BundleEngine) -> None:
    pages, cursor, ranks = [], None, []
    for _ in range(10):
        response, trace = engine.recommend(RecommendRequest(user_id="0000", n=7, cursor=cursor), [], NOW)
        pages += trace.item_ids
        ranks += trace.positions
        cursor = response.cursor
        if cursor is None:
            break
    assert len(pages) == len(set(pages)) and ranks == list(range(1, len(pages) + 1))
    assert pages == shown(engine, user_id="0000", n=60)


@pytest.mark.parametrize("cursor", ["", "!!", "bm90IGpzb24=", "eyJhIjoxfQ==", "WzFd", "Ww" * 3000])
def test_a_made_up_cursor_is_refused(cursor: str, engine: BundleEngine) -> None:
    with pytest.raises(RequestError, match="not the cursor of an answer"):
        engine.recommend(RecommendRequest(cursor=cursor), [], NOW)


def test_filters_excludes_and_anchors_hold(engine: BundleEngine, recommender: Recommender) -> None:
    prices = dict(zip(recommender.items["item_id"], recommender.items["price"], strict=True))
    cheap = shown(engine, user_id="0000", n=60, filter="price < 10")
    assert cheap and all(prices[item_id] < 10 for item_id in cheap)
    assert cheap == [item_id for item_id in shown(engine, user_id="0000", n=60) if prices[item_id] < 10]
    assert shown(engine, user_id="0000", n=60, filter="price < 10", exclude=[cheap[0], "unknown"]) == cheap[1:]
    assert cheap[0] not in shown(engine, anchors=[cheap[0]], n=60)
    assert shown(engine, filter="price < 0") == []  # nothing passes, nothing is shown, and nothing is wrong
    with pytest.raises(RequestError, match="did you mean 'price'"):
        engine.recommend(RecommendRequest(filter="prize < 10"), [], NOW)
    with pytest.raises(RequestError, match="there is no surface 'hom'"):
        engine.recommend(RecommendRequest(surface="hom"), [], NOW)


def test_ranking_orders_what_it_is_given(engine: BundleEngine, recommender: Recommender) -> None:
    user_id, ids = "0003", recommender.items["item_id"].to_list()[:12]
    response, trace = engine.rank(RankRequest(user_id=user_id, items=[*ids, "nobody's", ids[0]]), [], NOW)
    scores_N = recommender.ranker.score(recommender.dataset.everything.take(np.array([3])))[0]
    want = sorted(ids, key=lambda item_id: -scores_N[ids.index(item_id)])
    assert [item.item_id for item in response.items] == [*want, "nobody's"]
    assert [item.probability for item in response.items] == [1.0] * 13  # greedy is certain
    assert trace.item_ids == [*want, "nobody's"] and trace.positions == list(range(1, 14))


def test_a_request_that_waited_too_long_gets_what_is_popular_of_what_it_may_see(engine: BundleEngine) -> None:
    request = RecommendRequest(user_id="0000", n=5, filter="price < 12", exclude=["004"])
    whole, told = engine.recommend(request, [], NOW, waited=20.0)
    assert not whole.degraded
    assert told.ms["wait"] == 20_000 > told.ms["total"]
    late, trace = engine.recommend(request, [], NOW, waited=61.0)
    assert late.degraded
    assert set(trace.degraded.values()) == {"out of time"} and {"read", "source model", "score"} <= set(trace.degraded)
    catalogue = engine.world.catalogue
    best = [catalogue.ids[i] for i in np.argsort(-engine.world.popular.values.first(60), kind="stable")]
    seen = {catalogue.ids[i] for i in engine.world.snapshot.of("0000")[0]}
    cheap = [item_id for item_id in best if (engine.item(item_id) or ItemIn(item_id="x")).attributes.get("price", 99) < 12]  # type: ignore[operator]
    assert trace.item_ids == [item_id for item_id in cheap if item_id not in {"004", *seen}][:5]
    ranked, trace = engine.rank(RankRequest(items=["001", "002"]), [], NOW, waited=61.0)
    assert [item.item_id for item in ranked.items] == ["001", "002"] and ranked.degraded


def test_a_trace_says_why(engine: BundleEngine) -> None:
    history = [PastEvent("003", NOW - 5)]
    asked: dict[str, Any] = {
        "user_id": "u",
        "n": 3,
        "filter": "price < 12 or price > 13",
        "exclude": ["004"],
        "context": {"device": "phone"},
    }
    request = RecommendRequest(**asked, debug=True, explain=True)
    response, trace = engine.recommend(request, history, NOW)
    row = trace.exposure()
    assert row["item_ids"] == [item.item_id for item in response.items] and row["propensities"] == [1.0] * 3
    assert (row["unit"], row["surface"], row["model"], row["policy"]) == ("user:u", "default", "000001", "greedy")
    assert response.timings == trace.ms and list(trace.ms)[-1] == "total"
    details = trace.details()
    assert set(details["candidates"]) == {"model", "transitions", "similar", "text", "trending", "fresh"}
    assert set(row["item_ids"]) <= set(details["stage_scores"]["score"])
    assert details["allowed"]["filter"] > details["allowed"]["all"] > 0
    assert all(item.reasons is not None for item in response.items)
    shown_first = next(item for item in response.items if item.reasons)
    assert TypeAdapter(RecommendResponse).validate_json(response.model_dump_json()) == response
    assert shown_first.reasons and any(word.startswith(("because of", "popular", "new")) for word in shown_first.reasons)


def test_the_scan_tells_what_filters_took(engine: BundleEngine) -> None:
    planned(engine, SCAN)
    _, trace = engine.recommend(RecommendRequest(user_id="0000", n=5, exclude=["010"]), [], NOW)
    assert trace.dropped["exclude"] == ["010"]
    assert set(trace.dropped["history"]) == {engine.world.catalogue.ids[i] for i in engine.world.snapshot.of("0000")[0]}


def test_events_move_the_trends(engine: BundleEngine) -> None:
    quiet = engine.world.trends.standing.values.first(60).argmin()
    item_id = engine.world.catalogue.ids[quiet]
    for i in range(5000):
        engine.observe(EventIn(event_id=str(i), type="click", user_id="u", item_id=item_id), NOW)
    engine.observe(EventIn(event_id="x", type="search", user_id="u"), NOW)
    engine.observe(EventIn(event_id="y", type="click", user_id="u", item_id="unknown"), NOW)
    assert engine.world.trends.standing.values.first(60).argmax() == quiet


def test_the_serving_process_imports_neither_torch_nor_what_trains(small_bundle: Path) -> None:
    code = (
        "import sys, pathlib\nfrom genre.serving.engine import BundleEngine\nfrom genre.serving.contract import *\n"
        f"engine = BundleEngine.load(pathlib.Path({str(small_bundle)!r}))\n"
        "engine.recommend(RecommendRequest(user_id='0000', text='coffee', explain=True), [], 1.8e9)\n"
        "engine.rank(RankRequest(items=['001', '002']), [], 1.8e9)\n"
        "engine.upsert_item(ItemIn(item_id='new', attributes={'title': 'coffee beans', 'description': ''}))\n"
        "heavy = 'torch transformers scipy sklearn onnx genre.config genre.pipeline genre.publishing genre.training'.split()\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (found.stdout.strip(), found.returncode) == ("[]", 0), found.stderr
