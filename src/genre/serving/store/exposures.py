"""The exposure log: every list that was shown, and for some days why it looked as it did."""

from __future__ import annotations

import time as clock
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
import sqlalchemy as sa

from genre.serving.contract import Noted, Trace
from genre.serving.store.assignments import log_shown
from genre.serving.store.events import canonical
from genre.serving.store.inserting import Row, insert_new
from genre.serving.store.schema import exposures, traces

Shown = tuple[Trace, str, str | None, str | None]
"""How an answer came about, `recommend` or `rank`, the user and the session."""
SCORE = np.dtype("<f8")
UNNOTED = dict.fromkeys(Noted._fields)
INNER = ("seq", *Noted._fields)
"""Columns that say nothing to whoever asks about an answer."""


def append(connection: sa.Connection, shown: Sequence[Shown]) -> int:
    """Log lists, each once by its request_id; returns how many were new."""
    into = canonical(connection, {trace.unit for trace, *_ in shown})
    rows: list[Row] = [
        {
            **trace.exposure(), "unit": into.get(trace.unit, trace.unit), "kind": kind, "user_id": user_id, "session_id": session_id,
            "ms": trace.ms.get("total"), **(UNNOTED if trace.noted is None else trace.noted._asdict()),
        }
        for trace, kind, user_id, session_id in shown
    ]  # fmt: skip
    insert_new(
        connection, traces, "request_id",
        [{"request_id": trace.request_id, "time": trace.time, "trace": packed(trace.details())} for trace, *_ in shown],
    )  # fmt: skip
    log_shown(connection, rows)
    return insert_new(connection, exposures, "request_id", rows)


def get(connection: sa.Connection, request_id: str) -> dict[str, Any] | None:
    """All that is known of an answer: its trace while that is kept, else its line of the log."""
    line = connection.execute(sa.select(exposures).where(exposures.c.request_id == request_id)).mappings().first()
    if line is None:
        return None
    trace = connection.execute(sa.select(traces.c.trace).where(traces.c.request_id == request_id)).scalar()
    known = dict(line) | ({} if trace is None else unpacked(trace))
    return {name: value for name, value in known.items() if name not in INNER}


def since(connection: sa.Connection, seq: int, limit: int = 5000) -> list[tuple[int, float, list[str]]]:
    """Lists logged after a seq, in order of commit: seq, time and item ids."""
    wanted = sa.select(exposures.c.seq, exposures.c.time, exposures.c.item_ids).where(exposures.c.seq > seq)
    return [tuple(row) for row in connection.execute(wanted.order_by(exposures.c.seq).limit(limit))]


def shown_after(connection: sa.Connection, moment: float, at_most: int) -> int:
    """The seq after which to follow, to see all that was shown since a moment but not more than so many lists."""
    newest = connection.execute(sa.select(sa.func.max(exposures.c.seq))).scalar() or 0
    wanted = sa.select(sa.func.min(exposures.c.seq)).where(exposures.c.time > moment, exposures.c.seq > newest - at_most)
    return (connection.execute(wanted).scalar() or newest + 1) - 1


def packed(details: Mapping[str, Any]) -> bytes:
    """A trace's details as compressed JSON, and behind it the scores of the stages, whose digits no compression shortens."""
    scores = details["stage_scores"]
    text = orjson.dumps({**details, "stage_scores": {stage: list(of) for stage, of in scores.items()}})
    # Level 1: done on the writer's thread, but for every list.
    return zlib.compress(text, 1) + b"".join(np.fromiter(of.values(), SCORE, len(of)).tobytes() for of in scores.values())


def unpacked(trace: bytes) -> dict[str, Any]:
    """A trace's details as they were before they were packed, by this version or by those that left the scores in the JSON."""
    inflating = zlib.decompressobj()
    found: dict[str, Any] = orjson.loads(inflating.decompress(trace))
    scores = iter(np.frombuffer(inflating.unused_data, SCORE).tolist())
    for stage, of in found["stage_scores"].items():
        if isinstance(of, list):
            found["stage_scores"][stage] = dict(zip(of, scores, strict=False))
    return found


def candidates_of(trace: bytes | None) -> list[str] | None:
    """What the policy of a packed trace chose from, best first; None of an answer that nothing was chosen for."""
    if trace is None:
        return None
    scored = unpacked(trace)["stage_scores"].get("score")
    return None if scored is None else list(scored)


def drop_traces(connection: sa.Connection, before: float) -> int:
    """Traces older than a moment go; the exposures stay."""
    return connection.execute(traces.delete().where(traces.c.time < before)).rowcount


def older_than_days(days: float) -> float:
    """The moment so many days ago."""
    return clock.time() - days * 86_400
