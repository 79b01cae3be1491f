"""The tables, as they are at the newest version. A change here needs a migration; a test compares the two.

Portable SQL only: what a dialect wants for itself is in `sqlite`.
"""

from functools import cache

import sqlalchemy
from sqlalchemy import Column, ForeignKey, Index, MetaData, Table, UniqueConstraint, text

from mutualgate.store import types
from mutualgate.store.types import Id

VERSIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011", "0012")
"""The versions that this program knows, oldest first: the revisions in `migrations/versions`."""

# One object of each type: for each object it is worked out anew what it is in the database at hand.
Integer, BigInteger, Text, Moment = sqlalchemy.Integer(), sqlalchemy.BigInteger(), sqlalchemy.Text(), types.Moment()
String, LargeBinary = cache(sqlalchemy.String), cache(sqlalchemy.LargeBinary)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

client = Table(
    "client",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(64), nullable=False),
    # NULL once the client is gone: unique over those who are not, in every database.
    Column("name_key", Text, unique=True),
    Column("contact", Text, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("created", Moment, nullable=False),
    sqlite_autoincrement=True,  # an id that was somebody's never becomes somebody else's
)

client_role = Table(
    "client_role",
    metadata,
    Column("client", Id, ForeignKey("client.id"), primary_key=True),
    Column("role", String(64), primary_key=True),
    # By which those who have a role are found in the order of clients.
    Index("ix_client_role_role", "role", "client"),
)

authority = Table(
    "authority",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(63), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("admits", String(16), nullable=False),
    Column("certificate", LargeBinary(), nullable=False, unique=True),
    Column("spki", LargeBinary(32), nullable=False, index=True),
    Column("estate", Id, ForeignKey("client.id")),
    Column("issuer", Id, ForeignKey("authority.id")),
    Column("not_after", Moment, nullable=False),
    Column("created", Moment, nullable=False),
    Column("revoked_epoch", Id, nullable=False),
    Column("depth", Integer),
    sqlite_autoincrement=True,
)

authority_key = Table(
    "authority_key",
    metadata,
    Column("authority", Id, ForeignKey("authority.id"), primary_key=True),
    Column("encrypted", LargeBinary(), nullable=False),
)

credential = Table(
    "credential",
    metadata,
    Column("id", Id, primary_key=True),
    Column("client", Id, ForeignKey("client.id"), nullable=False, index=True),
    Column("authority", Id, ForeignKey("authority.id"), nullable=False),
    Column("serial", LargeBinary(20), nullable=False),
    Column("fingerprint", LargeBinary(32), nullable=False, unique=True),
    Column("spki", LargeBinary(32), nullable=False, index=True),
    Column("origin", String(16), nullable=False),
    Column("not_before", Moment, nullable=False),
    Column("not_after", Moment, nullable=False, index=True),
    Column("created", Moment, nullable=False),
    # The credential, or the pin, that this one renews: the lineage.
    Column("replaces", Id, index=True),
    Column("replaces_pin", Id),
    # From when it counts no more, because another one renews it; NULL otherwise, and once it is revoked.
    Column("superseded", Moment, index=True),
    Index("ix_credential_authority_serial", "authority", "serial"),
    # An adopted authority may have given a number twice; what we issue never has one that is in use.
    Index(
        "uq_credential_issued",
        "authority",
        "serial",
        unique=True,
        sqlite_where=text("origin = 'issued'"),
    ),
    sqlite_autoincrement=True,
)

# Apart from `credential`, so that a walk over a million credentials does not read a million certificates.
certificate = Table(
    "certificate",
    metadata,
    Column("credential", Id, ForeignKey("credential.id"), primary_key=True),
    Column("der", LargeBinary(), nullable=False),
)

key_owner = Table(
    "key_owner",
    metadata,
    Column("spki", LargeBinary(32), primary_key=True),
    Column("client", Id, ForeignKey("client.id"), nullable=False),
    # When a pin of it was revoked because somebody else has the key. Of certificates, their revocations say so.
    Column("compromised", Moment),
    sqlite_with_rowid=False,
)

# Every number that an authority of ours gave away or is known to have given, whatever for.
serial = Table(
    "serial",
    metadata,
    Column("authority", Id, ForeignKey("authority.id"), primary_key=True),
    Column("serial", LargeBinary(20), primary_key=True),
    Column("purpose", String(16), nullable=False),
    Column("at", Moment, nullable=False),
    sqlite_with_rowid=False,
)

revocation = Table(
    "revocation",
    metadata,
    Column("authority", Id, ForeignKey("authority.id"), primary_key=True),
    Column("serial", LargeBinary(20), primary_key=True),
    Column("at", Moment, nullable=False),
    Column("reason", Integer, nullable=False),
    sqlite_with_rowid=False,
)

crl = Table(
    "crl",
    metadata,
    Column("authority", Id, ForeignKey("authority.id"), primary_key=True),
    Column("number", LargeBinary(20), nullable=False),
    Column("this_update", Moment, nullable=False),
    Column("next_update", Moment, nullable=False),
    Column("epoch", Id, nullable=False),
    Column("edition", BigInteger, nullable=False),
)

# A list itself. One of many MB is written part by part before it is in force, so that others can write meanwhile.
crl_part = Table(
    "crl_part",
    metadata,
    Column("authority", Id, ForeignKey("authority.id"), primary_key=True),
    # Which list it belongs to: a random number, since two processes may make the next one at once.
    Column("edition", BigInteger, primary_key=True),
    Column("begins", Integer, primary_key=True),
    # The edition that it is to follow. What is neither in force nor would follow that is of no use any more.
    Column("after", BigInteger, nullable=False),
    Column("octets", LargeBinary(), nullable=False),
)

# One row, which every change counts up: numbers come in the order of commits and without gaps, which a sequence or an
# autoincrement does not promise where transactions run side by side.
feed = Table(
    "feed",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("epoch", Id, nullable=False),
    Column("oldest", Id, nullable=False),
)

change = Table(
    "change",
    metadata,
    Column("seq", Id, primary_key=True),
    Column("kind", String(16), nullable=False),
    # The longest is a member's: its partner's id and its name.
    Column("key", String(400), nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("number", Id, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("by", String(128), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(256), nullable=False),
    Column("facts", Text, nullable=False),
    Column("previous", LargeBinary(32), nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Index("ix_audit_subject", "subject"),
)

refusal = Table(
    "refusal",
    metadata,
    Column("number", Id, primary_key=True),
    Column("id", String(32), nullable=False),
    Column("at", Moment, nullable=False),
    Column("reason", String(32), nullable=False),
    Column("detail", Text, nullable=False),
    Column("site", String(255), nullable=False),
    Column("path", Text, nullable=False),
    Column("peer", String(64), nullable=False),
    Column("subject", Text, nullable=False),
    Column("fingerprint", LargeBinary(32)),
    Column("client", Id),
    UniqueConstraint("id"),
    sqlite_autoincrement=True,
)

setting = Table(
    "setting",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

# Only hashes of what opens an invitation are kept: who reads the store cannot use it.
invitation = Table(
    "invitation",
    metadata,
    Column("id", Id, primary_key=True),
    Column("client", Id, ForeignKey("client.id"), nullable=False, index=True),
    Column("token_hash", LargeBinary(32), nullable=False, unique=True),
    Column("code_hash", LargeBinary(32), unique=True),
    Column("factor_hash", LargeBinary(32)),
    Column("ways", String(128), nullable=False),
    Column("validity_seconds", Integer),
    Column("approval", Integer, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("by", String(128), nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment, nullable=False, index=True),
    Column("sent_to", Text, nullable=False),
    Column("wrong_factors", Integer, nullable=False),
    # What was handed in and waits for approval, or was accepted: how, the CSR or certificate, from where, when.
    Column("way", String(16)),
    Column("submitted", LargeBinary()),
    Column("peer", String(64), nullable=False),
    Column("closed", Moment),
    Column("credential", Id),
    Column("pin", Id),
    # Whether a certificate that was handed in is to be pinned whole or by its key.
    Column("pin_kind", String(16)),
    # The pin that what comes out of it takes the place of.
    Column("replaces_pin", Id),
    # The partner whose administrator made it: what comes out of it counts as long as the client is that partner's.
    Column("partner", Id, index=True),
    sqlite_autoincrement=True,
)

# A client's own certificate or key, accepted as it is. Never an issuer.
pin = Table(
    "pin",
    metadata,
    Column("id", Id, primary_key=True),
    Column("client", Id, ForeignKey("client.id"), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("spki", LargeBinary(32), nullable=False, index=True),
    Column("certificate", LargeBinary()),
    Column("subject", Text, nullable=False),
    Column("environment", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("not_before", Moment, nullable=False),
    Column("not_after", Moment, nullable=False, index=True),
    Column("created", Moment, nullable=False),
    Column("retired", Moment),
    Column("replaces", Id),
    UniqueConstraint("kind", "digest"),
    sqlite_autoincrement=True,
)

# Where a client publishes its keys, if it does (RFC 7517), and how that is taken.
key_set = Table(
    "key_set",
    metadata,
    Column("client", Id, ForeignKey("client.id"), primary_key=True),
    Column("url", Text, nullable=False),
    Column("private", Integer, nullable=False),
    Column("environment", String(32), nullable=False),
    Column("hold_seconds", Integer, nullable=False),
    Column("every_seconds", Integer, nullable=False),
    Column("created", Moment, nullable=False),
    Column("fetched", Moment),
    Column("next_fetch", Moment, nullable=False, index=True),
    Column("failures", Integer, nullable=False),
    Column("error", Text, nullable=False),
    # What of the set could not be used, a sentence in each line.
    Column("left_out", Text, nullable=False),
)

# A key that a client published, and what became of it. Not a pin, and told to no judge: it may be one later.
published_key = Table(
    "published_key",
    metadata,
    Column("id", Id, primary_key=True),
    Column("client", Id, ForeignKey("client.id"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    # The certificate or the SubjectPublicKeyInfo, DER.
    Column("material", LargeBinary(), nullable=False),
    Column("label", Text, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    # Since when it stands in the set without a break; when it left.
    Column("since", Moment, nullable=False),
    Column("gone", Moment),
    Column("pin", Id),
    Column("detail", Text, nullable=False),
    UniqueConstraint("client", "kind", "digest"),
    sqlite_autoincrement=True,
)

partner = Table(
    "partner",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(63), nullable=False),
    Column("name_key", String(63), unique=True),
    Column("contact", Text, nullable=False),
    Column("security_contact", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("admits", String(16), nullable=False),
    # Roles that its clients are given, separated by commas.
    Column("roles", Text, nullable=False),
    # The client that a certificate under its rule stands for until its own client is recorded.
    Column("client", Id, ForeignKey("client.id"), nullable=False, index=True),
    # Whether its administrators may make further ones.
    Column("appoints", Integer, nullable=False),
    Column("created", Moment, nullable=False),
    # By what its clients are known.
    Column("profile", String(16), nullable=False),
    sqlite_autoincrement=True,
)

# A partner's CA. Its key identifies it; equal subject names are legal.
anchor = Table(
    "anchor",
    metadata,
    Column("id", Id, primary_key=True),
    Column("partner", Id, ForeignKey("partner.id"), nullable=False, index=True),
    Column("certificate", LargeBinary(), nullable=False),
    Column("spki", LargeBinary(32), nullable=False, index=True),
    Column("subject_hash", LargeBinary(32), nullable=False, index=True),
    Column("subject", Text, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("shared", Integer, nullable=False),
    # Further CAs that may stand between it and a client, and which: SHA-256 of their keys, hex, separated by commas.
    Column("depth", Integer, nullable=False),
    Column("sub_cas", Text, nullable=False),
    Column("environment", String(32), nullable=False),
    Column("not_before", Moment, nullable=False),
    Column("not_after", Moment, nullable=False, index=True),
    Column("expired_grace_seconds", Integer, nullable=False),
    Column("retire_at", Moment),
    Column("created", Moment, nullable=False),
    Column("activated", Moment),
    # What a certificate under it has to say to prove that the partner controls it.
    Column("challenge", String(64)),
    Column("challenge_expires", Moment),
    # Whether an operator has to say yes once it is proved: the partner itself claimed it.
    Column("approval", Integer, nullable=False),
    Column("revocation", String(16), nullable=False, index=True),
    Column("grace_seconds", Integer, nullable=False),
    Column("leaf_limit_seconds", Integer, nullable=False),
    # The certificate policy that all below it has to be issued under: dots; empty for none.
    Column("policy", String(128), nullable=False),
    # Whether a CA below it that is not listed waits until somebody allows it.
    Column("hold", Integer, nullable=False),
    UniqueConstraint("partner", "spki"),
    sqlite_autoincrement=True,
)

# CAs that were seen between a partner's CA, which signed them, and clients.
seen_ca = Table(
    "seen_ca",
    metadata,
    Column("anchor", Id, ForeignKey("anchor.id"), primary_key=True),
    Column("spki", LargeBinary(32), primary_key=True),
    Column("certificate", LargeBinary(), nullable=False),
    Column("subject", Text, nullable=False),
    Column("first_at", Moment, nullable=False),
)

# What a partner may vouch for. Without a rule, nothing. With `anchor`, for that CA alone.
name_rule = Table(
    "name_rule",
    metadata,
    Column("id", Id, primary_key=True),
    Column("partner", Id, ForeignKey("partner.id"), nullable=False, index=True),
    Column("anchor", Id, ForeignKey("anchor.id")),
    Column("kind", String(16), nullable=False),
    Column("pattern", Text, nullable=False),
    Column("created", Moment, nullable=False),
    sqlite_autoincrement=True,
)

# CA certificates of a partner that help to build a path when a client sends its leaf only. Not trusted themselves.
intermediate = Table(
    "intermediate",
    metadata,
    Column("id", Id, primary_key=True),
    Column("partner", Id, ForeignKey("partner.id"), nullable=False),
    Column("fingerprint", LargeBinary(32), nullable=False),
    Column("subject_hash", LargeBinary(32), nullable=False, index=True),
    Column("certificate", LargeBinary(), nullable=False),
    Column("created", Moment, nullable=False),
    UniqueConstraint("partner", "fingerprint"),
    sqlite_autoincrement=True,
)

# A client inside a partner, by the name that the partner's CA gives it.
member = Table(
    "member",
    metadata,
    Column("partner", Id, ForeignKey("partner.id"), primary_key=True),
    Column("name", String(320), primary_key=True),
    Column("client", Id, ForeignKey("client.id"), index=True),
    Column("state", String(16), nullable=False),
    Column("created", Moment, nullable=False),
    # In the order of their names: of a partner with very many, few wait, and none may.
    Index("ix_member_partner_state", "partner", "state", "name"),
    sqlite_with_rowid=False,
)

# Certificates that were shown to the gate, each once: what a change of trust is tried against.
seen = Table(
    "seen",
    metadata,
    Column("fingerprint", LargeBinary(32), primary_key=True),
    Column("spki", LargeBinary(32), index=True),
    Column("chain", LargeBinary(), nullable=False),
    Column("site", String(255), nullable=False),
    Column("path", Text, nullable=False),
    Column("first_at", Moment, nullable=False),
    Column("last_at", Moment, nullable=False),
    Column("count", Integer, nullable=False),
    # When it was first admitted as this client's.
    Column("admitted_at", Moment),
    # The reason of the last refusal; empty when it was admitted.
    Column("reason", String(32), nullable=False),
    Column("client", Id),
    Column("credential", String(32), nullable=False),
    Column("subject", Text, nullable=False),
    Column("not_after", Moment, index=True),
    Column("peer", String(64), nullable=False),
    # The SHA-256 of the key that the judge verified its signature with, as far as it did.
    Column("signer", LargeBinary(32)),
    Index("ix_seen_last_at", "last_at", "client"),
    # By which the clients are counted without being sorted first.
    Index("ix_seen_client", "client", "last_at"),
)

# Hashes of the names by which what was seen is found; empty for a chain in which none can be read.
seen_name = Table(
    "seen_name",
    metadata,
    Column("name", LargeBinary(32), primary_key=True),
    Column("fingerprint", LargeBinary(32), primary_key=True, index=True),
    sqlite_with_rowid=False,
)

# Where revocation is asked: only what was approved is fetched.
revocation_source = Table(
    "revocation_source",
    metadata,
    Column("id", Id, primary_key=True),
    Column("anchor", Id, ForeignKey("anchor.id"), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("url", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("private", Integer, nullable=False),
    # What the server said of the version that we have (RFC 9110 8.8), to be asked for newer ones only.
    Column("etag", Text, nullable=False),
    Column("modified", Text, nullable=False),
    Column("created", Moment, nullable=False),
    Column("fetched", Moment),
    Column("next_fetch", Moment, index=True),
    Column("failures", Integer, nullable=False),
    Column("error", Text, nullable=False),
    UniqueConstraint("anchor", "url"),
    sqlite_autoincrement=True,
)

# The list in force of a partner's CA for a scope: a distribution point's address, or empty for all that it issued.
foreign_crl = Table(
    "foreign_crl",
    metadata,
    Column("anchor", Id, ForeignKey("anchor.id"), primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("number", LargeBinary(20), nullable=False),
    # The number and digest of the last complete list; `number` is ahead of it when delta CRLs were applied since.
    Column("base_number", LargeBinary(20), nullable=False),
    Column("this_update", Moment, nullable=False),
    Column("next_update", Moment, nullable=False),
    Column("entries", Integer, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("fetched", Moment, nullable=False),
)

foreign_revocation = Table(
    "foreign_revocation",
    metadata,
    Column("anchor", Id, ForeignKey("anchor.id"), primary_key=True),
    Column("serial", LargeBinary(20), primary_key=True),
    # Which list says so, or `ocsp`: each can be taken back only by its own successor.
    Column("scope", Text, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("reason", Integer, nullable=False),
    sqlite_with_rowid=False,
)

# What an OCSP responder said of a certificate (RFC 6960), or that it is to be asked.
ocsp_answer = Table(
    "ocsp_answer",
    metadata,
    Column("anchor", Id, ForeignKey("anchor.id"), primary_key=True),
    Column("serial", LargeBinary(20), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("this_update", Moment),
    Column("next_update", Moment),
    Column("next_ask", Moment, nullable=False, index=True),
    # When the certificate ends: nobody asks about it after that.
    Column("ends", Moment, nullable=False, index=True),
    Column("failures", Integer, nullable=False),
    Column("error", Text, nullable=False),
    sqlite_with_rowid=False,
)

# Letters and calls that wait to be sent; `once` keeps the same from being said twice.
outbox = Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("recipient", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("once", String(160), unique=True),
    Column("created", Moment, nullable=False),
    Column("next_try", Moment, index=True),
    Column("tries", Integer, nullable=False),
    Column("sent", Moment, index=True),
    Column("error", Text, nullable=False),
    sqlite_autoincrement=True,
)

# What somebody was told of that it will end, and at how many days before: once each.
told = Table(
    "told",
    metadata,
    Column("item", String(160), primary_key=True),
    Column("days", Integer, nullable=False),
    Column("at", Moment, nullable=False, index=True),
)

# Changes of trust, each with what takes it back.
trust_change = Table(
    "trust_change",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("by", String(128), nullable=False),
    Column("what", Text, nullable=False),
    Column("undo", Text, nullable=False),
    Column("undone", Moment),
    sqlite_autoincrement=True,
)
