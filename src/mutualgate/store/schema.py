"""The tables, as they are at the newest version. A change here needs a migration; a test compares the two.

Portable SQL only: what a dialect wants for itself is in `sqlite`.
"""

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from mutualgate.store.types import Id, Moment

VERSIONS = ("0001",)
"""The versions that this program knows, oldest first: the revisions in `migrations/versions`."""

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
    Column("state", String(16), nullable=False),
    Column("created", Moment, nullable=False),
    sqlite_autoincrement=True,  # an id that was somebody's never becomes somebody else's
)

client_role = Table(
    "client_role",
    metadata,
    Column("client", Id, ForeignKey("client.id"), primary_key=True),
    Column("role", String(64), primary_key=True),
    Index("ix_client_role_role", "role"),
)

authority = Table(
    "authority",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(63), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("admits", String(16), nullable=False),
    Column("certificate", LargeBinary, nullable=False, unique=True),
    Column("spki", LargeBinary(32), nullable=False, index=True),
    Column("estate", Id, ForeignKey("client.id")),
    Column("issuer", Id, ForeignKey("authority.id")),
    Column("not_after", Moment, nullable=False),
    Column("created", Moment, nullable=False),
    Column("revoked_epoch", Id, nullable=False),
    sqlite_autoincrement=True,
)

authority_key = Table(
    "authority_key",
    metadata,
    Column("authority", Id, ForeignKey("authority.id"), primary_key=True),
    Column("encrypted", LargeBinary, nullable=False),
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
    Column("not_after", Moment, nullable=False),
    Column("created", Moment, nullable=False),
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
    Column("der", LargeBinary, nullable=False),
)

key_owner = Table(
    "key_owner",
    metadata,
    Column("spki", LargeBinary(32), primary_key=True),
    Column("client", Id, ForeignKey("client.id"), nullable=False),
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
    Column("der", LargeBinary, nullable=False),
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
    Column("key", String(80), nullable=False),
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
