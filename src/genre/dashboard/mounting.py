"""Mounting: which address shows what."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.routing import BaseRoute, Route

from genre.dashboard.assets import ROOT
from genre.dashboard.doors import Doors
from genre.dashboard.live import models, overview
from genre.dashboard.models import ModelsView, render_models
from genre.dashboard.overview import OverviewView, render_overview
from genre.dashboard.sessions import Seal


def mount(app: FastAPI, secret: bytes) -> None:
    """Let an application of `create_app` answer below /dashboard too."""
    app.router.routes.extend(routes(Doors(app.state.server, Seal(secret))))


def routes(doors: Doors) -> list[BaseRoute]:
    """Every address."""

    def post(path: str, endpoint: object) -> Route:
        return Route(ROOT + path, endpoint, methods=["POST"])  # type: ignore[arg-type]

    return [
        Route(f"{ROOT}/login", doors.login_page, methods=["GET"]),
        post("/login", doors.login),
        post("/logout", doors.logout),
        Route(f"{ROOT}/static/{{name}}", doors.asset),
        Route(ROOT, doors.page(OverviewView, overview.fill, render_overview)),
        Route(f"{ROOT}/models", doors.page(ModelsView, models.fill, render_models)),
        post("/models/promote", doors.action("/models", models.promote)),
        post("/models/rollback", doors.action("/models", models.rollback)),
        post("/models/shadow", doors.action("/models", models.shadow)),
        Route(f"{ROOT}/{{rest:path}}", doors.nowhere, methods=["GET", "POST"]),
    ]
