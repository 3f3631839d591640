"""The OpenAPI document: bodies and answers of every route from the contract, with examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from genre.runs import VERSION
from genre.serving.answering import TITLES, ProblemBody

REF = "#/components/schemas/{model}"
JSON = "application/json"
ABOUT = """Lists for people, logged, explained and reversible.

Send `Authorization: Bearer genre-...`. Scopes: `ingest` writes events, items and users; `read` asks for lists; `admin` does all.
Errors are problems in the shape of RFC 9457. Every answer has an `X-Request-ID`; send your own to find it in our log."""
BODIES: dict[str, type[BaseModel]] = {}
"""Every body and answer that a route is documented with, by name."""
TAGS = {
    "lists": "Ask for lists, and why they look as they do.",
    "events": "Say what people did.",
    "catalogue": "Items and users.",
    "admin": "Models, keys, copies.",
    "health": "For load balancers and monitoring.",
}


def documented(
    summary: str,
    tag: str,
    *,
    scope: str | None = None,
    body: type[BaseModel] | None = None,
    answer: type[BaseModel] | None = None,
    status: int = 200,
    problems: Iterable[int] = (),
    example: Any = None,
    answer_example: Any = None,
    content: dict[str, Any] | None = None,
    text: str | None = None,
    rows: bool = False,
    models: Iterable[type[BaseModel]] = (),
) -> dict[str, Any]:
    """The arguments of a route's decorator that describe it.

    Args:
        scope: what its key must be good for; None needs no key.
        content: of the request's body, by media type, where `body` alone does not say it.
        text: the media type of an answer that is not JSON.
        rows: the body is judged row by row, and the answer itself comes with 422 where no row was good.
        models: others that `content` refers to.
    """
    codes = {*problems, *((401, 403, 429, 503) if scope else ()), *((400, 413, 415, 422) if body or content else ())}
    success: dict[str, Any] = {"description": "Done."}
    if answer is not None:
        success["content"] = {JSON: _content(answer, answer_example)}
    elif text is not None:
        success["content"] = {text: {"schema": {"type": "string"}}}
    named = [model for model in (body, answer, *models) if model is not None]
    BODIES.update({model.__name__: model for model in named})
    extra: dict[str, Any] = {"x-models": [model.__name__ for model in named]}
    if content or body:
        extra["requestBody"] = {"required": True, "content": content or {JSON: _content(body, example)}}
    if scope:
        extra["security"] = [{"key": []}]
        extra["x-scope"] = scope
    problem = {"application/problem+json": _content(ProblemBody, None)}
    responses = {status: success, **{code: {"description": TITLES[code], "content": problem} for code in sorted(codes)}}
    if rows:
        responses[422] = {"description": "Invalid, in all its rows or as a whole.", "content": {**problem, JSON: _content(answer, None)}}
    return {
        "summary": summary,
        "tags": [tag],
        "status_code": status,
        "response_model": None,
        "responses": responses,
        "openapi_extra": extra,
    }


def _content(model: type[BaseModel] | None, example: Any) -> dict[str, Any]:
    assert model is not None
    shown = {} if example is None else {"example": example}
    return {"schema": {"$ref": REF.format(model=model.__name__)}, **shown}


def document(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """What replaces `app.openapi`: made once, when first asked for."""

    def make() -> dict[str, Any]:
        if app.openapi_schema is None:
            whole = get_openapi(
                title="GENRE", version=VERSION, description=ABOUT, routes=app.routes,
                tags=[{"name": name, "description": words} for name, words in TAGS.items()],
            )  # fmt: skip
            models = {"ProblemBody": ProblemBody}
            for operations in whole["paths"].values():
                for operation in operations.values():
                    models |= {name: BODIES[name] for name in operation.pop("x-models", ())}
                    _tidy(operation)
            _, found = models_json_schema([(model, "validation") for model in models.values()], ref_template=REF)
            components = whole.setdefault("components", {})
            components["schemas"] = found["$defs"]
            components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "description": "An API key: `genre keys create`."}}
            app.openapi_schema = whole
        return app.openapi_schema

    return make


def _tidy(operation: dict[str, Any]) -> None:
    """FastAPI documents its own error body for parameters; ours is a problem."""
    found = operation["responses"].get("422", {}).get("content", {}).get(JSON, {}).get("schema", {})
    if found.get("$ref", "").endswith("HTTPValidationError"):
        operation["responses"]["422"] = {"description": TITLES[422], "content": {"application/problem+json": _content(ProblemBody, None)}}
