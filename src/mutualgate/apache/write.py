"""Puts exported files into a folder: keys for their owner only, scripts executable, nothing overwritten unasked."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from mutualgate.errors import BadInput, Conflict

MODULE_FOLDERS = (
    "/usr/lib/apache2/modules",
    "/usr/lib64/httpd/modules",
    "/usr/lib/httpd/modules",
    "/etc/httpd/modules",
)
PROGRAMS = ("apache2", "httpd")


def write(files: Mapping[PurePosixPath, bytes], out: Path, *, force: bool = False) -> list[Path]:
    """Writes `files` below `out`, and the folders in which httpd keeps its process id and logs; returns what it wrote.

    Raises Conflict when there is something in `out` already and `force` is not set, BadInput when it cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise BadInput("this is a file", where=str(out), expected="a folder, or nothing yet")
    if not force and out.is_dir() and any(out.iterdir()):
        raise Conflict("the folder is not empty", where=str(out), fix="Choose another one, or say --force.")
    written = []
    try:
        for folder in ("run", "logs"):
            (out / folder).mkdir(parents=True, exist_ok=True)
        for relative, content in files.items():
            path = out / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, content, _mode(relative))
            written.append(path)
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", where=str(error.filename or out)) from error
    return written


def installed() -> tuple[str, str]:
    """The httpd program and the modules folder of this machine; Debian's when none is installed."""
    program = next((name for name in PROGRAMS if shutil.which(name)), PROGRAMS[0])
    folder = next((name for name in MODULE_FOLDERS if os.path.isdir(name)), MODULE_FOLDERS[0])
    return program, folder


def _mode(relative: PurePosixPath) -> int:
    if relative.suffix == ".key":
        return 0o600
    return 0o755 if relative.name == "refresh-crls" else 0o644


def _replace(path: Path, content: bytes, mode: int) -> None:
    """A new file under the old name: a key is never readable for others in between, a reader never sees a half."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
    os.replace(draft, path)
