"""What an operator sees: Prometheus metrics and one structured line a request, with its id and without a secret."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import re
import sys
import time
import uuid
from collections.abc import Mapping

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genre.serving.answering import Problem

log = structlog.get_logger("genre.serving")
FAST = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
CALLERS_ID = re.compile(r"[A-Za-z0-9_.:-]{1,100}")

REQUESTS = Counter("genre_http_requests_total", "HTTP requests", ["route", "status"])
SECONDS = Histogram("genre_http_seconds", "Wall-clock seconds of a request", ["route"], buckets=FAST)
STAGES = Histogram("genre_stage_seconds", "Wall-clock seconds of a stage of the engine", ["stage"], buckets=FAST)
DEGRADED = Counter("genre_degraded_total", "Stages that failed or ran out of time, so that something simpler answered", ["stage"])
EVENTS = Counter("genre_events_total", "Events by what became of them: accepted, duplicate, rejected, refused", ["outcome"])
EXPOSURES = Counter("genre_exposures_total", "Lists shown, by whether their line of the log was written or dropped", ["outcome"])
WAITING = Gauge("genre_writes_waiting", "Writes that wait for the store", multiprocess_mode="livesum")
STORE_UP = Gauge("genre_store_up", "Whether the store answered when last asked", ["project"], multiprocess_mode="livemin")
SHED = Counter("genre_shed_total", "Lists refused because too many waited for their turn")
LOADS = Counter("genre_bundle_loads_total", "Bundles loaded, and bundles that could not be", ["outcome"])
MODEL = Gauge("genre_model_serving", "1 for the model that serves", ["project", "model"], multiprocess_mode="livemax")
SHADOWED = Counter("genre_shadow_total", "Requests that a shadow was asked too: compared, failed, skipped for lack of time", ["outcome"])
ERRORS = Counter("genre_errors_total", "Errors that nobody expected, by where", ["where"])


def metrics(project: str | None = None) -> bytes:
    """Every metric, of all workers where there are several, in Prometheus' text format; of the projects only one, if it is named."""
    every = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        every = CollectorRegistry()
        MultiProcessCollector(every)  # type: ignore[no-untyped-call]
    text = generate_latest(every)
    if project is None:
        return text
    own = f'project="{project}"'.encode()
    return b"".join(line for line in text.splitlines(keepends=True) if b'project="' not in line or own in line)


def log_as_json(level: int = logging.INFO) -> None:
    """JSON lines on stderr: what a caller sent is a value in them, never a part of their form."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def count_stages(ms: Mapping[str, float], degraded: Mapping[str, str]) -> None:
    """The milliseconds of each stage of an answer, and the stages that failed."""
    for stage, spent in ms.items():
        _seconds_of(stage).observe(spent / 1000)
    for stage in degraded:
        DEGRADED.labels(stage).inc()


@functools.cache
def _seconds_of(stage: str) -> Histogram:
    return STAGES.labels(stage)  # found once: a dozen look-ups a request cost more than the counting


class Observed:
    """Wraps the application: an id for every request, its line of the log, its metrics, and 500 as a problem."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"x-request-id"), "")
        request_id = given if CALLERS_ID.fullmatch(given) else uuid.uuid4().hex
        status, began = 0, time.perf_counter()
        scope.setdefault("state", {}).update(request_id=request_id, began=began)
        await asyncio.sleep(0)  # whoever arrived together with this one is noticed before this one is answered

        async def tagged(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, tagged)
        except Exception:  # the last boundary: whatever happened, the caller gets an answer and the operator a trace
            ERRORS.labels("request").inc()
            log.exception("request failed", request_id=request_id)
            if status == 0:
                await Problem(500, f"something went wrong on our side; say {request_id} when you report it").response()(
                    scope, receive, tagged
                )
        finally:
            # The route's pattern, not the path: an id in a label would make a metric of every user.
            route = getattr(scope.get("route"), "path", "none")
            seconds = time.perf_counter() - began
            REQUESTS.labels(route, status).inc()
            SECONDS.labels(route).observe(seconds)
            log.info(
                "request", route=route, method=scope["method"], status=status, ms=round(seconds * 1000, 2), request_id=request_id,
                key=scope["state"].get("key"), project=scope["state"].get("project"),
            )  # fmt: skip
