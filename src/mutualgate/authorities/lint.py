"""The last look at a certificate of ours before it is signed: is it what RFC 5280 and our own promises ask for?

Knows only the DER, not how it was made: a mistake in `profiles` shows here. What fails is our mistake, never the
user's, but for an issuer that may not sign.
"""

from typing import TypeVar, cast

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from mutualgate.errors import BadInput
from mutualgate.reading.files import UNREADABLE, name_text

Extension = TypeVar("Extension", bound=x509.ExtensionType)


class LintError(RuntimeError):
    """We were about to sign something that we must not."""


def lint(der: bytes, issuer: x509.Certificate | None) -> None:
    """Raises LintError for a rule that the certificate in `der` breaks, BadInput when `issuer` may not sign it.

    Its signature is not looked at: there is none yet.
    """
    certificate = x509.load_der_x509_certificate(der)
    extensions = list(certificate.extensions)
    values = {type(one.value): one.value for one in extensions}

    def value(kind: type[Extension]) -> Extension:
        try:
            return cast(Extension, values[kind])
        except KeyError as error:
            raise LintError(f"a certificate for {name_text(certificate.subject)} has no {kind.__name__}") from error

    constraints = value(x509.BasicConstraints)
    usage = value(x509.KeyUsage)
    authority = constraints.ca
    if issuer is not None:
        _may_sign(issuer, authority)
    for rule, holds in (
        ("4.1.2.1: version 3", certificate.version is x509.Version.v3),
        ("4.1.2.2: a positive serial of at most 20 octets", 0 < certificate.serial_number < 2**159),
        ("4.1.2.4: the issuer's name", certificate.issuer == (issuer or certificate).subject),
        ("4.1.2.5: an end after the beginning", certificate.not_valid_before_utc < certificate.not_valid_after_utc),
        ("never outlive the issuer", issuer is None or certificate.not_valid_after_utc <= issuer.not_valid_after_utc),
        (
            "never begin before the issuer",
            issuer is None or certificate.not_valid_before_utc >= issuer.not_valid_before_utc,
        ),
        ("4.1.2.6: a subject", len(certificate.subject.rdns) > 0),
        ("4.2.1.1: an authority key identifier", value(x509.AuthorityKeyIdentifier).key_identifier is not None),
        ("4.2.1.2: the subject key identifier", value(x509.SubjectKeyIdentifier).digest != b""),
        ("4.2.1.3: certificate signing is for authorities", usage.key_cert_sign == authority == usage.crl_sign),
        ("4.2.1.3: signatures are for leaves", usage.digital_signature == (not authority)),
        ("4.2.1.9: a path length only where it is an authority's", authority or constraints.path_length is None),
        ("an intermediate signs leaves only", issuer is None or not authority or constraints.path_length == 0),
        ("4.2: no extension twice", len({e.oid for e in extensions}) == len(extensions)),
        (
            "4.2.1.3, 4.2.1.9: critical",
            all(e.critical for e in extensions if type(e.value) in _CRITICAL),
        ),
        (
            "others are not critical",
            not any(e.critical for e in extensions if type(e.value) not in _CRITICAL),
        ),
        ("within 8 KiB", len(der) <= 8192),
    ):
        if not holds:
            raise LintError(f"a certificate for {name_text(certificate.subject)} breaks a rule: {rule}")
    if not authority:
        purposes = list(value(x509.ExtendedKeyUsage))
        if purposes not in ([ExtendedKeyUsageOID.CLIENT_AUTH], [ExtendedKeyUsageOID.SERVER_AUTH]):
            raise LintError("a leaf is for one purpose (RFC 5280 4.2.1.12)")
        if not list(value(x509.SubjectAlternativeName)):
            raise LintError("a leaf has names (RFC 5280 4.2.1.6)")


_CRITICAL = (x509.BasicConstraints, x509.KeyUsage)


def _may_sign(issuer: x509.Certificate, authority: bool) -> None:
    """RFC 5280 6.1.4 (k) to (n), for the issuer. An adopted root may lack the extensions, but must not deny."""
    try:
        extensions = list(issuer.extensions)
    except UNREADABLE as error:
        raise BadInput(
            f"the authority {name_text(issuer.subject)} has extensions that cannot be read", code="issuer_may_not_sign"
        ) from error
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.BasicConstraints) and not (value.ca and (value.path_length != 0 or not authority)):
            raise BadInput(
                f"the authority {name_text(issuer.subject)} may not sign this: its basicConstraints forbid it",
                expected="CA:TRUE and a path length that allows it",
                code="issuer_may_not_sign",
            )
        if isinstance(value, x509.KeyUsage) and not value.key_cert_sign:
            raise BadInput(
                f"the authority {name_text(issuer.subject)} may not sign: its keyUsage lacks keyCertSign",
                expected="keyCertSign, or no keyUsage at all",
                code="issuer_may_not_sign",
            )
