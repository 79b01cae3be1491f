"""Certificates and lists in one line each, for `make.py`; `openssl_recipe` types the old commands unchanged."""

import datetime
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID as Eku
from cryptography.x509.oid import NameOID

# A month from now: the openssl command before 3.4 dates certificates from the moment it runs.
_NOW = datetime.datetime.now(datetime.UTC)  # noqa: TID251 -- the openssl command dates by the real clock, too
AT = _NOW.replace(hour=12, minute=0, second=0, microsecond=0) + datetime.timedelta(days=30)
NOW = int(AT.timestamp())
DAY = datetime.timedelta(days=1)
PEM = serialization.Encoding.PEM


@dataclass
class Made:
    """A certificate and the key that it speaks of."""

    certificate: x509.Certificate
    key: object

    @property
    def pem(self):
        return self.certificate.public_bytes(PEM).decode()


def name(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def p256():
    return ec.generate_private_key(ec.SECP256R1())


def make(
    subject,
    issuer=None,
    *,
    key=None,
    ca=None,
    path_length=None,
    eku=(Eku.CLIENT_AUTH,),
    usage="auto",
    sans=(),
    extra=(),
    aki=True,
    before=AT - 30 * DAY,
    after=AT + 300 * DAY,
    digest="auto",
    rsa_padding=None,
    serial=None,
):
    """One certificate; without `issuer` it signs itself. `usage` "auto" is what a CA or a client usually has."""
    key = key or p256()
    signer = issuer.key if issuer else key
    issuer_name = issuer.certificate.subject if issuer else name(subject)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject) if isinstance(subject, str) else subject)
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


def key_usage(*bits):
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
        "key_cert_sign crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{bit: bit in bits for bit in names.split()})


def openssl_recipe(*, root_options=(), leaf_options=(), days="500", version_one_root=False, with_key=False):
    """The old recipe typed unchanged: a root by `req -x509`, a leaf by `x509 -req`.

    Returns (root, leaf) as PEM; `with_key`, the leaf is a `Made`.
    """
    with tempfile.TemporaryDirectory() as folder:

        def run(*command):
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
            leaf = x509.load_pem_x509_certificate((Path(folder) / "client.crt").read_bytes())
            return (Path(folder) / "rootCA.pem").read_text(), Made(leaf, key)
        return tuple((Path(folder) / file).read_text() for file in ("rootCA.pem", "client.crt"))


def crl(issuer, revoked=(), *, before=AT - DAY, after=AT + DAY, number=1, signer=None, extra=()):
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
