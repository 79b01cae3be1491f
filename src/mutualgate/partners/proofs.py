"""What proves that a partner controls a CA: a certificate under it that says the code of the claim (R7)."""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.x509.oid import NameOID

from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.certificate import signed
from mutualgate.model.partner import Anchor, Partner
from mutualgate.partners import ca
from mutualgate.reading.files import UNREADABLE, odd_serials_allowed

_CODE_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_CODE_PREFIX = "mutualgate-proof-"


def proved(
    claims: Sequence[Anchor], certificate: x509.Certificate, partner: Partner, where: str, now: datetime
) -> Anchor:
    """The claim that the certificate proves. Raises BadInput that says what is missing."""
    if not claims:
        raise NotFound(
            f"the partner '{partner.name}' has no claim that waits for a proof",
            fix=f"Claim the CA first: mutualgate partner ca add {partner.name} FILE",
            code="nothing_pending",
        )
    under = [one for one in claims if signed(ca.parsed(one), certificate)]
    if not under:
        raise BadInput(
            "no claimed CA signed this certificate (with SHA-256 or better)",
            where=where,
            expected=f"a certificate under {claims[0].subject}",
            code="no_proof",
        )
    claim = under[0]
    if late(claim, now):
        raise Conflict(
            f"the code of the claim {claim.id} was valid until {claim.challenge_expires:%Y-%m-%d %H:%M} UTC",
            fix=f"Claim the CA again: mutualgate partner ca add {partner.name} FILE",
            code="claim_expired",
        )
    if not certificate.not_valid_before_utc <= now + timedelta(minutes=2) or certificate.not_valid_after_utc <= now:
        raise BadInput("the certificate is not in date", where=where, expected="one that is valid now", code="no_proof")
    if claim.challenge is None or not _says(certificate, claim.challenge):
        raise BadInput(
            "this certificate does not say the claim's code, so it may have been made for anything",
            where=where,
            expected=f"the common name {claim.challenge}, or a DNS name that is it or begins with it and a dot",
            code="no_proof",
        )
    return claim


def codes(certificate: x509.Certificate) -> list[str]:
    """What may be the code of a claim among the names of a certificate, of each kind the first few."""
    return [name.lower().partition(".")[0] for name in _names(certificate) if name.lower().startswith(_CODE_PREFIX)][:8]


def _says(certificate: x509.Certificate, code: str) -> bool:
    return any(name.lower() == code or name.lower().startswith(f"{code}.") for name in _names(certificate))


def _names(certificate: x509.Certificate) -> list[str]:
    with odd_serials_allowed():
        try:
            names = [str(one.value) for one in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
            try:
                alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
                names += alternative.get_values_for_type(x509.DNSName)
            except x509.ExtensionNotFound:
                pass
        except UNREADABLE:
            return []
    return names


def late(claim: Anchor, now: datetime) -> bool:
    """Whether its proof did not come in time."""
    return claim.challenge_expires is not None and claim.challenge_expires <= now


def new_code() -> str:
    """What a certificate has to say. 80 bits: nobody made a certificate for it before it was told."""
    return _CODE_PREFIX + "".join(secrets.choice(_CODE_ALPHABET) for _ in range(16))
