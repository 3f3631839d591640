"""Interleaved lists: which variant picked each item."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """A column, empty for all lists before."""
    op.add_column("exposures", sa.Column("teams", sa.Text))


def downgrade() -> None:
    """Without it."""
    op.drop_column("exposures", "teams")
