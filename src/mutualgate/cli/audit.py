"""`mutualgate audit`: who changed what, and whether the record is whole."""

from typing import Annotated

import typer

from mutualgate.cli.group import Group
from mutualgate.cli.options import DEFAULT_DIR, Dir, Json
from mutualgate.cli.output import NO, emit, plain, table
from mutualgate.counts import counted

app = Group("The audit log: every change, chained by hashes.")


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, newest first.")] = 50,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """List what was changed, newest first.

    Example: mutualgate audit list --limit 10
    """
    from mutualgate import audit
    from mutualgate.app import Folder, services

    with services(Folder(dir)) as all_of_it:
        entries = audit.recent(all_of_it.store, limit)
    rows = [(e.number, f"{e.at:%Y-%m-%d %H:%M:%S}", plain(e.by), e.action, plain(e.subject)) for e in entries]
    text = table(("entry", "at (UTC)", "by", "action", "subject"), rows) if rows else "Nothing was changed yet."
    found = [
        {
            "number": entry.number,
            "at": entry.at.isoformat(),
            "by": entry.by,
            "action": entry.action,
            "subject": entry.subject,
            "facts": dict(entry.facts),
            "hash": entry.hash.hex(),
        }
        for entry in entries
    ]
    emit({"entries": found}, text, json)


@app.command("verify")
def verify(dir: Dir = DEFAULT_DIR, json: Json = False) -> int:
    """Check that no entry was changed, removed or put in between. Exit status 1: one was.

    Example: mutualgate audit verify
    """
    from mutualgate import audit
    from mutualgate.app import Folder, services

    with services(Folder(dir)) as all_of_it:
        outcome = audit.verify(all_of_it.store)
    if isinstance(outcome, audit.Broken):
        facts = {"whole": False, "entry": outcome.number, "problem": outcome.problem}
        emit(facts, f"The log is broken at entry {outcome.number}: {outcome.problem}.", json)
        return NO
    entries = counted(outcome.entries, "entry", "entries")
    text = f"{entries}, none changed. Newest hash, worth noting elsewhere: {outcome.head.hex()}"
    emit({"whole": True, "entries": outcome.entries, "head": outcome.head.hex()}, text, json)
    return 0
