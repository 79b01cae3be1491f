"""Can this certificate be a partner's CA, and what is to be said about it before anybody trusts it?

Knows the certificate alone. Whose its key is already, `anchors` finds out.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from mutualgate.clock import CLOCK_SKEW
from mutualgate.errors import BadInput
from mutualgate.model.certificate import signed
from mutualgate.model.partner import Anchor
from mutualgate.partners.public_roots import is_public
from mutualgate.reading.files import (
    UNREADABLE,
    name_text,
    odd_serials_allowed,
    strictly,
    subject_text,
)
from mutualgate.reading.meant import read_all
from mutualgate.reading.weak_keys import examine, key_fingerprint, key_words, refuse

if TYPE_CHECKING:
    from mutualgate.partners.terms import Terms

CLIENT_PURPOSES = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}

Fault = Callable[[bytes, bool], str | None]
"""Why nobody could come in under a CA of this certificate, in the judge's word: the rest of a sentence.

It may require a certificate policy if it is said that one is agreed.
"""


def no_fault(der: bytes, policy: bool) -> None:
    """Where no judge is asked."""


@dataclass(frozen=True)
class Ca:
    """A CA certificate that may be trusted. `path_length` is how many CAs it allows below itself; None: any number.

    `lists_only`: of a key that may sign a CA's revocation lists and nothing else, which is no issuer.
    """

    certificate: x509.Certificate
    spki: bytes
    subject: str
    subject_hash: bytes
    key_id: bytes | None
    self_signed: bool
    path_length: int | None
    public: bool
    key: str
    lists_only: bool = False

    @property
    def der(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.DER)


def read(data: bytes, where: str, now: datetime, *, lists: bool = False) -> Ca:
    """The one CA certificate in `data`, in any form. Raises BadInput that says why it can be no partner's CA.

    With `lists`, it may be that of a key for revocation lists alone.
    """
    found = [strictly(one, where) for one in read_all(data, where)]
    different = list(dict.fromkeys(one.public_bytes(Encoding.DER) for one in found))
    if len(different) > 1:
        names = "; ".join(subject_text(one) for one in found[:4])
        raise BadInput(
            f"holds {len(different)} certificates ({names})",
            where=where,
            expected="one: that of the CA that signs the clients' certificates itself",
            code="several_certificates",
        )
    return of_certificate(found[0], where, now, lists=lists)


def of_certificate(certificate: x509.Certificate, where: str, now: datetime, *, lists: bool = False) -> Ca:
    """R15, R17: version 3, a CA's by its own word, allowed to sign, in date, with a strong key."""
    with odd_serials_allowed():
        if certificate.version is not x509.Version.v3:
            raise _no_ca(where, "it is X.509 v1, and nothing in it says that it is a CA's")
        try:
            extensions = {type(one.value): one.value for one in certificate.extensions}
            subject = certificate.subject
        except UNREADABLE as error:
            raise _no_ca(where, "its extensions or names cannot be read") from error
    usage = extensions.get(x509.KeyUsage)
    lists_only = lists and isinstance(usage, x509.KeyUsage) and usage.crl_sign and not usage.key_cert_sign
    constraints = extensions.get(x509.BasicConstraints)
    path_length = constraints.path_length if isinstance(constraints, x509.BasicConstraints) else None
    if not lists_only:
        _check_issuer(extensions, where)
    if not subject.rdns:
        raise _no_ca(where, "it has no subject (RFC 5280 4.1.2.6)")
    end = certificate.not_valid_after_utc
    if end <= now:
        raise BadInput(
            f"it expired on {end:%Y-%m-%d %H:%M} UTC", where=where, expected="the CA's current one", code="expired"
        )
    key, weak = examine(certificate)
    refuse(weak, where)
    assert key is not None  # noqa: S101 - `examine` names a weakness where it finds no key
    spki = key_fingerprint(key)
    key_id = extensions.get(x509.SubjectKeyIdentifier)
    return Ca(
        certificate=certificate,
        spki=spki,
        subject=subject_text(certificate),
        subject_hash=hashlib.sha256(subject.public_bytes()).digest(),
        key_id=key_id.digest if isinstance(key_id, x509.SubjectKeyIdentifier) else None,
        self_signed=certificate.issuer == certificate.subject and signed(certificate, certificate),
        path_length=path_length,
        public=is_public(certificate, spki),
        key=key_words(key),
        lists_only=lists_only,
    )


def _check_issuer(extensions: Mapping[type[x509.ExtensionType], x509.ExtensionType], where: str) -> None:
    constraints = extensions.get(x509.BasicConstraints)
    if not isinstance(constraints, x509.BasicConstraints) or not constraints.ca:
        raise _no_ca(where, "it does not say that it is a CA's (basicConstraints CA:TRUE, RFC 5280 4.2.1.9)")
    usage = extensions.get(x509.KeyUsage)
    if isinstance(usage, x509.KeyUsage) and not usage.key_cert_sign:
        raise _no_ca(where, "its keyUsage lacks keyCertSign (RFC 5280 4.2.1.3)")
    purposes = extensions.get(x509.ExtendedKeyUsage)
    if isinstance(purposes, x509.ExtendedKeyUsage) and not CLIENT_PURPOSES & set(purposes):
        raise _no_ca(where, "its extended key usage is not for client authentication, so nothing under it can be")


def check_sound(ca: Ca, where: str, fault: Fault) -> None:
    """Raises BadInput (`unsound_ca`) for one under which the judge lets nobody in, whatever the terms."""
    why = fault(ca.der, True)
    if why is not None:
        raise BadInput(
            f"lets nobody in as a CA: it {why}",
            where=where,
            expected="a certificate of the CA by which the gate can judge",
            fix="Whoever runs the CA has to make its certificate anew, without that",
            code="unsound_ca",
        )


def explained(ca: Ca) -> list[str]:
    """What somebody has to know before trusting a CA, in sentences."""
    certificate = ca.certificate
    lines = [
        f"{ca.subject}: a CA's certificate, {ca.key}, until {certificate.not_valid_after_utc:%Y-%m-%d}.",
        f"SHA-256 of the certificate: {hashlib.sha256(ca.der).hexdigest()}",
        f"SHA-256 of its key: {ca.spki.hex()}",
        "Trusting it means: whoever holds its key can make a certificate for any name that the partner's rules permit.",
    ]
    if not ca.self_signed:
        lines.append(f"It was signed by {name_text(certificate.issuer)}; that CA is not trusted by this.")
    return lines


def remarks(ca: Ca, now: datetime, terms: "Terms", fault: Fault) -> list[str]:
    """What is odd about a CA, or to be thought of. Nothing of it forbids to trust it."""
    found = []
    certificate, depth = ca.certificate, terms.depth
    why = None if terms.policy else fault(ca.der, False)
    if why is not None:
        found.append(f"It {why}, and none is agreed: nobody comes in under it until the operator says which.")
    if certificate.not_valid_before_utc > now + CLOCK_SKEW:
        found.append(f"It begins on {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC only.")
    kinds = {type(one.value): one.value for one in certificate.extensions}
    if x509.KeyUsage not in kinds:
        found.append("It has no keyUsage, which RFC 5280 4.2.1.3 asks of CAs; 'openssl req -x509' leaves it out.")
    if ca.self_signed and ca.path_length != 0:
        found.append(
            "It is a root that may have other CAs below it. Better trust the one CA that issues the clients'"
            " certificates: a root's key vouches for whatever those CAs do, too."
        )
        if depth == 0:
            found.append("With depth 0 only what the root itself signed comes in.")
    if depth > 0 and not terms.sub_cas:
        found.append("Every CA below it may vouch for clients: name the ones that may with --sub-ca.")
    constrained = kinds.get(x509.NameConstraints)
    if isinstance(constrained, x509.NameConstraints):
        found.append("It has name constraints of its own, which are honoured besides the partner's rules.")
    return found


def _no_ca(where: str, why: str) -> BadInput:
    return BadInput(
        f"this cannot be a partner's CA: {why}",
        where=where,
        expected="the certificate of the CA that signs the clients' certificates",
        fix="A single client's own certificate is pinned instead: mutualgate pin add",
        code="not_a_ca",
    )


def parsed(anchor: Anchor) -> x509.Certificate:
    """The certificate of a CA that was claimed."""
    with odd_serials_allowed():
        return x509.load_der_x509_certificate(anchor.certificate)
