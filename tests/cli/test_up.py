"""`mutualgate up`, as a program: what it prints, how it ends, and what it does with what is wrong."""

import json
import os
import re
import shlex
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import pytest
from end_to_end.process import free_port
from installation import Installation

PROGRAM = [sys.executable, "-m", "mutualgate"]
SECONDS = 60


@dataclass
class Up:
    """The running program. What it prints is read as it comes, so that it never waits for us."""

    process: subprocess.Popen[str]
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        streams = ((self.process.stdout, self.out), (self.process.stderr, self.err))
        self.readers = [threading.Thread(target=self._read, args=pair) for pair in streams]
        for reader in self.readers:
            reader.start()

    def _read(self, stream: IO[str], lines: list[str]) -> None:
        with stream:
            for line in stream:
                with self.changed:
                    lines.append(line)
                    self.changed.notify_all()
        with self.changed:
            lines.append("")  # the end
            self.changed.notify_all()

    def until(self, lines: list[str], text: str) -> str:
        """Everything in `lines` once `text` is there."""
        with self.changed:
            done = self.changed.wait_for(lambda: text in "".join(lines) or lines[-1:] == [""], SECONDS)
        assert done, (self.out, self.err)
        assert text in "".join(lines), (self.out, self.err)
        return "".join(lines)

    def ended(self) -> int:
        return self.process.wait(SECONDS)


@contextmanager
def up(cwd: Path, *flags: str, **environment: str) -> Iterator[Up]:
    process = subprocess.Popen(
        [*PROGRAM, "up", *flags],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    running = Up(process)
    try:
        yield running
    finally:
        process.kill()
        process.wait()
        for reader in running.readers:
            reader.join()
        assert "Traceback" not in "".join(running.err)


def run(cwd: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *words], cwd=cwd, capture_output=True, text=True, timeout=SECONDS, env={**os.environ, **environment}
    )


def quiet(port: int) -> list[str]:
    """Addresses that no other test has."""
    return ["--listen", f"127.0.0.1:{port}", "--plain-listen", "none", "--ops-listen", "none"]


@pytest.mark.parametrize("name", ["plain", "with space & $(quotes) 'x'", "colon:and\\backslash"])
def test_in_an_empty_folder_the_printed_command_works_as_it_is(tmp_path: Path, name: str) -> None:
    folder, port = tmp_path / name, free_port()
    with up(tmp_path, "--dir", str(folder), *quiet(port)) as gate:
        text = gate.until(gate.out, "mutualgate invite partner-7")
        (command,) = [line for line in text.splitlines() if line.startswith("  curl ")]
        done = subprocess.run(["bash", "-c", f"{command} -sS"], capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 0, done.stderr
        assert "Hello, first-client." in done.stdout
        password = re.search(r"shown only now: (\S+)", text)
        assert password is not None
        gate.process.send_signal(signal.SIGTERM)
        assert gate.ended() == 0
        assert password[1] not in "".join(gate.err)
    for path in folder.rglob("*"):
        if path.is_file():
            assert password[1].encode() not in path.read_bytes(), path
    with up(tmp_path, "--dir", str(folder), *quiet(port)) as gate:
        text = gate.until(gate.out, "client list")
        assert "password" not in text.lower()
        again = subprocess.run(["bash", "-c", f"{command} -sS"], capture_output=True, text=True, timeout=SECONDS)
        assert "Hello, first-client." in again.stdout
        gate.process.send_signal(signal.SIGINT)
        assert gate.ended() == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has none")
def test_a_first_password_that_could_not_be_shown_is_said_to_be_lost(tmp_path: Path) -> None:
    words = [
        "up",
        "--dir",
        "gate",
        "--listen",
        f"127.0.0.1:{free_port()}",
        "--plain-listen",
        "none",
        "--ops-listen",
        "none",
        "--no-standby",
    ]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*PROGRAM, *words], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, timeout=SECONDS
        )
    assert done.returncode == 1
    assert "first-client.p12 is written, and nobody has seen its password" in done.stderr
    assert "Another: mutualgate client p12 first-client --out FILE" in done.stderr
    assert "ERROR" not in done.stderr  # it ends in order


def test_the_default_folder_lies_where_one_is(tmp_path: Path) -> None:
    with up(tmp_path, *quiet(free_port())) as gate:
        gate.until(gate.out, "The gate is open")
    assert (tmp_path / "mutualgate" / "root.pem").exists()


def test_for_programs_the_first_line_is_an_object_and_access_lines_follow(tmp_path: Path) -> None:
    port = free_port()
    with up(tmp_path, "--json", "--access-log", "-", *quiet(port)) as gate:
        first = json.loads(gate.until(gate.out, "\n").splitlines()[0])
        assert first["ready"] is True
        assert first["url"] == f"https://localhost:{port}"
        assert first["listening"] == [f"127.0.0.1:{port}"]
        assert first["first_client"]["name"] == "first-client"
        assert "passphrase" in first["key_passphrase"]
        curl = shlex.split(first["curl"])
        subprocess.run([*curl, "-sS"], cwd=tmp_path, check=True, capture_output=True)
        assert " 200 " in gate.until(gate.out, "GET /hello").splitlines()[1]
    with up(tmp_path, "--json", *quiet(port)) as gate:
        again = json.loads(gate.until(gate.out, "\n").splitlines()[0])
        assert again["ready"] is True
        assert "first_client" not in again
        assert "password" not in json.dumps(again)


def test_twice_on_one_folder_is_one_sentence_and_the_first_goes_on(tmp_path: Path) -> None:
    port = free_port()
    with up(tmp_path, *quiet(port)) as gate:
        text = gate.until(gate.out, "mutualgate invite partner-7")
        second = run(tmp_path, "up", *quiet(free_port()))
        assert second.returncode == 1
        assert second.stdout == ""
        assert second.stderr == (
            "mutualgate: mutualgate: another process already runs this gate. Stop it, or use another --dir.\n"
        )
        (command,) = [line for line in text.splitlines() if line.startswith("  curl ")]
        done = subprocess.run(["bash", "-c", f"{command} -sS"], cwd=tmp_path, capture_output=True, text=True)
        assert "Hello, first-client." in done.stdout  # the demo's socket is still the first one's


@pytest.mark.parametrize("flag", ["--listen", "--plain-listen", "--ops-listen"])
def test_an_address_in_use_is_named_with_what_to_do(flag: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        flags = dict(zip(*[iter(quiet(free_port()))] * 2, strict=True)) | {flag: address}
        said = run(tmp_path, "up", *(word for pair in flags.items() for word in pair))
    assert said.returncode == 1
    assert address in said.stderr
    assert "Address already in use" in said.stderr
    assert flag in said.stderr
    assert len(said.stderr.splitlines()) == 1
    with up(tmp_path, *quiet(free_port())) as gate:  # nobody was told the password of a first client yet
        text = gate.until(gate.out, "mutualgate invite partner-7")
        (command,) = [line for line in text.splitlines() if line.startswith("  curl ")]
        done = subprocess.run(["bash", "-c", f"{command} -sS"], cwd=tmp_path, capture_output=True, text=True)
        assert "Hello, first-client." in done.stdout


def test_a_passphrase_that_does_not_fit_is_one_sentence(tmp_path: Path) -> None:
    made = {"MUTUALGATE_PASSPHRASE": "the one it was made with"}
    with up(tmp_path, *quiet(free_port()), **made) as gate:
        assert "the variable MUTUALGATE_PASSPHRASE" in gate.until(gate.out, "passphrase from")
    said = run(tmp_path, "up", *quiet(free_port()), MUTUALGATE_PASSPHRASE="another one, and it is long")
    assert said.returncode == 2
    assert "the passphrase from the variable MUTUALGATE_PASSPHRASE does not open the key" in said.stderr
    assert "another one" not in said.stderr
    assert len(said.stderr.splitlines()) == 1


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "a wrong file": (
        lambda folder: (folder / "mutualgate.toml").write_text("[gate]\nlisten = 1\n"),
        ":2:10: gate.listen",
    ),
    "no toml": (lambda folder: (folder / "mutualgate.toml").write_text("\n[[["), "mutualgate.toml:2:"),
    "a foreign store": (lambda folder: (folder / "store.sqlite3").write_bytes(b"garbage" * 100), "is no store of"),
    "a damaged store": (
        lambda folder: (folder / "store.sqlite3").write_bytes(
            (folder / "store.sqlite3").read_bytes()[:4096] + b"\xff" * 40960
        ),
        "the store is damaged",
    ),
    "a missing passphrase": (lambda folder: (folder / "keys" / "passphrase").write_text("x"), "has 1 character;"),
    "an open passphrase": (lambda folder: (folder / "keys" / "passphrase").chmod(0o644), "others may read it"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_at_the_start_is_one_sentence(case: str, installed: Installation) -> None:
    harm, sentence = WRONG[case]
    harm(installed.folder.path)
    said = run(installed.folder.path, "up", "--dir", str(installed.folder.path), *quiet(free_port()))
    assert said.returncode == 2, said.stderr
    assert said.stdout == ""
    assert sentence in said.stderr
    assert len(said.stderr.splitlines()) == 1


@pytest.mark.parametrize("flag", ["--access-log", "--key-log"])
def test_a_log_that_cannot_be_written_is_the_users_mistake(flag: str, installed: Installation, tmp_path: Path) -> None:
    with up(tmp_path, "--dir", str(installed.folder.path), flag, "nodir/x") as gate:
        assert gate.ended() == 2
        said = gate.until(gate.err, "mutualgate: ")
    assert said.startswith(f"mutualgate: {tmp_path / 'nodir'}: is not there; expected a folder that exists. ")
    assert f"name another file: {flag}, or " in said
    assert "--listen" not in said


def test_a_folder_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in ("file", "file/below", "x" * 300, "/proc/nothing"):
        said = run(tmp_path, "up", "--dir", folder, *quiet(free_port()))
        assert said.returncode == 2
        assert len(said.stderr.splitlines()) == 1
        assert "cannot be created" in said.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_one_sentence(installed: Installation) -> None:
    installed.folder.run.chmod(0o500)
    said = run(installed.folder.path, "up", "--dir", str(installed.folder.path), *quiet(free_port()))
    assert said.returncode == 2
    assert "cannot be written" in said.stderr


def test_after_kill_9_it_starts_again(installed: Installation) -> None:
    folder = str(installed.folder.path)
    with up(installed.folder.path, "--dir", folder) as gate:
        gate.until(gate.out, "The gate is open")
        gate.process.kill()
        gate.ended()
        assert installed.folder.control.is_socket()
    assert run(installed.folder.path, "status", "--dir", folder).returncode == 1
    with up(installed.folder.path, "--dir", folder) as gate:
        gate.until(gate.out, "The gate is open")
        assert run(installed.folder.path, "status", "--dir", folder).returncode == 0
        gate.process.send_signal(signal.SIGTERM)
        assert gate.ended() == 0
    assert not installed.folder.control.exists()


def test_what_a_killed_process_has_half_written_is_taken_away(installed: Installation) -> None:
    drafts = [
        folder / f".{name}.0123456789abcdef"
        for folder, name in (
            (installed.folder.path, "root.pem"),
            (installed.folder.keys, "passphrase"),
            (installed.folder.clients, "first-client.p12"),
        )
    ]
    for draft in drafts:
        draft.write_bytes(b"half")
        os.utime(draft, (0, 0))
    with up(installed.folder.path.parent, "--dir", str(installed.folder.path), "--json") as gate:
        gate.until(gate.out, "\n")
        assert not any(draft.exists() for draft in drafts)
        assert installed.p12.exists()


def test_a_very_long_path_works(installed: Installation, tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100) / ("y" * 100)
    folder.parent.mkdir()
    installed.folder.path.rename(folder)
    moved = Installation(type(installed.folder)(folder), folder / "clients" / installed.p12.name, installed.password)
    with up(tmp_path, "--dir", str(folder), "--json") as gate:
        first = json.loads(gate.until(gate.out, "\n").splitlines()[0])
        port = int(first["listening"][0].rpartition(":")[2])
        assert moved.get(port, certificate=moved.pem())[0] == 200
        suspended = run(tmp_path, "client", "suspend", "first-client", "--dir", str(folder), "--json")
        assert json.loads(suspended.stdout)["in_force"] is True
        assert moved.get(port, certificate=moved.pem())[0] == 403


def test_systemd_is_told(installed: Installation, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(SECONDS)
        flags = ["--dir", str(installed.folder.path)]
        with up(tmp_path, *flags, NOTIFY_SOCKET=str(tmp_path / "notify")) as gate:
            assert listener.recv(200).startswith(b"READY=1\nSTATUS=")
            gate.process.send_signal(signal.SIGHUP)
            assert listener.recv(100).startswith(b"RELOADING=1\n")
            assert listener.recv(200).startswith(b"READY=1\nSTATUS=")
            gate.process.send_signal(signal.SIGTERM)
            assert listener.recv(100) == b"STOPPING=1"
            assert gate.ended() == 0


def test_the_access_log_is_rotated_by_sighup(installed: Installation, tmp_path: Path) -> None:
    log, old = tmp_path / "access.log", tmp_path / "access.log.1"
    with up(tmp_path, "--dir", str(installed.folder.path), "--json", "--access-log", str(log)) as gate:
        first = json.loads(gate.until(gate.out, "\n").splitlines()[0])
        port = int(first["listening"][0].rpartition(":")[2])
        installed.get(port, "/before")
        log.rename(old)
        gate.process.send_signal(signal.SIGHUP)
        gate.until(gate.err, "the configuration was read again")
        installed.get(port, "/after")
        gate.process.send_signal(signal.SIGTERM)
        assert gate.ended() == 0
    assert "/before" in old.read_text()
    assert "/after" in log.read_text()
    assert "/after" not in old.read_text()
    assert stat.S_IMODE(log.stat().st_mode) & 0o007 == 0


def test_a_second_signal_ends_it_at_once(installed: Installation) -> None:
    with up(installed.folder.path, "--dir", str(installed.folder.path), "--json") as gate:
        first = json.loads(gate.until(gate.out, "\n").splitlines()[0])
        port = int(first["listening"][0].rpartition(":")[2])
        context = ssl.create_default_context(cafile=str(installed.folder.root))
        context.load_cert_chain(installed.pem())
        with (
            socket.create_connection(("127.0.0.1", port)) as connection,
            context.wrap_socket(connection, server_hostname="localhost") as tls,
        ):
            tls.sendall(b"GET /ticks HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert tls.recv(100).startswith(b"HTTP/1.1 200")
            gate.process.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                gate.process.wait(1)
            gate.process.send_signal(signal.SIGTERM)
            assert gate.ended() == 128 + signal.SIGTERM
        gate.until(gate.err, "stopped at once")
