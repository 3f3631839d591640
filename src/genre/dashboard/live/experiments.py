"""Experiments of the server: written down on the page, started, read and stopped in the store."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import lru_cache
from typing import Any

import yaml

from genre.dashboard.desk import Desk, Done
from genre.dashboard.experiments import (
    ExperimentLine,
    ExperimentsView,
    Findings,
    Planned,
    of_analysis,
    of_outlook,
    render_experiments,
    terms_of,
)
from genre.dashboard.frame import Notice, in_address
from genre.data.readers.rejection import ReadError
from genre.experiments.definition import ExperimentConfig, ExperimentError
from genre.experiments.loading import written
from genre.experiments.state import Experiment
from genre.serving.findings import analysed, planned
from genre.serving.live import check_named, parse_live, pinned
from genre.serving.routes.experiments import rehearsed
from genre.serving.store import experiments, registry
from genre.serving.store.database import Database, Unavailable

LONGEST = 20_000
"""Characters of a definition."""
REMEMBERED = 60.0
"""Seconds for which an analysis of a running experiment is shown again."""


def fill(desk: Desk) -> ExperimentsView:
    """All experiments, or one with its findings."""
    found = desk.read(experiments.known)
    lines = tuple(map(_line, found))
    opened = next((one for one in found if one.config.name == desk["name"]), None)
    if opened is None:
        return ExperimentsView(desk.frame(), lines, missing=desk["name"])
    findings, plan, waiting = None, None, ""
    if opened.status == "planned":
        try:
            plan = _planned(desk.project.database, opened.config.model_dump_json(), time.time() // REMEMBERED)
        except (ExperimentError, ReadError) as error:
            waiting = f"How long it takes cannot be told: {error}."
    else:
        now = opened.stopped or (time.time() // REMEMBERED) * REMEMBERED
        try:
            findings = _analysed(desk.project.database, opened.config.name, now)
        except (ExperimentError, ReadError) as error:
            waiting = str(error)
    definition, terms = written(opened.config), terms_of(opened.config)
    return ExperimentsView(desk.frame(), lines, _line(opened), findings, waiting, plan, definition, terms, draft=definition)


def define(desk: Desk) -> Done | str:
    """Written down; nobody is assigned before it is started, and until then it may be written anew. What is refused stays in the form."""
    text = desk.asked.get("definition", "")
    try:
        config = parsed(text)
        engine = None if (serving := desk.project.serving) is None else serving.engine
        desk.read(lambda connection: check_named(connection, config, engine))
        desk.write(lambda connection: experiments.define(connection, config, *desk.who))
    except (ExperimentError, Unavailable) as error:
        told = replace(desk, notice=Notice(f"Not done: {error}", "bad"))
        return render_experiments(ExperimentsView(told.frame(), draft=text, refused=True))
    return Done(_address(config.name), Notice(f"{config.name} is written down. Read it again, then start it."))


def start(desk: Desk) -> Done:
    """From now on its definition is fixed, and every worker assigns by it; every arm is tried first."""
    name = desk["name"]
    config = desk.read(lambda connection: pinned(experiments.get(connection, name).config, registry.now(connection).current))
    asyncio.run(rehearsed(desk.project, config))
    desk.write(lambda connection: experiments.start(connection, config, *desk.who))
    return Done(_address(name), Notice(f"{name} runs: every worker assigns by it within two seconds."))


def stop(desk: Desk) -> Done:
    """Nobody is assigned any more; what was logged stays."""
    name, reason = desk["name"], desk["reason"]
    desk.write(lambda connection: experiments.stop(connection, name, reason, *desk.who))
    return Done(_address(name), Notice(f"{name} is stopped."))


def parsed(text: str) -> ExperimentConfig:
    """A checked definition of a live experiment.

    Raises:
        ExperimentError: it is none; the message names the place.
    """
    try:
        # An alias could make a short text unfold to gigabytes; no definition needs one.
        if len(text) > LONGEST or any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, yaml.SafeLoader)):
            raise ExperimentError(f"a definition has at most {LONGEST:,} characters, and no aliases (*name)")
        tree: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ExperimentError(f"not YAML: {error}") from error
    if not isinstance(tree, dict):
        raise ExperimentError("a definition is a mapping with `name:`, `variants:`, `metrics:` and `primary:`")
    return parse_live(tree)


@lru_cache(maxsize=32)
def _analysed(database: Database, name: str, now: float) -> Findings:
    """As of a moment; remembered, since a long log takes seconds to sum."""
    with database.read() as connection:
        experiment = experiments.get(connection, name)
    return of_analysis(analysed(database, experiment))


@lru_cache(maxsize=32)
def _planned(database: Database, definition: str, minute: float) -> Planned:
    """At present traffic; remembered for a minute."""
    config = ExperimentConfig.model_validate_json(definition)
    return of_outlook(planned(database, config), config)


def _line(one: Experiment) -> ExperimentLine:
    config = one.config
    surface = "every surface" if config.hold_out else config.surface
    return ExperimentLine(config.name, one.status, surface, config.hypothesis, one.started, one.stopped, one.reason)


def _address(name: str) -> str:
    return f"/experiments?name={in_address(name)}"
