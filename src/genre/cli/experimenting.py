"""Experiments on logs of any system, or on a server that runs: plan, start, report, stop."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from genre.cli import served_experiments
from genre.cli.console import escape, out, print_list, say
from genre.cli.served_experiments import COLOURS, KEY

experiment_app = typer.Typer(
    no_args_is_help=True, help="Experiments: plan, start, read and stop them, on logs of any system or on a server."
)
app = typer.Typer()
app.add_typer(experiment_app, name="experiment")


ExperimentFile = Annotated[Path, typer.Argument(help="A definition, NAME.yaml.")]
ExperimentFolder = Annotated[Path, typer.Option("--folder", help="Where started experiments are kept.")]
Moment = Annotated[str | None, typer.Option("--now", help="As of when: a date, a time or unix seconds.")]
Server = Annotated[
    str | None,
    typer.Option("--server", help=f"One that `genre serve` runs, as http://127.0.0.1:8080; {KEY} holds a key that is good for admin."),
]


@experiment_app.command("plan")
def experiment_plan(definition: ExperimentFile, now: Moment = None, server: Server = None) -> None:
    """Before the start: how many units and days each effect needs, from the events there are, or from what a server's users did lately.

    Example: `genre experiment plan home.yaml`
    """
    if server is not None:
        _without_files(now=now)
        served_experiments.plan(server, definition)
        return
    from genre.experiments.loading import load_experiment
    from genre.experiments.planning import look_ahead

    config = load_experiment(definition)
    found = look_ahead(config, _moment(now))
    header, rows = found.table()
    print_list(found.caption(), rows, header)
    say(found.sentence(config))


@experiment_app.command("start")
def experiment_start(
    definition: ExperimentFile, now: Moment = None, folder: ExperimentFolder = Path("experiments"), server: Server = None
) -> None:
    """Start it; from now on the definition is fixed. With a server, it assigns users by it from now on.

    Example: `genre experiment start home.yaml --server http://127.0.0.1:8080`
    """
    if server is not None:
        _without_files(now=now)
        served_experiments.start(server, definition)
        return
    from genre.experiments.course import start
    from genre.experiments.loading import load_experiment

    moment = _moment(now)
    started = start(load_experiment(definition), time.time() if moment is None else moment, folder)
    shares = ", ".join(f"{name} {share:.1%}" for name, share in started.config.shares().items())
    say(f"{started.config.name} runs: {shares}   kept in {folder}")
    aside = "its definition is fixed, and no server is told: your own system assigns and logs; for `genre serve` to do it add --server URL"
    say(aside)


@experiment_app.command("report")
def experiment_report(
    which: Annotated[str, typer.Argument(help="The name of a started experiment, or NAME.yaml of one that ran elsewhere.")],
    exposures: Annotated[Path | None, typer.Option(help="In place of the file that the definition names.")] = None,
    events: Annotated[Path | None, typer.Option(help="The same.")] = None,
    now: Moment = None,
    page: Annotated[Path | None, typer.Option("--out", help="Where the page goes.")] = None,
    folder: ExperimentFolder = Path("experiments"),
    server: Server = None,
) -> None:
    """Ship, hold or stop, with reasons, and one self-contained HTML page. Stops what must not go on.

    With a server, the reasons and figures alone: its dashboard has the page, and it stops by itself.

    Example: `genre experiment report home`
    """
    if server is not None:
        _without_files(now=now, exposures=exposures, events=events, out=page)
        served_experiments.report(server, which)
        return
    from genre.experiments.course import report as analyse

    files = {name: file for name, file in (("exposures", exposures), ("events", events)) if file is not None}
    found, written, state = analyse(which, _moment(now), files, page, folder)
    out.print(f"[bold {COLOURS[found.decision.verdict]}]{escape(found.decision.sentence)}[/]", highlight=False)
    for reason in found.decision.reasons:
        say(f"  {reason}")
    header, rows = found.table()
    print_list(found.caption(), rows, header)
    if found.adjusted:
        say(found.adjusted)
    for rail in found.guardrails:
        say(f"guardrail {rail.name}, {rail.variant}: {rail.state}: {rail.text}")
    for why in found.silent.values():
        say(why)
    if state is not None and state.status == "stopped":
        say(f"stopped: {state.reason}")
    out.print(f"report: {written}", highlight=False, soft_wrap=True)


@experiment_app.command("stop")
def experiment_stop(
    name: Annotated[str, typer.Argument(help="The experiment's name.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept with the experiment.")],
    now: Moment = None,
    folder: ExperimentFolder = Path("experiments"),
    server: Server = None,
) -> None:
    """Stop it: nobody is assigned any more.

    Example: `genre experiment stop home --reason "shipped blend"`
    """
    if server is not None:
        _without_files(now=now)
        served_experiments.stop(server, name, reason)
        return
    from genre.experiments.course import stop

    moment = _moment(now)
    stopped = stop(name, reason, time.time() if moment is None else moment, folder)
    say(f"{name} is stopped: {stopped.reason}")


def _without_files(**given: object) -> None:
    """Raises ValueError: an option was given that means nothing to a server."""
    if meant := [name for name, value in given.items() if value is not None]:
        raise ValueError(f"--{' and --'.join(meant)} is of logs that are files; a server reads its own: leave it out, or --server")


def _moment(text: str | None) -> float | None:
    if text is None:
        return None
    import polars as pl

    from genre.data.readers.values import unix_seconds

    moment = unix_seconds(pl.Series([text]))[0]
    if moment is None:
        raise ValueError(f"--now {text!r} is no time; write 2026-03-01, 2026-03-01T12:00 or unix seconds")
    return float(moment)
