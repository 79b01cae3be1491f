"""`mutualgate upstream`: the servers behind the running gate."""

from mutualgate.cli.group import Group
from mutualgate.cli.options import DEFAULT_DIR, Dir, Json
from mutualgate.cli.output import emit, plain, table
from mutualgate.errors import Unavailable

app = Group("Look at the servers behind the gate.")

_COLUMNS = ("requests", "failures", "retries", "ejections")


@app.command("list")
def list_(dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """List the servers behind the running gate: whether they are used, and what came of it since its start.

    Example: mutualgate upstream list
    """
    from mutualgate.app import Folder, control

    folder = Folder(dir)
    folder.require()
    answer = control.ask(folder, "upstreams")
    if answer is None:
        raise Unavailable("no gate runs here", where=str(folder.path), fix="Start it: mutualgate up")
    rows = [
        (plain(one["upstream"]), plain(one["server"]), plain(one["address"]), one["state"],
         *(str(one[column]) for column in _COLUMNS))
        for one in answer["servers"]
    ]  # fmt: skip
    emit(answer, table(("upstream", "server", "address", "state", *_COLUMNS), rows), json)
