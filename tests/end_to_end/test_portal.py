"""Everybody comes in: real browsers and curl go from an invitation to the protected page, through the real gate.

What a browser keeps its certificates in is filled by NSS's own tools, as a person fills it on the browser's page.
"""

import base64
import html
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12
from end_to_end import axe, browsers, forge
from end_to_end.browsers import Bundle
from end_to_end.forge import Identity
from end_to_end.gate import Gate, running_gate

if TYPE_CHECKING:
    from playwright.sync_api import Page, Request, Route

SITES = """
[[sites]]
name = "main"
hosts = ["localhost"]
routes = [{ path = "/", upstream = "demo" }, { path = "/join", upstream = "portal" }]
"""

SECONDS = 30_000
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
HOSTILE = "<script>document.title='in'<script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with running_gate(tmp_path_factory.mktemp("portal") / "gate", SITES) as gate:
        yield gate


@dataclass(frozen=True)
class Invitation:
    link: str
    code: str
    factor: str | None


def invite(gate: Gate, name: str, *options: str) -> Invitation:
    said = gate.command("invite", name, *options).json
    return Invitation(said["link"], said["code"], said["second_factor"])


@pytest.fixture
def chromium() -> None:
    if reason := browsers.chromium_missing():
        pytest.skip(reason)


@pytest.fixture
def firefox() -> None:
    if reason := browsers.firefox_missing():
        pytest.skip(reason)


def keep(page: "Page", folder: Path, name: str) -> None:
    page.screenshot(path=folder / f"portal-{name}.png", full_page=True)


def own_certificate(folder: Path, name: str = "laptop") -> tuple[Identity, Bundle]:
    """A self-signed certificate that a browser would show, and the `.p12` of it."""
    identity = forge.self_signed(folder, name)
    return identity, Bundle(forge.bundle(folder, identity, "a password of one's own"), "a password of one's own")


# The key is made in the page


def make_key_in_page(page: "Page", invitation: Invitation, folder: Path) -> Bundle:
    page.goto(f"{invitation.link}/page")
    if invitation.factor:
        page.fill("#factor", invitation.factor)
    page.click("#go")
    page.wait_for_selector("#save:not([hidden])", timeout=SECONDS)
    with page.expect_download() as download:
        page.click("#first-file")
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    password = page.inner_text("#password").replace("\n", "").replace(" ", "")
    return Bundle(path, password)


def test_in_chromium_from_the_invitation_to_green(
    gate: Gate, tmp_path: Path, chromium: None, screenshots: Path
) -> None:
    invitation = invite(gate, "Ann Example", "--role", "staff")
    store = tmp_path / "home" / ".pki" / "nssdb"
    browsers.database(store, gate.root)
    sent: list[Request] = []
    with browsers.chromium_session(tmp_path / "home") as page:
        page.on("request", lambda request: sent.append(request))
        page.goto(invitation.link)
        assert "You are invited as Ann Example" in page.inner_text("h1")
        keep(page, screenshots, "invitation")
        bundle = make_key_in_page(page, invitation, tmp_path)
        # The day as the portal's other pages say it, whatever the browser's language and zone.
        assert re.search(r"is made and valid until \d{1,2} [A-Z][a-z]+ 20\d\d\.$", page.inner_text("#made"))
        keep(page, screenshots, "saved")
        page.click("#saved")
        assert page.is_hidden("p:has(> #saved)")  # the whole line, so that no gap stays
        page.click("#try")
        page.wait_for_selector("#result .notice.bad")
        assert "No certificate arrived." in page.inner_text("#result")
        bodies = [request.post_data_buffer or b"" for request in sent]
        origins = {re.sub(r"(https://[^/]+/join/).*", r"\1", request.url) for request in sent}
    assert origins - {"data:"} <= {f"https://localhost:{gate.port}/join/"} | {o for o in origins if o[:5] == "blob:"}
    assert_the_key_never_left(bundle, bodies, [request.url for request in sent])

    # All windows are closed, the file is imported, and the browser opened again.
    browsers.import_bundle(store, bundle)
    with browsers.chromium_session(tmp_path / "home") as page:
        page.goto(f"{invitation.link}/done")
        page.click("#try")
        page.wait_for_selector(".test.green", timeout=SECONDS)
        assert "It works. The gate knows you as Ann Example." in page.inner_text("#result")
        assert page.is_visible(f"text=Go to localhost:{gate.port}")
        assert page.is_hidden("text=Not installed yet?")
        keep(page, screenshots, "green")
        response = page.goto(f"https://localhost:{gate.port}/hello")
        assert response is not None
        assert response.status == 200
        assert "Hello, Ann Example." in page.inner_text("h1")
        page.goto(f"https://localhost:{gate.port}/join/me")
        assert page.inner_text("h1") == "You are Ann Example"
        keep(page, screenshots, "me")
        # It is renewed by itself, and the old one is told from the new one.
        page.click("text=Make the next key here")
        page.click("#go")
        page.wait_for_selector("#save:not([hidden])", timeout=SECONDS)
        page.click("#saved")
        page.click("#try")
        page.wait_for_selector("#result .notice.bad")
        assert "The old certificate arrived." in page.inner_text("#result")


def assert_the_key_never_left(bundle: Bundle, bodies: list[bytes], urls: list[str]) -> None:
    """Nothing that was sent has the private number in it, in any form that a script would send; nor the password."""
    key, certificate, _ = pkcs12.load_key_and_certificates(bundle.path.read_bytes(), bundle.password.encode())
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert certificate is not None
    number = key.private_numbers().private_value
    secret = number.to_bytes(32, "big")
    pkcs8 = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    everything = b"\n".join([*bodies, *(url.encode() for url in urls)])
    decoded = b"\n".join(
        base64.b64decode(re.sub(rb"\s", b"", found))
        for found in re.findall(rb"-----\n([A-Za-z0-9+/=\s]+)\n-----", everything)
    )
    assert decoded, "the request was not seen: this test would prove nothing"
    for hidden in (secret, pkcs8, bundle.password.encode(), bundle.path.read_bytes()):
        forms = {hidden, hidden.hex().encode(), base64.b64encode(hidden), base64.urlsafe_b64encode(hidden)}
        # A part of a longer base64 text: at each of three places in its groups.
        forms |= {base64.b64encode(b"\0" * shift + hidden)[4:-4] for shift in (1, 2, 3)}
        for form in forms | {str(number).encode()}:
            assert form not in everything
            assert form not in decoded
    assert sum(1 for body in bodies if body) == 1, "one request is sent, and nothing else"


def test_in_firefox_from_the_invitation_to_green(gate: Gate, tmp_path: Path, firefox: None) -> None:
    invitation = invite(gate, "fox", "--role", "staff")
    home = tmp_path / "home"
    browsers.database(home / "profile", gate.root)
    with browsers.firefox_session(home) as window:
        window.open(f"{invitation.link}/page")
        window.wait_for("!document.getElementById('make').hidden")
        window.click("#go")
        window.wait_for("!document.getElementById('save').hidden")
        password = str(window.run("return document.getElementById('password').textContent"))
        window.click("#first-file")
        file = home / "fox.p12"
        window.wait_for("true")
        browsers.wait_until(lambda: file.exists() and file.stat().st_size > 0)
        window.run("removeEventListener('beforeunload', window.warn)")
        window.click("#saved")
    browsers.import_bundle(home / "profile", Bundle(file, password))
    with browsers.firefox_session(home) as window:
        window.open(f"{invitation.link}/done")
        window.click("#try")
        window.wait_for("document.querySelector('.test.green')")
        assert "It works." in window.text()
        window.open(f"https://localhost:{gate.port}/hello")
        assert "Hello, fox." in window.text()


def test_an_operator_s_approval_is_waited_for_with_the_key(
    gate: Gate, tmp_path: Path, chromium: None, screenshots: Path
) -> None:
    invitation = invite(gate, "wanda", "--approve", "--second-factor")
    browsers.database(tmp_path / "home" / ".pki" / "nssdb", gate.root)
    with browsers.chromium_session(tmp_path / "home", **PHONE) as page:
        page.goto(f"{invitation.link}/page")
        page.fill("#factor", "0000 0000")
        page.click("#go")
        page.wait_for_selector("#failed:not([hidden])", timeout=SECONDS)
        assert "The second code is wrong." in page.inner_text("#failed")
        assert invitation.factor is not None
        page.fill("#factor", invitation.factor)
        page.click("#go")
        # Somebody else from the same network guesses at codes meanwhile: the key is not given up for that.
        page.route("**/chain", lambda route: route.fulfill(status=429, body="{}"), times=1)
        with page.expect_response("**/chain"):
            page.wait_for_selector("#waiting:not([hidden])", timeout=SECONDS)
            keep(page, screenshots, "waiting-phone")
        (waiting,) = [
            one for one in gate.command("invitation", "list").json["invitations"] if one["client"]["name"] == "wanda"
        ]
        gate.command("invitation", "approve", str(waiting["invitation"]))
        page.wait_for_selector("#save:not([hidden])", timeout=SECONDS)
        keep(page, screenshots, "saved-phone")


def test_an_answer_that_got_lost_costs_no_key(gate: Gate, tmp_path: Path, chromium: None) -> None:
    invitation = invite(gate, "lotte")
    browsers.database(tmp_path / "home" / ".pki" / "nssdb", gate.root)
    sent: list[bytes] = []

    def lose_the_first(route: "Route") -> None:
        if route.request.method != "POST":
            return route.continue_()
        sent.append(route.request.post_data_buffer or b"")
        if len(sent) > 1:
            return route.continue_()
        fields = [("Content-Type", "application/pkcs10"), ("Accept", "application/json")]
        target = f"/join/{invitation.link.rpartition('/')[2]}/page"
        assert gate.get(target, None, fields, method="POST", body=sent[0]).status == 200
        return route.abort()

    with browsers.chromium_session(tmp_path / "home") as page:
        page.route("**/page", lose_the_first)
        page.goto(f"{invitation.link}/page")
        page.click("#go")
        page.wait_for_selector("#failed:not([hidden])", timeout=SECONDS)
        assert "The connection broke." in page.inner_text("#failed")
        page.click("#go")
        page.wait_for_selector("#save:not([hidden])", timeout=SECONDS)
    assert sent[0] == sent[1]


# A certificate of one's own


def test_in_chromium_with_a_self_signed_certificate(
    gate: Gate, tmp_path: Path, chromium: None, screenshots: Path
) -> None:
    invitation = invite(gate, "selma")
    _, bundle = own_certificate(tmp_path / "own")
    browsers.database(tmp_path / "home" / ".pki" / "nssdb", gate.root, bundle)
    with browsers.chromium_session(tmp_path / "home") as page:
        page.goto(invitation.link)
        assert "Self-signed, P-256" in page.inner_text("main")
        keep(page, screenshots, "own")
        page.click("button:text('Use this certificate')")
        page.wait_for_url("**/done")
        page.click("#try")
        page.wait_for_selector(".test.green", timeout=SECONDS)
        page.goto(f"https://localhost:{gate.port}/hello")
        assert "Hello, selma." in page.inner_text("h1")


def test_in_firefox_with_a_self_signed_certificate(gate: Gate, tmp_path: Path, firefox: None) -> None:
    invitation = invite(gate, "sylvia")
    _, bundle = own_certificate(tmp_path / "own")
    browsers.database(tmp_path / "home" / "profile", gate.root, bundle)
    with browsers.firefox_session(tmp_path / "home") as window:
        window.open(invitation.link)
        assert "Self-signed, P-256" in window.text()
        window.click("form button[type=submit]")
        window.wait_for("location.pathname.endsWith('/done')")
        window.click("#try")
        window.wait_for("document.querySelector('.test.green')")
        window.open(f"https://localhost:{gate.port}/hello")
        assert "Hello, sylvia." in window.text()


def test_curl_comes_in_with_its_own(gate: Gate, tmp_path: Path) -> None:
    invitation = invite(gate, "curl-user")
    identity, _ = own_certificate(tmp_path / "own")

    def curl(*arguments: str) -> str:
        command = ["curl", "-sS", "--cacert", gate.root, "--cert", identity.certificate, "--key", identity.key]
        done = subprocess.run([*map(str, command), *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    told = curl(invitation.link)
    assert "Self-signed, P-256" in told
    (path,) = re.findall(r"-X POST (\S+/own)$", told, re.MULTILINE)
    assert curl("-X", "POST", path).startswith("From now on this certificate lets you in as curl-user:")
    # The very next request.
    assert "Hello, curl-user." in curl(f"https://localhost:{gate.port}/hello")
    assert json.loads(curl("-H", "Accept: application/json", f"{invitation.link}/progress"))["state"] == "used"


# What a browser sees of it


@pytest.mark.timeout(400)  # browsers are slow on a busy machine
def test_no_page_hinders_anybody(gate: Gate, tmp_path: Path, chromium: None, screenshots: Path) -> None:
    if reason := axe.missing():
        pytest.skip(reason)
    first, second = invite(gate, "axel", "--second-factor"), invite(gate, "alex")
    _, bundle = own_certificate(tmp_path / "own")
    browsers.database(tmp_path / "none" / ".pki" / "nssdb", gate.root)
    browsers.database(tmp_path / "shown" / ".pki" / "nssdb", gate.root, bundle)
    base = f"https://localhost:{gate.port}/join"
    found: dict[str, list[str]] = {}
    looks: list[dict[str, Any]] = [{"color_scheme": "light"}, {"color_scheme": "dark", **PHONE}]
    for look in looks:
        with browsers.chromium_session(tmp_path / "none", **look) as page:
            for path in ("/", "/help", "/me", "/explain", "/nothing"):
                page.goto(base + path)
                found[f"{path}, {look['color_scheme']}"] = axe.problems(page)
            for path in ("", "/page", "/csr", "/own", "/apple", "/windows", "/linux"):
                page.goto(first.link + path)
                found[f"TOKEN{path}, {look['color_scheme']}"] = axe.problems(page)
                keep(page, screenshots, f"{path.strip('/') or 'invitation'}-{look['color_scheme']}")
        with browsers.chromium_session(tmp_path / "shown", **look) as page:
            for url in (f"{second.link}/own", f"{base}/me"):
                page.goto(url)
                found[f"shown {url[-5:]}, {look['color_scheme']}"] = axe.problems(page)
    with browsers.chromium_session(tmp_path / "none") as page:
        make_key_in_page(page, second, tmp_path)
        found["saved"] = axe.problems(page)
        page.click("#saved")
        page.click("#try")
        page.wait_for_selector("#result .notice")
        found["tested"] = axe.problems(page)
        for path in ("", "/done", "/probe"):
            page.goto(second.link + path)
            found[f"used{path}"] = axe.problems(page)
    assert {name: problems for name, problems in found.items() if problems} == {}


def test_it_works_by_keyboard_alone(gate: Gate, tmp_path: Path, chromium: None) -> None:
    invitation = invite(gate, "kay")
    browsers.database(tmp_path / "home" / ".pki" / "nssdb", gate.root)
    with browsers.chromium_session(tmp_path / "home") as page:
        page.goto(f"https://localhost:{gate.port}/join/")
        tab_to(page, "#code")
        page.keyboard.type(invitation.code)
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/{invitation.code}")
        tab_to(page, ".best .button")
        page.keyboard.press("Enter")
        page.wait_for_selector("#make:not([hidden])")
        tab_to(page, "#go")
        page.keyboard.press("Enter")
        page.wait_for_selector("#save:not([hidden])", timeout=SECONDS)
        # What comes next has the focus: a screen reader goes on there.
        assert page.evaluate("document.activeElement.id") == "save"
        tab_to(page, "#saved")
        page.keyboard.press("Space")
        assert page.evaluate("document.activeElement.id") == "install"
        tab_to(page, "#try")
        page.keyboard.press("Space")
        page.wait_for_selector("#result .notice")


def tab_to(page: "Page", selector: str) -> None:
    for _ in range(60):
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{selector} is not reached by the Tab key")


def test_a_hostile_name_does_nothing(gate: Gate, tmp_path: Path, chromium: None) -> None:
    invitation = invite(gate, HOSTILE)
    browsers.database(tmp_path / "home" / ".pki" / "nssdb", gate.root)
    with browsers.chromium_session(tmp_path / "home") as page:
        violations: list[str] = []
        page.on("dialog", lambda dialog: violations.append(dialog.message))
        page.on(
            "console", lambda message: violations.append(message.text) if "Content Security" in message.text else None
        )
        for path in ("", "/page", "/csr", "/own"):
            page.goto(invitation.link + path)
            assert page.title() != "in"
        bundle = make_key_in_page(page, invitation, tmp_path)
        assert re.fullmatch(r"[A-Za-z0-9_-]+\.p12", bundle.path.name)
        assert violations == []


def test_scripts_of_the_service_behind_are_not_ours(gate: Gate, tmp_path: Path, chromium: None) -> None:
    """The service behind shares the host; what it serves runs in no page of the portal, and nothing is sent to it."""
    invitation = invite(gate, "carl")
    browsers.database(tmp_path / "home" / ".pki" / "nssdb", gate.root)
    with browsers.chromium_session(tmp_path / "home") as page:
        page.goto(f"{invitation.link}/page")
        blocked = page.evaluate(
            """async () => {
              const found = [];
              addEventListener("securitypolicyviolation", (event) => found.push(event.effectiveDirective));
              await fetch("/hello").catch(() => {});
              const script = document.createElement("script");
              try { script.src = "/hello"; document.head.append(script); } catch { found.push("trusted types"); }
              try { document.body.innerHTML += "<b>"; } catch { found.push("trusted types"); }
              await new Promise((resolve) => setTimeout(resolve, 200));
              return found;
            }"""
        )
        assert {"connect-src", "trusted types"} <= set(blocked)


def test_a_wrong_clock_is_named(gate: Gate, tmp_path: Path, chromium: None) -> None:
    invitation = invite(gate, "clara")
    browsers.database(tmp_path / "home" / ".pki" / "nssdb", gate.root)
    with browsers.chromium_session(tmp_path / "home") as page:
        make_key_in_page(page, invitation, tmp_path)
        page.click("#saved")
        page.click("#try")
        page.wait_for_selector("#result .notice")
        assert "The clock" not in page.inner_text("#result")
        page.evaluate("{ const real = Date.now; Date.now = () => real() + 3 * 86_400_000; }")
        page.click("#try")
        page.wait_for_selector("#result :text('The clock of this device is 3 days ahead.')")


def test_a_program_elsewhere_turns_the_page_green(gate: Gate, tmp_path: Path, chromium: None) -> None:
    invitation = invite(gate, "elsa")
    request, key = forge.request(tmp_path / "requests", "elsa")
    browsers.database(tmp_path / "home" / ".pki" / "nssdb", gate.root)
    certificate = tmp_path / "elsa.pem"

    def curl(*arguments: str | Path) -> None:
        command = ["curl", "-sSf", "--cacert", gate.root, *arguments]
        done = subprocess.run([str(one) for one in command], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    kind = "Content-Type: application/pkcs10"
    curl("-H", kind, "--data-binary", f"@{request}", "-o", certificate, f"{invitation.link}/csr")
    with browsers.chromium_session(tmp_path / "home") as page:
        page.goto(f"{invitation.link}/done")
        assert page.query_selector(".test.green") is None
        curl("--cert", certificate, "--key", key, f"https://localhost:{gate.port}/hello")
        page.wait_for_selector(".test.green", timeout=SECONDS)
        assert "The gate has seen the certificate of elsa and let it in." in page.inner_text("#result")


def test_without_a_secure_context_it_says_so(gate: Gate, tmp_path: Path, chromium: None) -> None:
    invitation = invite(gate, "plain")
    browsers.database(tmp_path / "home" / ".pki" / "nssdb", gate.root)
    with browsers.chromium_session(tmp_path / "home") as page:
        page.add_init_script("Object.defineProperty(globalThis, 'isSecureContext', { value: false })")
        page.goto(f"{invitation.link}/page")
        page.wait_for_selector("#insecure:not([hidden])")
        assert "did not come over a secure connection" in page.inner_text("#insecure")
        assert page.is_hidden("#make")


# Under a partner's CA


@pytest.fixture(scope="module")
def acme(gate: Gate, tmp_path_factory: pytest.TempPathFactory) -> forge.Authority:
    """The CA of the partner acme, which may speak for acme.example; globex has names of its own."""
    folder = tmp_path_factory.mktemp("partners")
    for partner in ("acme", "globex"):
        authority = forge.authority(folder / partner, f"{partner} issuing CA")
        gate.command("partner", "add", partner, "--names", f"dns:*.{partner}.example", "--admits", "rule")
        claim = ("partner", "ca", "add", partner, authority.certificate_file, "--revocation", "ignore")
        (code,) = set(re.findall(r"mutualgate-proof-[0-9a-z]+", gate.command(*claim).out))
        proof = forge.leaf(folder / partner, authority, code)
        gate.command("partner", "ca", "prove", partner, proof.certificate)
        if partner == "acme":
            acme = authority
    return acme


def under(authority: forge.Authority, folder: Path, host: str) -> Bundle:
    identity = forge.leaf(folder, authority, "orders", alternative_names=[x509.DNSName(host)])
    return Bundle(forge.bundle(folder, identity, "a password of one's own"), "a password of one's own")


def test_in_chromium_under_a_partner_s_ca(
    gate: Gate, acme: forge.Authority, tmp_path: Path, chromium: None, screenshots: Path
) -> None:
    bundle = under(acme, tmp_path / "orders", "orders.acme.example")
    browsers.database(tmp_path / "home" / ".pki" / "nssdb", gate.root, bundle)
    with browsers.chromium_session(tmp_path / "home") as page:
        page.goto(f"https://localhost:{gate.port}/hello")
        assert "Hello, acme." in page.inner_text("h1")
        page.goto(f"https://localhost:{gate.port}/join/me")
        assert "It is from acme, who renews it" in page.inner_text("main")
        keep(page, screenshots, "partner")


def test_in_chromium_forged_by_a_partner_in_another_s_name(
    gate: Gate, acme: forge.Authority, tmp_path: Path, chromium: None, screenshots: Path
) -> None:
    bundle = under(acme, tmp_path / "forged", "orders.globex.example")
    browsers.database(tmp_path / "home" / ".pki" / "nssdb", gate.root, bundle)
    with browsers.chromium_session(tmp_path / "home") as page:
        response = page.goto(f"https://localhost:{gate.port}/hello")
        assert response is not None
        assert response.status == 403
        assert "name_not_permitted" in page.inner_text("body")
        keep(page, screenshots, "forged")
        page.goto(f"https://localhost:{gate.port}/join/me")
        assert "Your certificate is not let in" in page.inner_text("h1")
        assert "names dns:orders.globex.example, for which its authority" in page.inner_text("main")
        keep(page, screenshots, "forged-me")


def test_in_firefox_under_a_partner_s_ca_and_forged_by_it(
    gate: Gate, acme: forge.Authority, tmp_path: Path, firefox: None
) -> None:
    for host, expected in (
        ("orders.acme.example", "Hello, acme."),
        ("orders.globex.example", "name_not_permitted"),
    ):
        home = tmp_path / host
        browsers.database(home / "profile", gate.root, under(acme, home / "own", host))
        with browsers.firefox_session(home) as window:
            window.open(f"https://localhost:{gate.port}/hello")
            assert expected in window.text()


def test_an_operator_reaches_the_page_of_each_client(gate: Gate) -> None:
    """Through the gate, which takes no path that may be read in two ways."""
    boss = gate.client("boss", "admin")
    for name in ("100%", "a;b", "~25", "a+b%3Bc@acme.example", "ä?#&x"):
        gate.command("client", "add", name)
        listed = gate.get(f"/join/operator/clients?search={quote(name)}", boss, [("Accept", "text/html")])
        places = re.findall(r'href="(/join/operator/clients/[^"?]+)"', listed.body.decode())
        assert len(places) == 1, name
        page = gate.get(places[0], boss, [("Accept", "text/html")])
        assert (page.status, html.escape(name) in page.body.decode()) == (200, True), name
