"""Users over the API: what is known of them, and two that turn out to be one."""

from __future__ import annotations

from typing import Annotated, Self

import sqlalchemy as sa
from fastapi import APIRouter, Path, Request, Response
from pydantic import Field, model_validator

from genre.serving.answering import Problem, answer, check, read
from genre.serving.contract import Attributes, Id, UserIn, Wire
from genre.serving.openapi import documented
from genre.serving.project import Project
from genre.serving.routes.batches import BatchAnswer, rows_of
from genre.serving.store import catalogue, events
from genre.serving.store.audit import record

router = APIRouter()
UserId = Annotated[Id, Path(description="The user's id; percent-encode what a path cannot hold.", examples=["42"])]


class UserBody(Wire):
    """What is known of a user, without the id, which is in the path."""

    attributes: Attributes = Field(default_factory=dict, max_length=200)


class UsersBatch(Wire):
    """Many users."""

    users: list[UserIn] = Field(min_length=1, max_length=1000)


class MergeBody(Wire):
    """Two that are one: a session whose user logged in, or an account that was opened twice."""

    from_user_id: Id | None = None
    from_session_id: Id | None = None
    """Exactly one of the two."""
    into_user_id: Id

    @model_validator(mode="after")
    def _one_from(self) -> Self:
        if (self.from_user_id is None) == (self.from_session_id is None):
            raise ValueError("give either from_user_id or from_session_id")
        return self


class MergeAnswer(Wire):
    """What moved."""

    events: int
    """Events that are the other user's from now on."""


USER = {"attributes": {"country": "NZ"}}


@router.put(
    "/v1/users/{user_id:path}",
    **documented(
        "Say what is known of a user", "catalogue", scope="ingest", body=UserBody, answer=UserIn, problems=(404,), example=USER,
        answer_example={"user_id": "42", **USER},
    ),
)  # fmt: skip
async def put_user(request: Request, user_id: UserId) -> Response:
    """Replaces what was known. Needed for nobody: a user exists by having events."""
    server = request.app.state.server
    project: Project = server.admit(request, "ingest")
    body = await read(request, UserBody, server.limits)
    user = check(UserIn, {"user_id": user_id, **body.model_dump()})
    await project.write(lambda connection: catalogue.put_users(connection, [user]))
    return answer(user)


@router.patch(
    "/v1/users/{user_id:path}",
    **documented(
        "Change what is known of a user", "catalogue", scope="ingest", body=UserBody, answer=UserIn, problems=(404,), example=USER,
        answer_example={"user_id": "42", **USER},
    ),
)  # fmt: skip
async def patch_user(request: Request, user_id: UserId) -> Response:
    """Attributes given are changed, null takes one away, the others stay."""
    server = request.app.state.server
    project: Project = server.admit(request, "ingest")
    patch = await read(request, UserBody, server.limits)

    def change(connection: sa.Connection) -> UserIn:
        before = _user(connection, user_id)
        merged = {key: value for key, value in {**before.attributes, **patch.attributes}.items() if value is not None}
        user = check(UserIn, {"user_id": user_id, "attributes": merged})
        catalogue.put_users(connection, [user])
        return user

    return answer(await project.write(change))


@router.delete(
    "/v1/users/{user_id:path}",
    **documented("Delete what is known of a user", "catalogue", scope="ingest", status=204, problems=(404, 422)),
)
async def delete_user(request: Request, user_id: UserId) -> Response:
    """Attributes alone; `genre forget` erases a person from the logs too."""
    project: Project = request.app.state.server.admit(request, "ingest")
    if not await project.write(lambda connection: catalogue.delete_user(connection, user_id)):
        raise Problem(404, "nothing is known of this user besides events")
    return Response(status_code=204)


@router.get(
    "/v1/users/{user_id:path}",
    **documented("What is known of a user", "catalogue", scope="read", answer=UserIn, problems=(404, 422)),
)
async def get_user(request: Request, user_id: UserId) -> Response:
    """Attributes, not events."""
    project: Project = request.app.state.server.admit(request, "read")
    return answer(await project.read(lambda connection: _user(connection, user_id)))


@router.post(
    "/v1/users:batch",
    **documented(
        "Say what is known of many users", "catalogue", scope="ingest", body=UsersBatch, answer=BatchAnswer, rows=True,
        example={"users": [{"user_id": "42", **USER}]}, answer_example={"changed": 1, "errors": []},
    ),
)  # fmt: skip
async def put_users(request: Request) -> Response:
    """Up to a thousand. Bad rows are named, the good ones changed; if none is good the status is 422."""
    server = request.app.state.server
    project: Project = server.admit(request, "ingest")
    rows, errors = await rows_of(request, UserIn, "users")
    users = [user for _, user in rows]
    await project.write(lambda connection: catalogue.put_users(connection, users))
    return answer(BatchAnswer(changed=len(users), errors=errors), 200 if users else 422)


@router.post(
    "/v1/users:merge",
    **documented(
        "Two users are one", "catalogue", scope="ingest", body=MergeBody, answer=MergeAnswer,
        example={"from_session_id": "s-9", "into_user_id": "42"}, answer_example={"events": 3},
    ),
)  # fmt: skip
async def merge(request: Request) -> Response:
    """The events of the one, past and future, are the other's: call it when somebody logs in."""
    server = request.app.state.server
    project: Project = server.admit(request, "ingest")
    body = await read(request, MergeBody, server.limits)
    unit = events.unit_of(body.from_user_id, body.from_session_id)

    def work(connection: sa.Connection) -> int:
        moved = events.merge(connection, unit, events.unit_of(body.into_user_id, None))
        record(
            connection, request.scope["state"].get("key") or "api", "merge", request_id=request.scope["state"]["request_id"], moved=moved
        )
        return moved

    try:
        moved = await project.write(work)
    except ValueError as error:
        raise Problem(422, str(error)) from error
    return answer(MergeAnswer(events=moved))


def _user(connection: sa.Connection, user_id: str) -> UserIn:
    found = catalogue.get_user(connection, user_id)
    if found is None:
        raise Problem(404, "nothing is known of this user besides events")
    return found
