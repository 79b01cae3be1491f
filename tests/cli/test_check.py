"""`mutualgate check`."""

from pathlib import Path

import pytest
from commands import Run
from installation import CONFIG, Installation


def test_a_file_that_is_right(cli: Run) -> None:
    said = cli("check")
    assert (said.code, said.err) == (0, "")
    assert said.out.endswith("mutualgate.toml is right: 1 site, 1 route.\n")
    assert cli("check", "--json").json == {"valid": True, "problems": [], "sites": ["main"], "routes": 1}


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
