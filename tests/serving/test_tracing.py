"""Spans arrive at a collector over OTLP; without one, the SDK is not even imported."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from small_engine import SmallEngine
from test_api import publish

from genre.serving.app import create_app
from genre.serving.settings import ServeSettings

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="pip install 'genre-rec[otel]'")


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """A server that keeps every span it is sent."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    spans: list[Any] = []

    class Keep(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            plain = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
            for resource in ExportTraceServiceRequest.FromString(plain).resource_spans:
                service = {one.key: one.value.string_value for one in resource.resource.attributes}["service.name"]
                spans.extend((service, span) for scope in resource.scope_spans for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Quietly."""

    server = HTTPServer(("127.0.0.1", 0), Keep)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield spans
    server.shutdown()
    thread.join()
    server.server_close()


class Staged(SmallEngine):
    """A small engine that tells its stages."""

    def _trace(self, *args: Any) -> Any:
        trace = super()._trace(*args)
        trace.ms = {"filter": 1.0, "score": 2.5, "total": 4.0}
        trace.degraded = {"score": "out of time"}
        return trace


def test_a_request_is_a_span_with_its_stages_below_it(tmp_path: Path, collector: list[Any]) -> None:
    publish(tmp_path, "000001")
    above = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with TestClient(create_app(ServeSettings(runs=[tmp_path]), Staged.load)) as api:
        headers = {"traceparent": above, "x-request-id": "mine"}
        answer = api.post("/v1/recommend", json={"user_id": "ann", "n": 3}, headers=headers).json()
        assert api.get("/v1/requests/nothing").status_code == 404
    spans = {span.name: span for service, span in collector if service == "genre"}
    assert set(spans) == {"POST /v1/recommend", "GET /v1/requests/{request_id}", "filter", "score"}
    request, stages = spans["POST /v1/recommend"], [spans["filter"], spans["score"]]
    told = {one.key: one.value.string_value or one.value.int_value for one in request.attributes}
    assert (told["request_id"], told["genre.list"], told["genre.model"]) == ("mine", answer["request_id"], "000001")
    assert (told["http.route"], told["http.response.status_code"]) == ("/v1/recommend", 200)
    assert request.trace_id.hex() == above.split("-")[1] and request.parent_span_id.hex() == above.split("-")[2]
    assert all(stage.parent_span_id == request.span_id for stage in stages)
    assert stages[1].start_time_unix_nano == stages[0].end_time_unix_nano
    assert stages[1].end_time_unix_nano - stages[1].start_time_unix_nano == 2_500_000
    assert stages[1].attributes[0].value.string_value == "out of time"


def test_without_a_collector_nothing_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from genre.serving.app import create_app; from genre.serving.settings import ServeSettings; "
        "from genre.serving.engine import BundleEngine; create_app(ServeSettings(runs=[pathlib.Path(sys.argv[1])]), BundleEngine.load); "
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
