"""`mutualgate explain`: who was refused lately, and what is behind the id on a refusal page."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mutualgate.cli.options import DEFAULT_DIR, Dir, Json
from mutualgate.cli.output import emit, plain, table
from mutualgate.errors import BadInput, NotFound

if TYPE_CHECKING:
    from mutualgate.model import RefusalRecord


def explain(
    refusal: Annotated[
        str | None, typer.Argument(help="The id on the page; without it, the latest are listed.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Only refusals for this reason.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Explain a refusal by the id that the refused person was shown, or list the latest.

    Examples:
    mutualgate explain 7K3M9QW2XT5B8N4C
    mutualgate explain --reason expired
    """
    from mutualgate.app import Folder, services

    if reason is not None:
        _known(reason)
    with services(Folder(dir)) as all_of_it:
        found = all_of_it.refusals.recent(reason=reason, limit=limit) if refusal is None else None
        one = None if refusal is None else all_of_it.refusals.find(refusal)
    if found is not None:
        rows = [(r.id, f"{r.at:%Y-%m-%d %H:%M:%S}", r.reason, plain(r.peer), plain(r.subject)) for r in found]
        text = table(("refusal", "at (UTC)", "reason", "peer", "subject"), rows) if rows else "No refusal is known."
        emit({"refusals": [_as_dict(record) for record in found]}, text, json)
        return
    if one is None:
        raise NotFound(
            f"no refusal {plain(refusal)[:40]!r} is known",
            fix="The latest are listed by: mutualgate explain",
            code="no_such_refusal",
        )
    emit(_as_dict(one), _story(one), json)


def _known(reason: str) -> None:
    from mutualgate.gate import reasons

    codes = [code for code, _, _ in reasons()]
    if reason not in codes:
        raise BadInput(f"{plain(reason)!r} is no reason", where="--reason", expected=f"one of {', '.join(codes)}")


def _story(record: "RefusalRecord") -> str:
    from mutualgate.gate import reasons

    meaning, fix = next(((m, f) for code, m, f in reasons() if code == record.reason), ("", ""))
    rows = [
        ("refusal", record.id),
        ("at", f"{record.at:%Y-%m-%d %H:%M:%S} UTC"),
        ("reason", f"{record.reason}: {meaning}"),
        ("detail", plain(record.detail)),
        ("what to do", fix),
        ("asked for", plain(f"{record.site} {record.path}")),
        ("from", plain(record.peer)),
        ("subject", plain(record.subject)),
        ("SHA-256", record.fingerprint.hex() if record.fingerprint else ""),
        ("client", "" if record.client is None else record.client),
    ]
    return table(("", ""), [row for row in rows if row[1] != ""]).lstrip("\n")


def _as_dict(record: "RefusalRecord") -> dict[str, Any]:
    return {
        "id": record.id,
        "at": record.at.isoformat(),
        "reason": record.reason,
        "detail": record.detail,
        "site": record.site,
        "path": record.path,
        "peer": record.peer,
        "subject": record.subject,
        "fingerprint": record.fingerprint.hex() if record.fingerprint else None,
        "client": record.client,
    }
