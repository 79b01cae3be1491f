"""The values that services pass around: frozen, checked where they are made, no I/O."""

from mutualgate.model.audit import AuditEntry, Facts
from mutualgate.model.authority import Admits, Authority, AuthorityKind
from mutualgate.model.change import Change, ChangeKind
from mutualgate.model.client import Client, ClientState
from mutualgate.model.credential import Credential, CredentialState, Origin
from mutualgate.model.crl import StoredCrl
from mutualgate.model.names import AuthorityName, ClientName, Role
from mutualgate.model.refusal import RefusalRecord
from mutualgate.model.revocation import Revocation, RevocationReason

__all__ = [
    "Admits",
    "AuditEntry",
    "Authority",
    "AuthorityKind",
    "AuthorityName",
    "Change",
    "ChangeKind",
    "Client",
    "ClientName",
    "ClientState",
    "Credential",
    "CredentialState",
    "Facts",
    "Origin",
    "RefusalRecord",
    "Revocation",
    "RevocationReason",
    "Role",
    "StoredCrl",
]
