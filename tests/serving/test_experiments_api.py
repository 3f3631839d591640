"""Experiments behind the API: who is shown which arm, what is logged of it, what the report says, and what stops one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from small_engine import SmallEngine
from test_api import api, eventually, publish, run  # noqa: F401

from genre.serving.app import create_app
from genre.serving.project import Project
from genre.serving.settings import ServeSettings
from genre.serving.store.schema import assignments, exposures

DEFINED: dict[str, Any] = {
    "name": "first", "surface": "home", "variants": {"now": {}, "new": {"serve": {"fallback": ["i7"]}}},
    "metrics": {"clicks": {"use": "mean", "event": "click"}, "hides": {"use": "rate", "event": "hide", "better": "lower"}},
    "primary": "clicks", "guardrails": {"hiding": {"use": "metric", "metric": "hides", "margin": 0.1}}, "min_units": 20,
    "planned_units": 100, "cuped_days": None,
}  # fmt: skip
Server = Callable[..., TestClient]


@pytest.fixture(params=["sqlite", "postgres"])
def serve(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """Starts replicas of one server, on each kind of store."""
    database = request.getfixturevalue("postgres") if request.param == "postgres" else None
    run = tmp_path / f"shop{abs(hash(tmp_path)) % 10**8}"  # one schema a test
    run.mkdir()
    publish(run, "000001", "000002", database=database)
    started: list[Any] = []

    def serve(**more: Any) -> TestClient:
        settings = ServeSettings(runs=[run], database=database, follow_seconds=0.05, **{"guard_minutes": 0, **more})
        started.append(TestClient(create_app(settings, SmallEngine.load)))
        client: TestClient = started[-1].__enter__()
        return client

    yield serve
    for client in started:
        client.__exit__(None, None, None)


def project(api: TestClient) -> Project:
    (found,) = api.app.state.server.projects.values()  # type: ignore[attr-defined]
    assert isinstance(found, Project)
    return found


def start(api: TestClient, **more: Any) -> Any:
    reply = api.post("/v1/admin/experiments", json={**DEFINED, **more})
    assert reply.status_code == 201, reply.text
    assert eventually(lambda: api.get(f"/v1/admin/experiments/{reply.json()['name']}").json()["serves"])
    return reply.json()


def ask(api: TestClient, user_id: str | None = None, surface: str = "home", **more: Any) -> Any:
    reply = api.post("/v1/recommend", json={"user_id": user_id, "surface": surface, "n": 3, **more})
    assert reply.status_code == 200, reply.text
    return reply.json()


def rows(api: TestClient, table: sa.Table) -> list[Any]:
    with project(api).database.read() as connection:
        return list(connection.execute(sa.select(table).order_by(table.c.seq)))


def logged(api: TestClient, n: int) -> list[Any]:
    assert eventually(lambda: len(rows(api, exposures)) >= n, 10)
    return rows(api, exposures)


def test_units_are_shared_out_shown_their_arm_and_logged_once(serve: Server) -> None:
    api = serve()
    assert ask(api, "u0")["variant"] is None
    start(api)
    shown = {f"u{at}": ask(api, f"u{at}") for at in range(40)}
    arms = {user: answer["variant"] for user, answer in shown.items()}
    assert 8 < sum(arm == "new" for arm in arms.values()) < 32
    assert all((answer["items"][0]["item_id"] == "i7") == (answer["variant"] == "new") for answer in shown.values())
    assert {user: ask(api, user)["variant"] for user in arms} == arms
    assert ask(api, "u0", surface="default")["variant"] is None, "another surface"
    assert ask(api)["variant"] is None, "somebody without any id has no arm to be kept in"
    assert ask(api, session_id="s1")["variant"] in ("now", "new")

    lines = logged(api, 84)
    of = {line.unit: (line.experiment, line.variant) for line in lines if line.experiment is not None}
    assert of.items() >= {f"user:{user}": ("first", arm) for user, arm in arms.items()}.items()
    assert {line.experiment for line in lines if line.unit == "anonymous" or line.surface == "default"} == {None}
    firsts = rows(api, assignments)
    assert len(firsts) == 41, "one row a unit"
    assert {line.unit: line.request_id for line in firsts}.items() >= {f"user:{user}": shown[user]["request_id"] for user in arms}.items()
    assert api.get(f"/v1/requests/{shown['u3']['request_id']}").json()["variant"] == arms["u3"]


def test_an_arm_is_kept_when_a_session_logs_in(serve: Server) -> None:
    api = serve()
    start(api)
    for at in range(12):
        before = ask(api, session_id=f"s{at}")["variant"]
        logged(api, 2 * at + 1)
        api.post("/v1/users:merge", json={"from_session_id": f"s{at}", "into_user_id": f"m{at}"}).raise_for_status()
        assert ask(api, f"m{at}")["variant"] == before, "not what the hash of the user would say"
        logged(api, 2 * at + 2)
    assert len(rows(api, assignments)) == 12


def test_an_arm_is_another_model_which_hears_what_the_first_one_hears(serve: Server) -> None:
    api = serve()
    start(api, variants={"now": {}, "new": {"serve": {"model": "000002"}}})
    answers = [ask(api, f"u{at}") for at in range(20)]
    assert {(answer["variant"], answer["model"]) for answer in answers} == {("now", "000001"), ("new", "000002")}
    api.post("/v1/events", json=[{"event_id": "1", "type": "click", "user_id": "x", "item_id": "i9"}]).raise_for_status()
    api.put("/v1/items/i19", json={"attributes": {"title": "x"}, "available": False}).raise_for_status()
    users = [next(f"u{at}" for at in range(20) if answers[at]["variant"] == arm) for arm in ("now", "new")]
    for user in users:
        assert eventually(lambda user=user: ask(api, user)["items"][0]["item_id"] == "i9")  # type: ignore[misc]
        assert "i19" not in [item["item_id"] for item in ask(api, user, n=50)["items"]]
    api.post("/v1/admin/promote", json={"model": "000002"}).raise_for_status()
    assert eventually(lambda: {ask(api, user)["model"] for user in users} == {"000002"}), "an arm that names no model follows"


def test_every_replica_hears_of_a_start_and_of_a_stop(serve: Server) -> None:
    one, other = serve(), serve()
    start(one)
    assert eventually(lambda: ask(other, "u1")["variant"] is not None)
    assert [ask(one, f"u{at}")["variant"] for at in range(9)] == [ask(other, f"u{at}")["variant"] for at in range(9)]
    stopped = other.post("/v1/admin/experiments/first:stop", json={"reason": "enough"})
    assert (stopped.status_code, stopped.json()["status"], stopped.json()["reason"]) == (200, "stopped", "enough")
    assert eventually(lambda: ask(one, "u1")["variant"] is None)
    (found,) = one.get("/v1/admin/experiments").json()["experiments"]
    assert (found["name"], found["status"], found["serves"]) == ("first", "stopped", False)
    assert other.post("/v1/admin/experiments/first:stop", json={"reason": "again"}).status_code == 409
    assert other.post("/v1/admin/experiments", json=DEFINED).status_code == 409, "a name is given once"
    actions = [line["action"] for line in one.get("/v1/admin/audit").json()["lines"]]
    assert actions[:2] == ["stop experiment", "start experiment"]


def crowd(api: TestClient, n: int, deed: Callable[[str, int], str | None]) -> dict[str, str]:
    """People who are shown a list and then do something; who saw what."""
    arms = {f"u{at}": ask(api, f"u{at}")["variant"] for at in range(n)}
    deeds = [(user, deed(arm, at)) for at, (user, arm) in enumerate(arms.items())]
    sent = [{"event_id": user, "type": kind, "user_id": user, "item_id": "i7"} for user, kind in deeds if kind is not None]
    api.post("/v1/events", json=sent).raise_for_status()
    logged(api, n)
    return arms


def test_the_report_counts_what_was_served_and_what_came_of_it(serve: Server) -> None:
    api = serve()
    start(api)
    report = "/v1/admin/experiments/first/report"
    early = api.get(report)
    assert (early.status_code, "shown to nobody yet" in early.json()["detail"]) == (409, True)
    arms = crowd(api, 120, lambda arm, at: "click" if at % 2 or arm == "new" else None)
    body = api.get(report).json()
    assert body["units"] == {arm: sum(seen == arm for seen in arms.values()) for arm in ("now", "new")}
    (clicks,) = (found for found in body["comparisons"] if found["metric"] == "clicks")
    usual = [at % 2 for at, arm in enumerate(arms.values()) if arm == "now"]
    assert clicks["control"] == pytest.approx(sum(usual) / len(usual))
    assert clicks["treatment"] == 1.0
    assert clicks["anytime"]["low"] > 0, "twice the clicks are seen in a crowd"
    assert (body["verdict"], body["split"], body["crossed"]) == ("hold", "as planned", 0)
    assert any("at least 7" in reason for reason in body["reasons"]), "a week has not passed"

    two = [next(user for user, seen in arms.items() if seen == arm) for arm in ("now", "new")]
    api.post("/v1/users:merge", json={"from_user_id": two[0], "into_user_id": two[1]}).raise_for_status()
    merged = api.get(report).json()
    assert (merged["crossed"], sum(merged["units"].values())) == (1, 118), "who saw both is in neither"

    api.post("/v1/admin/experiments/first:stop", json={"reason": "enough"}).raise_for_status()
    api.post("/v1/events", json=[{"event_id": "late", "type": "click", "user_id": "u5", "item_id": "i7"}]).raise_for_status()
    assert api.get(report).json()["comparisons"] == merged["comparisons"], "what comes later counts no more"


def test_an_experiment_stops_by_itself_when_a_guardrail_breaks(serve: Server) -> None:
    api = serve(guard_minutes=0.005)
    start(api)
    crowd(api, 120, lambda arm, at: "hide" if arm == "new" and at % 8 else "click")
    assert eventually(lambda: api.get("/v1/admin/experiments/first").json()["status"] == "stopped", 30)
    assert "guardrail hiding is broken by new" in api.get("/v1/admin/experiments/first").json()["reason"]
    assert eventually(lambda: ask(api, "u1")["variant"] is None)
    line = api.get("/v1/admin/audit").json()["lines"][0]
    assert (line["actor"], line["action"]) == ("guardrails", "stop experiment")
    assert api.get("/v1/admin/experiments/first/report").json()["guardrails"][0]["state"] == "broken"


@pytest.mark.parametrize("switch", ["setting", "guardrail"])
def test_that_can_be_left_to_people(serve: Server, switch: str) -> None:
    api = serve(guard_minutes=0 if switch == "setting" else 0.005)
    start(api, guardrails={"hiding": {**DEFINED["guardrails"]["hiding"], "stop": switch == "setting"}})
    crowd(api, 120, lambda arm, at: "hide" if arm == "new" and at % 8 else "click")
    assert api.get("/v1/admin/experiments/first/report").json()["guardrails"][0]["state"] == "broken"
    assert not eventually(lambda: api.get("/v1/admin/experiments/first").json()["status"] != "running", 1.0)


def test_slow_answers_and_degraded_ones_are_guarded_by_the_log_alone(serve: Server) -> None:
    api = serve()
    metrics = {**DEFINED["metrics"], "degraded": {"use": "degraded"}}
    rails = {"slow": {"use": "latency"}, "narrow": {"use": "coverage"}, "down": {"use": "metric", "metric": "degraded"}}
    start(api, metrics=metrics, guardrails=rails)
    crowd(api, 120, lambda arm, at: "click" if at % 2 else None)
    with project(api).database.write() as connection:  # the log of a day on which the new arm was slow and half broken
        new = (exposures.c.variant == "new") & (exposures.c.seq % 4 != 0)
        connection.execute(exposures.update().where(new).values(ms=500.0, degraded=["model"]))
    found = {rail["name"]: rail for rail in api.get("/v1/admin/experiments/first/report").json()["guardrails"]}
    assert {name: rail["state"] for name, rail in found.items()} == {"slow": "broken", "down": "broken", "narrow": "ok"}
    assert "500 ms" in found["slow"]["text"]


@pytest.mark.parametrize(
    ("changed", "status", "told"),
    [
        ({"surface": "nowhere"}, 422, "surface: there is no surface 'nowhere'"),
        ({"variants": {"now": {}, "new": {"serve": {"fallbak": []}}}}, 422, "variants.new.serve.fallbak: there is no such setting"),
        ({"variants": {"now": {}, "new": {"serve": {"model": 7}}}}, 422, "variants.new.serve.model: is the name of a published model"),
        ({"variants": {"now": {}, "new": {"serve": {"model": "000009"}}}}, 409, "there is no model '000009'; registered: 000002, 000001"),
        ({"variants": {"now": {}}}, 422, "variants: "),
        ({"primary": "sales"}, 422, "primary is 'sales', which is no metric; one of clicks, hides"),
        ({"logs": {"events": "/etc/passwd"}}, 422, "logs: leave them out"),
        ({"metrics": {"clicks": {"use": "mean", "event": "klick"}}}, 422, "there is no event type 'klick'; did you mean 'click'?"),
    ],
)  # fmt: skip
def test_a_definition_that_cannot_be_served_is_refused(api: TestClient, changed: dict[str, Any], status: int, told: str) -> None:
    reply = api.post("/v1/admin/experiments", json={**DEFINED, **changed})
    assert (reply.status_code, told in reply.json()["detail"]) == (status, True), reply.text
    assert api.get("/v1/admin/experiments").json() == {"experiments": []}


def test_who_is_not_known(api: TestClient) -> None:
    for reply in (
        api.get("/v1/admin/experiments/last"),
        api.get("/v1/admin/experiments/last/report"),
        api.post("/v1/admin/experiments/last:stop", json={"reason": "why"}),
    ):
        assert (reply.status_code, reply.json()["detail"]) == (404, "there is no experiment 'last'")


def test_an_arm_whose_model_is_damaged_keeps_the_experiment_from_running(api: TestClient, run: Path) -> None:
    start(api, variants={"now": {}, "new": {"serve": {"model": "000002"}}})
    (run / "models" / "000002" / "items.json").write_text("[]")
    with TestClient(create_app(ServeSettings(runs=[run], follow_seconds=0.05), SmallEngine.load)) as other:
        assert ask(other, "u1")["variant"] is None
        assert not other.get("/v1/admin/experiments/first").json()["serves"]
