"""What it costs to learn while serving, per line of the logs and per request. Prints one Markdown table.

python benchmarks/learning.py
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from genre.policies.linucb import LinUCBPolicy
from genre.serving import learning
from genre.serving.contract import Trace
from genre.serving.head import Head
from genre.serving.store import events, exposures
from genre.serving.store.database import Database
from genre.types import Candidates

PLACES, CANDIDATES, DIM = 20, 300, 64


def cpu_us(work: Callable[[], object], times: int) -> float:
    """CPU microseconds a time of this thread, the median."""
    took = []
    for _ in range(times):
        began = time.thread_time_ns()
        work()
        took.append(time.thread_time_ns() - began)
    return float(np.median(took)) / 1000


def row(per_item: bool, lists: int, items: int, clicks: bool) -> str:
    """One line: a store of so many lists, each with one click, is learnt from, all at once and then a list and a click at a time."""
    rng = np.random.default_rng(0)
    ids = [f"i{at}" for at in range(items)]
    index = {item: at for at, item in enumerate(ids)}
    vectors_ND = rng.normal(size=(items, DIM)).astype(np.float32) / 8
    policy = LinUCBPolicy(LinUCBPolicy.Config(per_item=per_item))
    head = Head("home", policy, policy, "", index)
    begun = 0

    def show(n: int) -> list[Trace]:
        nonlocal begun
        traces = []
        for _ in range(n):
            begun += 1
            picks = rng.choice(items, CANDIDATES, replace=False)
            slate = head.choose(Candidates(picks, rng.normal(size=CANDIDATES), vectors_ND[picks], user_D=vectors_ND[0]), PLACES, rng)
            trace = Trace(f"r{begun}", 1e9 + begun, "home", f"user:{begun % 1000}", "000001", "linucb")
            trace.item_ids, trace.positions = [ids[i] for i in slate.item_idx], list(range(1, PLACES + 1))
            trace.scores, trace.propensities = [0.0] * PLACES, [1.0] * PLACES
            trace.noted = head.noted(slate, slate.item_idx.tolist())
            traces.append(trace)
        return traces

    def log(traces: list[Trace], store: Database) -> None:
        done = [
            {
                "event_id": trace.request_id, "received": trace.time, "time": trace.time, "type": "click", "user_id": trace.unit[5:],
                "session_id": None, "item_id": trace.item_ids[0], "value": None, "request_id": trace.request_id, "position": 1,
                "surface": "home", "props": None,
            }
            for trace in traces
        ]  # fmt: skip
        with store.write() as connection:
            exposures.append(connection, [(trace, "recommend", trace.unit[5:], None) for trace in traces])
            if clicks:
                events.append(connection, done)

    with tempfile.TemporaryDirectory() as folder:
        store = Database(f"sqlite:///{Path(folder) / 'store.db'}")
        store.migrate()
        for _ in range(lists // 500):
            log(show(500), store)
        with store.read() as connection:
            began = time.thread_time_ns()
            learning.catch_up(head, connection, float("inf"))
            many = (time.thread_time_ns() - began) / 1000 / lists
            singles = []
            for _ in range(200):
                log(show(1), store)
                began = time.thread_time_ns()
                learning.catch_up(head, connection, float("inf"))
                singles.append((time.thread_time_ns() - began) / 1000)
            idle = cpu_us(lambda: learning.catch_up(head, connection, 1.0), 200)
        store.close()
    picks = rng.choice(items, CANDIDATES, replace=False)
    asked = Candidates(picks, rng.normal(size=CANDIDATES), vectors_ND[picks], user_D=vectors_ND[0])
    alone = cpu_us(lambda: policy.select(asked, PLACES, rng), 300)
    locked = cpu_us(lambda: head.choose(asked, PLACES, rng), 300)
    slate = head.choose(asked, PLACES, rng)
    shown = slate.item_idx.tolist()
    noting = cpu_us(lambda: head.noted(slate, shown), 300)
    noted = head.noted(slate, shown)
    size = 0 if noted is None else len(noted.features)
    what = f"{'weights an item' if per_item else 'one set of weights'}, {'lists and clicks' if clicks else 'lists alone'}"
    figures = (many, float(np.median(singles)), idle, alone, max(locked - alone, 0.0), noting, size)
    return f"| {what} | {' | '.join(f'{figure:,.0f}' for figure in figures)} |"


def main() -> None:
    """All four lines."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lists", type=int, default=5000)
    parser.add_argument("--items", type=int, default=5000)
    settings = parser.parse_args()
    print("CPU microseconds of one thread")
    print()
    print(f"| linucb, {PLACES} of {CANDIDATES}, {settings.items:,} items | each of {settings.lists:,} lists at once", end=" | ")
    print("one alone | a look in vain | choosing | + its lock | + noting features | bytes a list |")
    print("|---|---|---|---|---|---|---|---|")
    for per_item in (False, True):
        for clicks in (False, True):
            print(row(per_item, settings.lists, settings.items, clicks), flush=True)


if __name__ == "__main__":
    main()
