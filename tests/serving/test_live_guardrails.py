"""Guardrails of a running server, each of which stops its experiment without anybody: a slower, a narrower, a failing arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
from fastapi.testclient import TestClient
from small_engine import SmallEngine
from test_api import event, eventually, publish
from test_live_experiments import asked, started

from genre.serving.app import create_app
from genre.serving.contract import PastEvent, RecommendRequest, RecommendResponse, Trace
from genre.serving.settings import ServeSettings

USERS = [f"u{at}" for at in range(120)]
RAILS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "slow": ({"deadline_ms": 40}, {"use": "latency", "quantile": 0.99, "margin": 0.5}, "p99"),
    "narrow": ({"candidates": 3}, {"use": "coverage", "margin": 0.2}, "distinct items"),
    "failing": ({"order": "source"}, {"use": "metric", "metric": "degraded", "margin": 0.5}, "at least"),
}


class Ailing(SmallEngine):
    """A small engine: one arm takes its deadline, one cannot score."""

    takes, fails = 4.0, False

    def recommend(
        self, request: RecommendRequest, history: Sequence[PastEvent], now: float, waited: float = 0.0
    ) -> tuple[RecommendResponse, Trace]:
        response, trace = super().recommend(request, history, now)
        trace.ms = {"total": self.takes}
        trace.degraded = {"score": "out of time"} if self.fails else {}
        return response, trace

    def varied(self, surface: str, changes: Mapping[str, Any]) -> Self:
        arm = super().varied(surface, {name: value for name, value in changes.items() if name == "candidates"})
        arm.takes, arm.fails = changes.get("deadline_ms", self.takes), "order" in changes
        return arm


@pytest.mark.parametrize("name", RAILS)
def test_a_broken_guardrail_stops_a_live_experiment(name: str, tmp_path: Path) -> None:
    serve, rail, told = RAILS[name]
    run = tmp_path / "shop"
    run.mkdir()
    publish(run, "000001")
    settings = ServeSettings(runs=[run], follow_seconds=0.05, guard_seconds=0.2)
    metrics = {"clicks": {"use": "mean", "event": "click"}, "degraded": {"use": "degraded"}}
    with TestClient(create_app(settings, Ailing.load)) as api:
        started(api, variants={"well": {}, "ill": {"serve": serve}}, metrics=metrics, guardrails={name: rail})
        variants = {asked(api, user_id=user)["variant"] for user in USERS}
        assert variants >= {"shorter/well", "shorter/ill"}, "it may be stopped before the last user"
        stopped = eventually(lambda: api.get("/v1/admin/experiments/shorter").json()["status"] == "stopped", 60)
        assert stopped, api.get("/v1/admin/experiments/shorter/report").text
        reason = api.get("/v1/admin/experiments/shorter").json()["reason"]
        assert f"guardrail {name} is broken by ill" in reason and told in reason
        assert eventually(lambda: asked(api, user_id="u1")["variant"] is None), "and everybody gets what serves"


@pytest.mark.parametrize("name", RAILS)
def test_arms_that_are_alike_go_on(name: str, tmp_path: Path) -> None:
    run = tmp_path / "shop"
    run.mkdir()
    publish(run, "000001")
    metrics = {"clicks": {"use": "mean", "event": "click"}, "degraded": {"use": "degraded"}}
    with TestClient(create_app(ServeSettings(runs=[run], follow_seconds=0.05), Ailing.load)) as api:
        started(api, variants={"well": {}, "same": {}}, metrics=metrics, guardrails={name: RAILS[name][1]})
        for user in USERS:
            asked(api, user_id=user)
        api.post("/v1/events", json=[event(f"c{user}", user_id=user) for user in USERS[::3]])
        assert eventually(lambda: sum(api.get("/v1/admin/experiments/shorter/report").json().get("units", {}).values()) == len(USERS))
        report = api.get("/v1/admin/experiments/shorter/report").json()
        assert (report["verdict"], report["guardrails"][0]["state"] != "broken") == ("hold", True), report
