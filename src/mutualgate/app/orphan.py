"""A process that is not ours for ever: its parent is another one, which tells how it ended until we let it go.

What has no parent any more belongs to the service manager. systemd waits for its own children alone: a main process
that is another's it kills as soon as it has told it to end, with whatever is under way.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence

_PARENT = """
import _thread, os, signal, sys
end = int(sys.argv[1])
os.set_inheritable(end, False)
child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):
    signal.signal(one, signal.SIG_IGN)
os.write(end, b"%d" % child)
_thread.start_new_thread(lambda: (os.read(end, 1), os._exit(0)), ())
how = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
if how < 0:
    signal.signal(-how, signal.SIG_DFL) if -how != signal.SIGKILL else None
    os.kill(os.getpid(), -how)
os._exit(how)
"""
"""Ends as its child does, or when the other end of its socket is closed. What a terminal sends to all is not for it."""


class Orphan:
    """Raises `OSError` if it cannot be started."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], descriptors: Sequence[int]) -> None:
        """`words` begin with the path of the program; `descriptors` are passed on to it."""
        self._end, theirs = socket.socketpair()
        try:
            self._parent = subprocess.Popen(
                [sys.executable, "-ISc", _PARENT, str(theirs.fileno()), *words],
                env=environment,
                pass_fds=[theirs.fileno(), *descriptors],
            )
        except OSError:
            self._end.close()
            raise
        finally:
            theirs.close()
        said = self._end.recv(32)
        if not said:
            self.release()
            raise OSError(0, "no process came of it")
        self.pid = int(said)

    def wait(self, seconds: float | None = None) -> int:
        """How it ended: its status, or the number of the signal, negative. Raises `subprocess.TimeoutExpired`."""
        return self._parent.wait(seconds)

    def signal(self, number: int) -> None:
        """Sends it a signal, if it is there. Not after `release`."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            pass

    def release(self) -> None:
        """Leaves it to the service manager, or whoever else takes those that have no parent."""
        self._end.close()
        self._parent.wait()
