"""`mutualgate systemd-unit`: what it prints is what systemd takes."""

import shutil
import subprocess
from pathlib import Path

import pytest
from commands import Run

from mutualgate.cli.systemd import standby_unit, units

ANALYZE = shutil.which("systemd-analyze")


def files(folder: Path, text: str) -> list[Path]:
    service, _, socket = text.partition("\n# /etc/systemd/system/mutualgate.socket")
    (folder / "mutualgate.service").write_text(service)
    if socket:
        (folder / "mutualgate.socket").write_text(f"#{socket}")
    return sorted(folder.glob("mutualgate.*"))


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("sockets", [[], ["443", "[::1]:8443"]])
@pytest.mark.parametrize(
    "where", ["/var/lib/mutualgate", "/srv/a gate", "/var/lib/a gate", '/srv/100% $HOME\'s "a\\b"']
)
def test_systemd_has_nothing_against_it(tmp_path: Path, sockets: list[str], where: str) -> None:
    found = files(tmp_path, units(Path(where), "daemon", sockets))
    assert len(found) == (2 if sockets else 1)
    said = subprocess.run([str(ANALYZE), "verify", *map(str, found)], capture_output=True, text=True)
    about = [line for line in said.stderr.splitlines() if "mutualgate" in line and "is not executable" not in line]
    assert about == []


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
def test_systemd_has_nothing_against_commands_at_hand(tmp_path: Path) -> None:
    gate, standby = tmp_path / "mutualgate.service", tmp_path / "mutualgate-standby.service"
    gate.write_text(units(Path("/var/lib/mutualgate"), "daemon", []))
    standby.write_text(standby_unit(Path("/var/lib/mutualgate"), "daemon"))
    said = subprocess.run([str(ANALYZE), "verify", str(gate), str(standby)], capture_output=True, text=True)
    about = [line for line in said.stderr.splitlines() if "mutualgate" in line and "is not executable" not in line]
    assert about == []
    assert "up --no-standby" in gate.read_text()


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("sockets", [[], ["443"]])
def test_it_leaves_little_to_attack(tmp_path: Path, sockets: list[str]) -> None:
    service = next(one for one in files(tmp_path, units(Path("/var/lib/mutualgate"), "mutualgate", sockets)))
    said = subprocess.run(
        [str(ANALYZE), "security", "--offline=true", "--no-pager", str(service)], capture_output=True, text=True
    )
    if "Overall exposure level" not in said.stdout:
        pytest.skip(f"systemd-analyze cannot say: {said.stderr[:200]}")
    level = float(said.stdout.rpartition("Overall exposure level for mutualgate.service:")[2].split()[0])
    assert level <= 2.0


def test_low_ports_need_no_root() -> None:
    alone, with_socket = units(Path("/srv/gate"), "gate", []), units(Path("/srv/gate"), "gate", ["443"])
    assert "User=gate\n" in alone
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE\n" in alone
    assert "AmbientCapabilities" not in with_socket
    assert "FileDescriptorName=tls\n" in with_socket
    assert "ListenStream=443\n" in with_socket
    assert "ReadWritePaths=/srv/gate\n" in alone


def test_a_path_is_one_word_whatever_it_holds() -> None:
    text = units(Path('/srv/100% $HOME\'s "a\\b"'), "gate", [])
    assert "ExecStart=" in text
    assert r''' --dir "/srv/100%% $$HOME's \"a\\b\""''' in text
    assert r'''ReadWritePaths="/srv/100%% $HOME's \"a\\b\""''' in text
    assert "StateDirectory" not in units(Path("/var/lib/a gate"), "gate", [])


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--user", "gate\nExecStartPre=/bin/evil"), "--user: 'gate\\\\nExecStartPre=/bin/evil' is no name of a user"),
        (("--user", ""), "is no name of a user"),
        (("--user", "-gate"), "is no name of a user"),
        (("--user", "a b"), "is no name of a user"),
        (("--user", "x" * 300), "is no name of a user"),
        (("--user", "%n"), "is no name of a user"),
        (("--socket", "443\nExecStart=/bin/evil"), "is nothing to listen at"),
        (("--socket", "0"), "is nothing to listen at"),
        (("--socket", "65536"), "is nothing to listen at"),
        (("--socket", "gate.example:443"), "is nothing to listen at"),
        (("--socket", ""), "is nothing to listen at"),
        (("--socket", "[fe80::1%a b]:443"), "is nothing to listen at"),
        (("--dir", "/srv/a\nb"), "has a character that no unit can say"),
    ],
)
def test_what_would_break_a_unit_is_refused(words: tuple[str, ...], problem: str, bare: Run) -> None:
    said = bare("systemd-unit", *words)
    assert (said.code, said.out) == (2, "")
    assert problem.replace("\\\\", "\\") in said.err


def test_a_zone_is_no_specifier(bare: Run) -> None:
    assert "ListenStream=[fe80::1%%eth0]:443\n" in bare("systemd-unit", "--socket", "[fe80::1%eth0]:443").out
    said = bare("systemd-unit", "--dir", "/srv/../opt/gate", "--user", "1001")
    assert "--dir /opt/gate\n" in said.out
    assert "User=1001\n" in said.out
