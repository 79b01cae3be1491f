"""What is in an upload: PEM, DER, PKCS#7 or PKCS#12, up to the certificates; and whether a private key is among it.

Bounded before anything is parsed, and nothing is ever decompressed. Does not know what the certificates are good for:
see `explain`.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from mutualgate.errors import BadInput
from mutualgate.model.legible import Legible, NotLegible, legible
from mutualgate.reading.files import (
    CERTIFICATE_LABELS,
    UNREADABLE,
    legible_at,
    no_certificate,
    odd_serials_allowed,
    pem_blocks,
    private_key_given,
)

if TYPE_CHECKING:
    from asn1crypto import core, pkcs12

MAX_UPLOAD_BYTES = 256 * 1024
"""A chain with its root in any wrapping has 4 to 40 KiB."""
MAX_CERTIFICATES = 20
"""More is a bundle of authorities, and nobody's own certificate."""
MAX_ROUNDS = 600_000
"""PBKDF2 rounds that we are willing to pay for a .p12 without a password; Windows takes no more either."""

_BROKEN = (*UNREADABLE, KeyError, IndexError, AttributeError, RecursionError, RuntimeError)
"""What asn1crypto and pyca/cryptography raise for bytes that are not what they say: it reads lazily and trusts much."""

_KEY_WORDS = re.compile(
    rb"-----? ?BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY|PuTTY-User-Key-File-|BEGIN PGP PRIVATE KEY BLOCK|openssh-key-v1\x00",
    re.IGNORECASE,
)
_JWK = re.compile(rb'"kty"\s{0,20}:')
_JWK_SECRET = re.compile(rb'"(d|k)"\s{0,20}:\s{0,20}"')
_KEYSTORES = {b"\xfe\xed\xfe\xed": "a Java keystore (JKS)", b"\xce\xce\xce\xce": "a Java keystore (JCEKS)"}
_ARCHIVES = {
    b"PK\x03\x04": "a zip archive",
    b"PK\x05\x06": "a zip archive",
    b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a rar archive",
    b"\x28\xb5\x2f\xfd": "a zstd file",
}
_PKCS7_LABELS = ("PKCS7", "CMS", "PKCS #7 SIGNED DATA")
_REQUEST_LABELS = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")
_SIGNED_DATA = "1.2.840.113549.1.7.2"
_INTEGER, _OCTETS, _SEQUENCE = 0x02, 0x04, 0x30  # X.690 identifier octets


@dataclass(frozen=True)
class Contents:
    """What an upload holds. `form`: PEM, DER, PKCS#7 or PKCS#12; certificates as they came; at most one request."""

    form: str
    certificates: tuple[Legible, ...]
    request: x509.CertificateSigningRequest | None = None


def open_upload(data: bytes | bytearray, where: str) -> Contents:
    """What is in `data`. BadInput in one sentence for whatever is no certificate or CSR, or has too much of it.

    `private_key_given` when a private key is among it: a bytearray is then overwritten with zeros before this returns.
    A key on its own is found without a copy being made; one that is wrapped (a .p12, a PEM object with another label)
    has been unwrapped by then, and Python frees that copy, but cannot erase it. Nor can it erase bytes objects: so hand
    in a bytearray.
    """
    try:
        refuse_by_look(data, where)
        return _opened(bytes(data), where)
    except BadInput as refused:
        if refused.code == "private_key_given" and isinstance(data, bytearray):
            wipe(data)
        # The frames that hold the data go with the traceback, the sentence stays.
        raise refused.with_traceback(None) from None


def wipe(data: bytearray) -> None:
    """Overwrites `data` where it lies."""
    data[:] = bytes(len(data))


def refuse_by_look(data: bytes | bytearray, where: str) -> None:
    """Refuses what shows on the outside that it is a private key, an archive, or too much. Copies nothing."""
    if _holds_key_words(data):
        raise private_key_given(where)
    if len(data) > MAX_UPLOAD_BYTES:
        raise BadInput("is too large", where=where, expected=f"at most {MAX_UPLOAD_BYTES} bytes")
    if not data.strip():
        raise BadInput("is empty", where=where, expected="a certificate")
    for magic, word in _KEYSTORES.items():
        if data.startswith(magic):
            raise private_key_given(where, word)
    for magic, word in _ARCHIVES.items():
        if data.startswith(magic):
            raise BadInput(
                f"is {word}, which is not opened here", where=where, expected="the certificate alone", code="archive"
            )
    start = 0
    while (end := _end(data, start)) is not None:  # a key may follow a certificate in one file
        if _is_private_key(data, start):
            raise private_key_given(where)
        start = end


def _opened(data: bytes, where: str) -> Contents:
    text = _as_text(data)
    if text is not None and b"-----BEGIN " in text:
        return _from_pem(text, where)
    if text is not None:
        bare = _bare_base64(text)
        if bare is None:
            raise BadInput("is no certificate", where=where, expected="a certificate in PEM, DER, PKCS#7 or PKCS#12")
        if _is_private_key(bare):
            raise private_key_given(where)
        data = bare
    return _from_der(data, where)


def _holds_key_words(data: bytes | bytearray) -> bool:
    """By its words: PEM, OpenSSH, PuTTY, PGP, JWK; in UTF-16, too, as editors on Windows write."""
    if _KEY_WORDS.search(data) or (_JWK.search(data) and _JWK_SECRET.search(data)):
        return True
    if data[:2] not in (b"\xff\xfe", b"\xfe\xff") and b"\x00" not in data[:4]:
        return False
    plain = bytearray(data)
    try:
        plain = plain.replace(b"\x00", b"")
        return bool(_KEY_WORDS.search(plain) or (_JWK.search(plain) and _JWK_SECRET.search(plain)))
    finally:
        wipe(plain)


def _as_text(data: bytes) -> bytes | None:
    """`data` as ASCII text when it is text: a byte order mark goes, UTF-16 is taken for what it says. Else None."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            return data.decode("utf-16").encode("ascii", "replace")
        except UnicodeError:
            return None
    data = data.removeprefix(b"\xef\xbb\xbf")
    head = data[:1024]
    if b"-----BEGIN " in data and b"\x00" not in head:
        return data
    return data if all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in head) else None


def _bare_base64(text: bytes) -> bytes | None:
    """DER that came as base64 without the lines around it, as web consoles give it."""
    try:
        return base64.b64decode(text.translate(None, b" \t\r\n"), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def _from_pem(data: bytes, where: str) -> Contents:
    certificates: list[Legible] = []
    requests: list[x509.CertificateSigningRequest] = []
    form = "PEM"
    for number, (label, der) in enumerate(pem_blocks(data, where), 1):
        at = f"{where}, PEM object {number}"
        if _is_private_key(der):  # whatever the label says
            raise private_key_given(where)
        if label in CERTIFICATE_LABELS:
            certificates.append(legible_at(der, at))
        elif label == "TRUSTED CERTIFICATE":
            certificates.append(legible_at(_first_element(der, at), at))  # OpenSSL's own: its notes follow
        elif label in _PKCS7_LABELS:
            form = "PKCS#7"
            certificates.extend(_from_pkcs7(der, at))
        elif label == "PKCS12":  # as certtool writes it
            form = "PKCS#12"
            certificates.extend(_from_pkcs12(der, at))
        elif label in _REQUEST_LABELS:
            requests.append(_request(der, at))
        elif label == "X509 CRL":
            raise _crl(at)
        elif label.endswith("PARAMETERS"):
            continue  # `openssl ecparam` writes them before a key; they say nothing by themselves
        else:
            raise BadInput(f"PEM object {number} is no certificate ({label})", where=where, expected="CERTIFICATE")
        _bounded(certificates, where)
    if requests and (certificates or len(requests) > 1):
        raise BadInput("holds a CSR among other things", where=where, expected="certificates, or one CSR alone")
    if not certificates and not requests:
        raise BadInput("holds no certificate", where=where, expected="a certificate in PEM or DER")
    return Contents(form, tuple(certificates), requests[0] if requests else None)


def _from_der(data: bytes, where: str) -> Contents:
    why: Exception | None = None
    with odd_serials_allowed():
        try:
            return Contents("DER", (legible(data),))
        except NotLegible as error:
            why = error
        except UNREADABLE:
            pass
        try:
            return Contents("DER", (), x509.load_der_x509_csr(data))
        except UNREADABLE:
            pass
    kind = _look(data)
    if kind == "pfx":
        return Contents("PKCS#12", tuple(_from_pkcs12(data, where)))
    if kind == "pkcs7":
        return Contents("PKCS#7", tuple(_bounded(_from_pkcs7(data, where), where)))
    if kind == "crl":
        raise _crl(where)
    if why is not None:
        raise no_certificate(why, where)
    raise BadInput("is no certificate", where=where, expected="a certificate in PEM, DER, PKCS#7 or PKCS#12")


def _look(data: bytes) -> str:
    """What the outermost structure is: `pfx`, `pkcs7`, `crl`, or `` for all that pyca/cryptography is asked about."""
    try:
        first, second = islice(_children(data), 2)
        if first[1] == 2 and second[1] == 16:
            return "pfx"  # RFC 7292 4: version INTEGER, authSafe ContentInfo
        if first[1] == 6:
            return "pkcs7"  # RFC 5652 3: contentType OBJECT IDENTIFIER
        # RFC 5280 5.1: a CRL has name and time after the algorithm; a certificate has a serial number first.
        inside = [tag for _, tag, _ in islice(_children(first[2]), 5)]
        if second[1] == 16 and (inside[:4] == [2, 16, 16, 23] or inside[:3] == [16, 16, 23]):
            return "crl"
    except (ValueError, *_BROKEN):
        pass
    return ""


def _children(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Class, tag and whole bytes of each element inside the first element of `data`, which has to be a sequence."""
    from asn1crypto import parser

    _, _, tag, _, content, _ = parser.parse(data, strict=False)
    if tag != 16:
        raise ValueError("no sequence")
    position = 0
    while position < len(content):
        class_, _, tag, header, body, trailer = parser.parse(content[position:], strict=False)
        size = len(header) + len(body) + len(trailer)
        yield class_, tag, content[position : position + size]
        position += size


def _header(data: bytes | bytearray, start: int) -> tuple[int, int, int] | None:
    """Identifier octet, start and end of the contents of the DER element at `start` (X.690 8.1), or None.

    Short tags and definite lengths only, as all DER of private keys has them.
    """
    if start + 2 > len(data):
        return None
    identifier, length, body = data[start], data[start + 1], start + 2
    if length > 0x80:
        octets = length & 0x7F
        if octets > 4:
            return None
        body += octets
        length = int.from_bytes(data[start + 2 : body], "big")
    elif length == 0x80:
        return None
    return (identifier, body, body + length) if body + length <= len(data) else None


def _end(data: bytes | bytearray, start: int) -> int | None:
    """Where the sequence at `start` ends, or None when none is there."""
    found = _header(data, start)
    return found[2] if found is not None and found[0] == _SEQUENCE else None


def _first_element(data: bytes, where: str) -> bytes:
    size = _end(data, 0)
    if size is None:
        raise BadInput("is no X.509 certificate", where=where, expected="a certificate")
    return data[:size]


def _is_private_key(data: bytes | bytearray, start: int = 0) -> bool:
    """Whether the DER at `start` is laid out as a private key, encrypted or not: by structure, nothing is loaded.

    PKCS#8 (RFC 5958) and its encrypted form, PKCS#1 and DSA, SEC 1 (RFC 5915).
    """
    outer = _header(data, start)
    if outer is None or outer[0] != _SEQUENCE:
        return False
    identifiers: list[int] = []
    position = outer[1]
    while position < outer[2] and len(identifiers) < 10:
        element = _header(data, position)
        if element is None:
            return False
        identifiers.append(element[0])
        position = element[2]
    if identifiers[:3] == [_INTEGER, _SEQUENCE, _OCTETS]:
        return True  # PKCS#8: version, algorithm, key
    if identifiers == [_SEQUENCE, _OCTETS]:
        return True  # EncryptedPrivateKeyInfo; a DigestInfo looks alike, and is no certificate either
    if identifiers[:2] == [_INTEGER, _OCTETS]:
        return True  # SEC 1: version, key
    return len(identifiers) >= 6 and set(identifiers) == {_INTEGER}  # RSAPrivateKey has nine integers, a DSA key six


def _from_pkcs7(der: bytes, where: str) -> list[Legible]:
    """The certificates of a SignedData (RFC 5652 5.1); nothing else of it is looked at."""
    from asn1crypto import cms

    try:
        info = cms.ContentInfo.load(der)
        kind = info["content_type"].dotted
        if kind != _SIGNED_DATA:
            raise BadInput(
                "is PKCS#7, but not the kind that carries certificates",
                where=where,
                expected="signed data (a .p7b or .p7c file)",
            )
        choices = info["content"]["certificates"]
        ders = [one.chosen.dump() for one in islice(choices, MAX_CERTIFICATES + 1) if one.name == "certificate"]
    except _BROKEN as error:
        raise BadInput("is PKCS#7 that cannot be read", where=where, expected="a .p7b file") from error
    if not ders:
        raise BadInput("is PKCS#7 without a certificate", where=where, expected="a .p7b file with certificates")
    return [legible_at(one, where) for one in ders]


def _from_pkcs12(data: bytes, where: str) -> list[Legible]:
    """The certificates of a .p12 without a key, not encrypted or with the empty password. No password is asked for."""
    from asn1crypto import pkcs12

    try:
        pfx = pkcs12.Pfx.load(data)
        if pfx["auth_safe"]["content_type"].native != "data":
            raise BadInput("is a .p12 signed with a key, which we do not read", where=where, expected="PKCS#7 or PEM")
        ders, locked, rounds = _bags(pfx, where)
        if pfx["mac_data"]:  # an absent one is core.Void, which is false
            rounds += int(pfx["mac_data"]["iterations"].native)
    except _BROKEN as error:
        raise BadInput("is a .p12 that cannot be read", where=where, expected="PKCS#12 (RFC 7292)") from error
    if not locked:
        if not ders:
            raise BadInput("is a .p12 without a certificate", where=where, expected="a certificate")
        return _bounded([legible_at(der, where) for der in ders], where)
    if rounds > MAX_ROUNDS:
        raise BadInput(
            f"is a .p12 that takes {rounds} rounds to open",
            where=where,
            expected=f"at most {MAX_ROUNDS}",
            code="p12_locked",
        )
    return _bounded(_unlocked(data, where), where)


def _bags(pfx: "pkcs12.Pfx", where: str) -> tuple[list[bytes], bool, int]:
    """Certificates that lie open, whether there is more that is encrypted, and the rounds that opening it takes."""
    from asn1crypto import pkcs12

    ders: list[bytes] = []
    locked, rounds = False, 0
    for info in islice(pfx.authenticated_safe, MAX_CERTIFICATES):
        kind = info["content_type"].native
        if kind == "data":
            contents = pkcs12.SafeContents.load(info["content"].native)
            for bag in islice(contents, MAX_CERTIFICATES + 1):
                if bag["bag_id"].native in ("key_bag", "pkcs8_shrouded_key_bag"):
                    raise private_key_given(where)
                if bag["bag_id"].native == "cert_bag":
                    ders.append(bag["bag_value"]["cert_value"].parsed.dump())
                elif bag["bag_id"].native != "crl_bag":
                    raise BadInput("is a .p12 with more than certificates", where=where, expected="certificates alone")
        elif kind == "encrypted_data":
            locked = True
            rounds += _rounds(info["content"]["encrypted_content_info"]["content_encryption_algorithm"])
        else:
            raise BadInput("is a .p12 encrypted for a key", where=where, expected="PKCS#7 or PEM")
    return ders, locked, rounds


def _rounds(algorithm: "core.Sequence") -> int:
    """The rounds of PBES2 with PBKDF2 (RFC 8018 A.2), or of a PKCS#12 algorithm (RFC 7292 C)."""
    parameters = algorithm["parameters"]
    if algorithm["algorithm"].native == "pbes2":
        return int(parameters["key_derivation_func"]["parameters"]["iteration_count"].native)
    return int(parameters["iterations"].native)


def _unlocked(data: bytes, where: str) -> list[Legible]:
    loaded = None
    for password in (None, b""):  # an absent one and an empty one make different keys (RFC 7292 B.1)
        try:
            with odd_serials_allowed():
                loaded = load_pkcs12(data, password)
            break
        except _BROKEN:
            continue
    if loaded is None:
        raise BadInput(
            "is a .p12 with a password, which is not asked for here: it may hold your private key",
            where=where,
            expected="the certificate alone",
            fix="Take the certificate out: openssl pkcs12 -in FILE.p12 -nokeys -out FILE.pem",
            code="p12_locked",
        )
    if loaded.key is not None:
        raise private_key_given(where)
    found = [] if loaded.cert is None else [loaded.cert.certificate]
    found += [more.certificate for more in loaded.additional_certs]
    if not found:
        raise BadInput("is a .p12 without a certificate", where=where, expected="a certificate")
    return [legible_at(one.public_bytes(Encoding.DER), where) for one in found]


def _bounded(certificates: list[Legible], where: str) -> list[Legible]:
    if len(certificates) > MAX_CERTIFICATES:
        raise BadInput(f"holds more than {MAX_CERTIFICATES} certificates", where=where, expected="yours and its chain")
    return certificates


def _request(der: bytes, where: str) -> x509.CertificateSigningRequest:
    try:
        return x509.load_der_x509_csr(der)
    except UNREADABLE as error:
        raise BadInput("is no CSR that can be read", where=where, expected="PKCS#10 (RFC 2986)") from error


def _crl(where: str) -> BadInput:
    return BadInput("is a list of revoked certificates (CRL)", where=where, expected="a certificate")
