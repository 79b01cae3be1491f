"""`mutualgate check`."""

from pathlib import Path

import pki
import pytest
from commands import Run
from installation import CONFIG, Installation


def test_a_file_that_is_right(cli: Run) -> None:
    said = cli("check")
    assert (said.code, said.err) == (0, "")
    assert said.out.endswith("mutualgate.toml is right: 1 site, 1 route.\n")
    assert cli("check", "--json").json == {
        "valid": True,
        "problems": [],
        "warnings": [],
        "sites": ["main"],
        "routes": 1,
    }


def test_every_problem_with_its_place(cli: Run, tmp_path: Path) -> None:
    file = tmp_path / "new.toml"
    file.write_text(CONFIG.replace("hosts", "hots").replace("listen = [", "listn = [", 1))
    said = cli("check", file)
    assert said.code == 1
    assert all(line.startswith(f"{file}:") for line in said.out.splitlines())
    found = cli("check", file, "--json").json
    assert found["valid"] is False
    assert {problem["nearest"] for problem in found["problems"]} >= {"hosts"}
    assert all(problem["line"] and problem["column"] for problem in found["problems"])


def test_a_client_that_nobody_knows_is_a_problem(cli: Run, installed: Installation) -> None:
    text = CONFIG.replace('upstream = "demo"', 'upstream = "demo", clients = ["first-client", "nobody"]')
    installed.config.write_text(text)
    (problem,) = cli("check", "--json").json["problems"]
    assert "nobody" in problem["problem"]
    assert problem["line"] == 10


def test_a_log_that_cannot_be_written_is_a_problem(cli: Run, installed: Installation) -> None:
    installed.config.write_text(CONFIG.replace('access_log = ""', 'access_log = "nodir/access.log"'))
    said = cli("check")
    assert said.code == 1
    assert "mutualgate.toml:5:14: gate.access_log: " in said.out
    assert "nodir: is not there" in said.out


@pytest.mark.parametrize("days", [-2, 9.5])
def test_a_certificate_that_ended_is_a_problem_and_one_that_ends_soon_a_warning(
    cli: Run, installed: Installation, days: float
) -> None:
    made = pki.leaf(None, "site", sans=["localhost", "127.0.0.1"], eku=None, now=pki.real_now(), days=days)
    (installed.folder.path / "site.pem").write_bytes(made.pem)
    (installed.folder.path / "site.key").write_bytes(made.key_pem)
    installed.config.write_text(f'{CONFIG}certificate = "site.pem"\nkey = "site.key"\n')
    said = cli("check")
    line = f"{installed.config}:11:15: sites[0].certificate: "
    if days < 0:
        assert said.code == 1
        assert said.out.startswith(line)
        assert "site.pem: ended on " in said.out
    else:
        assert said.code == 0
        right, warning = said.out.splitlines()
        assert right.endswith("is right: 1 site, 1 route.")
        assert warning.startswith(f"warning: {line}")
        assert cli("check", "--json").json["warnings"][0]["line"] == 11


@pytest.mark.parametrize("name", ["nowhere.toml", "x" * 300])
def test_a_file_that_is_not_there(cli: Run, tmp_path: Path, name: str) -> None:
    said = cli("check", tmp_path / name)
    assert said.code == 2
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize("content", [b"\x00" * 100, b"\xff\xfe", b"x" * (2 << 20)])
def test_a_file_that_is_no_text_or_too_large(cli: Run, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.toml").write_bytes(content)
    said = cli("check", tmp_path / "bad.toml")
    assert said.code == 1
    assert "bad.toml" in said.out


def test_a_folder_is_no_file(cli: Run, tmp_path: Path) -> None:
    said = cli("check", tmp_path)
    assert said.code == 1
    assert "is not a file" in said.out
