"""Experiments of a server that runs: planned, started, read and stopped over its API, by the same commands as those of files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genre.cli.console import escape, out, print_list, say

if TYPE_CHECKING:
    from genre.serving.admin_client import Admin

KEY = "GENRE_KEY"
"""The environment variable that holds a key of the server, good for admin."""
PATIENCE = 60.0
"""Seconds: a report of a long log takes a few."""
COLOURS = {"ship": "green", "hold": "yellow", "stop": "red"}


def plan(url: str, definition: Path) -> None:
    """Write it down there, and say what it will take by what the server's users did lately."""
    tree = _read(definition)
    with _connected(url) as admin:
        admin.define(tree)
        say(f"{tree['name']} is written down on {url}; nobody is assigned before it is started")
        found = admin.plan(tree["name"])
    print_list(found["text"], found["rows"], found["header"])
    say(f"write into {definition}: planned_units: {found['planned_units']}")


def start(url: str, definition: Path) -> None:
    """Write it down there, and let the server assign by it."""
    from genre.serving.live import parse_live

    tree = _read(definition)
    config = parse_live(tree)
    with _connected(url) as admin:
        admin.define(tree)
        admin.start(config.name)
    shares = ", ".join(f"{name} {share:.1%}" for name, share in config.shares().items())
    say(f"{config.name} runs on {url}, surface {config.surface}: {shares}; every worker assigns by it within two seconds")
    say(f"read it any day: genre experiment report {config.name} --server {url}")


def report(url: str, name: str) -> None:
    """What the server has found by now."""
    from genre.experiments.comparison import told_of_cuped

    with _connected(url) as admin:
        found = admin.report(name)
    config = found["experiment"]["config"]
    out.print(f"[bold {COLOURS[found['verdict']]}]{escape(found['sentence'])}[/]", highlight=False)
    for reason in found["reasons"]:
        say(f"  {reason}")
    units = ", ".join(f"{arm} {n:,}" for arm, n in found["units"].items())
    split = "sample ratio mismatch" if found["split_alarm"] else "split as planned"
    rows = [_row(line, config["primary"]) for line in found["comparisons"]]
    header = ["metric", "variant", config["control"], "variant's", "any time", "one look", "q"]
    print_list(f"{name}: day {found['days']:.1f} of {config['days']}, {units} units, {split}", rows, header)
    if adjusted := told_of_cuped((line["metric"], line["variance_reduction"] or 0.0) for line in found["comparisons"]):
        say(adjusted)
    for rail in found["guardrails"]:
        say(f"guardrail {rail['name']}, {rail['variant']}: {rail['state']}: {rail['text']}")
    for why in found["silent"].values():
        say(why)
    if found["experiment"]["status"] == "stopped":
        say(f"stopped: {found['experiment']['reason']}")


def stop(url: str, name: str, reason: str) -> None:
    """Nobody is assigned any more."""
    with _connected(url) as admin:
        say(f"{name} is stopped: {admin.stop(name, reason)['reason']}")


def _read(file: Path) -> dict[str, Any]:
    """The definition without `logs`: a server reads its own."""
    from genre.experiments.definition import ExperimentError
    from genre.yaml_files import read_mapping

    tree = {"name": file.stem, **read_mapping(file, "`variants:`, `metrics:` and `primary:`", ExperimentError)}
    return {name: part for name, part in tree.items() if name != "logs"}


@contextmanager
def _connected(url: str) -> Iterator[Admin]:
    import httpx

    from genre.serving.client import ApiError, Client

    try:
        with Client(url, os.environ.get(KEY), timeout=PATIENCE, retries=0) as client:
            yield client.admin
    except httpx.TransportError as error:
        raise RuntimeError(f"{url} does not answer ({error}); is `genre serve` running there?") from error
    except ApiError as error:
        if error.status not in (401, 403):
            raise
        how = f"put a key that is good for admin into {KEY}; `genre keys create RUN --scope admin --name me` makes one"
        raise RuntimeError(f"{url} says: {error.detail}; {how}") from error


def _row(found: Mapping[str, Any], primary: str) -> list[str]:
    """A comparison as `genre experiment report` of files has it."""
    from genre.experiments.comparison import change, p_or_q
    from genre.experiments.confidence import Interval

    values = ["–" if found[arm] is None else f"{found[arm]:.4g}" for arm in ("control", "treatment")]
    known = ({name: float("nan") if value is None else value for name, value in found[at].items()} for at in ("anytime", "fixed"))
    intervals = [change(Interval(**at), found["relative"]) for at in known]
    q = "–" if found["q"] is None else p_or_q(found["q"], found["metric"] == primary)
    return [found["metric"], found["variant"], *values, *intervals, q]
