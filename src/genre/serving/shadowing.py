"""The shadow: another model is asked what was asked, its list compared with the one shown, and thrown away."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from genre.serving.contract import Engine, PastEvent, RecommendRequest, RecommendResponse
from genre.serving.observability import SHADOWED, log
from genre.serving.store.database import Unavailable
from genre.serving.store.schema import comparisons
from genre.serving.store.writer import Writer

QUEUE = 8
"""Comparisons that may wait; a shadow slower than the traffic sees a sample of it."""


class Shadowing:
    """Compares on a thread of its own, so that nobody waits for it."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._pool = ThreadPoolExecutor(1, "genre-shadow")
        self._waiting = 0

    def offer(
        self, engine: Engine, model: str, request: RecommendRequest, history: Sequence[PastEvent], shown: RecommendResponse, ms: float
    ) -> None:
        """Compare soon, or not at all if too much waits already."""
        if self._waiting >= QUEUE:
            SHADOWED.labels("skipped").inc()
            return
        self._waiting += 1
        self._pool.submit(self._compare, engine, model, request, history, shown, ms)

    def _compare(
        self, engine: Engine, model: str, request: RecommendRequest, history: Sequence[PastEvent], shown: RecommendResponse, ms: float
    ) -> None:
        row = {
            "time": time.time(), "request_id": shown.request_id, "current": shown.model, "shadow": model, "overlap": 0.0,
            "same_first": False, "current_ms": ms, "shadow_ms": 0.0, "failed": None,
        }  # fmt: skip
        began = time.perf_counter()
        try:
            would, _ = engine.recommend(request, history, time.time())
        except Exception as error:  # a shadow may be broken in any way: that is what it is watched for
            log.warning("shadow failed", model=model, request_id=shown.request_id, reason=str(error))
            row["failed"] = f"{type(error).__name__}: {error}"[:500]
            SHADOWED.labels("failed").inc()
        else:
            row["shadow_ms"] = (time.perf_counter() - began) * 1000
            ours, theirs = [item.item_id for item in shown.items], [item.item_id for item in would.items]
            row["overlap"] = overlap(ours, theirs)
            row["same_first"] = ours[:1] == theirs[:1]
            SHADOWED.labels("compared").inc()
        finally:
            self._waiting -= 1
        try:
            self._writer.submit(lambda connection: connection.execute(comparisons.insert(), row))
        except Unavailable:
            SHADOWED.labels("skipped").inc()

    def close(self) -> None:
        """Finish what waits."""
        self._pool.shutdown()


def overlap(ours: Sequence[str], theirs: Sequence[str]) -> float:
    """The share of the longer list that is in both; 1 if both are empty."""
    longer = max(len(ours), len(theirs))
    return len(set(ours) & set(theirs)) / longer if longer else 1.0
