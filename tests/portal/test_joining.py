"""From the link to the first good handshake, as a visitor and a program see it."""

import re
import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pki
import pytest
from conftest import Hands
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from portal.asking import ANONYMOUS, HTML, JSON, TEXT, Answer, admitted, ask, refused

from mutualgate.app import Services
from mutualgate.enrolment.invitations import Invited
from mutualgate.model.invitation import InvitationState, Way
from mutualgate.portal.application import application

if TYPE_CHECKING:
    from starlette.types import ASGIApp

HOSTILE = "<script>alert(1)<script> {{7*7}}"
PKCS10: dict[str, Any] = {"Content_Type": "application/pkcs10"}


def invite(services: Services, name: str = "ann", **how: Any) -> Invited:
    return services.invitations.invite(name, roles=["staff"], **how)


def csr(name: str = "whoever") -> bytes:
    return pki.csr(pki.fresh_key(), name)


def hand_in(portal: "ASGIApp", invited: Invited, data: bytes, *, accept: str = TEXT, **fields: str) -> Answer:
    return ask(portal, f"/join/{invited.token}/csr", method="POST", accept=accept, body=data, **{**PKCS10, **fields})


def own(name: str = "laptop") -> pki.Issued:
    return pki.leaf(None, name)


# The door


def test_a_code_or_a_whole_link_leads_to_its_invitation(portal: "ASGIApp", services: Services) -> None:
    invited = invite(services)
    assert 'name="code"' in ask(portal, "/join/").text
    for typed in (invited.code, invited.code.replace("-", ""), f" {invited.code.replace('-', ' ')} "):
        answer = ask(portal, "/join/", form={"code": typed})
        assert (answer.status, answer.headers["Location"]) == (303, f"/join/{invited.code}")
    pasted = ask(portal, "/join/", form={"code": f"https://gate.test/join/{invited.token}"})
    assert pasted.headers["Location"] == f"/join/{invited.token}"
    assert "You are invited as ann" in ask(portal, f"/join/{invited.code}").words


@pytest.mark.parametrize("typed", ["", "abc", "2222-2222-2222", "x" * 300, '"><script>alert(1)</script>', "/../me"])
def test_a_code_that_opens_nothing_is_told_so(portal: "ASGIApp", typed: str) -> None:
    answer = ask(portal, "/join/", form={"code": typed})
    assert answer.status in (400, 404)
    assert 'role="status"' in answer.text
    assert "<script>" not in answer.text


def test_who_guesses_is_slowed_down(portal: "ASGIApp") -> None:
    statuses = [ask(portal, f"/join/2222-2222-{number:04}").status for number in range(60)]
    assert statuses[0] == 404
    assert statuses[-1] == 429
    for accept in (HTML, JSON, TEXT):
        told = ask(portal, "/join/2222-2222-2222", accept=accept)
        assert "too many wrong tries" in told.words
        assert "Try again in 10 minutes." in told.words
        assert told.headers["Retry-After"] == "600"


# The invitation


@pytest.mark.parametrize("accept", [HTML, JSON, TEXT])
def test_an_authority_without_its_key_is_no_visitor_s_affair(
    portal: "ASGIApp", services: Services, accept: str
) -> None:
    """As one that was adopted without it: the flag that adopts it is for operators."""
    invited = invite(services)
    with closing(sqlite3.connect(services.store.path)) as store, store:
        store.execute("DELETE FROM authority_key")
    told = hand_in(portal, invited, csr(), accept=accept)
    assert told.status == 409
    assert "No certificate can be signed here at the moment." in told.text
    assert "Tell whoever invited you. Nothing was used up" in told.text
    for word in ("--key", "adopted", "issuing"):
        assert word not in told.text
    assert services.invitations.get(invited.invitation.id).invitation.state == "open"


@pytest.mark.parametrize("accept", [HTML, JSON, TEXT])
@pytest.mark.parametrize("wrong", [{"MUTUALGATE_PASSPHRASE": "another passphrase"}, {}])
def test_keys_that_cannot_be_opened_are_no_visitor_s_affair(
    services: Services, clock: Hands, caplog: pytest.LogCaptureFixture, wrong: dict[str, str], accept: str
) -> None:
    """How they are opened, and where that lies, is for the log and for operators."""
    links = [invite(services, name, ways=list(Way)).token for name in ("ann", "berta")]
    waits = invite(services, "olga", approval=True)
    services.invitation_use.sign(waits.token, csr(), way=Way.CSR, peer="192.0.2.1")
    renewing = services.enrolment.sign("berta", csr())
    with closing(Services(services.folder, clock=clock, environment=wrong)) as locked:
        portal = application(locked, clock, lambda: ["/join"])
        told = [
            ask(portal, f"/join/{links[0]}/page", method="POST", accept=accept, body=csr(), **PKCS10),
            ask(portal, f"/join/{links[0]}/csr", method="POST", accept=accept, body=csr(), **PKCS10),
            ask(portal, f"/join/{links[0]}/apple.mobileconfig", accept=accept),
            ask(portal, "/join/scep?operation=GetCACert", accept=accept),
            ask(
                portal,
                "/join/renew",
                admitted("berta", [renewing.certificate.public_bytes(Encoding.DER)], client_id=2),
                method="POST",
                accept=accept,
                body=csr(),
                **PKCS10,
            ),
        ]
        if accept == HTML:
            pasted = {"csr": csr().decode()}
            told.append(ask(portal, f"/join/{links[0]}/csr", form=pasted))
        for answer in told:
            assert answer.status == 503
            assert "The gate cannot do this right now." in answer.text
            for word in ("passphrase", "PASSPHRASE", "key of", str(services.folder.path)):
                assert word not in answer.text
        assert caplog.text.count("the passphrase") >= len(told)
        assert services.invitations.list(state=InvitationState.OPEN).total == 2
        # An operator reads there what is wrong.
        operator = admitted("olga", [b"x"], client_id=3, roles=("admin",))
        approved = ask(portal, f"/join/operator/invitations/{waits.invitation.id}/approve", operator, form={})
        assert "passphrase" in approved.words
    assert services.invitation_use.sign(links[0], csr(), way=Way.CSR, peer="192.0.2.1").signed


def test_the_page_says_for_whom_it_is_and_what_is_best(portal: "ASGIApp", services: Services) -> None:
    invited = invite(services)
    page = ask(portal, f"/join/{invited.token}", User_Agent="Mozilla/5.0 (iPhone; CPU iPhone OS 20_1) Safari/604.1")
    assert page.status == 200
    assert "You are invited as ann" in page.words
    assert "Best for iPhone or iPad Install a profile" in page.words
    assert f"/join/{invited.token}/page" in page.text
    assert "Works until 8 June 2026, 12:00 UTC" in page.words


def test_ways_that_are_not_allowed_are_not_there(portal: "ASGIApp", services: Services) -> None:
    invited = invite(services, ways=[Way.CSR])
    page = ask(portal, f"/join/{invited.token}")
    assert f"/join/{invited.token}/csr" in page.text
    assert "Best for" not in page.words  # there is no other
    for other in ("page", "own"):
        assert f"/join/{invited.token}/{other}" not in page.text
        assert ask(portal, f"/join/{invited.token}/{other}").status == 400


def test_no_way_is_best_for_a_system_that_it_does_not_fit(portal: "ASGIApp", services: Services) -> None:
    invited = invite(services, ways=[Way.APPLE, Way.WINDOWS])
    linux = ask(portal, f"/join/{invited.token}", User_Agent="Mozilla/5.0 (X11; Linux x86_64) Chrome/156.0.0.0")
    assert "Best for" not in linux.words
    windows = ask(portal, f"/join/{invited.token}", User_Agent="Mozilla/5.0 (Windows NT 10.0) Chrome/156.0.0.0")
    assert "Best for Windows" in windows.words


def test_each_page_says_above_what_the_browser_showed(portal: "ASGIApp") -> None:
    assert "Help No certificate " in ask(portal, "/join/help").words
    assert "Help Certificate refused " in ask(portal, "/join/help", refused([own().der], "unknown_issuer")).words
    assert "Help Certificate: ann " in ask(portal, "/join/help", admitted("ann", [own().der])).words


def test_curl_is_told_the_next_command(portal: "ASGIApp", services: Services) -> None:
    invited = invite(services)
    told = ask(portal, f"/join/{invited.token}", accept=TEXT)
    assert told.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert told.text.startswith("You are invited to gate.test as ann.\n")
    assert f"  curl --cert own.pem --key own.key https://gate.test/join/{invited.token}\n" in told.text
    shown = ask(portal, f"/join/{invited.token}", refused([own().der], "unknown_issuer"), accept=TEXT)
    assert "Self-signed, P-256" in shown.text
    assert f"  curl --cert own.pem --key own.key -X POST https://gate.test/join/{invited.token}/own\n" in shown.text
    # Pages offer more where there are more.
    assert "In a browser, the same address offers more ways. It works until 8 June 2026" in " ".join(told.text.split())
    by_hand = invite(services, "bob", ways=[Way.CSR, Way.OWN, Way.COMMAND])
    bobs = ask(portal, f"/join/{by_hand.token}", accept=TEXT).text
    assert "In a browser" not in bobs
    assert "It works until 8 June 2026" in bobs


@pytest.mark.parametrize("accept", [TEXT, JSON, HTML])
def test_whose_client_is_suspended_is_told_so_at_once(portal: "ASGIApp", services: Services, accept: str) -> None:
    """Not when a key was made already."""
    invited = invite(services)
    services.clients.suspend("ann")
    for path in ("", "/page", "/csr"):
        answer = ask(portal, f"/join/{invited.token}{path}", accept=accept)
        assert answer.status == 409
        assert "This client is suspended." in answer.text


def test_commands_name_the_root_where_the_site_hangs_on_ours(portal: "ASGIApp", services: Services) -> None:
    invited = invite(services)
    for way in ("own", "csr"):
        page = ask(portal, f"/join/{invited.token}/{way}")
        assert "curl --cacert root.pem " in page.words
        assert 'href="/join/root.pem"' in page.text


def test_a_program_is_told_values(portal: "ASGIApp", services: Services) -> None:
    invited = invite(services, second_factor=True, ways=[Way.CSR, Way.OWN])
    told = ask(portal, f"/join/{invited.token}", accept=JSON).json
    assert told["client"] == "ann"
    assert told["second_factor"] is True
    assert told["ways"]["csr"] == f"https://gate.test/join/{invited.token}/csr"
    assert told["expires"] == "2026-06-08T12:00:00Z"
    assert told["certificate"] is None
    shown = ask(portal, f"/join/{invited.token}", refused([own().der], "unknown_issuer"), accept=JSON).json
    assert shown["certificate"]["usable"] is True


def test_what_was_shown_is_explained_and_asked_about(portal: "ASGIApp", services: Services) -> None:
    invited, laptop = invite(services), own()
    page = ask(portal, f"/join/{invited.token}", refused([laptop.der], "unknown_issuer"))
    assert "Use this certificate?" in page.words
    assert "Self-signed, P-256" in page.words
    # A pin ends by itself, if the certificate does not end before.
    for days, until in ((200, "18 December 2026"), (900, "4 July 2027")):
        one = pki.leaf(None, "laptop", days=days)
        for path in ("", "/own"):
            words = ask(portal, f"/join/{invited.token}{path}", refused([one.der], "unknown_issuer")).words
            assert f"it lets you in as ann, until {until}. It vouches" in words
            assert "so that one renewed with the same key needs no new invitation, until 4 July 2027" in words
    digest = re.search(r'name="fingerprint" value="([0-9a-f]{64})"', page.text)
    assert digest is not None
    assert digest[1] == laptop.certificate.fingerprint(hashes.SHA256()).hex()


def test_what_cannot_be_used_is_not_asked_about(portal: "ASGIApp", services: Services) -> None:
    invited, late = invite(services), pki.leaf(None, "late", days=-1)
    page = ask(portal, f"/join/{invited.token}", refused([late.der], "expired"))
    assert "It cannot be used here" in page.words
    assert "It expired on" in page.words
    assert 'name="fingerprint"' not in page.text


def test_who_is_in_already_is_told_so(portal: "ASGIApp", services: Services) -> None:
    invited, leaf = invite(services), own()
    there = admitted("ann", [leaf.der], client_id=invited.client.id)
    assert "This browser is in already" in ask(portal, f"/join/{invited.token}", there).words
    other = admitted("bob", [leaf.der], client_id=99)
    page = ask(portal, f"/join/{invited.token}", other)
    assert "It shows a certificate of bob" in page.words
    assert 'name="fingerprint"' not in page.text


@pytest.mark.parametrize("path", ["", "/page", "/csr", "/own", "/wait", "/done", "/progress", "/probe", "/chain.pem"])
def test_an_unknown_invitation_is_one_sentence(portal: "ASGIApp", path: str) -> None:
    answer = ask(portal, f"/join/{'A' * 43}{path}")
    assert answer.status == 404
    assert "There is no such invitation." in answer.words
    assert ask(portal, f"/join/{'A' * 43}{path}", accept=JSON).json["code"] == "invitation_unknown"


def test_each_end_of_an_invitation_is_one_sentence(portal: "ASGIApp", services: Services, clock: Hands) -> None:
    revoked, old = invite(services), invite(services, "bob")
    services.invitations.revoke(revoked.invitation.id)
    answer = ask(portal, f"/join/{revoked.token}")
    assert (answer.status, "This invitation was withdrawn." in answer.words) == (410, True)
    clock.move(timedelta(days=8))
    answer = ask(portal, f"/join/{old.token}")
    assert (answer.status, "This invitation has expired." in answer.words) == (410, True)
    assert "Ask whoever invited you for a new one." in answer.words


def test_a_used_one_says_so_and_leads_on(portal: "ASGIApp", services: Services) -> None:
    invited = invite(services)
    assert hand_in(portal, invited, csr()).status == 200
    page = ask(portal, f"/join/{invited.token}")
    assert page.status == 410
    assert "This invitation has been used." in page.words
    assert "If it was not you" in page.words
    assert f"/join/{invited.token}/done" in page.text
    again = hand_in(portal, invited, csr(), accept=JSON)
    assert (again.status, again.json["code"]) == (410, "invitation_used")


def test_a_certificate_is_tested_after_the_invitation_s_time_is_over(
    portal: "ASGIApp", services: Services, clock: Hands
) -> None:
    invited = invite(services)
    assert hand_in(portal, invited, csr()).status == 200
    clock.move(timedelta(days=30))
    for path in ("done", "probe"):
        assert ask(portal, f"/join/{invited.token}/{path}").status == 200
    assert ask(portal, f"/join/{invited.token}/progress", accept=JSON).json["state"] == "used"
    assert ask(portal, f"/join/{invited.token}/probe", accept=JSON).json["code"] != "invitation_expired"
    page = ask(portal, f"/join/{invited.token}")
    assert (page.status, "This invitation has been used." in page.words) == (410, True)
    assert hand_in(portal, invited, csr(), accept=JSON).json["code"] == "invitation_used"


# A request


def test_a_program_gets_the_chain_as_pem(portal: "ASGIApp", services: Services) -> None:
    invited = invite(services)
    answer = hand_in(portal, invited, csr("somebody else"))
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/pem-certificate-chain"
    leaf, issuing = x509.load_pem_x509_certificates(answer.body)
    assert leaf.subject.rfc4514_string() == "CN=ann"
    leaf.verify_directly_issued_by(issuing)
    fetched = ask(portal, f"/join/{invited.token}/chain.pem")
    assert fetched.body == answer.body
    assert fetched.headers["Content-Disposition"] == 'attachment; filename="ann.pem"'


def test_who_filled_in_the_form_sees_what_is_not_as_asked(portal: "ASGIApp", services: Services) -> None:
    invited = invite(services)
    assert "Send the request" in ask(portal, f"/join/{invited.token}/csr").words
    page = ask(portal, f"/join/{invited.token}/csr", form={"csr": csr("somebody else").decode()})
    assert page.status == 200
    assert "subject: asked CN=somebody else , given CN=ann . The name comes from the client's record." in page.words
    assert f"/join/{invited.token}/chain.pem" in page.text


def test_a_form_that_is_sent_twice_leads_on(portal: "ASGIApp", services: Services) -> None:
    invited, request = invite(services), csr("somebody else").decode()
    for _ in range(2):
        page = ask(portal, f"/join/{invited.token}/csr", form={"csr": request})
        assert (page.status, "Your certificate is ready" in page.words) == (200, True)
    assert "as you asked" not in page.words  # nobody knows any more
    # Back with the browser's button.
    used = ask(portal, f"/join/{invited.token}/csr")
    assert used.status == 410
    assert f'It was you? <a href="/join/{invited.token}">' in used.text


def test_a_file_can_be_uploaded(portal: "ASGIApp", services: Services) -> None:
    invited = invite(services)
    body = (
        b'--x\r\nContent-Disposition: form-data; name="csr"\r\n\r\n\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csr"\r\nContent-Type: x/y\r\n\r\n'
        + csr()
        + b"\r\n--x--\r\n"
    )
    page = ask(
        portal, f"/join/{invited.token}/csr", method="POST", body=body,
        Sec_Fetch_Site="same-origin", Content_Type="multipart/form-data; boundary=x",
    )  # fmt: skip
    assert "Your certificate is ready" in page.words


def test_what_is_no_request_stays_in_the_form_with_a_sentence(portal: "ASGIApp", services: Services) -> None:
    invited = invite(services)
    page = ask(portal, f"/join/{invited.token}/csr", form={"csr": "</textarea><script>alert(1)</script>"})
    assert page.status == 400
    assert "is no CSR" in page.words
    assert "&lt;/textarea&gt;&lt;script&gt;" in page.text
    assert "<script>" not in page.text
    # The invitation is as it was.
    assert hand_in(portal, invited, csr()).status == 200


def test_a_key_that_is_somebody_else_s_stays_in_the_form(portal: "ASGIApp", services: Services) -> None:
    first, second, request = invite(services), invite(services, "bob"), csr()
    assert hand_in(portal, first, request).status == 200
    page = ask(portal, f"/join/{second.token}/csr", form={"csr": request.decode()})
    assert page.status == 409
    assert "This key is in use already" in page.words
    assert 'name="csr"' in page.text
    assert hand_in(portal, second, csr()).status == 200


def test_a_private_key_is_called_out_and_not_shown_again(portal: "ASGIApp", services: Services) -> None:
    invited, key = invite(services), own().key_pem.decode()
    page = ask(portal, f"/join/{invited.token}/csr", form={"csr": key})
    assert page.status == 400
    assert "holds a private key, which must never leave its owner" in page.words
    assert key.splitlines()[1] not in page.text


def test_an_endless_request_is_not_read(portal: "ASGIApp", services: Services) -> None:
    invited = invite(services)
    ten_mebibytes = [b"A" * 65_536] * 160
    for kind in ("application/pkcs10", "application/x-www-form-urlencoded"):
        answer = ask(
            portal, f"/join/{invited.token}/csr", method="POST", accept=JSON, body=ten_mebibytes,
            Content_Type=kind, Sec_Fetch_Site="same-origin",
        )  # fmt: skip
        assert (answer.status, answer.json["code"]) == (413, "too_large")


def test_another_site_hands_nothing_in(portal: "ASGIApp", services: Services) -> None:
    invited = invite(services)
    path = f"/join/{invited.token}"
    elsewhere: list[dict[str, Any]] = [
        {"Sec_Fetch_Site": "cross-site"},
        {"Origin": "https://evil.test"},
        {"Cookie": "a=b"},
    ]
    for where in (path + "/csr", path + "/own", path + "/page", "/join/"):
        for field in elsewhere:
            answer = ask(
                portal, where, refused([own().der], "unknown_issuer"), method="POST", accept=JSON, body=csr(),
                **PKCS10, **field,
            )  # fmt: skip
            assert (answer.status, answer.json["code"]) == (403, "cross_site"), (where, field)
    assert ask(portal, path).status == 200


def test_a_second_code_is_asked_for(portal: "ASGIApp", services: Services) -> None:
    invited = invite(services, second_factor=True)
    assert invited.factor is not None
    for page in ("csr", "page"):
        assert 'name="factor"' in ask(portal, f"/join/{invited.token}/{page}").text
    assert hand_in(portal, invited, csr(), accept=JSON).json["code"] == "second_factor_needed"
    assert hand_in(portal, invited, csr(), accept=JSON, Second_Factor="0000 0000").json["code"] == "wrong_second_factor"
    wrong = ask(portal, f"/join/{invited.token}/csr", form={"csr": csr().decode(), "factor": "1"})
    assert (wrong.status, "second code is wrong" in wrong.words) == (400, True)
    assert hand_in(portal, invited, csr(), Second_Factor=invited.factor).status == 200


def test_what_waits_for_approval_waits(portal: "ASGIApp", services: Services) -> None:
    invited = invite(services, approval=True)
    answer = ask(portal, f"/join/{invited.token}/csr", form={"csr": csr().decode()})
    assert (answer.status, answer.headers["Location"]) == (303, f"/join/{invited.token}/wait")
    assert "An operator looks at it now" in ask(portal, f"/join/{invited.token}/wait").words
    assert "An operator looks at it now" in ask(portal, f"/join/{invited.token}").words
    assert ask(portal, f"/join/{invited.token}/progress", accept=JSON).json["state"] == "waiting"
    assert ask(portal, f"/join/{invited.token}/chain", accept=JSON).json == {"client": "ann", "waiting": True}
    assert ask(portal, f"/join/{invited.token}/csr").status == 409
    assert "Your invitation" in ask(portal, f"/join/{invite(services, 'carl', ways=[Way.CSR]).token}/page").words
    services.invitations.approve(invited.invitation.id)
    assert ask(portal, f"/join/{invited.token}/wait").headers["Location"] == f"/join/{invited.token}/done"
    assert len(x509.load_pem_x509_certificates(ask(portal, f"/join/{invited.token}/chain.pem").body)) == 2


def test_a_key_made_in_a_page_is_lost_with_it_and_the_wait_says_so(portal: "ASGIApp", services: Services) -> None:
    invited = invite(services, approval=True)
    path = f"/join/{invited.token}/page"
    ask(portal, path, method="POST", accept=JSON, body=csr(), Sec_Fetch_Site="same-origin", **PKCS10)
    words = ask(portal, f"/join/{invited.token}").words
    assert "Go on in the page that made your key" in words
    assert "Was it closed? Then the key is lost. Tell whoever invited you" in words
    assert "Or close it" not in words
    services.invitations.approve(invited.invitation.id)
    assert "Was it never saved? Then the key is lost" in ask(portal, f"/join/{invited.token}/done").words


# The key that is made in the page


def test_the_page_has_what_its_script_needs(portal: "ASGIApp", services: Services) -> None:
    invited = invite(services)
    page = ask(portal, f"/join/{invited.token}/page")
    assert f'data-send="/join/{invited.token}/page"' in page.text
    assert 'data-file="ann"' in page.text
    assert 'data-label="gate.test - ann"' in page.text
    page = ask(portal, f"/join/{invited.token}/page", Host="[2001:db8::7]:8443")
    assert 'data-label="[2001:db8::7] - ann"' in page.text
    assert re.search(r'forge\.min\.js" integrity="sha256-[A-Za-z0-9+/]{43}="', page.text)


def test_its_script_gets_the_chain(portal: "ASGIApp", services: Services) -> None:
    invited = invite(services)
    path = f"/join/{invited.token}/page"
    told = ask(portal, path, method="POST", accept=JSON, body=csr(), Sec_Fetch_Site="same-origin", **PKCS10)
    assert told.status == 200
    assert told.json["client"] == "ann"
    assert told.json["waiting"] is False
    assert len(x509.load_pem_x509_certificates(told.json["pem"].encode())) == 2
    assert ask(portal, f"/join/{invited.token}/progress", accept=JSON).json["way"] == "page"


def test_its_address_takes_nothing_but_a_request(portal: "ASGIApp", services: Services) -> None:
    invited = invite(services)
    answer = ask(portal, f"/join/{invited.token}/page", form={"csr": csr().decode()}, accept=JSON)
    assert (answer.status, answer.json["code"]) == (400, "bad_type")


# A certificate of one's own


def fingerprint(of: pki.Issued) -> str:
    return of.certificate.fingerprint(hashes.SHA256()).hex()


def test_a_certificate_that_was_shown_is_used_after_it_was_asked(portal: "ASGIApp", services: Services) -> None:
    invited, laptop = invite(services), own()
    who = refused([laptop.der], "unknown_issuer")
    answer = ask(portal, f"/join/{invited.token}/own", who, form={"fingerprint": fingerprint(laptop)})
    assert (answer.status, answer.headers["Location"]) == (303, f"/join/{invited.token}/done")
    ((pin, _),) = services.pins.list("ann")
    assert (pin.kind, pin.digest.hex()) == ("certificate", fingerprint(laptop))
    # The button was clicked twice, and the first click has let it in.
    who = admitted("ann", [laptop.der], client_id=invited.client.id)
    answer = ask(portal, f"/join/{invited.token}/own", who, form={"fingerprint": fingerprint(laptop)})
    assert (answer.status, answer.headers["Location"]) == (303, f"/join/{invited.token}/done")
    page = ask(portal, f"/join/{invited.token}/done", admitted("ann", [laptop.der], client_id=invited.client.id))
    assert (
        "Accepted Your certificate is ready Your own certificate now lets you in as ann, until 1 June 2027."
        in page.words
    )
    used = ask(portal, f"/join/{invited.token}")
    assert used.status == 410
    assert "Your own certificate is accepted. Test it." in used.words


def test_curl_uses_its_own_with_one_command(portal: "ASGIApp", services: Services) -> None:
    invited, laptop = invite(services), own()
    who = refused([laptop.der], "unknown_issuer")
    answer = ask(portal, f"/join/{invited.token}/own?kind=key", who, method="POST", accept=TEXT)
    assert answer.status == 200
    assert answer.text.startswith(
        "From now on this certificate lets you in as ann:\n  curl --cert own.pem --key own.key"
    )
    assert [pin.kind for pin, _ in services.pins.list("ann")] == ["key"]


def test_only_what_was_asked_about_is_used(portal: "ASGIApp", services: Services) -> None:
    invited, asked_about, other = invite(services), own(), own("other")
    who = refused([other.der], "unknown_issuer")
    for form in ({"fingerprint": fingerprint(asked_about)}, {}, {"fingerprint": ""}, {"fingerprint": "é"}):
        answer = ask(portal, f"/join/{invited.token}/own", who, form=form)
        assert answer.status == 409
        assert "is another one than you were asked about" in answer.words
    assert services.pins.list("ann") == []


def test_nothing_shown_is_nothing_proved(portal: "ASGIApp", services: Services) -> None:
    invited = invite(services)
    for who in (ANONYMOUS, {**ANONYMOUS, "Client-Cert": ":AAAA:"}):
        answer = ask(portal, f"/join/{invited.token}/own", who, method="POST", accept=JSON)
        assert (answer.status, answer.json["code"]) == (400, "no_certificate")
    typed = ask(portal, f"/join/{invited.token}/own", form={"fingerprint": ""})
    assert (typed.status, "No certificate was shown in this connection." in typed.words) == (400, True)
    # The browser is to be asked anew.
    assert ask(portal, f"/join/{invited.token}/own").headers["Mutualgate-Close"] == "yes"


def test_what_is_somebody_else_s_is_not_taken(portal: "ASGIApp", services: Services) -> None:
    first, second, laptop = invite(services), invite(services, "bob"), own()
    who = refused([laptop.der], "unknown_issuer")
    assert ask(portal, f"/join/{first.token}/own", who, method="POST", accept=TEXT).status == 200
    page = ask(portal, f"/join/{second.token}/own", who, form={"fingerprint": fingerprint(laptop)})
    assert page.status == 409
    assert "known here already, as another client's" in page.words.replace("&#39;", "'")
    told = ask(portal, f"/join/{second.token}/own", who, method="POST", accept=JSON)
    assert (told.status, told.json["code"]) == (409, "certificate_known_other")
    nothing = ask(portal, f"/join/{first.token}/chain.pem", accept=JSON)
    assert (nothing.status, nothing.json["code"]) == (404, "nothing_signed")


def test_a_program_that_sends_a_form_is_answered_as_a_program(portal: "ASGIApp", services: Services) -> None:
    invited = invite(services)
    wrong = ask(portal, f"/join/{invited.token}/csr", form={"csr": "no CSR"}, accept=JSON)
    assert (wrong.status, wrong.headers["Content-Type"]) == (400, "application/problem+json")
    knocked = ask(portal, "/join/", form={"code": "no code"}, accept=JSON)
    assert (knocked.status, knocked.headers["Content-Type"]) == (400, "application/problem+json")


# Afterwards


def test_the_test_says_what_this_connection_showed(portal: "ASGIApp", services: Services) -> None:
    invited = invite(services)
    leaf = x509.load_pem_x509_certificates(hand_in(portal, invited, csr()).body)[0].public_bytes(Encoding.DER)
    probe = f"/join/{invited.token}/probe"
    nothing = ask(portal, probe, accept=JSON)
    assert (nothing.json["good"], nothing.json["code"]) == (False, "no_certificate")
    # The next test is to make a new handshake, in which the browser can choose anew.
    assert nothing.headers["Mutualgate-Close"] == "yes"
    assert nothing.json["now"] == "2026-06-01T12:00:00Z"
    good = ask(portal, probe, admitted("ann", [leaf], client_id=invited.client.id), accept=JSON)
    assert (good.json["good"], good.json["title"]) == (True, "It works. The gate knows you as ann.")
    assert good.headers["Set-Cookie"].startswith(f"mutualgate-was={invited.client.id}.")
    wrong = ask(portal, probe, refused([own().der], "unknown_issuer"), accept=JSON)
    assert wrong.json["code"] == "unknown_issuer"
    # Without script, the same as a page; before anything was made, there is nothing to test.
    unused = invite(services, "bob")
    assert ask(portal, f"/join/{unused.token}/probe").headers["Location"] == f"/join/{unused.token}"
    assert "No certificate arrived." in (told := ask(portal, probe)).words
    assert '<div id="in" hidden>' in told.text
    assert "Not installed yet?" in told.words
    assert "It works." in (told := ask(portal, probe, admitted("ann", [leaf], client_id=invited.client.id))).words
    assert '<div id="in">' in told.text  # "Go to …"
    assert "Not installed yet?" not in told.words
    assert ask(portal, probe, accept=TEXT).text.startswith("No certificate arrived.\n")


def test_the_page_afterwards_has_instructions_and_the_test(portal: "ASGIApp", services: Services) -> None:
    invited = invite(services)
    before = ask(portal, f"/join/{invited.token}/done")
    assert (before.status, before.headers["Location"]) == (303, f"/join/{invited.token}")
    hand_in(portal, invited, csr())
    page = ask(portal, f"/join/{invited.token}/done", User_Agent="Mozilla/5.0 (Windows NT 10.0) Chrome/156.0.0.0")
    assert "Chrome or Edge on Windows" in page.words
    assert f'data-probe="/join/{invited.token}/probe"' in page.text


# Hostile names


@pytest.mark.parametrize(
    "page", ["", "/page", "/csr", "/own", "/done", "/wait", "/probe", "/progress", "/chain.pem", "/chain"]
)
@pytest.mark.parametrize("accept", [HTML, JSON, TEXT])
def test_a_hostile_name_stays_text(portal: "ASGIApp", services: Services, page: str, accept: str) -> None:
    invited = invite(services, HOSTILE)
    if page not in ("", "/page", "/csr", "/own"):
        hand_in(portal, invited, csr())
    evil = pki.leaf(None, "<img src=x onerror=alert(1)>\x1b[2J")
    for who in (refused([evil.der], "unknown_issuer", "<b>\r\nX: y"), admitted(HOSTILE, [evil.der], client_id=1)):
        answer = ask(portal, f"/join/{invited.token}{page}", who, accept=accept)
        if "html" in answer.headers["Content-Type"]:
            assert "<script>" not in answer.text
            assert "<img" not in answer.text
        assert "49" not in re.sub(r"[0-9a-f]{16,}", "", answer.headers.get("Content-Disposition", ""))
        assert "\x1b" not in answer.text
        for value in answer.headers.values():
            assert "\n" not in value
            assert "\r" not in value


def test_a_file_s_name_is_no_more_than_a_name(portal: "ASGIApp", services: Services) -> None:
    invited = invite(services, 'Zoë "x"; filename=evil.exe')
    hand_in(portal, invited, csr())
    disposition = ask(portal, f"/join/{invited.token}/chain.pem").headers["Content-Disposition"]
    fallback, encoded = "Zo--x-filename-evil-exe.pem", "Zo%C3%AB-x-filename-evil-exe.pem"
    assert disposition == f"attachment; filename=\"{fallback}\"; filename*=UTF-8''{encoded}"
    for name, file in (("Jürgen Groß", "Jürgen-Groß"), ("a .. b.exe", "a-b-exe"), ("🚀", "client")):
        assert f'data-file="{file}"' in ask(portal, f"/join/{invite(services, name).token}/page").text
