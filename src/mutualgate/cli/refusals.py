"""`mutualgate explain`: who was refused lately, what is behind the id on a refusal page, and what a certificate is."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mutualgate.cli.files import read_erasable
from mutualgate.cli.options import DEFAULT_DIR, Dir, Json, goes_with
from mutualgate.cli.output import emit, plain, table
from mutualgate.errors import BadInput, NotFound

if TYPE_CHECKING:
    from mutualgate.app import Services
    from mutualgate.app.remedies import Remedy
    from mutualgate.model.refusal import RefusalRecord
    from mutualgate.reading.explain import Described, Explanation


def explain(
    refusal: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID|FILE]",
            help="The id on the page, or a file with a certificate; without it, the latest refusals are listed.",
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="A file with a certificate, whatever its name; `-` for stdin.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Only refusals for this reason.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Explain a refusal by the id that the refused person was shown, or list the latest; or say what a certificate is.

    A file may be PEM, DER, PKCS#7, or a .p12 without key and password. It is not kept.

    Examples:
    mutualgate explain 7K3M9QW2XT5B8N4C
    mutualgate explain --reason expired
    mutualgate explain partner.pem
    """
    from mutualgate.app import Folder, services

    if file is None and refusal is not None and _is_file(refusal):
        file, refusal = Path(refusal), None
    goes_with("the list, without a refusal or a file", file is None and refusal is None, "--reason", "--limit")
    if file is not None:
        if refusal is not None:
            raise typer.BadParameter("give either a file or a refusal")
        _explain_file(file, json)
        return

    from mutualgate.app.remedies import remedy

    if reason is not None:
        _known(reason)
    with services(Folder(dir)) as all_of_it:
        found = all_of_it.refusals.recent(reason=reason, limit=limit) if refusal is None else None
        one = None if refusal is None else all_of_it.refusals.find(refusal)
        can = None if one is None else remedy(all_of_it.store, one)
        more = _unlisted(all_of_it)
    if found is not None:
        rows = [(r.id, f"{r.at:%Y-%m-%d %H:%M:%S}", r.reason, plain(r.peer), plain(r.subject)) for r in found]
        text = table(("refusal", "at (UTC)", "reason", "peer", "subject"), rows) if rows else "No refusal is known."
        text += f"\n{plain(more)}" if more else ""
        emit({"refusals": [_as_dict(record) for record in found], "unlisted": more}, text, json)
        return
    if one is None or can is None:
        raise NotFound(
            f"no refusal {plain(refusal)[:40]!r} is known",
            fix=f"The latest are listed by: mutualgate explain{f'. {more}' if more else ''}",
            code="no_such_refusal",
        )
    emit({**_as_dict(one), **_remedy_dict(can)}, _story(one, can), json)


def _unlisted(services: "Services") -> str | None:
    """Nothing where mutualgate.toml cannot be read: what is known is told all the same."""
    from mutualgate.app.refusals import unlisted

    try:
        return unlisted(services.config)
    except BadInput:
        return None


def _is_file(text: str) -> bool:
    """Whether the word names a file and no refusal: an id is 16 letters and digits, a path has a dot or a slash.

    A file with the name of an id is reached by `./NAME` or --file.
    """
    if re.fullmatch(r"[0-9A-Za-z]{16}", text):
        return False
    if "/" in text or "." in text or text == "-":
        return True
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # too long, or with a NUL in it
        return False


def _explain_file(file: Path, json: bool) -> None:
    from mutualgate.clock import system_clock
    from mutualgate.reading.containers import MAX_UPLOAD_BYTES
    from mutualgate.reading.explain import explain as explain_upload

    found = explain_upload(read_erasable(file, MAX_UPLOAD_BYTES), str(file), now=system_clock())
    lines = [f"{plain(file)}: {plain(found.headline)}", plain(found.works), ""]
    described = found.certificate
    if described is not None:
        facts = [
            ("subject", described.subject),
            ("issuer", described.issuer),
            ("names", ", ".join(described.names)),
            ("valid", f"{described.not_before:%Y-%m-%d} to {described.not_after:%Y-%m-%d}"),
            ("SHA-256", described.fingerprint),
            ("key SHA-256", described.spki),
        ]
        lines += [table(("", ""), [row for row in facts if row[1]]).lstrip("\n"), ""]
    if found.findings:
        lines += [f"  {_MARKS[one.effect]} {plain(one.whom)}: {plain(one.sentence)}" for one in found.findings]
        lines.append("")
    lines.append("Ways in:")
    lines += [f"  {_WAYS[one.way]}: {'' if one.open else 'not open. '}{plain(one.sentence)}" for one in found.ways]
    emit(_explanation_dict(found), "\n".join(lines), json)


_MARKS = {"fine": "+", "note": "*", "fails": "-"}
_WAYS = {"pin": "this certificate, pinned", "partner": "a partner's CA", "ours": "a certificate of ours"}


def _explanation_dict(found: "Explanation") -> dict[str, Any]:
    return {
        "form": found.form,
        "headline": found.headline,
        "works": found.works,
        "certificate": None if found.certificate is None else _described_dict(found.certificate),
        "chain": [_described_dict(one) for one in found.chain],
        "findings": [
            {"code": one.code, "effect": str(one.effect), "whom": one.whom, "sentence": one.sentence}
            for one in found.findings
        ],
        "ways": [{"way": str(one.way), "open": one.open, "sentence": one.sentence} for one in found.ways],
    }


def _described_dict(one: "Described") -> dict[str, Any]:
    return {
        "subject": one.subject,
        "issuer": one.issuer,
        "names": list(one.names),
        "serial": one.serial,
        "not_before": one.not_before.isoformat(),
        "not_after": one.not_after.isoformat(),
        "key": one.key,
        "fingerprint": one.fingerprint,
        "spki": one.spki,
        "headline": one.headline,
    }


def _known(reason: str) -> None:
    from mutualgate.gate import reasons

    codes = [code for code, _, _ in reasons()]
    if reason not in codes:
        raise BadInput(f"{plain(reason)!r} is no reason", where="--reason", expected=f"one of {', '.join(codes)}")


def _story(record: "RefusalRecord", can: "Remedy") -> str:
    from mutualgate.gate import reasons

    meaning, fix = next(((m, f) for code, m, f in reasons() if code == record.reason), ("", ""))
    rows = [
        ("refusal", record.id),
        ("at", f"{record.at:%Y-%m-%d %H:%M:%S} UTC"),
        ("reason", f"{record.reason}: {meaning}"),
        ("detail", plain(record.detail)),
        ("it was told", fix),
        ("asked for", plain(f"{record.site} {record.path}")),
        ("from", plain(record.peer)),
        ("subject", plain(record.subject)),
        ("SHA-256", record.fingerprint.hex() if record.fingerprint else ""),
        ("client", plain(can.client)),
        ("signed by", "" if can.ca is None else f"CA {can.ca} of the partner {plain(can.partner)}"),
        ("mostly", can.cause.replace("`", "")),
        ("today", plain(can.today)),
        ("you can", plain(can.sentence)),
    ]
    return table(("", ""), [row for row in rows if row[1] != ""]).lstrip("\n")


def _remedy_dict(can: "Remedy") -> dict[str, Any]:
    return {
        "client_name": can.client or None,
        "partner": can.partner or None,
        "ca": can.ca,
        "today": can.today or None,
        "remedy": can.sentence,
    }


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
