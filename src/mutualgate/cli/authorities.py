"""`mutualgate ca`: our authorities, and those that were there before."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mutualgate.cli.files import write_file
from mutualgate.cli.group import Group
from mutualgate.cli.options import DEFAULT_DIR, MOST_DAYS, Dir, Json, choice, goes_with
from mutualgate.cli.output import emit, plain, table
from mutualgate.cli.waiting import progress
from mutualgate.counts import counted

if TYPE_CHECKING:
    from mutualgate.app import Services
    from mutualgate.authorities.findings import Finding
    from mutualgate.authorities.overview import AuthorityView
    from mutualgate.authorities.service import AdoptionReport
    from mutualgate.model.authority import Authority

app = Group("Authorities: ours, and adopted ones.")

KEY_PASSWORD = "MUTUALGATE_CA_KEY_PASSWORD"  # noqa: S105 - the name of a variable


@app.command("adopt")
def adopt(
    cert: Annotated[Path, typer.Option(help="The authority's certificate, PEM or DER; may be a bundle of several.")],
    key: Annotated[Path | None, typer.Option(help="Its private key, to go on signing and to publish a CRL.")] = None,
    serial: Annotated[Path | None, typer.Option(help="The serial file of openssl (rootCA.srl).")] = None,
    issued: Annotated[Path | None, typer.Option(help="A folder with the certificates that it signed.")] = None,
    crl: Annotated[Path | None, typer.Option(help="Its revocation list, PEM or DER; may be several in PEM.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call it; by default after its common name.")] = None,
    admits: Annotated[
        str | None,
        typer.Option(help="signed, unless said otherwise: all that it signed; listed: only what is in --issued."),
    ] = None,
    role: Annotated[list[str] | None, typer.Option("--role", help="A role for its clients; several times.")] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            min=0, max=3, help="CAs that may stand between it and a client; without it, its certificate says how many."
        ),
    ] = None,
    estate: Annotated[str | None, typer.Option(help="The client that certificates not in --issued stand for.")] = None,
    key_password_file: Annotated[
        Path | None, typer.Option(help=f"The file with the key's password, if it has one; or set {KEY_PASSWORD}.")
    ] = None,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Take over a CA made with openssl: its clients go on being admitted, X.509 v1 certificates too.

    Examples:
    mutualgate ca adopt --cert rootCA.pem --key rootCA.key --serial rootCA.srl --issued clients/
    mutualgate ca adopt --cert rootCA.pem --issued clients/ --admits listed --role partner
    """
    from mutualgate.app import Folder, change
    from mutualgate.authorities.adopt import Estate
    from mutualgate.model.authority import Admits

    goes_with("--key", key is not None, "--key-password-file")
    what = Estate(
        certificate=cert, key=key, key_password=_key_password(key_password_file), serial=serial, issued=issued, crl=crl
    )
    wanted = None if admits is None else choice(Admits, admits, "--admits")
    with progress("reading certificates") as tell:
        report, force = change(
            Folder(dir),
            lambda services: services.authorities.adopt(
                what, name=name, admits=wanted, estate_client=estate, roles=role or (), depth=depth, progress=tell
            ),
            create=True,
        )
    facts = {
        "authorities": [_taken(one) for one in report.taken_over],
        "findings": [_finding(f) for f in report.findings],
    }
    text = _adoption_text(report) + f"\n{force.sentence[0].upper()}{force.sentence[1:]}."
    emit({**facts, "skipped": list(report.skipped), **force.facts}, text, json)


@app.command("rotate")
def rotate(
    which: Annotated[str, typer.Argument(help="issuing, or root.")],
    under: Annotated[
        str | None, typer.Option(help="For issuing: the root that signs it, for example the next one.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, max=MOST_DAYS, help="Valid for so many days.")] = None,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Make the next issuing authority, or the next root. What was signed before goes on to be admitted.

    A new root is only published, until an issuing authority is made under it: then the gate's own certificate leads
    to it, too, and who does not trust it by then is kept away.

    Examples:
    mutualgate ca rotate issuing
    mutualgate ca rotate root
    mutualgate ca rotate issuing --under root-2
    """
    from datetime import timedelta

    from mutualgate.app import Folder, change
    from mutualgate.app.setup import write_root
    from mutualgate.authorities.profiles import INTERMEDIATE_LIFETIME, ROOT_LIFETIME

    if which not in ("issuing", "root"):
        raise typer.BadParameter("rotate takes issuing or root")
    goes_with("issuing: a root is under nothing", which == "issuing", "--under")

    def do(services: "Services") -> "Authority":
        lifetime = None if days is None else timedelta(days=days)
        if which == "root":
            made = services.authorities.rotate_root(lifetime=lifetime or ROOT_LIFETIME)
        else:
            made = services.authorities.rotate_issuing(under=under, lifetime=lifetime or INTERMEDIATE_LIFETIME)
        hierarchy = services.authorities.hierarchy()
        if hierarchy is not None:
            write_root(services, hierarchy)
        return made

    made, force = change(Folder(dir), do)
    until = f"until {made.not_after:%Y-%m-%d}"
    if which == "root":
        text = (
            f"The root '{made.name}' is made, {until}, and published beside the one in force. Once everybody trusts it:"
            f"\nmutualgate ca rotate issuing --under {made.name}"
        )
    else:
        text = f"The authority '{made.name}' signs from now on, {until}; {force.sentence}."
    emit({"name": str(made.name), "not_after": made.not_after.isoformat(), **force.facts}, text, json)


@app.command("list")
def list_(dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """List the authorities whose certificates count.

    Example: mutualgate ca list
    """
    from mutualgate.app import Folder, services
    from mutualgate.authorities.overview import views

    with services(Folder(dir)) as all_of_it:
        found = views(all_of_it.store)
    rows = [
        (
            view.authority.name,
            view.authority.kind,
            view.authority.admits,
            "yes" if view.authority.has_key else "no",
            f"{view.authority.not_after:%Y-%m-%d}",
            view.revoked,
        )
        for view in found
    ]
    text = table(("name", "kind", "admits", "key", "until", "revoked"), rows) if rows else "There is no authority yet."
    emit({"authorities": [_authority(view) for view in found]}, text, json)


@app.command("admits")
def admits(
    name: Annotated[str, typer.Argument(help="An adopted authority.")],
    which: Annotated[str, typer.Argument(help="signed: all that it signed; listed: only those it was shown.")],
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Say which certificates of an adopted authority are admitted.

    Example: mutualgate ca admits rootca listed
    """
    from mutualgate.app import Folder, change_trust
    from mutualgate.model.authority import Admits

    wanted = choice(Admits, which, "which")
    authority, force = change_trust(Folder(dir), lambda services: services.authorities.set_admits(name, wanted))
    text = f"{authority.name} admits what is {authority.admits}; {force.sentence}."
    emit({"name": str(authority.name), "admits": str(authority.admits), **force.facts}, text, json)


@app.command("crl")
def crl(
    name: Annotated[str, typer.Argument(help="The authority.")],
    out: Annotated[Path, typer.Option(help="The file to write; PEM if it ends in .pem, else DER.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Write an authority's current revocation list.

    Example: mutualgate ca crl issuing --out issuing.crl
    """
    from mutualgate.app import Folder, services
    from mutualgate.authorities.crl import crl_pem

    with services(Folder(dir)) as all_of_it:
        current = all_of_it.authorities.crl(name)
    write_file(out, crl_pem(current.der) if out.suffix == ".pem" else current.der, force=force)
    facts = {"number": current.number, "next_update": current.next_update.isoformat(), "file": str(out)}
    emit(facts, f"CRL number {current.number}, good until {current.next_update:%Y-%m-%d %H:%M} UTC, is in {out}.", json)


def _key_password(file: Path | None) -> bytes | None:
    from mutualgate.cli.files import read_file

    if file is not None:
        return read_file(file, most_bytes=4096).rstrip(b"\r\n")
    password = os.environ.get(KEY_PASSWORD)
    return None if password is None else password.encode()


def _adoption_text(report: "AdoptionReport") -> str:
    lines = []
    for one in report.taken_over:
        verb = "is adopted" if one.is_new else "was adopted before"
        parts = [counted(len(one.clients), "new client"), counted(one.credentials, "new certificate")]
        if one.revocations:
            parts.append(counted(one.revocations, "new revocation"))
        depth = one.authority.depth
        below = "" if depth is None else f", depth {depth}"
        lines.append(
            f"{one.authority.name} {verb}: {', '.join(parts)}; it admits what is {one.authority.admits}{below}."
        )
    for finding in report.findings:
        lines.append(f"  {finding.severity}: {plain(finding.where)}: {plain(finding.sentence)} {plain(finding.action)}")
    if report.skipped:
        what = counted(len(report.skipped), "file that is no certificate", "files that are no certificates")
        lines.append(f"  skipped: {what}")
    return "\n".join(lines)


def _taken(one: Any) -> dict[str, Any]:
    return {
        "name": str(one.authority.name),
        "new": one.is_new,
        "admits": str(one.authority.admits),
        "key": one.authority.has_key,
        "depth": one.authority.depth,
        "clients": [str(client.name) for client in one.clients],
        "credentials": one.credentials,
        "known": one.known,
        "revocations": one.revocations,
    }


def _finding(finding: "Finding") -> dict[str, str]:
    return {
        "code": finding.code,
        "severity": str(finding.severity),
        "where": finding.where,
        "sentence": finding.sentence,
        "action": finding.action,
    }


def _authority(view: "AuthorityView") -> dict[str, Any]:
    authority, current = view.authority, view.crl
    return {
        "name": str(authority.name),
        "kind": str(authority.kind),
        "admits": str(authority.admits),
        "key": authority.has_key,
        "depth": authority.depth,
        "not_after": authority.not_after.isoformat(),
        "revoked": view.revoked,
        "crl_number": None if current is None else current.number,
        "crl_next_update": None if current is None else current.next_update.isoformat(),
    }
