"""What policies chose by, and what they learnt while serving."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Three columns and a table."""
    for name, kind in (("head", sa.String), ("space", sa.String), ("features", sa.LargeBinary)):
        op.add_column("exposures", sa.Column(name, kind))
    op.create_table(
        "heads",
        sa.Column("head", sa.String, nullable=False),
        sa.Column("changed", sa.Float, nullable=False),
        sa.Column("learnt", sa.Text, nullable=False),
        sa.Column("items", sa.Text, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("head", name="pk_heads"),
    )


def downgrade() -> None:
    """Without them."""
    op.drop_table("heads")
    for name in ("features", "space", "head"):
        op.drop_column("exposures", name)
