"""The commands that are run before any is asked for: they are what they say, and say nothing."""

from pathlib import Path

import pytest

from mutualgate.cli import rehearsal, run


def test_all_of_it_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: dict[str, int] = {}

    def noted(words: list[str]) -> int:
        ended[" ".join(words[:-2])] = status = run(words)
        return status

    monkeypatch.setattr(rehearsal, "run", noted)
    rehearsal.rehearse(tmp_path / "7")
    no = {f"decide --cert {tmp_path}/7/root.pem", "status", "upstream list"}  # nobody's certificate, and no gate runs
    assert {words for words, status in ended.items() if status} == no
    assert len(ended) > 25
    ended.clear()
    steps = rehearsal.rehearse_once_more(tmp_path / "7")
    next(steps)
    assert ended == {"client show carla": 0}
    assert len(list(steps)) == 2
    assert len(ended) == 3
    assert not any(ended.values())


def test_where_nothing_can_be_made_nothing_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    rehearsal.rehearse(tmp_path / "file" / "7")
    assert capfd.readouterr() == ("", "")
