"""Renewal by a program, over the gate."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pki
from conftest import Hands
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from portal.asking import ANONYMOUS, JSON, TEXT, Answer, admitted, ask, refused

from mutualgate.app import Services

if TYPE_CHECKING:
    from starlette.types import ASGIApp


def test_a_program_asks_whether_its_certificate_is_let_in(portal: "ASGIApp") -> None:
    leaf = pki.leaf(pki.ca("root"), "alice")
    answer = ask(portal, "/join/renew", admitted("alice", [leaf.der]), accept=JSON)
    assert (answer.status, answer.json["client"]) == (200, "alice")
    assert ask(portal, "/join/renew", admitted("alice", [leaf.der]), accept=TEXT).text == "In, as alice.\n"
    for who, code in ((refused([leaf.der], "expired", "It expired."), "expired"), (ANONYMOUS, "no_certificate")):
        answer = ask(portal, "/join/renew", who, accept=JSON)
        assert (answer.status, answer.json["code"]) == (403, code)


def post(portal: "ASGIApp", who: dict[str, str], request: bytes, **more: str) -> Answer:
    fields: dict[str, Any] = {"content_type": "application/pkcs10", **more}
    return ask(portal, "/join/renew", who, method="POST", body=request, accept=JSON, **fields)


def test_the_certificate_of_the_handshake_is_renewed(services: Services, portal: "ASGIApp", clock: Hands) -> None:
    key = pki.fresh_key()
    services.clients.add("alice")
    old = services.enrolment.sign("alice", pki.csr(key)).certificate.public_bytes(Encoding.DER)
    who = admitted("alice", [old])
    answer = post(portal, who, pki.csr(pki.fresh_key(), "whoever"))
    assert answer.status == 200
    new = x509.load_pem_x509_certificates(answer.json["pem"].encode())
    assert new[0].subject.rfc4514_string() == "CN=alice"
    text = ask(
        portal,
        "/join/renew",
        who,
        method="POST",
        body=pki.csr(pki.fresh_key()),
        accept=TEXT,
        content_type="application/pkcs10",
    )
    assert text.status == 409  # it was renewed already, for another key
    # Expired, it is renewed for its own key alone.
    clock.move(timedelta(days=370))
    last = new[0].public_bytes(Encoding.DER)
    late = refused([last], "expired", "It expired.", known=True)
    assert post(portal, late, pki.csr(pki.fresh_key())).json["code"] == "renewal_needs_same_key"


def test_only_what_was_proved_and_is_ours_is_renewed(services: Services, portal: "ASGIApp") -> None:
    request = pki.csr(pki.fresh_key())
    assert post(portal, ANONYMOUS, request).json["code"] == "no_certificate"
    stranger = pki.leaf(pki.ca("stranger"))
    answer = post(portal, refused([stranger.der], "unknown_issuer"), request)
    assert (answer.status, answer.json["code"]) == (404, "not_renewable")
    # What a form of another site can send is no request for a certificate.
    services.clients.add("alice")
    old = services.enrolment.sign("alice", pki.csr(pki.fresh_key())).certificate.public_bytes(Encoding.DER)
    for fields in (
        {"content_type": "text/plain"},
        {"content_type": "application/json"},
        {"sec_fetch_site": "cross-site"},
        {"origin": "https://evil.example"},
    ):
        assert post(portal, admitted("alice", [old]), request, **fields).status in (400, 403)
