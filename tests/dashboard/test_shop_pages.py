"""Every page of a shop with a day of traffic: what it says is what is in the store, and what its forms do is done."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dashboards import Visitor, opened
from shop import HOSTILE, open_shop

from genre.component import build
from genre.dashboard.lists import Shown
from genre.dashboard.live.drift import moved
from genre.dashboard.live.off_policy import replayed
from genre.dashboard.live.surfaces import compared, without
from genre.policies import Policy
from genre.policies.greedy import GreedyPolicy
from genre.runs import Run
from genre.serving.contract import PastEvent, RecommendRequest
from genre.serving.engine import BundleEngine
from genre.serving.settings import open_store
from genre.serving.store import exposures as exposures_log
from genre.serving.store.schema import events, exposures

LOGS = (exposures, events)


@pytest.fixture(scope="module")
def shop(small_run: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    return open_shop(small_run, tmp_path_factory.mktemp("shop") / "shop")


@pytest.fixture(scope="module")
def visitor(shop: tuple[Path, str]) -> Iterator[Visitor]:
    run, token = shop
    with opened(run, BundleEngine.load) as client:
        somebody = Visitor(client, token)
        assert somebody.log_in().status_code == 303
        yield somebody


def stored(run: Path, question: Callable[[Any], Any]) -> Any:
    store = open_store(run)
    with store.read() as connection:
        found = question(connection)
    store.close()
    return found


def rows_of(log: Any) -> Callable[[Any], int]:
    return lambda connection: len(connection.execute(log.select()).all())


def words(page: str) -> str:
    """What a person reads, and nothing of what could be markup."""
    return html.unescape(" ".join(re.sub(r"<[^>]*>", " ", page).split()))


def shelf(page: str, label: str) -> list[str]:
    """Ids of a list, from its links."""
    listed = re.search(rf'<ol class="shelf[^>]*aria-label="{re.escape(label)}">(.*?)</ol>', page, re.S)
    assert listed is not None, label
    return re.findall(r"items\?item=([^\"]+)\"", listed[1])


def test_the_overview_counts_what_is_in_the_store(shop: tuple[Path, str], visitor: Visitor) -> None:
    lists, happened = (stored(shop[0], rows_of(log)) for log in LOGS)
    page = words(visitor.get("").text)
    assert f"lists shown {lists}" in page and f"events {happened}" in page
    assert "source model" in page and "which items people touch, by popularity" in page
    clicked = stored(shop[0], lambda connection: {row.request_id for row in connection.execute(events.select()) if row.type == "click"})
    assert f"lists with a click {100 * len(clicked) / lists:.3g} %" in page
    assert words(visitor.get("?window=1+hour").text) != page


def test_the_preview_shows_what_a_rule_changes_and_logs_nothing(shop: tuple[Path, str], visitor: Visitor) -> None:
    before = stored(shop[0], lambda connection: len(connection.execute(exposures.select()).all()))
    page = visitor.get("/surfaces?surface=home&user=newcomer").text
    assert "3: pin 007 at 3" in page and "1: at most 2 a category" in page
    pinned = visitor.get("/surfaces?surface=home&user=newcomer&rule=3:+pin+007+at+3").text
    assert shelf(pinned, "List for newcomer")[2] == "007"
    assert shelf(pinned, "List without the rule")[2] != "007"
    assert shelf(pinned, "List for newcomer") == shelf(page, "List for newcomer")  # the same draws, so the rule alone makes the difference
    part = visitor.get("/surfaces/preview?surface=detail&user=newcomer").text
    assert "<html" not in part and 'id="rules" hx-swap-oob="true"' in part
    assert before == stored(shop[0], lambda connection: len(connection.execute(exposures.select()).all()))


def test_a_request_is_taken_apart(shop: tuple[Path, str], visitor: Visitor) -> None:
    row = stored(
        shop[0], lambda connection: next(row for row in connection.execute(exposures.select()).mappings() if row["surface"] == "home")
    )
    page = visitor.get(f"/requests?query={row['request_id']}").text
    text = words(page)
    assert "plackett_luce" in text and "context device phone" in text and "source model" in text
    assert all(f"items?item={item}" in page for item in row["item_ids"])
    assert re.search(r"number \d+ of", text) and "cap category" in text
    assert "others came before it" in text or "taken away" in text
    assert f"Requests of {row['user_id']}" in words(visitor.get(f"/requests?query={row['user_id']}").text)


def test_a_user_has_a_history_from_the_store_and_from_training(shop: tuple[Path, str], visitor: Visitor) -> None:
    clicked = stored(shop[0], lambda connection: next(row for row in connection.execute(events.select()) if row.type == "click"))
    page = visitor.get(f"/users?user={clicked.user_id}").text
    text = words(page)
    assert "in training" in text and f"click on {clicked.surface}" in text and f"items?item={clicked.item_id}" in page
    assert len(shelf(page, "List on home")) > 3
    assert "also known as session:s-1" in words(visitor.get("/users?user=0001").text)
    assert "Nobody of this id" in visitor.get("/users?user=nobody").text
    assert f"users?user={clicked.user_id}" in visitor.get("/users").text or len(visitor.get("/users").text.split("users?user=")) > 25


def test_items_are_found_by_their_words_and_ids(visitor: Visitor) -> None:
    assert "61 items" in words(visitor.get("/items").text)
    assert "start=25" in visitor.get("/items").text and "start=50" in visitor.get("/items?start=25").text
    item = visitor.get("/items?item=007").text
    title = re.search(r"<h1>(.*?)</h1>", item)
    assert title is not None
    found = visitor.get(f"/items?query={title[1].split()[-1]}").text
    assert "items?item=007" in found
    near = shelf(item, "Nearest items")
    assert len(near) == 10 and "007" not in near
    assert "No item matches" in visitor.get("/items?query=zzzz").text and "No item matches" in visitor.get("/items?item=zzzz").text


def test_models_have_metrics_with_intervals_a_snapshot_and_the_ladder(visitor: Visitor) -> None:
    text = words(visitor.get("/models").text)
    assert re.search(r"0\.\d{4} \(0\.\d{4} to 0\.\d{4}\)", text)
    assert "2,043 events of 120 users, until 2024-12-30" in text
    assert "The ladder" in text and "no difference" in text and "transitions" in text


def test_an_experiment_is_read_started_and_stopped(shop: tuple[Path, str], visitor: Visitor) -> None:
    text = words(visitor.get("/experiments?name=hotter").text)
    assert "Hold" in text and "split as planned" in text and "Guardrails" in text and "control" in text
    assert "planned" in words(visitor.get("/experiments").text)
    before = words(visitor.get("/experiments?name=quiet").text)
    assert all(part in before for part in ("What it will take", "To find a change of 2.0% in clicks takes", "cannot be told", "+10.0%"))
    assert "quiet runs: " in visitor.post("/experiments?name=quiet", "/experiments/start", {"name": "quiet"}).text
    assert "Nothing to read yet" in visitor.get("/experiments?name=quiet").text
    assert "say why" in visitor.post("/experiments", "/experiments/stop", {"name": "quiet", "reason": " "}).text
    assert "quiet is stopped" in visitor.post("/experiments", "/experiments/stop", {"name": "quiet", "reason": "only a test"}).text
    assert "only a test" in visitor.get("/experiments?name=quiet").text
    assert "an experiment starts once" in visitor.post("/experiments", "/experiments/start", {"name": "quiet"}).text


def test_estimators_stand_side_by_side(visitor: Visitor) -> None:
    page = visitor.get("/off-policy?candidate=home:+plackett_luce+temperature+0.3").text
    text = words(page)
    assert "home: plackett_luce temperature 0.3: clicks a list" in text
    assert all(name in text for name in ("ips", "snips", "cascade_ips", "effective sample size", "Importance weights"))
    assert "no overlap" in visitor.get("/off-policy?candidate=home:+greedy").text


def test_data_quality_is_of_the_snapshot(visitor: Visitor) -> None:
    text = words(visitor.get("/data").text)
    assert "2,043: train 1,803, valid 120, test 120" in text and "60, 60 with text" in text and "Events arriving" in text


@pytest.mark.parametrize(
    "page",
    ["/items", "/items?item=%3Cb%3Ebad%3C%2Fb%3E", "/users?user=stranger", "/users?user=%3Cscript%3E", "/requests?query=%3Cscript%3E"],
)
def test_hostile_text_stays_text(visitor: Visitor, page: str) -> None:
    text = visitor.get(page).text
    assert "<script>document" not in text and "<img src=x" not in text and "<b>bad" not in text and "javascript:" not in text.lower()
    if "b%3Ebad" in page or page == "/users?user=stranger":
        assert HOSTILE in html.unescape(text) and HOSTILE not in text


def test_a_forgotten_user_is_gone(shop: tuple[Path, str], visitor: Visitor) -> None:
    assert "Forgotten: " in visitor.post("/users?user=0002", "/users/forget", {"user": "0002"}).text
    left = stored(shop[0], lambda connection: [row for row in connection.execute(events.select()) if row.user_id == "0002"])
    assert left == []


def test_what_a_rule_moves_is_said() -> None:
    now = tuple(Shown(rank, item) for rank, item in enumerate("abc", 1))
    before = tuple(Shown(rank, item) for rank, item in enumerate("bad", 1))
    with_rule, without_it = compared(now, before)
    assert [one.change for one in with_rule] == ["up 1", "down 1", "new"]
    assert [one.change for one in without_it] == ["", "", "gone"]


def test_an_engine_without_a_rule_keeps_the_others(shop: tuple[Path, str]) -> None:
    engine = BundleEngine.load(shop[0] / "models" / "000002")
    changed = without(engine, "home", 1)
    assert [type(rule).__name__ for rule in changed.placements["home"].settings.rules] == ["Cap", "Pin"]
    assert len(engine.placements["home"].settings.rules) == 3
    assert changed.world is engine.world


def test_drift_is_the_share_that_moved() -> None:
    """Ten items of ten interactions each are ten groups; of the clicks all are on the first: nine tenths moved."""
    assert moved(np.full(10, 10.0), np.zeros(50, np.int64)) == pytest.approx(0.9)
    assert moved(np.full(10, 10.0), np.arange(10)) == pytest.approx(0.0)


def test_a_greedy_policy_is_certain_of_its_own_lists(shop: tuple[Path, str]) -> None:
    engine = BundleEngine.load(shop[0] / "models" / "000002")
    row = {
        "request_id": "r", "time": 1.8e9, "unit": "user:1", "surface": "home", "item_ids": ["001", "002", "003"], "positions": [1, 2, 3],
        "propensities": [0.5, 0.25, None], "stage_scores": {"score": {"001": 3.0, "002": 2.0, "003": 1.0}},
    }  # fmt: skip
    logged = replayed(engine, GreedyPolicy(GreedyPolicy.Config()), [row], {("r", "002")})
    np.testing.assert_allclose(logged.target_RS, [[1, 1]])
    np.testing.assert_allclose(logged.logging_RS, [[0.5, 0.25]])
    np.testing.assert_allclose(logged.reward_RS, [[0, 1]])
    np.testing.assert_allclose(logged.weight_R, [8])
    with pytest.raises(ValueError, match="chosen by a policy"):
        replayed(engine, GreedyPolicy(GreedyPolicy.Config()), [{**row, "propensities": [None, None, None]}], set())


def test_a_policy_that_reads_the_history_is_asked_with_it(shop: tuple[Path, str]) -> None:
    """Somebody of one category gets more of it: what they did before the list, from the store, is read as it was while serving."""
    engine = BundleEngine.load(shop[0] / "models" / "000002")
    columns, ids = engine.world.catalogue.columns["category"], engine.world.catalogue.ids
    mine = str(columns.get(0))
    others = [item for i, item in enumerate(ids) if str(columns.get(i)) != mine]
    liked = [item for i, item in enumerate(ids) if str(columns.get(i)) == mine]
    shown = [others[0], liked[1]]
    row = {
        "request_id": "r", "time": 1.8e9, "unit": "session:new", "surface": "home", "item_ids": shown[1:], "positions": [1],
        "propensities": [0.5], "stage_scores": {"score": {shown[0]: 1.0, shown[1]: 0.9}},
    }  # fmt: skip
    policy = build(Policy, {"use": "calibrated", "attribute": "category", "weight": 0.99})
    past = {"r": [PastEvent(liked[0], 1.7e9)]}
    assert replayed(engine, policy, [row], set(), past).target_RS[0, 0] == 1
    assert replayed(engine, policy, [row], set()).target_RS[0, 0] == 0


def test_a_stage_that_failed_is_counted_and_said(shop: tuple[Path, str], visitor: Visitor) -> None:
    engine = BundleEngine.load(shop[0] / "models" / "000002")
    slow = engine.varied("detail", {"deadline_ms": 0.001})  # too late before it begins
    store = open_store(shop[0])
    with store.write() as connection:
        for at in range(20):
            _, trace = slow.recommend(RecommendRequest(surface="detail", user_id=f"late {at}"), [], time.time())
            exposures_log.append(connection, [(trace, "recommend", f"late {at}", None)])
    store.close()
    text = words(visitor.get("").text)
    assert "of lists are degraded, most often by the stage" in text
    assert re.search(r"degraded [\d.]+ % more than 1 %", text)
    late = words(visitor.get(f"/requests?query={trace.request_id}").text)
    assert "degraded" in late and "out of time" in late
