"""`mutualgate status`: what runs, and since when."""

from mutualgate.cli.options import DEFAULT_DIR, Dir, Json
from mutualgate.cli.output import NO, emit, table


def status(dir: Dir = DEFAULT_DIR, json: Json = False) -> int:
    """Show the running gate: where it listens, its epoch, what it served and refused. Exit status 1: none runs.

    Example: mutualgate status --json
    """
    from mutualgate.app import Folder, control

    folder = Folder(dir)
    folder.require()
    answer = control.ask(folder, "status")
    if answer is None:
        emit({"running": False}, f"No gate runs on {dir}. Start one: mutualgate up --dir {dir}", json)
        return NO
    rows = [
        ("process", answer["pid"]),
        ("since", answer["started"]),
        ("listening", ", ".join(answer["listening"])),
        ("sites", ", ".join(answer["sites"])),
        ("epoch", answer["epoch"]),
        ("configuration", answer["configuration_problem"] or f"{answer['configuration']} is in force"),
    ]
    rows += [(f"certificate of {site}", f"until {until}") for site, until in answer["certificates"].items()]
    rows += [(name, value) for name, value in answer["counters"].items() if isinstance(value, int)]
    emit({"running": True, **answer}, table(("", ""), rows).lstrip("\n"), json)
    return 0
