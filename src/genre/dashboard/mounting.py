"""Mounting: which address shows what."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

from genre.dashboard.assets import ROOT
from genre.dashboard.data_quality import DataQualityView, render_data_quality
from genre.dashboard.doors import Doors, failed
from genre.dashboard.experiments import ExperimentsView, render_experiments
from genre.dashboard.inspector import InspectorView, render_inspector
from genre.dashboard.items import ItemsView, render_items
from genre.dashboard.live import data_quality, experiments, items, models, off_policy, operations, overview, requests, surfaces, users
from genre.dashboard.models import ModelsView, render_models
from genre.dashboard.off_policy import OffPolicyView, render_off_policy
from genre.dashboard.operations import OperationsView, render_operations
from genre.dashboard.overview import OverviewView, render_overview
from genre.dashboard.sessions import Seal
from genre.dashboard.surfaces import SurfacesView, render_preview, render_surfaces
from genre.dashboard.users import UsersView, render_users


class Address(Route):
    """Says which one it is, as those of the API do: requests are counted by it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """See Route.matches."""
        match, found = super().matches(scope)
        return match, {**found, "route": self}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See Route.handle; who looks at pages is told of a failure by one, and it goes on to be logged."""
        try:
            await super().handle(scope, receive, send)
        except Exception:
            await failed(scope["state"]["request_id"])(scope, receive, send)
            raise


def mount(app: FastAPI, secret: bytes) -> None:
    """Let an application of `create_app` answer below /dashboard too."""
    app.router.routes.extend(routes(Doors(app.state.server, Seal(secret))))


def routes(doors: Doors) -> list[BaseRoute]:
    """Every address."""

    def post(path: str, endpoint: object) -> BaseRoute:
        return Address(ROOT + path, endpoint, methods=["POST"])  # type: ignore[arg-type]

    return [
        Address(f"{ROOT}/login", doors.login_page, methods=["GET"]),
        post("/login", doors.login),
        post("/logout", doors.logout),
        Address(f"{ROOT}/static/{{name}}", doors.asset),
        Address(ROOT, doors.page(OverviewView, overview.fill, render_overview)),
        Address(f"{ROOT}/models", doors.page(ModelsView, models.fill, render_models)),
        post("/models/promote", doors.action("/models", models.promote)),
        post("/models/rollback", doors.action("/models", models.rollback)),
        post("/models/shadow", doors.action("/models", models.shadow)),
        Address(f"{ROOT}/surfaces", doors.page(SurfacesView, surfaces.fill, render_surfaces)),
        Address(f"{ROOT}/surfaces/preview", doors.page(SurfacesView, surfaces.fill, render_preview)),
        Address(f"{ROOT}/requests", doors.page(InspectorView, requests.fill, render_inspector)),
        Address(f"{ROOT}/users", doors.page(UsersView, users.fill, render_users)),
        post("/users/forget", doors.action("/users", users.forget)),
        Address(f"{ROOT}/items", doors.page(ItemsView, items.fill, render_items)),
        Address(f"{ROOT}/experiments", doors.page(ExperimentsView, experiments.fill, render_experiments)),
        post("/experiments/define", doors.action("/experiments", experiments.define)),
        post("/experiments/start", doors.action("/experiments", experiments.start)),
        post("/experiments/stop", doors.action("/experiments", experiments.stop)),
        Address(f"{ROOT}/off-policy", doors.page(OffPolicyView, off_policy.fill, render_off_policy)),
        Address(f"{ROOT}/data", doors.page(DataQualityView, data_quality.fill, render_data_quality)),
        Address(f"{ROOT}/operations", doors.page(OperationsView, operations.fill, render_operations)),
        post("/operations/jobs", doors.action("/operations", operations.start_job)),
        post("/operations/jobs/cancel", doors.action("/operations", operations.cancel_job)),
        post("/operations/keys", doors.action("/operations", operations.make_key)),
        post("/operations/keys/revoke", doors.action("/operations", operations.revoke_key)),
        Address(f"{ROOT}/{{rest:path}}", doors.nowhere, methods=["GET", "POST"]),
    ]
