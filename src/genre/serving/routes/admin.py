"""Administration: models, the shadow, keys, copies of the store, and who did what."""

from __future__ import annotations

import asyncio
import pathlib
from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

import sqlalchemy as sa
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field, FiniteFloat, JsonValue

from genre.bundle import Bundle, BundleError
from genre.serving.answering import Problem, answer, read
from genre.serving.backup import back_up
from genre.serving.contract import Id, Short, Wire
from genre.serving.openapi import documented
from genre.serving.project import Project
from genre.serving.store import audit, keys, registry
from genre.serving.store.audit import record

router = APIRouter()
T = TypeVar("T")


class RolesAnswer(Wire):
    """Who serves."""

    current: str | None
    shadow: str | None
    below: list[str]
    """Where rollbacks go, next first."""
    revision: int


class ModelLine(Wire):
    """A registered bundle."""

    model: str
    path: str
    registered: float
    manifest: dict[str, JsonValue]


class ModelsAnswer(Wire):
    """What could serve, and who does."""

    roles: RolesAnswer
    serving: str | None
    """What this worker answers with."""
    models: list[ModelLine]


class ModelBody(Wire):
    """One model."""

    model: Id


class ComparisonAnswer(Wire):
    """A shadow's lists and speed beside those shown."""

    shadow: str
    requests: int
    failed: int
    overlap: float | None
    """Mean share of the list that is in both."""
    same_first: float | None
    current_ms: float | None
    shadow_ms: float | None


class KeyBody(Wire):
    """A key to make."""

    name: Short
    scopes: list[Literal["ingest", "read", "admin"]] = Field(min_length=1, max_length=3)
    per_second: FiniteFloat = Field(100, gt=0, le=1e6)
    """Requests a second, with bursts of twice as many."""


class KeyLine(Wire):
    """A key, without its secret."""

    key_id: str
    name: str
    scopes: list[str]
    per_second: float
    created: float
    revoked: float | None = None


class NewKey(Wire):
    """A key with its token, which is shown this once."""

    key_id: str
    token: str


class KeysAnswer(Wire):
    """The keys of the project."""

    keys: list[KeyLine]


class AuditLine(Wire):
    """One deed."""

    seq: int
    time: float
    actor: str
    action: str
    target: str | None
    details: dict[str, JsonValue] | None
    request_id: str | None


class AuditAnswer(Wire):
    """Newest first."""

    lines: list[AuditLine]


class BackupAnswer(Wire):
    """A copy of the store."""

    file: str
    """Within the run's folder."""
    bytes: int
    sha256: str


ROLES = {"current": "000012", "shadow": None, "below": ["000011"], "revision": 7}


@router.get("/v1/admin/models", **documented("Models", "admin", scope="admin", answer=ModelsAnswer))
async def models(request: Request) -> Response:
    """Registered bundles, newest first, and who serves. What was published since is registered first, here and where a model is named."""
    project = admitted(request)
    await project.stocktake(who(request)[0])
    roles, lines = await project.read(lambda connection: (registry.now(connection), registry.known(connection)))
    serving = project.serving.model if project.serving else None
    return answer(ModelsAnswer(roles=_roles(roles), serving=serving, models=[ModelLine(**line) for line in lines]))


@router.post(
    "/v1/admin/promote",
    **documented(
        "Let a model serve", "admin", scope="admin", body=ModelBody, answer=RolesAnswer, problems=(409,), example={"model": "000012"},
        answer_example=ROLES,
    ),
)  # fmt: skip
async def promote(request: Request) -> Response:
    """Its files are verified first; then one transaction, noticed by every worker within two seconds, without a failed request."""
    project = admitted(request)
    body = await read(request, ModelBody, project.settings.limits)
    await project.stocktake(who(request)[0])
    registered = await _changed(project, lambda connection: registry.get(connection, body.model))
    await _verified(project.run / registered["path"])
    return answer(_roles(await _changed(project, lambda connection: registry.promote(connection, body.model, *who(request)))))


@router.post(
    "/v1/admin/rollback", **documented("Let the model before serve again", "admin", scope="admin", answer=RolesAnswer, problems=(409,))
)
async def rollback(request: Request) -> Response:
    """A second rollback goes one further down."""
    project = admitted(request)
    return answer(_roles(await _changed(project, lambda connection: registry.rollback(connection, *who(request)))))


@router.put(
    "/v1/admin/shadow",
    **documented("Watch a model", "admin", scope="admin", body=ModelBody, answer=RolesAnswer, problems=(409,), example={"model": "000013"}),
)
async def put_shadow(request: Request) -> Response:
    """Its files are verified first. It is asked what is asked, compared and not shown."""
    project = admitted(request)
    body = await read(request, ModelBody, project.settings.limits)
    await project.stocktake(who(request)[0])
    registered = await _changed(project, lambda connection: registry.get(connection, body.model))
    await _verified(project.run / registered["path"])
    return answer(_roles(await _changed(project, lambda connection: registry.shadow(connection, body.model, *who(request)))))


@router.delete("/v1/admin/shadow", **documented("Watch no model", "admin", scope="admin", answer=RolesAnswer))
async def delete_shadow(request: Request) -> Response:
    """What was compared is kept."""
    project = admitted(request)
    return answer(_roles(await _changed(project, lambda connection: registry.shadow(connection, None, *who(request)))))


@router.get(
    "/v1/admin/shadow/{model}", **documented("How a shadow compares", "admin", scope="admin", answer=ComparisonAnswer, problems=(422,))
)
async def comparison(request: Request, model: Annotated[Id, Path()]) -> Response:
    """Over all requests it was asked too."""
    project = admitted(request)
    return answer(ComparisonAnswer(**await project.read(lambda connection: registry.compared(connection, model))))


@router.get("/v1/admin/keys", **documented("Keys", "admin", scope="admin", answer=KeysAnswer))
async def list_keys(request: Request) -> Response:
    """Without their secrets, which nobody has."""
    project = admitted(request)
    return answer(KeysAnswer(keys=[KeyLine(**line) for line in await project.read(keys.listed)]))


@router.post(
    "/v1/admin/keys",
    **documented(
        "Make a key", "admin", scope="admin", body=KeyBody, answer=NewKey, status=201,
        example={"name": "web shop", "scopes": ["read", "ingest"], "per_second": 200},
    ),
)  # fmt: skip
async def make_key(request: Request) -> Response:
    """The token is in the answer, and never again anywhere."""
    project = admitted(request)
    body = await read(request, KeyBody, project.settings.limits)
    key_id, token = await project.write(lambda connection: keys.create(connection, body.name, body.scopes, body.per_second, *who(request)))
    return answer(NewKey(key_id=key_id, token=token), 201, {"cache-control": "no-store"})


@router.delete("/v1/admin/keys/{key_id}", **documented("Revoke a key", "admin", scope="admin", status=204, problems=(404, 422)))
async def revoke_key(request: Request, key_id: Annotated[Id, Path()]) -> Response:
    """Noticed by every worker within two seconds."""
    project = admitted(request)
    if not await project.write(lambda connection: keys.revoke(connection, key_id, *who(request))):
        raise Problem(404, "there is no such key, or it is revoked already")
    return Response(status_code=204)


@router.post("/v1/admin/backup", **documented("Copy the store", "admin", scope="admin", answer=BackupAnswer, status=201, problems=(409,)))
async def backup(request: Request) -> Response:
    """A copy of this moment, made while the server goes on, verified, and put into the run's `backups` folder. SQLite alone."""
    project = admitted(request)
    try:
        made = await asyncio.to_thread(back_up, project.database, project.run / "backups")
    except ValueError as error:
        raise Problem(409, str(error)) from error
    actor, request_id = who(request)
    await project.write(lambda connection: record(connection, actor, "backup", made.file.name, request_id))
    return answer(BackupAnswer(file=str(made.file.relative_to(project.run)), bytes=made.bytes, sha256=made.sha256), 201)


@router.get("/v1/admin/audit", **documented("Who did what", "admin", scope="admin", answer=AuditAnswer))
async def read_audit(request: Request, n: Annotated[int, Query(ge=1, le=1000, description="So many lines.")] = 100) -> Response:
    """Newest first."""
    project = admitted(request)
    lines = await project.read(lambda connection: audit.newest(connection, n))
    return answer(AuditAnswer(lines=[AuditLine(**line) for line in lines]))


def admitted(request: Request) -> Project:
    """The project that an administrator's key opens."""
    project: Project = request.app.state.server.admit(request, "admin")
    return project


def who(request: Request) -> tuple[str, str]:
    """Actor and request, for the audit log."""
    state = request.scope["state"]
    return (f"key {state['key']}" if "key" in state else "api without a key"), state["request_id"]


def _roles(roles: registry.Roles) -> RolesAnswer:
    return RolesAnswer(current=roles.current, shadow=roles.shadow, below=list(roles.below), revision=roles.revision)


async def _changed(project: Project, change: Callable[[sa.Connection], T]) -> T:
    try:
        return await project.write(change)
    except registry.RegistryError as error:
        raise Problem(409, str(error)) from error


async def _verified(folder: pathlib.Path) -> None:
    try:
        await asyncio.to_thread(Bundle.open, folder)
    except (BundleError, OSError) as error:
        raise Problem(409, f"nothing is changed: {error}") from error
