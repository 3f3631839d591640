"""The application: API v1 over the projects of a server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException

from genre.runs import VERSION
from genre.serving.answering import TITLES, Blame, Problem
from genre.serving.observability import Observed
from genre.serving.openapi import document
from genre.serving.project import Loader
from genre.serving.routes import admin, events, experiments, health, items, lists, users
from genre.serving.server import Server
from genre.serving.settings import ServeSettings
from genre.serving.store.database import Unavailable
from genre.serving.tracing import Traced, provider


def create_app(settings: ServeSettings, load: Loader) -> FastAPI:
    """An ASGI application.

    Args:
        load: a bundle's folder to an engine.
    """
    server = Server(settings, load)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(server.start)
        yield
        await asyncio.to_thread(server.stop)

    app = FastAPI(title="GENRE", version=VERSION, lifespan=lifespan, docs_url="/docs", redoc_url=None)
    app.state.server = server
    for topic in (lists, events, items, users, admin, experiments, health):
        app.include_router(topic.router)
    app.openapi = document(app)  # type: ignore[method-assign]
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(Unavailable, _unavailable)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    if settings.allow_origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.allow_origins, allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["authorization", "content-type", "x-request-id"],
        )  # fmt: skip
    if (spans := provider()) is not None:
        app.add_middleware(Traced, provider=spans)
    app.add_middleware(Observed)
    return app


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _unavailable(request: Request, error: Exception) -> Response:
    return Problem(503, str(error), headers={"retry-after": "1"}).response()


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [Blame(where=".".join(str(part) for part in one["loc"][1:]), why=one["msg"]) for one in error.errors()]
    return Problem(422, "; ".join(f"{blame.where}: {blame.why}" for blame in found), found).response()


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Problem(error.status_code, TITLES.get(error.status_code, str(error.detail)), headers=error.headers).response()
