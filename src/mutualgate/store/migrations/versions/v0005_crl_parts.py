"""Revocation lists in parts, which are written one by one."""

import sqlalchemy as sa
from alembic import op

from mutualgate.store.types import Id

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Those that are there have one part."""
    op.create_table(
        "crl_part",
        sa.Column("authority", Id, nullable=False),
        sa.Column("edition", sa.BigInteger(), nullable=False),
        sa.Column("begins", sa.Integer(), nullable=False),
        sa.Column("after", sa.BigInteger(), nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["authority"], ["authority.id"], name="fk_crl_part_authority"),
        sa.PrimaryKeyConstraint("authority", "edition", "begins", name="pk_crl_part"),
    )
    op.execute(
        "INSERT INTO crl_part (authority, edition, begins, after, octets)"
        " SELECT authority, 1, 0, 0, der FROM crl WHERE length(der) > 0"
    )
    op.add_column("crl", sa.Column("edition", sa.BigInteger(), nullable=False, server_default="1"))
    with op.batch_alter_table("crl") as table:
        table.alter_column("edition", server_default=None)
        table.drop_column("der")
