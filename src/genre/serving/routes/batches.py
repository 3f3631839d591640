"""Batches: each row judged by itself, bad ones named, good ones done."""

from __future__ import annotations

from typing import TypeVar

from fastapi import Request
from pydantic import Field, ValidationError

from genre.serving.answering import Problem, blames, parse_json, read_bytes
from genre.serving.contract import ItemIn, UserIn, Wire

M = TypeVar("M", ItemIn, UserIn)


class RowError(Wire):
    """What is wrong with one row."""

    row: int = Field(ge=0)
    """From 0."""
    where: str
    why: str


class BatchAnswer(Wire):
    """What became of a batch."""

    changed: int = Field(ge=0)
    errors: list[RowError]
    """Rows that were refused, and why; the others are changed all the same."""


async def rows_of(request: Request, model: type[M], name: str) -> tuple[list[tuple[int, M]], list[RowError]]:
    """The good rows of `{name: [...]}` with their numbers, and what is wrong with the others.

    Raises:
        Problem: 400, 413, 415; 422 if the body as a whole is of another shape.
    """
    limits = request.app.state.server.limits
    if request.headers.get("content-type", "application/json").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "send application/json")
    body = parse_json(await read_bytes(request, limits), limits)
    rows = body.get(name) if isinstance(body, dict) and set(body) == {name} else None
    if not isinstance(rows, list) or not 1 <= len(rows) <= limits.batch:
        raise Problem(422, f'send {{"{name}": [...]}} with 1 to {limits.batch:,} of them')
    good: list[tuple[int, M]] = []
    errors: list[RowError] = []
    for at, row in enumerate(rows):
        try:
            good.append((at, model.model_validate(row)))
        except ValidationError as error:
            errors.append(RowError(row=at, where=blames(error)[0].where, why=blames(error)[0].why))
    return good, errors
