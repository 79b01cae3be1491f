"""An operator and a partner's administrator at work in a real browser, through the real gate.

What they click counts at once: the gate judges by it before the page is there.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from end_to_end import axe, browsers, forge
from end_to_end.browsers import Bundle
from end_to_end.forge import Authority, Identity
from end_to_end.gate import Gate, running_gate
from end_to_end.hostile import makers
from end_to_end.refusal import assert_refused

from mutualgate.clock import system_clock
from mutualgate.model.sighting import Sighting
from mutualgate.partners.names import hashes_in
from mutualgate.store import Store

if TYPE_CHECKING:
    from playwright.sync_api import Page, ViewportSize

SITES = """
[[sites]]
name = "main"
hosts = ["localhost"]
client_certificate = "required"
routes = [{ path = "/", upstream = "demo" }, { path = "/join", upstream = "portal" }]
"""
pytestmark = pytest.mark.timeout(400)  # browsers start slowly on a busy machine

PHONE_SIZE: "ViewportSize" = {"width": 390, "height": 844}
PHONE = {"viewport": PHONE_SIZE, "is_mobile": True, "has_touch": True}
LOOKS: list[dict[str, Any]] = [
    {"color_scheme": "light", "viewport": {"width": 1100, "height": 820}},
    {"color_scheme": "dark", **PHONE},
]


@pytest.fixture(scope="module")
def acme_ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return makers.openssl_ca(tmp_path_factory.mktemp("acme"), "/O=Acme/CN=Acme issuing CA")


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory, acme_ca: Authority) -> Iterator[Gate]:
    with running_gate(tmp_path_factory.mktemp("operating") / "gate", SITES) as gate:
        gate.command("partner", "add", "acme", "--names", "dns:*.acme.example", "--admits", "approval")
        claim = gate.command("partner", "ca", "add", "acme", acme_ca.certificate_file).json
        gate.command("partner", "ca", "approve", "acme", str(claim["id"]), "--without-proof")
        gate.command("client", "add", "chief of acme", "--role", "partner-admin")
        gate.command("partner", "member", "add", "acme", "dns:chief.acme.example", "--client", "chief of acme")
        gate.command("partner", "member", "add", "acme", "dns:api.acme.example")
        gate.command("client", "add", "olga", "--role", "admin")
        yield gate


@pytest.fixture(autouse=True)
def chromium() -> None:
    if reason := browsers.chromium_missing():
        pytest.skip(reason)


def at_home(gate: Gate, folder: Path, name: str) -> Path:
    """A browser's folder in which the client `name` has its certificate."""
    file = folder / f"{name.replace(' ', '-')}.p12"
    password = gate.command("client", "p12", name, "--out", file).json["password"]
    browsers.database(folder / name / ".pki" / "nssdb", gate.root, Bundle(file, password))
    return folder / name


def operate(gate: Gate, page: "Page", path: str = "") -> None:
    page.goto(f"https://localhost:{gate.port}/join/operator{path}")


def test_an_operator_s_day(gate: Gate, tmp_path: Path, screenshots: Path) -> None:
    anna = gate.client("anna", "staff")
    stranger = forge.self_signed(tmp_path, "laptop of eve")
    assert_refused(gate.get("/hello", stranger), "unknown_issuer")
    with browsers.chromium_session(at_home(gate, tmp_path, "olga")) as page:
        operate(gate, page)
        assert "Signed in as olga" in page.inner_text("main")

        page.click("text=Invite somebody")
        page.fill("#name", "partner-8")
        page.fill("#roles", "staff")
        go(page, "text=Make the link")
        (link,) = re.findall(r"/join/[A-Za-z0-9_-]{43}", page.inner_text("main"))
        page.screenshot(path=screenshots / "operate-invited.png", full_page=True)
        assert "partner-8" in gate.get(link, None, [("Accept", "text/plain")]).body.decode()

        operate(gate, page, "/clients/anna/suspend")
        page.check("input[name=sure]")
        go(page, "main button")
        assert "suspended" in page.inner_text("main")
        assert_refused(gate.get("/hello", anna), "client_suspended")
        operate(gate, page, "/clients/anna/resume")
        page.check("input[name=sure]")
        go(page, "main button")
        assert gate.get("/hello", anna).status == 200

        operate(gate, page, "/refusals?reason=unknown_issuer")
        go(page, "text=laptop of eve")
        assert "Let it in?" in page.inner_text("main")
        page.screenshot(path=screenshots / "operate-refusal.png", full_page=True)
        page.fill("#client", "eve")
        page.click("text=See what it would do")
        page.wait_for_selector("text=It would let in 1")
        page.check("input[name=sure]")
        page.click("button:has-text('Let it in')")
        page.wait_for_selector("h1:has-text('eve')")
        # The very next request.
        assert gate.get("/hello", stranger).status == 200

        page.click("text=Changes")
        page.click("tr:has-text('eve') >> text=Take back")
        page.wait_for_selector("text=It would lock out 1 of")
        page.check("input[name=sure]")
        page.click("button:has-text('Take it back')")
        page.wait_for_selector("text=taken back")
    assert_refused(gate.get("/hello", stranger), "unknown_issuer")


def test_an_operator_sees_what_a_change_would_do(
    gate: Gate, acme_ca: Authority, tmp_path: Path, screenshots: Path
) -> None:
    """What comes in under a CA is locked out by retiring it: so says the page, and so it is."""
    api = makers.openssl_leaf(tmp_path, "/CN=x", acme_ca, "subjectAltName=DNS:api.acme.example")
    assert gate.get("/hello", api).status == 200
    with browsers.chromium_session(at_home(gate, tmp_path, "olga")) as page:

        def says() -> bool:
            operate(gate, page, "/partners/acme/cas/1/retire")
            return "api.acme.example" in page.inner_text("main")

        browsers.wait_until(says)
        assert re.search(r"It would lock out [12] of \d+ client", page.inner_text("main"))
        page.screenshot(path=screenshots / "operate-trial.png", full_page=True)
        page.check("input[name=sure]")
        go(page, "main button.danger")
        assert_refused(gate.get("/hello", api), "unknown_issuer")
        operate(gate, page, "/changes")
        page.click("text=Take back")
        page.wait_for_selector("text=/It would let in [12]/")
        page.check("input[name=sure]")
        page.click("button:has-text('Take it back')")
        page.wait_for_selector("text=taken back")
        page.screenshot(path=screenshots / "operate-changes.png", full_page=True)
    assert gate.get("/hello", api).status == 200


def test_a_partner_s_administrator_lets_its_own_in(
    gate: Gate, acme_ca: Authority, tmp_path: Path, screenshots: Path
) -> None:
    new = makers.openssl_leaf(tmp_path, "/CN=x", acme_ca, "subjectAltName=DNS:new.acme.example")
    assert_refused(gate.get("/hello", new), "not_enrolled")
    with browsers.chromium_session(at_home(gate, tmp_path, "chief of acme")) as page:
        page.goto(f"https://localhost:{gate.port}/join/partner")

        def waiting() -> bool:
            page.reload()
            return "dns:new.acme.example" in page.inner_text("main")

        browsers.wait_until(waiting)
        page.screenshot(path=screenshots / "operate-partner.png", full_page=True)
        go(page, "tr:has-text('dns:new.acme.example') >> button:text-is('Let in')")
        assert gate.get("/hello", new).status == 200
        page.goto(f"https://localhost:{gate.port}/join/operator")
        assert "for operators" in page.inner_text("main")


def test_a_partner_s_administrator_invites_its_own_people(gate: Gate, tmp_path: Path, screenshots: Path) -> None:
    with browsers.chromium_session(at_home(gate, tmp_path, "chief of acme")) as page:
        page.goto(f"https://localhost:{gate.port}/join/partner")
        # On a phone, too, small buttons stand beside each other.
        page.set_viewport_size(PHONE_SIZE)
        box = page.locator("tr:has-text('dns:api.acme.example') a:has-text('Invite')").bounding_box()
        assert box is not None
        assert box["width"] < PHONE_SIZE["width"] / 2
        page.click("text=Invite somebody")
        page.fill("#name", "orders.globex.example")
        go(page, "text=Make the link")
        assert "is not among the names of acme" in page.inner_text("main")
        page.screenshot(path=screenshots / "operate-partner-invite.png", full_page=True)
        page.fill("#name", "orders.acme.example")
        page.check("input[value=machine]")
        go(page, "text=Make the link")
        (link,) = re.findall(r"/join/[A-Za-z0-9_-]{43}", page.inner_text("main"))
        assert page.is_visible("button:has-text('Copy the link')")
        page.screenshot(path=screenshots / "operate-partner-invited.png", full_page=True)

        request, key = forge.request(tmp_path / "request", "orders")
        kind = [("Content-Type", "application/pkcs10")]
        answer = gate.get(f"{link}/csr", None, kind, method="POST", body=request.read_bytes())
        (tmp_path / "orders.pem").write_bytes(answer.body)
        orders = Identity(tmp_path / "orders.pem", key)
        assert gate.get("/hello", orders).status == 200
        go(page, "text=All invitations")
        assert "dns:orders.acme.example" in page.inner_text("main")
        page.screenshot(path=screenshots / "operate-partner-invitations.png", full_page=True)
    gate.command("partner", "suspend", "acme")
    assert_refused(gate.get("/hello", orders), "client_suspended")
    gate.command("partner", "resume", "acme")
    assert gate.get("/hello", orders).status == 200


def test_a_partner_s_administrator_adds_a_ca(gate: Gate, tmp_path: Path) -> None:
    """Claimed on the page, proved by a handshake, approved by an operator after the page said what that will do."""
    with browsers.chromium_session(at_home(gate, tmp_path, "chief of acme")) as page:
        ca = makers.openssl_ca(tmp_path, "/O=Acme/CN=Acme CA of 2028")
        page.goto(f"https://localhost:{gate.port}/join/partner/acme/cas")
        page.set_input_files("#file", ca.certificate_file)
        page.click("text=Look at it")
        page.check("input[name=sure]")
        go(page, "text=Claim it")
        (code,) = re.findall(r"mutualgate-proof-[a-z0-9]{16}", page.inner_text("main"))
        address = page.url
        leaf = makers.openssl_leaf(tmp_path, "/CN=x", ca, "subjectAltName=DNS:2028.acme.example")
        assert_refused(gate.get("/hello", leaf), "unknown_issuer")
        proof = makers.openssl_leaf(tmp_path, f"/CN={code}", ca, f"subjectAltName=DNS:{code}")
        answer = gate.get("/join/prove", proof, method="POST")
        assert "It counts once an operator has approved it." in answer.body.decode()
        page.reload()
        assert "It is proved, and waits for an operator" in page.inner_text("main")
    assert_refused(gate.get("/hello", leaf), "unknown_issuer")
    with browsers.chromium_session(at_home(gate, tmp_path, "olga")) as page:
        page.goto(f"{address.replace('/join/partner/', '/join/operator/partners/')}/approve")
        page.check("input[name=sure]")
        go(page, "text=Let it count >> nth=-1")
    # Known now, and so far nobody's client.
    assert_refused(gate.get("/hello", leaf), "not_enrolled")


def test_no_page_of_theirs_hinders_anybody(gate: Gate, tmp_path: Path, screenshots: Path) -> None:
    if reason := axe.missing():
        pytest.skip(reason)
    found: dict[str, list[str]] = {}
    operator = at_home(gate, tmp_path, "olga")
    chief = at_home(gate, tmp_path, "chief of acme")
    gate.command("invite", "carl")
    long, contact = "A" * 64, f"{'a' * 50}@{'b' * 50}.example"
    gate.command("client", "add", long, "--role", "staff", "--role", "r" * 40, "--contact", contact)
    gate.command("invite", long, "--role", "staff", "--role", "r" * 40)
    gate.get("/hello", forge.self_signed(tmp_path, "somebody"))
    gate.get("/hello", forge.self_signed(tmp_path, "S" * 64))
    next_ca = makers.openssl_ca(tmp_path, "/O=Acme/CN=Acme next CA")
    claimed = gate.command("partner", "ca", "add", "acme", next_ca.certificate_file).json["id"]
    pages = [
        *(
            "",
            "/clients",
            "/clients?search=zzz",
            "/clients/olga",
            f"/clients/{long}",
            "/clients/olga/revoke",
            "/clients/olga/accept",
        ),
        *("/invite", "/invitations", "/invitations/1", "/refusals", "/expiring", "/partners", "/partners/acme"),
        *("/partners/acme/clients", "/partners/acme/cas", "/partners/acme/cas/1", "/partners/acme/cas/1/retire"),
        *(f"/partners/acme/cas/{claimed}", f"/partners/acme/cas/{claimed}/approve"),
        *("/changes", "/partners/acme/names/replace?rule=dns%3A*.acme.example&anchor="),
        "/partners/acme/names/remove?rule=dns%3A*.acme.example&anchor=",
    ]
    for look in LOOKS:
        with browsers.chromium_session(operator, **look) as page:
            for path in pages:
                operate(gate, page, path)
                found[f"operator{path}, {look['color_scheme']}"] = axe.problems(page)
                name = f"operate{path.replace('/', '-').partition('?')[0]}-{look['color_scheme']}.png"
                page.screenshot(path=screenshots / name)
        with browsers.chromium_session(chief, **look) as page:
            own = ["", "/clients", "/cas", "/cas/1", f"/cas/{claimed}", "/invite", "/invitations"]
            for path in (*(f"partner/acme{part}" for part in own), "prove"):
                page.goto(f"https://localhost:{gate.port}/join/{path}")
                found[f"{path}, {look['color_scheme']}"] = axe.problems(page)
                name = f"{path.replace('/', '-')}-{look['color_scheme']}.png"
                page.screenshot(path=screenshots / name, full_page=True)
    assert {path: problems for path, problems in found.items() if problems} == {}


def test_by_keyboard_alone(gate: Gate, tmp_path: Path) -> None:
    gate.client("dora")
    with browsers.chromium_session(at_home(gate, tmp_path, "olga")) as page:
        operate(gate, page, "/clients/dora/suspend")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "To the content"
        page.keyboard.press("Enter")
        for _ in range(12):  # past the parts and the way back
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.name") == "sure":
                break
        page.keyboard.press("Space")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector("h1:has-text('dora')")
        assert "suspended" in page.inner_text("main")


def test_what_concerns_very_many_is_found_out_while_the_page_is_there(
    gate: Gate, tmp_path: Path, screenshots: Path
) -> None:
    """The page does not wait for it, and what was typed meanwhile stays."""
    ca = makers.openssl_ca(tmp_path, "/O=Umbrella/CN=Umbrella issuing CA")
    gate.command("partner", "add", "umbrella", "--names", "dns:*.umbrella.example", "--admits", "rule")
    claim = gate.command("partner", "ca", "add", "umbrella", ca.certificate_file).json["id"]
    gate.command("partner", "ca", "approve", "umbrella", str(claim), "--without-proof")
    api = makers.openssl_leaf(tmp_path, "/CN=x", ca, "subjectAltName=DNS:api.umbrella.example")
    were_seen(gate, api, 260)
    portal = f"https://localhost:{gate.port}"
    at = f"{portal}/join/operator/partners/umbrella/cas/{claim}/retire"
    problems: dict[str, list[str]] = {}
    with browsers.chromium_session(at_home(gate, tmp_path, "olga")) as page:
        page.route("**/operator/trials/*", lambda route: route.abort())
        page.goto(at)
        assert "very many certificates, which are judged anew" in page.inner_text("main")
        page.fill("input[name=on]", "2027-01-31")
        page.screenshot(path=screenshots / "operate-trial-waits.png", full_page=True)
        if not axe.missing():
            problems["waits"] = axe.problems(page)
        page.unroute("**/operator/trials/*")
        page.wait_for_selector("text=/The 260 certificates that would be judged otherwise/")
        page.click("summary")
        page.click("text=The next ones")
        page.wait_for_selector("text=51 to 100 of 260")
        assert (page.url, page.input_value("input[name=on]")) == (at, "2027-01-31")
        if not axe.missing():
            problems["known"] = axe.problems(page)
        page.goto(f"{portal}{page.get_attribute('text=The next ones', 'href')}")
        assert "What the change would do" in page.inner_text("h1")
        assert "101 to 150 of 260" in page.inner_text("main")
    assert [found for found in problems.values() if found] == []
    assert gate.get("/hello", api).status == 200


def were_seen(gate: Gate, identity: Identity, count: int) -> None:
    """As if so many certificates had come in that the judge takes for this one."""
    der, now = identity.leaf().public_bytes(Encoding.DER), system_clock()
    store = Store.open(gate.folder / "store.sqlite3", system_clock, create=False)
    with store.transaction() as tx:
        tx.seen.add_many(
            Sighting(
                *(hashlib.sha256(b"seen %d" % number).digest(), (der,), "main", "/", now, now, 1, "", "192.0.2.9"),
                names=hashes_in([der]),
            )
            for number in range(count)
        )
    store.close()


def go(page: "Page", selector: str) -> None:
    """Clicks, and waits for the page to which that leads."""
    with page.expect_navigation():
        page.click(selector)
