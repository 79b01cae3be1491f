"""Makes `encodings.json`: certificates that pyca/cryptography refuses to make, and the nearest ones that pass.

Each is one that it does make, changed in places and signed again. They are what was left to judge of 8,000 random
chains about which the judge, Go's crypto/x509, OpenSSL and pyca/cryptography were asked. Run it after a change and
commit what it wrote.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ObjectIdentifier
from make import ADOPTED, HERE, ISSUING, OLD_ROOT, Record, admitted, adopted, authority, ours, vector
from makers import NOW, Made, make

DNS, URI = x509.DNSName, x509.UniformResourceIdentifier
NAME_CONSTRAINTS = ObjectIdentifier("2.5.29.30")
ISSUER_ALTERNATIVE_NAME = ObjectIdentifier("2.5.29.18")
KEY_USAGE, TRUE = bytes.fromhex("0603551d0f"), bytes.fromhex("0101ff")
DIGITAL_SIGNATURE = bytes.fromhex("03020780")

Changes = Callable[[list[bytes]], object]
"""What is done to the elements of a TBSCertificate, in place."""

SERIAL, VALIDITY, SUBJECT = 1, 4, 5


def element(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content).to_bytes(2, "big")
    return bytes([tag]) + (size[1:] if len(content) < 0x80 else b"\x82" + size) + content


def parts(content: bytes) -> list[bytes]:
    """The elements that stand one after the other."""
    found = []
    while content:
        octets = content[1] & 0x7F if content[1] & 0x80 else 0
        length = int.from_bytes(content[2 : 2 + octets], "big") if octets else content[1]
        found.append(content[: 2 + octets + length])
        content = content[2 + octets + length :]
    return found


def inside(whole: bytes) -> list[bytes]:
    return parts(whole[2 + (whole[1] & 0x7F if whole[1] & 0x80 else 0) :])


def changed(made: Made, changes: Changes) -> str:
    """`made`, which OLD_ROOT signed, otherwise."""
    tbs, algorithm, _ = inside(made.certificate.public_bytes(Encoding.DER))
    elements = inside(tbs)
    changes(elements)
    message = element(0x30, *elements)
    assert isinstance(OLD_ROOT.key, rsa.RSAPrivateKey)
    signature = OLD_ROOT.key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    return "hex:" + element(0x30, message, algorithm, element(0x03, b"\0", signature)).hex()


def put(index: int, value: bytes) -> Changes:
    return lambda elements: elements.__setitem__(index, value)


def extension(old: bytes, new: bytes) -> Changes:
    """Another key usage extension: `old` in it made `new`."""

    def changes(elements: list[bytes]) -> None:
        (listed,) = inside(elements[-1])
        extensions = [element(0x30, *inside(one)) for one in inside(listed)]
        (number,) = [number for number, one in enumerate(extensions) if KEY_USAGE in one]
        found = extensions[number]
        assert old in found
        value = found[2:].replace(old, new)
        extensions[number] = element(0x30, value)
        elements[-1] = element(0xA3, element(0x30, *extensions))

    return changes


def until(tag: int, text: bytes) -> Changes:
    def changes(elements: list[bytes]) -> None:
        before, _ = inside(elements[VALIDITY])
        elements[VALIDITY] = element(0x30, before, element(tag, text))

    return changes


def since(tag: int, text: bytes) -> Changes:
    def changes(elements: list[bytes]) -> None:
        _, after = inside(elements[VALIDITY])
        elements[VALIDITY] = element(0x30, element(tag, text), after)

    return changes


def called(tag: int, text: bytes) -> Changes:
    attribute = element(0x30, bytes.fromhex("0603550403"), element(tag, text))
    return put(SUBJECT, element(0x30, element(0x31, attribute)))


def estate(title: str, chain: Sequence[Made | str], reason: str | None = None, blame: int = 0) -> Record:
    """Under an authority that was adopted with all that it signed."""
    if reason is None:
        return admitted(title, chain, holder=2, credentials=[])
    known = reason != "malformed"
    return vector(title, chain, reason, blame=blame, known=known, credentials=[])


def encodings() -> list[Record]:
    plain = make("alice", OLD_ROOT)

    def bad(title: str, changes: Changes) -> Record:
        return estate(title, [changed(plain, changes)], "malformed")

    def good(title: str, changes: Changes) -> Record:
        return estate(title, [changed(plain, changes)])

    usage = element(0x04, DIGITAL_SIGNATURE)
    long_in_usage = element(0x04, b"\x03\x81\x02\x07\x80")
    return [
        good("signed again as it is", lambda elements: elements),
        bad("a serial number with a zero too many", put(SERIAL, b"\x02\x02\x00\x11")),
        bad("no serial number", put(SERIAL, b"\x02\x00")),
        good("a serial number with the zero that it needs", put(SERIAL, b"\x02\x02\x00\x91")),
        bad("the year 0", since(0x18, b"00000101000000Z")),
        good("the year 1", since(0x18, b"00010101000000Z")),
        bad("UTCTime without seconds", until(0x17, b"2711101200Z")),
        bad("UTCTime of another zone", until(0x17, b"271110120000+0100")),
        bad("GeneralizedTime with a fraction", until(0x18, b"20271110120000.5Z")),
        bad("GeneralizedTime of no zone", until(0x18, b"20271110120000")),
        bad("UTCTime in pieces", until(0x37, b"\x17\x0d271110120000Z")),
        good("UTCTime", until(0x17, b"271110120000Z")),
        good("GeneralizedTime before 2050", until(0x18, b"20271110120000Z")),
        bad(
            "a length with a zero too many",
            extension(usage, b"\x04\x81" + usage[1:]),
        ),
        bad("a length with a zero too many in an extension", extension(usage, long_in_usage)),
        bad("key usage with padding that is not zero", extension(DIGITAL_SIGNATURE, b"\x03\x02\x07\xff")),
        good("key usage with zeros spelt out", extension(DIGITAL_SIGNATURE, b"\x03\x02\x00\x80")),
        bad("critical, but not TRUE as DER has it", extension(TRUE, b"\x01\x01\x01")),
        good("not critical, spelt out", extension(TRUE, b"\x01\x01\x00")),
        bad("an identifier with a zero too many", extension(KEY_USAGE, b"\x06\x04\x55\x80\x1d\x0f")),
        bad("a subject in UTF-8 that is none", called(0x0C, b"\xc0\xaf")),
        bad("a subject in UTF-16 that ends within a character", called(0x1E, b"\0a\0")),
        bad("a subject in pieces", called(0x2C, element(0x0C, b"alice"))),
        good("a subject in Latin-1, as old tools wrote it", called(0x14, b"Zo\xeb")),
    ]


def serials() -> list[Record]:
    """Numbers that RFC 5280 4.1.2.2 rules out and old CAs made: those by which one alone can be revoked are good."""

    def numbered(octets: bytes) -> str:
        return changed(make("alice", OLD_ROOT), put(SERIAL, element(0x02, octets)))

    def without(digits: bytes) -> dict[str, Any]:
        gone = {"authority": ADOPTED, "serial": digits.hex(), "at": NOW - 3600, "reason": 1}
        return {"credentials": [], "revocations": [gone]}

    def under_ours(title: str, chain: str) -> Record:
        return vector(title, [chain], "path_invalid", blame=0, known=True, authorities=[authority(OLD_ROOT)])

    def two(title: str, octets: bytes, digits: bytes, other: bytes) -> list[Record]:
        one = numbered(octets)
        return [
            estate(title, [one]),
            vector(f"{title}, revoked", [one], "revoked", blame=0, known=True, **without(digits)),
            admitted(f"{title}, another revoked", [one], holder=2, **without(other)),
            under_ours(f"{title}, under an authority of ours", one),
        ]

    high = b"\x91" * 20
    return [
        *two("the serial number 0", b"\0", b"", b"\1"),
        *two("20 octets whose first bit is set", b"\0" + high, high, high[1:]),
        estate("21 octets", [numbered(b"\x11" * 21)], "path_invalid"),
        estate("21 octets whose first bit is set", [numbered(b"\0" + b"\x91" * 21)], "path_invalid"),
        estate("a negative number", [numbered(b"\x91")], "path_invalid"),
    ]


def names() -> list[Record]:
    """Names and the constraints on them."""
    other = x509.UnrecognizedExtension(ISSUER_ALTERNATIVE_NAME, bytes.fromhex("3003820178"))

    def limited(value: bytes) -> Made:
        constraints = x509.UnrecognizedExtension(NAME_CONSTRAINTS, value)
        return make("Limited CA", OLD_ROOT, ca=True, extra=[(constraints, True)])

    def subtrees(*bounds: bytes, base: bytes = b"example.com", tag: int = 0x82, excluded: bool = False) -> bytes:
        subtree = element(0x30, element(tag, base), *bounds)
        return element(0x30, element(0xA1 if excluded else 0xA0, subtree))

    def under(title: str, issuer: Made, name: x509.GeneralName, reason: str | None = None, blame: int = 0) -> Record:
        return estate(title, [make("alice", issuer, sans=[name]), issuer], reason, blame)

    uris = limited(subtrees(base=b".example.com", tag=0x86))
    below = limited(subtrees(base=b".example.com"))
    not_below = limited(subtrees(base=b".example.com", excluded=True))
    a = DNS("a.example.com")
    ours_below = make(
        "Root with a period",
        ca=True,
        extra=[(x509.UnrecognizedExtension(NAME_CONSTRAINTS, subtrees(base=b".example.com")), True)],
    )
    nobody = x509.Name([])
    return [
        estate("critical issuerAltName", [make("alice", OLD_ROOT, extra=[(other, True)])], "path_invalid"),
        estate("issuerAltName", [make("alice", OLD_ROOT, extra=[(other, False)])]),
        under("a constraint with a maximum", limited(subtrees(b"\x81\x01\x02")), a, "path_invalid", 1),
        under("a constraint with a minimum", limited(subtrees(b"\x80\x01\x01")), a, "path_invalid", 1),
        under("a constraint whose minimum is 0", limited(subtrees(b"\x80\x01\x00")), a),
        under("a URI with another inside", uris, URI("x:https://a.example.com/"), "path_invalid"),
        under("that URI by itself", uris, URI("https://a.example.com/")),
        under("DNS below: below", below, a),
        under("DNS below: all below", below, DNS("*.example.com")),
        under("DNS below: itself", below, DNS("example.com"), "path_invalid"),
        under("DNS below: beside it", below, DNS("aexample.com"), "path_invalid"),
        under("not DNS below: below", not_below, a, "path_invalid"),
        under("not DNS below: some below", not_below, DNS("*.com"), "path_invalid"),
        under("not DNS below: itself", not_below, DNS("example.com")),
        vector(
            "DNS below, of an authority of ours",
            [make("alice", ours_below, sans=[DNS("a.example.com")])],
            "path_invalid",
            known=True,
            authorities=[ours() | {"certificate": ours_below.pem}, adopted()],
        ),
        vector("nobody under ours", [make(nobody, ISSUING)], "path_invalid", blame=0, known=True),
        estate("nobody under an adopted one", [make(nobody, OLD_ROOT)]),
    ]


if __name__ == "__main__":
    (HERE / "encodings.json").write_text(
        json.dumps(encodings() + serials() + names(), indent=1) + "\n", encoding="utf-8"
    )
