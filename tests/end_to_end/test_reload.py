"""The configuration while the gate runs: a wrong file changes nothing and is told where, a good one drops nobody."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from end_to_end import forge
from end_to_end.forge import Identity
from end_to_end.gate import Gate, running_gate
from end_to_end.recorder import Recorder
from end_to_end.refusal import assert_refused

SITES = """
[[sites]]
name = "main"
hosts = ["localhost"]
routes = [{{ path = "/", upstream = "{upstream}" }}{more}]
"""


class Reloadable:
    """A gate whose file can be rewritten."""

    def __init__(self, gate: Gate, upstream: Recorder, identity: Identity) -> None:
        self.gate, self.upstream, self.identity = gate, upstream, identity
        self.file = gate.folder / "mutualgate.toml"
        self.head = self.file.read_text().split("[[sites]]")[0]

    def good(self, more: str = "") -> str:
        return self.head + SITES.format(upstream=self.upstream.url, more=more)

    def write(self, text: str) -> None:
        """Replaces the file as an editor does, and tells the gate."""
        new = self.file.with_suffix(".new")
        new.write_text(text)
        new.replace(self.file)
        self.gate.program.process.send_signal(signal.SIGHUP)

    def until(self, what: Callable[[], bool]) -> None:
        self.gate.program.wait_for(what, 15)

    def is_refused(self, path: str) -> bool:
        """Whether nobody gets there; a request that is under way when its route goes is cut."""
        try:
            return self.gate.get(path).status == 403
        except ConnectionResetError:
            return False


@pytest.fixture(scope="session")
def reloadable(tmp_path_factory: pytest.TempPathFactory, upstream: Recorder) -> Iterator[Reloadable]:
    folder = tmp_path_factory.mktemp("reload")
    with running_gate(folder / "gate", SITES.format(upstream=upstream.url, more="")) as gate:
        yield Reloadable(gate, upstream, gate.client("reader"))


@pytest.fixture(autouse=True)
def _restored(reloadable: Reloadable) -> Iterator[None]:
    yield
    reloadable.write(reloadable.good(', { path = "/restored", upstream = "demo", client_certificate = "off" }'))
    reloadable.until(lambda: not reloadable.is_refused("/restored"))
    reloadable.write(reloadable.good())
    reloadable.until(lambda: reloadable.is_refused("/restored"))


def test_a_good_file_takes_effect_on_open_connections_and_drops_none(reloadable: Reloadable) -> None:
    gate = reloadable.gate
    with gate.open(reloadable.identity) as connection:
        assert connection.request("/admin").status == 200
        reloadable.write(
            reloadable.good(f', {{ path = "/admin", upstream = "{reloadable.upstream.url}", roles = ["admin"] }}')
        )
        reloadable.until(lambda: gate.get("/admin", reloadable.identity).status == 403)
        assert_refused(connection.request("/admin"), "not_granted")
        assert connection.request("/").status == 200


def test_a_stream_goes_on_through_a_reload(reloadable: Reloadable) -> None:
    with reloadable.gate.open(reloadable.identity) as connection:
        connection.send(b"GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.until(b"\r\n\r\n")
        connection.chunk()
        reloadable.write(reloadable.good(', { path = "/public", upstream = "demo", client_certificate = "off" }'))
        reloadable.until(lambda: reloadable.gate.get("/public").status != 403)
        for _ in range(5):
            assert connection.chunk().startswith(b"data: ")


def test_the_file_is_noticed_without_a_signal(reloadable: Reloadable) -> None:
    reloadable.file.write_text(
        reloadable.good(', { path = "/noticed", upstream = "demo", client_certificate = "off" }')
    )
    reloadable.until(lambda: reloadable.gate.get("/noticed").status != 403)


WRONG = {
    "syntax": lambda good: good + "\n[[sites\n",
    "unknown key": lambda good: good.replace("hosts =", "host ="),
    "wrong value": lambda good: good + 'client_certificate = "maybe"\n',
    "same host twice": lambda good: good + '[[sites]]\nname = "second"\nhosts = ["localhost"]\n',
    "missing certificate": lambda good: good + 'certificate = "nowhere.pem"\nkey = "nowhere.key"\n',
    "empty": lambda good: good.split("[[sites]]")[0] + "[[sites]]\n",
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_keeps_the_old_one_in_force_and_says_where(case: str, reloadable: Reloadable) -> None:
    gate = reloadable.gate
    opened = ', { path = "/opened", upstream = "demo", client_certificate = "off" }'
    text = WRONG[case](reloadable.good(opened))
    before = len(gate.program.text())
    reloadable.write(text)
    reloadable.until(lambda: "mutualgate.toml:" in gate.program.text()[before:])
    # Nothing of it is in force, not even its good parts.
    assert_refused(gate.get("/opened"), "no_certificate")
    assert gate.get("/", reloadable.identity).status == 200
    checked = gate.command("check", check=False)
    assert checked.code == 1
    (first, *_) = checked.json["problems"]
    assert first["file"].endswith("mutualgate.toml")
    assert first["line"]
    assert first["problem"]


def test_a_misspelled_key_is_told_its_neighbour(reloadable: Reloadable) -> None:
    reloadable.write(reloadable.good().replace("hosts =", "hots ="))
    problems = reloadable.gate.command("check", check=False).json["problems"]
    assert any(problem["nearest"] == "hosts" for problem in problems)


MATERIAL: dict[str, Callable[[Path], bytes | None]] = {
    "missing": lambda folder: None,
    "empty": lambda folder: b"",
    "garbage": lambda folder: b"\x00\x01garbage\xff" * 50,
    "truncated": lambda folder: forge.authority(folder).certificate_file.read_bytes()[:200],
    "a key": lambda folder: forge.authority(folder).key_file.read_bytes(),
    "a client": lambda folder: forge.leaf(folder, forge.authority(folder)).certificate.read_bytes(),
}


@pytest.mark.parametrize("case", MATERIAL)
def test_a_trust_file_that_cannot_be_used_is_no_open_door(case: str, reloadable: Reloadable, tmp_path: Path) -> None:
    """Lesson 9: adopting it is refused with a sentence, and strangers stay strangers."""
    file = tmp_path / "ca.pem"
    material = MATERIAL[case](tmp_path / "made")
    if material is not None:
        file.write_bytes(material)
    answer = reloadable.gate.command("ca", "adopt", "--cert", file, check=False)
    assert answer.code == 2
    assert "ca.pem" in answer.out + answer.err
    assert_refused(reloadable.gate.get("/"), "no_certificate")


def test_the_gate_stops_gracefully(tmp_path: Path, upstream: Recorder) -> None:
    """What is under way is finished; no new connection is taken."""
    with running_gate(tmp_path / "gate", SITES.format(upstream=upstream.url, more="")) as gate:
        identity = gate.client("last")
        with gate.open(identity) as connection:
            connection.send(b"POST /last HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nfir")
            deadline = time.monotonic() + 5
            while not upstream.marked("/last") and time.monotonic() < deadline:
                time.sleep(0.01)
            gate.program.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)  # given the time to do it wrong
            connection.send(b"st!")
            assert connection.response().status == 200
        assert gate.program.process.wait(15) == 0
