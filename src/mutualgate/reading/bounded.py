"""A file that somebody named, read within bounds. Imports nothing that a command would wait for."""

from pathlib import Path

from mutualgate.errors import BadInput

MAX_FILE_BYTES = 64 * 1024
"""A certificate, a key or a CSR has 1 to 8 KiB; more than this is something else."""


def read_file(path: Path, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """The bytes of `path`. Raises `BadInput` where it cannot be read or has more than `max_bytes`."""
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", where=str(path), expected="a file") from error
    if len(data) > max_bytes:
        raise too_large(path, max_bytes)
    return data


def too_large(path: Path, max_bytes: int) -> BadInput:
    """What to raise for more."""
    return BadInput("is too large", where=str(path), expected=f"at most {max_bytes:,} bytes")
