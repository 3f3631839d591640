"""The shelf: the bundles that lie in a run's `models` folder, made known to its registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from genre.bundle import LIST
from genre.serving.store import registry

MODELS = "models"


def bundles(run: Path) -> list[str]:
    """Names of the sealed bundles, oldest first; one that is still being written has no list of files yet."""
    return sorted(file.parent.name for file in (run / MODELS).glob(f"*/{LIST}") if not file.parent.name.startswith("."))


def register_all(connection: sa.Connection, run: Path, actor: str) -> list[str]:
    """Make every bundle known that is not; returns the new ones, oldest first."""
    there = {line["model"] for line in registry.known(connection)}
    new = [name for name in bundles(run) if name not in there]
    for name in new:
        registry.register(connection, name, f"{MODELS}/{name}", _facts(run / MODELS / name / LIST), actor)
    return new


def put_first(connection: sa.Connection, run: Path, actor: str) -> None:
    """Where nothing serves yet, the newest bundle does."""
    register_all(connection, run, actor)
    there = bundles(run)
    if registry.now(connection).current is None and there:
        registry.promote(connection, there[-1], actor)


def _facts(file: Path) -> dict[str, Any]:
    whole = json.loads(file.read_text())
    return {"created": whole.get("created"), "facts": whole.get("facts", {}), "files": len(whole.get("files", {}))}
