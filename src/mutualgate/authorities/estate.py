"""What is to be said about one certificate of an older authority: its own, or one that it signed.

Knows RFC 5280 and what the gate admits of an adopted authority. Does not know files.
"""

from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from mutualgate.authorities.findings import Finding, Severity
from mutualgate.model import serial as serials
from mutualgate.model.legible import Legible, Oddity
from mutualgate.reading.files import OLD_HASHES, UNREADABLE, odd_serials_allowed
from mutualgate.reading.weak_keys import examine

Extension = TypeVar("Extension", bound=x509.ExtensionType)


def authority_findings(certificate: x509.Certificate, where: str, now: datetime) -> tuple[list[Finding], bool]:
    """What is odd about an authority's certificate, and whether it can be adopted at all."""
    found = _Report(where)
    extensions = found.extensions(certificate)
    key, weakness = examine(certificate)
    if extensions is None or key is None:
        if weakness is not None:
            found.refused("weak_key", weakness.sentence, "It is left out.")
        return found.findings, False
    if weakness is not None and weakness.provable and weakness.code == "rsa_exponent":
        found.warning("weak_key", weakness.sentence, "It is adopted; have a new authority made, with 65537.")
    elif weakness is not None:
        found.refused("weak_key", weakness.sentence, "It is left out: whoever breaks the key can make clients.")
    constraints = _get(extensions, x509.BasicConstraints)
    usage = _get(extensions, x509.KeyUsage)
    if certificate.version is x509.Version.v1:
        found.warning(
            "v1_root",
            "It is X.509 v1, which cannot say that it is an authority.",
            "It is adopted because you say so; other programs may refuse it. Plan a new one.",
        )
    elif constraints is None:
        found.warning(
            "ca_without_basic_constraints",
            "It has no basicConstraints, so it does not say that it is an authority (RFC 5280 4.2.1.9).",
            "It is adopted because you say so; other programs may refuse it.",
        )
    elif not constraints.ca:
        found.refused(
            "not_an_authority", "It is no authority's certificate: basicConstraints say CA:FALSE.", "It is left out."
        )
    if certificate.version is not x509.Version.v1:
        if usage is None:
            found.note(
                "ca_without_key_usage",
                "It has no keyUsage, as `openssl req -x509` leaves it.",
                "Nothing changes: without one, every use is allowed.",
            )
        elif not usage.key_cert_sign:
            found.refused(
                "not_an_authority",
                "Its keyUsage lacks keyCertSign, so it may not sign certificates (RFC 5280 4.2.1.3).",
                "It is left out.",
            )
    found.critical(extensions, "It is left out.")
    found.own_signature(certificate)
    found.dates(certificate, now, "Nobody is admitted under it.")
    # One that expired is adopted all the same: the gate judges its dates with everything else, each time.
    usable = all(one.severity is not Severity.REFUSED or one.code == "expired" for one in found.findings)
    return found.findings, usable


def leaf_findings(one: Legible, where: str, now: datetime) -> list[Finding]:
    """What is odd about a certificate that an adopted authority signed. The signature was verified before."""
    found = _Report(where)
    certificate = one.says
    for oddity in one.oddities:
        _odd(oddity, found)
    if any(finding.severity is Severity.REFUSED for finding in found.findings):
        return found.findings  # what it is for cannot be told
    extensions = found.extensions(certificate)
    if extensions is None:
        return found.findings
    _, weakness = examine(certificate)
    if weakness is not None and weakness.provable:
        action = "It is admitted, but who finds its private key can be this client: issue a new one with a new key."
        found.warning("weak_key", weakness.sentence, action)
    elif weakness is not None:
        found.refused("weak_key", weakness.sentence, "The gate refuses it. Issue a new one with a new key.")
    if certificate.version is x509.Version.v1:
        found.warning(
            "v1_certificate",
            "It is X.509 v1, without extensions, as `openssl x509 -req` wrote before OpenSSL 3.2.",
            "It is admitted under this authority and nowhere else. Replace it when it is due.",
        )
    else:
        _purpose(extensions, found)
        _ability(extensions, found)
        found.critical(extensions, "The gate refuses it. Issue a new one to this client.")
    with odd_serials_allowed():
        serial = certificate.serial_number
    if not 0 <= serial < 1 << 8 * serials.LIMIT:
        found.refused(
            "odd_serial",
            "Its serial number is negative or longer than 20 octets (RFC 5280 4.1.2.2).",
            "The gate refuses it: it could not be revoked alone. Issue a new one to this client.",
        )
    elif not 0 < serial < 1 << 159:
        found.warning(
            "odd_serial",
            "Its serial number is 0, or needs 21 octets in DER (RFC 5280 4.1.2.2).",
            "It is admitted under this authority; other programs may refuse it. Replace it when it is due.",
        )
    found.dates(certificate, now, "The gate refuses it.")
    return found.findings


_DECISIVE = frozenset(
    one.dotted_string
    for one in (
        ExtensionOID.KEY_USAGE,
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.POLICY_CONSTRAINTS,
    )
)
"""Extensions that say what a certificate is for; the gate admits none in which one of them means nothing."""


def _odd(oddity: Oddity, found: "_Report") -> None:
    if oddity.twice or oddity.extension in _DECISIVE or (oddity.extension and oddity.critical):
        found.refused("malformed", oddity.sentence, "The gate refuses it. Issue a new one to this client.")
    elif oddity.extension:
        action = "It is taken; mutualgate decide says whether the gate admits it. Issue a new one to this client."
        found.warning("odd_encoding", oddity.sentence, action)
    else:
        action = "It is admitted; programs that are strict take it for no certificate. Issue a new one to this client."
        found.warning("odd_encoding", oddity.sentence, action)


def _purpose(extensions: x509.Extensions, found: "_Report") -> None:
    """RFC 5280 4.2.1.12, and 4.2.1.3: the key has to sign the handshake."""
    usage = _get(extensions, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        found.refused(
            "not_for_client_auth",
            "Its keyUsage lacks digitalSignature, so it cannot prove a client.",
            "The gate refuses it. Issue a new one to this client.",
        )
    purposes = _get(extensions, x509.ExtendedKeyUsage)
    if purposes is None:
        found.note(
            "missing_eku",
            "It has no extendedKeyUsage, so it does not say what it is for.",
            "It is admitted: without one, every use is allowed.",
        )
    elif not {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(purposes):
        found.refused(
            "not_for_client_auth",
            "Its extendedKeyUsage does not allow client authentication.",
            "The gate refuses it, and browsers do not offer it.",
        )


def _ability(extensions: x509.Extensions, found: "_Report") -> None:
    """RFC 5280 4.2.1.9 and 4.2.1.10: a client signs no certificates."""
    constraints = _get(extensions, x509.BasicConstraints)
    usage = _get(extensions, x509.KeyUsage)
    if constraints is not None and constraints.ca:
        found.refused(
            "ca_as_client",
            "It is a CA's certificate (CA:TRUE): its holder could make further ones.",
            "The gate refuses it as a client's. Adopt it as an authority if it is one.",
        )
    elif (usage is not None and usage.key_cert_sign) or _get(extensions, x509.NameConstraints) is not None:
        found.refused(
            "ca_as_client",
            "It has keyCertSign or name constraints, as only a CA's may.",
            "The gate refuses it. Issue a new one to this client.",
        )


_UNDERSTOOD = (
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.ExtendedKeyUsage,
    x509.SubjectAlternativeName,
    x509.NameConstraints,
    x509.PolicyConstraints,
    x509.IssuerAlternativeName,
    x509.CertificatePolicies,
    x509.InhibitAnyPolicy,
)
"""What may be critical, and what the gate knows or need not know."""
_POLICY_MAPPINGS = x509.ObjectIdentifier("2.5.29.33")


class _Report:
    """Findings about one certificate."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.findings: list[Finding] = []

    def note(self, code: str, sentence: str, action: str) -> None:
        self.findings.append(Finding(code, Severity.NOTE, self.where, sentence, action))

    def warning(self, code: str, sentence: str, action: str) -> None:
        self.findings.append(Finding(code, Severity.WARNING, self.where, sentence, action))

    def refused(self, code: str, sentence: str, action: str) -> None:
        self.findings.append(Finding(code, Severity.REFUSED, self.where, sentence, action))

    def extensions(self, certificate: x509.Certificate) -> x509.Extensions | None:
        """The extensions, or a finding when they cannot be read or cannot be there."""
        try:
            extensions = certificate.extensions
            _ = certificate.subject, certificate.issuer  # read only now, and only once
            odd = certificate.version is not x509.Version.v3 and len(list(extensions)) > 0
        except UNREADABLE:
            self.refused("malformed", "Its names or extensions cannot be read.", "It is left out.")
            return None
        if odd:
            self.refused("malformed", "It is X.509 v1 and yet has extensions (RFC 5280 4.1.2.1).", "It is left out.")
            return None
        return extensions

    def critical(self, extensions: x509.Extensions, consequence: str) -> None:
        """RFC 5280 4.2: what is critical and not understood means refusal."""
        for extension in extensions:
            understood = isinstance(extension.value, _UNDERSTOOD) or extension.oid == _POLICY_MAPPINGS
            if extension.critical and not understood:
                oid = extension.oid.dotted_string
                self.refused("critical_extension", f"Its extension {oid} is critical and not understood.", consequence)

    def own_signature(self, certificate: x509.Certificate) -> None:
        """For a root: its signature proves nothing about trust, but a wrong one says that the file was changed."""
        if certificate.subject != certificate.issuer:
            self.note("intermediate", "It is no root: another authority signed it.", "It is trusted by itself.")
            return
        try:
            if isinstance(certificate.signature_hash_algorithm, OLD_HASHES):
                self.note(
                    "weak_root_signature",
                    "It signed itself with SHA-1 or MD5.",
                    "Nothing changes: a root is trusted by its key, not by its own signature.",
                )
                return
            certificate.verify_directly_issued_by(certificate)
        except (InvalidSignature, *UNREADABLE):
            self.refused(
                "tampered", "It names itself as its issuer, but its signature does not verify.", "It is left out."
            )

    def dates(self, certificate: x509.Certificate, now: datetime, consequence: str) -> None:
        try:
            begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        except UNREADABLE:
            self.refused("malformed", "Its dates cannot be read.", "It is left out.")
            return
        if now > end:
            self.refused("expired", f"It expired on {end:%Y-%m-%d}.", f"{consequence} Replace it.")
        elif now < begin:
            self.warning(
                "not_yet_valid", f"It is valid from {begin:%Y-%m-%d %H:%M} UTC on.", "Until then it is refused."
            )


def _get(extensions: x509.Extensions, kind: type[Extension]) -> Extension | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
