"""API v1 over HTTP: lists, events, items, users, models and keys, with a small engine behind it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from small_engine import SmallEngine, small_bundle

from genre.serving.app import create_app
from genre.serving.settings import ServeSettings, open_store
from genre.serving.store import keys, registry


def publish(run: Path, *versions: str, database: str | None = None) -> None:
    store = open_store(run, database)
    store.migrate()
    with store.write() as connection:
        for version in versions:
            small_bundle(run, version)
            registry.register(connection, version, f"models/{version}", {}, "test")
        registry.promote(connection, versions[0], "test")
    store.close()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    publish(folder, "000001", "000002")
    return folder


@pytest.fixture
def api(run: Path) -> Iterator[TestClient]:
    with TestClient(create_app(ServeSettings(runs=[run], follow_seconds=0.05), SmallEngine.load)) as client:
        yield client


def event(event_id: str, item: str = "i3", **more: Any) -> dict[str, Any]:
    return {"event_id": event_id, "type": "click", "user_id": "ann", "item_id": item, **more}


def shown(api: TestClient, **asked: Any) -> list[str]:
    reply = api.post("/v1/recommend", json={"user_id": "ann", "n": 5, **asked})
    assert reply.status_code == 200, reply.text
    return [item["item_id"] for item in reply.json()["items"]]


def eventually(what: Callable[[], Any], seconds: float = 2.0) -> Any:
    """The promise is two seconds."""
    until = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < until:
        time.sleep(0.02)
    return found


def test_a_click_changes_the_next_list(api: TestClient) -> None:
    assert "i3" in shown(api, n=20)
    assert api.post("/v1/events", json=[event("1")]).json() == {"accepted": 1, "duplicates": 0, "rejected": 0, "errors": []}
    assert "i3" not in shown(api, n=20), "the small engine shows nothing twice"
    assert "i3" in shown(api, n=20, user_id="bob")
    assert eventually(lambda: shown(api, user_id="bob")[0] == "i3"), "and everybody's list by what was counted"


def test_events_are_judged_row_by_row_and_once(api: TestClient) -> None:
    rows = [event("1"), event("1"), event("2", type="stare"), {"event_id": "3", "type": "click", "item_id": "i1"}, event("4", time=1e10), 7]
    reply = api.post("/v1/events", json=rows)
    assert reply.status_code == 200
    body = reply.json()
    assert (body["accepted"], body["duplicates"], body["rejected"]) == (1, 1, 4)
    assert [(error["row"], error["where"]) for error in body["errors"]] == [(2, "type"), (3, "body"), (4, "time"), (5, "body")]
    assert api.post("/v1/events", json=[7]).status_code == 422


def test_ndjson_is_events_too_and_a_broken_line_is_one_bad_row(api: TestClient) -> None:
    lines = "\n".join([json.dumps(event("1")), "{nonsense", "", json.dumps(event("2"))])
    body = api.post("/v1/events", content=lines, headers={"content-type": "application/x-ndjson"}).json()
    assert (body["accepted"], body["rejected"], body["errors"][0]["row"]) == (2, 1, 1)


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"[]", "application/json", 422), (b"{}", "application/json", 422), (b"[", "application/json", 400), (b"", "application/json", 400),
        (b"[1]", "text/plain", 415), (b"[" * 30 + b"]" * 30, "application/json", 400), (b"[" * 5000, "application/json", 400),
        (b" " * 2_000_001, "application/json", 413), (b"\xff\xfe", "application/json", 400), (b'["\\ud800"]', "application/json", 400),
        (json.dumps([{}] * 1001).encode(), "application/json", 422),
    ],
)  # fmt: skip
def test_a_body_beyond_the_limits_is_a_problem_not_an_accident(api: TestClient, content: bytes, kind: str, status: int) -> None:
    reply = api.post("/v1/events", content=content, headers={"content-type": kind})
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["status"] == status


def test_why_an_item_was_shown_or_not(api: TestClient) -> None:
    api.post("/v1/events", json=[event("1", "i0")])
    reply = api.post("/v1/recommend", json={"user_id": "ann", "n": 2, "context": {"device": "phone"}}).json()

    def ask(item: str) -> Any:
        found = api.get(f"/v1/requests/{reply['request_id']}", params={"item_id": item})
        return found.json() if found.status_code == 200 else None

    details = eventually(lambda: ask("i1"))
    assert details["item_ids"] == ["i1", "i2"]
    assert details["unit"] == "user:ann"
    assert details["context"] == {"device": "phone"}
    assert details["item"]["why"] == "shown at position 1, found by popular"
    assert ask("i0")["item"]["why"] == "not shown: taken away by seen"
    assert ask("i9")["item"]["why"] == "not shown: a candidate of popular, but others scored higher"
    assert ask("nothing")["item"]["why"] == "not shown: no source proposed it"
    assert api.get("/v1/requests/none").status_code == 404


def test_rank_orders_the_callers_items(api: TestClient) -> None:
    reply = api.post("/v1/rank", json={"items": ["i1", "i2"], "user_id": "ann"})
    assert [item["item_id"] for item in reply.json()["items"]] == ["i1", "i2"]
    assert eventually(lambda: api.get(f"/v1/requests/{reply.json()['request_id']}").status_code == 200)


def test_an_unknown_surface_or_key_names_the_field(api: TestClient) -> None:
    assert api.post("/v1/recommend", json={"surface": "nowhere"}).json()["errors"][0]["where"] == "surface"
    assert api.post("/v1/recommend", json={"usr_id": "x"}).json()["errors"][0]["where"] == "usr_id"


def test_items_come_change_and_go(api: TestClient) -> None:
    awkward = "a/b c?d%#é"
    path = "/v1/items/a%2Fb%20c%3Fd%25%23%C3%A9"
    assert api.put(path, json={"attributes": {"title": "New", "price": 3}}).json()["item_id"] == awkward
    assert awkward in shown(api, n=100)
    patched = api.patch(path, json={"attributes": {"price": 2, "title": None}}).json()
    assert patched == {"item_id": awkward, "attributes": {"price": 2}, "available": True}
    assert api.get(path).json() == patched
    api.patch(path, json={"available": False})
    assert awkward not in shown(api, n=100)
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == api.delete(path).status_code == api.patch(path, json={}).status_code == 404


def test_an_item_of_the_bundle_can_be_patched_and_deleted(api: TestClient) -> None:
    assert api.patch("/v1/items/i1", json={"attributes": {"price": 1}}).json()["attributes"] == {"title": "I1", "price": 1}
    api.delete("/v1/items/i2")
    assert "i2" not in shown(api, n=100)


def test_a_batch_does_what_it_can_and_names_the_rest(api: TestClient) -> None:
    items = [{"item_id": "n1"}, {"item_id": ""}, {"item_id": "n2", "attributes": {"price": "cheap"}}, {"item_id": "n3"}]
    reply = api.post("/v1/items:batch", json={"items": items}).json()
    assert reply["changed"] == 2
    assert [(error["row"], error["where"]) for error in reply["errors"]] == [(1, "item_id"), (2, "attributes.price")]
    assert {"n1", "n3"} <= set(shown(api, n=100))
    assert api.post("/v1/users:batch", json={"users": [{"user_id": "ann", "attributes": {"age": 4}}]}).json()["changed"] == 1
    assert api.get("/v1/users/ann").json()["attributes"] == {"age": 4}
    assert api.patch("/v1/users/ann", json={"attributes": {"age": None, "city": "Oslo"}}).json()["attributes"] == {"city": "Oslo"}
    assert [api.delete("/v1/users/ann").status_code for _ in range(2)] == [204, 404]


def test_a_session_that_logs_in_brings_its_clicks(api: TestClient) -> None:
    api.post("/v1/events", json=[{"event_id": "1", "type": "click", "session_id": "s", "item_id": "i5"}])
    assert "i5" in shown(api, n=20)
    assert api.post("/v1/users:merge", json={"from_session_id": "s", "into_user_id": "ann"}).json() == {"events": 1}
    assert "i5" not in shown(api, n=20)
    assert api.post("/v1/users:merge", json={"from_user_id": "ann", "into_user_id": "ann"}).status_code == 422


def test_promote_and_rollback_change_who_answers_without_a_failed_request(api: TestClient) -> None:
    def model() -> str:
        reply = api.post("/v1/recommend", json={})
        assert reply.status_code == 200
        return str(reply.json()["model"])

    assert model() == "000001"
    assert api.post("/v1/admin/promote", json={"model": "000002"}).json()["current"] == "000002"
    assert eventually(lambda: model() == "000002")
    assert api.post("/v1/admin/rollback").json()["current"] == "000001"
    assert eventually(lambda: model() == "000001")
    assert api.post("/v1/admin/rollback").status_code == 409
    assert api.post("/v1/admin/promote", json={"model": "nothing"}).status_code == 409
    deeds = [line["action"] for line in api.get("/v1/admin/audit", params={"n": 2}).json()["lines"]]
    assert deeds == ["rollback", "promote"]


def test_a_damaged_bundle_is_not_promoted(api: TestClient, run: Path) -> None:
    (run / "models" / "000002" / "items.json").write_text("[]")
    for reply in (api.post("/v1/admin/promote", json={"model": "000002"}), api.put("/v1/admin/shadow", json={"model": "000002"})):
        assert reply.status_code == 409
        assert "items.json" in reply.json()["detail"]
    assert api.get("/v1/admin/models").json()["roles"]["shadow"] is None


def test_what_is_published_beside_the_server_can_be_promoted_over_http(api: TestClient, run: Path) -> None:
    for version in ("000003", "000004"):
        small_bundle(run, version)
    assert api.post("/v1/admin/promote", json={"model": "000003"}).json()["current"] == "000003"
    assert eventually(lambda: api.post("/v1/recommend", json={}).json()["model"] == "000003")
    assert [line["model"] for line in api.get("/v1/admin/models").json()["models"]][:2] == ["000004", "000003"]


def test_a_shadow_is_compared_and_not_shown(api: TestClient) -> None:
    api.put("/v1/admin/shadow", json={"model": "000002"})
    assert eventually(lambda: shown(api) and api.get("/v1/admin/shadow/000002").json()["requests"] > 0)
    found = api.get("/v1/admin/shadow/000002").json()
    assert found["failed"] == 0
    assert found["overlap"] == 1.0
    assert api.post("/v1/recommend", json={}).json()["model"] == "000001"
    assert api.delete("/v1/admin/shadow").json()["shadow"] is None


def test_health_and_metrics(api: TestClient) -> None:
    shown(api)
    assert api.get("/healthz").json() == api.get("/readyz").json() == {"status": "ok"}
    text = api.get("/metrics").text
    assert 'genre_http_requests_total{route="/v1/recommend",status="200"}' in text
    assert 'genre_model_serving{model="000001",project="shop"} 1.0' in text


def test_a_request_has_an_id_the_callers_own_if_it_is_harmless(api: TestClient) -> None:
    assert api.get("/healthz", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert len(api.get("/healthz", headers={"x-request-id": 'mine" level="root'}).headers["x-request-id"]) == 32


def test_what_is_not_there_is_a_problem_too(api: TestClient) -> None:
    for reply in (api.get("/nowhere"), api.get("/v1/recommend"), api.get("/v1/admin/audit", params={"n": "many"})):
        assert reply.headers["content-type"] == "application/problem+json"


def test_a_key_opens_what_its_scopes_say_and_nothing_of_another_project(tmp_path: Path) -> None:
    tokens = {}
    for name in ("shop", "blog"):
        (tmp_path / name).mkdir()
        publish(tmp_path / name, "000001")
        store = open_store(tmp_path / name)
        with store.write() as connection:
            for scope in keys.SCOPES:
                tokens[name, scope] = keys.create(connection, scope, [scope], 1000, "test")[1]
        store.close()
    settings = ServeSettings(runs=[tmp_path / "shop", tmp_path / "blog"], follow_seconds=0.05)
    with TestClient(create_app(settings, SmallEngine.load)) as api:

        def ask(token: str, method: str, path: str, **more: Any) -> Any:
            return api.request(method, path, headers={"authorization": f"Bearer {token}"}, **more)

        assert api.post("/v1/recommend", json={}).status_code == 401
        assert ask(tokens["shop", "read"][:-1] + "_", "POST", "/v1/recommend", json={}).status_code == 401
        assert ask(tokens["shop", "ingest"], "POST", "/v1/recommend", json={}).status_code == 403
        assert ask(tokens["shop", "read"], "POST", "/v1/events", json=[event("1")]).status_code == 403
        assert ask(tokens["shop", "read"], "GET", "/v1/admin/keys").status_code == 403
        assert ask(tokens["shop", "ingest"], "PUT", "/v1/items/secret", json={}).status_code == 200
        assert ask(tokens["shop", "read"], "GET", "/v1/items/secret").status_code == 200
        assert ask(tokens["blog", "admin"], "GET", "/v1/items/secret").status_code == 404
        assert 'project="shop"' not in ask(tokens["blog", "read"], "GET", "/metrics").text
        assert api.get("/healthz").status_code == 200

        made = ask(tokens["shop", "admin"], "POST", "/v1/admin/keys", json={"name": "new", "scopes": ["read"], "per_second": 1})
        token = made.json()["token"]
        time.sleep(0.25)
        assert [ask(token, "POST", "/v1/recommend", json={}).status_code for _ in range(3)] == [200, 200, 429]
        ask(tokens["shop", "admin"], "DELETE", f"/v1/admin/keys/{made.json()['key_id']}")
        assert eventually(lambda: ask(token, "POST", "/v1/recommend", json={}).status_code == 401)


def test_a_browsers_page_may_call_only_if_it_is_named(run: Path, api: TestClient) -> None:
    asked = {"origin": "https://shop.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in api.options("/v1/recommend", headers=asked).headers
    settings = ServeSettings(runs=[run], allow_origins=["https://shop.example"])
    with TestClient(create_app(settings, SmallEngine.load)) as named:
        assert named.options("/v1/recommend", headers=asked).headers["access-control-allow-origin"] == "https://shop.example"
        assert (
            "access-control-allow-origin" not in named.options("/v1/recommend", headers={**asked, "origin": "https://evil.example"}).headers
        )


def test_what_does_not_match_is_said_in_words(api: TestClient) -> None:
    row = api.post("/v1/events", json=[event("e1", type="clik")]).json()["errors"][0]
    assert row["where"] == "type"
    assert row["why"].startswith("no such type of event; there is impression, view, click")
    row = api.post("/v1/events", json=[event("e\u0000")]).json()["errors"][0]
    assert (row["where"], row["why"]) == ("event_id", "must not hold control characters")
