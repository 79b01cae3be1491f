"""`mutualgate expiring`: what ends soon, and has nothing that takes its place."""

from datetime import datetime, timedelta
from typing import Annotated

import typer

from mutualgate.cli.moments import span
from mutualgate.cli.options import DEFAULT_DIR, Dir, Json, choice
from mutualgate.cli.output import emit, plain, table


def expiring(
    within: Annotated[str, typer.Option(help="How far ahead: a number and d, h or m.")] = "30d",
    kind: Annotated[
        str | None,
        typer.Option(
            help="Only these: credential, pin, partner-certificate, partner-ca, site, authority, list, partner-list or "
            "invitation."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 100,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """List what ends soon, or did in the last week, and has no successor: the next to end first.

    Example: mutualgate expiring --within 30d
    """
    from mutualgate.app import Folder, control, services
    from mutualgate.model.expiring import ExpiryKind
    from mutualgate.notices.expiry import MOST_LISTED, WORDS

    ahead = span(within, "--within") or timedelta(0)
    wanted = None if kind is None else choice(ExpiryKind, kind, "--kind")
    folder = Folder(dir)
    folder.require()
    answer = control.ask(folder, "running")
    sites = {} if answer is None else answer["certificates"]
    with services(folder) as all_of_it:
        all_of_it.site_ends = lambda: {name: datetime.fromisoformat(end) for name, end in sites.items()}
        ending = all_of_it.expiry.ending(ahead, wanted, limit)
        now = all_of_it.clock()
        facts = [all_of_it.expiry.as_dict(one, now) for one in ending.found]
    rows = [
        (
            f"{one.ends:%Y-%m-%d %H:%M}",
            _left(one.ends - now),
            WORDS[one.kind],
            plain(one.name),
            plain(one.detail),
            what["command"],
        )
        for one, what in zip(ending.found, facts, strict=True)
    ]
    titles = ("ends (UTC)", "in", "what", "whose", "", "what to type")
    text = table(titles, rows) if rows else f"Nothing ends within {within}."
    if ending.more:
        text += f"\nThere are more than these: --limit {MOST_LISTED}"
    if answer is None:
        text += "\nNo gate runs here: the certificates of its sites are not among these."
    emit({"expiring": facts, "more": ending.more, "sites_included": answer is not None}, text, json)


def _left(left: timedelta) -> str:
    if left <= timedelta(0):
        return "ended"
    return f"{left.days} d" if left.days else f"{left // timedelta(hours=1)} h"
