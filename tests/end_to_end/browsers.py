"""A real headless Chromium and a real headless Firefox that hold one client certificate and trust one root.

Both read an NSS database, filled as a person would: the root and the `.p12` are imported. Neither is told to ignore
anything about the server's certificate.
"""

import base64
import fcntl
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from end_to_end.process import answers, free_port, running

if TYPE_CHECKING:
    from playwright.sync_api import Page as PlaywrightPage

CHROMIUM = Path("/usr/bin/chromium")
# Which certificate to send is a question to the person; without this policy a headless Chromium waits for the answer.
POLICY = Path("/etc/chromium/policies/managed/mutualgate-tests.json")
POLICY_TEXT = json.dumps({"AutoSelectCertificateForUrls": ['{"pattern":"https://localhost:*","filter":{}}']})

MARIONETTE_SECONDS = 60


@dataclass(frozen=True)
class Bundle:
    """A `.p12` file and its password."""

    path: Path
    password: str


@dataclass(frozen=True)
class Page:
    """What the person sees."""

    status: int
    text: str
    screenshot: bytes


def chromium_missing() -> str | None:
    """Why Chromium cannot run here, if it cannot."""
    if not CHROMIUM.exists() or shutil.which("certutil") is None:
        return "not installed: chromium or certutil (scripts/install-test-packages.sh)"
    if not os.access(POLICY.parents[3], os.W_OK):
        return f"{POLICY} cannot be written: Chromium takes the choice of a certificate only from a machine's policy"
    return None


def firefox_missing() -> str | None:
    """Why Firefox cannot run here, if it cannot."""
    if shutil.which("firefox-esr") is None or shutil.which("certutil") is None:
        return "not installed: firefox-esr or certutil (scripts/install-test-packages.sh)"
    return None


def chromium(url: str, folder: Path, root: Path, bundle: Bundle | None) -> Page:
    """Opens `url` (on localhost) in Chromium, with the identity in `bundle` or with none."""
    database(folder / ".pki" / "nssdb", root, bundle)
    with chromium_session(folder) as page:
        response = page.goto(url, timeout=MARIONETTE_SECONDS * 1000)
        assert response is not None
        return Page(response.status, page.inner_text("body"), page.screenshot())


@contextmanager
def chromium_session(folder: Path, **how: Any) -> "Iterator[PlaywrightPage]":
    """A window of Chromium whose home is `folder`, filled by `database(folder / ".pki" / "nssdb", …)`."""
    from playwright.sync_api import sync_playwright

    environment: dict[str, str | float | bool] = {**os.environ, "HOME": str(folder)}
    with _policy(), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), env=environment, args=["--no-sandbox"])
        try:
            yield browser.new_page(**{"viewport": {"width": 1000, "height": 900}, **how})
        finally:
            browser.close()


def firefox(url: str, folder: Path, root: Path, bundle: Bundle | None) -> Page:
    """Opens `url` in Firefox, with the identity in `bundle` or with none."""
    database(folder / "profile", root, bundle)
    with firefox_session(folder) as window:
        window.open(url)
        script = "return [performance.getEntriesByType('navigation')[0].responseStatus, document.body.innerText]"
        status, text = window.run(script)
        return Page(int(status), text, window.screenshot())


@contextmanager
def firefox_session(folder: Path) -> "Iterator[FirefoxWindow]":
    """A window of Firefox whose profile, `folder / "profile"`, was filled by `database`. It saves files to `folder`."""
    profile = folder / "profile"
    port = free_port()
    preferences: dict[str, object] = {
        "security.default_personal_cert": "Select Automatically",  # otherwise it waits for a person to choose
        "marionette.port": port,
        "datareporting.policy.dataSubmissionEnabled": False,
        "network.captive-portal-service.enabled": False,
        "network.connectivity-service.enabled": False,
        "app.normandy.enabled": False,
        "browser.shell.checkDefaultBrowser": False,
        "browser.download.folderList": 2,
        "browser.download.dir": str(folder),
        "browser.download.useDownloadDir": True,
    }
    lines = [f'user_pref("{name}", {json.dumps(value)});' for name, value in preferences.items()]
    (profile / "user.js").write_text("\n".join(lines) + "\n")
    command = ["firefox-esr", "--headless", "--marionette", "--profile", str(profile)]
    with running("firefox", command, folder / "firefox.log", {"HOME": str(folder)}) as program:
        program.wait_for(lambda: answers(port), MARIONETTE_SECONDS)
        with socket.create_connection(("127.0.0.1", port), MARIONETTE_SECONDS) as connection:
            marionette = _Marionette(connection)
            marionette.ask("WebDriver:NewSession", {"capabilities": {"alwaysMatch": {"acceptInsecureCerts": False}}})
            yield FirefoxWindow(marionette)


class FirefoxWindow:
    """What a person does in a window."""

    def __init__(self, marionette: "_Marionette") -> None:
        self._marionette = marionette

    def open(self, url: str) -> None:
        self._marionette.ask("WebDriver:Navigate", {"url": url})

    def run(self, script: str, *arguments: object) -> Any:
        """The value of a script's `return`."""
        return self._marionette.ask("WebDriver:ExecuteScript", {"script": script, "args": list(arguments)})["value"]

    def click(self, selector: str) -> None:
        found = self._marionette.ask("WebDriver:FindElement", {"using": "css selector", "value": selector})["value"]
        self._marionette.ask("WebDriver:ElementClick", {"id": next(iter(found.values()))})

    def wait_for(self, condition: str, *arguments: object) -> None:
        """Waits until the script's expression is true."""
        wait_until(lambda: bool(self.run(f"return Boolean({condition})", *arguments)))

    def text(self) -> str:
        return str(self.run("return document.body.innerText"))

    def screenshot(self) -> bytes:
        return base64.b64decode(self._marionette.ask("WebDriver:TakeScreenshot", {"full": False})["value"])


class _Marionette:
    """Firefox's own remote control: `LENGTH:[0, id, command, arguments]`, and `LENGTH:[1, id, error, result]` back."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._stream = connection.makefile("rb")
        self._asked = 0
        self._read()  # the greeting

    def ask(self, command: str, arguments: dict[str, Any]) -> Any:
        self._asked += 1
        message = json.dumps([0, self._asked, command, arguments]).encode()
        self._connection.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self._read()
        assert error is None, f"{command}: {error['message']}"
        return result

    def _read(self) -> Any:
        length = b""
        while not length.endswith(b":"):
            character = self._stream.read(1)
            assert character, "Firefox closed the connection"
            length += character
        return json.loads(self._stream.read(int(length[:-1])))


def database(folder: Path, root: Path, bundle: Bundle | None = None) -> None:
    """A browser's own store, in which the root is trusted for servers; with the identity in `bundle`."""
    folder.mkdir(parents=True)
    _run(["certutil", "-N", "--empty-password", "-d", f"sql:{folder}"])
    _run(["certutil", "-A", "-d", f"sql:{folder}", "-n", "root", "-t", "CT,,", "-i", root])
    if bundle is not None:
        import_bundle(folder, bundle)


def wait_until(what: Callable[[], bool]) -> None:
    """Waits until `what` is true."""
    deadline = time.monotonic() + MARIONETTE_SECONDS
    while not what():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


def import_bundle(folder: Path, bundle: Bundle) -> None:
    """Imports a `.p12`, as a person does whose browser reads this store."""
    _run(["pk12util", "-d", f"sql:{folder}", "-i", bundle.path, "-W", bundle.password, "-K", ""])


def _run(arguments: list[str | Path]) -> None:
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"{arguments[0]} {arguments[1]} failed: {done.stdout}{done.stderr}"


@contextmanager
def _policy() -> Iterator[None]:
    """Lays the machine's policy, which is the same for all who test here at a time; the last takes it away again."""
    with Path("/tmp/mutualgate-tests-chromium-policy.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        for folder in reversed(POLICY.parents):
            with suppress(FileExistsError):
                folder.mkdir()
                print(folder, file=lock, flush=True)
        # Beside the folder of which Chromium reads every file: one that starts now finds all of it or nothing.
        whole = POLICY.parents[1] / f"mutualgate-tests-{os.getpid()}"
        whole.write_text(POLICY_TEXT)
        whole.rename(POLICY)
        try:
            yield
        finally:
            with suppress(BlockingIOError):  # others go on
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                POLICY.unlink(missing_ok=True)
                lock.seek(0)
                for made in reversed(lock.read().splitlines()):
                    with suppress(OSError):  # others use it by now
                        Path(made).rmdir()
                lock.truncate(0)
