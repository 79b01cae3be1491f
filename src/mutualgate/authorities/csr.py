"""Certificate signing requests (PKCS#10, RFC 2986): read, proven, and compared with what we will give.

Knows what was asked. Does not decide what is given: subject and names come from the client's record (`profiles`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import AttributeOID, ExtendedKeyUsageOID

from mutualgate.authorities.profiles import ClientProfile, Prepared, ServerProfile, san_texts
from mutualgate.counts import counted
from mutualgate.errors import BadInput
from mutualgate.model.signature import verify
from mutualgate.reading.bounded import MAX_FILE_BYTES
from mutualgate.reading.containers import open_upload
from mutualgate.reading.files import (
    CERTIFICATE_LABELS,
    UNREADABLE,
    holds_private_key,
    name_text,
    pem_blocks,
    private_key_given,
    shown,
    subject_text,
)
from mutualgate.reading.weak_keys import examine, refuse

MAX_NAMES = 100
"""More names than this are no honest wish, and a page has to show them."""

_LABELS = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")  # RFC 7468 section 7


@dataclass(frozen=True)
class Request:
    """A CSR whose signature proves that its maker holds the private key, and whose key is good. The rest is a wish."""

    public_key: CertificatePublicKeyTypes
    subject: str
    sans: tuple[str, ...]
    extensions: tuple[str, ...]
    asks_for_password: bool


@dataclass(frozen=True)
class Difference:
    """Something that was asked and will not be given so, with the reason, in words."""

    field: str
    asked: str
    given: str
    why: str


def read_csr(data: bytes, where: str) -> Request:
    """Reads one CSR, in any wrapping. BadInput with one sentence for anything else; a private key is called out."""
    if len(data) > MAX_FILE_BYTES:
        raise BadInput("is too large for a CSR", where=where, expected=f"at most {MAX_FILE_BYTES} bytes")
    if holds_private_key(data):
        raise private_key_given(where)
    der = _only_request(data, where)
    try:
        csr = x509.load_der_x509_csr(der)
    except UNREADABLE:
        csr = _wrapped(data, where)
    key, weakness = examine(csr)
    refuse(weakness, where)
    if key is None:  # examine() names a weakness for every key that it cannot read
        raise _not_a_csr(where)
    try:
        verify(csr, csr.tbs_certrequest_bytes, key)
    except (InvalidSignature, *UNREADABLE):
        raise BadInput(
            "the CSR's signature does not verify, so nothing proves that its sender holds the key",
            where=where,
            expected="a CSR signed by its own key with SHA-256 or better",
            fix="Make it again: openssl req -new -key client.key -out client.csr",
            code="no_proof_of_possession",
        ) from None
    try:
        return Request(
            public_key=key,
            subject=subject_text(csr),
            sans=_asked_names(csr.extensions, where),
            extensions=tuple(_extension_text(extension) for extension in csr.extensions),
            asks_for_password=any(attribute.oid == AttributeOID.CHALLENGE_PASSWORD for attribute in csr.attributes),
        )
    except UNREADABLE as error:
        raise BadInput(
            "the extensions that the CSR asks for cannot be read", where=where, expected="RFC 5280 4.2"
        ) from error


def differences(request: Request, prepared: Prepared) -> list[Difference]:
    """What of `request` the certificate that was prepared will not say as asked; in the order that people read."""
    found = []
    given_subject = name_text(prepared.subject)
    if request.subject != given_subject:
        found.append(Difference("subject", request.subject, given_subject, "The name comes from the client's record."))
    for name in request.sans:
        if name not in prepared.sans:
            found.append(Difference("subjectAltName", name, "(left out)", "Names come from the client's record."))
    for name in prepared.sans:
        if name not in request.sans:
            found.append(Difference("subjectAltName", "(nothing)", name, "Names come from the client's record."))
    usage = _usage_given(prepared)
    for text in request.extensions:
        field, _, asked = text.partition(": ")
        if field != "subjectAltName" and text not in usage:
            given = next((line.partition(": ")[2] for line in usage if line.startswith(field + ": ")), "(left out)")
            found.append(Difference(field, asked, given, "The certificate's use is fixed by its profile."))
    if request.asks_for_password:
        found.append(Difference("challengePassword", "(set)", "(ignored)", "No revocation by password is offered."))
    return found


def _only_request(data: bytes, where: str) -> bytes:
    if b"-----BEGIN " not in data:
        return data
    blocks = pem_blocks(data, where)
    requests = [der for label, der in blocks if label in _LABELS]
    if len(requests) == 1:
        return requests[0]
    if len(requests) > 1:
        raise BadInput(
            f"holds {len(requests)} CSRs", where=where, expected="one", fix="Put each into a file of its own"
        )
    if any(label in CERTIFICATE_LABELS for label, _ in blocks):
        raise BadInput("is a certificate, not a CSR", where=where, expected="a CSR (BEGIN CERTIFICATE REQUEST)")
    raise _not_a_csr(where)


def _wrapped(data: bytes, where: str) -> x509.CertificateSigningRequest:
    """One in UTF-16, as PowerShell writes files, or in base64 without its lines. A .p12 may hold a private key."""
    try:
        request = open_upload(data, where).request
    except BadInput as error:
        if error.code == "private_key_given":
            raise
        raise _not_a_csr(where) from error
    if request is None:
        raise _not_a_csr(where)
    return request


def _not_a_csr(where: str) -> BadInput:
    return BadInput(
        "is no CSR",
        where=where,
        expected="a PKCS#10 request in PEM or DER",
        fix="Make one: openssl req -new -key client.key -out client.csr",
        code="not_a_csr",
    )


def _asked_names(extensions: x509.Extensions, where: str) -> tuple[str, ...]:
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    texts = san_texts(names)
    if len(texts) > MAX_NAMES:
        raise BadInput(f"the CSR asks for {len(texts)} names", where=where, expected=f"at most {MAX_NAMES}")
    return tuple(texts)


def _extension_text(extension: x509.Extension[x509.ExtensionType]) -> str:
    """`basicConstraints: CA:TRUE`, as people know it from OpenSSL."""
    value = extension.value
    if isinstance(value, x509.BasicConstraints):
        return f"basicConstraints: CA:{str(value.ca).upper()}"
    if isinstance(value, x509.KeyUsage):
        return f"keyUsage: {', '.join(_usages(value))}"
    if isinstance(value, x509.ExtendedKeyUsage):
        return f"extendedKeyUsage: {_purposes(value)}"
    if isinstance(value, x509.SubjectAlternativeName):
        return f"subjectAltName: {counted(len(list(value)), 'name')}"
    name = shown(getattr(extension.oid, "_name", "Unknown OID"))
    return f"{name if name != 'Unknown OID' else extension.oid.dotted_string}: (a value)"


def _usages(usage: x509.KeyUsage) -> Iterable[str]:
    names = {
        "digital_signature": "digitalSignature",
        "content_commitment": "nonRepudiation",
        "key_encipherment": "keyEncipherment",
        "data_encipherment": "dataEncipherment",
        "key_agreement": "keyAgreement",
        "key_cert_sign": "keyCertSign",
        "crl_sign": "cRLSign",
    }
    return [word for attribute, word in names.items() if getattr(usage, attribute)]


def _purposes(purposes: x509.ExtendedKeyUsage) -> str:
    words = {ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth", ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth"}
    return ", ".join(words.get(purpose, purpose.dotted_string) for purpose in list(purposes)[:MAX_NAMES])


def _usage_given(prepared: Prepared) -> list[str]:
    if isinstance(prepared.profile, ClientProfile):
        purpose = "clientAuth"
    elif isinstance(prepared.profile, ServerProfile):
        purpose = "serverAuth"
    else:
        return ["basicConstraints: CA:TRUE", "keyUsage: keyCertSign, cRLSign"]
    return ["basicConstraints: CA:FALSE", "keyUsage: digitalSignature", f"extendedKeyUsage: {purpose}"]
