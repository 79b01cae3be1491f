"""Words that flags take, and flags that go with others."""

from pathlib import Path

import pki
import pytest
from commands import Run
from installation import Installation

from mutualgate.cli.options import choice
from mutualgate.errors import BadInput
from mutualgate.model.authority import Admits


def test_a_word_is_taken_in_any_case() -> None:
    assert choice(Admits, "Signed", "--admits") is Admits.SIGNED


def test_another_one_is_told_what_is_possible() -> None:
    with pytest.raises(BadInput, match=r"--admits: 'all' is not possible; expected one of .*signed"):
        choice(Admits, "all", "--admits")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("client import {people} --way page", "--way goes with --invite"),
        ("client import {people} --days 7", "--days goes with --invite"),
        ("client import {people} --valid-for 9", "--valid-for goes with --invite"),
        ("client import {people} --second-factor", "--second-factor goes with --invite"),
        ("client import {people} --approve", "--approve goes with --invite"),
        ("client import {people} --out x.csv", "--out goes with --invite"),
        ("client sign anna --csr {pem} --out {new} --role staff", "--role goes with --csrs"),
        ("client sign anna --csr {pem} --out {new} --add", "--add goes with --csrs"),
        ("client sign --csrs {folder} --role staff", "--role goes with --add"),
        ("client p12 first-client --out {new} --for macos --profile modern", "--for goes with --profile auto"),
        ("client revoke first-client --lineage", "--lineage goes with --credential"),
        ("client revoke --certificate {pem} --credential 1", "--credential goes with the client's name"),
        ("invite anna --force", "--force goes with --qr-file"),
        ("invitation resend 1 --force", "--force goes with --qr-file"),
        ("explain {pem} --limit 3", "--limit goes with the list"),
        ("explain 7K3M9QW2XT5B8N4C --reason expired", "--reason goes with the list"),
        ("decide --cert {pem} --path /x", "--path goes with --host"),
        ("decide --batch --host localhost", "--host goes with --cert"),
        ("decide --batch --at 2027-01-01", "--at goes with --cert"),
        ("decide --batch --cert {pem}", "give either --cert FILE or --batch"),
        ("ca adopt --cert {pem} --key-password-file {pem}", "--key-password-file goes with --key"),
        ("ca rotate root --under root", "--under goes with issuing"),
        ("pin add first-client {pem} --overlap 7d", "--overlap goes with --replaces"),
        ("pin list first-client --limit 3", "--limit goes with the list of all"),
        ("partner add acme --wide", "--wide goes with --names"),
        ("partner ca add acme {pem} --grace 24h", "--grace goes with --revocation grace"),
        ("partner ca add acme {pem} --revocation fail --leaf-limit 9d", "--leaf-limit goes with --revocation ignore"),
    ],
)
def test_a_flag_that_would_do_nothing_is_refused(
    words: str, said: str, cli: Run, tmp_path: Path, installed: Installation
) -> None:
    people, pem, folder = tmp_path / "people.csv", tmp_path / "a.pem", tmp_path / "requests"
    people.write_text("name\nanna\n")
    pem.write_bytes(pki.leaf(None).pem)
    folder.mkdir()
    named = {"people": people, "pem": pem, "new": tmp_path / "new", "folder": folder}
    answer = cli(*(word.format(**named) for word in words.split(" ")))
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert not (tmp_path / "new").exists()
    assert cli("client", "list", "--json").json["total"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--renew", "{folder}", "--key", "p256"), "--key goes with the link of an invitation"),
        (("https://gate.example/join/x", "--now"), "--now goes with --renew"),
    ],
)
def test_a_renewal_goes_by_its_folder(words: tuple[str, ...], said: str, bare: Run, tmp_path: Path) -> None:
    answer = bare("enrol", *(word.format(folder=tmp_path) for word in words))
    assert (answer.code, said in answer.err) == (2, True)


def test_what_goes_together_is_done(cli: Run, tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    people.write_text("name\nanna\n")
    assert cli("client", "import", people).code == 0  # defaults are nobody's word
    people.write_text("name\nbert\n")
    assert cli("client", "import", people, "--invite", "--days", "7", "--way", "page").code == 0


@pytest.mark.parametrize("word", ["anna", "0", "1.5", "٣", "9" * 30])
@pytest.mark.parametrize(
    ("words", "of", "shown_by"),
    [
        ("invitation approve", "an invitation", "invitation list"),
        ("pin retire", "a pin", "pin list"),
        ("partner ca approve acme", "a CA", "partner ca list PARTNER"),
        ("partner intermediate remove acme", "an intermediate", "partner show PARTNER"),
        ("client keys approve anna", "a key", "client keys list NAME"),
        ("notices retry", "a letter", "notices list"),
        ("trust undo", "a change", "trust list"),
    ],
)
def test_what_is_no_number_is_told_where_numbers_are_found(
    words: str, of: str, shown_by: str, word: str, cli: Run
) -> None:
    answer = cli(*words.split(), word)

    assert answer.code == 2
    assert f"'{word}' is no number of {of}; see them with: mutualgate {shown_by}" in answer.err
