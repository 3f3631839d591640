"""Policies that learn while they serve: from events over the API, once each, the same in every worker, through restarts and promotes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from patient import LONG, LONG_MS
from test_api import eventually
from test_client import free_port, wait_for

from genre.bundle import Bundle
from genre.config import GenreConfig, load_run_config
from genre.pipeline import publish
from genre.policies.linucb import LinUCBPolicy
from genre.policies.thompson import ThompsonPolicy
from genre.runs import Run
from genre.serving import learning, operating
from genre.serving.app import create_app
from genre.serving.candidates import candidates_of
from genre.serving.engine import BundleEngine
from genre.serving.following import Following
from genre.serving.head import Head
from genre.serving.project import Project
from genre.serving.settings import ServeSettings, open_store
from genre.surfaces import Surface

OTHERS = [f"{at:03d}" for at in range(6, 60)]
"""All items but six."""
POLICY = ThompsonPolicy.Config(per_item=True, prior=0.0, dim=2)


@pytest.fixture(scope="module")
def published(small_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose bundle has a surface with a bandit over few items, and one with a bandit over all."""
    run = Run(shutil.copytree(small_run.folder, tmp_path_factory.mktemp("learning") / "shop"))
    publish(with_bandits(run), run)
    return run.folder


def with_bandits(run: Run, **more: Surface) -> GenreConfig:
    few = Surface.model_validate({"policy": POLICY, "sources": ["model", "fresh"], "repeats": True, "deadline_ms": LONG_MS})
    shared = few.model_copy(update={"policy": LinUCBPolicy.Config(dim=4)})
    return load_run_config(run.folder).model_copy(update={"surfaces": {"arms": few, "shared": shared, **more}})


@pytest.fixture
def run(published: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    shutil.copytree(published, folder)
    operating.promote(folder, "000001")
    return folder


def served(run: Path, database: str | None = None) -> TestClient:
    settings = ServeSettings(runs=[run], database=database, follow_seconds=0.05, patience_seconds=LONG)
    return TestClient(create_app(settings, BundleEngine.load))


@pytest.fixture
def api(run: Path) -> Iterator[TestClient]:
    with served(run) as client:
        yield client


def project_of(client: TestClient) -> Project:
    found: Project = next(iter(client.app.state.server.projects.values()))  # type: ignore[attr-defined]
    return found


def head_of(client: TestClient, surface: str) -> Head:
    serving = project_of(client).serving
    assert serving is not None
    return next(head for head in serving.engine.heads.values() if head.surface == surface)


def ask(client: TestClient | httpx.Client, surface: str, **more: Any) -> dict[str, Any]:
    reply = client.post("/v1/recommend", json={"surface": surface, "n": 3, **more})
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    assert not answer["degraded"]
    return answer


def send(client: TestClient | httpx.Client, events: Sequence[dict[str, Any]]) -> None:
    reply = client.post("/v1/events", json=list(events))
    assert reply.status_code == 200, reply.text


def click(event_id: str, answer: dict[str, Any], item_id: str, **more: Any) -> dict[str, Any]:
    return {"event_id": event_id, "type": "click", "user_id": "ann", "item_id": item_id, "request_id": answer["request_id"], **more}


def targets(head: Head) -> dict[str, float]:
    """What each item's own weights have seen of rewards: the first entry of the target is their sum."""
    ids = {i: item_id for item_id, i in head.index.items()}
    return {ids[i]: round(float(head.learner.posterior.target_HF[head.learner.head_N[i], 0]), 9) for i in head.learner.items().tolist()}


def same(one: Head, other: Head) -> bool:
    """Whether two heads know the same."""
    one_state, other_state = one.learner.posterior.state(), other.learner.posterior.state()
    return all(
        np.shape(one_state[name]) == np.shape(other_state[name]) and np.allclose(one_state[name], other_state[name], rtol=0, atol=1e-9)
        for name in ("precision_HFF", "target_HF", "mean_HF", "inverse_HFF", "count_H")
    )


def from_the_logs(run: Path, model: str, surface: str) -> Head:
    """What somebody knows who reads all of the logs."""
    head = next(head for head in BundleEngine.load(run / "models" / model).heads.values() if head.surface == surface)
    store = open_store(run)
    with store.read() as connection:
        learning.catch_up(head, connection, 5)
    store.close()
    return head


def test_what_is_clicked_more_is_shown_more(api: TestClient) -> None:
    rng = np.random.default_rng(0)

    def firsts(rounds: int, begin: int, *, clicked: bool = True) -> list[str]:
        shown = []
        for at in range(begin, begin + rounds):
            answer = ask(api, "arms", n=1, session_id=f"s{at}", exclude=OTHERS)
            first = answer["items"][0]["item_id"]
            shown.append(first)
            if clicked and rng.random() < (0.8 if first == "004" else 0.05):
                send(api, [{**click(f"e{at}", answer, first), "user_id": None, "session_id": f"s{at}"}])
        return shown

    before = firsts(60, 0, clicked=False)
    assert eventually(lambda: head_of(api, "arms").learner.posterior.count_H.sum() >= 60)
    firsts(120, 60)
    assert eventually(lambda: head_of(api, "arms").learner.posterior.count_H.sum() >= 180)
    after = firsts(60, 180)
    assert before.count("004") < 40
    assert after.count("004") > 48


def test_an_event_adds_its_worth_once_and_to_the_place_it_names(api: TestClient) -> None:
    answer = ask(api, "arms", user_id="ann")
    first, second, third = [item["item_id"] for item in answer["items"]]
    sent = [click("e1", answer, first), click("e1", answer, first), click("e2", answer, first), click("e3", answer, "nowhere")]
    send(api, [*sent, {**click("e4", answer, first), "type": "purchase"}, {**click("e5", answer, second), "type": "hide"}])
    send(api, [click("e1", answer, first), {**click("e6", answer, second), "type": "view"}])
    expected = {first: 2.0, second: -1.0, third: 0.0}  # a click and a purchase; two clicks of one list on one item are one
    assert eventually(lambda: targets(head_of(api, "arms")) == expected)
    assert sorted(head_of(api, "arms").learner.posterior.count_H.tolist()) == [0, 1, 1, 1]
    time.sleep(0.3)
    assert targets(head_of(api, "arms")) == expected, "and it stays so"
    assert not head_of(api, "shared").learner.posterior.count_H.any(), "another surface's list"


def test_an_event_without_a_request_belongs_to_the_last_list_that_showed_the_item(api: TestClient) -> None:
    first = ask(api, "arms", user_id="bob")["items"][0]["item_id"]
    send(api, [{"event_id": "e1", "type": "click", "user_id": "bob", "item_id": first}])
    send(api, [{"event_id": "e2", "type": "click", "user_id": "eve", "item_id": first}])
    assert eventually(lambda: targets(head_of(api, "arms")).get(first) == 1.0, 4)


def test_what_is_logged_is_what_was_chosen_by(api: TestClient, run: Path) -> None:
    answer = ask(api, "shared", user_id="0000", n=20)
    send(api, [click("e1", answer, answer["items"][3]["item_id"])])
    head = head_of(api, "shared")
    assert eventually(lambda: float(head.learner.posterior.target_HF[0, 0]) == 1.0)
    engine = BundleEngine.load(run / "models" / "000001")
    placement = engine.placements["shared"]
    assert isinstance(placement.policy, LinUCBPolicy)
    trace = api.get(f"/v1/requests/{answer['request_id']}").json()
    ids = list(trace["stage_scores"]["score"])
    item_idx_K = engine.world.catalogue.find(ids, engine.world.catalogue.n)
    scores_K = np.array([trace["stage_scores"]["score"][item_id] for item_id in ids])
    seen = engine.world.snapshot.of("0000")[0]
    candidates = candidates_of(engine.world, placement.policy, item_idx_K, scores_K, seen)
    features_KF = placement.policy.features(candidates)
    shown = [ids.index(item["item_id"]) for item in answer["items"]]
    learner = placement.policy
    learner.learn(item_idx_K[shown], features_KF[shown], np.zeros(20))
    learner.posterior.learn(np.zeros(1, np.int64), features_KF[shown[3:4]], np.ones(1), np.zeros(1, bool))
    assert same(placement.head or head, head)


def test_other_orders_of_the_same_events_teach_the_same(run: Path, tmp_path: Path) -> None:
    with served(run) as client:
        answers = [ask(client, surface, user_id=f"u{at}") for at in range(20) for surface in ("arms", "shared")]
        events = [
            {**click(f"e{at}-{place}", answer, item["item_id"]), "type": kind}
            for at, answer in enumerate(answers)
            for place, (item, kind) in enumerate(zip(answer["items"], ("click", "hide", "purchase"), strict=True))
        ]
        assert eventually(lambda: sum(head_of(client, "arms").learner.posterior.count_H) == 60)
    other = tmp_path / "other"
    shutil.copytree(run, other)  # the lists are logged; the events come in two orders
    order = np.random.default_rng(1).permutation(len(events))
    with served(run) as client, served(other) as second:
        send(client, events)
        for at in order.tolist():
            send(second, [events[at]])
        for surface in ("arms", "shared"):
            heads = head_of(client, surface), head_of(second, surface)
            assert eventually(lambda heads=heads: same(*heads)), surface  # type: ignore[misc]
            assert heads[0].learner.posterior.target_HF.any()


def first_is_clicked(client: TestClient, users: int) -> None:
    """So many users get a list of three of `shared` each and click its first item; returns when the head has learnt all of it."""
    for at in range(users):
        answer = ask(client, "shared", user_id=f"u{at}")
        send(client, [click(f"e{at}", answer, answer["items"][0]["item_id"])])
    assert eventually(lambda: head_of(client, "shared").learner.posterior.target_HF[0, 0] == users)
    assert eventually(lambda: head_of(client, "shared").learner.posterior.count_H[0] == 3 * users)


def test_a_restart_forgets_nothing_and_doubles_nothing(run: Path) -> None:
    with served(run) as client:
        first_is_clicked(client, 10)
        before = head_of(client, "shared")
    with served(run) as client:
        assert same(head_of(client, "shared"), before)
    # A state that was saved long ago, or never, is brought up to date from the logs.
    store = open_store(run)
    with store.write() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM heads").scalar()
        connection.exec_driver_sql("DELETE FROM heads")
    store.close()
    with served(run) as client:
        assert same(head_of(client, "shared"), before)


def test_two_replicas_come_to_know_the_same(run: Path, postgres: str) -> None:
    run = run.rename(run.with_name(f"replicas{os.getpid()}"))
    operating.promote(run, "000001", database=postgres)
    with served(run, postgres) as one, served(run, postgres) as two:
        both = [one, two]
        for at in range(30):
            answer = ask(both[at % 2], "shared", user_id=f"u{at}")
            send(both[(at // 2) % 2], [click(f"e{at}", answer, answer["items"][at % 3]["item_id"])])
            send(both[at % 2], [click(f"e{at}", answer, answer["items"][at % 3]["item_id"])])
        known = [head_of(client, "shared") for client in both]
        assert eventually(lambda: all(head.learner.posterior.target_HF[0, 0] == 30 for head in known), 4)
        assert eventually(lambda: all(head.learner.posterior.count_H[0] == 90 for head in known))
        assert same(*known)


def test_a_new_model_begins_with_its_bundles_state_and_what_came_since(run: Path) -> None:
    with served(run) as client:
        first_is_clicked(client, 5)
        learnt = operating.learnt_so_far(run, run / "learnt")
        made = Run(run)
        assert publish(with_bandits(made), made, force=True, learnt=learnt).name == "000002"
        begins = Bundle.open(run / "models" / "000002").path("policies/shared/learnt.json")
        assert json.loads(begins.read_text())["exposures"] >= 5
        loaded = next(head for head in BundleEngine.load(run / "models" / "000002").heads.values() if head.surface == "shared")
        assert loaded.learner.posterior.target_HF[0, 0] == 5
        answer = ask(client, "shared", user_id="u9")
        send(client, [click("e9", answer, answer["items"][0]["item_id"])])
        assert eventually(lambda: head_of(client, "shared").learner.posterior.target_HF[0, 0] == 6)
        operating.promote(run, "000002")
        assert eventually(lambda: ask(client, "shared")["model"] == "000002", 10)
        assert eventually(lambda: head_of(client, "shared").learner.posterior.target_HF[0, 0] == 6)
        assert eventually(lambda: same(head_of(client, "shared"), from_the_logs(run, "000001", "shared")), 5)


def test_lists_of_another_encoder_teach_what_means_the_same(run: Path) -> None:
    with served(run) as client:
        answer = ask(client, "shared", user_id="0000")
        send(client, [click("e1", answer, answer["items"][0]["item_id"])])
        assert eventually(lambda: head_of(client, "shared").learner.posterior.target_HF[0, 0] == 1)
    engine = BundleEngine.load(run / "models" / "000001")
    head = next(head for head in engine.heads.values() if head.surface == "shared")
    head.space = "another encoder"
    store = open_store(run)
    with store.read() as connection:
        learning.catch_up(head, connection, 5)
    store.close()
    precision_FF = head.learner.posterior.precision_HFF[0]
    assert precision_FF[0, 0] == 4, "the ridge and three places"
    assert np.array_equal(precision_FF[3:, 3:], np.eye(8)), "nothing of the vectors"


def test_places_below_those_looked_at_teach_nothing(run: Path) -> None:
    engine = BundleEngine.load(run / "models" / "000001").varied("arms", {"policy": {**POLICY.model_dump(), "looked_at": 2}})
    assert engine.placements["arms"].head is not None
    head = engine.placements["arms"].head
    assert head.arm
    with served(run) as client:
        answer = ask(client, "arms", user_id="ann")
        send(client, [click("e1", answer, answer["items"][0]["item_id"]), click("e2", answer, answer["items"][2]["item_id"])])
        assert eventually(lambda: sum(head_of(client, "arms").learner.posterior.target_HF[:, 0]) == 2)
    store = open_store(run)
    with store.read() as connection:
        learning.catch_up(head, connection, 5)
        assert not head.learner.posterior.count_H.any(), "an arm learns from its own lists alone"
        head.arm, head.learnt = False, None
        learning.catch_up(head, connection, 5)
    store.close()
    assert head.learner.posterior.count_H.sum() == 2
    assert head.learner.posterior.target_HF[:, 0].sum() == 1


@pytest.mark.slow
def test_a_killed_server_has_learnt_what_it_acknowledged(run: Path) -> None:
    script = "import sys; from genre.cli import app; app()"
    rng = np.random.default_rng(2)
    acknowledged = 0
    for turn in range(4):
        port = free_port()
        process = subprocess.Popen([sys.executable, "-c", script, "serve", str(run), "--port", str(port)], stderr=subprocess.DEVNULL)
        try:
            wait_for(port)
            until = time.monotonic() + rng.uniform(0.5, 2.0)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
                shown = [ask(http, "shared", user_id=f"u{at}") for at in range(10)]
                # Lists are logged within half a second; what is acknowledged are events.
                last = f"/v1/requests/{shown[-1]['request_id']}"
                assert eventually(lambda http=http, last=last: http.get(last).status_code == 200, 5)  # type: ignore[misc]
                for at, answer in enumerate(shown):
                    for place, item in enumerate(answer["items"]):
                        if time.monotonic() < until:
                            send(http, [click(f"{turn}-{at}-{place}", answer, item["item_id"])])
                            acknowledged += 1
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    store = open_store(run)
    with store.read() as connection:
        following = Following(BundleEngine.load(run / "models" / "000001"), "000001", connection, 0.0)
    store.close()
    head = next(head for head in following.engine.heads.values() if head.surface == "shared")
    assert head.learner.posterior.target_HF[0, 0] == acknowledged
    assert head.learner.posterior.count_H[0] == 4 * 30
