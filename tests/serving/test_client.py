"""The client against a real server process, and the command line that starts it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import httpx
import pytest

from genre import Client
from genre.serving import operating
from genre.serving.client import ApiError
from genre.serving.contract import EventIn, ItemIn, UserIn


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(run: Path, port: int, *more: str, log: IO[bytes] | int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "genre.cli", "serve", str(run), "--port", str(port), *more]
    return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=log, stdout=subprocess.PIPE)


def wait_for(port: int, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("the server was not ready in time")


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)


@pytest.fixture(scope="module")
def shop(small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two published bundles, as a server needs it."""
    folder = tmp_path_factory.mktemp("serve") / "shop"
    for version in ("000001", "000002"):
        shutil.copytree(small_bundle, folder / "models" / version)
    operating.promote(folder, "000001")
    return folder


@pytest.fixture(scope="module")
def token(shop: Path) -> str:
    return operating.create_key(shop, "test", ["read", "ingest"], 10_000)[1]


@pytest.fixture(scope="module")
def port(shop: Path, token: str) -> Iterator[int]:
    number, file = free_port(), shop / "log"
    with file.open("wb") as handle:  # nobody would read a pipe, and a server whose pipe is full stands still
        process = start(shop, number, "--workers", "2", "--host", "0.0.0.0", log=handle)
        wait_for(number)
        yield number
        stop(process)
    log = file.read_text()
    assert token not in log, "no secret in the log"
    assert "Traceback" not in log


@pytest.fixture
def client(port: int, token: str) -> Iterator[Client]:
    with Client(f"http://127.0.0.1:{port}", token) as opened:
        yield opened


def test_a_shop_in_ten_lines(client: Client) -> None:
    first = client.recommend("newcomer", n=5, surface="default")
    assert len(first.items) == 5
    clicked = first.items[0].item_id
    client.track("click", clicked, user_id="newcomer", request_id=first.request_id, position=1)
    assert clicked not in [item.item_id for item in client.recommend("newcomer", n=50).items], "of whichever worker answers"
    assert client.put_items([ItemIn(item_id="new/1", attributes={"title": "Brand new", "description": "unheard of"})]) == 1
    assert client.item("new/1").attributes["title"] == "Brand new"
    assert client.put_users([UserIn(user_id="newcomer", attributes={"country": "NZ"})]) == 1
    ranked = client.rank([item.item_id for item in first.items], "newcomer")
    assert len(ranked.items) == 5
    client.track("click", "038", session_id="visit")
    assert client.merge("newcomer", from_session_id="visit") == 1


def test_an_item_put_on_one_worker_is_known_to_the_other_within_two_seconds(client: Client) -> None:
    client.put_items([ItemIn(item_id="seen-by-all", attributes={"title": "x"})])
    time.sleep(2)
    lists = [[item.item_id for item in client.recommend("somebody", n=500).items] for _ in range(12)]
    assert all("seen-by-all" in shown for shown in lists)


def test_events_sent_again_count_once_and_refused_ones_are_named(client: Client) -> None:
    events = [EventIn(event_id=f"again-{at}", type="view", user_id="bob", item_id="1") for at in range(1500)]
    assert client.send(events) == 1500
    assert client.send(events) == 0
    with pytest.raises(ApiError, match=r"future") as error:
        client.track("view", "1", user_id="bob", time=3e10)
    assert error.value.status == 422


def test_what_the_server_refuses_says_why(client: Client, port: int) -> None:
    with pytest.raises(ApiError, match="no surface"):
        client.recommend("x", surface="nowhere")
    with Client(f"http://127.0.0.1:{port}", "genre-wrong", retries=0) as stranger, pytest.raises(ApiError, match="401"):
        stranger.recommend("x")


def test_a_promote_reaches_both_workers_without_a_failed_request(client: Client, shop: Path) -> None:
    def until_all(model: str) -> bool:
        end = time.monotonic() + 20  # two seconds and the loading of the bundle, on a machine that does much else
        while time.monotonic() < end:
            if {client.recommend("x", n=5).model for _ in range(20)} == {model}:
                return True
        return False

    assert until_all("000001")
    assert operating.promote(shop, "000002")[1].current == "000002"
    assert until_all("000002")
    assert operating.rollback(shop).current == "000001"
    assert until_all("000001")


def test_a_public_address_without_a_key_is_refused(tmp_path: Path, shop: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "models").symlink_to(shop / "models")
    process = start(tmp_path / "open", free_port(), "--host", "0.0.0.0")
    _, log = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"genre keys create" in log


def test_a_run_without_a_bundle_says_how_to_make_one(tmp_path: Path) -> None:
    process = start(tmp_path, free_port())
    _, log = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"genre publish" in log
