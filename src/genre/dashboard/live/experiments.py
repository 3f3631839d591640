"""Experiments of a run: definitions and states in its folder `experiments`, analysed by the statistics library."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from genre.dashboard.desk import Desk, Done
from genre.dashboard.experiments import ExperimentLine, ExperimentsView, Findings, of_analysis
from genre.dashboard.frame import Notice, in_address
from genre.data.readers.rejection import ReadError
from genre.experiments import course
from genre.experiments.analysis import analyse
from genre.experiments.definition import ExperimentError
from genre.experiments.loading import load_experiment
from genre.experiments.logs import read_logs
from genre.experiments.state import Experiment
from genre.serving.store.audit import record

FOLDER = "experiments"
"""In the run's folder: NAME.yaml is a definition, NAME.json one that was started."""
REMEMBERED = 60.0
"""Seconds for which an analysis of a running experiment is shown again."""


def fill(desk: Desk) -> ExperimentsView:
    """All experiments, or one with its findings."""
    folder = desk.project.run / FOLDER
    found, broken = everything(folder)
    lines = tuple(_line(one) for one in found)
    opened = next((one for one in found if one.config.name == desk["name"]), None)
    frame = desk.frame() if desk.notice or not broken else replace(desk.frame(), notice=Notice("; ".join(broken), "warn"))
    if opened is None:
        return ExperimentsView(frame, lines)
    findings, waiting = None, "It was not started yet. Its figures come with the first exposures."
    if opened.status != "planned":
        try:
            findings = _analysed(folder / f"{opened.config.name}.json", opened.stopped or (time.time() // REMEMBERED) * REMEMBERED)
        except (ExperimentError, ReadError, FileNotFoundError) as error:
            waiting = str(error)
    return ExperimentsView(frame, lines, _line(opened), findings, waiting)


def start(desk: Desk) -> Done:
    """It runs from now on, as its definition says at this moment."""
    name, folder = desk["name"], desk.project.run / FOLDER
    file = folder / f"{Path(name).name}.yaml"
    course.start(load_experiment(file), time.time(), folder)
    desk.write(lambda connection: record(connection, desk.who[0], "start experiment", name, desk.who[1]))
    return Done(f"/experiments?name={in_address(name)}", Notice(f"{name} runs. Its definition is fixed from now on."))


def stop(desk: Desk) -> Done:
    """Nobody is assigned any more."""
    name, reason = desk["name"], desk["reason"]
    course.stop(Path(name).name, reason, time.time(), desk.project.run / FOLDER)
    desk.write(lambda connection: record(connection, desk.who[0], "stop experiment", name, desk.who[1], reason=reason))
    return Done(f"/experiments?name={in_address(name)}", Notice(f"{name} is stopped."))


def everything(folder: Path) -> tuple[list[Experiment], list[str]]:
    """Started experiments, newest first, behind those that are only defined; and what is wrong with files that are neither."""
    started, planned, broken = [], [], []
    for file in sorted(folder.glob("*.json")):
        try:
            started.append(Experiment.load(file))
        except ExperimentError as error:
            broken.append(str(error))
    names = {one.config.name for one in started}
    for file in sorted(folder.glob("*.yaml")):
        try:
            config = load_experiment(file)
        except ExperimentError as error:
            broken.append(str(error))
        else:
            planned += [Experiment(config=config)] if config.name not in names else []
    return [*planned, *sorted(started, key=lambda one: -(one.started or 0.0))], broken


@lru_cache(maxsize=32)
def _analysed(file: Path, now: float) -> Findings:
    """Remembered: a long log takes seconds to sum."""
    experiment = Experiment.load(file)
    return of_analysis(analyse(experiment.config, read_logs(experiment.config, experiment.started, now)))


def _line(one: Experiment) -> ExperimentLine:
    config = one.config
    return ExperimentLine(config.name, one.status, config.surface, config.hypothesis, one.started, one.reason, one.reason)
