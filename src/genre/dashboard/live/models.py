"""Models as the registry knows them, with what their bundles say of themselves; promote, roll back, watch."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from genre.bundle import LIST, Bundle
from genre.dashboard.desk import Desk, Done, models_now
from genre.dashboard.frame import Notice
from genre.dashboard.models import Ladder, Model, ModelsView, Role
from genre.reporting import ladder
from genre.serving.shelf import MODELS, bundles, register_all
from genre.serving.store import audit, registry

BACK = "/models"
SHOWN = ("ndcg@10", "recall@10", "coverage@10")
"""Metrics of a bundle that the table has room for; of others the first three."""
DEEDS = ("register", "promote", "rollback", "shadow")


def fill(desk: Desk) -> ModelsView:
    """Every model on the shelf, newest first."""
    (roles, known), lines = desk.read(lambda connection: (models_now(connection), audit.newest(connection, 300)))
    there = {line["model"] for line in known}
    new = [_on_shelf(desk.project.run, name) for name in bundles(desk.project.run) if name not in there]
    found = tuple(_model(desk, line, roles) for line in [*reversed(new), *known])
    deeds = tuple((line["time"], _said(line)) for line in lines if line["action"] in DEEDS)
    return ModelsView(desk.frame(), found, _ladder(desk.project.run), deeds[:50])


def promote(desk: Desk) -> Done:
    """Let a model serve, once its files are verified."""
    model, run = desk["version"], desk.project.run
    desk.write(lambda connection: register_all(connection, run, desk.who[0]))
    path = desk.read(lambda connection: registry.get(connection, model))["path"]
    Bundle.open(run / path)
    desk.write(lambda connection: registry.promote(connection, model, *desk.who))
    return Done(BACK, Notice(f"{model} answers from now on; every worker has noticed within two seconds."))


def rollback(desk: Desk) -> Done:
    """Let the model before serve again, if it is still the one that was asked about."""
    expected = desk["version"]

    def work(connection: sa.Connection) -> str | None:
        below = registry.now(connection).below
        if expected and below[:1] != (expected,):
            raise registry.RegistryError(f"meanwhile the model before is {below[0] if below else 'none'}, not {expected}; look again")
        return registry.rollback(connection, *desk.who).current

    return Done(BACK, Notice(f"Rolled back: {desk.write(work)} answers again."))


def shadow(desk: Desk) -> Done:
    """Ask a model too, and show nothing of it; without one, watch none."""
    model = desk["version"] or None
    if model is not None:
        desk.write(lambda connection: register_all(connection, desk.project.run, desk.who[0]))
    desk.write(lambda connection: registry.shadow(connection, model, *desk.who))
    return Done(BACK, Notice(f"{model} is asked what is asked, and shows nothing." if model else "No model is watched any more."))


def _on_shelf(run: Path, name: str) -> dict[str, Any]:
    file = run / MODELS / name / LIST
    whole = json.loads(file.read_text())
    manifest = {"created": whole.get("created"), "facts": whole.get("facts", {})}
    return {"model": name, "path": f"{MODELS}/{name}", "registered": file.stat().st_mtime, "manifest": manifest}


def _model(desk: Desk, line: dict[str, Any], roles: registry.Roles) -> Model:
    name, folder = line["model"], desk.project.run / line["path"]
    facts = line["manifest"].get("facts", {})
    role: Role = "candidate"
    if name == roles.current:
        role = "current"
    elif name == roles.shadow:
        role = "shadow"
    elif name == next(iter(roles.below), None):
        role = "previous"
    elif name in roles.below:
        role = "retired"
    return Model(
        name, role, line["registered"], _data(facts.get("data", {})), _metrics(folder / "metrics.json"), _size(folder / LIST),
        _note(desk, name, role, facts), signed_off=(folder / LIST).is_file(),
    )  # fmt: skip


def _note(desk: Desk, name: str, role: Role, facts: dict[str, Any]) -> str:
    words = [str(facts["ranker"])] if facts.get("ranker") else []
    if role == "current" and desk.project.serving is not None and desk.project.serving.model != name:
        words.append(f"loading; {desk.project.serving.model} answers until then")
    if role == "shadow":
        seen = desk.read(lambda connection: registry.compared(connection, name))
        if seen["requests"] and seen["overlap"] is not None:
            failed = f", {seen['failed']:,} failed" if seen["failed"] else ""
            words.append(f"asked {seen['requests']:,} times, {seen['overlap']:.0%} of its items were shown{failed}")
    return "; ".join(words)


def _data(data: dict[str, Any]) -> str:
    """The snapshot in a few words."""
    if not data:
        return "unknown"
    last = data.get("last_time")
    until = f", until {datetime.fromtimestamp(last, UTC):%Y-%m-%d}" if isinstance(last, int | float) else ""
    return f"{data.get('interactions', 0):,} events of {data.get('users', 0):,} users{until}"


def _metrics(file: Path) -> tuple[tuple[str, str], ...]:
    """Name and value with its interval, of a bundle's metrics.json."""
    if not file.is_file():
        return ()
    found = json.loads(file.read_text()).get("metrics", {})
    chosen = [name for name in SHOWN if name in found] or list(found)[: len(SHOWN)]
    return tuple((name, _figure(found[name])) for name in chosen)


def _figure(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['mean']:.4f} ({value['low']:.4f}\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}{value['high']:.4f})"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _size(file: Path) -> str:
    if not file.is_file():
        return "gone"
    size = sum(entry["bytes"] for entry in json.loads(file.read_text())["files"].values())
    return f"{size / 1e6:,.1f} MB"


def _ladder(run: Path) -> Ladder | None:
    """What each rung added, where the run was evaluated here."""
    made = max((file.stat().st_mtime for file in run.glob("evaluate/*/manifest.json")), default=None)
    return None if made is None else _climbed(run, made)


@lru_cache(maxsize=8)
def _climbed(run: Path, made: float) -> Ladder | None:
    """A second or two of resampling, so it is remembered until an evaluation is `made` anew."""
    try:
        climbed = ladder([run])
    except (FileNotFoundError, ValueError):  # a run that was only published, or copied without some of its stages
        return None
    header, rows = climbed.table()
    return Ladder(climbed.caption(), tuple(header), tuple(map(tuple, rows)))


def _said(line: dict[str, Any]) -> str:
    words = {"register": "published", "promote": "promoted", "rollback": "rolled back to", "shadow": "watched as a shadow"}[line["action"]]
    text = f"{line['target']} {words}" if line["action"] != "rollback" else f"{words} {line['target']}"
    if line["action"] == "shadow" and line["target"] is None:
        text = "no shadow any more"
    return f"{text}, by {line['actor']}"
