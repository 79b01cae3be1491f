"""Keys at rest, and where the passphrase comes from."""

import os
import stat
import threading
from pathlib import Path

import pki
import pytest

from mutualgate.authorities import keys
from mutualgate.authorities.keys import KeyKind, Passphrase, decrypt_key, encrypt_key, find_passphrase, make_key
from mutualgate.errors import BadInput, Corrupt
from mutualgate.reading.weak_keys import key_words, weakness

SECRET = "a passphrase for the tests"
PASSPHRASE = Passphrase(SECRET.encode(), "the test")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (KeyKind.P256, "P-256"),
        (KeyKind.P384, "P-384"),
        (KeyKind.RSA2048, "RSA 2048"),
        (KeyKind.RSA3072, "RSA 3072"),
        (KeyKind.ED25519, "Ed25519"),
    ],
)
def test_every_kind_of_key_is_good_and_survives_being_encrypted(kind: KeyKind, words: str) -> None:
    key = make_key(kind)
    assert key_words(key.public_key()) == words
    assert weakness(key.public_key()) is None
    again = decrypt_key(encrypt_key(key, PASSPHRASE), PASSPHRASE, "root")
    assert again.public_key() == key.public_key()


def test_an_encrypted_key_is_pbes2_with_aes_256_and_openssl_opens_it(tmp_path: Path) -> None:
    pem = encrypt_key(make_key(), PASSPHRASE)
    structure = pki.openssl("asn1parse", stdin=pem).decode()
    assert ":PBES2" in structure
    assert ":aes-256-cbc" in structure
    assert ":hmacWithSHA256" in structure
    assert pki.openssl("pkey", "-passin", f"pass:{SECRET}", "-pubout", stdin=pem).startswith(b"-----BEGIN PUBLIC KEY")


def test_a_wrong_passphrase_says_where_it_came_from_and_not_what_it_is() -> None:
    pem = encrypt_key(make_key(), PASSPHRASE)
    with pytest.raises(BadInput) as refused:
        decrypt_key(pem, Passphrase(b"quite another passphrase", "the file x"), "root")
    assert str(refused.value).startswith("root: the passphrase from the file x does not open the key")
    assert "quite another" not in str(refused.value)
    assert refused.value.code == "wrong_passphrase"


def test_a_stored_key_that_is_damaged_or_was_never_encrypted_is_our_fault() -> None:
    with pytest.raises(Corrupt):
        decrypt_key(b"nonsense", PASSPHRASE, "root")
    with pytest.raises(Corrupt):
        decrypt_key(pki.key_pem(make_key()), PASSPHRASE, "root")


def test_a_passphrase_does_not_show_itself() -> None:
    assert SECRET not in repr(PASSPHRASE)
    assert SECRET not in str(PASSPHRASE)


def test_without_any_a_passphrase_is_made_once_in_a_closed_file(tmp_path: Path) -> None:
    made = find_passphrase(tmp_path, {})
    path = tmp_path / "keys" / "passphrase"
    assert made.created
    assert made.source == f"the file {path}"
    assert len(made.secret) >= 43  # 256 bits
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["passphrase"]
    again = find_passphrase(tmp_path, {})
    assert again.secret == made.secret
    assert not again.created


def test_where_there_are_keys_already_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is missing"):
        find_passphrase(tmp_path, {}, make=False)
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_closed_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        find_passphrase(tmp_path, {})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "keys" / "passphrase").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


def test_of_many_that_start_at_once_all_get_the_same(tmp_path: Path) -> None:
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(find_passphrase(tmp_path, {}).secret)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_from_the_environment(tmp_path: Path) -> None:
    found = find_passphrase(tmp_path, {keys.VARIABLE: SECRET})
    assert (found.secret, found.source) == (SECRET.encode(), "the variable MUTUALGATE_PASSPHRASE")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_from_a_file_without_its_line_ending(tmp_path: Path, ending: str) -> None:
    path = _secret_file(tmp_path / "secret", SECRET + ending)
    found = find_passphrase(tmp_path, {keys.FILE_VARIABLE: str(path)})
    assert (found.secret, found.source) == (SECRET.encode(), f"the file {path}")


def test_from_a_systemd_credential_which_its_access_list_shows_as_readable_by_the_group(tmp_path: Path) -> None:
    _secret_file(tmp_path / keys.CREDENTIAL, SECRET, 0o440)
    found = find_passphrase(tmp_path, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert (found.secret, found.source) == (SECRET.encode(), "the systemd credential mutualgate-passphrase")


def test_a_credentials_folder_without_ours_does_not_count(tmp_path: Path) -> None:
    assert find_passphrase(tmp_path, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).created


@pytest.mark.parametrize(("mode", "may"), [(0o640, "read"), (0o604, "read"), (0o660, "write"), (0o644, "read")])
def test_a_file_that_is_open_to_others_is_refused(tmp_path: Path, mode: int, may: str) -> None:
    path = _secret_file(tmp_path / "secret", SECRET, mode)
    with pytest.raises(BadInput) as refused:
        find_passphrase(tmp_path, {keys.FILE_VARIABLE: str(path)})
    assert str(refused.value) == (
        f"{path}: others may {may} it (mode {mode:04o}); expected mode 0600. Run: chmod 0600 {path}"
    )


def test_our_own_file_or_its_folder_opened_to_others_is_refused(tmp_path: Path) -> None:
    find_passphrase(tmp_path, {})
    (tmp_path / "keys").chmod(0o755)
    with pytest.raises(BadInput, match="others may read it"):
        find_passphrase(tmp_path, {})
    (tmp_path / "keys").chmod(0o700)
    (tmp_path / "keys" / "passphrase").chmod(0o644)
    with pytest.raises(BadInput, match="others may read it"):
        find_passphrase(tmp_path, {})


def test_a_folder_for_keys_that_is_anothers_is_named(tmp_path: Path) -> None:
    find_passphrase(tmp_path, {})
    (tmp_path / "keys").chmod(0)
    user = os.geteuid()
    try:
        if user == 0:  # who may look everywhere
            os.seteuid(65534)
        with pytest.raises(BadInput, match="the passphrase file cannot be read"):
            find_passphrase(tmp_path, {}, make=False)
    finally:
        os.seteuid(user)
        (tmp_path / "keys").chmod(0o700)


def test_a_folder_for_keys_that_others_can_read_gets_no_passphrase(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys").chmod(0o755)
    with pytest.raises(BadInput, match="others may read it"):
        find_passphrase(tmp_path, {})
    assert list((tmp_path / "keys").iterdir()) == []


def test_given_twice_is_an_error_and_no_silent_choice(tmp_path: Path) -> None:
    path = _secret_file(tmp_path / keys.CREDENTIAL, SECRET)
    with pytest.raises(BadInput, match="given twice: by MUTUALGATE_PASSPHRASE and by MUTUALGATE_PASSPHRASE_FILE"):
        find_passphrase(tmp_path, {keys.VARIABLE: SECRET, keys.FILE_VARIABLE: str(path)})
    with pytest.raises(BadInput, match="given twice"):
        find_passphrase(tmp_path, {keys.VARIABLE: SECRET, "CREDENTIALS_DIRECTORY": str(tmp_path)})


@pytest.mark.parametrize("text", ["", "short", "x" * 15, "two\nlines of a passphrase", "x" * 1024])
def test_what_cannot_protect_a_key_is_refused_without_being_quoted(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput) as refused:
        find_passphrase(tmp_path, {keys.VARIABLE: text})
    assert not text or text not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere: the passphrase file cannot be read \(No such file"):
        find_passphrase(tmp_path, {keys.FILE_VARIABLE: str(tmp_path / "nowhere")})
    with pytest.raises(BadInput, match=r"cannot be read \(Is a directory"):
        find_passphrase(tmp_path, {keys.FILE_VARIABLE: str(tmp_path)})


@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_foreign_keys_in_the_usual_forms_are_read(form: str) -> None:
    key = pki.rsa_key()
    pem = pki.key_pem(key)
    if form == "TraditionalOpenSSL":
        pem = pki.openssl("rsa", "-traditional", stdin=pem)
        assert b"BEGIN RSA PRIVATE KEY" in pem
    assert keys.read_private_key(pem, None, "rootCA.key").public_key() == key.public_key()
    der = pki.openssl("pkey", "-outform", "DER", stdin=pem)
    assert keys.read_private_key(der, None, "rootCA.key").public_key() == key.public_key()


def test_a_foreign_key_that_is_encrypted_needs_its_password() -> None:
    pem = pki.key_pem(pki.ec_key(), "a password")
    assert keys.read_private_key(pem, b"a password", "rootCA.key").public_key() == pki.ec_key().public_key()
    with pytest.raises(BadInput) as refused:
        keys.read_private_key(pem, None, "rootCA.key")
    assert refused.value.code == "password_needed"
    with pytest.raises(BadInput) as refused:
        keys.read_private_key(pem, b"wrong", "rootCA.key")
    assert refused.value.code == "wrong_password"
    assert "wrong" not in refused.value.problem


def test_a_password_for_a_key_without_one_does_no_harm() -> None:
    pem = pki.key_pem(pki.ec_key())
    assert keys.read_private_key(pem, b"not needed", "rootCA.key").public_key() == pki.ec_key().public_key()


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", b"\x30\x80"]
)
def test_what_is_no_key_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(BadInput, match=r"rootCA\.key: is no private key"):
        keys.read_private_key(data, None, "rootCA.key")


def _secret_file(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_bytes(text.encode())
    path.chmod(mode)
    return path
