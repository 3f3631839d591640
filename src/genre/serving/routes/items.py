"""Items over the API: one or many, put, patched, deleted, read."""

from __future__ import annotations

import asyncio
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Path, Request, Response
from pydantic import Field

from genre.serving.answering import Problem, answer, check, read
from genre.serving.contract import Attributes, Id, ItemIn, RequestError, Wire
from genre.serving.openapi import documented
from genre.serving.project import Project
from genre.serving.routes.batches import BatchAnswer, RowError, rows_of
from genre.serving.store import catalogue

router = APIRouter()
ItemId = Annotated[Id, Path(description="The item's id; percent-encode what a path cannot hold.", examples=["alien"])]


class ItemBody(Wire):
    """An item without its id, which is in the path."""

    attributes: Attributes = Field(default_factory=dict, max_length=200)
    available: bool = True


class ItemPatch(Wire):
    """What changes of an item."""

    attributes: Attributes = Field(default_factory=dict, max_length=200)
    """Laid over those there are; null takes one away."""
    available: bool | None = None


class ItemsBatch(Wire):
    """Many items."""

    items: list[ItemIn] = Field(min_length=1, max_length=1000)


ITEM = {"attributes": {"title": "Alien", "genres": ["horror", "sf"], "price": 9.5}, "available": True}
WHOLE_ITEM = {"item_id": "alien", **ITEM}


@router.put(
    "/v1/items/{item_id:path}",
    **documented(
        "Add an item, or replace it",
        "catalogue",
        scope="ingest",
        body=ItemBody,
        answer=ItemIn,
        problems=(404,),
        example=ITEM,
        answer_example=WHOLE_ITEM,
    ),
)
async def put_item(request: Request, item_id: ItemId) -> Response:
    """A new item is recommendable at once through its text; on other workers within two seconds."""
    server = request.app.state.server
    project: Project = server.admit(request, "ingest")
    body = await read(request, ItemBody, server.limits)
    item = check(ItemIn, {"item_id": item_id, **body.model_dump()})
    await asyncio.to_thread(_apply, project, item)
    await project.change(lambda connection: catalogue.put_items(connection, [item]))
    return answer(item)


@router.patch(
    "/v1/items/{item_id:path}",
    **documented(
        "Change an item", "catalogue", scope="ingest", body=ItemPatch, answer=ItemIn, problems=(404,), example={"attributes": {"price": 8}},
        answer_example=WHOLE_ITEM,
    ),
)  # fmt: skip
async def patch_item(request: Request, item_id: ItemId) -> Response:
    """Attributes given are changed, null takes one away, the others stay."""
    server = request.app.state.server
    project: Project = server.admit(request, "ingest")
    patch = await read(request, ItemPatch, server.limits)

    def change(connection: sa.Connection) -> ItemIn:
        before = _item(project, connection, item_id)
        merged = {key: value for key, value in {**before.attributes, **patch.attributes}.items() if value is not None}
        available = before.available if patch.available is None else patch.available
        item = check(ItemIn, {"item_id": item_id, "attributes": merged, "available": available})
        _apply(project, item)
        catalogue.put_items(connection, [item], "patch")
        return item

    return answer(await project.change(change))


@router.delete("/v1/items/{item_id:path}", **documented("Delete an item", "catalogue", scope="ingest", status=204, problems=(404, 422)))
async def delete_item(request: Request, item_id: ItemId) -> Response:
    """It is never shown again. What people did with it stays in the log."""
    project: Project = request.app.state.server.admit(request, "ingest")

    def change(connection: sa.Connection) -> None:
        _item(project, connection, item_id)
        catalogue.delete_items(connection, [item_id])

    await project.change(change)
    return Response(status_code=204)


@router.get(
    "/v1/items/{item_id:path}",
    **documented("An item", "catalogue", scope="read", answer=ItemIn, problems=(404, 422), answer_example=WHOLE_ITEM),
)
async def get_item(request: Request, item_id: ItemId) -> Response:
    """As it is now."""
    project: Project = request.app.state.server.admit(request, "read")
    return answer(await project.read(lambda connection: _item(project, connection, item_id)))


@router.post(
    "/v1/items:batch",
    **documented(
        "Add or replace many items", "catalogue", scope="ingest", body=ItemsBatch, answer=BatchAnswer, rows=True,
        example={"items": [WHOLE_ITEM]},
        answer_example={"changed": 1, "errors": []},
    ),
)  # fmt: skip
async def put_items(request: Request) -> Response:
    """Up to a thousand. Bad rows are named, the good ones changed; if none is good the status is 422."""
    server = request.app.state.server
    project: Project = server.admit(request, "ingest")
    items, errors = await rows_of(request, ItemIn, "items")
    good: list[ItemIn] = []

    def apply() -> None:
        for at, item in items:
            try:
                _apply(project, item)
                good.append(item)
            except Problem as problem:
                errors.append(RowError(row=at, where=problem.body.errors[0].where, why=problem.body.errors[0].why))

    await asyncio.to_thread(apply)
    await project.change(lambda connection: catalogue.put_items(connection, good))
    return answer(BatchAnswer(changed=len(good), errors=sorted(errors, key=lambda error: error.row)), 200 if good else 422)


def _apply(project: Project, item: ItemIn) -> None:
    """What the engine says of it before anything is written; every engine then hears of it from the log, in order."""
    if project.serving is None:
        raise Problem(503, "no model is loaded yet; see /readyz", headers={"retry-after": "1"})
    try:
        project.serving.engine.upsert_item(item)
    except RequestError as error:
        raise Problem.invalid(error) from error


def _item(project: Project, connection: sa.Connection, item_id: str) -> ItemIn:
    found = catalogue.get_item(connection, item_id)
    if found is None and project.serving is not None and not catalogue.is_deleted(connection, item_id):
        found = project.serving.engine.item(item_id)
    if found is None:
        raise Problem(404, "there is no such item")
    return found
