"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# Frozen: a later change of a table is a later migration.
SEQ = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Every table and index."""
    op.create_table(
        "exposures",
        sa.Column("seq", SEQ, autoincrement=True, nullable=False),
        sa.Column("request_id", sa.String, nullable=False),
        sa.Column("time", sa.Float, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("unit", sa.String, nullable=False),
        sa.Column("user_id", sa.String),
        sa.Column("session_id", sa.String),
        sa.Column("surface", sa.String, nullable=False),
        sa.Column("variant", sa.String),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("policy", sa.String, nullable=False),
        sa.Column("item_ids", sa.Text, nullable=False),
        sa.Column("positions", sa.Text, nullable=False),
        sa.Column("propensities", sa.Text, nullable=False),
        sa.Column("scores", sa.Text, nullable=False),
        sa.Column("context", sa.Text, nullable=False),
        sa.Column("degraded", sa.Text, nullable=False),
        sa.Column("ms", sa.Float),
        sa.PrimaryKeyConstraint("seq", name="pk_exposures"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_exposures_unit_time", "exposures", ["unit", "time"])
    op.create_index("uq_exposures_request_id", "exposures", ["request_id"], unique=True)
    op.create_table(
        "events",
        sa.Column("seq", SEQ, autoincrement=True, nullable=False),
        sa.Column("event_id", sa.String, nullable=False),
        sa.Column("received", sa.Float, nullable=False),
        sa.Column("time", sa.Float, nullable=False),
        sa.Column("type", sa.String, nullable=False),
        sa.Column("unit", sa.String, nullable=False),
        sa.Column("user_id", sa.String),
        sa.Column("session_id", sa.String),
        sa.Column("item_id", sa.String),
        sa.Column("value", sa.Float),
        sa.Column("request_id", sa.String),
        sa.Column("position", sa.Integer),
        sa.Column("surface", sa.String),
        sa.Column("props", sa.Text),
        sa.PrimaryKeyConstraint("seq", name="pk_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_unit_time", "events", ["unit", "time"])
    op.create_index("uq_events_event_id", "events", ["event_id"], unique=True)
    op.create_table(
        "assignments",
        sa.Column("seq", SEQ, autoincrement=True, nullable=False),
        sa.Column("time", sa.Float, nullable=False),
        sa.Column("experiment", sa.String, nullable=False),
        sa.Column("unit", sa.String, nullable=False),
        sa.Column("variant", sa.String, nullable=False),
        sa.Column("surface", sa.String),
        sa.Column("request_id", sa.String),
        sa.PrimaryKeyConstraint("seq", name="pk_assignments"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_assignments_unit", "assignments", ["unit"])
    op.create_table(
        "catalogue",
        sa.Column("seq", SEQ, autoincrement=True, nullable=False),
        sa.Column("time", sa.Float, nullable=False),
        sa.Column("item_id", sa.String, nullable=False),
        sa.Column("change", sa.String, nullable=False),
        sa.Column("data", sa.Text),
        sa.PrimaryKeyConstraint("seq", name="pk_catalogue"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "items",
        sa.Column("item_id", sa.String, nullable=False),
        sa.Column("changed", sa.Float, nullable=False),
        sa.Column("data", sa.Text),
        sa.PrimaryKeyConstraint("item_id", name="pk_items"),
    )
    op.create_table(
        "users",
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("changed", sa.Float, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_users"),
    )
    op.create_table(
        "merges",
        sa.Column("unit", sa.String, nullable=False),
        sa.Column("into_unit", sa.String, nullable=False),
        sa.Column("time", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("unit", name="pk_merges"),
    )
    op.create_index("ix_merges_into_unit", "merges", ["into_unit"])
    op.create_table(
        "traces",
        sa.Column("request_id", sa.String, nullable=False),
        sa.Column("time", sa.Float, nullable=False),
        sa.Column("trace", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_traces"),
    )
    op.create_index("ix_traces_time", "traces", ["time"])
    op.create_table(
        "models",
        sa.Column("model", sa.String, nullable=False),
        sa.Column("path", sa.String, nullable=False),
        sa.Column("registered", sa.Float, nullable=False),
        sa.Column("manifest", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("model", name="pk_models"),
    )
    op.create_table(
        "roles",
        sa.Column("role", sa.String, nullable=False),
        sa.Column("model", sa.String),
        sa.Column("below", sa.Text, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("changed", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("role", name="pk_roles"),
    )
    op.create_table(
        "comparisons",
        sa.Column("seq", SEQ, autoincrement=True, nullable=False),
        sa.Column("time", sa.Float, nullable=False),
        sa.Column("request_id", sa.String, nullable=False),
        sa.Column("current", sa.String, nullable=False),
        sa.Column("shadow", sa.String, nullable=False),
        sa.Column("overlap", sa.Float, nullable=False),
        sa.Column("same_first", sa.Boolean, nullable=False),
        sa.Column("current_ms", sa.Float, nullable=False),
        sa.Column("shadow_ms", sa.Float, nullable=False),
        sa.Column("failed", sa.String),
        sa.PrimaryKeyConstraint("seq", name="pk_comparisons"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_comparisons_shadow", "comparisons", ["shadow"])
    op.create_table(
        "keys",
        sa.Column("key_id", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("per_second", sa.Float, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("revoked", sa.Float),
        sa.PrimaryKeyConstraint("key_id", name="pk_keys"),
    )
    op.create_table(
        "audit",
        sa.Column("seq", SEQ, autoincrement=True, nullable=False),
        sa.Column("time", sa.Float, nullable=False),
        sa.Column("actor", sa.String, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("target", sa.String),
        sa.Column("details", sa.Text),
        sa.Column("request_id", sa.String),
        sa.PrimaryKeyConstraint("seq", name="pk_audit"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "archived",
        sa.Column("log", sa.String, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("log", name="pk_archived"),
    )


def downgrade() -> None:
    """Nothing is left."""
    for table in (
        "exposures",
        "events",
        "assignments",
        "catalogue",
        "items",
        "users",
        "merges",
        "traces",
        "models",
        "roles",
        "comparisons",
        "keys",
        "audit",
        "archived",
    ):
        op.drop_table(table)
