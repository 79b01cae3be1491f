"""Whose key signed what was seen, as the gate tells it from now on: tried changes verify it no more."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """What was seen before has none until it is shown again."""
    op.add_column("seen", sa.Column("signer", sa.LargeBinary(32)))
