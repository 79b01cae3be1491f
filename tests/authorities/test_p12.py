"""PKCS#12 files, opened by the programs that people have, and looked into."""

import re
import secrets
import shutil
import subprocess
from pathlib import Path

import pki
import pytest
from cryptography.hazmat.primitives.serialization import pkcs12

from mutualgate.authorities.keys import PrivateKey
from mutualgate.authorities.p12 import (
    ALPHABET,
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
    "RSA-2048": pki.rsa_key(2048),
    "RSA-3072": pki.rsa_key(3072),
    "Ed25519": pki.ed25519_key(),
}

COMPAT_OIDS = {"pbeWithSHA1And3-KeyTripleDES-CBC", "sha1"}
MODERN_OIDS = {"PBES2", "PBKDF2", "hmacWithSHA256", "aes-256-cbc", "sha256"}
FRAME_OIDS = {"pkcs7-data", "pkcs7-encryptedData", "pkcs8ShroudedKeyBag", "localKeyID", "friendlyName"}


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


@pytest.fixture(params=list(Encoding))
def encoding(request: pytest.FixtureRequest) -> Encoding:
    return Encoding(request.param)


def written(folder: Path, encoding: Encoding, kind: str = "P-256") -> tuple[Path, pki.Issued]:
    client = pki.leaf(ISSUING, "alice", key=KEYS[kind])
    path = folder / "alice.p12"
    chain = [ISSUING.certificate, ROOT.certificate]
    path.write_bytes(make_p12(KEYS[kind], client.certificate, chain, PASSWORD, encoding, LABEL))
    return path, client


@pytest.mark.parametrize("kind", KEYS)
def test_cryptography_reads_key_certificate_and_chain_without_the_root(
    tmp_path: Path, encoding: Encoding, kind: str
) -> None:
    path, client = written(tmp_path, encoding, kind)
    loaded = pkcs12.load_pkcs12(path.read_bytes(), PASSWORD.encode())
    assert loaded.cert is not None
    assert loaded.key is not None
    assert loaded.cert.certificate == client.certificate
    assert loaded.cert.friendly_name == LABEL.encode()
    assert loaded.key.public_key() == KEYS[kind].public_key()
    assert [more.certificate for more in loaded.additional_certs] == [ISSUING.certificate]


@pytest.mark.parametrize("kind", KEYS)
def test_openssl_reads_it_with_its_default_provider(tmp_path: Path, encoding: Encoding, kind: str) -> None:
    path, _ = written(tmp_path, encoding, kind)
    text = pki.openssl("pkcs12", "-in", str(path), "-passin", f"pass:{PASSWORD}", "-noenc").decode()
    assert text.count("BEGIN CERTIFICATE") == 2
    assert text.count("BEGIN PRIVATE KEY") == 1
    assert f"friendlyName: {LABEL}" in text
    assert text.count("localKeyID") == 2  # of the certificate and of its key: Windows and Java pair them by it


@needs("keytool")
@pytest.mark.parametrize("kind", ["P-256", "RSA-2048", "RSA-3072"])
def test_java_reads_it(tmp_path: Path, encoding: Encoding, kind: str) -> None:
    path, _ = written(tmp_path, encoding, kind)
    arguments = ["-list", "-v", "-keystore", str(path), "-storetype", "PKCS12", "-storepass", PASSWORD]
    text = _run("keytool", *arguments)
    assert f"Alias name: {LABEL.lower()}" in text.lower().replace("alias name", "Alias name")
    assert "Entry type: PrivateKeyEntry" in text
    assert "Certificate chain length: 2" in text


@needs("pk12util")
@pytest.mark.parametrize("kind", ["P-256", "RSA-2048", "RSA-3072"])
def test_nss_imports_it_as_firefox_does(tmp_path: Path, encoding: Encoding, kind: str) -> None:
    path, _ = written(tmp_path, encoding, kind)
    database = f"sql:{tmp_path}"
    _run("certutil", "-N", "-d", database, "--empty-password")
    _run("pk12util", "-i", str(path), "-d", database, "-W", PASSWORD)
    assert LABEL in _run("certutil", "-L", "-d", database)
    assert re.search(r"< 0>\s+(ec|rsa)", _run("certutil", "-K", "-d", database))


@pytest.mark.parametrize("kind", KEYS)
def test_all_of_it_is_encrypted_one_way(tmp_path: Path, encoding: Encoding, kind: str) -> None:
    # In the bags of certificates and key, and for the MAC: a mix is what most "wrong password" messages come from.
    path, _ = written(tmp_path, encoding, kind)
    found = _algorithms(path.read_bytes())
    assert found - FRAME_OIDS == (COMPAT_OIDS if encoding is Encoding.COMPAT else MODERN_OIDS)


def test_the_rounds_are_within_what_windows_takes(tmp_path: Path, encoding: Encoding) -> None:
    path, _ = written(tmp_path, encoding)
    done = subprocess.run(
        ["openssl", "pkcs12", "-in", str(path), "-info", "-noout", "-passin", f"pass:{PASSWORD}"],
        capture_output=True,
        check=True,
    )
    rounds = [int(number) for number in re.findall(r"Iteration (\d+)", done.stderr.decode())]
    assert len(rounds) == 3  # the MAC, the certificates, the key
    assert all(2048 <= number <= 600_000 for number in rounds)


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
    client = pki.leaf(ISSUING)
    with pytest.raises(BadInput) as refused:
        make_p12(client.key, client.certificate, [], password, Encoding.MODERN, "x")  # type: ignore[arg-type]
    assert refused.value.code == "weak_password"
    assert not password or password not in str(refused.value)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (None, Encoding.COMPAT),
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


@pytest.mark.parametrize("target", ["", "windoze", "14", "android-x", "android--14", "android-14-beta", "\x1b[31m"])
def test_an_unknown_target_is_an_error_and_no_guess(target: str) -> None:
    with pytest.raises(BadInput, match="expected windows, windows-server, macos"):
        encoding_for(target)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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
