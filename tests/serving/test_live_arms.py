"""What an arm may be, over HTTP and with the real engine: another policy, a whole surface, two lists in one; and who takes part at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from patient import load_patient
from test_api import eventually
from test_live_experiments import started

from genre.serving import operating
from genre.serving.app import create_app
from genre.serving.settings import ServeSettings

USERS = [f"{user:04d}" for user in range(60)]
CLICKS: dict[str, Any] = {"surface": "default", "metrics": {"clicks": {"use": "mean", "event": "click"}}}


@pytest.fixture(scope="module")
def shop(small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("arms") / "shop"
    shutil.copytree(small_bundle, folder / "models" / "000001")
    operating.promote(folder, "000001")
    return folder


def served(run: Path, **more: Any) -> TestClient:
    return TestClient(create_app(ServeSettings(runs=[run], follow_seconds=0.05, **more), load_patient))


@pytest.fixture
def api(shop: Path) -> Iterator[TestClient]:
    with served(shop) as client:
        yield client
        for name in client.get("/v1/admin/experiments").json()["served"]:
            client.post(f"/v1/admin/experiments/{name}/stop", json={"reason": "the test is over"})


def asked(api: TestClient, user: str, **more: Any) -> dict[str, Any]:
    reply = api.post("/v1/recommend", json={"user_id": user, "n": 8, **more})
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


def by_arm(api: TestClient) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for answer in [asked(api, user) for user in USERS]:
        assert not answer["degraded"]
        found.setdefault(str(answer["variant"]).rpartition("/")[2], []).append(answer)
    return found


def test_an_arm_may_be_another_policy(api: TestClient) -> None:
    policy = {"use": "plackett_luce", "temperature": 1.0}
    started(api, **CLICKS, name="policy", variants={"sure": {}, "exploring": {"serve": {"policy": policy}}})
    arms = by_arm(api)
    assert {answer["policy"] for answer in arms["exploring"]} == {"plackett_luce"}
    assert all(item["propensity"] < 1 for answer in arms["exploring"] for item in answer["items"])
    assert {item["propensity"] for answer in arms["sure"] for item in answer["items"]} == {1.0}


def test_an_arm_may_be_a_whole_surface(api: TestClient) -> None:
    dear = {
        "filter": "price > 10",
        "sources": ["trending", "fresh"],
        "rules": [{"pin": "007", "place": 2}, {"cap": "category", "most": 3}],
        "order": "source",
    }
    started(api, **CLICKS, name="surface", variants={"plain": {}, "dear": {"serve": dear}})
    arms = by_arm(api)
    prices = {item["item_id"]: api.get(f"/v1/items/{item['item_id']}").json()["attributes"] for item in arms["dear"][0]["items"]}
    for answer in arms["dear"]:
        ids = [item["item_id"] for item in answer["items"]]
        assert ids[1] == "007" or "007" not in ids, "pinned, unless it does not pass the filter or was seen"
        found = api.get(f"/v1/requests/{answer['request_id']}")
        if found.status_code == 200:
            assert set(found.json()["candidates"]) <= {"trending", "fresh"}
    assert all(attributes["price"] > 10 for attributes in prices.values())
    plain = {item["item_id"] for answer in arms["plain"] for item in answer["items"]}
    assert plain - {item["item_id"] for answer in arms["dear"] for item in answer["items"]}


def test_two_surfaces_may_be_interleaved_over_pages(api: TestClient) -> None:
    variants = {"model": {}, "new": {"serve": {"sources": ["fresh"], "order": "source"}}}
    started(api, **CLICKS, name="pages", interleave=True, variants=variants)
    first = asked(api, "0001")
    second = asked(api, "0001", cursor=first["cursor"], explain=True, debug=True)
    ids = [item["item_id"] for answer in (first, second) for item in answer["items"]]
    assert len(set(ids)) == 16, "no item comes twice"
    assert [item["rank"] for item in second["items"]] == list(range(9, 17))
    assert {item["propensity"] for item in first["items"]} == {None} and second["timings"]["total"] > 0
    assert eventually(lambda: api.get(f"/v1/requests/{second['request_id']}").status_code == 200)
    found = api.get(f"/v1/requests/{second['request_id']}").json()
    assert set(found["teams"]) == {"model", "new"} and set(found["candidates"]) >= {"model: model", "new: fresh"}


def test_layers_hold_out_and_ramp_say_who_takes_part(shop: Path) -> None:
    with served(shop) as api:
        apart = {"held": {"weight": 1}, "rest": {"weight": 4}}
        started(api, **CLICKS | {"surface": ""}, name="apart", hold_out=True, variants=apart)
        for name, slice_, share in (("left", {"start": 0, "stop": 0.5}, 1.0), ("right", {"start": 0.5, "stop": 1}, 0.4)):
            layer = {"name": "home", **slice_}
            started(api, **CLICKS, name=name, variants={"a": {}, "b": {}}, layer=layer, ramp=[{"day": 0, "share": share}])
        users = [f"visitor{at}" for at in range(300)]
        took = {user: str(asked(api, user, n=1)["variant"]).partition("/")[0] for user in users}
        counts = {name: list(took.values()).count(name) for name in ("left", "right", "None")}
        # Of all: 20 % held out; then half in each slice, of the right one 40 %.
        assert abs(counts["left"] - 120) < 35 and abs(counts["right"] - 48) < 27 and abs(counts["None"] - 132) < 36
        assert {user: str(asked(api, user, n=1)["variant"]).partition("/")[0] for user in users[:50]} == {u: took[u] for u in users[:50]}
        events = [{"event_id": f"e{at}", "type": "click", "item_id": "007", "user_id": user} for at, user in enumerate(users)]
        assert api.post("/v1/events", json=events[::2]).status_code < 300
        assert eventually(lambda: sum(api.get("/v1/admin/experiments/apart/report").json().get("units", {}).values()) == 300)
        report = api.get("/v1/admin/experiments/apart/report").json()
        assert abs(report["units"]["held"] - 60) < 25
        assert report["comparisons"][0]["control"] == pytest.approx(0.5, abs=0.25), "clicks a user who is held out"
        for name in ("left", "right", "apart"):
            api.post(f"/v1/admin/experiments/{name}/stop", json={"reason": "the test is over"})
