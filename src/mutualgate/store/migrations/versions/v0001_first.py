"""The first tables."""

import sqlalchemy as sa
from alembic import op

from mutualgate.store.types import Id, Moment

revision = "0001"
down_revision = None


def upgrade() -> None:
    """From nothing."""
    op.create_table(
        "audit",
        sa.Column("number", Id, nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("by", sa.String(length=128), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=256), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("previous", sa.LargeBinary(length=32), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit"),
    )
    op.create_index("ix_audit_subject", "audit", ["subject"], unique=False)
    op.create_table(
        "change",
        sa.Column("seq", Id, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("key", sa.String(length=80), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_change"),
    )
    op.create_table(
        "client",
        sa.Column("id", Id, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=True),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_client"),
        sa.UniqueConstraint("name_key", name="uq_client_name_key"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "feed",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("epoch", Id, nullable=False),
        sa.Column("oldest", Id, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_feed"),
    )
    op.create_table(
        "refusal",
        sa.Column("number", Id, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("site", sa.String(length=255), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("peer", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(length=32), nullable=True),
        sa.Column("client", Id, nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_refusal"),
        sa.UniqueConstraint("id", name="uq_refusal_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "setting",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_setting"),
    )
    op.create_table(
        "authority",
        sa.Column("id", Id, nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("admits", sa.String(length=16), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("spki", sa.LargeBinary(length=32), nullable=False),
        sa.Column("estate", Id, nullable=True),
        sa.Column("issuer", Id, nullable=True),
        sa.Column("not_after", Moment(), nullable=False),
        sa.Column("created", Moment(), nullable=False),
        sa.Column("revoked_epoch", Id, nullable=False),
        sa.ForeignKeyConstraint(["estate"], ["client.id"], name="fk_authority_estate"),
        sa.ForeignKeyConstraint(["issuer"], ["authority.id"], name="fk_authority_issuer"),
        sa.PrimaryKeyConstraint("id", name="pk_authority"),
        sa.UniqueConstraint("certificate", name="uq_authority_certificate"),
        sa.UniqueConstraint("name", name="uq_authority_name"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_authority_spki", "authority", ["spki"], unique=False)
    op.create_table(
        "client_role",
        sa.Column("client", Id, nullable=False),
        sa.Column("role", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["client"], ["client.id"], name="fk_client_role_client"),
        sa.PrimaryKeyConstraint("client", "role", name="pk_client_role"),
    )
    op.create_index("ix_client_role_role", "client_role", ["role"], unique=False)
    op.create_table(
        "key_owner",
        sa.Column("spki", sa.LargeBinary(length=32), nullable=False),
        sa.Column("client", Id, nullable=False),
        sa.ForeignKeyConstraint(["client"], ["client.id"], name="fk_key_owner_client"),
        sa.PrimaryKeyConstraint("spki", name="pk_key_owner"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "authority_key",
        sa.Column("authority", Id, nullable=False),
        sa.Column("encrypted", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["authority"], ["authority.id"], name="fk_authority_key_authority"),
        sa.PrimaryKeyConstraint("authority", name="pk_authority_key"),
    )
    op.create_table(
        "credential",
        sa.Column("id", Id, nullable=False),
        sa.Column("client", Id, nullable=False),
        sa.Column("authority", Id, nullable=False),
        sa.Column("serial", sa.LargeBinary(length=20), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(length=32), nullable=False),
        sa.Column("spki", sa.LargeBinary(length=32), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("not_before", Moment(), nullable=False),
        sa.Column("not_after", Moment(), nullable=False),
        sa.Column("created", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["authority"], ["authority.id"], name="fk_credential_authority"),
        sa.ForeignKeyConstraint(["client"], ["client.id"], name="fk_credential_client"),
        sa.PrimaryKeyConstraint("id", name="pk_credential"),
        sa.UniqueConstraint("fingerprint", name="uq_credential_fingerprint"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_credential_authority_serial", "credential", ["authority", "serial"], unique=False)
    op.create_index("ix_credential_spki", "credential", ["spki"], unique=False)
    op.create_index("ix_credential_client", "credential", ["client"], unique=False)
    op.create_index(
        "uq_credential_issued",
        "credential",
        ["authority", "serial"],
        unique=True,
        sqlite_where=sa.text("origin = 'issued'"),
    )
    op.create_table(
        "crl",
        sa.Column("authority", Id, nullable=False),
        sa.Column("number", sa.LargeBinary(length=20), nullable=False),
        sa.Column("this_update", Moment(), nullable=False),
        sa.Column("next_update", Moment(), nullable=False),
        sa.Column("epoch", Id, nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["authority"], ["authority.id"], name="fk_crl_authority"),
        sa.PrimaryKeyConstraint("authority", name="pk_crl"),
    )
    op.create_table(
        "revocation",
        sa.Column("authority", Id, nullable=False),
        sa.Column("serial", sa.LargeBinary(length=20), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("reason", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["authority"], ["authority.id"], name="fk_revocation_authority"),
        sa.PrimaryKeyConstraint("authority", "serial", name="pk_revocation"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "serial",
        sa.Column("authority", Id, nullable=False),
        sa.Column("serial", sa.LargeBinary(length=20), nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["authority"], ["authority.id"], name="fk_serial_authority"),
        sa.PrimaryKeyConstraint("authority", "serial", name="pk_serial"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "certificate",
        sa.Column("credential", Id, nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["credential"], ["credential.id"], name="fk_certificate_credential"),
        sa.PrimaryKeyConstraint("credential", name="pk_certificate"),
    )
    op.bulk_insert(
        sa.table("feed", sa.column("id"), sa.column("epoch"), sa.column("oldest")),
        [{"id": 1, "epoch": 0, "oldest": 0}],
    )
