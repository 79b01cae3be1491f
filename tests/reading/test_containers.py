"""Uploads of every form, opened; private keys of every form, refused and wiped; bombs, not."""

import base64
import gzip
import io
import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import pki
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs7,
    pkcs12,
)
from hypothesis import given
from hypothesis import strategies as st

from mutualgate.errors import BadInput
from mutualgate.model.legible import Legible
from mutualgate.reading.containers import MAX_UPLOAD_BYTES, open_upload, wipe

ROOT = pki.ca("root")
ISSUING = pki.ca("issuing", parent=ROOT)
ALICE = pki.leaf(ISSUING, "alice")
CHAIN = [ALICE.certificate, ISSUING.certificate, ROOT.certificate]
RSA = pki.rsa_key(2048)


def refusal(data: bytes) -> BadInput:
    with pytest.raises(BadInput) as refused:
        open_upload(data, "x")
    return refused.value


def p12(
    key: pkcs12.PKCS12PrivateKeyTypes | None = None,
    cert: x509.Certificate | None = None,
    password: bytes | None = None,
    cas: list[x509.Certificate] | None = None,
) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return pkcs12.serialize_key_and_certificates(b"x", key, cert, cas, encryption)


def armoured(label: str, der: bytes) -> bytes:
    return f"-----BEGIN {label}-----\n".encode() + base64.encodebytes(der) + f"-----END {label}-----\n".encode()


PUBLIC: dict[str, tuple[str, bytes, int]] = {
    "PEM": ("PEM", ALICE.pem, 1),
    "PEM with text around": ("PEM", b"Bag Attributes\n" + ALICE.chain_pem + b"\nbye\n", 2),
    "PEM in UTF-16": ("PEM", ALICE.pem.decode().encode("utf-16"), 1),
    "PEM after a byte order mark": ("PEM", b"\xef\xbb\xbf" + ALICE.pem, 1),
    "DER": ("DER", ALICE.der, 1),
    "bare base64": ("DER", base64.encodebytes(ALICE.der), 1),
    "PKCS#7 in DER": ("PKCS#7", pkcs7.serialize_certificates(CHAIN, Encoding.DER), 3),
    "PKCS#7 in PEM": ("PKCS#7", pkcs7.serialize_certificates(CHAIN, Encoding.PEM), 3),
    ".p12 without password": ("PKCS#12", p12(cas=CHAIN), 3),
    ".p12 as certtool writes it": ("PKCS#12", armoured("PKCS12", p12(cas=CHAIN)), 3),
}


@pytest.mark.parametrize("name", PUBLIC)
def test_certificates_are_found_in_every_form(name: str) -> None:
    form, data, count = PUBLIC[name]
    found = open_upload(bytearray(data), "x")
    assert (found.form, len(found.certificates)) == (form, count)
    assert ALICE.legible in found.certificates


def test_openssls_trusted_form_is_read(tmp_path: Path) -> None:
    path = tmp_path / "c.pem"
    path.write_bytes(ALICE.pem)
    trusted = pki.openssl("x509", "-in", str(path), "-trustout", "-addtrust", "clientAuth")
    assert b"TRUSTED" in trusted
    assert open_upload(trusted, "x").certificates == (ALICE.legible,)


@pytest.mark.parametrize("options", [["-nokeys"], ["-nokeys", "-certpbe", "NONE", "-nomac"]])
def test_a_p12_with_the_empty_password_is_read(tmp_path: Path, options: list[str]) -> None:
    path = tmp_path / "c.pem"
    path.write_bytes(ALICE.chain_pem)
    data = pki.openssl("pkcs12", "-export", "-in", str(path), "-passout", "pass:", *options)
    assert set(open_upload(data, "x").certificates) == {ALICE.legible, ISSUING.legible}


def test_a_csr_is_found() -> None:
    for encoding in (Encoding.PEM, Encoding.DER):
        found = open_upload(pki.csr(ALICE.key, "alice", encoding=encoding), "x")
        assert found.request is not None
        assert found.certificates == ()


def keys() -> dict[str, bytes]:
    made: dict[str, bytes] = {}
    kinds: dict[str, pki.Key] = {"RSA": RSA, "EC": pki.ec_key(), "Ed25519": pki.ed25519_key()}
    for kind, key in kinds.items():
        for encoding, word in ((Encoding.PEM, "PEM"), (Encoding.DER, "DER")):
            made[f"{kind} PKCS#8 {word}"] = key.private_bytes(encoding, PrivateFormat.PKCS8, NoEncryption())
            made[f"{kind} encrypted {word}"] = key.private_bytes(
                encoding, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
            )
            if kind != "Ed25519":
                made[f"{kind} traditional {word}"] = key.private_bytes(
                    encoding, PrivateFormat.TraditionalOpenSSL, NoEncryption()
                )
        made[f"{kind} OpenSSH"] = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    pem = pki.key_pem(RSA)
    der = RSA.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    number = RSA.private_numbers().d
    made |= {
        "after a certificate": ALICE.pem + pem,
        "before a certificate": pem + ALICE.pem,
        "DER after DER": ALICE.der + der,
        "cut off": pem[:200],
        "with a changed label": pem.replace(b"PRIVATE KEY", b"CERTIFICATE"),
        "in UTF-16": pem.decode().encode("utf-16"),
        "in UTF-16 without a mark": pem.decode().encode("utf-16-le"),
        "bare base64": base64.encodebytes(der),
        "in a p12": p12(RSA, pki.leaf(ISSUING, "r", key=RSA).certificate),
        "in a p12 as certtool writes it": armoured(
            "PKCS12", p12(RSA, pki.leaf(ISSUING, "r", key=RSA).certificate, b"secret")
        ),
        "in a p12 with a password": p12(RSA, pki.leaf(ISSUING, "r", key=RSA).certificate, b"secret"),
        "PuTTY": b"PuTTY-User-Key-File-3: ssh-rsa\r\nEncryption: none\r\n",
        "SSH2": b"---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nAAAA\n---- END SSH2 ENCRYPTED PRIVATE KEY ----\n",
        "PGP": b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nAAAA\n-----END PGP PRIVATE KEY BLOCK-----\n",
        "JWK": json.dumps({"kty": "RSA", "n": "x", "e": "AQAB", "d": f"{number:x}"}).encode(),
        "JKS": b"\xfe\xed\xfe\xed\x00\x00\x00\x02" + bytes(20),
        "JCEKS": b"\xce\xce\xce\xce\x00\x00\x00\x02" + bytes(20),
        "far inside something large": b"\n" * (MAX_UPLOAD_BYTES + 10) + pem,
    }
    return made


KEYS = keys()


@pytest.mark.parametrize("name", KEYS)
def test_private_keys_are_refused_and_overwritten(name: str) -> None:
    given_bytes = bytearray(KEYS[name])
    with pytest.raises(BadInput) as refused:
        open_upload(given_bytes, "the upload")
    assert refused.value.code == "private_key_given"
    assert "make a new key" in str(refused.value)
    assert not any(given_bytes), "the key is still in memory"
    # Nothing that the error refers to holds it either: no traceback of the frames that had it.
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None
    walked = refused.value.__traceback__
    while walked is not None:
        assert walked.tb_frame.f_code.co_name not in ("_opened", "_from_pem", "_from_der", "_from_pkcs12")
        walked = walked.tb_next


def test_a_dsa_key_is_refused(tmp_path: Path) -> None:
    parameters = tmp_path / "p.pem"
    done = subprocess.run(
        [
            "openssl",
            "genpkey",
            "-genparam",
            "-algorithm",
            "DSA",
            "-pkeyopt",
            "dsa_paramgen_bits:1024",
            "-out",
            parameters,
        ],
        capture_output=True,
    )
    if done.returncode:
        pytest.skip("this openssl makes no DSA parameters")
    pem = pki.openssl("genpkey", "-paramfile", str(parameters))
    key = serialization.load_pem_private_key(pem, None)
    der = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert refusal(der).code == "private_key_given"


@pytest.mark.skipif(shutil.which("keytool") is None, reason="keytool is not installed")
@pytest.mark.parametrize("kind", ["JKS", "PKCS12"])
def test_a_java_keystore_is_refused(tmp_path: Path, kind: str) -> None:
    store = tmp_path / "store"
    made = ["keytool", "-genkeypair", "-keyalg", "EC", "-alias", "x", "-dname", "CN=x", "-keystore", str(store)]
    made += ["-storetype", kind, "-storepass", "changeit", "-keypass", "changeit"]
    subprocess.run(made, check=True, capture_output=True)
    assert refusal(store.read_bytes()).code == "private_key_given"


def test_a_p12_whose_contents_are_hidden_is_not_guessed_at() -> None:
    refused = refusal(p12(cas=CHAIN, password=b"secret"))
    assert refused.code == "p12_locked"
    assert "openssl pkcs12" in str(refused)


def test_a_p12_that_costs_too_much_to_open_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    encryption = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(700_000)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .build(b"secret")
    )
    data = pkcs12.serialize_key_and_certificates(b"x", None, None, CHAIN, encryption)

    def never(*_: object) -> None:
        raise AssertionError("it was opened")

    monkeypatch.setattr("mutualgate.reading.containers.load_pkcs12", never)
    assert "rounds" in str(refusal(data))


def bombs() -> dict[str, bytes]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb", bytes(20_000_000))
    deep = b"".join(b"\x30\x80" for _ in range(20_000))
    nested = b""
    for _ in range(2_000):
        size = len(nested)
        nested = b"\x30\x82" + size.to_bytes(2, "big") + nested if size < 65536 else nested
    return {
        "zip": archive.getvalue(),
        "gzip": gzip.compress(bytes(20_000_000)),
        "indefinite lengths": deep,
        "nested sequences": nested,
        "pfx around indefinite lengths": b"\x30\x80\x02\x01\x03" + deep,
        "pkcs7 around indefinite lengths": b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02" + deep,
        "a length of four gigabytes": b"\x30\x84\xff\xff\xff\xff" + bytes(100),
        "too large": b"\x30" * (MAX_UPLOAD_BYTES + 1),
        "a thousand certificates": ALICE.pem * 300,
        "a thousand BEGIN lines": b"-----BEGIN CERTIFICATE-----\n" * 9000,
        "empty": b"",
        "spaces": b" \r\n" * 100,
        "NULs": bytes(5000),
        "HTML": b"<html><script>alert(1)</script></html>",
        "a CRL": pki.crl(ROOT, 1, encoding=Encoding.DER),
        "a CRL in PEM": pki.crl(ROOT, 1),
        "a public key": RSA.public_key().public_bytes(Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        "an SSH public key": RSA.public_key().public_bytes(Encoding.OpenSSH, serialization.PublicFormat.OpenSSH),
    }


BOMBS = bombs()


@pytest.mark.parametrize("name", BOMBS)
def test_what_is_no_certificate_is_refused_in_one_sentence(name: str) -> None:
    refused = refusal(BOMBS[name])
    assert refused.problem
    assert "\n" not in str(refused)


def test_a_crl_is_called_one() -> None:
    assert "CRL" in str(refusal(BOMBS["a CRL"]))
    assert "CRL" in str(refusal(BOMBS["a CRL in PEM"]))


def test_an_archive_is_called_one_and_not_unpacked() -> None:
    assert refusal(BOMBS["zip"]).code == refusal(BOMBS["gzip"]).code == "archive"


@given(st.binary(max_size=300), st.sampled_from([b"", b"\x30\x82", b"-----BEGIN CERTIFICATE-----\n", ALICE.der[:200]]))
def test_anything_is_opened_or_refused(data: bytes, prefix: bytes) -> None:
    try:
        open_upload(prefix + data, "x")
    except BadInput:
        pass


@given(st.sampled_from(["PKCS#7 in DER", ".p12 without password", "DER"]), st.integers(0), st.integers(0, 255))
def test_a_changed_byte_is_opened_or_refused(name: str, at: int, value: int) -> None:
    data = bytearray(PUBLIC[name][1])
    data[at % len(data)] = value
    try:
        found = open_upload(data, "x")
    except BadInput:
        return
    assert all(isinstance(one, Legible) for one in found.certificates)


def test_what_is_wiped_is_gone() -> None:
    data = bytearray(b"secret")
    wipe(data)
    assert data == bytes(6)
