"""Experiments, and units that keep the variant they saw before they were merged."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Two tables and an index."""
    op.create_table(
        "experiments",
        sa.Column("name", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("changed", sa.Float, nullable=False),
        sa.Column("checked", sa.Float, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_experiments"),
    )
    op.create_table(
        "roots",
        sa.Column("unit", sa.String, nullable=False),
        sa.Column("root", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("unit", name="pk_roots"),
    )
    op.create_index("ix_roots_root", "roots", ["root"])
    op.create_index("uq_assignments_experiment_unit_variant", "assignments", ["experiment", "unit", "variant"], unique=True)


def downgrade() -> None:
    """Without them."""
    op.drop_index("uq_assignments_experiment_unit_variant", "assignments")
    op.drop_table("roots")
    op.drop_table("experiments")
