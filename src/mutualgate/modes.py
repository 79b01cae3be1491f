"""Who besides its owner may read or write a file."""

import os
import shlex
import stat

from mutualgate.errors import BadInput

EVERYTHING = 0o077
WRITING = 0o022
"""Whoever may write a folder can put another file in the place of one in it."""


def refuse_others(status: os.stat_result, where: str, others: int = EVERYTHING, fix: str | None = None) -> None:
    """BadInput, with the command to type, when the mode lets somebody else in: by any of the bits in `others`.

    `fix` is for where that command is not the way.
    """
    mode = stat.S_IMODE(status.st_mode)
    if not mode & others:
        return
    if others == WRITING:
        change = "go-w"
    else:
        change = "0700" if stat.S_ISDIR(status.st_mode) else "0600"
    raise BadInput(
        f"others may {'write' if mode & others & WRITING else 'read'} it (mode {mode:04o})",
        where=where,
        expected=f"mode {change}" if change.isdecimal() else "a mode by which only its owner writes it",
        fix=fix or f"Run: chmod {change} {shlex.quote(where)}",
        code="others_may_read",
    )
