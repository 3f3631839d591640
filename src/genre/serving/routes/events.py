"""Events: up to a thousand at a time, each judged by itself, durable when acknowledged."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import Field, ValidationError

from genre.serving.answering import Problem, answer, blames, parse_json, read_bytes
from genre.serving.contract import EventIn, Wire
from genre.serving.limits import Limits, TooDeep, check_depth
from genre.serving.observability import EVENTS
from genre.serving.openapi import REF, documented
from genre.serving.project import Project
from genre.serving.routes.batches import RowError
from genre.serving.store import events
from genre.serving.store.database import Unavailable

router = APIRouter()
AHEAD = 86_400
"""A caller's clock may be so many seconds ahead of ours."""
NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl")


class EventsAnswer(Wire):
    """What became of the events."""

    accepted: int = Field(ge=0)
    """New, and on the disk."""
    duplicates: int = Field(ge=0)
    """There already, by `event_id`."""
    rejected: int = Field(ge=0)
    errors: list[RowError]
    """Why; the others are logged all the same."""


ONE = {"event_id": "e-1", "type": "click", "user_id": "42", "item_id": "alien", "request_id": "0192f0c1", "position": 1, "surface": "home"}
SCHEMA = {"type": "array", "items": {"$ref": REF.format(model="EventIn")}, "minItems": 1, "maxItems": 1000}
CONTENT = {
    "application/json": {"schema": SCHEMA, "example": [ONE]},
    "application/x-ndjson": {"schema": {"type": "string", "description": "One event a line."}, "example": orjson.dumps(ONE).decode()},
}
DESCRIBED = documented("Log events", "events", scope="ingest", answer=EventsAnswer, content=CONTENT, rows=True, models=(EventIn,))


@router.post("/v1/events", **DESCRIBED)
async def ingest(request: Request) -> Response:
    """1 to 1,000 events, as an array or as NDJSON. What is acknowledged is on the disk.

    An event sent twice counts once, by its `event_id`: after a timeout send the same again. Bad rows are named, good ones logged; if no
    row is good the status is 422. A click changes the same user's next list.
    """
    server = request.app.state.server
    project: Project = server.admit(request, "ingest")
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    body = await read_bytes(request, server.limits)
    if kind in NDJSON:
        rows: Any = list(_lines(body))
    elif kind == "application/json":
        rows = parse_json(body, server.limits)
    else:
        raise Problem(415, "send application/json or application/x-ndjson")
    if not isinstance(rows, list) or not 1 <= len(rows) <= server.limits.batch:
        raise Problem(422, f"send an array of 1 to {server.limits.batch:,} events")
    good, errors = judged(rows, time.time(), server.limits)
    EVENTS.labels("rejected").inc(len(errors))
    if not good:
        return answer(EventsAnswer(accepted=0, duplicates=0, rejected=len(errors), errors=errors), 422)
    try:
        accepted = await project.write(partial(events.append, rows=good))
    except Unavailable:
        EVENTS.labels("refused").inc(len(good))
        raise
    EVENTS.labels("accepted").inc(accepted)
    EVENTS.labels("duplicate").inc(len(good) - accepted)
    return answer(EventsAnswer(accepted=accepted, duplicates=len(good) - accepted, rejected=len(errors), errors=errors))


def judged(rows: list[Any], now: float, limits: Limits) -> tuple[list[dict[str, Any]], list[RowError]]:
    """The rows to log, and what is wrong with the others."""
    good: list[dict[str, Any]] = []
    errors: list[RowError] = []
    for at, row in enumerate(rows):
        try:
            if isinstance(row, Exception):
                raise row
            event = EventIn.model_validate(row)
            check_depth(event.props, limits.depth)
            if event.time is not None and event.time > now + AHEAD:
                errors.append(RowError(row=at, where="time", why="more than a day in the future; unix seconds, not milliseconds?"))
                continue
        except ValidationError as error:
            blame = blames(error)[0]
            errors.append(RowError(row=at, where=blame.where, why=blame.why))
        except (orjson.JSONDecodeError, TooDeep) as error:
            errors.append(
                RowError(row=at, where="body", why=f"not JSON: {error}" if isinstance(error, orjson.JSONDecodeError) else str(error))
            )
        else:
            good.append({
                "event_id": event.event_id, "received": now, "time": now if event.time is None else event.time, "type": event.type,
                "user_id": event.user_id, "session_id": event.session_id, "item_id": event.item_id, "value": event.value,
                "request_id": event.request_id, "position": event.position, "surface": event.surface, "props": event.props or None,
            })  # fmt: skip
    return good, errors


def _lines(body: bytes) -> Iterator[Any]:
    for line in body.splitlines():
        if line.strip():
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError as error:
                yield error
