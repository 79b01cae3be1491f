"""The names inside partners by which what was seen may go, to find what a change of one client concerns."""

import sqlalchemy as sa
from alembic import op

from mutualgate.partners.names import hashes_in
from mutualgate.store.seen import UNKNOWN_NAME, split

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Those of what is there are read from it, some at a time: there may be 100,000, and a chain has up to 32 KiB."""
    database = op.get_bind()
    op.execute("DELETE FROM seen_name")
    add = sa.text("INSERT INTO seen_name (name, fingerprint) VALUES (:name, :fingerprint)")
    for part in database.execute(sa.text("SELECT fingerprint, chain FROM seen")).partitions(500):
        rows = [
            {"name": name, "fingerprint": fingerprint}
            for fingerprint, chain in part
            for name in hashes_in(split(chain)) or (UNKNOWN_NAME,)
        ]
        database.execute(add, rows)
