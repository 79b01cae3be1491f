"""The control plane gives way to the threads that carry traffic, where both want the same core.

A reload, a change of trust or the start of a successor needs Python for tens or hundreds of milliseconds, and nobody
waits for it as clients wait for their answers. Linux has a nice value for each thread, which it inherits from the one
that makes it, and without privileges it can only sink. So `give_way`, before anything else, makes a thread that keeps
the priority which the process was started with, and lowers that of the main one, which makes all others. What is to
have the first priority is made by the thread that kept it (`undiminished`).
"""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")

NICE = 10
"""A tenth of a core that is wanted by a worker all the time: less than what is to spare where traffic takes 80 %."""

_keeper: "ThreadPoolExecutor | None" = None


def give_way() -> None:
    """Lowers the priority of this thread, and of all that it starts from now on. For the main thread, once."""
    global _keeper
    if sys.platform != "linux":  # elsewhere the value is that of the whole process
        return
    from concurrent.futures import ThreadPoolExecutor

    _keeper = ThreadPoolExecutor(1, thread_name_prefix="priority")
    _keeper.submit(int).result()  # the thread begins with the first that it is given
    own = os.getpriority(os.PRIO_PROCESS, 0)  # 0: of this thread
    try:
        os.setpriority(os.PRIO_PROCESS, 0, min(own + NICE, 19))
    except OSError:
        pass  # a sandbox that forbids it: all go on as equals


def undiminished(do: Callable[[], T]) -> T:
    """Does `do` with the priority that the process was started with, so that a thread or process it starts has that."""
    return do() if _keeper is None else _keeper.submit(do).result()
