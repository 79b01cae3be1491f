"""Makes authorities and certificates, honest and hostile, without any code of ours: pyca/cryptography only.

That what the gate is shown was made elsewhere keeps a mistake of ours from agreeing with itself.
"""

import base64
import hashlib
import ssl
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Identity:
    """What a client proves itself with: a PEM file with the leaf first, and the PEM file of its key."""

    certificate: Path
    key: Path

    def leaf(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate.read_bytes())


@dataclass(frozen=True)
class Authority:
    """A CA made here, with its files."""

    certificate: x509.Certificate
    private_key: PrivateKey
    certificate_file: Path
    key_file: Path


def now() -> datetime:
    """The time as the gate under test sees it: the system's."""
    return datetime.fromtimestamp(time.clock_gettime(time.CLOCK_REALTIME), UTC)


def private_key(kind: str) -> PrivateKey:
    """`rsa1024`, `rsa2048`, …, `p256`, `p384`, `p521`, `ed25519`."""
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:]))
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key({"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}[kind])


def name(common_name: str, organisation: str | None = None) -> x509.Name:
    """A subject; not checked, so that it may hold what no honest one does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # beyond 64 characters is not honest either
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name, _validate=False)]
    if organisation is not None:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(attributes)


def authority(folder: Path, common_name: str = "Estate root", kind: str = "p256") -> Authority:
    """A root with basicConstraints and key usages, in `root.pem` and `root.key` of `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    key = private_key(kind)
    subject = name(common_name)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - 30 * DAY)
        .not_valid_after(now() + 365 * DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_ca_usage(), critical=True)
    )
    certificate = builder.sign(key, _hash(key))
    files = folder / "root.pem", folder / "root.key"
    files[0].write_bytes(_pem(certificate))
    files[1].write_bytes(_key_pem(key))
    return Authority(certificate, key, *files)


def leaf(
    folder: Path,
    issuer: Authority,
    common_name: str = "somebody",
    *,
    kind: str = "p256",
    key: PrivateKey | None = None,
    subject: x509.Name | None = None,
    not_before: timedelta = -DAY,
    not_after: timedelta = 30 * DAY,
    usages: Sequence[ObjectIdentifier] | None = (CLIENT_AUTH,),
    ca: bool | None = False,
    serial: int | None = None,
    alternative_names: Sequence[x509.GeneralName] = (),
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    tampered: bool = False,
) -> Identity:
    """A client certificate under `issuer`, flawed as asked; `not_before` and `not_after` count from now."""
    folder.mkdir(parents=True, exist_ok=True)
    key = key or private_key(kind)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject or name(common_name))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(now() + not_before)
        .not_valid_after(now() + not_after)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if ca:
        builder = builder.add_extension(_ca_usage(), critical=True)
    if usages is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if alternative_names:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternative_names), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    certificate = builder.sign(issuer.private_key, _hash(issuer.private_key))
    return written(folder, certificate, key, tampered=tampered)


def self_signed(folder: Path, common_name: str = "self-made", kind: str = "p256") -> Identity:
    """A certificate that vouches for itself and is no CA."""
    key = private_key(kind)
    subject = name(common_name)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now() - DAY).not_valid_after(now() + 30 * DAY)
    return written(folder, builder.sign(key, _hash(key)), key)


def written(folder: Path, certificate: x509.Certificate, key: PrivateKey, *, tampered: bool = False) -> Identity:
    """Writes both to new files; `tampered` turns one bit of the signature."""
    folder.mkdir(parents=True, exist_ok=True)
    der = bytearray(certificate.public_bytes(serialization.Encoding.DER))
    if tampered:
        der[-1] ^= 1
    stem = f"{certificate.serial_number:x}{'-tampered' if tampered else ''}"
    files = folder / f"{stem}.pem", folder / f"{stem}.key"
    files[0].write_bytes(_der_to_pem(bytes(der)))
    files[1].write_bytes(_key_pem(key))
    return Identity(*files)


def request(folder: Path, common_name: str, kind: str = "p256") -> tuple[Path, Path]:
    """A CSR and its key, as files."""
    folder.mkdir(parents=True, exist_ok=True)
    key = private_key(kind)
    csr = x509.CertificateSigningRequestBuilder().subject_name(name(common_name)).sign(key, _hash(key))
    stem = f"{common_name}-{x509.random_serial_number():x}"
    files = folder / f"{stem}.csr", folder / f"{stem}.key"
    files[0].write_bytes(csr.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(_key_pem(key))
    return files


def from_bundle(folder: Path, bundle: Path, password: str) -> Identity:
    """The identity in a `.p12`, as PEM files."""
    key, certificate, _ = pkcs12.load_key_and_certificates(bundle.read_bytes(), password.encode())
    assert certificate is not None
    assert isinstance(key, PrivateKey)
    return written(folder, certificate, key)


def bundle(folder: Path, identity: Identity, password: str) -> Path:
    """The identity as a `.p12`, as OpenSSL 3 writes it."""
    key = serialization.load_pem_private_key(identity.key.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    encryption = serialization.BestAvailableEncryption(password.encode())
    path = folder / f"{identity.certificate.stem}.p12"
    path.write_bytes(pkcs12.serialize_key_and_certificates(b"own", key, identity.leaf(), None, encryption))
    return path


def revocation_list(
    issuer: Authority, serials: Sequence[int], *, part: str | None = None, delta_of: int | None = None
) -> bytes:
    """A CRL (DER); `part` makes it one for a single distribution point, `delta_of` a delta (RFC 5280 5.2.4, 5.2.5)."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.certificate.subject)
    builder = builder.last_update(now() - DAY).next_update(now() + 7 * DAY)
    builder = builder.add_extension(x509.CRLNumber(2), critical=False)
    if part is not None:
        point = x509.IssuingDistributionPoint(
            [x509.UniformResourceIdentifier(part)], None, False, False, None, False, False
        )
        builder = builder.add_extension(point, critical=True)
    if delta_of is not None:
        builder = builder.add_extension(x509.DeltaCRLIndicator(delta_of), critical=True)
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now() - DAY)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(issuer.private_key, _hash(issuer.private_key)).public_bytes(serialization.Encoding.DER)


def spki(certificate: x509.Certificate) -> bytes:
    """SHA-256 of its SubjectPublicKeyInfo."""
    key = certificate.public_key()
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).digest()


def stolen(folder: Path, identity: Identity) -> Path:
    """A P-256 key file that claims the public key of `identity` beside a private number of its own.

    OpenSSL compares the public halves only: with this file it shows the certificate and signs with the other key.
    """
    public = identity.leaf().public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    point = public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    number = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value.to_bytes(32)
    curve = bytes.fromhex("06082a8648ce3d030107")
    # RFC 5915 3: ECPrivateKey
    body = b"\x02\x01\x01" + b"\x04\x20" + number
    body += b"\xa0" + bytes([len(curve)]) + curve + b"\xa1\x44\x03\x42\x00" + point
    der = b"\x30" + bytes([len(body)]) + body
    text = base64.encodebytes(der).decode()
    out = folder / "stolen.key"
    out.write_text(f"-----BEGIN EC PRIVATE KEY-----\n{text}-----END EC PRIVATE KEY-----\n")
    return out


def _hash(key: PrivateKey) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _ca_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _der_to_pem(der: bytes) -> bytes:
    return ssl.DER_cert_to_PEM_cert(der).encode()


def _key_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
