"""Tracing: each request as an OpenTelemetry span, the engine's stages below it, where the OTEL_* variables name a collector."""

from __future__ import annotations

import asyncio
import os
from contextvars import ContextVar
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genre.serving.contract import Trace
from genre.serving.observability import log

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
ANSWERS: ContextVar[list[Trace] | None] = ContextVar("answers", default=None)
"""Of the request under way; None where nobody traces."""


def note(trace: Trace) -> None:
    """How an answer came about, for the span of its request."""
    answers = ANSWERS.get()
    if answers is not None:
        answers.append(trace)


def provider() -> TracerProvider | None:
    """What sends spans to the collector; None where no variable names one, and then nothing of the SDK is imported."""
    if not any(os.environ.get(name) for name in ENDPOINTS) or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("no traces are sent: install them with pip install 'genre-rec[otel]'", variables=[*filter(os.environ.get, ENDPOINTS)])
        return None
    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "genre"}
    made = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return made


class Traced:
    """Wraps the application: a span for every request, below the caller's if it sent one."""

    def __init__(self, app: ASGIApp, provider: TracerProvider) -> None:
        self.app, self._provider = app, provider
        self._tracer = provider.get_tracer("genre.serving")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; at the end of the process, what waits is sent."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            if scope["type"] == "lifespan":
                await asyncio.to_thread(self._provider.shutdown)
            return
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        above = TraceContextTextMapPropagator().extract(headers)
        answers: list[Trace] = []
        reset = ANSWERS.set(answers)
        with self._tracer.start_as_current_span(scope["method"], above, SpanKind.SERVER) as span:

            async def told(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            try:
                await self.app(scope, receive, told)
            finally:
                ANSWERS.reset(reset)
                route = getattr(scope.get("route"), "path", "none")
                span.update_name(f"{scope['method']} {route}")
                span.set_attributes({"http.request.method": scope["method"], "http.route": route})
                span.set_attribute("request_id", scope.get("state", {}).get("request_id", ""))
                for answer in answers:
                    describe(self._tracer, span, answer)


def describe(tracer: Tracer, span: Span, answer: Trace) -> None:
    """An answer on its request's span: what it was, and a span a stage, one after another as they ran, after the wait for its turn."""
    known = {
        "list": answer.request_id,
        "surface": answer.surface,
        "model": answer.model,
        "policy": answer.policy,
        "variant": answer.variant,
    }
    span.set_attributes({f"genre.{name}": value for name, value in known.items() if value is not None})
    began = round(answer.time * 1e9 - answer.ms.get("wait", 0.0) * 1e6)
    for stage, took in answer.ms.items():
        if stage != "total":
            failed = {"genre.degraded": answer.degraded[stage]} if stage in answer.degraded else {}
            child = tracer.start_span(stage, attributes=failed, start_time=began)
            began += round(took * 1e6)
            child.end(began)
