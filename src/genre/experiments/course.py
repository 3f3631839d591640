"""The course of an experiment on files: start it, report on it, stop it. A server does the same with a table's rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from genre.experiments.analysis import Analysis, analyse
from genre.experiments.assignment import check_layers
from genre.experiments.definition import ExperimentConfig
from genre.experiments.loading import load_experiment
from genre.experiments.logs import read_logs
from genre.experiments.report import write_report
from genre.experiments.state import Experiment

FOLDER = Path("experiments")


def start(config: ExperimentConfig, now: float, folder: Path = FOLDER) -> Experiment:
    """It runs from now on, as defined: what the file says later changes nothing.

    Raises:
        ExperimentError: it was started before, or shares units with one that runs.
    """
    check_layers([config, *(other.config for other in running(folder) if other.config.name != config.name)])
    experiment = Experiment(config=config).start(now)
    experiment.save(folder / f"{config.name}.json", new=True)
    return experiment


def stop(name: str, reason: str, now: float, folder: Path = FOLDER) -> Experiment:
    """Nobody is assigned any more.

    Raises:
        ExperimentError: no such experiment, or it does not run.
    """
    file = folder / f"{name}.json"
    experiment = Experiment.load(file).stop(now, reason)
    experiment.save(file)
    return experiment


def running(folder: Path = FOLDER) -> list[Experiment]:
    """Those of a folder that run."""
    return [found for found in map(Experiment.load, sorted(folder.glob("*.json"))) if found.status == "running"]


def report(
    which: str, now: float | None = None, logs: Mapping[str, Path] | None = None, page: Path | None = None, folder: Path = FOLDER
) -> tuple[Analysis, Path, Experiment | None]:
    """Analyse an experiment and write its page; one that must stop (a broken split or guardrail) is stopped here.

    Args:
        which: the name of one that was started, or a YAML file of one that ran elsewhere.
        now: unix seconds; None takes the logs' end.
        logs: files in place of those the definition names: exposures, assignments, events.
        page: where to; beside the state, or the YAML, by default.
    """
    experiment = None if which.endswith((".yaml", ".yml")) else Experiment.load(folder / f"{which}.json")
    config = load_experiment(Path(which)) if experiment is None else experiment.config
    if logs:
        config = config.model_copy(update={"logs": config.logs.model_copy(update=dict(logs))})
    ends = [moment for moment in (now, None if experiment is None else experiment.stopped) if moment is not None]
    log = read_logs(config, None if experiment is None else experiment.started, min(ends, default=None))
    analysis = analyse(config, log, ended=experiment is not None and experiment.status == "stopped")
    page = page or (Path(which).with_suffix(".html") if experiment is None else folder / f"{which}.html")
    write_report(page, analysis)
    if experiment is not None and experiment.status == "running" and analysis.decision.must_stop:
        experiment = stop(which, analysis.decision.reasons[0], analysis.now, folder)
    return analysis, page, experiment
