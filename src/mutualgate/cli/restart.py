"""`mutualgate restart`: has a new process take over from the running one."""

from mutualgate.cli.options import DEFAULT_DIR, Dir, Json
from mutualgate.cli.output import NO, emit, plain

# The new process reads the store first, and is given its time for that.
_PATIENCE_SECONDS = 400.0


def restart(dir: Dir = DEFAULT_DIR, json: Json = False) -> int:
    """Start the gate again, as it lies on the disk now, without turning anybody away. Exit status 1: none runs.

    A new process starts with the same flags, reads everything anew (also listeners and workers), and takes over the
    listening sockets; the old one ends what is under way. If the new one does not come to serve, the old one goes on,
    and this command says why.

    Example: mutualgate restart
    """
    from mutualgate.app import Folder, control

    folder = Folder(dir)
    folder.require()
    answer = control.ask(folder, "restart", _PATIENCE_SECONDS, again=False)  # once is enough
    if answer is None:
        emit({"running": False}, f"No gate runs on {plain(dir)}. Start one: mutualgate up --dir {plain(dir)}", json)
        return NO
    emit(answer, f"Process {answer['successor']} serves now; process {answer['pid']} ends what is under way.", json)
    return 0
