"""The names above what was seen, to find what a change of trust concerns."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """The names of what is there are read from it by the next one, which looks for more of them."""
    op.create_table(
        "seen_name",
        sa.Column("name", sa.LargeBinary(length=32), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("name", "fingerprint", name="pk_seen_name"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_seen_name_fingerprint", "seen_name", ["fingerprint"], unique=False)
    op.drop_index("ix_seen_last_at", "seen")
    op.create_index("ix_seen_last_at", "seen", ["last_at", "client"], unique=False)
