"""`mutualgate partner crl`: where a partner's CAs are asked about revocation, and what they said."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mutualgate.cli.files import read_file
from mutualgate.cli.group import Group
from mutualgate.cli.options import DEFAULT_DIR, Dir, Json, choice
from mutualgate.cli.output import NO, emit, plain, table
from mutualgate.counts import counted

if TYPE_CHECKING:
    from mutualgate.model.foreign import RevocationSource
    from mutualgate.partners.revocation import AnchorRevocation

app = Group("What a partner's CAs revoked: where that is asked, lists and answers, and how fresh they are.")

Name = Annotated[str, typer.Argument(help="The partner's name.")]
Ca = Annotated[int | None, typer.Option("--ca", help="The number of its CA, where it has several.")]


@app.command("list")
def list_(name: Name, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """Show the lists in force, and every address: those that are fetched, and those that wait for approval.

    Example: mutualgate partner crl list acme
    """
    from mutualgate.app import Folder, services

    with services(Folder(dir)) as all_of_it:
        states = all_of_it.revocation.show(name)
    text = "\n\n".join(_text(one) for one in states) or "The partner has no CA."
    emit({"cas": [as_dict(one) for one in states]}, text, json)


@app.command("approve")
def approve(
    name: Name,
    url: Annotated[str, typer.Argument(help="The address: one that the list shows, or any other.")],
    ca: Ca = None,
    kind: Annotated[str | None, typer.Option(help="crl or ocsp; by default what the certificate said, or crl.")] = None,
    private: Annotated[bool, typer.Option("--private", help="It may lie in this network or on this machine.")] = False,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Have an address fetched from now on. Nothing that a certificate names is fetched without this.

    Example: mutualgate partner crl approve acme http://crl.acme.example/issuing.crl
    """
    from mutualgate.app import Folder, change
    from mutualgate.model.foreign import SourceKind

    which = None if kind is None else choice(SourceKind, kind, "--kind")
    source, _ = change(
        Folder(dir),
        lambda services: services.revocation.approve(name, url, kind=which, private=private, anchor=ca),
    )
    text = f"{plain(source.url)} is approved; a running gate fetches it within seconds."
    emit(source_dict(source), text, json)


@app.command("refuse")
def refuse(
    name: Name,
    url: Annotated[str, typer.Argument(help="The address.")],
    ca: Ca = None,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Have an address not fetched any more, nor asked about again. What it gave stays until its time is over.

    Example: mutualgate partner crl refuse acme http://crl.acme.example/old.crl
    """
    from mutualgate.app import Folder, change

    source, _ = change(Folder(dir), lambda services: services.revocation.refuse(name, url, anchor=ca))
    emit(source_dict(source), f"{plain(source.url)} is not fetched for CA {source.anchor}.", json)


@app.command("load")
def load(
    name: Name,
    file: Annotated[Path, typer.Argument(help="The list, PEM or DER.")],
    ca: Ca = None,
    force: Annotated[bool, typer.Option("--force", help="Take one that is older than the one in force.")] = False,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Put a revocation list from a file in force: a complete one, one of a distribution point, or a delta.

    Example: mutualgate partner crl load acme issuing.crl
    """
    from mutualgate.app import Folder, change
    from mutualgate.partners.fetching import MAX_LIST_BYTES

    data = read_file(file, MAX_LIST_BYTES)
    loaded, in_force = change(
        Folder(dir), lambda services: services.revocation.load(name, data, str(file), anchor=ca, force=force)
    )
    taken = loaded.taken
    what = f"{taken.added} added, {taken.removed} taken back" if taken.news else "nothing new"
    text = (
        f"{plain(file)}: {counted(taken.list.entries, 'revoked certificate')} of CA {loaded.anchor.id}, {what}; "
        f"the next list by {taken.list.next_update:%Y-%m-%d %H:%M} UTC; {in_force.sentence}."
    )
    facts = {
        "ca": loaded.anchor.id,
        "scope": taken.list.scope,
        "number": str(taken.list.number),
        "entries": taken.list.entries,
        "added": taken.added,
        "removed": taken.removed,
        "next_update": taken.list.next_update.isoformat(),
    }
    emit({**facts, **in_force.facts}, text, json)


@app.command("forget")
def forget(
    name: Name,
    covers: Annotated[str, typer.Argument(help="What the list covers, as `list` shows it: an address, or all.")],
    ca: Ca = None,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Take a list out of force, with all that it revoked. For one that is not published any more.

    Example: mutualgate partner crl forget acme http://crl.acme.example/part-7.crl
    """
    from mutualgate.app import Folder, change

    scope = "" if covers == "all" else covers
    gone, in_force = change(Folder(dir), lambda services: services.revocation.forget(name, scope, anchor=ca))
    free = counted(gone.entries, "certificate is", "certificates are")
    text = f"The list of CA {gone.anchor} is out of force; {free} no longer revoked by it; {in_force.sentence}."
    emit({"ca": gone.anchor, "scope": scope, "entries": gone.entries, **in_force.facts}, text, json)


@app.command("fetch")
def fetch(name: Name, dir: Dir = DEFAULT_DIR, json: Json = False) -> int:
    """Fetch all approved lists of a partner now, and ask its responders. Exit status 1: one of them failed.

    Example: mutualgate partner crl fetch acme
    """
    from mutualgate.app import Folder, change

    outcomes, in_force = change(Folder(dir), lambda services: services.revocation_fetch.fetch_all(name))
    lines = []
    for one in outcomes:
        said = one.problem or (counted(one.entries, "entry", "entries") if one.news else "nothing new")
        lines.append(f"{'failed: ' if one.problem else ''}{_about(one.source.url, said)}")
    found = [
        {**source_dict(one.source), "news": one.news, "entries": one.entries, "problem": one.problem}
        for one in outcomes
    ]
    emit({"fetched": found, **in_force.facts}, "\n".join(lines) or "Nothing was due.", json)
    return NO if any(one.problem for one in outcomes) else 0


def _text(one: "AnchorRevocation") -> str:
    lines = [f"CA {one.anchor.id}, {plain(one.anchor.subject)}: {_mode(one)}, {one.revoked} revoked"]
    if one.problem:
        lines.append(f"!  {plain(one.problem)}")
    if one.lists:
        rows = [
            (
                plain(state.list.scope) or "all",
                state.list.number,
                state.list.entries,
                f"{state.list.this_update:%Y-%m-%d %H:%M}",
                f"{state.list.next_update:%Y-%m-%d %H:%M}" + (" (late)" if state.late else ""),
            )
            for state in one.lists
        ]
        lines.append(table(("covers", "number", "entries", "made (UTC)", "next by (UTC)"), rows))
    if one.answers:
        lines.append("OCSP answers: " + ", ".join(f"{number} {status}" for status, number in one.answers.items()))
    if one.sources:
        rows2 = [
            (
                source.kind,
                source.state,
                "never" if source.fetched is None else f"{source.fetched:%Y-%m-%d %H:%M}",
                _about(source.url, source.error),
            )
            for source in one.sources
        ]
        lines.append(table(("kind", "state", "fetched (UTC)", "address"), rows2))
    else:
        lines.append("No address is known. Approve one, or load a list from a file.")
    return "\n".join(lines)


def line(one: "AnchorRevocation") -> str:
    """How it stands with one CA, in a line of the partner's page."""
    said = plain(one.problem) if one.problem else "fresh" if one.known else "nothing is known"
    waiting = sum(source.state == "learned" for source in one.sources)
    addresses = counted(waiting, "address waits", "addresses wait")
    more = f"; {addresses} for approval: mutualgate partner crl list" if waiting else ""
    return f"revocation under CA {one.anchor.id}: {_mode(one)}, {one.revoked} revoked; {said}{more}"


def _about(url: str, said: str) -> str:
    """What is said of an address; many a sentence names it by itself."""
    return plain(said) if said.startswith(url) else plain(f"{url}: {said}" if said else url)


def _mode(one: "AnchorRevocation") -> str:
    from mutualgate.config.kinds import duration_text

    mode = str(one.anchor.revocation)
    return f"{mode} {duration_text(one.anchor.grace)}" if mode == "grace" else mode


def as_dict(one: "AnchorRevocation") -> dict[str, Any]:
    """How it stands with one CA, for programs."""
    return {
        "ca": one.anchor.id,
        "subject": one.anchor.subject,
        "mode": str(one.anchor.revocation),
        "revoked": one.revoked,
        "problem": one.problem,
        "lists": [
            {
                "scope": state.list.scope,
                "number": str(state.list.number),
                "entries": state.list.entries,
                "this_update": state.list.this_update.isoformat(),
                "next_update": state.list.next_update.isoformat(),
                "age_seconds": int(state.age.total_seconds()),
                "late": state.late,
            }
            for state in one.lists
        ],
        "answers": {str(status): number for status, number in one.answers.items()},
        "sources": [source_dict(source) for source in one.sources],
    }


def source_dict(source: "RevocationSource") -> dict[str, Any]:
    """An address, for programs."""
    return {
        "ca": source.anchor,
        "kind": str(source.kind),
        "url": source.url,
        "state": str(source.state),
        "private": source.private,
        "fetched": None if source.fetched is None else source.fetched.isoformat(),
        "next_fetch": None if source.next_fetch is None else source.next_fetch.isoformat(),
        "failures": source.failures,
        "error": source.error,
    }
