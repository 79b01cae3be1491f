"""Any certificate, good or bad, in one line: for the tests of the whole project.

    root = pki.ca("root")
    issuing = pki.ca("issuing", parent=root, path_length=0)
    alice = pki.leaf(issuing, "alice")
    pki.leaf(root, "late", days=-1)                        # expired
    pki.leaf(root, "server", eku=[SERVER_AUTH])            # or eku=None for none
    pki.leaf(root, "sub", ca=True)
    pki.leaf(root, "small", key=pki.rsa_key(1024))
    pki.v1_leaf(root, "old")                               # by the openssl command line, as the old recipe does
    pki.as_v1(alice)                                       # v1 with the dates and names of another one
    pki.tampered(alice)                                    # the signature does not verify
    pki.ca("root")                                         # another authority with the same name

Every certificate has a P-256 key of its own, which costs nothing to make; RSA keys come from `rsa_key`, which makes
each one once.
Times are relative to `NOW`, a fixed moment, unless `now=` says otherwise; pass pki.real_now() for tests with real TLS.
"""

from __future__ import annotations

import functools
import ipaddress
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mutualgate.clock import system_clock
from mutualgate.model.legible import Legible, legible

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
Hash = hashes.SHA256 | hashes.SHA384 | hashes.SHA512
Names = Sequence[x509.GeneralName]

NOW = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH
PASSWORD = "correct-horse-battery"

_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)


@dataclass(frozen=True)
class Issued:
    """A certificate, its key, and who signed it (None: itself)."""

    certificate: x509.Certificate
    key: Key
    parent: Issued | None = None

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def legible(self) -> Legible:
        return legible(self.der)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """PKCS#8, not encrypted."""
        return key_pem(self.key)

    @property
    def chain(self) -> list[Issued]:
        """It and everything above it but the root: what a client sends."""
        links: list[Issued] = [self]
        while links[-1].parent is not None and links[-1].parent.parent is not None:
            links.append(links[-1].parent)
        return links

    @property
    def chain_der(self) -> list[bytes]:
        return [link.der for link in self.chain]

    @property
    def chain_pem(self) -> bytes:
        return b"".join(link.pem for link in self.chain)

    @property
    def serial(self) -> bytes:
        """Big-endian, without leading zero octets: as the snapshot has it."""
        number = self.certificate.serial_number
        return number.to_bytes((number.bit_length() + 7) // 8, "big")

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Writes NAME.crt (with the chain) and NAME.key into `folder`."""
        certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
        certificate.write_bytes(self.chain_pem)
        key.write_bytes(self.key_pem)
        key.chmod(0o600)
        return certificate, key

    def write_p12(self, folder: Path, name: str, password: str = PASSWORD) -> Path:
        """Writes NAME.p12 with key, certificate and chain, as OpenSSL 3 writes it."""
        path = folder / f"{name}.p12"
        above = [link.certificate for link in self.chain[1:]]
        encryption = BestAvailableEncryption(password.encode())
        assert not isinstance(self.key, ed448.Ed448PrivateKey)
        path.write_bytes(
            pkcs12.serialize_key_and_certificates(name.encode(), self.key, self.certificate, above, encryption)
        )
        return path


def real_now() -> datetime:
    """The machine's time, for tests in which programs with clocks of their own take part."""
    return system_clock()


def ca(
    name: str = "Test CA",
    parent: Issued | None = None,
    *,
    key: Key | None = None,
    path_length: int | None = None,
    days: float = 3650,
    key_usage: bool = True,
    basic_constraints: bool = True,
    more: Sequence[x509.ExtensionType] = (),
    **anything: Any,
) -> Issued:
    """An authority, self-signed or under `parent`. `key_usage=False` makes it as `openssl req -x509` does; `more` are
    critical extensions besides."""
    extensions: list[tuple[x509.ExtensionType, bool]] = []
    if basic_constraints:
        extensions.append((x509.BasicConstraints(ca=True, path_length=path_length), True))
    if key_usage:
        extensions.append((usage(key_cert_sign=True, crl_sign=True), True))
    extensions += [(one, True) for one in more]
    return issue(parent, name, key=key, days=days, extensions=extensions, **anything)


def leaf(
    parent: Issued | None,
    name: str = "client",
    *,
    key: Key | None = None,
    days: float = 365,
    eku: list[x509.ObjectIdentifier] | None = [CLIENT_AUTH],  # noqa: B006 - never changed
    ca: bool | None = False,
    sans: Names | Sequence[str] | None = None,
    **anything: Any,
) -> Issued:
    """A client's certificate by `parent`, or self-signed (None). `eku=None` and `ca=None` leave the extension out.

    `days` < 0: it expired that many days before NOW. `sans`: names, or host names and addresses as text.
    """
    extensions: list[tuple[x509.ExtensionType, bool]] = []
    if ca is not None:
        extensions.append((x509.BasicConstraints(ca=ca, path_length=None), True))
    if eku is not None:
        extensions.append((x509.ExtendedKeyUsage(eku), False))
    if sans:
        extensions.append((x509.SubjectAlternativeName([_name(name) for name in sans]), False))
    return issue(parent, name, key=key, days=days, extensions=extensions, **anything)


def server(parent: Issued, *hosts: str, **anything: Any) -> Issued:
    """A server's certificate for `hosts` (localhost and 127.0.0.1 when none is given)."""
    names: list[str] = list(hosts or ("localhost", "127.0.0.1"))
    return leaf(parent, names[0], eku=[SERVER_AUTH], sans=names, **anything)


def issue(
    parent: Issued | None,
    name: str | x509.Name,
    *,
    key: Key | None = None,
    now: datetime = NOW,
    days: float = 365,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
    serial: int | None = None,
    extensions: list[tuple[x509.ExtensionType, bool]] | None = None,
    identifiers: bool = True,
    issuer_name: x509.Name | None = None,
    signed_by: Key | None = None,
    hash_algorithm: Hash | None = None,
    pss: bool = False,
) -> Issued:
    """Everything that can be set. `signed_by`: another key than the parent's; `identifiers`: SKI and AKI."""
    key = key or fresh_key()
    subject = name if isinstance(name, x509.Name) else common_name(name)
    signer = signed_by or (parent.key if parent else key)
    end = not_after or now + timedelta(days=days)
    begin = not_before or min(now, end - timedelta(days=30)) - timedelta(minutes=5)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name or (parent.certificate.subject if parent else subject))
        .public_key(key.public_key())
        .serial_number(serial if serial is not None else x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )
    for value, critical in extensions or []:
        builder = builder.add_extension(value, critical)
    if identifiers:
        issuer_key = parent.key.public_key() if parent else key.public_key()
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), False)
    certificate = builder.sign(signer, _hash(signer, hash_algorithm), rsa_padding=_PSS if pss else None)
    return Issued(certificate, key, parent)


def tampered(issued: Issued) -> Issued:
    """The same certificate with the last bit of its signature turned."""
    der = bytearray(issued.der)
    der[-1] ^= 1
    return Issued(x509.load_der_x509_certificate(bytes(der)), issued.key, issued.parent)


def changed(issued: Issued, old: bytes, new: bytes) -> Issued:
    """The same certificate with `old` replaced in its DER by `new`, as long: the signature does not verify."""
    assert len(old) == len(new)
    assert old in issued.der
    return Issued(x509.load_der_x509_certificate(issued.der.replace(old, new)), issued.key, issued.parent)


def v1_leaf(
    parent: Issued,
    name: str = "old",
    *,
    key: Key | None = None,
    days: int = 500,
    serial: int | None = None,
    md: str = "sha256",
) -> Issued:
    """An X.509 v1 certificate as `openssl x509 -req` makes it without -extfile, before 3.2 (`openssl_makes_v1`).

    Its validity begins at the machine's time, for that is what the command does. `md`: sha1 and md5, too.
    """
    key = key or fresh_key()
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "ca.pem").write_bytes(parent.pem)
        (here / "ca.key").write_bytes(parent.key_pem)
        (here / "client.csr").write_bytes(csr(key, name))
        openssl(
            *("x509", "-req", "-in", "client.csr", "-CA", "ca.pem", "-CAkey", "ca.key", f"-{md}", "-days", str(days)),
            *("-set_serial", str(serial or x509.random_serial_number()), "-out", "client.crt"),
            cwd=here,
        )
        certificate = x509.load_pem_x509_certificate((here / "client.crt").read_bytes())
    return Issued(certificate, key, parent)


def as_v1(issued: Issued, *, keep_extensions: bool = False) -> Issued:
    """The same certificate as X.509 v1, signed again by the same issuer; v1 *with* extensions is against RFC 5280."""
    tbs = _parts(_parts(issued.certificate.tbs_certificate_bytes)[0][1])
    kept = [part for part in tbs if part[0] != 0xA0 and (keep_extensions or part[0] != 0xA3)]
    return resigned(issued, _der(0x30, b"".join(_der(tag, value) for tag, value in kept)))


def named_in_latin_1(parent: Issued | None = None, **anything: Any) -> Issued:
    """A leaf whose common name is "Zoë" as old tools wrote it, in T61String: pyca/cryptography cannot read it."""
    plain = leaf(parent, "Zoe", **anything)
    tbs = plain.certificate.tbs_certificate_bytes
    return resigned(plain, tbs.replace(b"\x0c\x03Zoe", b"\x14\x03Zo\xeb"))


def resigned(issued: Issued, tbs: bytes) -> Issued:
    """A certificate with the content `tbs` (DER), signed by the issuer of `issued`, whose key is EC or RSA."""
    signer = (issued.parent or issued).key
    if isinstance(signer, ec.EllipticCurvePrivateKey):
        signature = signer.sign(tbs, ec.ECDSA(hashes.SHA256()))
    else:
        assert isinstance(signer, rsa.RSAPrivateKey)
        signature = signer.sign(tbs, padding.PKCS1v15(), hashes.SHA256())
    algorithm = _parts(_parts(issued.der)[0][1])[1]
    der = _der(0x30, tbs + _der(*algorithm) + _der(0x03, b"\0" + signature))
    return Issued(x509.load_der_x509_certificate(der), issued.key, issued.parent)


def _der(tag: int, value: bytes) -> bytes:
    """One DER element."""
    if len(value) < 128:
        return bytes([tag, len(value)]) + value
    size = len(value).to_bytes((len(value).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + value


def _parts(der: bytes) -> list[tuple[int, bytes]]:
    """The elements that follow one another in `der`: tag and value."""
    parts = []
    while der:
        length, start = der[1], 2
        if length & 0x80:
            start += 0x7F & length
            length = int.from_bytes(der[2:start], "big")
        parts.append((der[0], der[start : start + length]))
        der = der[start + length :]
    return parts


def csr(
    key: Key, name: str = "client", *extensions: tuple[x509.ExtensionType, bool], encoding: Encoding = Encoding.PEM
) -> bytes:
    """A certificate signing request."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(common_name(name))
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    return builder.sign(key, _hash(key, None)).public_bytes(encoding)


def certify(parent: Issued, request: x509.CertificateSigningRequest, days: float = 365) -> x509.Certificate:
    """A client's certificate for the key of a request, valid from the machine's time on."""
    now = real_now()
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(parent.certificate.subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.ExtendedKeyUsage([CLIENT_AUTH]), False)
    )
    return builder.sign(parent.key, _hash(parent.key, None))


def crl(
    parent: Issued,
    *serials: int,
    now: datetime = NOW,
    days: float = 7,
    number: int | None = 1,
    reason: x509.ReasonFlags | None = None,
    extensions: list[tuple[x509.ExtensionType, bool]] | None = None,
    encoding: Encoding = Encoding.PEM,
) -> bytes:
    """A CRL of `parent` with `serials`, revoked at `now`."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(parent.certificate.subject)
        .last_update(min(now, now + timedelta(days=days)) - timedelta(minutes=5))
        .next_update(now + timedelta(days=days))
    )
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), False)
    for value, critical in extensions or []:
        builder = builder.add_extension(value, critical)
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
        if reason is not None:
            entry = entry.add_extension(x509.CRLReason(reason), False)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(parent.key, _hash(parent.key, None)).public_bytes(encoding)


def common_name(text: str) -> x509.Name:
    """A subject of a common name alone."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def public_root_name() -> x509.Name:
    """The subject of a CA that browsers trust, as its certificate has it."""
    printable = _ASN1Type.PrintableString
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US", printable),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Internet Security Research Group", printable),
            x509.NameAttribute(NameOID.COMMON_NAME, "ISRG Root X1", printable),
        ]
    )


def usage(**set_bits: bool) -> x509.KeyUsage:
    """keyUsage with the bits that are named."""
    names = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{name: set_bits.get(name, False) for name in names})


def key_pem(key: Key, password: str | None = None) -> bytes:
    """A private key in PEM, PKCS#8."""
    encryption: KeySerializationEncryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def fresh_key() -> ec.EllipticCurvePrivateKey:
    """A P-256 key that nothing else in the tests uses."""
    return ec.generate_private_key(ec.SECP256R1())


@functools.cache
def rsa_key(bits: int = 2048, number: int = 0, exponent: int = 65537) -> rsa.RSAPrivateKey:
    """An RSA key, the same one each time for the same arguments."""
    if exponent == 65537:
        return rsa.generate_private_key(public_exponent=65537, key_size=bits)
    option = f"rsa_keygen_pubexp:{exponent}"
    pem = openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}", "-pkeyopt", option)
    return _load_rsa(pem)


@functools.cache
def ec_key(curve: str = "P-256", number: int = 0) -> ec.EllipticCurvePrivateKey:
    """A key on P-256, P-384, P-521 or secp256k1, the same one each time for the same arguments."""
    curves: dict[str, ec.EllipticCurve] = {
        "P-256": ec.SECP256R1(),
        "P-384": ec.SECP384R1(),
        "P-521": ec.SECP521R1(),
        "secp256k1": ec.SECP256K1(),
    }
    return ec.generate_private_key(curves[curve])


@functools.cache
def ed25519_key(number: int = 0) -> ed25519.Ed25519PrivateKey:
    """An Ed25519 key, the same one each time for the same number."""
    return ed25519.Ed25519PrivateKey.generate()


def openssl(*arguments: str, cwd: Path | None = None, stdin: bytes | None = None) -> bytes:
    """Runs the openssl command; its standard output. AssertionError with what it said when it fails."""
    done = subprocess.run(["openssl", *arguments], cwd=cwd, input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


@functools.cache
def openssl_makes_v1() -> bool:
    """Whether `openssl x509 -req` here still makes X.509 v1 (before 3.2)."""
    version = openssl("version").split()[1].decode()
    return tuple(int(part) for part in version.split(".")[:2]) < (3, 2)


def _hash(key: Key, wanted: Hash | None) -> Hash | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else wanted or hashes.SHA256()


def _load_rsa(pem: bytes) -> rsa.RSAPrivateKey:
    key = load_pem_private_key(pem, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def _name(name: x509.GeneralName | str) -> x509.GeneralName:
    if isinstance(name, x509.GeneralName):
        return name
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def oddly_spelt(parent: Issued, text: str, **anything: Any) -> tuple[bytes, Issued]:
    """A leaf, DER, with a PrintableString of whatever is in `text` as common name; and its twin in UTF-8, same key."""
    twin = leaf(parent, text, **anything)
    tail = bytes([len(text)]) + text.encode()
    return respelt(twin, b"\x0c" + tail, b"\x13" + tail), twin


def respelt(issued: Issued, old: bytes, new: bytes, *, sha1: bool = False) -> bytes:
    """The same certificate, DER, with whole elements of it written otherwise, signed again by its issuer.

    `sha1`: by that, and says so; the issuer's key is an RSA key then.
    """
    signer = (issued.parent or issued).key
    assert old in issued.der
    tbs, algorithm = _parts(_parts(issued.der)[0][1])[:2]
    message, how = _otherwise(_der(*tbs), old, new), _der(*algorithm)
    if isinstance(signer, ec.EllipticCurvePrivateKey):
        signature = signer.sign(message, ec.ECDSA(hashes.SHA256()))
    else:
        assert isinstance(signer, rsa.RSAPrivateKey)
        with_rsa = bytes.fromhex("06092a864886f70d0101")  # RFC 4055 5
        if sha1:
            message, how = (_otherwise(one, with_rsa + b"\x0b", with_rsa + b"\x05") for one in (message, how))
        signature = signer.sign(message, padding.PKCS1v15(), hashes.SHA1() if sha1 else hashes.SHA256())
    return _der(0x30, message + how + _der(0x03, b"\0" + signature))


def numbered(issued: Issued, octets: bytes) -> bytes:
    """The same certificate, DER, with these octets as its serial number: those that nobody makes any more, too."""
    digits = issued.serial
    old = digits if digits[0] < 0x80 else b"\0" + digits
    return respelt(issued, _der(2, old), _der(2, octets))


def _otherwise(der: bytes, old: bytes, new: bytes) -> bytes:
    """With `old` in it made `new`, however long, by the innermost of the elements that hold all of it."""
    found = []
    for tag, value in _parts(der):
        if old in value and tag & 0x20:
            inside = _otherwise(value, old, new)
            value = value.replace(old, new) if inside == value else inside
        found.append(_der(tag, value))
    return b"".join(found)
