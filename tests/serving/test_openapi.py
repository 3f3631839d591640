"""The OpenAPI document: every operation answers as it says, whatever is sent, and never with a 5xx."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings
from schemathesis import checks
from small_engine import SmallEngine
from starlette.types import Receive, Scope, Send
from test_api import publish

from genre.serving.app import create_app
from genre.serving.settings import ServeSettings


@schemathesis.serializer("application/x-ndjson")
def ndjson(context: schemathesis.SerializationContext, value: object) -> bytes:
    """Text as it is; an example of something else as one line."""
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


FOLDER = tempfile.TemporaryDirectory(prefix="genre-openapi-")
RUN = Path(FOLDER.name) / "shop"
RUN.mkdir()
APP = create_app(ServeSettings(runs=[RUN]), SmallEngine.load)


async def started(scope: Scope, receive: Receive, send: Send) -> None:
    """The application without its start and stop: schemathesis would start it anew with every request."""
    if scope["type"] == "lifespan":
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})
    else:
        await APP(scope, receive, send)


schema = schemathesis.openapi.from_dict(APP.openapi())
schema.app = started
# Every boundary of every field of every body is minutes of work; some at random of each operation are enough for every day.
schema.config.phases.coverage.enabled = False


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    """Started once, for all the cases."""
    publish(RUN, "000001", "000002")
    APP.state.server.start()
    yield
    APP.state.server.stop()
    FOLDER.cleanup()


# A key made by the test would close the server to the rest of the test.
@schema.exclude(path="/v1/admin/keys", method="POST").parametrize()
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
def test_every_answer_conforms(case: schemathesis.Case[Any]) -> None:
    case.call_and_validate(
        checks=[
            checks.not_a_server_error, checks.status_code_conformance, checks.content_type_conformance, checks.response_schema_conformance,
        ]
    )  # fmt: skip


def test_every_operation_has_words_and_every_body_an_example_that_is_valid() -> None:
    whole = APP.openapi()
    client = TestClient(APP)  # without its start, which the fixture saw to
    for path, operations in whole["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (path, method)
            assert operation["description"], (path, method)
            for kind, content in operation.get("requestBody", {}).get("content", {}).items():
                example = content["example"]
                body = example if isinstance(example, str) else json.dumps(example)
                if path != "/v1/admin/keys":
                    reply = client.request(method, path.replace("{", "").replace("}", ""), content=body, headers={"content-type": kind})
                    assert reply.status_code in (200, 201, 404, 409), (path, method, reply.text)
            if path not in ("/healthz", "/readyz"):
                assert operation["security"] == [{"key": []}], (path, method)
    assert "HTTPValidationError" not in json.dumps(whole)
