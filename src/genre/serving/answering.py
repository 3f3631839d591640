"""Bodies in and out: read within the limits, checked against the contract, answered as JSON or as a problem (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import orjson
from fastapi import Request, Response
from pydantic import BaseModel, Field, ValidationError

from genre.serving.contract import PATTERNS, RequestError, Wire
from genre.serving.limits import Limits, TooDeep, check_depth

M = TypeVar("M", bound=BaseModel)
TITLES = {
    400: "Bad request", 401: "Unauthorized", 403: "Forbidden", 404: "Not found", 405: "Method not allowed", 409: "Conflict",
    413: "Too large", 415: "Unsupported media type", 422: "Invalid", 429: "Too many requests", 500: "Internal error", 503: "Unavailable",
}  # fmt: skip


class Blame(Wire):
    """One thing that is wrong with a request."""

    where: str
    """The path of the field: "filter", "items.3"."""
    why: str


class ProblemBody(Wire):
    """What went wrong, in the shape of RFC 9457."""

    title: str
    status: int
    detail: str
    errors: list[Blame] = Field(default_factory=list)


class Problem(Exception):
    """Ends a request with a status and its reason."""

    def __init__(self, status: int, detail: str, errors: Sequence[Blame] = (), headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.headers = status, dict(headers or {})
        self.body = ProblemBody(title=TITLES.get(status, "Error"), status=status, detail=detail, errors=list(errors))

    def response(self) -> Response:
        """As it goes out."""
        return Response(self.body.model_dump_json(), self.status, self.headers, "application/problem+json")

    @classmethod
    def invalid(cls, error: RequestError | ValidationError) -> Problem:
        """A request that does not fit the contract."""
        found = [Blame(where=error.where, why=error.why)] if isinstance(error, RequestError) else blames(error)
        return cls(422, "; ".join(f"{blame.where}: {blame.why}" for blame in found[:3]), found)


def blames(error: ValidationError) -> list[Blame]:
    """Every mistake with its path. What was sent is not repeated: it may be a secret or very long."""
    return [
        Blame(where=".".join(str(part) for part in problem["loc"]) or "body", why=_why(problem))
        for problem in error.errors(include_url=False, include_input=False)
    ]


def _why(problem: Any) -> str:
    said: str = problem["msg"].removeprefix("Value error, ")
    return PATTERNS.get(problem.get("ctx", {}).get("pattern"), said)


async def read_bytes(request: Request, limits: Limits) -> bytes:
    """A request's body.

    Raises:
        Problem: 413, it is larger than allowed; it is not read to the end.
    """
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limits.body_bytes:
        raise Problem(413, f"the body is larger than {limits.body_bytes:,} bytes")
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limits.body_bytes:
            raise Problem(413, f"the body is larger than {limits.body_bytes:,} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def parse_json(body: bytes, limits: Limits) -> Any:
    """A JSON value that does not nest too deep.

    Raises:
        Problem: 400, it is no JSON or nests too deep.
    """
    try:
        value = orjson.loads(body)
        check_depth(value, limits.depth)
    except orjson.JSONDecodeError as error:
        raise Problem(400, f"the body is not JSON: {error}") from error
    except TooDeep as error:
        raise Problem(400, f"the body: {error}") from error
    return value


async def read(request: Request, model: type[M], limits: Limits) -> M:
    """A request's body as a value of the contract.

    Raises:
        Problem: 400, 413, 415 or 422.
    """
    if request.headers.get("content-type", "application/json").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "send application/json")
    return check(model, parse_json(await read_bytes(request, limits), limits))


def check(model: type[M], value: Any) -> M:
    """A value of the contract.

    Raises:
        Problem: 422.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise Problem.invalid(error) from error


def answer(body: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A value of the contract as JSON."""
    return Response(body.model_dump_json(), status, headers, "application/json")
