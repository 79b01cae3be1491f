"""The names above what was seen, to find what a change of trust concerns."""

import sqlalchemy as sa
from alembic import op

from mutualgate.reading.files import names_in
from mutualgate.store.seen import UNKNOWN_NAME, split

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Those of what is there are read from it."""
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
    database = op.get_bind()
    for fingerprint, chain in database.execute(sa.text("SELECT fingerprint, chain FROM seen")).all():
        rows = [{"name": name, "fingerprint": fingerprint} for name in names_in(split(chain)) or (UNKNOWN_NAME,)]
        database.execute(sa.text("INSERT INTO seen_name (name, fingerprint) VALUES (:name, :fingerprint)"), rows)
