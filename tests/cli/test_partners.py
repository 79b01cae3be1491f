"""`mutualgate partner`, each verb, for people and for programs."""

from pathlib import Path

import pki
import pytest
from commands import Run, Said
from cryptography import x509
from cryptography.x509.oid import NameOID
from installation import Installation

from mutualgate.model.certificate import spki_fingerprint
from mutualgate.model.partner import RuleKind


@pytest.fixture
def acme(cli: Run, tmp_path: Path) -> pki.Issued:
    """The CA of the partner acme, proved; its file is acme.pem."""
    ca = pki.ca("acme issuing", path_length=0, now=pki.real_now())
    cli("partner", "add", "acme", "--names", "dns:*.acme.example", "--role", "orders", "--admits", "rule")
    (tmp_path / "acme.pem").write_bytes(ca.pem)
    claimed = cli("partner", "ca", "add", "acme", tmp_path / "acme.pem", "--json").json
    proof = tmp_path / "proof.pem"
    proof.write_bytes(pki.leaf(ca, claimed["challenge"], now=pki.real_now()).pem)
    proved = cli("partner", "ca", "prove", "acme", proof, "--json")
    assert (proved.json["state"], proved.json["waits_for_approval"]) == ("active", False)
    return ca


def decide(cli: Run, folder: Path, ca: pki.Issued, *names: str, days: float = 30) -> dict[str, str]:
    path = folder / "leaf.pem"
    path.write_bytes(pki.leaf(ca, "x", sans=list(names), days=days, now=pki.real_now()).chain_pem)
    found: dict[str, str] = cli("decide", "--cert", path, "--json").json
    return found


def code(said: Said) -> str:
    return str(said.json["error"]["code"])


def test_from_the_first_word_to_the_first_client(cli: Run, tmp_path: Path) -> None:
    added = cli("partner", "add", "acme", "--names", "dns:*.acme.example", "--admits", "rule")
    assert added.code == 0, added.err
    assert "Next: mutualgate partner ca add acme" in added.out
    ca = pki.ca("acme issuing", now=pki.real_now())
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    claimed = cli("partner", "ca", "add", "acme", tmp_path / "ca.pem")
    assert claimed.code == 0, claimed.err
    assert "whoever holds its key can make a certificate for any name" in claimed.out
    assert "Note: It is a root that may have other CAs below it." in claimed.out
    assert "90 days at the most" in claimed.out
    assert decide(cli, tmp_path, ca, "api.acme.example")["reason"] == "unknown_issuer"
    words = next(line.strip() for line in claimed.out.splitlines() if line.startswith("  "))
    (tmp_path / "proof.pem").write_bytes(pki.leaf(ca, words, now=pki.real_now()).pem)
    assert "is proved" in cli("partner", "ca", "prove", "acme", tmp_path / "proof.pem").out
    found = decide(cli, tmp_path, ca, "api.acme.example")
    assert (found["verdict"], found["client"], found["authority"]) == ("admitted", "acme", "partner acme")


def test_names_permit_and_nothing_else(cli: Run, tmp_path: Path, acme: pki.Issued) -> None:
    assert decide(cli, tmp_path, acme, "api.umbrella.example")["reason"] == "name_not_permitted"
    cli("partner", "name", "add", "acme", "dns:api.umbrella.example")
    assert decide(cli, tmp_path, acme, "api.umbrella.example")["verdict"] == "admitted"
    assert len(cli("partner", "name", "list", "acme").out.splitlines()) == 3
    cli("partner", "name", "remove", "acme", "dns:api.umbrella.example")
    assert decide(cli, tmp_path, acme, "api.umbrella.example")["reason"] == "name_not_permitted"
    wide = cli("partner", "name", "add", "acme", "dns:*.example", "--json")
    assert (wide.code, code(wide)) == (2, "rule_too_wide")
    assert cli("partner", "name", "add", "acme", "dns:*.example", "--wide").code == 0


def test_a_name_that_ends_with_a_space(cli: Run, tmp_path: Path, acme: pki.Issued) -> None:
    """RFC 4514 2.4: a space at the end is escaped."""
    name = "dn:CN=till 7\\ "
    assert cli("partner", "name", "add", "acme", f" {name} ").code == 0
    assert cli("partner", "name", "list", "acme", "--json").json["rules"][-1]["rule"] == name
    assert cli("partner", "member", "add", "acme", name).code == 0
    assert cli("partner", "member", "list", "acme", "--json").json["members"][-1]["name"] == name
    assert cli("partner", "name", "remove", "acme", name).code == 0


def test_a_rule_that_could_not_be_written_today_can_be_taken_away(
    cli: Run, installed: Installation, acme: pki.Issued
) -> None:
    """It permits nobody, and `status` says so."""
    rule = "uri:https://acme.example/a%20b/*"
    said = cli("partner", "name", "add", "acme", rule)
    assert (said.code, "nobody comes in below a path with a %" in said.err) == (2, True)
    services = installed.services()
    with services.store.transaction() as tx:
        tx.partners.add_rule(1, RuleKind.URI, rule.removeprefix("uri:"), None, pki.real_now())
    services.close()
    assert cli("partner", "name", "remove", "acme", rule).code == 0
    assert rule not in cli("partner", "name", "list", "acme").out


def test_taking_a_name_away_says_who_is_outside(cli: Run, installed: Installation, acme: pki.Issued) -> None:
    services = installed.services()
    for name in ("api", "batch"):
        services.partner_invitations.invite("acme", f"dns:{name}.acme.example")
    services.close()
    tried = cli("trust", "try", "partner", "name", "remove", "acme", "dns:*.acme.example")
    assert (
        "2 clients that the partner invited would be outside its rules, and out: api.acme.example, batch" in tried.out
    )
    kept = cli("trust", "try", "partner", "name", "remove", "acme", "dns:*.acme.example", "--keep", "--json")
    assert kept.json["outside"] == []
    cli("partner", "name", "add", "acme", "dns:batch.acme.example")
    gone = cli("partner", "name", "remove", "acme", "dns:*.acme.example")
    assert "1 client that acme invited is outside its rules now, and out: dns:api.acme.example." in gone.out
    assert "outside" in cli("partner", "member", "list", "acme", "--state", "outside").out
    assert "may not vouch for this name any more: out" in cli("client", "show", "api.acme.example").out
    last = cli("partner", "name", "remove", "acme", "dns:batch.acme.example", "--keep", "--json").json
    assert (last["outside"], last["kept"]) == (["dns:batch.acme.example"], True)
    assert cli("partner", "member", "list", "acme", "--state", "outside", "--json").json["members"][0]["name"] == (
        "dns:api.acme.example"
    )


def test_which_clients_come_in(cli: Run, tmp_path: Path, acme: pki.Issued) -> None:
    cli("partner", "admits", "acme", "listed")
    assert decide(cli, tmp_path, acme, "api.acme.example")["reason"] == "not_enrolled"
    made = cli("partner", "member", "add", "acme", "dns:api.acme.example")
    assert "is the client api.acme.example" in made.out
    assert "Note" not in made.out
    beside = cli("partner", "member", "add", "acme", "dns:api.other.example").out
    assert "no rule permits the name yet" in beside
    assert "mutualgate partner name add acme dns:api.other.example" in beside
    assert decide(cli, tmp_path, acme, "api.acme.example")["client"] == "api.acme.example"
    assert "is dns:api.acme.example of the partner acme" in cli("client", "show", "api.acme.example").out
    assert "stands for clients of the partner acme" in cli("client", "show", "acme").out
    cli("partner", "member", "suspend", "acme", "dns:api.acme.example")
    assert decide(cli, tmp_path, acme, "api.acme.example")["reason"] == "client_suspended"
    assert "suspended" in cli("partner", "member", "list", "acme").out
    cli("partner", "member", "resume", "acme", "dns:api.acme.example")
    assert decide(cli, tmp_path, acme, "api.acme.example")["verdict"] == "admitted"
    cli("partner", "member", "remove", "acme", "dns:api.acme.example")
    assert decide(cli, tmp_path, acme, "api.acme.example")["reason"] == "not_enrolled"


def test_a_partner_is_kept_out_as_a_whole(cli: Run, tmp_path: Path, acme: pki.Issued) -> None:
    cli("partner", "suspend", "acme")
    assert decide(cli, tmp_path, acme, "api.acme.example")["reason"] == "client_suspended"
    cli("partner", "resume", "acme")
    assert decide(cli, tmp_path, acme, "api.acme.example")["verdict"] == "admitted"
    cli("partner", "remove", "acme")
    assert decide(cli, tmp_path, acme, "api.acme.example")["reason"] == "unknown_issuer"
    assert cli("partner", "list").out == "No partner fits.\n"


def test_terms_of_a_ca(cli: Run, tmp_path: Path, acme: pki.Issued) -> None:
    assert decide(cli, tmp_path, acme, "api.acme.example", days=365)["reason"] == "path_invalid"
    cli("partner", "ca", "set", "acme", "1", "--leaf-limit", "400d")
    assert decide(cli, tmp_path, acme, "api.acme.example", days=365)["verdict"] == "admitted"
    cli("partner", "ca", "set", "acme", "1", "--revocation", "fail")
    assert decide(cli, tmp_path, acme, "api.acme.example")["reason"] == "crl_missing"
    cli("partner", "ca", "retire", "acme", "1")
    assert decide(cli, tmp_path, acme, "api.acme.example")["reason"] == "unknown_issuer"
    listed = cli("partner", "ca", "list", "acme").out.splitlines()
    assert listed[1].split()[:2] == ["1", "retired"]


def test_a_ca_below_the_one_that_is_trusted(cli: Run, tmp_path: Path) -> None:
    now = pki.real_now()
    root = pki.ca("root", path_length=1, now=now)
    issuing = pki.ca("issuing", parent=root, path_length=0, now=now)
    other = pki.ca("other", parent=root, path_length=0, now=now)
    for name, ca in (("root", root), ("issuing", issuing)):
        (tmp_path / f"{name}.pem").write_bytes(ca.pem)
    cli("partner", "add", "acme", "--names", "dns:*.acme.example", "--admits", "rule")
    added = cli(
        "partner", "ca", "add", "acme", tmp_path / "root.pem", "--depth", "1", "--sub-ca", tmp_path / "issuing.pem"
    )
    assert added.code == 0, added.err
    cli("partner", "ca", "approve", "acme", "1", "--without-proof")
    assert decide(cli, tmp_path, issuing, "a.acme.example")["verdict"] == "admitted"
    assert decide(cli, tmp_path, other, "a.acme.example")["reason"] == "path_invalid"
    leaf = tmp_path / "alone.pem"
    leaf.write_bytes(pki.leaf(issuing, "x", sans=["a.acme.example"], days=30, now=now).pem)
    assert cli("decide", "--cert", leaf, "--json").json["verdict"] == "refused"
    helped = cli("partner", "intermediate", "add", "acme", tmp_path / "issuing.pem", "--json")
    assert helped.json["remarks"] == []
    assert cli("decide", "--cert", leaf, "--json").json["verdict"] == "admitted"
    cli("partner", "intermediate", "remove", "acme", "1")
    assert cli("decide", "--cert", leaf, "--json").json["verdict"] == "refused"


def test_a_new_ca_below_waits_until_it_is_allowed(cli: Run, tmp_path: Path) -> None:
    now = pki.real_now()
    root = pki.ca("root", path_length=1, now=now)
    known, new = (pki.ca(name, parent=root, path_length=0, now=now) for name in ("known", "new"))
    for name, ca in (("root", root), ("known", known), ("new", new)):
        (tmp_path / f"{name}.pem").write_bytes(ca.pem)
    cli("partner", "add", "acme", "--names", "dns:*.acme.example", "--admits", "rule")
    hold = ("--depth", "1", "--new-intermediates", "hold")
    added = cli("partner", "ca", "add", "acme", tmp_path / "root.pem", *hold, "--json")
    assert (added.json["new_intermediates"], added.json["sub_cas"]) == ("hold", [])
    cli("partner", "ca", "approve", "acme", "1", "--without-proof")
    refused = decide(cli, tmp_path, known, "a.acme.example")
    assert refused["reason"] == "path_invalid"
    assert "is a CA that is new here and waits until the operator allows it" in refused["detail"]
    cli("partner", "intermediate", "add", "acme", tmp_path / "known.pem")
    spki = spki_fingerprint(known.certificate).hex()
    assert f"Let it in: mutualgate partner ca allow acme {spki}" in cli("partner", "ca", "list", "acme").out
    assert "CN=known" in cli("partner", "ca", "list").out
    assert cli("partner", "show", "acme", "--json").json["below"][0]["state"] == "waits"
    tried = cli("trust", "try", "partner", "ca", "allow", "acme", spki, "--json")
    assert tried.code == 0, tried.err
    assert cli("partner", "ca", "allow", "acme", spki).code == 0
    assert decide(cli, tmp_path, known, "a.acme.example")["verdict"] == "admitted"
    assert decide(cli, tmp_path, new, "a.acme.example")["reason"] == "path_invalid"
    cli("partner", "ca", "disallow", "acme", tmp_path / "known.pem")
    assert decide(cli, tmp_path, known, "a.acme.example")["reason"] == "path_invalid"
    cli("trust", "undo")
    assert decide(cli, tmp_path, known, "a.acme.example")["verdict"] == "admitted"
    cli("partner", "ca", "set", "acme", "1", "--new-intermediates", "admit")
    assert decide(cli, tmp_path, new, "a.acme.example")["verdict"] == "admitted"
    assert "environment tset" in cli("partner", "ca", "set", "acme", "1", "--environment", "tset").out
    cli("partner", "ca", "set", "acme", "1", "--environment", "")
    assert "--new-intermediates admit" in cli("partner", "ca", "set", "acme", "1", "--sub-ca", "").err
    both = cli("partner", "ca", "set", "acme", "1", "--new-intermediates", "admit", "--sub-ca", spki, "--json")
    assert both.code == 2
    assert cli("partner", "ca", "set", "acme", "1", "--depth", "0", "--new-intermediates", "hold").code == 2


def test_a_rule_that_counts_under_no_ca_is_said_to(cli: Run, tmp_path: Path) -> None:
    now = pki.real_now()
    (tmp_path / "ca.pem").write_bytes(pki.ca("public", now=now).pem)
    cli("partner", "add", "acme", "--admits", "rule")
    add = ("partner", "name", "add", "acme")
    assert "Note" not in cli(*add, "dns:a.acme.example").out, "which CAs it has nobody knows yet"
    cli("partner", "ca", "add", "acme", tmp_path / "ca.pem", "--shared")
    said = cli(*add, "dns:*.acme.example").out
    assert "nobody comes in by that: all CAs of acme are shared" in said
    assert said.endswith("--ca 1.\n")
    member = ("partner", "member", "add", "acme", "dns:a.acme.example", "--json")
    assert cli(*member).json["permitted"] is False
    assert cli(*add, "dns:a.acme.example", "--ca", "1", "--json").json["only_shared"] == []
    (tmp_path / "own.pem").write_bytes(pki.ca("own", now=now).pem)
    cli("partner", "ca", "add", "acme", tmp_path / "own.pem")
    assert "Note" not in cli(*add, "dns:*.x.acme.example").out


def test_a_payment_service_provider_under_a_ca_of_many(cli: Run, tmp_path: Path) -> None:
    now = pki.real_now()
    ca = pki.ca("qualified", now=now)
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    added = cli("partner", "add", "bank", "--profile", "psd2", "--admits", "rule")
    _, _, following = added.out.strip().partition("Next: mutualgate ")
    shared = cli(*following.replace("issuing-ca.pem", str(tmp_path / "ca.pem")).split())
    assert cli("partner", "show", "bank", "--json").json["profile"] == "psd2"
    assert "partner name add bank organization:PSDBE-NBB-0123456789 --ca 1" in shared.out
    named = cli("partner", "name", "add", "bank", "organization:PSDBE-NBB-0123456789", "--ca", "1")
    assert named.code == 0, named.err
    refused = cli("partner", "name", "add", "bank", "dns:api.bank.example", "--ca", "1", "--json")
    assert code(refused) == "rule_of_other_profile"

    def provider(identifier: str) -> dict[str, str]:
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_IDENTIFIER, identifier)])
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.SubjectAlternativeName([x509.DNSName("anything.example")]), False)
        ]
        path = tmp_path / "leaf.pem"
        path.write_bytes(pki.issue(ca, subject, days=30, now=now, extensions=extensions).pem)
        found: dict[str, str] = cli("decide", "--cert", path, "--json").json
        return found

    assert provider("PSDBE-NBB-0123456789")["verdict"] == "admitted"
    assert provider("PSDBE-NBB-0123456780")["reason"] == "name_not_permitted"
    assert "known by the organizationIdentifier" in cli("partner", "show", "bank").out
    cli("partner", "suspend", "bank")
    assert provider("PSDBE-NBB-0123456789")["reason"] == "client_suspended"


def test_only_what_is_issued_under_a_policy(cli: Run, tmp_path: Path) -> None:
    now = pki.real_now()
    ca, policy = pki.ca("acme policies", now=now), "1.3.6.1.4.1.99999.1"
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    cli("partner", "add", "acme", "--names", "dns:*.acme.example", "--admits", "rule")
    added = cli("partner", "ca", "add", "acme", tmp_path / "ca.pem", "--policy", policy, "--json")
    assert added.json["policy"] == policy
    cli("partner", "ca", "approve", "acme", "1", "--without-proof")
    refused = decide(cli, tmp_path, ca, "a.acme.example")
    assert refused["reason"] == "path_invalid"
    assert f"under the certificate policy {policy}, which its authority has to follow here" in refused["detail"]
    assert policy in cli("partner", "ca", "list", "acme").out
    assert code(cli("partner", "ca", "set", "acme", "1", "--policy", "2.5.29.32.0", "--json")) == "bad_policy"
    cli("partner", "ca", "set", "acme", "1", "--policy", "")
    assert decide(cli, tmp_path, ca, "a.acme.example")["verdict"] == "admitted"


def test_a_ca_under_which_the_judge_lets_nobody_in_is_told_so_at_once(
    cli: Run, tmp_path: Path, acme: pki.Issued
) -> None:
    """Else each of its clients would be refused, one by one, for what was to be seen from the first."""
    unsound = x509.NameConstraints([x509.UniformResourceIdentifier("https://acme.example/")], None)
    new, newer = (
        pki.ca(name, key=key, path_length=0, more=[unsound], now=pki.real_now())
        for name, key in (("acme next", None), ("acme issuing", acme.key))
    )
    (tmp_path / "next.pem").write_bytes(new.pem)
    (tmp_path / "newer.pem").write_bytes(newer.pem)
    why = "lets nobody in as a CA: it has a name constraint that means nothing (RFC 5280 4.2.1.10)"
    for words in (
        ("partner", "ca", "add", "acme", tmp_path / "next.pem"),
        ("partner", "ca", "add", "acme", tmp_path / "next.pem", "--shared"),
        ("trust", "try", "partner", "ca", "add", "acme", tmp_path / "next.pem"),
        ("partner", "ca", "renew", "acme", "1", tmp_path / "newer.pem"),
    ):
        said = cli(*words)
        assert said.code == 2
        assert why in said.err
        assert len(said.err.splitlines()) == 1
    assert [one["id"] for one in cli("partner", "ca", "list", "acme", "--json").json["cas"]] == [1]


def test_a_ca_that_requires_a_policy_is_taken_and_says_so_until_one_is_agreed(cli: Run, tmp_path: Path) -> None:
    requires = x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=None)
    (tmp_path / "ca.pem").write_bytes(pki.ca("acme policies", more=[requires], now=pki.real_now()).pem)
    cli("partner", "add", "acme", "--names", "dns:*.acme.example")
    odd = "It requires a certificate policy (RFC 5280 4.2.1.11), and none is agreed: nobody comes in under it"
    assert odd in cli("partner", "ca", "add", "acme", tmp_path / "ca.pem").out
    cli("partner", "ca", "retire", "acme", "1")
    agreed = cli("partner", "ca", "add", "acme", tmp_path / "ca.pem", "--policy", "1.3.6.1.4.1.99999.1")
    assert (agreed.code, odd in agreed.out) == (0, False)


def test_a_claim_waits_and_is_seen(cli: Run, tmp_path: Path) -> None:
    cli("partner", "add", "acme")
    (tmp_path / "ca.pem").write_bytes(pki.ca("ca", now=pki.real_now()).pem)
    cli("partner", "ca", "add", "acme", tmp_path / "ca.pem")
    assert "acme" in cli("partner", "ca", "list").out
    refused = cli("partner", "ca", "approve", "acme", "1", "--json")
    assert (refused.code, code(refused)) == (2, "not_proved")
    cli("partner", "ca", "remove", "acme", "1")
    assert cli("partner", "ca", "list").out == "No claim waits.\n"


def test_a_partner_is_shown(cli: Run, tmp_path: Path, acme: pki.Issued) -> None:
    cli("partner", "roles", "acme", "a", "b")
    cli("partner", "contact", "acme", "--contact", "ops@acme.example", "--security", "sec@acme.example")
    text = cli("partner", "show", "acme").out
    for part in ("acme, partner 1, active; admits: rule", "roles: a, b", "ops@acme.example", "sec@acme.example",
                 "may vouch for dns:*.acme.example", "CN=acme issuing"):  # fmt: skip
        assert part in text
    shown = cli("partner", "show", "acme", "--json").json
    assert shown["rules"] == [{"id": 1, "rule": "dns:*.acme.example", "ca": None}]
    assert shown["cas"][0]["state"] == "active"
    assert cli("partner", "list", "--json").json["total"] == 1


def test_a_newer_certificate_of_the_ca(cli: Run, tmp_path: Path, acme: pki.Issued) -> None:
    newer = pki.ca("acme issuing", key=acme.key, path_length=0, days=5000, now=pki.real_now())
    (tmp_path / "newer.pem").write_bytes(newer.pem)
    assert "lasts until" in cli("partner", "ca", "renew", "acme", "1", tmp_path / "newer.pem").out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("show", "nobody"), "no partner"),
        (("add", "A B"), "partner's name"),
        (("admits", "acme", "all"), "rule"),
        (("ca", "add", "acme", "leaf.pem"), "cannot be a partner's CA"),
        (("ca", "add", "acme", "acme.pem"), "already, active"),
        (("ca", "retire", "acme", "9"), "no CA"),
        (("ca", "set", "acme", "1", "--revocation", "grace", "--grace", "soon"), "--grace"),
        (("ca", "prove", "acme", "leaf.pem"), "no claim"),
        (("name", "add", "acme", "*.acme.example"), "no name rule"),
        (("member", "approve", "acme", "dns:x.acme.example"), "no client"),
        (("intermediate", "add", "acme", "leaf.pem"), "cannot be a partner's CA"),
    ],
)
def test_wrong_use_is_one_sentence(
    cli: Run, tmp_path: Path, acme: pki.Issued, words: tuple[str, ...], says: str
) -> None:
    (tmp_path / "leaf.pem").write_bytes(pki.leaf(acme, now=pki.real_now()).pem)
    said = cli("partner", *(tmp_path / word if word.endswith(".pem") else word for word in words))
    assert said.code == 2
    assert says in said.err
    assert len(said.err.splitlines()) == 1
