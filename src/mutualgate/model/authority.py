"""An authority: a CA whose certificates we issue, or accept."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mutualgate.model.names import AuthorityName


class AuthorityKind(StrEnum):
    """Where an authority comes from."""

    ROOT = "root"
    """Ours; signs issuing authorities only, and is what clients trust for the server's certificate."""
    ISSUING = "issuing"
    """Ours, under the root; signs clients and servers."""
    ADOPTED = "adopted"
    """Existed before us."""


class Admits(StrEnum):
    """Which of the certificates that it signed are admitted."""

    ISSUED = "issued"
    """Only what the store knows that it issued."""
    SIGNED = "signed"
    """All that it signed, X.509 v1 too; the unlisted ones stand for its estate client."""
    LISTED = "listed"
    """Only the certificates that we were shown, v1 too."""


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority as the store knows it; `spki`, SHA-256 of its SubjectPublicKeyInfo, identifies it."""

    id: int
    name: AuthorityName
    kind: AuthorityKind
    admits: Admits
    certificate: bytes
    spki: bytes
    has_key: bool
    estate: int | None
    issuer: int | None
    not_after: datetime
    created: datetime
    depth: int | None = None
    """CAs that may stand between it and a client, at most; None where its certificate alone says it."""

    @property
    def is_anchor(self) -> bool:
        """Whether the judge takes its word about clients. Never our root: it signs no clients."""
        return self.kind is not AuthorityKind.ROOT
