"""More is asked than can be made: lists get simpler, then some are refused, and all else is answered meanwhile."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from slow_server import TAKES
from test_client import free_port, wait_for

from genre.config import load_run_config
from genre.pipeline import publish
from genre.runs import Run
from genre.serving import operating
from genre.serving.answering import Problem
from genre.serving.turns import Turns
from genre.surfaces import Surface

ASKED = {"surface": "home", "user_id": "0000", "n": 5, "filter": "price < 15"}


class Answer(NamedTuple):
    """What came back, and how long it took."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]
    seconds: float


@pytest.fixture(scope="module")
def run(small_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose surface takes long, published."""
    run = Run(shutil.copytree(small_run.folder, tmp_path_factory.mktemp("overload") / "shop"))
    surface = Surface(sources=("model", "slow_server:SlowSource"), deadline_ms=400)
    publish(load_run_config(run.folder).model_copy(update={"surfaces": {"home": surface}}), run)
    operating.promote(run.folder)
    return run.folder


@contextmanager
def served(run: Path, waiting: int) -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen([sys.executable, str(Path(__file__).with_name("slow_server.py")), str(run), str(port), str(waiting)])
    try:
        wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


async def asked(port: int, method: str, path: str, body: Any = None) -> Answer:
    """One request on a connection of its own: a client that costs little."""
    content, began = b"" if body is None else json.dumps(body).encode(), time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = [
        f"{method} {path} HTTP/1.1",
        "host: x",
        "connection: close",
        "content-type: application/json",
        f"content-length: {len(content)}",
    ]
    writer.write("\r\n".join([*head, "", ""]).encode() + content)
    told, _, answered = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    first, *lines = told.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(first.split()[1]), headers, json.loads(answered), time.perf_counter() - began)


async def all_at_once(port: int, n: int) -> tuple[list[Answer], list[Answer]]:
    """So many lists, and what else is asked while they are made: is it alive, and an event."""
    lists = [asyncio.create_task(asked(port, "POST", "/v1/recommend", ASKED)) for _ in range(n)]
    await asyncio.sleep(0.1)
    event = {"event_id": f"e{n}", "type": "click", "user_id": "ann", "item_id": "003"}
    beside = [await asked(port, "GET", "/healthz"), await asked(port, "POST", "/v1/events", [event])]
    assert not all(task.done() for task in lists), "they were asked while lists waited"
    return list(await asyncio.gather(*lists)), beside


def test_a_burst_is_answered_by_simpler_lists_and_not_by_late_ones(run: Path) -> None:
    n = 200
    with served(run, waiting=500) as port:
        lists, beside = asyncio.run(all_at_once(port, n))
        assert {answer.status for answer in lists} == {200}
        whole = [answer for answer in lists if not answer.body["degraded"]]
        assert whole, "those who came first got all that there is"
        assert len(whole) < n / 2
        # One after another, each whole, they would have taken ten seconds.
        assert max(answer.seconds for answer in lists) < n * TAKES / 2
        assert {answer.status for answer in beside} == {200}
        assert max(answer.seconds for answer in beside) < 2, "events and health checks do not wait behind lists"
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
            prices = {item["item_id"] for answer in lists for item in answer.body["items"]}
            assert all(http.get(f"/v1/items/{item_id}").json()["attributes"]["price"] < 15 for item_id in prices), (
                "filters hold, however late"
            )
            late = max((answer for answer in lists if answer.body["degraded"]), key=lambda answer: answer.seconds)
            time.sleep(1)
            told = http.get(f"/v1/requests/{late.body['request_id']}").json()
            assert set(told["degraded"].values()) == {"out of time"}
            assert told["ms"]["wait"] > 10 * told["ms"]["total"] > 0, "it waited for longer than it took"
            assert not http.post("/v1/recommend", json=ASKED).json()["degraded"], "and it is over when it is over"


def test_who_finds_too_many_waiting_is_told_to_come_back(run: Path) -> None:
    with served(run, waiting=20) as port:
        lists, _ = asyncio.run(all_at_once(port, 100))
        refused = [answer for answer in lists if answer.status == 503]
        assert {answer.status for answer in lists} == {200, 503}
        assert {answer.headers["retry-after"] for answer in refused} == {"1"}
        assert "20 lists wait already" in refused[0].body["detail"]
        assert len(lists) - len(refused) >= 20
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
            assert http.post("/v1/recommend", json=ASKED).status_code == 200
            assert f"genre_shed_total {len(refused):.1f}" in http.get("/metrics").text


def test_turns_are_in_order_and_who_went_away_has_none() -> None:
    order: list[int] = []

    async def one(turns: Turns, at: int) -> None:
        async with turns:
            order.append(at)

    async def everybody() -> None:
        turns = Turns(1, 3)
        async with turns:
            tasks = [asyncio.create_task(one(turns, at)) for at in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(Problem, match="3 lists wait already"):
                await one(turns, 3)
            tasks[0].cancel()
        await asyncio.sleep(0)  # the turn is given to the second
        tasks[1].cancel()  # who goes away before taking it
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.wait_for(one(turns, 4), 5)

    asyncio.run(everybody())
    assert order == [2, 4]
