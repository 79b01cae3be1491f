"""Anything is explained, a private key is refused, and nobody else waits."""

from typing import TYPE_CHECKING, Any

import pki
import pytest
from cryptography.hazmat.primitives import hashes
from portal.asking import HTML, JSON, TEXT, Answer, ask

if TYPE_CHECKING:
    from starlette.types import ASGIApp

LAPTOP = pki.leaf(None, "<script>alert(1)</script>", days=1095, eku=None)
UNDER = pki.leaf(pki.ca("acme issuing"), "orders", sans=["orders.acme.example"])
BINARY: dict[str, Any] = {"Content_Type": "application/octet-stream"}


def explain(portal: "ASGIApp", data: bytes, accept: str = JSON) -> Answer:
    return ask(portal, "/join/explain", method="POST", accept=accept, body=data, **BINARY)


def test_what_it_is_is_said_in_words(portal: "ASGIApp") -> None:
    told = explain(portal, LAPTOP.pem).json
    assert told["headline"] == "Self-signed, P-256, three years, no extended key usage."
    assert told["fingerprint"] == LAPTOP.certificate.fingerprint(hashes.SHA256()).hex()
    assert told["ways"]["pin"]["open"] is True
    assert told["ways"]["partner"]["open"] is False
    assert explain(portal, UNDER.der).json["names"] == ["orders.acme.example"]
    assert explain(portal, pki.csr(pki.fresh_key())).json["ways"]["ours"]["open"] is True
    assert explain(portal, UNDER.der, TEXT).text.startswith("Signed by acme issuing")


def test_a_person_chooses_a_file_or_pastes_it(portal: "ASGIApp") -> None:
    assert 'type="file"' in ask(portal, "/join/explain").text
    page = ask(portal, "/join/explain", form={"text": LAPTOP.pem.decode()})
    assert "Self-signed, P-256, three years" in page.words
    assert "<script>" not in page.text
    wrong = ask(portal, "/join/explain", form={"text": "something"})
    assert wrong.status == 400
    assert 'role="status"' in wrong.text


@pytest.mark.parametrize("accept", [HTML, JSON, TEXT])
def test_a_private_key_is_refused_with_one_sentence(portal: "ASGIApp", accept: str) -> None:
    answer = explain(portal, LAPTOP.key_pem, accept)
    assert answer.status == 400
    assert "private key" in answer.text
    assert LAPTOP.key_pem.decode().splitlines()[1] not in answer.text


def test_an_endless_one_is_not_read(portal: "ASGIApp") -> None:
    answer = ask(portal, "/join/explain", method="POST", accept=JSON, body=[b"x" * 65_536] * 160, **BINARY)
    assert (answer.status, answer.json["code"]) == (413, "too_large")


def test_another_site_asks_nothing(portal: "ASGIApp") -> None:
    answer = ask(
        portal, "/join/explain", method="POST", accept=JSON, body=LAPTOP.pem, Sec_Fetch_Site="cross-site", **BINARY
    )
    assert answer.status == 403


def test_an_issuer_s_name_is_text_in_every_sentence(portal: "ASGIApp") -> None:
    leaf = pki.leaf(pki.ca("<img src=x onerror=alert(1)> `<b>`"), "orders")
    page = ask(portal, "/join/explain", form={"text": leaf.pem.decode()})
    assert "did not come along" in page.words
    assert "<img" not in page.text
    assert "<b>" not in page.text
