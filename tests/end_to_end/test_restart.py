"""`mutualgate restart` under load: nobody is turned away, no request fails, whatever becomes of the new process."""

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from end_to_end.forge import Identity
from end_to_end.gate import Answer, Gate, running_gate
from end_to_end.process import answers
from processes import alive, children

SITES = """
[[sites]]
name = "main"
hosts = ["localhost"]
routes = [{ path = "/", upstream = "demo" }, { path = "/join", upstream = "portal" }]
"""
SETTINGS = 'workers = 2\n[gate.timeouts]\ndrain = "300s"\n'


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    with running_gate(tmp_path / "gate", SITES, SETTINGS) as gate:
        try:
            yield gate
        finally:
            end(gate)


def pid_of(gate: Gate) -> int:
    return int(gate.command("status").json["pid"])


def gone(pid: int, seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(pid)


def end(gate: Gate) -> None:
    """Stops whoever is the gate by now."""
    answer = gate.command("status", check=False).json
    if answer.get("running"):
        os.kill(answer["pid"], signal.SIGTERM)
        assert gone(answer["pid"])


class Load:
    """Clients that go on asking: some with a connection for each request, some with one that they keep."""

    def __init__(self, gate: Gate, identity: Identity, fresh: int = 1, kept: int = 2) -> None:
        self.failures: list[str] = []
        self.done = 0
        self._gate = gate
        self._stop = threading.Event()
        self._contexts = [gate.context(identity) for _ in range(fresh + kept)]
        self._threads = [
            threading.Thread(target=self._ask, args=(context, place >= fresh), daemon=True)
            for place, context in enumerate(self._contexts)
        ]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _ask(self, context: ssl.SSLContext, keep: bool) -> None:
        connection = http.client.HTTPSConnection("localhost", self._gate.port, context=context, timeout=20)
        while not self._stop.is_set():
            try:
                connection.request("GET", "/hello")
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    self.failures.append(f"status {answer.status}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{'kept' if keep else 'new'}: {type(error).__name__}: {error}")
                connection.close()  # the next request opens it again
                continue
            self.done += 1
            if not keep:
                connection.close()
            self._stop.wait(0.005)
        connection.close()


@pytest.fixture
def gate_with_standby(tmp_path: Path) -> Iterator[Gate]:
    """As it is without flags."""
    with running_gate(tmp_path / "gate", SITES, SETTINGS, standby=True) as gate:
        try:
            yield gate
        finally:
            end(gate)


def test_nobody_is_turned_away_by_restarts_under_load(gate_with_standby: Gate) -> None:
    gate = gate_with_standby
    anna = gate.client("anna")
    pids = [pid_of(gate)]
    with Load(gate, anna) as load, asking_all_the_time(gate):
        for _ in range(2):
            before = load.done
            answer = gate.command("restart").json
            assert answer["pid"] == pids[-1]
            pids.append(answer["successor"])
            assert pid_of(gate) == pids[-1]
            assert gone(pids[-2]), "the old process did not end"
            while load.done < before + 20:
                time.sleep(0.02)
            assert not load.failures
    assert not load.failures
    assert load.done > 40
    assert len(set(pids)) == 3


@contextlib.contextmanager
def asking_all_the_time(gate: Gate) -> Iterator[None]:
    """Asks on the control socket, and is answered each time."""
    stop = threading.Event()

    def ask() -> int:
        times = 0
        while not stop.is_set():
            asked_for_pid(gate)
            times += 1
        return times

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        try:
            yield
        finally:
            stop.set()
        assert all(one.result() for one in asking)


def nice_values(pid: int) -> dict[str, list[int]]:
    """The nice values of a process, sorted: of its main thread, of those that carry traffic, and of all others."""
    found: dict[str, list[int]] = {"main": [], "traffic": [], "others": []}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended
            traffic = (task / "comm").read_text().startswith("mutualgate-")
            kind = "main" if task.name == str(pid) else "traffic" if traffic else "others"
            found[kind].append(os.getpriority(os.PRIO_PROCESS, int(task.name)))
    return {kind: sorted(values) for kind, values in found.items()}


def assert_gives_way(pid: int, own: int) -> None:
    found = nice_values(pid)
    assert found["traffic"] == [own] * 3  # two workers, and the writer of the access log
    assert found["main"] == [min(own + 10, 19)]
    # One keeps the priority for others; all that Python makes have that of its main thread.
    assert found["others"].count(own) == 1
    assert set(found["others"]) == {own, *found["main"]}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="nice values of threads are Linux's")
def test_python_gives_way_to_traffic_and_sinks_no_further_with_each_restart(gate: Gate) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    if own > 9:
        pytest.skip("the tests have so low a priority that there is too little below")
    anna, pid = gate.client("anna"), pid_of(gate)
    assert_gives_way(pid, own)
    for _ in range(2):
        before, pid = pid, gate.command("restart").json["successor"]
        assert gone(before)
        assert gate.get("/hello", anna).status == 200
        assert_gives_way(pid, own)
    with open(gate.folder / "mutualgate.toml", "a") as settings:
        settings.write("# changed\n")
    # The first process has ended, and all write to one log.
    deadline = time.monotonic() + 30
    os.kill(pid, signal.SIGHUP)
    while "the configuration was read again" not in gate.program.text():
        assert time.monotonic() < deadline, "the configuration was not read again"
        time.sleep(0.05)
    assert gate.get("/hello", anna).status == 200
    assert_gives_way(pid, own)


def successors(pid: int) -> list[int]:
    """Its children that are there to succeed it, not the one that stands by for commands."""
    return [one for one in sorted(children(pid)) if alive(one) and b"\0standby\0" not in _line(one)]


def _line(pid: int) -> bytes:
    with contextlib.suppress(OSError):  # it has ended meanwhile
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def test_a_new_process_that_is_killed_changes_nothing(gate: Gate) -> None:
    """Wherever it is killed on its way, the old one goes on, with commands and all."""
    anna, pid = gate.client("anna"), pid_of(gate)
    with Load(gate, anna) as load:
        # Long before it serves: it has Python to start and the store to read.
        for pause in (0.0, 0.1, 0.2):
            thread = threading.Thread(target=gate.command, args=("restart",), kwargs={"check": False})
            thread.start()
            while not (started := successors(pid)) or not (
                new := successors(started[0])
            ):  # between them who tells how it ends
                pass
            time.sleep(pause)
            os.kill(new[0], signal.SIGKILL)
            thread.join()
            assert pid_of(gate) == pid
            gate.command("client", "add", f"client-{pause}")
    assert not load.failures
    assert "was ended by signal 9 before it was ready" in gate.program.text()


@contextlib.contextmanager
def restarting(gate: Gate) -> Iterator[tuple[int, list[Answer]]]:
    """The new process, as soon as it serves and takes commands, while the old one is there; what the command says."""
    old, said = pid_of(gate), list[Answer]()
    asking = threading.Thread(target=lambda: said.append(gate.command("restart", check=False)))
    asking.start()
    try:
        while (new := asked_for_pid(gate)) == old:
            time.sleep(0.01)
        yield new, said
    finally:
        asking.join()


def asked_for_pid(gate: Gate) -> int:
    """By the control socket itself: a command takes too long to start."""
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(30)
        control.connect(str(gate.folder / "run" / "control.sock"))
        control.sendall(b'{"do": "status"}\n')
        return int(json.loads(control.makefile("rb").readline())["pid"])


def test_a_new_process_that_dies_as_soon_as_it_serves_leaves_nobody_alone(gate: Gate) -> None:
    """Nobody who connects is turned away; what the new process had accepted dies with it."""
    anna, pid = gate.client("anna"), pid_of(gate)
    with Load(gate, anna) as load:
        with restarting(gate) as (new, said):
            os.kill(new, signal.SIGKILL)
        (answer,) = said
        assert answer.code != 0
        assert "was ended by signal 9 when it had just begun to serve" in answer.out
        assert pid_of(gate) == pid
        gate.command("client", "add", "bob")  # commands are heard, and in force
        before = load.done
        while load.done < before + 20:
            time.sleep(0.02)
    assert len(load.failures) <= 3, load.failures  # one for each client, whose connection it had
    assert not [failure for failure in load.failures if "refused" in failure.lower()]
    assert gate.command("restart").json["pid"] == pid
    assert gone(pid)


def test_a_new_process_that_is_told_to_end_at_once_is_not_replaced_by_the_old_one(gate: Gate) -> None:
    old = pid_of(gate)
    with restarting(gate) as (new, _):
        os.kill(new, signal.SIGTERM)
    assert gone(new)
    assert gone(old)
    assert not answers(gate.port)


def test_a_gate_that_ends_while_it_hands_over_ends_both(gate: Gate) -> None:
    old = pid_of(gate)
    with restarting(gate) as (new, _):
        os.kill(old, signal.SIGTERM)
    assert gone(old)
    assert gone(new)
    assert not answers(gate.port)


def test_a_new_process_that_cannot_start_says_why_and_the_old_one_goes_on(gate: Gate) -> None:
    anna, pid = gate.client("anna"), pid_of(gate)
    good = (gate.folder / "mutualgate.toml").read_text()
    (gate.folder / "mutualgate.toml").write_text(good + "\nnonsense = 1\n")
    answer = gate.command("restart", check=False)
    assert answer.code != 0
    assert "the new process did not start" in answer.out
    assert "nonsense" in answer.out
    assert pid_of(gate) == pid
    assert gate.get("/hello", anna).status == 200
    # By the signal it is the same, and the log says why.
    os.kill(pid, signal.SIGUSR2)
    gate.program.wait_for(lambda: gate.program.text().count("this process goes on: the new process did not start") == 2)
    (gate.folder / "mutualgate.toml").write_text(good)
    assert gate.command("restart").json["pid"] == pid
    assert gone(pid)


@pytest.mark.parametrize("empty", [False, True])
def test_a_restart_while_the_configuration_is_away_changes_nothing(gate: Gate, empty: bool) -> None:
    """The new process makes none, by which the old one would go at once, too."""
    anna, config = gate.client("anna"), gate.folder / "mutualgate.toml"
    good = config.read_text()
    if empty:
        config.write_text("")
    else:
        config.unlink()
    answer = gate.command("restart", check=False)
    assert answer.code != 0
    assert ("the file is empty" if empty else "the file is gone") in answer.out
    assert config.exists() is empty
    assert gate.get("/hello", anna).status == 200
    config.write_text(good)
    gate.command("restart")
    assert gate.get("/hello", anna).status == 200


def test_listeners_and_workers_change_with_a_restart(gate: Gate) -> None:
    anna = gate.client("anna")
    text = (gate.folder / "mutualgate.toml").read_text()
    old_plain, old_ops = gate.plain_port, gate.ops_port
    changed = text.replace("workers = 2", "workers = 1").replace(
        f'ops_listen = ["127.0.0.1:{old_ops}"]', "ops_listen = []"
    )
    changed = changed.replace(f"127.0.0.1:{old_plain}", "127.0.0.1:0")
    (gate.folder / "mutualgate.toml").write_text(changed)
    with Load(gate, anna) as load:
        gate.command("restart")
        assert gone(gate.program.process.pid)
    assert not load.failures
    assert not answers(old_plain)
    assert not answers(old_ops)
    # And to more workers than there are sockets.
    (gate.folder / "mutualgate.toml").write_text(text.replace("workers = 2", "workers = 4"))
    with Load(gate, anna) as load:
        gate.command("restart")
    assert not load.failures
    assert answers(old_plain)
    assert answers(old_ops)


def test_what_is_revoked_is_cut_off_in_the_process_that_ends_as_well(gate: Gate) -> None:
    """What began before the restart goes on in the old process; a command speaks to the new one."""
    anna, bob = gate.client("anna"), gate.client("bob")
    old = pid_of(gate)
    with ticking(gate, anna) as of_anna, ticking(gate, bob) as of_bob:
        gate.command("restart")
        assert alive(old)
        assert gate.command("client", "revoke", "anna").json["in_force"]
        assert ends(of_anna), "the revoked client's request goes on"
        assert b"tick" in of_bob.recv(4096)
        assert alive(old)
    assert gone(old)


@contextlib.contextmanager
def ticking(gate: Gate, identity: Identity) -> Iterator[ssl.SSLSocket]:
    """An answer that does not end."""
    with socket.create_connection(("127.0.0.1", gate.port), 10) as tcp:
        with gate.context(identity).wrap_socket(tcp, server_hostname="localhost") as tls:
            tls.sendall(b"GET /ticks HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200 OK" in tls.recv(4096)
            yield tls


def ends(tls: ssl.SSLSocket) -> bool:
    """Whether it is cut, after what has been sent before that."""
    try:
        return any(tls.recv(4096) == b"" for _ in range(45))
    except (ssl.SSLEOFError, ConnectionError):
        return True


def test_a_long_path_of_the_folder_does(tmp_path: Path) -> None:
    """Where the sockets of the gate's own services lie elsewhere, the new process finds them there."""
    folder = tmp_path / ("long" * 25)
    with running_gate(folder, SITES) as gate:
        anna = gate.client("anna")
        for _ in range(2):
            old = gate.command("restart").json["pid"]
            assert gone(old)
            assert gate.get("/hello", anna).status == 200
        end(gate)


def test_one_stop_after_a_restart_is_enough(gate: Gate) -> None:
    gate.command("restart")
    assert gone(gate.program.process.pid)
    assert Path(f"/proc/{pid_of(gate)}/comm").read_text().strip() == "mutualgate"  # what pkill and ps find
    end(gate)
    assert not (gate.folder / "run" / "control.sock").exists()
    assert not answers(gate.port)
    assert gate.command("status", check=False).code == 1
