"""The reference page and the first file say what the table says."""

from pathlib import Path

import pytest

from mutualgate.config import Address, default_file, load, parse, problems, reference
from mutualgate.config.settings import tables

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def test_the_committed_page_is_what_the_table_says() -> None:
    expected = reference()
    command = (
        "python -c \"from mutualgate.config import reference; print(reference(), end='')\" > docs/reference/settings.md"
    )
    assert PAGE.read_text(encoding="utf-8") == expected, f"generate it again: {command}"


def test_every_setting_is_on_the_page() -> None:
    page = reference()
    for table in tables():
        section = page.partition(f"## `{table.heading}`\n")[2].partition("\n## ")[0]
        for setting in table.settings:
            assert f"| `{setting.key}` |" in section


def test_the_first_file_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "mutualgate.toml"
    file.write_text(default_file())
    assert problems(file) == []
    assert load(file) == load(tmp_path / "absent.toml")


@pytest.mark.parametrize("listen", ["[::1]:9443", ["127.0.0.1:1", "127.0.0.1:2"]])
def test_the_first_file_holds_what_it_was_asked_for(listen: str | list[str]) -> None:
    config = parse(default_file(["gate.example", "192.0.2.1"], "http://127.0.0.1:8080", listen))
    assert config.sites[0].hosts == ("gate.example", "192.0.2.1")
    assert str(config.destinations[0]) == "http://127.0.0.1:8080"
    texts = [listen] if isinstance(listen, str) else listen
    assert [str(address) for address in config.gate.listen] == texts
    assert all(isinstance(address, Address) for address in config.gate.listen)


def test_what_the_first_file_comments_out_can_be_put_back_in() -> None:
    settings = {setting.key for table in tables() for setting in table.settings}
    lines = []
    # What only goes without another setting of the file.
    alternatives = {"strip_prefix", "redirect", "redirect_status", "redirect_keep_path", "jwt_audience"}
    for line in default_file().splitlines():
        key = line.removeprefix("# ").partition(" = ")[0]
        lines.append(line.removeprefix("# ") if key in settings - alternatives else line)
    config = parse("\n".join(lines).replace('client_certificate = "optional"', 'client_certificate = "required"'))
    assert config.sites[0].certificate is not None
