"""An interleaved experiment in a running server: fair drafts, credit by team, a preference where there is one, and honest propensities."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from scipy import stats
from small_engine import ITEMS, small_bundle
from test_api import event, eventually
from test_live_experiments import asked, replica, rows, started

from genre.evaluation.off_policy.log import read_log
from genre.serving import operating
from genre.serving.archive import archive
from genre.serving.settings import open_store
from genre.serving.store.schema import exposures

DRAFT: dict[str, Any] = {
    "name": "draft",
    "interleave": True,
    "variants": {"plain": {}, "turned": {"serve": {"model": "000002"}}},
    "metrics": {"clicks": {"use": "mean", "event": "click"}, "likes": {"use": "mean", "event": "like"}},
}
USERS = [f"u{at}" for at in range(120)]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two models that rank the same items in opposite orders."""
    folder = tmp_path / "shop"
    folder.mkdir()
    small_bundle(folder, "000001")
    small_bundle(folder, "000002", ITEMS[::-1])
    operating.promote(folder, "000001")
    return folder


def lists(run: Path) -> list[Any]:
    store = open_store(run)
    with store.read() as connection:
        found = connection.execute(sa.select(exposures).where(exposures.c.variant == "draft/interleaved")).all()
    store.close()
    return list(found)


def shown(api: TestClient, run: Path, users: list[str] = USERS) -> dict[str, Any]:
    """What each user is shown, as it was logged."""
    before = len(lists(run))
    for user in users:
        asked(api, user_id=user)
    assert eventually(lambda: len(lists(run)) == before + len(users))
    return {row.user_id: row for row in lists(run)}


def click(api: TestClient, row: Any, item: str, **more: Any) -> dict[str, Any]:
    return event(f"{row.user_id}-{item}", item, user_id=row.user_id, request_id=row.request_id, **more)


def test_both_arms_draft_each_list_in_turn_and_either_may_begin(run: Path) -> None:
    with replica(run) as api:
        started(api, **DRAFT)
        logged = shown(api, run)
        firsts = Counter(row.teams[0] for row in logged.values())
        assert stats.binomtest(firsts["plain"], len(USERS)).pvalue > 0.001
        for row in logged.values():
            picks = {team: [item for item, by in zip(row.item_ids, row.teams, strict=True) if by == team] for team in ("plain", "turned")}
            assert picks == {"plain": ITEMS[:5], "turned": ITEMS[:-6:-1]}, "each picks its own best five, in its own order"
            assert (row.propensities, row.model, row.policy) == ([None] * 10, "000001+000002", "team_draft")
        answer = asked(api, user_id="u1")
        assert (answer["variant"], answer["model"], answer["policy"]) == ("draft/interleaved", "000001+000002", "team_draft")
        assert [item["rank"] for item in answer["items"]] == list(range(1, 11))
        assert {item["propensity"] for item in answer["items"]} == {None}
        ranked = api.post("/v1/rank", json={"surface": "home", "user_id": "u1", "items": ["i1", "i2", "i3"]}).json()
        assert sorted(item["item_id"] for item in ranked["items"]) == ["i1", "i2", "i3"]
        assert (ranked["variant"], {item["probability"] for item in ranked["items"]}) == ("draft/interleaved", {None})


def test_the_inspector_knows_which_arm_picked_an_item(run: Path) -> None:
    with replica(run) as api:
        started(api, **DRAFT)
        row = shown(api, run, ["u1"])["u1"]
        found = api.get(f"/v1/requests/{row.request_id}", params={"item_id": "i0"}).json()
        assert (found["teams"], found["variant"]) == (row.teams, "draft/interleaved")
        assert "picked by plain" in found["item"]["why"]


def test_the_better_ranking_is_preferred(run: Path) -> None:
    with replica(run) as api:
        started(api, **DRAFT, min_days=0, min_units=50)
        logged = shown(api, run)
        # Everybody clicks what the turned ranking has on top; a fifth also what the plain one has.
        clicks = [click(api, row, "i19") for row in logged.values()]
        clicks += [click(api, row, "i0") for row in list(logged.values())[::5]]
        clicks += [event(f"{user}-lost", "i19", user_id=user) for user in USERS[:7]]
        assert api.post("/v1/events", json=clicks).json()["rejected"] == 0
        report = api.get("/v1/admin/experiments/draft/report").json()
        assert report["units"] == {"interleaved": len(USERS)} and not report["split_alarm"]
        found = next(line for line in report["comparisons"] if line["metric"] == "clicks")
        assert (found["control"], found["treatment"]) == (pytest.approx(0.2), 1.0), "clicks that name no list credit nobody"
        assert found["anytime"]["value"] == found["fixed"]["value"] == pytest.approx(0.8)
        assert 0 < found["anytime"]["low"] < found["fixed"]["low"]
        assert (report["verdict"], report["variant"]) == ("ship", "turned")
        assert "turned is preferred: lead in clicks +0.8" in report["reasons"][0]
        assert "units clicked anything" in report["silent"]["likes"]


def test_of_two_equal_arms_none_is_preferred(run: Path) -> None:
    with replica(run) as api:
        started(api, **{**DRAFT, "variants": {"a": {}, "b": {}}}, min_units=50)
        logged = shown(api, run)
        assert all(row.item_ids == ITEMS[:10] for row in logged.values())
        # People look at the first item most, whoever picked it.
        clicks = [click(api, row, f"i{at % 3}") for at, row in enumerate(logged.values())]
        api.post("/v1/events", json=clicks)
        report = api.get("/v1/admin/experiments/draft/report").json()
        found = report["comparisons"][0]
        assert found["anytime"]["low"] < 0 < found["anytime"]["high"]
        assert report["verdict"] == "hold" and "no preference shown" in report["reasons"][0]


def test_who_logs_in_stays_in_it_and_stopping_ends_it(run: Path) -> None:
    with replica(run) as api:
        started(api, **DRAFT, ramp=[{"day": 0, "share": 0.5}])
        took = {user: asked(api, user_id=user)["variant"] is not None for user in USERS}
        assert 30 < sum(took.values()) < 90
        inside, outside = (next(user for user in USERS if took[user] is part) for part in (True, False))
        assert eventually(lambda: len(rows(run)) == sum(took.values()))
        assert api.post("/v1/users:merge", json={"from_user_id": inside, "into_user_id": outside}).status_code == 200
        assert asked(api, user_id=outside)["variant"] == "draft/interleaved"
        assert api.post("/v1/admin/experiments/draft/stop", json={"reason": "seen enough"}).status_code == 200
        assert eventually(lambda: asked(api, user_id=inside)["variant"] is None)
        assert asked(api, user_id=inside)["items"][0]["propensity"] == 1.0


def test_off_policy_evaluation_leaves_its_lists_out_and_says_so(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    with replica(run) as api:
        started(api, **DRAFT)
        shown(api, run, USERS[:5])
        asked(api)
    store = open_store(run)
    archive(store, run / "logs")
    store.close()
    caplog.set_level("WARNING")
    log = read_log(run / "logs")
    assert log.exposures["policy"].to_list() == ["greedy"]
    assert "5 lists interleave two rankings" in caplog.text


def test_what_cannot_be_interleaved_is_refused(run: Path) -> None:
    with replica(run) as api:

        def refused(**more: Any) -> str:
            reply = api.post("/v1/admin/experiments", json={"surface": "home", "primary": "clicks", **DRAFT, **more})
            assert reply.status_code == 422, reply.text
            detail: str = reply.json()["detail"]
            return detail

        assert "name two, without weights" in refused(variants={"a": {}, "b": {}, "c": {}})
        assert "name two, without weights" in refused(variants={"a": {}, "b": {"weight": 2}})
        assert "leave out `guardrails`" in refused(guardrails={"slow": {"use": "latency"}})
        assert "its own control" in refused(cuped_days=7)
        assert "metrics.clicks" in refused(metrics={"clicks": {"use": "rate", "event": "click"}})
        started(api, **DRAFT)
        assert "nobody was shown" in api.get("/v1/admin/experiments/draft/report").json()["detail"]
        assert "is interleaved" in api.get("/v1/admin/experiments/draft/plan").json()["detail"]
