"""A partner: an organisation with CAs of its own, which vouch for names of its own and for no others."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mutualgate.errors import BadInput
from mutualgate.model.names import Role, shown

_PARTNER = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_ENVIRONMENT = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")

_POLICY = re.compile(r"[012](?:\.(?:0|[1-9][0-9]*))+")

ANY_POLICY = "2.5.29.32.0"
"""Names no policy, so that none can be required by it."""
POLICY_LIMIT = 128

ADMINISTRATOR = Role("partner-admin")
"""The role of those clients of a partner that look after it on the portal."""
MEMBER_NAME_LIMIT = 320
"""Characters of a name inside a partner: the longest address that mail allows; a distinguished name has to fit, too."""


class PartnerName(str):
    """A partner's name: 1 to 63 lower-case letters, digits or `-`; it stands in a header. Raises `BadInput`."""

    __slots__ = ()

    def __new__(cls, text: str) -> "PartnerName":
        if not _PARTNER.fullmatch(text):
            raise BadInput(
                f"{shown(text)} cannot be a partner's name",
                expected="1 to 63 lower-case ASCII letters, digits or '-', such as 'acme'",
                code="bad_name",
            )
        return super().__new__(cls, text)


def environment(text: str) -> str:
    """The name of an environment, such as `test`; empty for all. Raises `BadInput`."""
    if text and not _ENVIRONMENT.fullmatch(text):
        raise BadInput(
            f"{shown(text)} cannot be an environment",
            expected="1 to 32 lower-case ASCII letters, digits or '-', such as 'test'; or nothing, for all",
            code="bad_environment",
        )
    return text


def certificate_policy(text: str) -> str:
    """A certificate policy (RFC 5280 4.2.1.4): an object identifier with dots; empty for none. Raises `BadInput`."""
    arcs = [int(arc) for arc in text.split(".")] if len(text) <= POLICY_LIMIT and _POLICY.fullmatch(text) else []
    # X.660 5: the first arc is 0, 1 or 2, and below 0 and 1 there are 40. Longer arcs than 64 bits are in no policy.
    legal = bool(arcs) and (arcs[0] == 2 or arcs[1] < 40) and max(arcs) < 2**64 and text != ANY_POLICY
    if text and not legal:
        raise BadInput(
            f"{shown(text)} cannot be a certificate policy",
            expected="an object identifier with dots, such as 1.3.6.1.4.1.99999.1; or nothing, for none",
            code="bad_policy",
        )
    return text


class PartnerState(StrEnum):
    """Where a partner stands."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    """All of its clients are kept out for now."""
    GONE = "gone"
    """Final. The record stays for the audit; the name is free again."""


class PartnerAdmits(StrEnum):
    """Which of the clients under a partner's rules come in."""

    LISTED = "listed"
    """Only those that were enumerated."""
    APPROVAL = "approval"
    """Those that were approved; one that is seen for the first time waits for it."""
    RULE = "rule"
    """Any whose names the rules permit; one without a client of its own comes in as the partner's."""


class PartnerProfile(StrEnum):
    """By what a partner's clients are known. It is said when the partner is added, and stays."""

    NAMES = "names"
    """By the names in subjectAltName; a certificate without any, by its subject."""
    PSD2 = "psd2"
    """By the organizationIdentifier of the subject alone: payment service providers (ETSI TS 119 495)."""


class AnchorState(StrEnum):
    """Where a partner's CA stands."""

    PENDING = "pending"
    """Claimed; nothing under it is admitted before the claim is proved."""
    ACTIVE = "active"
    RETIRING = "retiring"
    """Counts until its day, so that clients can move to the next one."""
    RETIRED = "retired"


class RevocationMode(StrEnum):
    """What is asked of a CA's word about revocation before a certificate under it is admitted."""

    FAIL = "fail"
    """A list or answer that is in force."""
    GRACE = "grace"
    """The same, but a list may be late for a while."""
    IGNORE = "ignore"
    """Nothing; certificates may not live long then."""


class RuleKind(StrEnum):
    """Which names a rule is about: those of subjectAltName (RFC 5280 4.2.1.6), or the subject of who has none."""

    DNS = "dns"
    EMAIL = "email"
    URI = "uri"
    IP = "ip"
    DN = "dn"
    ORGANIZATION = "organization"
    """The organizationIdentifier of the subject, under a partner of the profile psd2."""


class MemberState(StrEnum):
    """Where a client inside a partner stands."""

    PENDING = "pending"
    """Seen, or named by the partner, and not approved."""
    SEEN = "seen"
    """Comes in as the partner's own client, under a partner that admits by rule; noted when it was first seen."""
    ACTIVE = "active"
    """Comes in as its client does: one that is to be kept out has a client that is suspended."""
    OUTSIDE = "outside"
    """Was invited by the partner, which may not vouch for the name any more: what came of it does not count."""


@dataclass(frozen=True, slots=True)
class Partner:
    """A partner as the store knows it. `client` stands for those of its clients that are not recorded.

    `appoints`: its administrators may make further ones.
    """

    id: int
    name: PartnerName
    contact: str
    security_contact: str
    state: PartnerState
    admits: PartnerAdmits
    roles: tuple[Role, ...]
    client: int
    created: datetime
    profile: PartnerProfile = PartnerProfile.NAMES
    appoints: bool = False

    @property
    def grants(self) -> frozenset[Role]:
        """The roles that its administrators may give."""
        return frozenset(self.roles) | ({ADMINISTRATOR} if self.appoints else frozenset())


@dataclass(frozen=True, slots=True)
class Anchor:
    """A partner's CA. `spki`, SHA-256 of its SubjectPublicKeyInfo, identifies it; equal subjects are legal.

    `not_before` and `not_after` are its certificate's; `depth` further CAs may stand below it, only those in `sub_cas`
    (SHA-256 of their keys) unless that is empty. `policy` is the certificate policy, an object identifier with dots,
    that all below it has to be issued under; empty for none. With `hold`, a CA below it that is not in `sub_cas` waits
    until somebody allows it. `challenge` is what a certificate under it has to say
    until `challenge_expires` to prove that the partner controls it.
    """

    id: int
    partner: int
    certificate: bytes
    spki: bytes
    subject: str
    state: AnchorState
    shared: bool
    depth: int
    sub_cas: tuple[bytes, ...]
    environment: str
    not_before: datetime
    not_after: datetime
    expired_grace: timedelta
    retire_at: datetime | None
    created: datetime
    activated: datetime | None
    challenge: str | None
    challenge_expires: datetime | None
    revocation: RevocationMode
    grace: timedelta
    leaf_limit: timedelta
    policy: str = ""
    hold: bool = False
    approval: bool = False

    @property
    def last_moment(self) -> datetime:
        """Until when it counts, once it does."""
        end = self.not_after + self.expired_grace
        return end if self.retire_at is None else min(end, self.retire_at)

    @property
    def proved(self) -> bool:
        """Whether it was proved, and only waits for an operator."""
        return self.state is AnchorState.PENDING and self.challenge is None

    def state_at(self, now: datetime) -> AnchorState:
        """Its state: a day that has come needs nobody who writes it down."""
        if self.state is AnchorState.RETIRING and self.retire_at is not None and self.retire_at <= now:
            return AnchorState.RETIRED
        if self.state is AnchorState.PENDING and self.challenge_expires is not None and self.challenge_expires <= now:
            return AnchorState.RETIRED
        return self.state

    def lets_below(self, spki: bytes) -> bool:
        """Whether the CA of this key may stand between it and a client."""
        return bool(self.depth) and (spki in self.sub_cas or not (self.hold or self.sub_cas))


@dataclass(frozen=True, slots=True)
class SeenCa:
    """A CA that a partner's CA signed and that was seen between it and a client. `spki`: SHA-256 of its key."""

    anchor: int
    spki: bytes
    certificate: bytes
    subject: str
    first_at: datetime


@dataclass(frozen=True, slots=True)
class NameRule:
    """What a partner may vouch for; with `anchor`, under that CA alone."""

    id: int
    partner: int
    anchor: int | None
    kind: RuleKind
    pattern: str
    created: datetime

    @property
    def text(self) -> str:
        """As people write it: `dns:*.acme.example`."""
        return f"{self.kind}:{self.pattern}"


@dataclass(frozen=True, slots=True)
class Intermediate:
    """A CA certificate that helps to build a path when a client sends its leaf only. Not trusted itself."""

    id: int
    partner: int
    fingerprint: bytes
    certificate: bytes
    created: datetime


@dataclass(frozen=True, slots=True)
class Member:
    """A client inside a partner, by the name that the partner's CA gives it: `dns:api.acme.example`."""

    partner: int
    name: str
    client: int | None
    state: MemberState
    created: datetime
