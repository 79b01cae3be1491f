"""The old recipe, typed unchanged: an openssl CA, a client certificate by it, and a browser that opens the page."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from end_to_end import browsers, java
from end_to_end.browsers import Bundle, Page
from end_to_end.forge import Identity
from end_to_end.gate import Gate, running_gate
from end_to_end.refusal import assert_refused

AUTHORITY = """
openssl genrsa -out rootCA.key 2048
openssl req -x509 -new -nodes -key rootCA.key -sha256 -days 1024 -out rootCA.pem -subj "/O=Example Ltd/CN=Example root"
"""
# The first certificate of a CA makes the serial file, the others go on in it.
CLIENT = """
openssl genrsa -out client.key 2048
openssl req -new -key client.key -out client.csr -subj "/O=Example Ltd/CN=Erika"
openssl x509 -req -in client.csr -CA rootCA.pem -CAkey rootCA.key -CAcreateserial -out client.crt -days 500 -sha256
openssl pkcs12 -export -in client.crt -inkey client.key -out client.p12 -passout pass:changeit
"""
ANOTHER = """
openssl genrsa -out {name}.key 2048
openssl req -new -key {name}.key -out {name}.csr -subj "/O=Example Ltd/CN={name}"
openssl x509 -req -in {name}.csr -CA rootCA.pem -CAkey rootCA.key -CAserial rootCA.srl -out {name}.crt -days 500 -sha256
openssl pkcs12 -export -in {name}.crt -inkey {name}.key -out {name}.p12 -passout pass:changeit
"""


@dataclass(frozen=True)
class Recipe:
    """The folder in which it was typed, and the gate that adopted what came of it."""

    folder: Path
    gate: Gate

    def identity(self, name: str = "client") -> Identity:
        return Identity(self.folder / f"{name}.crt", self.folder / f"{name}.key")

    @property
    def url(self) -> str:
        return f"https://localhost:{self.gate.port}/hello"


def typed(commands: str, folder: Path) -> None:
    done = subprocess.run(["sh", "-ec", commands], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recipe]:
    if problem := java.missing():
        pytest.skip(problem)
    folder = tmp_path_factory.mktemp("recipe")
    typed(AUTHORITY + CLIENT, folder)
    with java.container("tomcat", folder / "tomcat.log") as url:
        sites = f'[[sites]]\nname = "main"\nhosts = ["localhost"]\nroutes = [{{ path = "/", upstream = "{url}" }}]\n'
        with running_gate(folder / "gate", sites) as gate:
            with_key = ["--key", str(folder / "rootCA.key"), "--serial", str(folder / "rootCA.srl")]
            gate.command("ca", "adopt", "--cert", folder / "rootCA.pem", *with_key)
            yield Recipe(folder, gate)


def test_its_client_is_admitted_x509_version_1_and_all(recipe: Recipe) -> None:
    version = recipe.identity().leaf().version
    seen = recipe.gate.get("/hello", recipe.identity())
    assert seen.status == 200
    headers = {name.lower(): values for name, values in seen.json()["headers"].items()}
    assert "CN=Erika" in headers["mutualgate-subject"][0]
    if version is not x509.Version.v1:
        pytest.skip("this openssl (3.2 or later) writes v3: that v1 is admitted was not shown")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl_opens_the_page_with_it(version: str, recipe: Recipe) -> None:
    command = ["curl", "-sS", f"--tlsv{version}", "--tls-max", version, "--cacert", str(recipe.gate.root)]
    command += ["--cert-type", "P12", "--cert", f"{recipe.folder / 'client.p12'}:changeit", recipe.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert '"servlet":"hello"' in done.stdout, done.stderr


def test_what_it_signs_after_the_adoption_is_admitted_too(recipe: Recipe) -> None:
    typed(ANOTHER.format(name="later"), recipe.folder)
    assert recipe.gate.get("/hello", recipe.identity("later")).status == 200


def test_a_look_alike_of_its_root_signs_nothing(recipe: Recipe, tmp_path: Path) -> None:
    typed(AUTHORITY + CLIENT, tmp_path)
    impostor = Identity(tmp_path / "client.crt", tmp_path / "client.key")
    response = recipe.gate.get("/hello", impostor)
    assert_refused(response, "bad_signature")


def test_its_root_is_no_client(recipe: Recipe) -> None:
    root = Identity(recipe.folder / "rootCA.pem", recipe.folder / "rootCA.key")
    assert_refused(recipe.gate.get("/hello", root), "ca_as_client")


def test_listed_only_admits_what_it_was_shown_and_nothing_else(recipe: Recipe, tmp_path: Path) -> None:
    folder = tmp_path / "listed"
    folder.mkdir()
    typed(AUTHORITY + CLIENT + ANOTHER.format(name="unlisted"), folder)
    shown = folder / "issued"
    shown.mkdir()
    (shown / "client.crt").write_bytes((folder / "client.crt").read_bytes())
    sites = '[[sites]]\nname = "main"\nhosts = ["localhost"]\nroutes = [{ path = "/", upstream = "demo" }]\n'
    with running_gate(tmp_path / "gate", sites) as gate:
        gate.command("ca", "adopt", "--cert", folder / "rootCA.pem", "--issued", shown, "--admits", "listed")
        assert gate.get("/hello", Identity(folder / "client.crt", folder / "client.key")).status == 200
        unlisted = Identity(folder / "unlisted.crt", folder / "unlisted.key")
        assert_refused(gate.get("/hello", unlisted), "not_enrolled")


BROWSERS = {
    "chromium": (browsers.chromium, browsers.chromium_missing),
    "firefox": (browsers.firefox, browsers.firefox_missing),
}


@pytest.mark.parametrize("browser", BROWSERS)
def test_a_browser_with_the_imported_p12_opens_the_page(
    browser: str, recipe: Recipe, tmp_path: Path, screenshots: Path
) -> None:
    page = opened(browser, recipe.url, tmp_path, recipe.gate.root, Bundle(recipe.folder / "client.p12", "changeit"))
    (screenshots / f"old-recipe-{browser}.png").write_bytes(page.screenshot)
    assert page.status == 200
    assert "CN=Erika" in page.text


@pytest.mark.parametrize("browser", BROWSERS)
def test_a_browser_without_one_shows_the_page_that_helps(
    browser: str, recipe: Recipe, tmp_path: Path, screenshots: Path
) -> None:
    page = opened(browser, recipe.url, tmp_path, recipe.gate.root, None)
    (screenshots / f"no-certificate-{browser}.png").write_bytes(page.screenshot)
    assert page.status == 403
    assert "certificate" in page.text.lower()
    assert "no_certificate" in page.text
    # A browser hides a certificate that is expired or unfit: the page has to say so.
    assert "expired" in page.text.lower()


def opened(browser: str, url: str, folder: Path, root: Path, bundle: Bundle | None) -> Page:
    open_page, missing = BROWSERS[browser]
    if problem := missing():
        pytest.skip(problem)
    return open_page(url, folder / "home", root, bundle)
