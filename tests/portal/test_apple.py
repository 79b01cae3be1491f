"""The profile for iPhone, iPad and Mac: signed, a property list, and what is in it."""

import plistlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pki
import pytest
from conftest import Hands
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from portal.asking import HTML, JSON, TEXT, ask
from portal.device import Device
from portal.test_scep import recipient, send

from mutualgate.app import Services
from mutualgate.model.invitation import Way

if TYPE_CHECKING:
    from starlette.types import ASGIApp

HOSTILE = "</string><key>x</key> \"&amp;]]> <!ENTITY '%s"


@pytest.fixture(autouse=True)
def _real_clock(clock: Hands) -> None:
    """openssl has a clock of its own."""
    clock.now = pki.real_now()


def opened(services: Services, data: bytes, folder: Path) -> dict[str, Any]:
    """The list in a signed profile; openssl verifies that this site signed it."""
    hierarchy = services.authorities.hierarchy()
    assert hierarchy is not None
    (folder / "root.pem").write_bytes(hierarchy.root_pem)
    (folder / "profile").write_bytes(data)
    text = pki.openssl(
        *("cms", "-verify", "-inform", "DER", "-in", "profile", "-binary", "-CAfile", "root.pem", "-purpose", "any"),
        cwd=folder,
    )
    assert text.startswith(b"<?xml")
    found = plistlib.loads(text, fmt=plistlib.FMT_XML)
    assert isinstance(found, dict)
    return found


def test_the_profile_makes_the_device_ask_us(services: Services, portal: "ASGIApp", tmp_path: Path) -> None:
    invited = services.invitations.invite("anna")
    answer = ask(portal, f"/join/{invited.token}/apple.mobileconfig", accept=HTML)
    assert answer.headers["Content-Type"] == "application/x-apple-aspen-config"
    whole = opened(services, answer.body, tmp_path)
    assert (whole["PayloadType"], whole["PayloadVersion"]) == ("Configuration", 1)
    payloads = {one["PayloadType"]: one for one in whole["PayloadContent"]}
    assert set(payloads) == {"com.apple.security.scep", "com.apple.security.pkcs1", "com.apple.security.root"}
    identifiers = [
        one[name] for one in [whole, *whole["PayloadContent"]] for name in ("PayloadUUID", "PayloadIdentifier")
    ]
    assert len(set(identifiers)) == 8
    scep = payloads["com.apple.security.scep"]["PayloadContent"]
    assert scep["URL"] == "https://gate.test/join/scep"
    assert scep["Challenge"] == invited.token
    assert (scep["Key Type"], scep["Keysize"], scep["Key Usage"]) == ("RSA", 2048, 5)
    assert scep["KeyIsExtractable"] is False
    assert scep["Subject"] == [[["CN", "anna"]]]
    root = x509.load_der_x509_certificate(payloads["com.apple.security.root"]["PayloadContent"])
    issuing = x509.load_der_x509_certificate(payloads["com.apple.security.pkcs1"]["PayloadContent"])
    issuing.verify_directly_issued_by(root)
    # What a device then does, by what the profile says.
    device = Device(tmp_path / "device", scep["Challenge"])
    at = scep["URL"].removeprefix("https://gate.test")
    assert at == "/join/scep"
    assert send(portal, device.message(device.envelope(recipient(portal)))).status == 200
    assert len(services.clients.show("anna").credentials) == 1


def test_a_second_time_it_takes_the_place_of_the_first(services: Services, portal: "ASGIApp", tmp_path: Path) -> None:
    invited = services.invitations.invite("anna")
    one, two = (
        opened(services, ask(portal, f"/join/{invited.token}/apple.mobileconfig").body, tmp_path) for _ in range(2)
    )
    assert one == two
    other = services.invitations.invite("anna")
    three = opened(services, ask(portal, f"/join/{other.token}/apple.mobileconfig").body, tmp_path)
    assert three["PayloadUUID"] != one["PayloadUUID"]
    assert invited.token not in str({key: value for key, value in one.items() if key != "PayloadContent"})


def test_names_are_text(services: Services, portal: "ASGIApp", tmp_path: Path) -> None:
    name = HOSTILE.replace("/", "")
    invited = services.invitations.invite(name)
    whole = opened(services, ask(portal, f"/join/{invited.token}/apple.mobileconfig").body, tmp_path)
    assert set(whole) == set(_plain(services, portal, tmp_path))
    assert whole["PayloadDisplayName"] == f"gate.test: {name}"
    assert whole["PayloadContent"][0]["PayloadContent"]["Subject"] == [[["CN", name]]]
    page = ask(portal, f"/join/{invited.token}/apple", accept=HTML)
    assert page.status == 200
    assert "<!ENTITY" not in page.text


def _plain(services: Services, portal: "ASGIApp", folder: Path) -> dict[str, Any]:
    invited = services.invitations.invite("plain")
    return opened(services, ask(portal, f"/join/{invited.token}/apple.mobileconfig").body, folder)


def test_the_second_code_goes_into_the_challenge(services: Services, portal: "ASGIApp", tmp_path: Path) -> None:
    invited = services.invitations.invite("anna", second_factor=True)
    link = f"/join/{invited.token}"
    refused = ask(portal, f"{link}/apple.mobileconfig", accept=JSON)
    assert (refused.status, refused.json["code"]) == (400, "second_factor_needed")
    for wrong in ("", "../x", "<b>", "é", "."):
        assert ask(portal, f"{link}/apple", form={"factor": wrong}, accept=JSON).status == 400
    answer = ask(portal, f"{link}/apple", form={"factor": str(invited.factor)})
    whole = opened(services, answer.body, tmp_path)
    challenge = whole["PayloadContent"][0]["PayloadContent"]["Challenge"]
    assert challenge == f"{invited.token}.{str(invited.factor).replace(' ', '')}"
    device = Device(tmp_path / "device", challenge)
    send(portal, device.message(device.envelope(recipient(portal))))
    assert len(services.clients.show("anna").credentials) == 1


def test_another_site_cannot_have_it_made(services: Services, portal: "ASGIApp") -> None:
    invited = services.invitations.invite("anna", second_factor=True)
    answer = ask(
        portal,
        f"/join/{invited.token}/apple",
        method="POST",
        body=b"factor=1",
        content_type="application/x-www-form-urlencoded",
        sec_fetch_site="cross-site",
        accept=JSON,
    )
    assert (answer.status, answer.json["code"]) == (403, "cross_site")


def test_a_site_with_a_certificate_of_its_own_signs_with_it(
    services: Services, portal: "ASGIApp", tmp_path: Path
) -> None:
    from dataclasses import replace

    public = pki.ca("Public Root", now=pki.real_now())
    certificate, key = pki.server(public, "gate.test", now=pki.real_now()).write(tmp_path, "site")
    site = replace(services.config.sites[0], certificate=certificate, key=key)
    services.take(replace(services.config, sites=(site,)))
    invited = services.invitations.invite("anna")
    data = ask(portal, f"/join/{invited.token}/apple.mobileconfig", accept=TEXT).body
    (tmp_path / "public.pem").write_bytes(public.certificate.public_bytes(Encoding.PEM))
    text = pki.openssl(
        *("cms", "-verify", "-inform", "DER", "-binary", "-CAfile", str(tmp_path / "public.pem"), "-purpose", "any"),
        stdin=data,
    )
    kinds = [one["PayloadType"] for one in plistlib.loads(text)["PayloadContent"]]
    assert kinds == ["com.apple.security.scep", "com.apple.security.pkcs1"]  # no root of ours: nothing needs it
    key.unlink()  # nor does anybody who is invited learn where the gate has its files
    answer = ask(portal, f"/join/{invited.token}/apple.mobileconfig", accept=TEXT)
    assert (answer.status, str(tmp_path) in answer.text) == (503, False)


def test_an_invitation_for_other_ways_has_no_profile(services: Services, portal: "ASGIApp") -> None:
    invited = services.invitations.invite("anna", ways=(Way.OWN,))
    for page in ("apple", "apple.mobileconfig"):
        assert ask(portal, f"/join/{invited.token}/{page}", accept=JSON).json["code"] == "way_not_allowed"
