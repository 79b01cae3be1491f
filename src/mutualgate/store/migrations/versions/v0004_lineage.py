"""The pin that a certificate renews."""

import sqlalchemy as sa
from alembic import op

from mutualgate.store.types import Id

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Of those that are there, nobody knows."""
    op.add_column("credential", sa.Column("replaces_pin", Id, nullable=True))
