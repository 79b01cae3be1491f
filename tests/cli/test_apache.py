"""`mutualgate export apache` and `import apache`."""

from pathlib import Path

from commands import Run


def test_a_configuration_is_written_with_the_files_that_it_names(cli: Run, tmp_path: Path) -> None:
    out = tmp_path / "httpd"
    said = cli("export", "apache", "--upstream", "http://127.0.0.1:8080", "--out", out, "--json")
    assert said.code == 0, said.out
    assert str(out / "httpd.conf") in said.json["files"]
    assert all(Path(file).exists() for file in said.json["files"])
    again = cli("export", "apache", "--upstream", "http://127.0.0.1:8080", "--out", out)
    assert again.code == 2
    assert len(again.err.splitlines()) == 1


def test_an_upstream_that_is_none_is_one_sentence(cli: Run, tmp_path: Path) -> None:
    said = cli("export", "apache", "--upstream", "nonsense\x1b[31m", "--out", tmp_path / "httpd")
    assert said.code == 2
    assert "\x1b" not in said.err
    assert not (tmp_path / "httpd").exists()


def test_a_file_that_is_no_configuration_is_one_sentence(bare: Run, tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path):
        said = bare("import", "apache", path)
        assert said.code == 2, said
        assert len(said.err.splitlines()) == 1
