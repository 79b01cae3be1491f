"""`mutualgate trust`: what a change would do before it is made, and the way back; `approve`: in, from a refusal."""

import contextlib
import io
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mutualgate.cli.group import Group
from mutualgate.cli.options import DEFAULT_DIR, Dir, Json, goes_with, number
from mutualgate.cli.output import SHOWN, emit, named, plain, table
from mutualgate.cli.waiting import progress
from mutualgate.counts import counted
from mutualgate.errors import BadInput

if TYPE_CHECKING:
    from mutualgate.app import Services
    from mutualgate.app.approving import Candidate
    from mutualgate.app.trial import Tried
    from mutualgate.model.trust import TrustChange

app = Group("Changes of trust: try one before it is made, take one back.")

TRIED: dict[str, set[str]] = {
    "pin": {"add", "retire", "renew"},
    "partner": {"suspend", "resume", "remove", "admits", "ca", "name", "intermediate", "member", "roles"},
    "ca": {"admits"},
    "client": {"suspend", "resume", "remove", "revoke", "roles"},
}
"""Commands that change who comes in, and write no file."""


@app.command("try", context_settings={"ignore_unknown_options": True})
def try_(
    words: Annotated[
        list[str],
        typer.Argument(help="The change, as its command says it: pin retire 12.", metavar="CHANGE..."),
    ],
    since: Annotated[
        int, typer.Option("--since-days", min=1, max=366, help="Judge what was seen in so many days.")
    ] = 30,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Show what a change would do to those who came in lately. Nothing is changed.

    Examples:
    mutualgate trust try partner ca remove acme 3
    mutualgate trust try partner ca add acme issuing-2028.pem
    mutualgate trust try pin retire 12
    """
    from mutualgate.app import Folder, services
    from mutualgate.app.change import trying

    _check(words)

    def do(tried: "Services") -> None:
        from mutualgate.cli.commands import app as everything
        from mutualgate.cli.group import built

        # Its words go nowhere: what the change would do is said here. Its errors are ours.
        with trying(tried), contextlib.redirect_stdout(io.StringIO()):
            built(everything)(args=[*words, "--dir", str(dir)], prog_name="mutualgate", standalone_mode=False)

    with services(Folder(dir)) as all_of_it, progress("judging anew") as tell:
        found = all_of_it.trust.try_(do, back=timedelta(days=since), told=tell)
    emit(_facts(found) if json else {}, "" if json else _story(found), json)


@app.command("undo")
def undo(
    change: Annotated[int | None, number("a change", "trust list", " Without it, the last.")] = None,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Take a change of trust back. What came later and builds on it has to be taken back first.

    Example: mutualgate trust undo
    """
    from mutualgate.app import Folder
    from mutualgate.app import change as make

    undone, force = make(Folder(dir), lambda services: services.trust.undo(change))
    text = f"Taken back: {plain(undone.what)} (change {undone.id}, by {plain(undone.by)}); {force.sentence}."
    emit({**as_dict(undone), **force.facts}, text, json)


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """List the latest changes of trust.

    Example: mutualgate trust list
    """
    from mutualgate.app import Folder, services

    with services(Folder(dir)) as all_of_it:
        found = all_of_it.trust.list(limit)
    rows = [
        (
            one.id,
            f"{one.at:%Y-%m-%d %H:%M:%S}",
            plain(one.by),
            "final" if one.final else "" if one.undone is None else f"taken back {one.undone:%Y-%m-%d}",
            plain(one.what),
        )
        for one in found
    ]
    text = table(("change", "at (UTC)", "by", "", "what"), rows) if rows else "No change of trust so far."
    emit({"changes": [as_dict(one) for one in found]}, text, json)


def approve(
    refusal: Annotated[str, typer.Argument(help="The id on the refusal page.")],
    client: Annotated[str | None, typer.Option(help="Whose certificate it is; one that is not there is added.")] = None,
    role: Annotated[list[str] | None, typer.Option("--role", help="A role of a new client; several times.")] = None,
    key: Annotated[bool, typer.Option("--key", help="Pin its key, so that renewed certificates come in, too.")] = False,
    environment: Annotated[str, typer.Option(help="Only on sites of this environment.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Let somebody in who was refused: as a client's own certificate or, where a partner vouches, as its client.

    Example: mutualgate approve 7K3M9QW2XT5B8N4C --client partner-7 --role orders
    """
    from mutualgate.app import Folder, services
    from mutualgate.app import change as make
    from mutualgate.model.pin import PinKind

    with services(Folder(dir)) as all_of_it:
        found = all_of_it.approvals.look(refusal)
    goes_with("a pin: a partner vouches for this one", found.partner is None, "--key", "--environment")
    if not yes:
        _ask(found, client)
    done, force = make(
        Folder(dir),
        lambda services: services.approvals.approve(
            refusal,
            client=client,
            roles=role,
            kind=PinKind.KEY if key else PinKind.CERTIFICATE,
            environment=environment,
        ),
    )
    if done.pin is not None:
        how = f"pin {done.pin.id}, until {done.pin.not_after:%Y-%m-%d}"
    else:
        how = f"{plain(found.member)} of the partner {found.partner.name if found.partner else ''}"
    roles = ", ".join(done.client.roles) or "no role"
    text = f"{plain(done.client.name)} comes in ({how}; {roles}); {force.sentence}."
    facts = {
        "client": str(done.client.name),
        "client_id": done.client.id,
        "pin": None if done.pin is None else done.pin.id,
        "member": None if done.member is None else done.member.name,
    }
    emit({**facts, **_candidate(found), **force.facts}, text if not yes else f"{_about(found)}\n\n{text}", json)


def _ask(found: "Candidate", client: str | None) -> None:
    sys.stderr.write(f"{_about(found)}\n\n")
    if sys.stdin is None or not sys.stdin.isatty():
        raise BadInput("nobody is there to ask", fix="Look at what is above, then say --yes", code="not_asked")
    whose = (
        f"as {plain(client)}" if client is not None else f"as a client of {found.partner.name if found.partner else ''}"
    )
    if not typer.confirm(f"Let it in {whose}?", err=True):
        raise typer.Abort


def _about(found: "Candidate") -> str:
    seen, refusal = found.seen, found.refusal
    rows = [
        ("subject", plain(seen.subject or refusal.subject)),
        ("certificate", plain(found.words)),
        ("SHA-256", seen.fingerprint.hex()),
        ("refused for", f"{refusal.reason}: {plain(refusal.detail)}"),
        ("asked for", plain(f"{refusal.site} {refusal.path}")),
        ("first seen", f"{seen.first_at:%Y-%m-%d %H:%M} UTC"),
        ("last from", plain(seen.peer or refusal.peer)),
        ("possession", "proved: its handshake was signed with its key"),
    ]
    if found.partner is not None:
        rows.append(("vouched for by", f"the partner {found.partner.name}, as {plain(found.member)}"))
    lines = [table(("", ""), rows).lstrip("\n")]
    lines += [f"Unusual: {plain(line)}" for line in (*found.unusual, *found.remarks)] or [
        "Nothing is unusual about it."
    ]
    return "\n".join(lines)


def _candidate(found: "Candidate") -> dict[str, Any]:
    return {
        "refusal": found.refusal.id,
        "reason": found.refusal.reason,
        "subject": found.seen.subject,
        "fingerprint": found.seen.fingerprint.hex(),
        "words": found.words,
        "unusual": [*found.unusual, *found.remarks],
        "seen": found.seen.count,
        "partner": None if found.partner is None else str(found.partner.name),
    }


def _check(words: list[str]) -> None:
    from typer.core import TyperGroup

    from mutualgate.cli import group
    from mutualgate.cli.commands import app as everything

    path, command = group.found(everything, words)
    known = len(path) > 1 and path[1] in TRIED.get(path[0], ())
    if not known or isinstance(command, TyperGroup) or path[-1] == "list":
        named = "; ".join(f"{noun} {'|'.join(sorted(verbs))}" for noun, verbs in TRIED.items())
        raise BadInput(
            f"'{plain(' '.join(words))[:80]}' is no change that can be tried", expected=named, code="bad_change"
        )


def _story(found: "Tried") -> str:
    lines = [*found.assumed]
    if found.outside:
        lines.append(
            f"{counted(len(found.outside), 'client')} that the partner invited would be outside its rules, and out:"
            f" {named(found.outside)}."
        )
    seen = f"{counted(found.certificates, 'certificate')} seen since {found.since:%Y-%m-%d}"
    clients = counted(found.clients, "client")
    if not found.affected:
        lines.append(f"It would change nothing for the {seen} ({clients}).")
        return "\n".join(lines)
    if found.locked_out:
        lines.append(f"It would lock out {len(found.locked_out)} of {clients}: {named(found.locked_out)}.")
    else:
        lines.append(f"It would lock out none of {clients}.")
    if found.let_in:
        lines.append(f"It would let in {len(found.let_in)}: {named(found.let_in)}.")
    kept_out = sum(one.admitted_before and not one.admitted_after for one in found.affected)
    of_them = f", {kept_out} of them kept out" if kept_out else ""
    lines.append(f"Of {seen}, {len(found.affected)} would be judged otherwise{of_them}:")
    rows = [
        (
            plain(one.subject)[:50],
            one.fingerprint.hex()[:16],
            _said(one.admitted_before, one.before),
            _said(one.admitted_after, one.after),
            f"{one.last_at:%Y-%m-%d}",
        )
        for one in found.affected[:SHOWN]
    ]
    lines.append(table(("subject", "SHA-256", "now", "then", "last seen"), rows))
    if len(found.affected) > SHOWN:
        lines.append(f"and {len(found.affected) - SHOWN} more; --json has all")
    return "\n".join(lines)


def _said(admitted: bool, what: str) -> str:
    return f"in as {plain(what)}" if admitted else what


def _facts(found: "Tried") -> dict[str, Any]:
    return {
        "since": found.since.isoformat(),
        "certificates": found.certificates,
        "clients": found.clients,
        "locked_out": list(found.locked_out),
        "let_in": list(found.let_in),
        "outside": list(found.outside),
        "assumed": list(found.assumed),
        "affected": [
            {
                "subject": one.subject,
                "fingerprint": one.fingerprint.hex(),
                "before": {"admitted": one.admitted_before, "client" if one.admitted_before else "reason": one.before},
                "after": {"admitted": one.admitted_after, "client" if one.admitted_after else "reason": one.after},
                "detail": one.detail,
                "last_at": one.last_at.isoformat(),
                "peer": one.peer,
            }
            for one in found.affected
        ],
    }


def as_dict(change: "TrustChange") -> dict[str, Any]:
    """A change of trust for programs."""
    return {
        "id": change.id,
        "at": change.at.isoformat(),
        "by": change.by,
        "what": change.what,
        "undone": None if change.undone is None else change.undone.isoformat(),
        "final": change.final,
    }
