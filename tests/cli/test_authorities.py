"""`mutualgate ca`."""

import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pki
import pytest
from commands import Run
from cryptography import x509
from installation import Installation


@pytest.fixture
def estate(tmp_path: Path) -> dict[str, Path]:
    now = pki.real_now()
    root = pki.ca("rootCA", now=now)
    certificate, key = root.write(tmp_path, "rootCA")
    issued = tmp_path / "issued"
    issued.mkdir()
    for number in range(3):
        (issued / f"client{number}.crt").write_bytes(pki.leaf(root, f"client{number}", now=now).pem)
    (issued / "readme.txt").write_text("no certificate")
    return {"cert": certificate, "key": key, "issued": issued}


def test_a_ca_is_adopted_with_what_it_signed(cli: Run, estate: dict[str, Path]) -> None:
    said = cli("ca", "adopt", "--cert", estate["cert"], "--key", estate["key"], "--issued", estate["issued"], "--json")
    assert said.code == 0, said.out
    (taken,) = said.json["authorities"]
    assert (taken["new"], taken["admits"], taken["key"], taken["credentials"]) == (True, "signed", True, 3)
    assert said.json["in_force"] is False
    again = cli("ca", "adopt", "--cert", estate["cert"], "--issued", estate["issued"])
    assert again.code == 0
    assert "was adopted before: 0 new clients, 0 new certificates" in again.out
    assert "skipped: 1 file that is no certificate\n" in again.out
    listed = cli("ca", "list").out.splitlines()
    assert [line.split()[0] for line in listed] == ["name", "root", "issuing", taken["name"]]
    admits = cli("ca", "admits", taken["name"], "listed", "--json")
    assert admits.json["admits"] == "listed"


@pytest.mark.filterwarnings("error")
def test_nothing_is_said_in_a_librarys_words_of_a_ca_whose_serial_number_is_zero(cli: Run, tmp_path: Path) -> None:
    """As `openssl req -x509 -set_serial 0` makes them."""
    for name in ("old", "other"):
        certificate = ("-subj", f"/CN={name}", "-set_serial", "0", "-out", tmp_path / f"{name}.pem")
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", tmp_path / "key.pem")
        subprocess.run(["openssl", "req", "-x509", *key, *certificate], check=True, capture_output=True)
        done = cli("ca", "adopt", "--cert", tmp_path / f"{name}.pem")
        assert (done.code, done.err) == (0, "")
    assert cli("ca", "list").err == ""


def test_it_needs_no_installation_before(bare: Run, estate: dict[str, Path], tmp_path: Path) -> None:
    said = bare("ca", "adopt", "--cert", estate["cert"], "--dir", tmp_path / "new")
    assert said.code == 0, said.err
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_no_bar_is_drawn_for_programs(cli: Run, estate: dict[str, Path]) -> None:
    assert cli("ca", "adopt", "--cert", estate["cert"], "--issued", estate["issued"]).err == ""


@pytest.mark.parametrize("content", [None, b"", b"garbage", b"\x00\xff" * 100])
def test_a_certificate_that_is_none_is_named_and_nothing_is_kept(
    cli: Run, estate: dict[str, Path], content: bytes | None
) -> None:
    if content is None:
        estate["cert"].unlink()
    else:
        estate["cert"].write_bytes(content)
    said = cli("ca", "adopt", "--cert", estate["cert"])
    assert said.code == 2
    assert estate["cert"].name in said.err
    assert len(cli("ca", "list", "--json").json["authorities"]) == 2


def test_a_key_password_is_never_repeated(cli: Run, estate: dict[str, Path], tmp_path: Path) -> None:
    estate["key"].write_bytes(pki.key_pem(pki.fresh_key(), "the right password"))
    secret = tmp_path / "password"
    secret.write_text("hunter2 and more\n")
    said = cli("ca", "adopt", "--cert", estate["cert"], "--key", estate["key"], "--key-password-file", secret)
    assert said.code == 2
    assert "hunter2" not in said.err + said.out
    without = cli("ca", "adopt", "--cert", estate["cert"], "--key", estate["key"])
    for error, problem in ((said, "cannot be opened"), (without, "no password was given")):
        assert problem in error.err
        assert "--key-password-file FILE; or in the variable MUTUALGATE_CA_KEY_PASSWORD" in error.err


Reader = Callable[[bytes], x509.CertificateRevocationList]


@pytest.mark.parametrize(("name", "read"), [("a.pem", x509.load_pem_x509_crl), ("a.crl", x509.load_der_x509_crl)])
def test_a_list_is_written(cli: Run, tmp_path: Path, name: str, read: Reader, installed: Installation) -> None:
    cli("client", "revoke", "first-client")
    said = cli("ca", "crl", "issuing", "--out", tmp_path / name)
    assert said.code == 0, said.err
    assert len(read((tmp_path / name).read_bytes())) == 1
    assert cli("ca", "crl", "issuing", "--out", tmp_path / name).code == 2
    assert cli("ca", "crl", "issuing", "--out", tmp_path / name, "--force", "--json").json["number"] >= 1


@pytest.mark.parametrize(
    "words", [("crl", "nobody", "--out", "x"), ("admits", "issuing", "signed"), ("admits", "issuing", "all")]
)
def test_wrong_use_is_one_sentence(cli: Run, words: tuple[str, ...]) -> None:
    said = cli("ca", *words)
    assert said.code == 2
    assert said.err.startswith("mutualgate: ")
    assert len(said.err.splitlines()) == 1


def test_the_next_issuing_authority_signs_and_both_admit(cli: Run, installed: Installation, tmp_path: Path) -> None:
    said = cli("ca", "rotate", "issuing", "--json")
    assert (said.code, said.json["name"]) == (0, "issuing-2")
    request, out = tmp_path / "a.csr", tmp_path / "a.pem"
    request.write_bytes(pki.csr(pki.fresh_key()))
    cli("client", "add", "anna")
    assert cli("client", "sign", "anna", "--csr", request, "--out", out).code == 0
    assert "vouched for by issuing-2" in cli("decide", "--cert", out).out
    assert "vouched for by issuing\n" in cli("decide", "--cert", installed.pem()).out


def test_the_next_root_is_published_and_then_used(cli: Run, installed: Installation) -> None:
    said = cli("ca", "rotate", "root")
    assert said.code == 0
    assert "mutualgate ca rotate issuing --under root-2" in said.out
    assert installed.folder.root.read_bytes().count(b"BEGIN CERTIFICATE") == 2
    before = installed.folder.root.read_bytes()
    assert cli("ca", "rotate", "issuing", "--under", "root-2").code == 0
    assert installed.folder.root.read_bytes() != before  # the root in force comes first
    for words in (
        ("root", "--under", "root"),
        ("leaf",),
        ("issuing", "--under", "issuing"),
        ("issuing", "--days", "0"),
    ):
        assert cli("ca", "rotate", *words).code == 2, words
