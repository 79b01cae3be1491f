"""Bytes that somebody gave us, up to the point where pyca/cryptography takes them.

Knows files, PEM (RFC 7468) and DER by their look. Does not know what the objects mean.
"""

import base64
import binascii
import hashlib
import unicodedata
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from mutualgate.errors import BadInput
from mutualgate.model.legible import UNREADABLE as UNREADABLE
from mutualgate.model.legible import Legible, NotLegible, check_dates, legible
from mutualgate.model.legible import odd_serials_allowed as odd_serials_allowed
from mutualgate.model.signature import OLD_HASHES as OLD_HASHES

CERTIFICATE_LABELS = ("CERTIFICATE", "X509 CERTIFICATE")
"""RFC 7468 section 5.1, and the older word that it asks readers to take as well."""


def shown(text: str, limit: int = 120) -> str:
    """`text` fit for a terminal, a log or a page: names in certificates are hostile.

    Control characters, line breaks and those that turn the direction of writing are spelled out.
    """
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text  # as nearly all are, and of many thousands each is looked at
    plain = "".join(
        f"\\x{ord(character):02x}" if unicodedata.category(character)[0] in "CZ" and character != " " else character
        for character in text[: limit + 1]
    )
    return plain if len(text) <= limit else plain[:limit] + "..."


def name_text(name: x509.Name) -> str:
    """`name` by RFC 4514, for people only: never compared, never parsed."""
    try:
        return shown(name.rfc4514_string()) or "(empty)"
    except UNREADABLE:
        return "(unreadable)"


def subject_text(holder: x509.Certificate | x509.CertificateSigningRequest) -> str:
    """Whose it says that it is, for people only. Names are read only when asked for: they may turn out to be none."""
    try:
        return name_text(holder.subject)
    except UNREADABLE:
        return "(unreadable)"


def names_above(chain: Sequence[x509.Certificate]) -> tuple[bytes, ...]:
    """SHA-256 of the names, DER, by which CAs of partners are looked for above `chain`, leaf first, each once.

    They are those of who issued a certificate of it, and the leaf's own, which may be a CA's.
    """
    names = [one.issuer for one in chain] + [one.subject for one in chain[:1]]
    return tuple(dict.fromkeys(hashlib.sha256(name.public_bytes()).digest() for name in names))


def pem_blocks(data: bytes, where: str) -> list[tuple[str, bytes]]:
    """Every PEM object in `data`: its label and its DER. Text around them is passed over (RFC 7468 section 2).

    One pass, whatever is in it: hostile bytes cost no more than honest ones.
    """
    blocks: list[tuple[str, bytes]] = []
    position = 0
    while (begin := data.find(b"-----BEGIN ", position)) >= 0:
        number = len(blocks) + 1
        label_end = data.find(b"-----", begin + 11, begin + 11 + 64)
        if label_end < 0:
            raise BadInput(
                f"PEM object {number} has no complete BEGIN line", where=where, expected="-----BEGIN ...-----"
            )
        label = data[begin + 11 : label_end]
        end_line = b"-----END " + label + b"-----"
        end = data.find(end_line, label_end)
        if end < 0:
            raise BadInput(f"PEM object {number} is cut off", where=where, expected="its END line")
        word = shown(label.decode("latin-1"), 40)
        body = data[label_end + 5 : end]
        position = end + len(end_line)
        if "PRIVATE KEY" in word:
            blocks.append((word, body))  # older ones have headers before the base64; whoever loads keys reads the PEM
            continue
        try:
            blocks.append((word, base64.b64decode(body.translate(None, b" \t\r\n"), validate=True)))
        except (binascii.Error, ValueError) as error:
            raise BadInput(f"PEM object {number} ({word}) is not base64", where=where, expected="PEM or DER") from error
    return blocks


def holds_private_key(data: bytes) -> bool:
    """Whether there is a private key in `data`, PEM or DER, encrypted or not."""
    if b"PRIVATE KEY-----" in data:
        return True
    try:
        serialization.load_der_private_key(data, None)
    except UNREADABLE as error:
        # An encrypted one says that it wants a password.
        return isinstance(error, TypeError)
    return True


def private_key_given(where: str, what: str = "a private key") -> BadInput:
    """The error for whoever gave one away, in whatever they sent or published."""
    return BadInput(
        f"holds {what}, which must never leave its owner: nothing of it was kept",
        where=where,
        expected="the certificate, the CSR or the public key alone",
        fix="Regard it as known to others: its owner has to make a new key, have every certificate of the old one"
        " revoked, and give out the public part only",
        code="private_key_given",
    )


def read_certificates(data: bytes, where: str) -> list[x509.Certificate]:
    """The certificates in `data`: one in DER, or any number in PEM, in their order. BadInput when there is none."""
    return [_certificate(der, place) for place, der in _placed(data, where)]


def read_legible(data: bytes, where: str) -> list[Legible]:
    """As `read_certificates`, and those, too, of which a part cannot be read."""
    return [legible_at(der, place) for place, der in _placed(data, where)]


def legible_at(der: bytes, where: str) -> Legible:
    """What the certificate `der` says. Raises BadInput that names `where`."""
    try:
        with odd_serials_allowed():
            return legible(der)
    except UNREADABLE as error:
        raise no_certificate(error, where) from error


def strictly(one: Legible, where: str) -> x509.Certificate:
    """The certificate for who wants it as DER has it: nothing in it may be read in two ways. Raises BadInput."""
    return _certificate(one.der, where)


def no_certificate(error: Exception, where: str) -> BadInput:
    """The error for what cannot be read."""
    problem = str(error) if isinstance(error, NotLegible) else "is no X.509 certificate"
    return BadInput(problem, where=where, expected="a certificate in PEM or DER")


def certificates_in(data: bytes, where: str) -> list[bytes]:
    """The same, DER, without a look at what they say."""
    found = [der for _, der in _placed(data, where)]
    if not found[0].startswith(b"\x30"):  # X.690 8.9.1: nothing else begins a certificate
        raise BadInput("is no X.509 certificate", where=where, expected="a certificate in PEM or DER")
    return found


def _placed(data: bytes, where: str) -> list[tuple[str, bytes]]:
    if b"-----BEGIN " not in data:
        return [(where, data)]
    found = []
    for number, (label, der) in enumerate(pem_blocks(data, where), 1):
        if label in CERTIFICATE_LABELS:
            found.append((f"{where}, PEM object {number}", der))
        elif label == "TRUSTED CERTIFICATE":
            raise BadInput(
                f"PEM object {number} is in OpenSSL's own TRUSTED CERTIFICATE form",
                where=where,
                expected="CERTIFICATE",
                fix="Convert it: openssl x509 -in FILE -out FILE.pem",
            )
    if not found:
        raise BadInput("holds no certificate", where=where, expected="a certificate in PEM or DER")
    return found


def _certificate(der: bytes, where: str) -> x509.Certificate:
    with odd_serials_allowed():
        try:
            certificate = x509.load_der_x509_certificate(der)
            check_dates(certificate)
        except UNREADABLE as error:
            odd = legible_at(der, where).oddities
            raise BadInput(
                f"breaks a rule of its encoding: {odd[0].sentence[0].lower()}{odd[0].sentence[1:-1]}",
                where=where,
                expected="a certificate that all programs read alike",
                fix="Have its issuer make it anew",
                code="odd_encoding",
            ) from error
    return certificate
