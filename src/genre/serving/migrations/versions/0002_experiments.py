"""Experiments behind the API, and of which one a list was."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """A table, and a column of the exposures with an index that holds only lists of experiments."""
    op.create_table(
        "experiments",
        sa.Column("experiment", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("started", sa.Float, nullable=False),
        sa.Column("checked", sa.Float, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("experiment", name="pk_experiments"),
    )
    op.add_column("exposures", sa.Column("experiment", sa.String))
    taken = sa.text("experiment IS NOT NULL")
    op.create_index("ix_exposures_experiment_seq", "exposures", ["experiment", "seq"], sqlite_where=taken, postgresql_where=taken)


def downgrade() -> None:
    """As before."""
    op.drop_index("ix_exposures_experiment_seq", "exposures")
    op.drop_column("exposures", "experiment")
    op.drop_table("experiments")
