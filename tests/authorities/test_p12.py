"""PKCS#12 files, opened by the programs that people have, and looked into."""

import functools
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pki
import pytest
from asn1crypto import parser
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding as Form
from cryptography.hazmat.primitives.serialization import pkcs12
from page_keys import PageKeys, needs_node, node_is_fit

from mutualgate.authorities.alphabet import ALPHABET
from mutualgate.authorities.keys import PrivateKey
from mutualgate.authorities.p12 import (
    PASSWORD_CHARACTERS,
    Encoding,
    check_password,
    encoding_for,
    make_p12,
    make_password,
)
from mutualgate.errors import BadInput

ROOT = pki.ca("root")
ISSUING = pki.ca("issuing", parent=ROOT, path_length=0)
PASSWORD = make_password()
LABEL = "Gate - alice - 2027-03"
KEYS: dict[str, PrivateKey] = {
    "P-256": pki.ec_key(),
    "P-384": pki.ec_key("P-384"),
    "RSA-2048": pki.rsa_key(2048),
    "RSA-3072": pki.rsa_key(3072),
    "Ed25519": pki.ed25519_key(),
}

OIDS = {
    Encoding.COMPAT: {"pbeWithSHA1And3-KeyTripleDES-CBC", "sha1"},
    Encoding.MODERN: {"PBES2", "PBKDF2", "hmacWithSHA256", "aes-256-cbc", "sha256"},
    Encoding.FIPS: {"PBES2", "PBKDF2", "hmacWithSHA256", "aes-256-cbc", "PBMAC1"},
}
PAGE_KINDS = {"P-256": "p256", "P-384": "p384", "RSA-2048": "rsa2048", "RSA-3072": "rsa3072"}
FRAME_OIDS = {"pkcs7-data", "pkcs7-encryptedData", "pkcs8ShroudedKeyBag", "localKeyID", "friendlyName"}


@pytest.fixture(scope="module")
def page() -> Iterator[PageKeys | None]:
    if not node_is_fit():
        yield None
        return
    with PageKeys() as running:
        yield running


@pytest.fixture(params=list(Encoding))
def encoding(request: pytest.FixtureRequest) -> Encoding:
    return Encoding(request.param)


@needs_node
@pytest.mark.parametrize("kind", PAGE_KINDS)
def test_the_page_writes_what_the_server_writes(tmp_path: Path, page: PageKeys, encoding: Encoding, kind: str) -> None:
    """Tag by tag, with the algorithms and rounds; what is encrypted is compared by what the readers find in it."""
    ours, theirs = (written(tmp_path, writer, encoding, kind, page).path.read_bytes() for writer in ("server", "page"))
    assert _skeleton(ours) == _skeleton(theirs)


@dataclass(frozen=True)
class Written:
    """A .p12 and what has to be found in it."""

    path: Path
    certificate: x509.Certificate


@dataclass(frozen=True)
class Found:
    """What a reader found. `paired`: it saw that key and certificate belong together; `label` is empty if not told."""

    certificates: int
    paired: bool
    label: str
    root: bool = False


class Refused(Exception):
    """A reader did not open the file; what it said."""


def written(folder: Path, writer: str, encoding: Encoding, kind: str, page: PageKeys | None = None) -> Written:
    path = folder / f"{writer}-{encoding}-{kind}.p12"
    if writer == "server":
        key = KEYS[kind]
        client = pki.leaf(ISSUING, "alice", key=key, now=pki.real_now()).certificate
        path.write_bytes(make_p12(key, client, [ISSUING.certificate, ROOT.certificate], PASSWORD, encoding, LABEL))
        return Written(path, client)
    assert page is not None
    handle = page.make_key(PAGE_KINDS[kind])
    client = pki.certify(ISSUING, x509.load_pem_x509_csr(page.csr(handle, "alice")))
    chain = client.public_bytes(Form.PEM) + ISSUING.pem + ROOT.pem
    path.write_bytes(page.p12(handle, chain, label=LABEL, password=PASSWORD, profile=str(encoding)))
    return Written(path, client)


def _by_cryptography(file: Written, folder: Path) -> Found:
    loaded = pkcs12.load_pkcs12(file.path.read_bytes(), PASSWORD.encode())
    assert loaded.cert is not None
    assert loaded.key is not None
    assert loaded.cert.certificate == file.certificate
    paired = loaded.key.public_key() == file.certificate.public_key()
    above = [more.certificate for more in loaded.additional_certs]
    return Found(1 + len(above), paired, (loaded.cert.friendly_name or b"").decode(), ROOT.certificate in above)


def _by_openssl(file: Written, folder: Path) -> Found:
    """The command, with its default provider."""
    text = _run("openssl", "pkcs12", "-in", str(file.path), "-passin", f"pass:{PASSWORD}", "-noenc")
    assert text.count("BEGIN PRIVATE KEY") == 1
    match = re.search(r"friendlyName: (.*)", text)
    # localKeyID of the certificate and of its key: Windows and Java pair them by it.
    identifiers = re.findall(r"localKeyID: ([0-9A-F ]+)", text)
    paired = len(identifiers) == 2 and len(set(identifiers)) == 1
    return Found(text.count("BEGIN CERTIFICATE"), paired, match[1] if match else "", "subject=CN = root" in text)


def _by_nss(file: Written, folder: Path) -> Found:
    """As Firefox, and Chromium on Linux."""
    database = f"sql:{folder}"
    _run("certutil", "-N", "-d", database, "--empty-password")
    _run("pk12util", "-i", str(file.path), "-d", database, "-W", PASSWORD)
    listed = _run("certutil", "-L", "-d", database)
    paired = re.search(r"< 0>\s+(ec|rsa)\s+[0-9a-f]+\s+" + re.escape(LABEL), _run("certutil", "-K", "-d", database))
    certificates = len(re.findall(r"^\S.*?\s[a-zA-Z]*,[a-zA-Z]*,[a-zA-Z]*\s*$", listed, re.MULTILINE))
    return Found(certificates, paired is not None, LABEL if LABEL in listed else "", "root" in listed)


def _by_java(file: Written, folder: Path) -> Found:
    arguments = ["-list", "-v", "-keystore", str(file.path), "-storetype", "PKCS12", "-storepass", PASSWORD]
    text = _run("keytool", *arguments)
    length = re.search(r"Certificate chain length: (\d+)", text)
    alias = re.search(r"Alias name: (.*)", text)
    # Java writes aliases in small letters.
    label = LABEL if alias is not None and alias[1].lower() == LABEL.lower() else ""
    paired = "Entry type: PrivateKeyEntry" in text
    return Found(int(length[1]) if length else 0, paired, label, "Owner: CN=root" in text)


def _by_go(library: str, file: Written, folder: Path) -> Found:
    said = _run(str(_go_reader()), library, str(file.path), PASSWORD).split()
    return Found(int(said[-1]), "CN=alice" in said, LABEL)  # the library tells no names of bags


@functools.cache
def _go_reader() -> Path:
    """The program in tests/readers/p12, built; skips where its modules cannot be had."""
    if shutil.which("go") is None:
        pytest.skip("go is not installed")
    target = Path(tempfile.mkdtemp()) / "p12"
    source = Path(__file__).resolve().parents[1] / "readers" / "p12"
    done = subprocess.run(["go", "build", "-o", target, "."], cwd=source, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"the Go reader cannot be built here: {done.stderr.strip()[-200:]}")
    return target


def _installed(program: str, reader: Callable[[Written, Path], Found]) -> Callable[[Written, Path], Found]:
    def read(file: Written, folder: Path) -> Found:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
        return reader(file, folder)

    return read


READERS: dict[str, Callable[[Written, Path], Found]] = {
    "cryptography": _by_cryptography,
    "openssl": _by_openssl,
    "NSS": _installed("pk12util", _by_nss),
    "Java": _installed("keytool", _by_java),
    "Go, go-pkcs12": functools.partial(_by_go, "chain"),
    "Go, x/crypto": functools.partial(_by_go, "pem"),
}

# Who cannot read which profile, by design: that is why there are three.
REFUSALS = {
    ("openssl", Encoding.FIPS): "PBMAC1 came with OpenSSL 3.4",
    ("NSS", Encoding.FIPS): "PBMAC1 came after the NSS of Debian 12",
    ("Java", Encoding.FIPS): "PBMAC1 came with Java 26",
    ("Go, x/crypto", Encoding.MODERN): "golang.org/x/crypto/pkcs12 is frozen: it knows MACs with SHA-1 alone",
    ("Go, x/crypto", Encoding.FIPS): "golang.org/x/crypto/pkcs12 is frozen: it knows MACs with SHA-1 alone",
}


@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA-2048", "RSA-3072"])
@pytest.mark.parametrize("writer", ["server", pytest.param("page", marks=needs_node)])
@pytest.mark.parametrize("reader", READERS)
def test_who_reads_it(
    tmp_path: Path, page: PageKeys | None, encoding: Encoding, kind: str, writer: str, reader: str
) -> None:
    file = written(tmp_path, writer, encoding, kind, page)
    expected = REFUSALS.get((reader, encoding))
    try:
        found = READERS[reader](file, tmp_path)
    except Refused:
        if expected is None:
            raise
        return
    assert expected is None or _is_newer(reader), f"{reader} reads it now: take it off the list ({expected})"
    assert found == Found(certificates=2, paired=True, label=LABEL, root=False)


def _is_newer(reader: str) -> bool:
    """Whether the version here is one that the refusal is not about."""
    if reader == "openssl":
        return tuple(int(part) for part in _run("openssl", "version").split()[1].split(".")[:2]) >= (3, 4)
    if reader == "Java":
        match = re.search(r'version "(\d+)', _run("java", "-version"))
        return match is not None and int(match[1]) >= 26
    return reader == "NSS"


def test_an_ed25519_key_is_packed_for_programs(tmp_path: Path, encoding: Encoding) -> None:
    file = written(tmp_path, "server", encoding, "Ed25519")
    assert _by_cryptography(file, tmp_path).paired


def test_a_wrong_password_does_not_open_it(tmp_path: Path, encoding: Encoding) -> None:
    file = written(tmp_path, "server", encoding, "P-256")
    for data in (file.path.read_bytes(), _with_a_bit_changed(file.path.read_bytes())):
        with pytest.raises(ValueError, match="Invalid password"):
            pkcs12.load_pkcs12(data, (PASSWORD if data != file.path.read_bytes() else PASSWORD[:-1] + "#").encode())


def _with_a_bit_changed(data: bytes) -> bytes:
    """In what the MAC is over: the label of the key."""
    at = data.index("alice".encode("utf-16-be"))
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("writer", ["server", pytest.param("page", marks=needs_node)])
@pytest.mark.parametrize("kind", ["P-256", "RSA-2048"])
def test_all_of_it_is_encrypted_one_way(
    tmp_path: Path, page: PageKeys | None, encoding: Encoding, kind: str, writer: str
) -> None:
    # In the bags of certificates and key, and for the MAC: a mix is what most "wrong password" messages come from.
    data = written(tmp_path, writer, encoding, kind, page).path.read_bytes()
    assert _algorithms(data) - FRAME_OIDS == OIDS[encoding]
    rounds = [number for number in _integers(data) if number >= 1000]
    assert len(rounds) == 3  # the certificates, the key, the MAC
    assert all(2048 <= number <= 600_000 for number in rounds)  # Windows takes no more


def test_the_key_of_another_certificate_is_not_packed() -> None:
    client = pki.leaf(ISSUING)
    with pytest.raises(ValueError, match="not the certificate's"):
        make_p12(pki.fresh_key(), client.certificate, [], PASSWORD, Encoding.COMPAT, "x")


def test_generated_passwords_are_long_and_cannot_be_misread() -> None:
    passwords = {make_password() for _ in range(500)}
    assert len(passwords) == 500
    for password in passwords:
        assert len(password) == PASSWORD_CHARACTERS == 20
        assert set(password) <= set(ALPHABET)
    assert not set("0Oo1Il") & set(ALPHABET)
    assert len(set("".join(passwords))) == len(ALPHABET) == 56
    check_password(secrets.choice(list(passwords)))


@pytest.mark.parametrize(
    "password",
    [
        "",
        "changeit",
        "short",
        "x" * 40,
        "changeitchangeit",
        "Password12345678",
        "pässwörter-sind-lang",
        "a\tb" * 9,
        "12345678901234",
    ],
)
def test_weak_passwords_are_refused_and_not_repeated(password: str) -> None:
    key = pki.fresh_key()
    client = pki.leaf(ISSUING, key=key)
    with pytest.raises(BadInput) as refused:
        make_p12(key, client.certificate, [], password, Encoding.MODERN, "x")
    assert refused.value.code == "weak_password"
    assert not password or password not in str(refused.value)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (None, Encoding.COMPAT),
        ("fips", Encoding.FIPS),
        ("openssl-fips", Encoding.FIPS),
        ("windows", Encoding.MODERN),
        ("Windows 11", Encoding.MODERN),
        ("windows-7", Encoding.COMPAT),
        ("Windows 8.1", Encoding.COMPAT),
        ("windows-server-2016", Encoding.COMPAT),
        ("windows-server-2022", Encoding.MODERN),
        ("windows-server", Encoding.COMPAT),
        ("macos", Encoding.COMPAT),
        ("macos-26", Encoding.COMPAT),
        ("ios-18", Encoding.COMPAT),
        ("safari", Encoding.COMPAT),
        ("android", Encoding.COMPAT),
        ("android-13", Encoding.COMPAT),
        ("Android 14", Encoding.MODERN),
        ("firefox", Encoding.MODERN),
        ("firefox-153", Encoding.MODERN),
        ("chromium", Encoding.COMPAT),
        ("java", Encoding.MODERN),
        ("java-8", Encoding.COMPAT),
        ("java-11", Encoding.MODERN),
        ("java-11.0.11", Encoding.COMPAT),
        ("java-17.0.1", Encoding.MODERN),
        ("openssl-1.0.2", Encoding.COMPAT),
        ("openssl-3.0", Encoding.MODERN),
        ("other", Encoding.COMPAT),
    ],
)
def test_the_target_chooses_the_encoding(target: str | None, expected: Encoding) -> None:
    assert encoding_for(target) is expected


@pytest.mark.parametrize(
    "target", ["", "windoze", "14", "android-x", "android--14", "android-14-beta", "\x1b[31m", f"java-{'1' * 5000}"]
)
def test_an_unknown_target_is_an_error_and_no_guess(target: str) -> None:
    with pytest.raises(BadInput, match="expected windows, windows-server, macos"):
        encoding_for(target)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(done.stdout + done.stderr)
    return done.stdout + (done.stderr if command[0] == "java" else "")


def _skeleton(der: bytes) -> list[object]:
    """The tags of all elements, inside octet strings, too; objects and integers with their values."""
    found: list[object] = []
    position = 0
    while position < len(der):
        class_, method, tag, header, content, trailer = parser.parse(der[position:], strict=False)
        position += len(header) + len(content) + len(trailer)
        if method == 1:
            found.append((class_, tag, _skeleton(content)))
        elif (class_, tag) == (0, 4) and len(content) > 40 and content[:1] == b"\x30" and _is_whole(content):
            found.append((class_, tag, _skeleton(content)))
        elif (class_, tag) in ((0, 2), (0, 6)):
            found.append((class_, tag, content))
        else:
            found.append((class_, tag, len(content) if len(content) < 40 else "long"))
    return found


def _integers(der: bytes) -> list[int]:
    def walk(part: object) -> Iterator[int]:
        if isinstance(part, list):
            for one in part:
                yield from walk(one)
        elif isinstance(part, tuple) and isinstance(part[2], list):
            yield from walk(part[2])
        elif isinstance(part, tuple) and part[:2] == (0, 2):
            yield int.from_bytes(part[2], "big")

    return list(walk(_skeleton(der)))


def _algorithms(der: bytes) -> set[str]:
    """The names of all objects in a .p12 as `openssl asn1parse` sees them, inside its wrappings too.

    What is encrypted stays closed: that it is, is the point.
    """
    names: set[str] = set()
    inside = [der]
    while inside:
        for line in pki.openssl("asn1parse", "-inform", "DER", stdin=(part := inside.pop())).decode().splitlines():
            if match := re.search(r"OBJECT\s+:(.*)", line):
                names.add(match.group(1).strip())
            at = re.match(r"\s*(\d+):d=\s*\d+\s+hl=(\d+)\s+l=\s*(\d+) prim: OCTET STRING", line)
            if at:
                start = int(at.group(1)) + int(at.group(2))
                content = part[start : start + int(at.group(3))]
                if len(content) > 40 and content[:1] == b"\x30" and _is_whole(content):
                    inside.append(content)
    return names


def _is_whole(der: bytes) -> bool:
    """Whether the length of the first element is that of `der`: not so for what is encrypted."""
    if der[1] < 0x80:
        return len(der) == 2 + der[1]
    octets = der[1] & 0x7F
    return octets <= 3 and len(der) == 2 + octets + int.from_bytes(der[2 : 2 + octets], "big")
