"""Lists: recommend, rank, and why a list looked as it did."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn, TypeVar

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import JsonValue

from genre.serving.answering import Problem, answer, read
from genre.serving.contract import (
    Asking,
    Id,
    PastEvent,
    RankRequest,
    RankResponse,
    RecommendRequest,
    RecommendResponse,
    RequestError,
    Trace,
    Wire,
)
from genre.serving.following import Following
from genre.serving.live import Arm
from genre.serving.observability import count_stages
from genre.serving.openapi import documented
from genre.serving.project import Project
from genre.serving.store import events, exposures
from genre.serving.tracing import note

router = APIRouter()
L = TypeVar("L", RecommendResponse, RankResponse)


class Verdict(Wire):
    """Why one item was shown, or not."""

    item_id: str
    shown: bool
    position: int | None = None
    found_by: list[str]
    """Sources that proposed it."""
    dropped_by: list[str]
    """Filters and rules that took it away."""
    stage_scores: dict[str, float]
    why: str
    """In a sentence."""


class RequestDetails(Wire):
    """An answer given earlier, and how it came about."""

    request_id: str
    kind: str
    time: float
    unit: str
    user_id: str | None = None
    session_id: str | None = None
    surface: str
    variant: str | None = None
    model: str
    policy: str
    item_ids: list[str]
    positions: list[int]
    scores: list[float]
    propensities: list[float | None]
    context: dict[str, JsonValue]
    degraded: dict[str, str] | list[str]
    ms: dict[str, float] | float | None = None
    """Milliseconds a stage; in total alone once the trace is gone."""
    candidates: dict[str, list[str]] | None = None
    """What each source found; null once the trace is gone."""
    dropped: dict[str, list[str]] | None = None
    stage_scores: dict[str, dict[str, float]] | None = None
    allowed: dict[str, int] | None = None
    plan: str | None = None
    teams: list[str] | None = None
    """Of an interleaved list, the variant that picked each item."""
    item: Verdict | None = None
    """On the item asked about."""


ASKED = {"surface": "home", "user_id": "42", "n": 2, "filter": 'price < 20 and genre in ("horror")', "context": {"device": "phone"}}
SHOWN = {
    "request_id": "0192f0c1", "items": [{"item_id": "alien", "rank": 1, "score": 3.2, "propensity": 1.0}], "degraded": False,
    "model": "000012", "policy": "greedy",
}  # fmt: skip
RANKED = {
    "request_id": "0192f0c2", "items": [{"item_id": "alien", "rank": 1, "score": 3.2, "probability": 0.7}], "model": "000012",
    "policy": "plackett_luce",
}  # fmt: skip


@router.post(
    "/v1/recommend",
    **documented(
        "A list for a user, a session or a stranger", "lists", scope="read", body=RecommendRequest, answer=RecommendResponse,
        example=ASKED, answer_example=SHOWN,
    ),
)  # fmt: skip
async def recommend(request: Request) -> Response:
    """The surface's name is enough: its sources, filters, rules and experiment are the configuration's.

    The answer says `degraded` when a stage failed or ran out of time, and something simpler answered. It is logged with how likely the
    policy was to show each item; join it with events by `request_id`.
    """
    server = request.app.state.server
    project: Project = server.admit(request, "read")
    asked = await read(request, RecommendRequest, server.limits)
    began: float = request.scope["state"]["began"]
    async with server.turns:
        serving, history, missing = await _ready(project, asked, began)
        arm = await _arm(project, asked, missing, began)
        try:
            shown, trace = (arm or serving).engine.recommend(asked, history, time.time(), time.perf_counter() - began)
        except RequestError as error:
            raise Problem.invalid(error) from error
        if project.shadow is not None:
            project.shadowing.offer(project.shadow.engine, project.shadow.model, asked, history, shown, trace.ms.get("total", 0.0))
        body = _logged(project, trace, "recommend", asked, missing, arm, shown)
    return answer(body)


@router.post(
    "/v1/rank",
    **documented(
        "The caller's own items, in order, with probabilities", "lists", scope="read", body=RankRequest, answer=RankResponse,
        example={"surface": "home", "user_id": "42", "items": ["alien", "ran"]}, answer_example=RANKED,
    ),
)  # fmt: skip
async def rank(request: Request) -> Response:
    """Send the rewards as events with this answer's `request_id`."""
    server = request.app.state.server
    project: Project = server.admit(request, "read")
    asked = await read(request, RankRequest, server.limits)
    began: float = request.scope["state"]["began"]
    async with server.turns:
        serving, history, missing = await _ready(project, asked, began)
        arm = await _arm(project, asked, missing, began)
        try:
            ranked, trace = (arm or serving).engine.rank(asked, history, time.time(), time.perf_counter() - began)
        except RequestError as error:
            raise Problem.invalid(error) from error
        body = _logged(project, trace, "rank", asked, missing, arm, ranked)
    return answer(body)


@router.get(
    "/v1/requests/{request_id}",
    **documented("Why a list looked as it did", "lists", scope="read", answer=RequestDetails, problems=(404, 422)),
)
async def explain(
    request: Request,
    request_id: Annotated[Id, Path(examples=["0192f0c1"])],
    item_id: Annotated[Id | None, Query(description="Say why this item was shown, or not.")] = None,
) -> Response:
    """Candidates by source, drops by filter, scores by stage, propensities, milliseconds; whole for some days, then the exposure alone."""
    project: Project = request.app.state.server.admit(request, "read")
    found = await project.read(lambda connection: exposures.get(connection, request_id))
    if found is None:
        raise Problem(404, "no answer has this request_id; an answer of the last second may not be in the log yet")
    if item_id is not None:
        found["item"] = _verdict(found, item_id)
    return answer(RequestDetails.model_validate(found))


async def _ready(project: Project, asked: Asking, began: float) -> tuple[Following, Sequence[PastEvent], str | None]:
    if project.serving is None:
        _not_ready()
    history, missing = await project.history(asked.user_id, asked.session_id, began)
    return project.serving, history, missing


def _not_ready() -> NoReturn:
    raise Problem(503, "no model is loaded yet; see /readyz", headers={"retry-after": "1"})


async def _arm(project: Project, asked: Asking, missing: str | None, began: float) -> Arm | None:
    """While the store is away nobody is assigned: what is shown then could not be compared."""
    return None if missing is not None else await project.arm(asked.surface, events.unit_of(asked.user_id, asked.session_id), began)


def _logged(project: Project, trace: Trace, kind: str, asked: Asking, missing: str | None, arm: Arm | None, body: L) -> L:
    """Log what is answered, and say in the answer what only the server knows."""
    told: dict[str, Any] = {}
    if missing is not None:
        trace.degraded["history"] = missing
        told["degraded"] = True
    if arm is not None:
        trace.variant = told["variant"] = arm.label
    count_stages(trace.ms, trace.degraded)
    note(trace)
    project.shown.add((trace, kind, asked.user_id, asked.session_id))
    return body.model_copy(update=told) if told else body


def _verdict(found: dict[str, Any], item_id: str) -> Verdict:
    """What the trace says of one item; of one that nothing was said of, that no source proposed it."""
    found_by = [source for source, items in (found.get("candidates") or {}).items() if item_id in items]
    dropped_by = [name for name, items in (found.get("dropped") or {}).items() if item_id in items]
    scores = {stage: of[item_id] for stage, of in (found.get("stage_scores") or {}).items() if item_id in of}
    shown = item_id in found["item_ids"]
    position = found["positions"][found["item_ids"].index(item_id)] if shown else None
    if shown:
        team = dict(zip(found["item_ids"], found["teams"], strict=True))[item_id] if found.get("teams") else None
        picked = f", picked by {team}" if team is not None else ""
        why = f"shown at position {position}{picked}" + (f", found by {', '.join(found_by)}" if found_by else "")
    elif found.get("candidates") is None:
        why = "not shown; the trace of this answer is no longer kept"
    elif dropped_by:
        why = f"not shown: taken away by {', '.join(dropped_by)}"
    elif found_by:
        why = f"not shown: a candidate of {', '.join(found_by)}, but others scored higher"
    else:
        why = "not shown: no source proposed it"
    return Verdict(item_id=item_id, shown=shown, position=position, found_by=found_by, dropped_by=dropped_by, stage_scores=scores, why=why)
