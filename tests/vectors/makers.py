"""Certificates and lists in one line each, for `make.py`; `openssl_recipe` types the old commands unchanged."""

import datetime
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, overload

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID as Eku
from cryptography.x509.oid import NameOID

# A month from now: the openssl command before 3.4 dates certificates from the moment it runs.
_NOW = datetime.datetime.now(datetime.UTC)  # noqa: TID251 -- the openssl command dates by the real clock, too
AT = _NOW.replace(hour=12, minute=0, second=0, microsecond=0) + datetime.timedelta(days=30)
NOW = int(AT.timestamp())
DAY = datetime.timedelta(days=1)
PEM = serialization.Encoding.PEM

Key = (
    ec.EllipticCurvePrivateKey
    | rsa.RSAPrivateKey
    | dsa.DSAPrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)
Extension = tuple[x509.ExtensionType, bool]
"""One, and whether it is critical."""


@dataclass
class Made:
    """A certificate and the key that it speaks of."""

    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(PEM).decode()


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def make(
    subject: str | x509.Name,
    issuer: Made | None = None,
    *,
    key: Key | None = None,
    ca: bool | None = None,
    path_length: int | None = None,
    eku: Sequence[x509.ObjectIdentifier] | None = (Eku.CLIENT_AUTH,),
    usage: Sequence[str] | None = "auto",
    sans: Sequence[x509.GeneralName] = (),
    extra: Sequence[Extension] = (),
    aki: bool = True,
    before: datetime.datetime = AT - 30 * DAY,
    after: datetime.datetime = AT + 300 * DAY,
    digest: hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | Literal["auto"] | None = "auto",
    rsa_padding: padding.PSS | padding.PKCS1v15 | None = None,
    serial: int | None = None,
) -> Made:
    """One certificate; without `issuer` it signs itself. `usage` "auto" is what a CA or a client usually has."""
    key = key or p256()
    signer = issuer.key if issuer else key
    subject_name = name(subject) if isinstance(subject, str) else subject
    issuer_name = issuer.certificate.subject if issuer else subject_name
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject_name)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(before)
        .not_valid_after(after)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
    if usage == "auto":
        usage = ("key_cert_sign", "crl_sign") if ca else ("digital_signature",)
    if usage:
        builder = builder.add_extension(key_usage(*usage), critical=True)
    if eku and not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage(eku), critical=False)
    if ca:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    if issuer and aki:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    if sans:
        builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical=critical)
    if digest == "auto":
        digest = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Made(builder.sign(signer, digest, rsa_padding=rsa_padding), key)


def key_usage(*bits: str) -> x509.KeyUsage:
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
        "key_cert_sign crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{bit: bit in bits for bit in names.split()})


@overload
def openssl_recipe(
    *,
    root_options: Sequence[str] = ...,
    leaf_options: Sequence[str] = ...,
    days: str = ...,
    version_one_root: bool = ...,
    with_key: Literal[True],
) -> tuple[str, Made]: ...
@overload
def openssl_recipe(
    *,
    root_options: Sequence[str] = ...,
    leaf_options: Sequence[str] = ...,
    days: str = ...,
    version_one_root: bool = ...,
) -> tuple[str, str]: ...
def openssl_recipe(
    *,
    root_options: Sequence[str] = (),
    leaf_options: Sequence[str] = (),
    days: str = "500",
    version_one_root: bool = False,
    with_key: bool = False,
) -> tuple[str, str | Made]:
    """The old recipe typed unchanged: a root by `req -x509`, a leaf by `x509 -req`.

    Returns (root, leaf) as PEM; `with_key`, the leaf is a `Made`.
    """
    with tempfile.TemporaryDirectory() as folder:

        def run(*command: str) -> None:
            subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)

        run("genrsa", "-out", "rootCA.key", "2048")
        if version_one_root:
            run("req", "-new", "-key", "rootCA.key", "-out", "root.csr", "-subj", "/CN=Old Root")
            run(
                "x509",
                "-req",
                "-in",
                "root.csr",
                "-signkey",
                "rootCA.key",
                "-out",
                "rootCA.pem",
                "-days",
                "3650",
                "-sha256",
            )
        else:
            run(
                "req",
                "-x509",
                "-new",
                "-key",
                "rootCA.key",
                "-sha256",
                "-days",
                "3650",
                "-out",
                "rootCA.pem",
                "-subj",
                "/CN=Old Root",
                *root_options,
            )
        run("genrsa", "-out", "client.key", "2048")
        run("req", "-new", "-key", "client.key", "-out", "client.csr", "-subj", "/CN=Old Client")
        serial = [] if "-set_serial" in leaf_options else ["-CAcreateserial"]
        digest = [] if any(option in ("-sha1", "-md5") for option in leaf_options) else ["-sha256"]
        sign = [
            "x509",
            "-req",
            "-in",
            "client.csr",
            "-CA",
            "rootCA.pem",
            "-CAkey",
            "rootCA.key",
            "-out",
            "client.crt",
            "-days",
            days,
        ]
        run(*sign, *serial, *digest, *leaf_options)
        if with_key:
            key = serialization.load_pem_private_key((Path(folder) / "client.key").read_bytes(), None)
            assert isinstance(key, Key)
            leaf = x509.load_pem_x509_certificate((Path(folder) / "client.crt").read_bytes())
            return (Path(folder) / "rootCA.pem").read_text(), Made(leaf, key)
        return (Path(folder) / "rootCA.pem").read_text(), (Path(folder) / "client.crt").read_text()


def crl(
    issuer: Made,
    revoked: Iterable[Made] = (),
    *,
    before: datetime.datetime = AT - DAY,
    after: datetime.datetime = AT + DAY,
    number: int | None = 1,
    signer: Made | None = None,
    extra: Sequence[Extension] = (),
) -> str:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(before)
        .next_update(after)
    )
    if number:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical=critical)
    for made in revoked:
        entry = (
            x509.RevokedCertificateBuilder().serial_number(made.certificate.serial_number).revocation_date(AT - 2 * DAY)
        )
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign((signer or issuer).key, hashes.SHA256()).public_bytes(PEM).decode()
