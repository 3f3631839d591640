"""The server under load, over HTTP: CPU a request beside a bare FastAPI echo, events a second, p99 with events coming in."""

# python benchmarks/serving_load.py RUN [--rate 100 --seconds 60 --workers 2]; RUN has a published bundle. Prints one Markdown table.

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import uvloop

ECHO = """
import sys, orjson, uvicorn
from fastapi import FastAPI, Request, Response
app = FastAPI()
@app.post("/v1/recommend")
async def echo(request: Request) -> Response:
    orjson.loads(await request.body())
    return Response(ANSWER, media_type="application/json")
ANSWER = bytes.fromhex(sys.argv[2])
uvicorn.run(app, port=int(sys.argv[1]), log_level="error", access_log=False)
"""


SERVED = """
import mmap, sys, time
from genre.cli import main
from genre.serving import engine
with open(sys.argv.pop(1), "r+b") as file:
    spent, begun = mmap.mmap(file.fileno(), 8), 0
recommend, finish = engine.BundleEngine.recommend, engine.finish
def beginning(*args):
    global begun
    begun = time.thread_time_ns()
    return recommend(*args)
def ending(*args):
    finish(*args)
    spent[:] = (int.from_bytes(spent, "little") + time.thread_time_ns() - begun).to_bytes(8, "little")
engine.BundleEngine.recommend, engine.finish = beginning, ending
main()
"""
"""The server, with the CPU nanoseconds from an engine's first stage to its last added up in a file: by the wall-clock milliseconds of
/metrics an engine that waits for its turn on a busy machine seems dear, and what is beyond it cheap."""


TURNS = 7
NAMES = (
    "recommend, n = 20, history 50, log on: CPU ms a request",
    "bare FastAPI echo of the same answer, CPU ms",
    "of it the engine, from its first stage to its last, CPU ms",
    "beyond the engine and the echo, CPU ms",
)


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def started(command: list[str], port: int) -> subprocess.Popen[bytes]:
    """A server process, once it answers."""
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
        for _ in range(1200):
            try:
                if http.get("/readyz").status_code in (200, 404):
                    return process
            except httpx.TransportError:
                pass
            time.sleep(0.1)
    process.kill()
    raise SystemExit("the server did not start")


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Of all its threads, user and system; and of its children that are gone."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(process: subprocess.Popen[bytes]) -> float:
    """Of the process, shared pages counted."""
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def one_after_another(
    process: subprocess.Popen[bytes], port: int, bodies: list[bytes], path: str = "/v1/recommend", first: int = 20
) -> tuple[float, float]:
    """CPU milliseconds a request and requests a second, on one connection; the first do not count."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
        headers = {"content-type": "application/json"}
        for body in bodies[:first]:
            http.post(path, content=body, headers=headers).raise_for_status()
        cpu, began = cpu_seconds(process), time.perf_counter()
        for body in bodies:
            http.post(path, content=body, headers=headers).raise_for_status()
        return (cpu_seconds(process) - cpu) * 1000 / len(bodies), len(bodies) / (time.perf_counter() - began)


class Lines:
    """Kept connections, and no more of HTTP than this server's answers need: a client that costs more than the server measures itself."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, path: str, body: bytes) -> bytes | None:
        """What was answered with 200; None if something else was."""
        try:
            line = self.free.pop() if self.free else await asyncio.open_connection("127.0.0.1", self.port)
            reader, writer = line
            writer.write(b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n" % path.encode())
            writer.write(b"content-length: %d\r\n\r\n%b" % (len(body), body))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            answer = await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]))
        except (OSError, EOFError):
            return None
        self.free.append(line)
        return answer if head.startswith(b"http/1.1 200") else None


async def under_load(port: int, asked: list[bytes], items: list[str], rate: float, seconds: float) -> tuple[list[float], int, int, int]:
    """Latencies in ms at a fixed rate (late requests count from when they were due), errors, degraded lists, and events sent beside."""
    late: list[float] = []
    errors = degraded = sent = 0
    lines = Lines(port)

    async def ask(due: float, body: bytes) -> None:
        nonlocal errors, degraded
        answer = await lines.post("/v1/recommend", body)
        errors += answer is None
        degraded += answer is not None and b'"degraded":true' in answer
        late.append((time.perf_counter() - due) * 1000)

    async def tell(user: int) -> None:
        nonlocal errors, sent
        errors += await lines.post("/v1/events", orjson.dumps([event(f"u{user}", items[user % len(items)])])) is None
        sent += 1

    tasks = set()
    begin = time.perf_counter()
    for at in range(int(rate * seconds)):
        due = begin + at / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        for work in (ask(due, asked[at % len(asked)]), tell(at % 500)):
            task = asyncio.create_task(work)
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    return late, errors, degraded, sent


def event(user: str, item: str) -> dict[str, Any]:
    """A click."""
    return {"event_id": uuid.uuid4().hex, "type": "click", "user_id": user, "item_id": item}


def main() -> None:
    """Measure the server of a published run."""
    options = argparse.ArgumentParser()
    options.add_argument("run", type=Path, help="A run's folder with a published bundle.")
    options.add_argument("--rate", type=float, default=100, help="Requests a second, and as many events beside.")
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--requests", type=int, default=200, help=f"In each of {TURNS} turns.")
    options.add_argument("--workers", type=int, default=1, help="Processes that serve while requests come at that rate.")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="genre-load-") as folder:
        run = Path(folder) / "run"
        run.mkdir()
        (run / "models").symlink_to((chosen.run / "models").resolve())
        measure(run, chosen.requests, chosen.rate, chosen.seconds, chosen.workers)
        shutil.rmtree(run, ignore_errors=True)


def measure(run: Path, requests: int, rate: float, seconds: float, workers: int) -> None:
    """Everything, on one server, but the load on one of so many workers; prints the table."""
    port, echo_port = free_port(), free_port()
    spent = run / "engine_ns"
    spent.write_bytes(bytes(8))
    server = started([sys.executable, "-c", SERVED, str(spent), "serve", str(run), "--port", str(port)], port)
    rows: list[tuple[str, str]] = []
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            # Histories of 50 events for 200 users, of items that the bundle has.
            items = [item["item_id"] for item in http.post("/v1/recommend", json={"n": 200}).json()["items"]]
            batches = [[event(f"u{user}", items[(user * 7 + at) % len(items)]) for at in range(50)] for user in range(200)]
            for batch in batches:
                http.post("/v1/events", json=batch).raise_for_status()
            bodies = [orjson.dumps({"surface": "default", "user_id": f"u{at % 200}", "n": 20}) for at in range(requests)]
            answer = http.post("/v1/recommend", content=bodies[0], headers={"content-type": "application/json"})
        echo = started([sys.executable, "-c", ECHO, str(echo_port), answer.content.hex()], echo_port)
        # In turns, since a shared machine is faster in one minute than in the next.
        turns = []
        for _ in range(TURNS):
            before = int.from_bytes(spent.read_bytes(), "little")
            whole, _ = one_after_another(server, port, bodies, first=0)
            alone = (int.from_bytes(spent.read_bytes(), "little") - before) / 1e6 / len(bodies)
            turns.append((whole, one_after_another(echo, echo_port, bodies)[0], alone))
        echo.kill()
        beyond = [whole - bare - alone for whole, bare, alone in turns]
        for name, values in zip(NAMES, [*zip(*turns, strict=True), beyond], strict=True):
            rows.append((name, f"{np.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"))
        batches_100 = [orjson.dumps([event(f"e{at % 1000}", items[at % len(items)]) for at in range(100)]) for _ in range(200)]
        cpu, rate_100 = one_after_another(server, port, batches_100, "/v1/events")
        rows += [("events in batches of 100, acknowledged durable, one connection, a second", f"{rate_100 * 100:,.0f}")]
        rows += [("events, CPU µs each", f"{cpu * 10:.0f}")]
        if workers > 1:
            server.terminate()
            server.wait()
            port = free_port()
            server = started([sys.executable, "-m", "genre.cli", "serve", str(run), "--port", str(port), "--workers", str(workers)], port)
            for _ in range(20 * workers):  # each has its first requests before it is measured
                one_after_another(server, port, bodies[:1], first=0)
        cpu = cpu_seconds(server)
        late, errors, degraded, sent = uvloop.run(under_load(port, bodies, items, rate, seconds))
        p50, p99, worst = np.percentile(late, [50, 99, 100])
        rows += [
            (f"{rate:g} recommends/s and {rate:g} events/s for {seconds:g} s: p50, p99, worst ms", f"{p50:.1f}, {p99:.1f}, {worst:.1f}"),
            (
                "of a core that took the server" + (", its workers left out" if workers > 1 else ""),
                f"{(cpu_seconds(server) - cpu) / seconds:.0%}",
            ),
            ("errors", f"{errors} of {len(late) + sent:,}"),
            ("degraded lists", f"{degraded / len(late):.1%}"),
            ("resident MB", f"{resident_mb(server):.0f}"),
        ]
    finally:
        server.terminate()
        server.wait()
    print("| measured | value |\n|---|---|")
    for name, value in rows:
        print(f"| {name} | {value} |")
    load = os.getloadavg()
    served = "one worker" if workers == 1 else f"{workers} workers"
    print(f"\n{os.cpu_count()} cores, load average {load[0]:.1f}, {served}, SQLite, no keys; client and server on one machine;", end=" ")
    print(f"medians of {TURNS} turns, and the extremes.")


if __name__ == "__main__":
    main()
