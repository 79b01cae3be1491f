"""What makes a command begin and end sooner; not for `up`, which stays."""

import gc
import inspect
import os
import sys
from typing import NoReturn

from mutualgate.later import postpone

_OBJECTS = 100_000
"""Imports make about as many that stay, and with Python's 700 the collector looks through them a hundred times."""


def begin() -> None:
    """Before anything is imported."""
    gc.set_threshold(_OBJECTS)
    # SQLAlchemy looks for other databases by it; with what it imports (e-mail, zip files) it is a tenth of its time.
    postpone("importlib.metadata")
    # SQLAlchemy has a side for event loops, which no command uses; all that it takes at its import is this function.
    postpone("asyncio", iscoroutine=inspect.iscoroutine)


def end(status: int) -> NoReturn:
    """Ends the process. All files are closed by who opened them, so Python need not take every module apart."""
    threading = sys.modules.get("threading")
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(status)  # which says what is wrong with them
    if threading is None or threading.active_count() == 1:
        os._exit(status)
    sys.exit(status)
