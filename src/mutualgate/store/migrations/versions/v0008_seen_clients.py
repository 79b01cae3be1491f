"""When what was seen of a client was last shown, in the index of clients: to count those of the last days."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """The index is made anew."""
    op.drop_index("ix_seen_client", "seen")
    op.create_index("ix_seen_client", "seen", ["client", "last_at"])
