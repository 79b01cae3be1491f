"""What somebody handed in with an invitation, in words, for the operator who approves it."""

from dataclasses import dataclass
from datetime import datetime

from mutualgate.authorities.csr import read_csr
from mutualgate.enrolment import own
from mutualgate.errors import MutualgateError
from mutualgate.model.invitation import Invitation, Way
from mutualgate.model.pin import PinKind
from mutualgate.partners import material
from mutualgate.reading.weak_keys import key_fingerprint, key_words


@dataclass(frozen=True)
class HandedIn:
    """What it says of itself and what its key is; `spki` is SHA-256 of the SubjectPublicKeyInfo, hex."""

    way: Way
    peer: str
    at: datetime | None
    what: str
    subject: str
    spki: str
    remarks: tuple[str, ...]


def describe(invitation: Invitation, data: bytes, now: datetime) -> HandedIn | None:
    """`data` as it was handed in: a CSR, or a certificate in DER. None where nothing was."""
    if invitation.way is None or not data:
        return None
    try:
        what, subject, spki, remarks = _certificate(invitation, data, now) if invitation.way is Way.OWN else _csr(data)
    except MutualgateError as error:  # it was read once, and is looked at by a newer program
        what, subject, spki, remarks = "something that cannot be read any more", "", "", (str(error),)
    return HandedIn(invitation.way, invitation.peer, invitation.closed, what, subject, spki, remarks)


def _csr(data: bytes) -> tuple[str, str, str, tuple[str, ...]]:
    request = read_csr(data, "the CSR")
    asked = tuple(f"asks for {name}" for name in (*request.sans, *request.extensions))
    spki = key_fingerprint(request.public_key).hex()
    return f"a CSR with a key of {key_words(request.public_key)}", request.subject, spki, asked


def _certificate(invitation: Invitation, data: bytes, now: datetime) -> tuple[str, str, str, tuple[str, ...]]:
    leaf, _ = own.read_chain([data])
    certificate = leaf.certificate
    assert certificate is not None  # noqa: S101 - `read_chain` makes it of one
    kind = "the key of a certificate" if invitation.pin_kind is PinKind.KEY else "a certificate"
    return (
        f"{kind}: {material.words(certificate)}",
        leaf.subject,
        leaf.spki.hex(),
        tuple(material.remarks(certificate, now)),
    )
