"""Which keys somebody else has: of those that were only pinned, no revocation says so."""

import sqlalchemy as sa
from alembic import op

from mutualgate.store.types import Moment

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Why the pins that are there were retired, nobody knows."""
    op.add_column("key_owner", sa.Column("compromised", Moment(), nullable=True))
