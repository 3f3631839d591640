"""Experiments over HTTP: defined, planned, started, reported, stopped."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

import sqlalchemy as sa
from fastapi import APIRouter, Path, Request, Response
from pydantic import Field, JsonValue, RootModel

from genre.bundle import Bundle, BundleError
from genre.data.readers.rejection import ReadError
from genre.experiments.analysis import Analysis
from genre.experiments.comparison import Comparison
from genre.experiments.confidence import Interval
from genre.experiments.definition import ExperimentConfig, ExperimentError
from genre.experiments.state import Experiment
from genre.serving.answering import Problem, answer, read
from genre.serving.contract import Id, Wire
from genre.serving.findings import analysed, planned
from genre.serving.live import check_named, models_of, parse_live, pinned
from genre.serving.openapi import documented
from genre.serving.project import Project
from genre.serving.routes.admin import admitted, who
from genre.serving.store import experiments, registry

router = APIRouter()
T = TypeVar("T")
Name = Annotated[Id, Path(examples=["home"])]


class Tree(RootModel[dict[str, JsonValue]]):
    """A definition before it is checked: its mistakes are told by the paths that a file would have."""


class ExperimentAnswer(Wire):
    """An experiment and where it stands."""

    name: str
    status: Literal["planned", "running", "stopped"]
    started: float | None
    stopped: float | None
    reason: str
    config: dict[str, JsonValue]


class ExperimentsAnswer(Wire):
    """The last changed first."""

    experiments: list[ExperimentAnswer]
    served: list[str]
    """Those that this worker assigns to now."""


class StopBody(Wire):
    """Why."""

    reason: str = Field(min_length=1, max_length=10_000)


class IntervalAnswer(Wire):
    """An estimate and what the data do not rule out."""

    value: float | None
    low: float | None
    high: float | None


class ComparisonLine(Wire):
    """A metric of a variant against control."""

    metric: str
    variant: str
    better: Literal["higher", "lower"]
    control: float | None
    treatment: float | None
    relative: bool
    """Intervals are shares of control; otherwise in the metric's own unit, or from -1 to 1 the lead of an interleaved variant."""
    units: int
    anytime: IntervalAnswer
    """May be read and acted upon at any time."""
    fixed: IntervalAnswer
    """Right once, at the planned end."""
    q: float | None
    variance_reduction: float | None


class GuardrailLine(Wire):
    """A guardrail and a variant."""

    name: str
    variant: str
    state: Literal["ok", "open", "broken"]
    worse: IntervalAnswer | None
    margin: float
    text: str


class ReportAnswer(Wire):
    """What is known by now."""

    experiment: ExperimentAnswer
    verdict: Literal["ship", "hold", "stop"]
    sentence: str
    variant: str | None
    """The one to ship."""
    reasons: list[str]
    days: float
    units: dict[str, int]
    split_p: float | None
    split_alarm: bool
    comparisons: list[ComparisonLine]
    guardrails: list[GuardrailLine]
    silent: dict[str, str]
    """Metrics of which nothing can be said, and why."""
    crossed: int
    """Units left out, for they were shown two variants."""


class OutlookAnswer(Wire):
    """What to expect, from the log before the start."""

    text: str
    sentence: str
    """What the smallest effect worth having takes, and whether that is longer than planned."""
    planned_units: int
    """What to write into the definition."""
    units: int
    units_a_day: float
    header: list[str]
    rows: list[list[str]]


DEFINED = {
    "name": "home", "hypothesis": "Lists that know the text of items get more clicks.",
    "variants": {"popular": {}, "wider": {"serve": {"candidates": 500}}},
    "metrics": {
        "clicks": {"use": "mean", "event": "click"}, "hides": {"use": "ratio", "event": "hide", "per": "exposure", "better": "lower"},
    },
    "primary": "clicks", "days": 14, "planned_units": 40000,
    "guardrails": {"slow": {"use": "latency", "quantile": 0.99}, "hiding": {"use": "metric", "metric": "hides", "margin": 0.1}},
}  # fmt: skip


@router.get("/v1/admin/experiments", **documented("Experiments", "admin", scope="admin", answer=ExperimentsAnswer))
async def every(request: Request) -> Response:
    """All of them, whatever their state."""
    project = admitted(request)
    lines = [_line(one) for one in await project.read(experiments.known)]
    return answer(ExperimentsAnswer(experiments=lines, served=[one.config.name for one in project.live.experiments]))


@router.post(
    "/v1/admin/experiments",
    **documented(
        "Define an experiment", "admin", scope="admin", body=ExperimentConfig, answer=ExperimentAnswer, status=201, problems=(409,),
        example=DEFINED,
    ),
)  # fmt: skip
async def define(request: Request) -> Response:
    """The definition is that of a file, without `logs`. `serve` of a variant holds a `model`, and any setting of the surface.

    Nobody is assigned before it is started; until then it may be defined anew. A model or a surface that there is not is refused (422).
    """
    project = admitted(request)
    body = await read(request, Tree, project.settings.limits)
    engine = None if project.serving is None else project.serving.engine
    try:
        config = parse_live(body.root)
        await project.stocktake(who(request)[0])
        await project.read(lambda connection: check_named(connection, config, engine))
    except ExperimentError as error:
        raise Problem(422, str(error)) from error
    return answer(_line(await _changed(project, lambda connection: experiments.define(connection, config, *who(request)))), 201)


@router.get(
    "/v1/admin/experiments/{name}", **documented("An experiment", "admin", scope="admin", answer=ExperimentAnswer, problems=(404, 422))
)
async def one(request: Request, name: Name) -> Response:
    """Its definition and where it stands."""
    return answer(_line(await _found(admitted(request), name)))


@router.get(
    "/v1/admin/experiments/{name}/plan",
    **documented("How long an experiment takes", "admin", scope="admin", answer=OutlookAnswer, problems=(404, 409, 422)),
)
async def plan(request: Request, name: Name) -> Response:
    """Units and days for each effect, from what users of this server did lately."""
    project = admitted(request)
    config = (await _found(project, name)).config
    found = await _said(lambda: planned(project.database, config))
    header, rows = found.table()
    return answer(
        OutlookAnswer(
            text=found.caption(),
            sentence=found.sentence(config),
            planned_units=found.planned_units,
            units=found.units,
            units_a_day=found.arriving,
            header=header,
            rows=rows,
        )
    )


@router.post(
    "/v1/admin/experiments/{name}/start",
    **documented("Start an experiment", "admin", scope="admin", answer=ExperimentAnswer, problems=(404, 409, 422)),
)
async def start(request: Request, name: Name) -> Response:
    """Every arm is tried first. Every worker assigns within two seconds. Arms that name no model keep the one that serves now."""
    project = admitted(request)
    config = await _changed(project, lambda connection: pinned(experiments.get(connection, name).config, registry.now(connection).current))
    await rehearsed(project, config)
    fixed = await _changed(project, lambda connection: experiments.start(connection, config, *who(request)))
    return answer(_line(fixed))


@router.post(
    "/v1/admin/experiments/{name}/stop",
    **documented(
        "Stop an experiment", "admin", scope="admin", body=StopBody, answer=ExperimentAnswer, problems=(404, 409),
        example={"reason": "shipped blend"},
    ),
)  # fmt: skip
async def stop(request: Request, name: Name) -> Response:
    """Everybody gets what serves, within two seconds; the reason is kept."""
    project = admitted(request)
    body = await read(request, StopBody, project.settings.limits)
    return answer(_line(await _changed(project, lambda connection: experiments.stop(connection, name, body.reason, *who(request)))))


@router.get(
    "/v1/admin/experiments/{name}/report",
    **documented("What an experiment found", "admin", scope="admin", answer=ReportAnswer, problems=(404, 409, 422)),
)
async def report(request: Request, name: Name) -> Response:
    """Ship, hold or stop, with reasons, from the served log; 409 where nothing can be said yet."""
    project = admitted(request)
    found = await _found(project, name)
    return answer(_report(found, await _said(lambda: analysed(project.database, found))))


def _report(experiment: Experiment, analysis: Analysis) -> ReportAnswer:
    decision = analysis.decision
    rails = [
        GuardrailLine(
            name=rail.name, variant=rail.variant, state=rail.state, worse=None if rail.worse is None else _interval(rail.worse),
            margin=rail.margin, text=rail.text,
        )
        for rail in analysis.guardrails
    ]  # fmt: skip
    return ReportAnswer(
        experiment=_line(experiment), verdict=decision.verdict, sentence=decision.sentence, variant=decision.variant,
        reasons=list(decision.reasons), days=analysis.days, units=analysis.units, split_p=_finite(analysis.ratio.p),
        split_alarm=analysis.ratio.alarm is not None, comparisons=[_compared(found) for found in analysis.comparisons], guardrails=rails,
        silent=analysis.silent, crossed=analysis.crossed,
    )  # fmt: skip


def _compared(found: Comparison) -> ComparisonLine:
    return ComparisonLine(
        metric=found.metric, variant=found.variant, better="lower" if found.better == "lower" else "higher", control=_finite(found.control),
        treatment=_finite(found.treatment), relative=found.relative, units=found.last.units, anytime=_interval(found.last.anytime),
        fixed=_interval(found.last.fixed), q=_finite(found.q), variance_reduction=_finite(found.reduction),
    )  # fmt: skip


def _interval(at: Interval) -> IntervalAnswer:
    return IntervalAnswer(**{name: _finite(value) for name, value in dataclasses.asdict(at).items()})


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _line(one: Experiment) -> ExperimentAnswer:
    config = one.config.model_dump(mode="json", exclude={"logs"})
    return ExperimentAnswer(
        name=one.config.name, status=one.status, started=one.started, stopped=one.stopped, reason=one.reason, config=config
    )


async def _found(project: Project, name: str) -> Experiment:
    try:
        return await project.read(lambda connection: experiments.get(connection, name))
    except experiments.Unknown as error:
        raise Problem(404, str(error)) from error


async def _changed(project: Project, change: Callable[[sa.Connection], T]) -> T:
    try:
        return await project.write(change)
    except experiments.Unknown as error:
        raise Problem(404, str(error)) from error
    except ExperimentError as error:
        raise Problem(409, str(error)) from error


async def _said(ask: Callable[[], T]) -> T:
    try:
        return await asyncio.to_thread(ask)
    except (ExperimentError, ReadError) as error:
        raise Problem(409, str(error)) from error


async def rehearsed(project: Project, config: ExperimentConfig) -> None:
    """Every arm's files are verified and its settings tried before anybody sees it.

    Raises:
        Problem: 409, one of them cannot be served.
    """
    if project.serving is None:
        raise Problem(409, "no model is loaded yet; see /readyz")
    try:
        engine = project.serving.engine
        await project.read(lambda connection: check_named(connection, config, engine))
        for model in models_of([Experiment(config=config)]):
            registered = await project.read(lambda connection, model=model: registry.get(connection, model))  # type: ignore[misc]
            await asyncio.to_thread(Bundle.open, project.run / registered["path"])
    except (ExperimentError, registry.RegistryError, BundleError, OSError) as error:
        raise Problem(409, f"not started: {error}") from error
