"""Health: alive, ready, and how it goes."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, Response

from genre.serving.answering import answer
from genre.serving.contract import Wire
from genre.serving.observability import metrics as all_metrics
from genre.serving.openapi import documented

router = APIRouter()


class Health(Wire):
    """Whether the process answers."""

    status: Literal["ok", "starting"]


@router.get("/healthz", **documented("Alive", "health", answer=Health, answer_example={"status": "ok"}))
async def healthz(request: Request) -> Response:
    """Says ok as long as the process can answer at all; restart it when this fails."""
    return answer(Health(status="ok"))


@router.get("/readyz", **documented("Ready", "health", answer=Health, problems=(503,), answer_example={"status": "ok"}))
async def readyz(request: Request) -> Response:
    """200 once every project has a model loaded and warmed up; send traffic from then on.

    A store that is away does not make it unready: lists are still answered, without histories. Watch `genre_store_up`.
    """
    server = request.app.state.server
    ready = all(project.serving is not None for project in server.projects.values())
    return answer(Health(status="ok" if ready else "starting"), 200 if ready else 503)


@router.get("/metrics", **documented("Prometheus metrics", "health", scope="read", text="text/plain"))
async def metrics(request: Request) -> Response:
    """Of all workers of this server; lines that name a project are shown to that project's keys alone."""
    server = request.app.state.server
    project = server.admit(request, "read")
    return Response(all_metrics(project.name if len(server.projects) > 1 else None), media_type="text/plain; version=0.0.4; charset=utf-8")
