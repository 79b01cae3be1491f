"""What others may read or write is refused, with the command that ends it."""

import shlex
import subprocess
from pathlib import Path

import pytest

from mutualgate.errors import BadInput
from mutualgate.modes import EVERYTHING, WRITING, refuse_others


@pytest.mark.parametrize(
    ("mode", "others", "says"),
    [
        (0o644, EVERYTHING, "others may read it (mode 0644)"),
        (0o610, EVERYTHING, "others may read it (mode 0610)"),
        (0o602, EVERYTHING, "others may write it (mode 0602)"),
        (0o660, EVERYTHING, "others may write it (mode 0660)"),
        (0o620, WRITING, "others may write it (mode 0620)"),
        (0o777, WRITING, "others may write it (mode 0777)"),
        (0o600, EVERYTHING, None),
        (0o755, WRITING, None),
    ],
)
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_command_ends_it(tmp_path: Path, mode: int, others: int, says: str | None, kind: str) -> None:
    path = tmp_path / kind
    path.mkdir() if kind == "folder" else path.touch()
    path.chmod(mode)
    if says is not None:
        with pytest.raises(BadInput) as refused:
            refuse_others(path.stat(), str(path), others)
        assert refused.value.problem == says
        assert refused.value.fix is not None
        subprocess.run(shlex.split(refused.value.fix.removeprefix("Run: ")), check=True)
    refuse_others(path.stat(), str(path), others)
