"""Experiments in a running server: split, logged once, sticky over merges, seen by every replica, reported, stopped by a guardrail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from small_engine import SmallEngine
from test_api import event, eventually, publish

from genre.experiments.assignment import Assigner
from genre.serving import operating
from genre.serving.app import create_app
from genre.serving.client import ApiError, Client
from genre.serving.settings import ServeSettings, open_store
from genre.serving.store import experiments
from genre.serving.store.schema import assignments

HOME: dict[str, Any] = {
    "name": "shorter",
    "surface": "home",
    "variants": {"whole": {}, "short": {"serve": {"candidates": 3, "model": "000002"}}},
    "metrics": {
        "clicks": {"use": "mean", "event": "click"},
        "hides": {"use": "ratio", "event": "hide", "per": "exposure", "better": "lower"},
    },
    "primary": "clicks",
    "min_units": 10,
    "planned_units": 100,
}
USERS = [f"u{at}" for at in range(80)]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    publish(folder, "000001", "000002")
    return folder


def replica(run: Path, **more: Any) -> TestClient:
    return TestClient(create_app(ServeSettings(runs=[run], follow_seconds=0.05, **more), SmallEngine.load))


@pytest.fixture
def api(run: Path) -> Iterator[TestClient]:
    with replica(run) as client:
        yield client


def started(api: TestClient, **more: Any) -> dict[str, Any]:
    definition = {**HOME, **more}
    assert api.post("/v1/admin/experiments", json=definition).status_code == 201
    reply = api.post(f"/v1/admin/experiments/{definition['name']}/start")
    assert reply.status_code == 200, reply.text
    assert eventually(lambda: definition["name"] in api.get("/v1/admin/experiments").json()["served"])
    body: dict[str, Any] = reply.json()
    return body


def asked(api: TestClient, **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = api.post("/v1/recommend", json={"surface": "home", "n": 10, **more}).json()
    return body


def rows(run: Path) -> list[Any]:
    store = open_store(run)
    with store.read() as connection:
        found = connection.execute(sa.select(assignments)).all()
    store.close()
    return list(found)


def test_each_variant_gets_its_own_model_and_surface_and_each_user_is_logged_once(api: TestClient, run: Path) -> None:
    started(api)
    answers = {user: asked(api, user_id=user) for user in USERS}
    short = {user for user, answer in answers.items() if answer["variant"] == "shorter/short"}
    assert 20 < len(short) < 60
    for user, answer in answers.items():
        assert (len(answer["items"]), answer["model"]) == ((3, "000002") if user in short else (10, "000001")), user
        assert asked(api, user_id=user)["variant"] == answer["variant"], "whoever has a variant keeps it"
    assert eventually(lambda: len(rows(run)) == len(USERS))
    assert {row.unit for row in rows(run) if row.variant == "short"} == {f"user:{user}" for user in short}
    first = answers[USERS[0]]
    assert eventually(lambda: api.get(f"/v1/requests/{first['request_id']}").status_code == 200)
    assert api.get(f"/v1/requests/{first['request_id']}").json()["variant"] == first["variant"]
    ranked = api.post("/v1/rank", json={"surface": "home", "user_id": USERS[0], "items": ["i1", "i2"]}).json()
    assert ranked["variant"] == first["variant"], "one's own lists take part too"


def test_strangers_and_other_surfaces_take_no_part(api: TestClient) -> None:
    started(api)
    assert asked(api)["variant"] is None
    assert api.post("/v1/recommend", json={"user_id": "u1"}).json()["variant"] is None


def test_a_promoted_model_changes_no_arm(api: TestClient, run: Path) -> None:
    body = started(api)
    assert body["config"]["variants"]["whole"]["serve"] == {"model": "000001"}, "written out at the start"
    operating.promote(run, "000002")
    assert eventually(lambda: asked(api)["model"] == "000002")
    assert {asked(api, user_id=user)["model"] for user in USERS if asked(api, user_id=user)["variant"] == "shorter/whole"} == {"000001"}


def test_every_replica_starts_and_stops_within_two_seconds(run: Path) -> None:
    with replica(run) as one, replica(run) as other:
        started(one)
        assert eventually(lambda: asked(other, user_id="u1")["variant"] is not None)
        assert asked(other, user_id="u1")["variant"] == asked(one, user_id="u1")["variant"]
        stopped = other.post("/v1/admin/experiments/shorter/stop", json={"reason": "seen enough"})
        assert (stopped.status_code, stopped.json()["reason"]) == (200, "seen enough")
        assert eventually(lambda: asked(one, user_id="u1")["variant"] is None)
        assert one.post("/v1/admin/experiments/shorter/start").status_code == 409, "an experiment starts once"
        actions = [line["action"] for line in one.get("/v1/admin/audit").json()["lines"]]
        assert actions[:3] == ["stop experiment", "start experiment", "define experiment"]


def pair(run: Path) -> tuple[str, str]:
    """A session and a user whom the hash gives different variants."""
    store = open_store(run)
    with store.read() as connection:
        assigner = Assigner(experiments.running(connection))
    store.close()
    got = {unit: assigner.assign(unit, "shorter", 4e9).variant for unit in ("session:s", *(f"user:{user}" for user in USERS))}
    return "s", next(user for user in USERS if got[f"user:{user}"] != got["session:s"])


def test_who_logs_in_keeps_the_variant_of_the_session(api: TestClient, run: Path) -> None:
    started(api)
    session, user = pair(run)
    before = asked(api, session_id=session)["variant"]
    assert eventually(lambda: len(rows(run)) == 1)
    assert api.post("/v1/users:merge", json={"from_session_id": session, "into_user_id": user}).status_code == 200
    assert asked(api, user_id=user)["variant"] == before
    assert asked(api, session_id=session)["variant"] == before
    assert api.post("/v1/users:merge", json={"from_user_id": user, "into_user_id": "third"}).status_code == 200
    assert asked(api, user_id="third")["variant"] == before, "and over a second merge"


def test_a_user_who_was_shown_one_first_keeps_it(api: TestClient, run: Path) -> None:
    started(api)
    session, user = pair(run)
    before = asked(api, user_id=user)["variant"]
    assert eventually(lambda: len(rows(run)) == 1)
    asked(api, session_id=session)
    assert eventually(lambda: len(rows(run)) == 2)
    assert api.post("/v1/users:merge", json={"from_session_id": session, "into_user_id": user}).status_code == 200
    assert asked(api, user_id=user)["variant"] == asked(api, session_id=session)["variant"] == before


def test_the_report_is_of_the_served_log(api: TestClient, run: Path) -> None:
    started(api)
    variants = {user: asked(api, user_id=user)["variant"] for user in USERS}
    short = [user for user in USERS if variants[user] == "shorter/short"]
    clicks = [event(f"c{user}{n}", user_id=user) for user in short for n in range(2 if user == short[0] else 1)]
    clicks += [event(f"w{user}", user_id=user) for user in sorted(set(USERS) - set(short))[::4]]
    assert api.post("/v1/events", json=clicks).json()["accepted"] == len(clicks)
    assert eventually(lambda: len(rows(run)) == len(USERS))
    report = api.get("/v1/admin/experiments/shorter/report").json()
    assert report["units"] == {"whole": len(USERS) - len(short), "short": len(short)}
    found = next(line for line in report["comparisons"] if line["metric"] == "clicks")
    assert found["treatment"] == pytest.approx((len(short) + 1) / len(short))
    assert found["control"] == pytest.approx((len(clicks) - len(short) - 1) / (len(USERS) - len(short)))
    assert found["anytime"]["low"] < found["fixed"]["low"] < found["fixed"]["value"]
    assert (report["verdict"], report["split_alarm"]) == ("hold", False)
    assert "day 0.0 of" in " ".join(report["reasons"])
    outlook = api.get("/v1/admin/experiments/shorter/plan").json()
    assert outlook["planned_units"] > 0
    assert "cannot be told from 0.0 days of log" in outlook["sentence"]
    assert outlook["units"] == len(USERS), "who only looked would take part too"


def test_a_broken_guardrail_stops_it_without_anybody(run: Path) -> None:
    with replica(run, guard_seconds=0.2) as api:
        started(api, guardrails={"hiding": {"use": "metric", "metric": "hides", "margin": 0.1}})
        variants = {user: asked(api, user_id=user)["variant"] for user in USERS}
        # Each control user hides one item at times, each user of the treatment several.
        hides = [
            event(f"{user}-{n}", f"i{n}", user_id=user, type="hide")
            for at, user in enumerate(USERS)
            for n in range(4 + at % 2 if variants[user] == "shorter/short" else at % 2)
        ]
        assert api.post("/v1/events", json=hides).json()["rejected"] == 0
        # A busy machine takes long over a look, and then rests the longer.
        stopped = eventually(lambda: api.get("/v1/admin/experiments/shorter").json()["status"] == "stopped", 90)
        assert stopped, api.get("/v1/admin/experiments/shorter/report").text
        assert "guardrail hiding is broken by short" in api.get("/v1/admin/experiments/shorter").json()["reason"]
        assert eventually(lambda: asked(api, user_id="u1")["variant"] is None)
        last = api.get("/v1/admin/audit").json()["lines"][0]
        assert (last["actor"], last["action"]) == ("the server", "stop experiment")


def test_mistakes_are_told_with_their_place(api: TestClient) -> None:
    def refused(status: int, **more: Any) -> str:
        reply = api.post("/v1/admin/experiments", json={**HOME, **more})
        assert reply.status_code == status, reply.text
        detail: str = reply.json()["detail"]
        return detail

    assert "variants.b.serve.candidats" in refused(422, variants={"a": {}, "b": {"serve": {"candidats": 3}}})
    assert "primary" in refused(422, primary="sales")
    assert "server reads its own log" in refused(422, logs={"events": "x.csv"})
    assert "experiment" in api.get("/v1/admin/experiments/none").json()["detail"]
    assert api.post("/v1/admin/experiments/none/start").status_code == 404
    assert refused(422, surface="hom").startswith("surface: there is no surface 'hom'; there is default, home")
    told = refused(422, variants={"a": {}, "b": {"serve": {"model": "000009"}}})
    assert told.startswith("variants.b.serve.model: there is no model '000009'; registered: 000002, 000001")
    assert refused(422, variants={"a": {}, "b": {"serve": {"order": "source"}}}).startswith(
        "variants.b.serve.order: this engine can change"
    )
    assert api.get("/v1/admin/experiments").json()["experiments"] == [], "what is refused is not written down"
    started(api, layer={"name": "home", "start": 0, "stop": 0.5})
    assert "definition is fixed" in refused(409)
    api.post("/v1/admin/experiments", json={**HOME, "name": "second"})
    assert "same layer" in api.post("/v1/admin/experiments/second/start").json()["detail"]
    api.post("/v1/admin/experiments", json={**HOME, "name": "second", "layer": {"name": "home", "start": 0.4}})
    assert "overlap" in api.post("/v1/admin/experiments/second/start").json()["detail"]
    started(api, name="second", layer={"name": "home", "start": 0.5})
    variants = [asked(api, user_id=user)["variant"] for user in USERS]
    assert {str(variant).partition("/")[0] for variant in variants} == {"shorter", "second"}


def test_what_changed_since_the_definition_is_found_at_the_start(api: TestClient, run: Path) -> None:
    assert api.post("/v1/admin/experiments", json=HOME).status_code == 201
    (run / "models" / "000002" / "items.json").write_text("[]")
    reply = api.post("/v1/admin/experiments/shorter/start")
    assert (reply.status_code, "not what was published" in reply.json()["detail"]) == (409, True), reply.text


class Through(httpx.BaseTransport):
    """Requests of a client, answered by an application in this process."""

    def __init__(self, api: TestClient) -> None:
        self.api = api

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        reply = self.api.request(request.method, request.url.raw_path.decode(), content=request.read(), headers=dict(request.headers))
        return httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)


def test_the_client_does_it_in_python(api: TestClient) -> None:
    with Client("http://testserver", transport=Through(api)) as shop:
        assert shop.admin.define(HOME)["status"] == "planned"
        assert shop.admin.start("shorter")["status"] == "running"
        with pytest.raises(ApiError, match="nobody was shown"):
            shop.admin.report("shorter")
        assert shop.admin.stop("shorter", "a mistake")["reason"] == "a mistake"
        assert [one["name"] for one in shop.admin.experiments()] == ["shorter"]
        assert shop.admin.audit(1)[0]["action"] == "stop experiment"
