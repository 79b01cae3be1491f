"""keys.js, the page's own maker of keys, requests and .p12 files: run in node, compared with what the server writes.

What the files are read by is in tests/authorities/test_p12.py; that the key never leaves the page, a browser shows.
"""

import base64
import hashlib
import re
from collections.abc import Iterator

import pki
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from page_keys import STATIC, PageError, PageKeys, needs_node

from mutualgate.authorities.alphabet import ALPHABET
from mutualgate.authorities.csr import read_csr
from mutualgate.authorities.p12 import PASSWORD_CHARACTERS, check_password, make_password
from mutualgate.reading.weak_keys import key_fingerprint, key_words

ROOT = pki.ca("root")
ISSUING = pki.ca("issuing", parent=ROOT)
PASSWORD = make_password()


@pytest.fixture(scope="module")
def page() -> Iterator[PageKeys]:
    with PageKeys() as running:
        yield running


def certified(page: PageKeys, kind: str, name: str = "alice") -> tuple[int, bytes]:
    """A key in the page, and the chain with the root, PEM, that answers its request."""
    key = page.make_key(kind)
    request = x509.load_pem_x509_csr(page.csr(key, name))
    return key, pki.certify(ISSUING, request).public_bytes(serialization.Encoding.PEM) + ISSUING.pem + ROOT.pem


@needs_node
@pytest.mark.parametrize(
    ("kind", "words"), [("p256", "P-256"), ("p384", "P-384"), ("rsa2048", "RSA 2048"), ("rsa3072", "RSA 3072")]
)
def test_the_request_proves_the_key(page: PageKeys, kind: str, words: str) -> None:
    request = page.csr(page.make_key(kind), "alice")
    read = read_csr(request, "x")  # as the server reads it: signature, key, form
    assert key_words(read.public_key) == words
    assert read.subject == "CN=alice"
    assert pki.openssl("req", "-verify", "-noout", stdin=request) == b""


@needs_node
def test_many_signatures_are_all_right(page: PageKeys) -> None:
    # r and s of ECDSA begin with zeros or the sign bit now and then: about one in two, and one in 256
    key = page.make_key("p256")
    assert all(x509.load_pem_x509_csr(page.csr(key, "a")).is_signature_valid for _ in range(600))


@needs_node
def test_names_from_anybody_are_text_and_nothing_else(page: PageKeys) -> None:
    key = page.make_key("p256")
    for name in ("</script><script>", "a,b=c+d\\", "名前 🙂", "x" * 500, "\x00\n"):
        subject = x509.load_pem_x509_csr(page.csr(key, name)).subject
        assert [one.value for one in subject] == [name[:64]]


@needs_node
def test_every_key_is_a_new_one(page: PageKeys) -> None:
    requests = [x509.load_pem_x509_csr(page.csr(page.make_key("p256"), "a")) for _ in range(3)]
    assert len({key_fingerprint(one.public_key()) for one in requests}) == 3


@needs_node
def test_passwords_are_long_and_cannot_be_misread(page: PageKeys) -> None:
    made = page.passwords(500)
    assert len(set(made)) == 500
    for one in made:
        assert len(one) == PASSWORD_CHARACTERS
        check_password(one)
    assert set("".join(made)) == set(ALPHABET)


@needs_node
def test_no_character_of_a_password_is_likelier(page: PageKeys) -> None:
    # 256 is no multiple of 56: 224 to 255 would be a second helping for the first 32 characters.
    assert page.password_from([*range(224, 256), 0]) == ALPHABET[0] * PASSWORD_CHARACTERS
    assert page.password_from([223]) == ALPHABET[55] * PASSWORD_CHARACTERS


@needs_node
def test_a_certificate_of_another_key_is_not_packed(page: PageKeys) -> None:
    _, chain = certified(page, "p256")
    other = page.make_key("p256")
    with pytest.raises(PageError, match="not for this key"):
        page.p12(other, chain, label="x", password=PASSWORD, profile="compat")


@needs_node
@pytest.mark.parametrize("password", ["", "short", "with a blank in it", "pässwörter-sind-lang"])
def test_passwords_that_readers_disagree_about_are_not_taken(page: PageKeys, password: str) -> None:
    key, chain = certified(page, "p256")
    with pytest.raises(PageError, match="password"):
        page.p12(key, chain, label="x", password=password, profile="modern")


@needs_node
def test_unknown_words_are_errors(page: PageKeys) -> None:
    with pytest.raises(PageError, match="no kind of key"):
        page.make_key("rsa1024")
    key, chain = certified(page, "p256")
    with pytest.raises(PageError, match="no profile"):
        page.p12(key, chain, label="x", password=PASSWORD, profile="rc2")


def test_the_vendored_script_is_the_one_that_was_published() -> None:
    data = (STATIC / "forge.min.js").read_bytes()
    # of dist/forge.min.js in node-forge 1.4.3 from npm
    assert hashlib.sha256(data).hexdigest() == "a8b6d50267d709db0411a598efc4c57bffd6127f21410339f71c919e3bde725b"
    licence = (STATIC / "forge.min.js.LICENSE.txt").read_text(encoding="utf-8")
    assert "node-forge 1.4.3" in licence
    assert "Redistribution and use in source and binary forms" in licence


def test_the_hash_that_pages_give_is_the_files() -> None:
    digest = base64.b64encode(hashlib.sha256((STATIC / "forge.min.js").read_bytes()).digest()).decode()
    sources = [STATIC / "keys.js", *(STATIC.parent / "templates").glob("*.j2")]
    given = [one for path in sources for one in re.findall(r"sha256-([A-Za-z0-9+/=]{44})", path.read_text())]
    assert given
    assert set(given) == {digest}


def test_the_module_sends_nothing() -> None:
    source = (STATIC / "keys.js").read_text(encoding="utf-8")
    assert (
        re.findall(r"\b(fetch|XMLHttpRequest|WebSocket|sendBeacon|localStorage|indexedDB|eval|innerHTML)\b", source)
        == []
    )
