"""The audit log: who did what to the registry, the keys and the data."""

from __future__ import annotations

import time as clock
from typing import Any

import sqlalchemy as sa

from genre.serving.store.schema import audit


def record(
    connection: sa.Connection, actor: str, action: str, target: str | None = None, request_id: str | None = None, **details: Any
) -> None:
    """One line, in the transaction of the deed itself: neither is there without the other."""
    connection.execute(
        audit.insert(),
        {"time": clock.time(), "actor": actor, "action": action, "target": target, "details": details, "request_id": request_id},
    )


def newest(connection: sa.Connection, n: int = 100) -> list[dict[str, Any]]:
    """The last n lines, newest first."""
    return [dict(row) for row in connection.execute(sa.select(audit).order_by(audit.c.seq.desc()).limit(n)).mappings()]
