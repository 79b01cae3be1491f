"""How many CAs may stand below an authority."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Those that are there say it by their certificates alone."""
    op.add_column("authority", sa.Column("depth", sa.Integer(), nullable=True))
