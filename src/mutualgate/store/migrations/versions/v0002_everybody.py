"""Invitations, pins, partners and their CAs, what was seen, foreign revocation, what is sent, changes of trust."""

import sqlalchemy as sa
from alembic import op

from mutualgate.store.types import Id, Moment

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """From the first tables."""
    with op.batch_alter_table("change") as change:
        change.alter_column("key", existing_type=sa.String(length=80), type_=sa.String(length=400), nullable=False)
    op.create_table(
        "outbox",
        sa.Column("id", Id, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("once", sa.String(length=160), nullable=True),
        sa.Column("created", Moment(), nullable=False),
        sa.Column("next_try", Moment(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("sent", Moment(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("once", name="uq_outbox_once"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_next_try", "outbox", ["next_try"], unique=False)
    op.create_index("ix_outbox_sent", "outbox", ["sent"], unique=False)
    op.create_table(
        "told",
        sa.Column("item", sa.String(length=160), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("item", name="pk_told"),
    )
    op.create_index("ix_told_at", "told", ["at"], unique=False)
    op.create_table(
        "seen",
        sa.Column("fingerprint", sa.LargeBinary(length=32), nullable=False),
        sa.Column("spki", sa.LargeBinary(length=32), nullable=True),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("site", sa.String(length=255), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("first_at", Moment(), nullable=False),
        sa.Column("last_at", Moment(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("admitted_at", Moment(), nullable=True),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("client", Id, nullable=True),
        sa.Column("credential", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("not_after", Moment(), nullable=True),
        sa.Column("peer", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_seen"),
    )
    op.create_index("ix_seen_client", "seen", ["client"], unique=False)
    op.create_index("ix_seen_last_at", "seen", ["last_at"], unique=False)
    op.create_index("ix_seen_not_after", "seen", ["not_after"], unique=False)
    op.create_index("ix_seen_spki", "seen", ["spki"], unique=False)
    op.create_table(
        "key_set",
        sa.Column("client", Id, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("private", sa.Integer(), nullable=False),
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("hold_seconds", sa.Integer(), nullable=False),
        sa.Column("every_seconds", sa.Integer(), nullable=False),
        sa.Column("created", Moment(), nullable=False),
        sa.Column("fetched", Moment(), nullable=True),
        sa.Column("next_fetch", Moment(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("left_out", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["client"], ["client.id"], name="fk_key_set_client"),
        sa.PrimaryKeyConstraint("client", name="pk_key_set"),
    )
    op.create_index("ix_key_set_next_fetch", "key_set", ["next_fetch"], unique=False)
    op.create_table(
        "published_key",
        sa.Column("id", Id, nullable=False),
        sa.Column("client", Id, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("material", sa.LargeBinary(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("since", Moment(), nullable=False),
        sa.Column("gone", Moment(), nullable=True),
        sa.Column("pin", Id, nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["client"], ["client.id"], name="fk_published_key_client"),
        sa.PrimaryKeyConstraint("id", name="pk_published_key"),
        sa.UniqueConstraint("client", "kind", "digest", name="uq_published_key_client_kind_digest"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_published_key_state", "published_key", ["state"], unique=False)
    op.create_table(
        "trust_change",
        sa.Column("id", Id, nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("by", sa.String(length=128), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("undo", sa.Text(), nullable=False),
        sa.Column("undone", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_trust_change"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "invitation",
        sa.Column("id", Id, nullable=False),
        sa.Column("client", Id, nullable=False),
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(length=32), nullable=True),
        sa.Column("factor_hash", sa.LargeBinary(length=32), nullable=True),
        sa.Column("ways", sa.String(length=128), nullable=False),
        sa.Column("validity_seconds", sa.Integer(), nullable=True),
        sa.Column("approval", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("by", sa.String(length=128), nullable=False),
        sa.Column("created", Moment(), nullable=False),
        sa.Column("expires", Moment(), nullable=False),
        sa.Column("sent_to", sa.Text(), nullable=False),
        sa.Column("wrong_factors", sa.Integer(), nullable=False),
        sa.Column("way", sa.String(length=16), nullable=True),
        sa.Column("submitted", sa.LargeBinary(), nullable=True),
        sa.Column("peer", sa.String(length=64), nullable=False),
        sa.Column("closed", Moment(), nullable=True),
        sa.Column("credential", Id, nullable=True),
        sa.Column("pin", Id, nullable=True),
        sa.Column("pin_kind", sa.String(length=16), nullable=True),
        sa.Column("replaces_pin", Id, nullable=True),
        sa.Column("partner", Id, nullable=True),
        sa.ForeignKeyConstraint(["client"], ["client.id"], name="fk_invitation_client"),
        sa.PrimaryKeyConstraint("id", name="pk_invitation"),
        sa.UniqueConstraint("code_hash", name="uq_invitation_code_hash"),
        sa.UniqueConstraint("token_hash", name="uq_invitation_token_hash"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_invitation_expires", "invitation", ["expires"], unique=False)
    op.create_index("ix_invitation_client", "invitation", ["client"], unique=False)
    op.create_index("ix_invitation_partner", "invitation", ["partner"], unique=False)
    op.create_index("ix_invitation_state", "invitation", ["state"], unique=False)
    op.create_table(
        "partner",
        sa.Column("id", Id, nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("name_key", sa.String(length=63), nullable=True),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("security_contact", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("admits", sa.String(length=16), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("client", Id, nullable=False),
        sa.Column("appoints", sa.Integer(), nullable=False),
        sa.Column("created", Moment(), nullable=False),
        sa.Column("profile", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["client"], ["client.id"], name="fk_partner_client"),
        sa.PrimaryKeyConstraint("id", name="pk_partner"),
        sa.UniqueConstraint("name_key", name="uq_partner_name_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_partner_client", "partner", ["client"], unique=False)
    op.create_table(
        "pin",
        sa.Column("id", Id, nullable=False),
        sa.Column("client", Id, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("spki", sa.LargeBinary(length=32), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("not_before", Moment(), nullable=False),
        sa.Column("not_after", Moment(), nullable=False),
        sa.Column("created", Moment(), nullable=False),
        sa.Column("retired", Moment(), nullable=True),
        sa.Column("replaces", Id, nullable=True),
        sa.ForeignKeyConstraint(["client"], ["client.id"], name="fk_pin_client"),
        sa.PrimaryKeyConstraint("id", name="pk_pin"),
        sa.UniqueConstraint("kind", "digest", name="uq_pin_kind_digest"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_pin_client", "pin", ["client"], unique=False)
    op.create_index("ix_pin_not_after", "pin", ["not_after"], unique=False)
    op.create_index("ix_pin_spki", "pin", ["spki"], unique=False)
    op.create_table(
        "anchor",
        sa.Column("id", Id, nullable=False),
        sa.Column("partner", Id, nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("spki", sa.LargeBinary(length=32), nullable=False),
        sa.Column("subject_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("shared", sa.Integer(), nullable=False),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("sub_cas", sa.Text(), nullable=False),
        sa.Column("environment", sa.String(length=32), nullable=False),
        sa.Column("not_before", Moment(), nullable=False),
        sa.Column("not_after", Moment(), nullable=False),
        sa.Column("expired_grace_seconds", sa.Integer(), nullable=False),
        sa.Column("retire_at", Moment(), nullable=True),
        sa.Column("created", Moment(), nullable=False),
        sa.Column("activated", Moment(), nullable=True),
        sa.Column("challenge", sa.String(length=64), nullable=True),
        sa.Column("challenge_expires", Moment(), nullable=True),
        sa.Column("approval", sa.Integer(), nullable=False),
        sa.Column("revocation", sa.String(length=16), nullable=False),
        sa.Column("grace_seconds", sa.Integer(), nullable=False),
        sa.Column("leaf_limit_seconds", sa.Integer(), nullable=False),
        sa.Column("policy", sa.String(length=128), nullable=False),
        sa.Column("hold", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["partner"], ["partner.id"], name="fk_anchor_partner"),
        sa.PrimaryKeyConstraint("id", name="pk_anchor"),
        sa.UniqueConstraint("partner", "spki", name="uq_anchor_partner_spki"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_anchor_not_after", "anchor", ["not_after"], unique=False)
    op.create_index("ix_anchor_revocation", "anchor", ["revocation"], unique=False)
    op.create_index("ix_anchor_partner", "anchor", ["partner"], unique=False)
    op.create_index("ix_anchor_spki", "anchor", ["spki"], unique=False)
    op.create_index("ix_anchor_state", "anchor", ["state"], unique=False)
    op.create_index("ix_anchor_subject_hash", "anchor", ["subject_hash"], unique=False)
    op.create_table(
        "seen_ca",
        sa.Column("anchor", Id, nullable=False),
        sa.Column("spki", sa.LargeBinary(length=32), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("first_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["anchor"], ["anchor.id"], name="fk_seen_ca_anchor"),
        sa.PrimaryKeyConstraint("anchor", "spki", name="pk_seen_ca"),
    )
    op.create_table(
        "intermediate",
        sa.Column("id", Id, nullable=False),
        sa.Column("partner", Id, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(length=32), nullable=False),
        sa.Column("subject_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("created", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["partner"], ["partner.id"], name="fk_intermediate_partner"),
        sa.PrimaryKeyConstraint("id", name="pk_intermediate"),
        sa.UniqueConstraint("partner", "fingerprint", name="uq_intermediate_partner_fingerprint"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_intermediate_subject_hash", "intermediate", ["subject_hash"], unique=False)
    op.create_table(
        "member",
        sa.Column("partner", Id, nullable=False),
        sa.Column("name", sa.String(length=320), nullable=False),
        sa.Column("client", Id, nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["client"], ["client.id"], name="fk_member_client"),
        sa.ForeignKeyConstraint(["partner"], ["partner.id"], name="fk_member_partner"),
        sa.PrimaryKeyConstraint("partner", "name", name="pk_member"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_member_client", "member", ["client"], unique=False)
    op.create_table(
        "foreign_crl",
        sa.Column("anchor", Id, nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("number", sa.LargeBinary(length=20), nullable=False),
        sa.Column("base_number", sa.LargeBinary(length=20), nullable=False),
        sa.Column("this_update", Moment(), nullable=False),
        sa.Column("next_update", Moment(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("fetched", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["anchor"], ["anchor.id"], name="fk_foreign_crl_anchor"),
        sa.PrimaryKeyConstraint("anchor", "scope", name="pk_foreign_crl"),
    )
    op.create_table(
        "foreign_revocation",
        sa.Column("anchor", Id, nullable=False),
        sa.Column("serial", sa.LargeBinary(length=20), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("reason", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["anchor"], ["anchor.id"], name="fk_foreign_revocation_anchor"),
        sa.PrimaryKeyConstraint("anchor", "serial", "scope", name="pk_foreign_revocation"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "name_rule",
        sa.Column("id", Id, nullable=False),
        sa.Column("partner", Id, nullable=False),
        sa.Column("anchor", Id, nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("pattern", sa.Text(), nullable=False),
        sa.Column("created", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["anchor"], ["anchor.id"], name="fk_name_rule_anchor"),
        sa.ForeignKeyConstraint(["partner"], ["partner.id"], name="fk_name_rule_partner"),
        sa.PrimaryKeyConstraint("id", name="pk_name_rule"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_name_rule_partner", "name_rule", ["partner"], unique=False)
    op.create_table(
        "ocsp_answer",
        sa.Column("anchor", Id, nullable=False),
        sa.Column("serial", sa.LargeBinary(length=20), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("this_update", Moment(), nullable=True),
        sa.Column("next_update", Moment(), nullable=True),
        sa.Column("next_ask", Moment(), nullable=False),
        sa.Column("ends", Moment(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["anchor"], ["anchor.id"], name="fk_ocsp_answer_anchor"),
        sa.PrimaryKeyConstraint("anchor", "serial", name="pk_ocsp_answer"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_ocsp_answer_ends", "ocsp_answer", ["ends"], unique=False)
    op.create_index("ix_ocsp_answer_next_ask", "ocsp_answer", ["next_ask"], unique=False)
    op.create_table(
        "revocation_source",
        sa.Column("id", Id, nullable=False),
        sa.Column("anchor", Id, nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("private", sa.Integer(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("modified", sa.Text(), nullable=False),
        sa.Column("created", Moment(), nullable=False),
        sa.Column("fetched", Moment(), nullable=True),
        sa.Column("next_fetch", Moment(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["anchor"], ["anchor.id"], name="fk_revocation_source_anchor"),
        sa.PrimaryKeyConstraint("id", name="pk_revocation_source"),
        sa.UniqueConstraint("anchor", "url", name="uq_revocation_source_anchor_url"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_revocation_source_next_fetch", "revocation_source", ["next_fetch"], unique=False)
    op.add_column("credential", sa.Column("replaces", Id, nullable=True))
    op.add_column("credential", sa.Column("superseded", Moment(), nullable=True))
    op.create_index("ix_client_state", "client", ["state"], unique=False)
    op.create_index("ix_credential_not_after", "credential", ["not_after"], unique=False)
    op.create_index("ix_credential_replaces", "credential", ["replaces"], unique=False)
    op.create_index("ix_credential_superseded", "credential", ["superseded"], unique=False)
