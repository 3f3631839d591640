"""The tables of a project: what was shown, what was done, who was assigned to what, how the catalogue changed, and who may ask."""

from __future__ import annotations

from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy import Column, Float, Index, Integer, String, Table


class Json(sa.types.TypeDecorator[Any]):
    """A JSON value as text: the same bytes in every database, NUL characters escaped."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        """A value to text; None stays NULL."""
        return None if value is None else orjson.dumps(value).decode()

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        """Text to a value."""
        return None if value is None else orjson.loads(value)


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _seq() -> Column[int]:
    # The order of commits too: writers take turns (see database.py), so a reader that remembers the last seq misses nothing.
    return Column("seq", sa.BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)


# The four logs. Rows are only ever added, archived, or erased because a person asked for it.

exposures = Table(
    "exposures", metadata, _seq(),
    Column("request_id", String, nullable=False),
    Column("time", Float, nullable=False),
    Column("kind", String, nullable=False),
    Column("unit", String, nullable=False),
    Column("user_id", String),
    Column("session_id", String),
    Column("surface", String, nullable=False),
    Column("variant", String),
    Column("model", String, nullable=False),
    Column("policy", String, nullable=False),
    Column("item_ids", Json, nullable=False),
    Column("positions", Json, nullable=False),
    Column("propensities", Json, nullable=False),
    Column("scores", Json, nullable=False),
    Column("context", Json, nullable=False),
    Column("degraded", Json, nullable=False),
    Column("ms", Float),
    Column("teams", Json),
    Column("head", String),
    Column("space", String),
    Column("features", sa.LargeBinary),
    Index("uq_exposures_request_id", "request_id", unique=True),
    Index("ix_exposures_unit_time", "unit", "time"),
    sqlite_autoincrement=True,
)  # fmt: skip
"""Lists shown. `unit` is what experiments randomise and histories belong to: `user:ID`, `session:ID` or `anonymous`; `teams` of an
interleaved list are the variants that picked its items. The last three are what a policy that learns chose by (see `contract.Noted`)."""

events = Table(
    "events", metadata, _seq(),
    Column("event_id", String, nullable=False),
    Column("received", Float, nullable=False),
    Column("time", Float, nullable=False),
    Column("type", String, nullable=False),
    Column("unit", String, nullable=False),
    Column("user_id", String),
    Column("session_id", String),
    Column("item_id", String),
    Column("value", Float),
    Column("request_id", String),
    Column("position", Integer),
    Column("surface", String),
    Column("props", Json),
    Index("uq_events_event_id", "event_id", unique=True),
    Index("ix_events_unit_time", "unit", "time"),
    sqlite_autoincrement=True,
)  # fmt: skip
"""What people did. `time` is when the caller says it happened, `received` when we heard of it."""

assignments = Table(
    "assignments", metadata, _seq(),
    Column("time", Float, nullable=False),
    Column("experiment", String, nullable=False),
    Column("unit", String, nullable=False),
    Column("variant", String, nullable=False),
    Column("surface", String),
    Column("request_id", String),
    Index("ix_assignments_unit", "unit"),
    Index("uq_assignments_experiment_unit_variant", "experiment", "unit", "variant", unique=True),
    sqlite_autoincrement=True,
)  # fmt: skip
"""Who saw which variant of which experiment, a line at the first show."""

catalogue = Table(
    "catalogue", metadata, _seq(),
    Column("time", Float, nullable=False),
    Column("item_id", String, nullable=False),
    Column("change", String, nullable=False),
    Column("data", Json),
    sqlite_autoincrement=True,
)  # fmt: skip
"""Changes of items, in order: `upsert` and `patch` with the item as it is afterwards, `delete` without."""

LOGS = {"exposures": exposures, "events": events, "assignments": assignments, "catalogue": catalogue}

# What is true now.

items = Table(
    "items", metadata,
    Column("item_id", String, primary_key=True),
    Column("changed", Float, nullable=False),
    Column("data", Json),
)  # fmt: skip
"""The catalogue's items that the API was told of, as they are now; a deleted one is kept without `data`."""

users = Table(
    "users", metadata,
    Column("user_id", String, primary_key=True),
    Column("changed", Float, nullable=False),
    Column("data", Json, nullable=False),
)  # fmt: skip

merges = Table(
    "merges", metadata,
    Column("unit", String, primary_key=True),
    Column("into_unit", String, nullable=False),
    Column("time", Float, nullable=False),
    Index("ix_merges_into_unit", "into_unit"),
)  # fmt: skip
"""Units that turned out to be the same person; `into_unit` is never itself a `unit` here."""

traces = Table(
    "traces", metadata,
    Column("request_id", String, primary_key=True),
    Column("time", Float, nullable=False),
    Column("trace", sa.LargeBinary, nullable=False),
    Index("ix_traces_time", "time"),
)  # fmt: skip
"""Why a list looked as it did: candidates, drops, scores by stage, as compressed JSON, kept for days rather than years."""

models = Table(
    "models", metadata,
    Column("model", String, primary_key=True),
    Column("path", String, nullable=False),
    Column("registered", Float, nullable=False),
    Column("manifest", Json, nullable=False),
)  # fmt: skip

roles = Table(
    "roles", metadata,
    Column("role", String, primary_key=True),
    Column("model", String),
    Column("below", Json, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("changed", Float, nullable=False),
)  # fmt: skip
"""Which model is `current` and which is `shadow`; `below` is the stack that a rollback goes down."""

heads = Table(
    "heads", metadata,
    Column("head", String, primary_key=True),
    Column("changed", Float, nullable=False),
    Column("learnt", Json, nullable=False),
    Column("items", Json, nullable=False),
    Column("state", sa.LargeBinary, nullable=False),
)  # fmt: skip
"""What policies have learnt while serving, `MODEL/SURFACE/HASH`, and how far into the logs; the rest is learnt again from there."""

comparisons = Table(
    "comparisons", metadata, _seq(),
    Column("time", Float, nullable=False),
    Column("request_id", String, nullable=False),
    Column("current", String, nullable=False),
    Column("shadow", String, nullable=False),
    Column("overlap", Float, nullable=False),
    Column("same_first", sa.Boolean, nullable=False),
    Column("current_ms", Float, nullable=False),
    Column("shadow_ms", Float, nullable=False),
    Column("failed", String),
    Index("ix_comparisons_shadow", "shadow"),
    sqlite_autoincrement=True,
)  # fmt: skip
"""What the shadow would have shown beside what was shown."""

experiments = Table(
    "experiments", metadata,
    Column("name", String, primary_key=True),
    Column("status", String, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("changed", Float, nullable=False),
    Column("checked", Float, nullable=False),
    Column("state", Json, nullable=False),
)  # fmt: skip
"""Experiments as `genre.experiments.state` has them; `checked` is when a worker last took it upon itself to look at the guardrails."""

roots = Table(
    "roots", metadata,
    Column("unit", String, primary_key=True),
    Column("root", String, nullable=False),
    Index("ix_roots_root", "root"),
)  # fmt: skip
"""Merged units that are assigned by another's id, which was shown an experiment first; `root` is never itself a `unit` here."""

keys = Table(
    "keys", metadata,
    Column("key_id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("hash", String, nullable=False),
    Column("scopes", Json, nullable=False),
    Column("per_second", Float, nullable=False),
    Column("created", Float, nullable=False),
    Column("revoked", Float),
)  # fmt: skip

audit = Table(
    "audit", metadata, _seq(),
    Column("time", Float, nullable=False),
    Column("actor", String, nullable=False),
    Column("action", String, nullable=False),
    Column("target", String),
    Column("details", Json),
    Column("request_id", String),
    sqlite_autoincrement=True,
)  # fmt: skip
"""Who did what, and when."""

archived = Table(
    "archived", metadata,
    Column("log", String, primary_key=True),
    Column("seq", sa.BigInteger, nullable=False),
)  # fmt: skip
"""How far each log has been copied to Parquet."""
