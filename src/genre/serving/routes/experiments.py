"""Experiments over the API: started, listed, reported on, stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

import sqlalchemy as sa
from fastapi import APIRouter, Path, Request, Response
from pydantic import Field, JsonValue, model_validator
from pydantic.json_schema import SkipJsonSchema

from genre.experiments.analysis import Analysis
from genre.experiments.confidence import Interval
from genre.experiments.definition import ExperimentConfig, ExperimentError, Logs, Name
from genre.experiments.state import Experiment
from genre.serving.answering import Problem, answer, read
from genre.serving.contract import RequestError, Wire
from genre.serving.evidence import SERVED, evidence
from genre.serving.live import MODEL, engine_of
from genre.serving.openapi import documented
from genre.serving.project import Project
from genre.serving.routes.admin import verified, who
from genre.serving.store import experiments, registry
from genre.surfaces import DEFAULT

router = APIRouter()
T = TypeVar("T")
ExperimentName = Annotated[Name, Path(description="The experiment's name.", examples=["home-blend"])]


class ExperimentBody(ExperimentConfig):
    """A definition as in a file, but for `logs`: the server has its own. A variant's `serve` names a model, and settings of the surface."""

    surface: str = DEFAULT
    """The placement it runs on."""
    crossed: Literal["error", "drop"] = "drop"
    """What to do with units that were shown two variants: one person's two devices, before they were known to be one's."""
    logs: SkipJsonSchema[Logs] = SERVED

    @model_validator(mode="before")
    @classmethod
    def _logs_are_ours(cls, tree: Any) -> Any:
        if isinstance(tree, dict) and "logs" in tree:
            raise ValueError("logs: leave them out; a live experiment is read from the server's own")
        return {**tree, "logs": SERVED} if isinstance(tree, dict) else tree


class StopBody(Wire):
    """Why."""

    reason: str = Field(min_length=1, max_length=1000, pattern=r"\S")
    """The next reader will ask."""


class ExperimentAnswer(Wire):
    """An experiment and its course."""

    name: str
    status: Literal["planned", "running", "stopped"]
    started: float | None
    stopped: float | None
    reason: str
    """Why it was stopped."""
    serves: bool
    """Whether this worker assigns units to it: some moments after the start, and not while an arm's model cannot be loaded."""
    definition: dict[str, JsonValue]


class ExperimentsAnswer(Wire):
    """Newest first."""

    experiments: list[ExperimentAnswer]


class IntervalPart(Wire):
    """A value with its interval."""

    value: float
    low: float
    high: float


class ComparisonPart(Wire):
    """A metric of a variant beside control's."""

    metric: str
    variant: str
    better: Literal["higher", "lower"]
    control: float
    treatment: float
    relative: bool
    """Whether the intervals are of the lift, a share of control, or of the difference."""
    anytime: IntervalPart
    """May be looked at on any day."""
    fixed: IntervalPart
    """Is right once, at the planned end."""
    q: float | None


class GuardrailPart(Wire):
    """What must not get worse."""

    name: str
    variant: str
    state: Literal["ok", "open", "broken"]
    worse: IntervalPart | None
    margin: float
    stop: bool
    text: str


class ReportAnswer(Wire):
    """What is known, and what to do."""

    experiment: ExperimentAnswer
    verdict: Literal["ship", "hold", "stop"]
    variant: str | None
    """The one to ship."""
    sentence: str
    reasons: list[str]
    days: float
    units: dict[str, int]
    """By variant."""
    crossed: int
    """Units left out, because they were shown two variants."""
    split: str
    """Whether the units are shared out as planned."""
    comparisons: list[ComparisonPart]
    guardrails: list[GuardrailPart]
    silent: dict[str, str]
    """Metrics of which nothing can be said, and why."""


DEFINED = {
    "name": "home-blend", "surface": "home", "variants": {"now": {}, "blend": {"serve": {"model": "000013", "policy": {"use": "greedy"}}}},
    "metrics": {"clicks": {"use": "mean", "event": "click"}, "hides": {"use": "mean", "event": "hide", "better": "lower"}},
    "primary": "clicks", "guardrails": {"slow": {"use": "latency"}, "hiding": {"use": "metric", "metric": "hides", "margin": 0.1}},
}  # fmt: skip


@router.post(
    "/v1/admin/experiments",
    **documented(
        "Start an experiment", "admin", scope="admin", body=ExperimentBody, answer=ExperimentAnswer, status=201, problems=(409, 422),
        example=DEFINED,
    ),
)  # fmt: skip
async def start(request: Request) -> Response:
    """From now on the definition is fixed; every worker assigns by it within two seconds. Sent again, it is started once."""
    project: Project = request.app.state.server.admit(request, "admin")
    body = await read(request, ExperimentBody, project.settings.limits)
    config = ExperimentConfig.model_validate(body.model_dump(mode="json"))
    await servable(project, config)
    return answer(_line(project, await _done(project, lambda connection: experiments.start(connection, config, *who(request)))), 201)


@router.get("/v1/admin/experiments", **documented("Experiments", "admin", scope="admin", answer=ExperimentsAnswer))
async def listed(request: Request) -> Response:
    """Newest first, running and stopped."""
    project: Project = request.app.state.server.admit(request, "admin")
    return answer(ExperimentsAnswer(experiments=[_line(project, found) for found in await project.read(experiments.known)]))


@router.get(
    "/v1/admin/experiments/{name}",
    **documented("An experiment", "admin", scope="admin", answer=ExperimentAnswer, problems=(404, 422)),
)
async def one(request: Request, name: ExperimentName) -> Response:
    """Its definition and its course."""
    project: Project = request.app.state.server.admit(request, "admin")
    return answer(_line(project, await _found(project, name)))


@router.get(
    "/v1/admin/experiments/{name}/report",
    **documented("Ship, hold or stop", "admin", scope="admin", answer=ReportAnswer, problems=(404, 409, 422)),
)
async def report(request: Request, name: ExperimentName) -> Response:
    """From the lists shown and the events since; 409 while nothing can be said. Changes nothing."""
    project: Project = request.app.state.server.admit(request, "admin")
    experiment = await _found(project, name)
    try:
        analysis = await asyncio.to_thread(evidence, project.database, experiment)
    except ExperimentError as error:
        raise Problem(409, str(error)) from error
    return answer(_report(_line(project, experiment), analysis))


@router.post(
    "/v1/admin/experiments/{name}:stop",
    **documented(
        "Stop an experiment", "admin", scope="admin", body=StopBody, answer=ExperimentAnswer, problems=(404, 409, 422),
        example={"reason": "shipped blend"},
    ),
)  # fmt: skip
async def stop(request: Request, name: ExperimentName) -> Response:
    """Nobody is assigned any more, on every worker within two seconds. What was logged stays, and its report."""
    project: Project = request.app.state.server.admit(request, "admin")
    body = await read(request, StopBody, project.settings.limits)
    return answer(_line(project, await _done(project, lambda connection: experiments.stop(connection, name, body.reason, *who(request)))))


async def servable(project: Project, config: ExperimentConfig) -> None:
    """Every arm could be served: its model is sound, its surface is there, its settings hold.

    Raises:
        Problem: 409, 422 or 503, one cannot.
    """
    serving = project.serving
    if serving is None:
        raise Problem(503, "no model is loaded yet; see /readyz", headers={"retry-after": "1"})
    try:
        serving.engine.varied(config.surface, {})
    except RequestError as error:
        raise Problem.invalid(error) from error
    for name, variant in config.variants.items():
        model = variant.serve.get(MODEL)
        try:
            if model is not None:
                if not isinstance(model, str):
                    raise RequestError(MODEL, "is the name of a published model")
                registered = await project.read(lambda connection, model=model: registry.get(connection, model))  # type: ignore[misc]
                await verified(project.run / registered["path"])
            await asyncio.to_thread(engine_of, serving.engine, config.surface, variant)
        except RequestError as error:
            raise Problem.invalid(RequestError(f"variants.{name}.serve.{error.where}", error.why)) from error
        except registry.RegistryError as error:
            raise Problem(409, str(error)) from error


async def _found(project: Project, name: str) -> Experiment:
    try:
        return await project.read(lambda connection: experiments.get(connection, name))
    except experiments.Unknown as error:
        raise Problem(404, str(error)) from error


async def _done(project: Project, change: Callable[[sa.Connection], T]) -> T:
    try:
        return await project.write(change)
    except experiments.Unknown as error:
        raise Problem(404, str(error)) from error
    except ExperimentError as error:
        raise Problem(409, str(error)) from error


def _line(project: Project, found: Experiment) -> ExperimentAnswer:
    definition = found.config.model_dump(mode="json", exclude={"logs"}, exclude_defaults=True)
    return ExperimentAnswer(
        name=found.config.name, status=found.status, started=found.started, stopped=found.stopped, reason=found.reason,
        serves=project.live.serves(found.config.name), definition=definition,
    )  # fmt: skip


def _report(line: ExperimentAnswer, found: Analysis) -> ReportAnswer:
    decision, alarm = found.decision, found.ratio.alarm
    return ReportAnswer(
        experiment=line, verdict=decision.verdict, variant=decision.variant, sentence=decision.sentence, reasons=list(decision.reasons),
        days=found.days, units=dict(zip(found.config.variants, found.units_DV[-1].tolist(), strict=True)), crossed=found.crossed,
        split="as planned" if alarm is None else f"sample ratio mismatch (p {found.ratio.p:.1g})",
        comparisons=[
            ComparisonPart(
                metric=one.metric, variant=one.variant, better=one.better, control=one.control, treatment=one.treatment,
                relative=one.relative, anytime=_interval(one.last.anytime), fixed=_interval(one.last.fixed), q=one.q,
            )
            for one in found.comparisons
        ],
        guardrails=[
            GuardrailPart(
                name=one.name, variant=one.variant, state=one.state, worse=None if one.worse is None else _interval(one.worse),
                margin=one.margin, stop=one.stop, text=one.text,
            )
            for one in found.guardrails
        ],
        silent=found.silent,
    )  # fmt: skip


def _interval(found: Interval) -> IntervalPart:
    return IntervalPart(value=found.value, low=found.low, high=found.high)
