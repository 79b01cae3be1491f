"""The operator's pages: for operators alone, by the services that the commands use, and asked twice before a cut."""

import hashlib
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from ssl import DER_cert_to_PEM_cert
from typing import TYPE_CHECKING, Any

import pki
import pytest
from conftest import Hands
from cryptography.hazmat.primitives import hashes
from portal.asking import ANONYMOUS, Answer, admitted, ask, refused
from published import https_publisher, jwk, jwks
from rows import see

from mutualgate.app import Services
from mutualgate.config import OnRefusal
from mutualgate.errors import NotFound
from mutualgate.model.invitation import Way
from mutualgate.model.pin import PinKind
from mutualgate.model.refusal import RefusalRecord
from mutualgate.reading.weak_keys import key_fingerprint

if TYPE_CHECKING:
    from starlette.types import ASGIApp

OPERATOR = admitted("olga", [b"a certificate"], roles=("admin",))
PAGES = [
    "/join/operator",
    "/join/operator/clients",
    "/join/operator/clients/anna",
    "/join/operator/clients/anna/suspend",
]


@pytest.fixture(autouse=True)
def people(services: Services) -> None:
    services.clients.add("olga", roles=["admin"])
    services.clients.add("anna", contact="anna@example.test", roles=["staff"])


def get(portal: "ASGIApp", path: str) -> Answer:
    return ask(portal, f"/join/operator{path}", OPERATOR)


def post(portal: "ASGIApp", path: str, **form: str) -> Answer:
    return ask(portal, f"/join/operator{path}", OPERATOR, form=form)


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    "who",
    [
        ANONYMOUS,
        admitted("anna", [b"x"], client_id=2, roles=("staff",)),
        refused([b"x"], "expired", known=True) | {"Mutualgate-Roles": "admin", "Mutualgate-Client": "olga"},
    ],
    ids=["nobody", "a client", "an operator who is refused"],
)
def test_they_are_for_operators_alone(portal: "ASGIApp", path: str, who: dict[str, str]) -> None:
    answer = ask(portal, path, who)
    assert answer.status == 403
    assert "for operators" in answer.words
    assert "mutualgate client roles NAME --add ROLE" in answer.words
    assert "anna@example.test" not in answer.text
    assert ask(portal, path, who, form={"sure": "yes"}).status in (403, 405)


def test_a_client_is_suspended_and_resumed_by_whoever_is_signed_in(portal: "ASGIApp", services: Services) -> None:
    asked = get(portal, "/clients/anna/suspend")
    assert "Suspend anna?" in asked.words
    assert "Open connections are cut." in asked.words
    assert post(portal, "/clients/anna/suspend").status == 400
    assert services.clients.get("anna").state == "new"
    done = post(portal, "/clients/anna/suspend", sure="yes")
    assert (done.status, done.headers["Location"]) == (303, "/join/operator/clients/anna")
    assert services.clients.get("anna").state == "suspended"
    assert "suspended" in get(portal, "/clients/anna").words
    post(portal, "/clients/anna/resume", sure="yes")
    assert services.clients.get("anna").state == "new"
    with services.store.reading() as tx:
        last = list(tx.audit.walk())[-2:]
    assert [(entry.by, entry.action) for entry in last] == [("olga", "client.suspend"), ("olga", "client.resume")]


@pytest.mark.parametrize("name", ["olga", "OLGA"])
@pytest.mark.parametrize("step", ["suspend", "revoke", "remove"])
def test_nobody_locks_itself_out(portal: "ASGIApp", services: Services, name: str, step: str) -> None:
    answer = post(portal, f"/clients/{name}/{step}", sure="yes")
    assert answer.status == 409
    assert "lock yourself out" in answer.words
    assert services.clients.get("olga").state == "new"
    assert post(portal, f"/clients/{name}/roles", roles="staff").status == 409
    assert services.clients.get("olga").roles == ("admin",)


def test_a_certificate_is_revoked_alone_or_with_all_others(portal: "ASGIApp", services: Services) -> None:
    for _ in range(3):
        services.enrolment.make_p12("anna")
    first, second, third = services.clients.show("anna").credentials
    assert f"{first.serial.hex()}, until" in get(portal, f"/clients/anna/revoke?credential={first.id}").words
    assert get(portal, "/clients/anna/revoke?credential=999").status == 404
    post(portal, "/clients/anna/revoke", sure="yes", reason="certificateHold", credential=str(first.id))
    assert [one.state for one in services.clients.show("anna").credentials] == ["held", "valid", "valid"]
    assert "certificateHold" in get(portal, "/clients/anna").words
    post(portal, "/clients/anna/release", credential=str(first.id))
    post(portal, "/clients/anna/revoke", sure="yes", reason="keyCompromise")
    assert [one.state for one in services.clients.show("anna").credentials] == ["revoked"] * 3
    assert second.serial.hex() in get(portal, "/clients/anna").words
    assert third.fingerprint.hex() in get(portal, "/clients/anna").words.replace(" ", "")


def test_the_list_is_searched_and_paged(portal: "ASGIApp", services: Services) -> None:
    for number in range(60):
        services.clients.add(f"robot {number:02d}", contact=f"r{number}@machines.test", roles=["robot"])
    first = get(portal, "/clients")
    assert "62 clients" in first.words
    assert "robot 47" in first.words
    assert "robot 48" not in first.words
    assert "robot 59" in get(portal, "/clients?after=50").words
    found = get(portal, "/clients?search=r59%40machines&role=robot&state=new")
    assert "1 client with" in found.words
    assert "robot 59" in found.words
    assert get(portal, "/clients?state=odd").status == 400
    assert get(portal, f"/clients?search={'x' * 200}").status == 400
    assert get(portal, "/clients?after=x").status == 400


def test_roles_are_replaced(portal: "ASGIApp", services: Services) -> None:
    assert post(portal, "/clients/anna/roles", roles="staff, orders:write").status == 303
    assert services.clients.get("anna").roles == ("orders:write", "staff")
    assert post(portal, "/clients/anna/roles", roles="not/a/role").status == 400


def test_hostile_names_are_text(portal: "ASGIApp", services: Services) -> None:
    services.clients.add("<img src=x>", contact="<script>alert(1)</script>")
    for path in ("/clients", "/clients/%3Cimg%20src=x%3E", "/clients?search=%22%3E%3Cscript%3E"):
        answer = get(portal, path)
        assert answer.status == 200
        assert "<img" not in answer.text
        assert "<script>" not in answer.text


def test_what_is_not_there_is_not_found(portal: "ASGIApp") -> None:
    for path in ("/nothing", "/clients/nobody", "/clients/anna/jump", "/clients/nobody/suspend"):
        assert get(portal, path).status == 404


def test_another_site_can_do_nothing(portal: "ASGIApp", services: Services) -> None:
    form = b"sure=yes"
    elsewhere: list[dict[str, Any]] = [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.test"}, {}]
    for fields in elsewhere:
        answer = ask(
            portal, "/join/operator/clients/anna/suspend", OPERATOR, method="POST", body=form,
            **{**fields, "Content-Type": "application/x-www-form-urlencoded"},
        )  # fmt: skip
        assert answer.status == 403
    assert services.clients.get("anna").state == "new"


# --- invitations ---


def test_somebody_is_invited_by_a_link_that_is_shown_once(portal: "ASGIApp", services: Services) -> None:
    assert "Invite somebody" in get(portal, "/invite").words
    page = post(portal, "/invite", name="berta", roles="staff orders", contact="b@example.test", days="3", way="csr")
    (link,) = re.findall(r"https://gate\.test/join/[A-Za-z0-9_-]{43}", page.text)
    opened = services.invitation_use.open(link.rpartition("/")[2], peer="192.0.2.1")
    assert (opened.client.name, opened.client.roles) == ("berta", ("orders", "staff"))
    assert opened.invitation.ways == (Way.CSR,)
    assert opened.invitation.by == "olga"
    (code,) = re.findall(r"\b[A-Za-z0-9]{4}-[A-Za-z0-9]{4}-[A-Za-z0-9]{4}\b", page.words)
    assert services.invitation_use.open(code, peer="192.0.2.1").invitation.id == opened.invitation.id
    assert 'src="data:image/svg+xml' in page.text
    again = get(portal, f"/invitations/{opened.invitation.id}")
    assert link not in again.text
    assert code not in again.text


def test_a_client_is_said_to_be_invited_when_it_was(portal: "ASGIApp", services: Services) -> None:
    services.invitations.invite("berta")
    for page in (get(portal, "/clients?state=new"), get(portal, "/clients/berta")):
        assert re.search(r"\bnew invited\b", page.words)
    assert re.search(r"\banna new staff\b", get(portal, "/clients").words)
    assert "invited" not in get(portal, "/clients/anna").words
    assert 'href="/join/operator/clients?state=new"><strong>3</strong>' in get(portal, "").text


def test_what_is_wrong_is_said_above_the_form_as_it_was(portal: "ASGIApp", services: Services) -> None:
    page = post(portal, "/invite", name="../berta", roles="staff", way="csr", approval="yes")
    assert page.status == 400
    assert "cannot be a client's name" in page.words
    assert 'value="../berta"' in page.text
    assert re.findall(r'name="(?:way|factor|approval)" value="(\w+)" checked', page.text) == ["csr", "yes"]
    assert "no number of days" in post(portal, "/invite", name="berta", validity="forever", way="csr").words
    assert services.invitations.list().total == 0


def test_what_was_handed_in_is_shown_before_it_is_approved(portal: "ASGIApp", services: Services) -> None:
    key = pki.fresh_key()
    ids = []
    for name in ("berta", "carl"):
        invited = services.invitations.invite(name, approval=True)
        request = pki.csr(key if name == "berta" else pki.fresh_key(), "<b>operator</b>")
        services.invitation_use.sign(invited.token, request, way=Way.CSR, peer="192.0.2.9")
        ids.append(invited.invitation.id)
    assert "2 waiting" in get(portal, "").words
    page = get(portal, f"/invitations/{ids[0]}")
    assert r"CN=\<b\>operator" in page.words
    assert "It will say CN=berta" in page.words
    assert key_fingerprint(key.public_key()).hex() in page.words.replace(" ", "")
    assert services.clients.show("berta").credentials == ()
    assert post(portal, f"/invitations/{ids[0]}/approve").status == 303
    assert len(services.clients.show("berta").credentials) == 1
    assert "First seen at the gate not yet" in get(portal, f"/invitations/{ids[0]}").words
    post(portal, f"/invitations/{ids[1]}/decline")
    assert "First seen" not in get(portal, f"/invitations/{ids[1]}").words
    assert services.invitations.get(ids[1]).invitation.state == "declined"
    assert "waiting" not in get(portal, "").words
    assert post(portal, f"/invitations/{ids[0]}/approve").status in (409, 410)


@pytest.mark.parametrize(("kind", "words"), [("certificate", "this certificate alone"), ("key", "its key: renewed")])
def test_what_would_count_of_a_certificate_is_said_before_it_is_approved(
    portal: "ASGIApp", services: Services, kind: str, words: str
) -> None:
    invited, laptop = services.invitations.invite("berta", approval=True), pki.leaf(None, "laptop")
    services.invitation_use.own(invited.token, [laptop.der], peer="192.0.2.9", kind=PinKind(kind))
    assert f"What will count: {words}" in get(portal, f"/invitations/{invited.invitation.id}").words


def test_an_invitation_is_taken_back_or_gets_a_new_link(portal: "ASGIApp", services: Services) -> None:
    invited = services.invitations.invite("berta")
    id = invited.invitation.id
    renewed = post(portal, f"/invitations/{id}/renew")
    (link,) = re.findall(r"https://gate\.test/join/([A-Za-z0-9_-]{43})", renewed.text)
    with pytest.raises(NotFound):
        services.invitation_use.open(invited.token, peer="192.0.2.1")
    assert services.invitation_use.open(link, peer="192.0.2.1").invitation.id == id
    assert post(portal, f"/invitations/{id}/revoke").status == 303
    assert services.invitations.get(id).invitation.state == "revoked"
    twice = post(portal, f"/invitations/{id}/revoke")  # in the words of operators, not of those who are invited
    assert (twice.status, f"The invitation {id} is revoked. Expected: one that is open." in twice.words) == (409, True)
    assert "revoked" in get(portal, "/invitations?state=revoked").words
    for path in ("/invitations/999", "/invitations/x"):
        assert get(portal, path).status == 404
    assert post(portal, f"/invitations/{id}/jump").status == 404


# --- a client's own certificates ---


def test_a_certificate_is_shown_before_it_is_accepted(portal: "ASGIApp", services: Services, clock: Hands) -> None:
    own = pki.leaf(None, "laptop of anna", eku=None, days=1000)
    page = post(portal, "/clients/anna/accept", text=own.pem.decode())
    assert "self-signed" in page.words.lower()
    digest = own.certificate.fingerprint(hashes.SHA256()).hex()
    assert digest in page.words.replace(" ", "")
    assert services.pins.list("anna") == []
    assert "It would lock out nobody and let in nobody who was seen." in page.words
    see(services.store, own.chain_der, at=services.clock(), reason="unknown_issuer", subject="CN=laptop of anna")
    assert "It would let in 1 anna ." in post(portal, "/clients/anna/accept", text=own.pem.decode()).words
    assert services.pins.list("anna") == []
    (pem,) = set(re.findall(r'name="text" value="([^"]+)"', page.text))
    assert post(portal, "/clients/anna/accept", text=unescape(pem), sure="yes", kind="key").status == 303
    ((pin, _),) = services.pins.list("anna")
    assert (pin.kind, pin.certificate) == ("key", own.der)
    assert "CN=laptop of anna" in get(portal, "/clients/anna").words


def test_a_private_key_is_refused_and_not_shown_again(portal: "ASGIApp", services: Services) -> None:
    own = pki.leaf(None, "x")
    page = post(portal, "/clients/anna/accept", text=(own.key_pem + own.pem).decode())
    assert page.status == 400
    assert "private key" in page.words
    assert "PRIVATE KEY-----" not in page.text
    assert services.pins.list("anna") == []
    assert post(portal, "/clients/anna/accept", text="").status == 400
    assert post(portal, "/clients/anna/accept", text="nonsense").status == 400


def test_published_keys_are_approved_or_declined(
    portal: "ASGIApp", services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = jwk(pki.fresh_key(), kid="<b>mine</b>")
    with https_publisher(tmp_path, monkeypatch) as server:
        url = server.put("/a", jwks(hostile, jwk(pki.fresh_key()), jwk(pki.rsa_key(1024))))
        services.key_sets.watch("anna", url, private=True)
        assert services.key_set_fetch.now("anna").problem is None
    page = get(portal, "/clients/anna")
    assert "Keys that it publishes" in page.words
    assert "lets it in from" in page.words
    assert "Left out: key 3" in page.words
    assert "<b>mine" not in page.text
    asks = get(portal, "/clients/anna/keys/1/approve")
    assert "compare the SHA-256" in asks.words
    assert services.key_sets.show("anna").keys[0][0].digest.hex() in asks.words
    assert post(portal, "/clients/anna/keys/1/approve").status == 400
    assert services.pins.list("anna") == []
    assert post(portal, "/clients/anna/keys/1/approve", sure="yes").headers["Location"].endswith("/clients/anna")
    assert len(services.pins.list("anna")) == 1
    assert "Never let the published key 2" in get(portal, "/clients/anna/keys/2/decline").words
    assert post(portal, "/clients/anna/keys/2/decline", sure="yes").status == 303
    assert services.key_sets.show("anna").keys[1][0].state == "declined"
    with services.store.reading() as tx:
        assert [one.by for one in tx.audit.walk()][-1] == "olga"
    for path in ("/clients/anna/keys/9/approve", "/clients/anna/keys/x/approve", "/clients/anna/keys/1/delete"):
        assert get(portal, path).status in (400, 404)
    assert get(portal, "/clients/olga/keys/1/approve").status == 404
    assert post(portal, "/clients/olga/keys/1/approve", sure="yes").status == 404


def test_a_certificate_that_breaks_a_rule_of_its_encoding_is_shown_and_pinned(
    portal: "ASGIApp", services: Services
) -> None:
    odd = pki.respelt(pki.leaf(None, "own"), bytes.fromhex("0603551d25040c"), bytes.fromhex("0603551d25010100040c"))
    page = post(portal, "/clients/anna/accept", text=DER_cert_to_PEM_cert(odd))
    assert "not critical, which DER leaves out" in page.words
    (pem,) = set(re.findall(r'name="text" value="([^"]+)"', page.text))
    assert post(portal, "/clients/anna/accept", text=unescape(pem), sure="yes").status == 303
    ((pin, _),) = services.pins.list("anna")
    assert pin.certificate == odd
    assert post(portal, "/clients/anna/accept", text=pki.csr(pki.fresh_key()).decode()).status == 400


def test_a_pin_is_retired_and_renewed(portal: "ASGIApp", services: Services) -> None:
    pin = services.pins.add("anna", pki.leaf(None, "x", days=1000).pem)
    assert "Retire the pin" in get(portal, f"/pins/{pin.id}/retire").words
    assert post(portal, f"/pins/{pin.id}/retire").status == 400
    assert post(portal, f"/pins/{pin.id}/retire", sure="yes").headers["Location"].endswith("/clients/anna")
    assert services.pins.get(pin.id).state == "retired"
    assert "Renew the pin" in get(portal, f"/pins/{pin.id}/renew").words
    assert post(portal, f"/pins/{pin.id}/renew").status == 400
    assert services.pins.get(pin.id).state == "retired"
    assert post(portal, f"/pins/{pin.id}/renew", sure="yes").status == 303
    assert services.pins.get(pin.id).state == "active"
    for path in ("/pins/999/retire", "/pins/x/retire", f"/pins/{pin.id}/jump"):
        assert get(portal, path).status == 404


def test_what_ends_is_named_in_words(portal: "ASGIApp", services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    services.partners.add("acme", names=["dns:*.acme.example"])
    claimed = services.partners.anchors.claim("acme", pki.ca("acme issuing", days=20).pem)
    services.partners.anchors.approve("acme", claimed.anchor.id, without_proof=True)
    services.pins.add("anna", pki.leaf(None, "anna", days=20).pem)
    page = get(portal, "/expiring?days=30")
    assert re.findall(r'data-label="What">([^<]*)<', page.text) == ["Partner&#39;s CA", "Pin"]
    assert "these are" not in page.words
    monkeypatch.setattr("mutualgate.portal.operator.MOST_EXPIRING", 1)
    assert "no successor yet; there are more than these." in get(portal, "/expiring?days=30").words
    assert "What ends within 1 day And" in " ".join(get(portal, "/expiring?days=1").words.split())
    assert get(portal, "/expiring?days=366").status == 200
    assert get(portal, "/expiring?days=367").status == 400


# --- refusals ---


def test_who_is_turned_away_by_an_alert_is_said_not_to_be_on_the_list(portal: "ASGIApp", services: Services) -> None:
    said = "turned away by a TLS alert is counted"
    assert said not in get(portal, "/refusals").words
    site, *others = services.config.sites
    alerting = replace(site, on_refusal=OnRefusal.ALERT)
    services.take(replace(services.config, sites=(alerting, *others)))
    assert said in get(portal, "/refusals").words


def test_a_refusal_is_looked_up_by_its_reference(portal: "ASGIApp", services: Services) -> None:
    services.refusals.keep(
        [
            {
                "kind": "refused", "refusal": f"7K3M9QW2XT5B8N{number:02d}", "at": 1_780_000_000_000,
                "reason": reason, "site": "main", "path": "/orders?<b>", "peer": "192.0.2.7",
                "subject": f"CN=<b>{reason}", "client": 2 if reason == "expired" else None,
            }
            for number, reason in enumerate(["unknown_issuer", "expired", "no_certificate"])
        ]
    )  # fmt: skip
    assert "CN=<b>expired" in get(portal, "/refusals").words
    only = get(portal, "/refusals?reason=unknown_issuer")
    assert "CN=<b>unknown_issuer" in only.words
    assert "CN=<b>expired" not in only.words
    assert "CN=<b>expired" in get(portal, "/refusals?id=7k3m9qw2xt5b8n01").words
    one = get(portal, "/refusals/7K3M9QW2XT5B8N01")
    assert "validity has ended" in one.words
    assert "belongs to the client anna" in one.words
    assert "<b>" not in one.text
    assert "7K3M9QW2XT5B8N01" in get(portal, "/clients/anna").words
    assert get(portal, "/refusals/NOTHING").status == 404
    assert get(portal, "/refusals?reason=odd").status == 400


def test_what_is_to_type_looks_so(portal: "ASGIApp", services: Services) -> None:
    refusal = shown_and_refused(services, pki.leaf(None, "by itself", ca=True).chain_der)
    page = get(portal, f"/refusals/{refusal}")
    assert page.text.count("as <code>openssl req -x509</code> makes them unasked") == 2  # in short, and whole
    assert "Look twice" not in page.words


def test_a_refusal_becomes_a_client_after_everything_was_shown(portal: "ASGIApp", services: Services) -> None:
    own = pki.leaf(None, "olga", eku=None, days=1000)
    refusal = shown_and_refused(services, own.chain_der)
    page = get(portal, f"/refusals/{refusal}")
    assert "Let it in?" in page.words
    assert own.certificate.fingerprint(hashes.SHA256()).hex() in page.words.replace(" ", "")
    assert "Look twice" in page.words  # it calls itself as the operator is called
    asked = post(portal, f"/refusals/{refusal}", client="laptop", roles="staff", kind="key")
    assert "Let CN=somebody in as laptop?" in asked.words
    assert "It would let in 1 laptop ." in asked.words
    assert own.certificate.fingerprint(hashes.SHA256()).hex() in asked.words.replace(" ", "")
    assert set(re.findall(r'type="hidden" name="(\w+)" value="(\w+)"', asked.text)) == {
        ("client", "laptop"),
        ("roles", "staff"),
        ("kind", "key"),
    }
    assert services.pins.list() == []
    wrong = post(portal, f"/refusals/{refusal}")
    assert (wrong.status, "Nobody was let in" in wrong.words) == (400, True)
    assert post(portal, f"/refusals/{refusal}", sure="yes").status == 400
    done = post(portal, f"/refusals/{refusal}", client="laptop", roles="staff", kind="key", sure="yes")
    assert done.headers["Location"] == "/join/operator/clients/laptop"
    ((pin, client),) = services.pins.list("laptop")
    assert (pin.kind, client.roles) == ("key", ("staff",))


def test_what_cannot_be_let_in_is_not_offered(portal: "ASGIApp", services: Services) -> None:
    own = pki.leaf(None, "x")
    pin = services.pins.add("anna", own.pem)
    services.pins.retire(pin.id)
    refusal = shown_and_refused(services, own.chain_der, "pin_retired")
    page = get(portal, f"/refusals/{refusal}")
    assert "Let it in?" not in page.words
    assert "its pin was retired" in page.words
    assert f"<code>mutualgate pin renew {pin.id}</code>" in page.text
    assert post(portal, f"/refusals/{refusal}", client="laptop", sure="yes").status == 400


def test_a_refusal_of_before_says_how_it_is_today(portal: "ASGIApp", services: Services) -> None:
    own = pki.leaf(None, "x")
    refusal = shown_and_refused(services, own.chain_der)
    services.pins.add("anna", own.pem)
    page = get(portal, f"/refusals/{refusal}")
    assert "Today: it is let in, as the client anna" in page.words
    assert "Let it in?" not in page.words


def shown_and_refused(services: Services, chain: list[bytes], reason: str = "unknown_issuer") -> str:
    """A certificate that the gate saw and refused; the reference of the refusal."""
    see(services.store, chain, at=services.clock(), reason=reason, subject="CN=somebody", count=1)
    record = RefusalRecord(
        "7K3M9QW2XT5B8N4C",
        services.clock(),
        reason,
        "why",
        peer="192.0.2.7",
        subject="CN=somebody",
        fingerprint=hashlib.sha256(chain[0]).digest(),
    )
    with services.store.transaction() as tx:
        tx.refusals.add_many([record])
    return "7K3M9QW2XT5B8N4C"
