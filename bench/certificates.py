"""The certificates that every subject of the benchmark is given.

One root, a P-256 server certificate for localhost, three P-256 client certificates (client; revoked, listed in every
CRL; stranger, from a root that nobody trusts), and on request a CRL with any number of revoked serials and a bundle
with any number of further CAs. Everything is written as PEM into one folder.
"""

import datetime
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)  # noqa: TID251 - stands outside the package
DAY = datetime.timedelta(days=1)

Pair = tuple[ec.EllipticCurvePrivateKey, x509.Certificate]


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _authority(common_name: str) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .issuer_name(_name(common_name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + 365 * DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def _leaf(
    common_name: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate,
    usage: x509.ObjectIdentifier,
    names: Sequence[str] = (),
) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + 90 * DAY)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
    return key, builder.sign(issuer_key, hashes.SHA256())


def make(folder: Path) -> Pair:
    """Write root.pem/.key, ca.pem, and .pem/.key/.both of server, client, revoked and stranger.

    Returns the root's key and certificate.
    """
    folder.mkdir(parents=True, exist_ok=True)
    root_key, root = _authority("bench root")
    (folder / "root.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    (folder / "ca.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    _write_key(folder / "root.key", root_key)
    foreign_key, foreign = _authority("foreign root")
    for name, usage, names in (
        ("server", ExtendedKeyUsageOID.SERVER_AUTH, ["localhost"]),
        ("client", ExtendedKeyUsageOID.CLIENT_AUTH, ()),
        ("revoked", ExtendedKeyUsageOID.CLIENT_AUTH, ()),
        ("stranger", ExtendedKeyUsageOID.CLIENT_AUTH, ()),
    ):
        issuer_key, issuer = (foreign_key, foreign) if name == "stranger" else (root_key, root)
        key, certificate = _leaf("localhost" if name == "server" else f"bench {name}", issuer_key, issuer, usage, names)
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        _write_key(folder / f"{name}.key", key)
        (folder / f"{name}.both").write_bytes(
            (folder / f"{name}.pem").read_bytes() + (folder / f"{name}.key").read_bytes()
        )
    return root_key, root


def load_root(folder: Path) -> Pair:
    """The key and certificate of the root that make() wrote."""
    key = serialization.load_pem_private_key((folder / "root.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key, x509.load_pem_x509_certificate((folder / "root.pem").read_bytes())


def serial(folder: Path, name: str) -> int:
    """The serial number of the certificate written as NAME.pem."""
    return x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes()).serial_number


def write_bundle(path: Path, root: x509.Certificate, further: int) -> None:
    """The root and `further` other CAs, each with its own key and subject.

    Beside it STEM-client.pem/.key, a client of the last one. The bundle has its name last of all, once it is whole: who
    was interrupted makes it anew.
    """
    unfinished = path.with_suffix(".new")
    with open(unfinished, "wb") as out:
        out.write(root.public_bytes(serialization.Encoding.PEM))
        for number in range(further):
            key, authority = _authority(f"partner authority {number:06d}")
            out.write(authority.public_bytes(serialization.Encoding.PEM))
    client_key, client = _leaf("client of the last authority", key, authority, ExtendedKeyUsageOID.CLIENT_AUTH)
    path.with_name(f"{path.stem}-client.pem").write_bytes(client.public_bytes(serialization.Encoding.PEM))
    _write_key(path.with_name(f"{path.stem}-client.key"), client_key)
    unfinished.replace(path)


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 128:
        return bytes([tag, length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + content


def write_crl(
    path: Path, root_key: ec.EllipticCurvePrivateKey, root: x509.Certificate, count: int, also: Sequence[int] = ()
) -> None:
    """A CRL (RFC 5280 5) of `count` 16-byte serials and the serials in `also`.

    It is encoded directly: builders copy their list for each entry.
    """
    stamp = _der(0x17, NOW.strftime("%y%m%d%H%M%SZ").encode())
    later = _der(0x17, (NOW + 30 * DAY).strftime("%y%m%d%H%M%SZ").encode())
    algorithm = _der(0x30, bytes.fromhex("06082a8648ce3d040302"))  # ecdsa-with-SHA256
    entries = b"".join(_der(0x30, _der(0x02, b"\x40" + number.to_bytes(15, "big")) + stamp) for number in range(count))
    for serial in also:
        entries += _der(0x30, _der(0x02, serial.to_bytes((serial.bit_length() // 8) + 1, "big")) + stamp)
    revoked = _der(0x30, entries) if entries else b""
    numbered = _der(0xA0, _der(0x30, _der(0x30, bytes.fromhex("0603551d14") + _der(0x04, _der(0x02, b"\x01")))))
    tbs = _der(0x30, _der(0x02, b"\x01") + algorithm + root.subject.public_bytes() + stamp + later + revoked + numbered)
    signature = root_key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    crl = x509.load_der_x509_crl(_der(0x30, tbs + algorithm + _der(0x03, b"\x00" + signature)))
    path.write_bytes(crl.public_bytes(serialization.Encoding.PEM))
