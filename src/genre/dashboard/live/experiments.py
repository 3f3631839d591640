"""Experiments of the server: defined in the run's folder or on the page, started, read and stopped in the store."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from genre.dashboard.desk import Desk, Done
from genre.dashboard.experiments import ExperimentLine, ExperimentsView, Findings, of_analysis
from genre.dashboard.frame import Notice, in_address
from genre.experiments.definition import ExperimentConfig, ExperimentError
from genre.experiments.state import Experiment
from genre.serving.answering import Problem, check
from genre.serving.evidence import evidence
from genre.serving.routes.experiments import ExperimentBody, servable
from genre.serving.store import experiments
from genre.serving.store.database import Database

FOLDER = "experiments"
"""In the run's folder: NAME.yaml is a definition that may be started."""
LONGEST = 20_000
"""Characters of a definition."""
REMEMBERED = 60.0
"""Seconds for which an analysis of a running experiment is shown again."""


def fill(desk: Desk) -> ExperimentsView:
    """All experiments, or one with its findings."""
    started = desk.read(experiments.known)
    planned, broken = defined(desk.project.run / FOLDER, {one.config.name for one in started})
    frame = desk.frame()
    if broken and desk.notice is None:
        frame = replace(frame, notice=Notice("; ".join(broken), "warn"))
    found = [*planned, *started]
    opened = next((one for one in found if one.config.name == desk["name"]), None)
    if opened is None:
        return ExperimentsView(frame, tuple(map(_line, found)))
    findings, waiting = None, "It was not started yet. Its figures come with the first lists."
    if opened.status != "planned":
        now = opened.stopped or (time.time() // REMEMBERED) * REMEMBERED
        try:
            findings = _analysed(desk.project.database, opened.config.name, now)
        except ExperimentError as error:
            waiting = str(error)
    return ExperimentsView(frame, tuple(map(_line, found)), _line(opened), findings, waiting)


def start(desk: Desk) -> Done:
    """From now on it is fixed, and every worker assigns by it: a definition of the folder by its name, or one that was written here."""
    name, written = desk["name"], desk["definition"]
    if written:
        config = parsed(written, "the definition")
    else:
        file = desk.project.run / FOLDER / f"{Path(name).name}.yaml"
        if not file.is_file():
            raise ExperimentError(f"there is no definition {FOLDER}/{file.name} in the run's folder")
        config = parsed(file.read_text(encoding="utf-8"), file.name, file.stem)
    asyncio.run(servable(desk.project, config))
    desk.write(lambda connection: experiments.start(connection, config, *desk.who))
    return Done(_address(config.name), Notice(f"{config.name} runs: every worker assigns by it within two seconds."))


def stop(desk: Desk) -> Done:
    """Nobody is assigned any more; what was logged stays."""
    name, reason = desk["name"], desk["reason"]
    desk.write(lambda connection: experiments.stop(connection, name, reason, *desk.who))
    return Done(_address(name), Notice(f"{name} is stopped."))


def defined(folder: Path, started: set[str]) -> tuple[list[Experiment], list[str]]:
    """Definitions that were not started yet, and what is wrong with files that are none."""
    planned, broken = [], []
    for file in sorted(folder.glob("*.yaml")):
        try:
            config = parsed(file.read_text(encoding="utf-8"), file.name, file.stem)
        except (ExperimentError, UnicodeDecodeError) as error:
            broken.append(str(error))
        else:
            planned += [Experiment(config=config)] if config.name not in started else []
    return planned, broken


def parsed(text: str, where: str, name: str | None = None) -> ExperimentConfig:
    """A checked definition of a live experiment.

    Raises:
        ExperimentError: it is none; the message names the place.
    """
    try:
        # An alias could make a short text unfold to gigabytes; no definition needs one.
        if len(text) > LONGEST or any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, yaml.SafeLoader)):
            raise ExperimentError(f"{where}: a definition has at most {LONGEST:,} characters, and no aliases (*name)")
        tree: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ExperimentError(f"{where}: not YAML: {error}") from error
    if not isinstance(tree, dict):
        raise ExperimentError(f"{where}: must be a mapping with `variants:`, `metrics:` and `primary:`")
    try:
        body = check(ExperimentBody, tree if name is None else {"name": name, **tree})
    except Problem as problem:
        raise ExperimentError(f"{where}: {problem}") from problem
    return ExperimentConfig.model_validate(body.model_dump(mode="json"))


@lru_cache(maxsize=32)
def _analysed(database: Database, name: str, now: float) -> Findings:
    """As of a moment; remembered, since a long log takes seconds to sum."""
    with database.read() as connection:
        experiment = experiments.get(connection, name)
    return of_analysis(evidence(database, experiment))


def _line(one: Experiment) -> ExperimentLine:
    config = one.config
    return ExperimentLine(config.name, one.status, config.surface, config.hypothesis, one.started, one.reason)


def _address(name: str) -> str:
    return f"/experiments?name={in_address(name)}"
