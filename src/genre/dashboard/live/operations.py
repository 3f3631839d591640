"""Jobs, keys and the audit trail of a project."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from genre.dashboard import jobs
from genre.dashboard.desk import Desk, Done
from genre.dashboard.frame import Notice
from genre.dashboard.operations import AuditLine, Key, OperationsView, render_operations
from genre.serving.store import audit, keys
from genre.serving.store.audit import record

BACK = "/operations"
STARTABLE = {
    "learn from the log; serve it if not worse": ("update",),
    "learn from the log; publish and wait": ("update", "--wait"),
    "copy the store": ("backup",),
}
"""What may be started here, and the commands that do it; nothing else can be."""
PRIVATE = ("GENRE_DASHBOARD_SECRET", "PROMETHEUS_MULTIPROC_DIR", "GENRE_SERVE")
"""Of the server's environment, no business of a job."""


def fill(desk: Desk) -> OperationsView:
    """All three."""
    made, lines = desk.read(lambda connection: (keys.listed(connection), audit.newest(connection)))
    startable = tuple(STARTABLE) if desk.project.database.is_sqlite else tuple(name for name in STARTABLE if name != "copy the store")
    return OperationsView(
        desk.frame(), tuple(jobs.listed(desk.project.run)), startable, tuple(_key(line) for line in made), keys.SCOPES, "",
        tuple(AuditLine(line["time"], line["actor"], said(line)) for line in lines),
    )  # fmt: skip


def start_job(desk: Desk) -> Done:
    """One of those that may be started."""
    command = STARTABLE.get(desk["what"])
    if command is None:
        raise ValueError(f"there is no job {desk['what']!r}; there is {', '.join(STARTABLE)}")
    environment = {name: value for name, value in os.environ.items() if name not in PRIVATE}
    if desk.project.settings.database is not None:
        environment["GENRE_DATABASE"] = desk.project.settings.database  # not an argument: it may hold a password
    job_id = jobs.start(desk.project.run, desk["what"], [command[0], str(desk.project.run.resolve()), *command[1:]], environment)
    desk.write(lambda connection: record(connection, desk.who[0], "start job", job_id, desk.who[1], what=desk["what"]))
    return Done(BACK, Notice(f"Started: {desk['what']}. It goes on by itself; look again for how it does."))


def cancel_job(desk: Desk) -> Done:
    """End one that runs."""
    jobs.cancel(desk.project.run, desk["job"])
    desk.write(lambda connection: record(connection, desk.who[0], "cancel job", desk["job"], desk.who[1]))
    return Done(BACK, Notice(f"Cancelled {desk['job']}; what it had finished is kept."))


def make_key(desk: Desk) -> str:
    """The page with the new key on it: it is shown this once, and never kept in a cookie or an address."""
    name, scopes = desk["name"], desk.several.get("scopes", [])
    if not name or len(name) > 100 or not name.isprintable():
        raise ValueError("give the key a name of at most 100 characters, so that one knows later whose it is")
    _, token = desk.write(lambda connection: keys.create(connection, name, scopes, 100, *desk.who))
    return render_operations(replace(fill(desk), fresh_key=token))


def revoke_key(desk: Desk) -> Done:
    """Good for nothing from now on."""
    if not desk.write(lambda connection: keys.revoke(connection, desk["key"], *desk.who)):
        raise ValueError("there is no such key, or it is revoked already")
    return Done(BACK, Notice("Revoked: whoever uses the key is refused within two seconds."))


def said(line: dict[str, Any]) -> str:
    """One deed in words."""
    given = {name: ", ".join(map(str, value)) if isinstance(value, list) else value for name, value in (line["details"] or {}).items()}
    details = "; ".join(f"{name} {value}" for name, value in given.items() if value not in (None, ""))
    return f"{line['action']}{' ' + line['target'] if line['target'] else ''}{f' ({details})' if details else ''}"


def _key(line: dict[str, Any]) -> Key:
    return Key(line["key_id"], line["name"], f"genre-{line['key_id']}", tuple(line["scopes"]), line["created"], line["revoked"] is not None)
