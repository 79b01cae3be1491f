"""What programs want to have: one file each for certificate and key, a .p12, stores for Java; and how they are used."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import (
    PBES,
    PKCS12Certificate,
    serialize_java_truststore,
)

from mutualgate.authorities.p12 import MODERN_ROUNDS, make_p12, make_password
from mutualgate.authorities.p12 import Encoding as Profile
from mutualgate.authorities.private_files import replace_file
from mutualgate.enrolling.kept import Slot
from mutualgate.reading.files import name_text, read_certificates

CERTIFICATE, P12, PASSWORD = "certificate.pem", "client.p12", "password"
KEYSTORE, TRUSTSTORE = "keystore.p12", "truststore.p12"
ALIAS = "mutualgate"


def write_outputs(slot: Slot, profile: Profile, root: Path | None) -> None:
    """Writes into `slot` what is made of its key and chain. Done again, it writes the same, under the same password."""
    key, (leaf, *above) = slot.load_key(), slot.load_chain()
    secret = _password(slot)
    label = name_text(leaf.subject).removeprefix("CN=")
    replace_file(slot.folder / CERTIFICATE, leaf.public_bytes(Encoding.PEM), 0o644)
    replace_file(slot.folder / P12, make_p12(key, leaf, above, secret, profile, label), 0o600)
    # Java's own store type has been PKCS#12 since Java 9; its oldest releases with support read the modern encoding.
    replace_file(slot.folder / KEYSTORE, make_p12(key, leaf, above, secret, Profile.MODERN, ALIAS), 0o600)
    if root is not None:
        trusted = read_certificates(root.read_bytes(), str(root))
        replace_file(slot.folder / TRUSTSTORE, _truststore(trusted, secret), 0o644)


def _password(slot: Slot) -> str:
    path = slot.folder / PASSWORD
    if not path.exists():
        replace_file(path, make_password().encode() + b"\n", 0o600)
    return path.read_text(encoding="ascii").strip()


def _truststore(roots: list[x509.Certificate], secret: str) -> bytes:
    """The roots, marked as Java wants them to be marked: else keytool would show an empty store."""
    encryption = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(MODERN_ROUNDS)
        .key_cert_algorithm(PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(secret.encode())
    )
    entries = [PKCS12Certificate(one, f"{ALIAS}-{number}".encode()) for number, one in enumerate(roots, 1)]
    return serialize_java_truststore(entries, encryption)


def instructions(folder: Path, base: str, *, pinned_root: bool) -> str:
    """How the files are used, for the programs that people ask about. Holds no secret."""
    now = folder / "current"
    origin = base.partition("://")[2].partition("/")[0]
    root = folder / "root.pem"
    trust = f" --cacert {root}" if pinned_root else ""
    lines = [
        "curl:",
        f"  curl --cert {now}/chain.pem --key {now}/key.pem{trust} https://{origin}/",
        "Java (the password is in the file `password`):",
        f"  -Djavax.net.ssl.keyStore={now}/keystore.p12 -Djavax.net.ssl.keyStorePassword=...",
    ]
    if pinned_root:
        lines += [f"  -Djavax.net.ssl.trustStore={now}/truststore.p12 -Djavax.net.ssl.trustStorePassword=..."]
    lines += [
        "nginx, as a client of this gate:",
        f"  proxy_ssl_certificate {now}/chain.pem;",
        f"  proxy_ssl_certificate_key {now}/key.pem;",
    ]
    if pinned_root:
        lines += [f"  proxy_ssl_trusted_certificate {root};", "  proxy_ssl_verify on;"]
    lines += [
        ".NET:",
        f'  X509CertificateLoader.LoadPkcs12FromFile("{now}/client.p12", password)',
        "To renew it in time, once a day:",
        f"  mutualgate enrol --renew {folder}",
    ]
    return "\n".join(lines)
