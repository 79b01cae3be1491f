"""On which terms a partner's CA is trusted, and which of them may be."""

from dataclasses import dataclass
from datetime import timedelta

from mutualgate.errors import BadInput
from mutualgate.model.partner import Anchor, RevocationMode, certificate_policy
from mutualgate.model.partner import environment as legal_environment
from mutualgate.partners import ca

DEFAULT_GRACE = timedelta(hours=24)
DEFAULT_LEAF_LIMIT = timedelta(days=90)
"""R12: what nobody can revoke may not live long."""
MOST_BELOW = 50
"""CAs below one, allowed or seen."""
DEEPEST = 1
"""R9: one more CA below the one that is trusted, at most."""


@dataclass(frozen=True)
class Terms:
    """On which terms a CA is trusted."""

    depth: int = 0
    sub_cas: tuple[bytes, ...] = ()
    shared: bool = False
    environment: str = ""
    revocation: RevocationMode = RevocationMode.IGNORE
    grace: timedelta = DEFAULT_GRACE
    leaf_limit: timedelta = DEFAULT_LEAF_LIMIT
    expired_grace: timedelta = timedelta(0)
    policy: str = ""
    hold: bool = False
    """Whether a CA below it that is not in `sub_cas` waits until somebody allows it."""


def terms_of(anchor: Anchor) -> Terms:
    """On which terms it is trusted."""
    return Terms(
        depth=anchor.depth,
        sub_cas=anchor.sub_cas,
        shared=anchor.shared,
        environment=anchor.environment,
        revocation=anchor.revocation,
        grace=anchor.grace,
        leaf_limit=anchor.leaf_limit,
        expired_grace=anchor.expired_grace,
        policy=anchor.policy,
        hold=anchor.hold,
    )


def check_terms(terms: Terms, found: ca.Ca, where: str) -> None:
    """Raises `BadInput` for terms that cannot be, or not for this CA."""
    legal_environment(terms.environment)
    certificate_policy(terms.policy)
    if not 0 <= terms.depth <= DEEPEST:
        raise BadInput(
            f"a depth of {terms.depth} is not possible", where="--depth", expected="0 or 1", code="bad_depth"
        )
    if terms.depth and found.path_length == 0:
        raise BadInput(
            "this CA allows no CA below itself (pathLenConstraint 0, RFC 5280 4.2.1.9)",
            where="--depth",
            expected="0",
            code="bad_depth",
        )
    if terms.sub_cas and not terms.depth:
        raise BadInput("a CA below it is named, but none may be", where="--sub-ca", expected="--depth 1 with it")
    if terms.hold and not terms.depth:
        raise BadInput(
            "new CAs below it wait, but none may be there", where="--new-intermediates", expected="--depth 1 with it"
        )
    if len(terms.sub_cas) > MOST_BELOW or any(len(key) != 32 for key in terms.sub_cas):
        raise BadInput("a CA below it is named by the SHA-256 of its key", where="--sub-ca", expected="64 digits")
    for flag, value, most in (
        ("--grace", terms.grace, timedelta(days=30)),
        ("--leaf-limit", terms.leaf_limit, timedelta(days=3_650)),
        ("--expired-grace", terms.expired_grace, timedelta(days=90)),
    ):
        if not timedelta(0) <= value <= most:
            raise BadInput("is out of bounds", where=flag, expected=f"0 to {most.days} days", code="bad_terms")
    if terms.shared and terms.depth:
        raise BadInput("a shared CA signs the clients itself", where="--depth", expected="0 with --shared")
    if found.public and not terms.shared:
        # R6: everybody who can buy a certificate would be this partner.
        raise BadInput(
            f"{found.subject} is a publicly trusted CA, or under one: anybody can have a certificate from it",
            where=where,
            expected="the partner's own CA",
            fix="Trust it for exact names alone: --shared, and partner name add PARTNER dns:NAME --ca ID",
            code="public_ca",
        )
