"""What a server is told when it starts: which runs, where their stores are, who may call from a browser, how much is kept."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

from pydantic import Field

from genre.component import Settings
from genre.serving.limits import Limits
from genre.serving.store.database import Database

STORE = "store.db"
"""A project's SQLite file, in its run's folder."""


class ServeSettings(Settings):
    """One server."""

    runs: list[Path] = Field(min_length=1)
    """The projects: each a run's folder with its published bundles."""
    database: str | None = None
    """`postgresql://user@host/name`, one schema a project; None keeps RUN/store.db (SQLite)."""
    workers: int = Field(1, ge=1)
    """Processes; rate limits are shared out among them."""
    allow_origins: list[str] = Field(default_factory=list)
    """Web pages that may call from a browser; none by default."""
    limits: Limits = Field(default_factory=Limits)
    trace_days: float = Field(7, ge=0)
    """For so long `GET /v1/requests/{id}` knows every candidate; the exposure itself is kept."""
    follow_seconds: float = Field(0.5, gt=0)
    """How often a worker looks for a promoted model, changed items, new events and keys."""
    guard_seconds: float = Field(60, gt=0)
    """How often the guardrails of running experiments are looked at, by one worker of all."""
    patience_seconds: float = Field(0.08, gt=0)
    """So long a list waits for what PostgreSQL knows of a user, from its arrival; keep it below half of the surfaces' `deadline_ms`."""
    history: int = Field(200, ge=1)
    """Events of a user that a list is made from."""


def open_store(run: Path, database: str | None = None) -> Database:
    """The store of a run: its SQLite file, or its schema of a PostgreSQL database.

    Raises:
        FileNotFoundError: the run is not there.
        ValueError: the URL is of another kind of database.
    """
    if not run.is_dir():
        raise FileNotFoundError(f"{run}: no such run; make one with: genre run NAME.yaml")
    if database is None:
        return Database(f"sqlite:///{run / STORE}")
    opened = Database(database, schema=schema_of(run))
    if opened.is_sqlite and opened.url.database in (None, "", ":memory:"):
        raise ValueError("a store in memory would lose acknowledged events; name a file or a PostgreSQL database")
    return opened


def schema_of(run: Path) -> str:
    """The PostgreSQL schema of a run."""
    return "genre_" + re.sub(r"[^a-z0-9]", "_", run.resolve().name.lower())[:50]


def is_public(host: str) -> bool:
    """Whether anyone but this machine can reach an address."""
    if host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
