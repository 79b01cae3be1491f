"""Something that will end, and whom that concerns."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ExpiryKind(StrEnum):
    """What it is."""

    CREDENTIAL = "credential"
    """A client's certificate, by an authority of ours."""
    PIN = "pin"
    PARTNER_CERTIFICATE = "partner-certificate"
    """A certificate under a partner's CA that was let in."""
    PARTNER_CA = "partner-ca"
    SITE = "site"
    """The certificate that the gate itself shows."""
    AUTHORITY = "authority"
    LIST = "list"
    """A revocation list of an authority of ours."""
    PARTNER_LIST = "partner-list"
    INVITATION = "invitation"

    @property
    def noun(self) -> str:
        """One of it, for people."""
        return _NOUNS[self]


@dataclass(frozen=True, slots=True)
class Expiring:
    """One thing. `key` is its id within the kind; `name` says whose it is, for people; `contact` may be an address.

    `begins` is when it was made: what lives a week is not told of a month before.
    """

    kind: ExpiryKind
    key: str
    name: str
    ends: datetime
    begins: datetime
    client: int | None = None
    contact: str = ""
    detail: str = ""

    @property
    def item(self) -> str:
        """Names it for good: with another end it is something else."""
        return f"{self.kind}:{self.key}:{int(self.ends.timestamp())}"


_NOUNS = {
    ExpiryKind.CREDENTIAL: "certificate",
    ExpiryKind.PIN: "pin",
    ExpiryKind.PARTNER_CERTIFICATE: "partner's certificate",
    ExpiryKind.PARTNER_CA: "partner's CA",
    ExpiryKind.SITE: "site's certificate",
    ExpiryKind.AUTHORITY: "CA",
    ExpiryKind.LIST: "revocation list",
    ExpiryKind.PARTNER_LIST: "partner's revocation list",
    ExpiryKind.INVITATION: "invitation",
}
