"""A device that speaks SCEP, made of the openssl command and a few lines of DER: nothing of it is shared with the "
"server."""

import secrets
from dataclasses import dataclass
from pathlib import Path

import pki
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID

VERISIGN = "60864801" + "86f84501" + "09"  # 2.16.840.1.113733.1.9


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body)
    length = (
        bytes([size])
        if size < 128
        else bytes([0x80 | (size.bit_length() + 7) // 8]) + size.to_bytes((size.bit_length() + 7) // 8, "big")
    )
    return bytes([tag]) + length + body


def oid(text: str) -> bytes:
    first, second, *rest = map(int, text.split("."))
    body = [first * 40 + second]
    for arc in rest:
        groups = [arc & 127]
        while arc := arc >> 7:
            groups.insert(0, 128 | arc & 127)
        body += groups
    return der(6, bytes(body))


SCEP = "2.16.840.1.113733.1.9."
DATA = "1.2.840.113549.1.7.1"


@dataclass(frozen=True)
class Reply:
    """What came back, opened by openssl."""

    status: str
    fail: str
    nonce: bytes
    transaction: str
    certificate: x509.Certificate | None


class Device:
    """One key, one request for it."""

    def __init__(self, folder: Path, challenge: str, *, key: rsa.RSAPrivateKey | None = None) -> None:
        folder.mkdir()
        self.folder = folder
        self.key = key or rsa.generate_private_key(public_exponent=65537, key_size=2048)
        (folder / "key.pem").write_bytes(pki.key_pem(self.key))
        self.self_signed = pki.leaf(None, "device", key=self.key, now=pki.real_now(), days=2, eku=None)
        (folder / "self.pem").write_bytes(self.self_signed.pem)
        self.transaction = secrets.token_hex(16)
        self.nonce = secrets.token_bytes(16)
        self.csr = request(self.key, challenge)

    def envelope(
        self,
        recipient: x509.Certificate,
        *others: x509.Certificate,
        cipher: str = "-aes128",
        oaep: bool = False,
        content: bytes | None = None,
    ) -> bytes:
        to = []
        for number, one in enumerate((recipient, *others)):
            path = self.folder / f"recipient-{number}.pem"
            path.write_bytes(one.public_bytes(Encoding.PEM))
            to += ["-recip", str(path)]
        how = ["-keyopt", "rsa_padding_mode:oaep"] if oaep else []
        return pki.openssl(
            *("cms", "-encrypt", "-binary", "-outform", "DER", cipher, *to, *how), stdin=content or self.csr
        )

    def message(
        self,
        content: bytes,
        kind: str = "19",
        *,
        digest: str = "sha256",
        more: tuple[bytes, ...] = (),
        without: str = "",
        signing_key: Path | None = None,
        certificates: int = 1,
        others: tuple[bytes, ...] = (),
        signers: int = 1,
    ) -> bytes:
        """The signed message around `content`; with its certificate so many times, and `others` before it."""
        digests = {"sha1": "1.3.14.3.2.26", "sha256": "2.16.840.1.101.3.4.2.1", "md5": "1.2.840.113549.2.5"}
        summary = pki.openssl("dgst", f"-{digest}", "-binary", stdin=content)
        attributes = {
            "type": attribute("1.2.840.113549.1.9.3", oid(DATA)),
            "digest": attribute("1.2.840.113549.1.9.4", der(4, summary)),
            "kind": attribute(f"{SCEP}2", der(0x13, kind.encode())),
            "nonce": attribute(f"{SCEP}5", der(4, self.nonce)),
            "transaction": attribute(f"{SCEP}7", der(0x13, self.transaction.encode())),
        }
        attributes.pop(without, None)
        kept = b"".join(sorted([*attributes.values(), *more]))
        key = signing_key or self.folder / "key.pem"
        signature = pki.openssl("dgst", f"-{digest}", "-sign", str(key), stdin=der(0x31, kept))
        own = self.self_signed.certificate
        identifier = der(
            0x30, own.issuer.public_bytes(), der(2, own.serial_number.to_bytes(21, "big").lstrip(b"\0").rjust(1, b"\0"))
        )
        if identifier and own.serial_number.bit_length() % 8 == 0:
            number = b"\0" + own.serial_number.to_bytes(own.serial_number.bit_length() // 8, "big")
            identifier = der(0x30, own.issuer.public_bytes(), der(2, number))
        algorithm = der(0x30, oid(digests[digest]), der(5))
        signer = der(
            *(0x30, der(2, b"\1"), identifier, algorithm, der(0xA0, kept)),
            *(der(0x30, oid("1.2.840.113549.1.1.1"), der(5)), der(4, signature)),
        )
        signed = der(
            *(0x30, der(2, b"\1"), der(0x31, algorithm), der(0x30, oid(DATA), der(0xA0, der(4, content)))),
            *(der(0xA0, *others, *[self.self_signed.der] * certificates), der(0x31, *[signer] * signers)),
        )
        return der(0x30, oid("1.2.840.113549.1.7.2"), der(0xA0, signed))

    def read(self, answer: bytes, trust: Path) -> Reply:
        """Verifies an answer with openssl, and opens it with the device's key."""
        (self.folder / "answer").write_bytes(answer)
        text = pki.openssl("cms", "-cmsout", "-print", "-inform", "DER", "-in", "answer", cwd=self.folder).decode()
        (self.folder / "nothing").write_bytes(b"")
        # A failure has no content (RFC 8894 3.3.2): what is signed then is the digest of nothing.
        without = (
            ["-content", "nothing"] if "eContent: \n      <ABSENT>" in text or "eContent: <ABSENT>" in text else []
        )
        envelope = pki.openssl(
            *("cms", "-verify", "-inform", "DER", "-in", "answer", "-binary", "-CAfile", str(trust), "-purpose", "any"),
            *without,
            cwd=self.folder,
        )
        certificate = None
        status = _value(text, "3")
        if status == "0":
            (self.folder / "envelope").write_bytes(envelope)
            inside = pki.openssl(
                *("cms", "-decrypt", "-inform", "DER", "-in", "envelope", "-binary", "-inkey", "key.pem"),
                *("-recip", "self.pem"),
                cwd=self.folder,
            )
            pem = pki.openssl("pkcs7", "-inform", "DER", "-print_certs", stdin=inside)
            [certificate] = x509.load_pem_x509_certificates(pem)
        nonce = bytes.fromhex("".join(_dump(text, "6")))
        return Reply(status, _value(text, "4"), nonce, _value(text, "7"), certificate)


def request(key: rsa.RSAPrivateKey, challenge: str | None) -> bytes:
    """PKCS#10 with a challenge password, DER."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(pki.common_name("whoever"))
    if challenge is not None:
        builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, challenge.encode())
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def attribute(kind: str, *values: bytes) -> bytes:
    return der(0x30, oid(kind), der(0x31, *values))


def _section(text: str, number: str) -> list[str]:
    """The lines that openssl prints of an attribute of SCEP."""
    lines = text.splitlines()
    at = next(
        (index for index, line in enumerate(lines) if line.strip() == f"object: undefined ({SCEP}{number})"), None
    )
    if at is None:
        return []
    found = []
    for line in lines[at + 1 :]:
        if line.strip().startswith("object:"):
            break
        found.append(line.strip())
    return found


def _value(text: str, number: str) -> str:
    return next((line.partition(":")[2] for line in _section(text, number) if line.startswith("PRINTABLESTRING:")), "")


def _dump(text: str, number: str) -> list[str]:
    """Hexadecimal pairs of an octet string, as openssl dumps it: `0000 - aa bb-cc   ..`."""
    found: list[str] = []
    for line in _section(text, number):
        _, dash, rest = line.partition(" - ")
        if dash:
            found += rest.partition("   ")[0].replace("-", " ").split()  # what is readable follows
    return found
