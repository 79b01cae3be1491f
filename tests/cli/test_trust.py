"""`mutualgate trust` and `mutualgate approve`, for people and for programs."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pki
import pytest
from commands import Run
from cryptography.hazmat.primitives.serialization import Encoding
from installation import Installation
from rows import see

from mutualgate import snapshot
from mutualgate.app import trial
from mutualgate.model.invitation import Way
from mutualgate.model.names import ClientName
from mutualgate.model.partner import PartnerAdmits
from mutualgate.model.refusal import RefusalRecord
from mutualgate.partners.terms import Terms
from mutualgate.reading.files import subject_text

NOW = pki.real_now()


@pytest.fixture
def own(cli: Run, installed: Installation, tmp_path: Path) -> Path:
    """A certificate that was shown to the gate."""
    leaf = pki.leaf(None, "own", now=NOW)
    path = tmp_path / "own.pem"
    path.write_bytes(leaf.pem)
    services = installed.services()
    fingerprint = see(services.store, [leaf.der], at=NOW - timedelta(days=1), reason="unknown_issuer", subject="CN=own")
    with services.store.transaction() as tx:
        tx.refusals.add_many(
            [
                RefusalRecord(
                    "7K3M9QW2XT5B8N4C", NOW, "unknown_issuer", "why", "main", "/", "192.0.2.9", "", fingerprint, None
                )
            ]
        )
    services.close()
    return path


def test_a_change_is_tried_and_nothing_is_changed(cli: Run, own: Path) -> None:
    said = cli("trust", "try", "pin", "add", "first-client", own)
    assert said.code == 0, said.err
    assert said.out.startswith("It would lock out none of 0 clients.\nIt would let in 1: first-client.\n")
    assert "Pin 1" not in said.out
    assert cli("pin", "list").out == "No pin fits.\n"
    cli("pin", "add", "first-client", own)
    tried = cli("trust", "try", "pin", "retire", "1")
    assert tried.out.startswith("It would lock out 1 of 1 client: first-client.\n")
    assert "1 would be judged otherwise, 1 of them kept out:" in tried.out
    assert "pin_retired" in tried.out
    facts = cli("trust", "try", "pin", "retire", "1", "--on", "2020-01-01", "--json").json
    assert facts["locked_out"] == ["first-client"]
    assert facts["affected"][0]["after"] == {"admitted": False, "reason": "pin_retired"}
    assert cli("trust", "try", "client", "roles", "first-client", "--add", "x").out.startswith(
        "It would change nothing"
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("pin", "list"), "no change that can be tried"),
        (("up",), "no change"),
        (("client", "p12", "first-client", "--out", "x"), "no change"),
        (("pin", "retire", "99"), "no pin 99"),
        (("pin", "retire"), "Missing argument"),
        (("pin", "retire", "1", "--nonsense"), "--nonsense"),
        (("partner", "ca", "list"), "no change"),
        (("partner", "ca", "list", "acme"), "no change"),
        (("partner", "member", "list", "acme"), "no change"),
        (("partner", "ca"), "no change"),
        (("partner", "suspend", "list"), "no partner"),
        (("partner", "ca", "retire", "nobody", "1"), "no partner"),
    ],
)
def test_what_cannot_be_tried(cli: Run, words: tuple[str, ...], says: str) -> None:
    said = cli("trust", "try", *words)
    assert said.code == 2
    assert says in said.err
    assert said.out == ""


def test_a_change_is_taken_back(cli: Run, own: Path) -> None:
    assert cli("trust", "list").out == "No change of trust so far.\n"
    cli("pin", "add", "first-client", own)
    assert "pin add first-client" in cli("trust", "list").out
    assert cli("trust", "undo").out.startswith("Taken back: pin add first-client")
    assert cli("pin", "list").out == "No pin fits.\n"
    again = cli("trust", "undo", "--json")
    assert (again.code, again.json["error"]["code"]) == (2, "no_such_change")
    assert cli("trust", "list", "--json").json["changes"][0]["undone"] is not None
    # What cannot be taken back stands in the way: nobody takes an older change back who meant this one.
    cli("pin", "add", "first-client", own)
    cli("client", "revoke", "first-client")
    refused = cli("trust", "undo")
    assert refused.code == 2
    assert "'client revoke first-client' (change 3) is final" in refused.err
    assert re.search(r"\bfinal +client revoke first-client$", cli("trust", "list").out, re.MULTILINE)


def test_from_a_refusal_to_a_client(cli: Run, own: Path) -> None:
    asked = cli("approve", "7K3M9QW2XT5B8N4C", "--client", "partner-7")
    assert asked.code == 2
    for part in ("CN=own", "self-signed, P-256", "refused for", "unknown_issuer", "192.0.2.9", "proved", "--yes"):
        assert part in asked.err
    assert cli("decide", "--cert", own, "--json").json["verdict"] == "refused"
    done = cli("approve", "7K3M9QW2XT5B8N4C", "--client", "partner-7", "--role", "orders", "--yes")
    assert done.code == 0, done.err
    assert "partner-7 comes in (pin 1, until " in done.out
    assert cli("decide", "--cert", own, "--json").json["client"] == "partner-7"
    unknown = cli("approve", "NONE", "--client", "x", "--json")
    assert (unknown.code, unknown.json["error"]["code"]) == (2, "no_such_refusal")


def test_a_question_ends_with_its_own_mark(cli: Run, own: Path) -> None:
    said = cli("approve", "7K3M9QW2XT5B8N4C", "--yes")
    assert (said.code, said.err) == (2, "mutualgate: whose certificate is it? Name the client: --client NAME\n")


def test_what_an_adopted_authority_admits_can_be_tried_and_taken_back(
    cli: Run, installed: Installation, tmp_path: Path
) -> None:
    root = pki.ca("old root", now=NOW)
    (tmp_path / "root.pem").write_bytes(root.pem)
    assert cli("ca", "adopt", "--cert", tmp_path / "root.pem", "--name", "old").code == 0
    assert "'ca adopt old' (change 1) is final" in cli("trust", "undo").err
    leaf = pki.leaf(root, "unlisted", now=NOW)
    (tmp_path / "leaf.pem").write_bytes(leaf.pem)
    services = installed.services()
    see(services.store, [leaf.der], at=NOW, subject="CN=unlisted")
    services.close()
    tried = cli("trust", "try", "ca", "admits", "old", "listed", "--json").json
    assert (tried["locked_out"], tried["clients"]) == (["old estate"], 1)
    cli("ca", "admits", "old", "listed")
    assert cli("decide", "--cert", tmp_path / "leaf.pem", "--json").json["verdict"] == "refused"
    assert "ca admits old listed" in cli("trust", "undo").out
    assert cli("decide", "--cert", tmp_path / "leaf.pem", "--json").json["client"] == "old estate"
    cli("client", "revoke", "--certificate", tmp_path / "leaf.pem")
    assert "'client revoke --certificate " in cli("trust", "undo").err


@pytest.mark.parametrize("which", ["issuing", "root"])
def test_a_rotation_is_final(cli: Run, which: str) -> None:
    assert cli("ca", "rotate", which).code == 0
    assert f"'ca rotate {which}' (change 1) is final" in cli("trust", "undo").err


@pytest.fixture
def busy(cli: Run, installed: Installation, tmp_path: Path) -> Path:
    """A folder with certificates, and an installation to which many kinds of them were shown."""
    acme = pki.ca("issuing", now=NOW)
    twin = pki.ca("issuing", now=NOW)  # its name is the other's, too
    below = pki.ca("below", parent=acme, path_length=0, now=NOW)
    new = pki.ca("new", path_length=0, now=NOW)
    services = installed.services()

    def shown(*chain: pki.Issued, client: str | None = None, **more: Any) -> None:
        with services.store.reading() as tx:
            found = None if client is None else tx.clients.find(ClientName(client))
        ders = [one.der for one in chain]
        see(
            services.store,
            ders,
            at=NOW,
            subject=subject_text(chain[0].certificate),
            client=None if found is None else found.id,
            **more,
        )

    def named(ca: pki.Issued, name: str) -> pki.Issued:
        return pki.leaf(ca, name, sans=[name], days=30, now=NOW)

    for partner, ca in (("acme", acme), ("umbrella", twin)):
        services.partners.add(partner, names=[f"dns:*.{partner}.example"], admits=PartnerAdmits.RULE)
        anchor = services.partners.anchors.claim(partner, ca.pem, terms=Terms(depth=1)).anchor
        services.partners.anchors.approve(partner, anchor.id, without_proof=True)
        for name in ("a", "b"):
            services.partners.members.add(partner, f"dns:{name}.{partner}.example")
            shown(named(ca, f"{name}.{partner}.example"), client=f"{name}.{partner}.example")
        shown(named(ca, f"c.{partner}.example"), client=partner)
        shown(named(ca, "d.other.example"))
    alone = named(below, "alone.acme.example")
    shown(alone, reason="unknown_issuer")
    shown(named(below, "both.acme.example"), below)
    shown(named(new, "e.acme.example"), reason="unknown_issuer")
    own, stranger = (pki.leaf(None, name, now=NOW) for name in ("own", "stranger"))
    services.pins.add("a.acme.example", own.pem)
    shown(own)
    shown(stranger, reason="unknown_issuer")
    with services.store.reading() as tx:
        first = tx.credentials.of_client(1)[0]
        certificate = tx.credentials.certificate(first.id)
    assert certificate is not None
    see(services.store, [certificate], at=NOW, client=first.client)
    guest = services.partner_invitations.invite("acme", "dns:guest.acme.example")
    csr = pki.csr(pki.fresh_key(), "x")
    signed = services.invitation_use.sign(guest.token, csr, way=Way.CSR, peer="192.0.2.1").signed
    assert signed is not None
    chain = [one.public_bytes(Encoding.DER) for one in (signed.certificate, *signed.chain)]
    see(services.store, chain, at=NOW, client=guest.client.id)
    services.close()
    for file, one in (("below", below), ("new", new), ("stranger", stranger)):
        (tmp_path / f"{file}.pem").write_bytes(one.pem)
    return tmp_path


TRIED = {
    "pin add first-client stranger.pem": 1,
    "pin add first-client stranger.pem --key": 1,
    "pin retire 1": 1,
    "partner suspend acme": 5,
    "partner remove acme": 6,
    "partner admits acme listed": 2,
    "partner ca retire acme 1 --on 2020-01-01": 5,
    "partner ca add acme new.pem": 1,
    "partner name add acme dns:d.other.example": 1,
    "partner name remove acme dns:*.acme.example": 5,
    "partner intermediate add acme below.pem": 1,
    "partner member suspend acme dns:a.acme.example": 2,
    "partner member add acme dns:c.acme.example": 1,
    "client suspend first-client": 1,
    "client suspend a.acme.example": 2,
    "client suspend acme": 2,
    "client suspend guest.acme.example": 1,
    "client remove first-client": 1,
    "client revoke first-client": 1,
    "client roles a.acme.example --add x": 0,
}


@pytest.mark.parametrize("words", TRIED)
def test_what_a_change_does_not_concern_need_not_be_judged(
    cli: Run, busy: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    change = [str(busy / word) if word.endswith(".pem") else word for word in words.split()]

    def tried() -> dict[str, Any]:
        said = cli("trust", "try", *change, "--json")
        assert said.code == 0, said.err
        return {**said.json, "since": None, "affected": sorted(said.json["affected"], key=str)}

    few = tried()
    assert len(few["affected"]) == TRIED[words]
    for limit in (3, 0):
        monkeypatch.setattr(trial, "FEW", limit)
        assert tried() == few, "where it may turn out to concern more than was thought"
    monkeypatch.setattr(snapshot, "concern", lambda *_: None)
    assert tried() == few, "where it may concern everybody"


def test_what_is_so_already_is_no_change(cli: Run, own: Path, tmp_path: Path) -> None:
    """So that what is taken back is the last that changed something."""
    ca, old = pki.ca("acme issuing", now=NOW), pki.ca("old", now=NOW)
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    (tmp_path / "old.pem").write_bytes(old.pem)
    made: list[tuple[object, ...]] = [
        ("partner", "add", "acme", "--names", "dns:*.acme.example", "--role", "orders", "--admits", "rule"),
        ("partner", "ca", "add", "acme", tmp_path / "ca.pem"),
        ("partner", "ca", "approve", "acme", "1", "--without-proof"),
        ("partner", "ca", "set", "acme", "1", "--environment", "test"),
        ("ca", "adopt", "--cert", tmp_path / "old.pem", "--name", "old", "--estate", "devices"),
        ("ca", "admits", "old", "listed"),
        ("pin", "add", "first-client", own),
        ("pin", "retire", "1", "--on", f"{NOW + timedelta(days=3):%Y-%m-%d}"),
        ("partner", "ca", "retire", "acme", "1", "--on", f"{NOW + timedelta(days=3):%Y-%m-%d}"),
        ("client", "roles", "first-client", "--add", "orders"),
    ]
    for words in made:
        assert cli(*words).code == 0, words
    before, audited = cli("trust", "list").out, len(cli("audit", "list", "--limit", "500", "--json").json["entries"])
    again: list[tuple[object, ...]] = [
        ("partner", "ca", "set", "acme", "1", "--environment", "test"),
        ("partner", "ca", "renew", "acme", "1", tmp_path / "ca.pem"),
        ("partner", "ca", "retire", "acme", "1", "--on", f"{NOW + timedelta(days=3):%Y-%m-%d}"),
        ("partner", "admits", "acme", "rule"),
        ("partner", "roles", "acme", "orders"),
        ("partner", "name", "add", "acme", "dns:*.acme.example"),
        ("ca", "admits", "old", "listed"),
        ("pin", "retire", "1", "--on", f"{NOW + timedelta(days=3):%Y-%m-%d}"),
        ("client", "roles", "first-client", "--add", "orders"),
    ]
    for words in again:
        said = cli(*words)
        assert (said.code, said.err) == (0, ""), words
        assert "; nothing changes: it was so already." in said.out, words
        assert cli(*words, "--json").json["changed"] is False
        assert cli("trust", "list").out == before, words
        assert len(cli("audit", "list", "--limit", "500", "--json").json["entries"]) == audited, words
    assert cli("trust", "undo").out.startswith("Taken back: client roles first-client")


def test_what_an_adopted_authority_s_certificates_stand_for_stays(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "old.pem").write_bytes(pki.ca("old", now=NOW).pem)
    cli("ca", "adopt", "--cert", tmp_path / "old.pem", "--name", "old", "--estate", "devices")
    assert cli("ca", "admits", "old", "signed").out.endswith("; nothing changes: it was so already.\n")
    assert [one["name"] for one in cli("client", "list", "--json").json["clients"]] == ["first-client", "devices"]


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("partner", "ca", "set", "acme", "1"), "--leaf-limit"),
        (("partner", "contact", "acme"), "--security"),
        (("client", "roles", "first-client"), "--remove"),
    ],
)
def test_who_says_nothing_to_change_is_told_what_can_be(cli: Run, words: tuple[str, ...], option: str) -> None:
    cli("partner", "add", "acme")
    said = cli(*words)
    assert said.code == 2
    assert option in said.err
