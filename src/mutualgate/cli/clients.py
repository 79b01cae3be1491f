"""`mutualgate client`: who is known, what they prove themselves with, whether they may come in."""

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mutualgate.cli.files import placed, read_file
from mutualgate.cli.group import Group
from mutualgate.cli.options import DEFAULT_DIR, MOST_DAYS, Dir, Json, choice, goes_with
from mutualgate.cli.output import DONE, emit, plain, require_reader, table
from mutualgate.cli.pins import as_dict as pin_dict
from mutualgate.cli.relay import DIR_VARIABLE
from mutualgate.counts import counted

if TYPE_CHECKING:
    from mutualgate.app import Services
    from mutualgate.model.client import Client
    from mutualgate.model.credential import Credential

app = Group("Clients: add, sign, suspend, revoke.", {"import": "bulk:import_", "keys": "client_keys:app"})

Name = Annotated[str, typer.Argument(help="The client's name.")]
Roles = Annotated[list[str] | None, typer.Option("--role", help="A role; may be given several times.")]


@app.command("add")
def add(
    name: Name,
    role: Roles = None,
    contact: Annotated[str, typer.Option(help="Whom to ask, for example an e-mail address.")] = "",
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Add a client, without a credential yet.

    Example: mutualgate client add partner-7 --role orders --contact ops@partner-7.example
    """
    from mutualgate.app import Folder, change

    client, force = change(Folder(dir), lambda services: services.clients.add(name, contact=contact, roles=role or ()))
    text = f"{plain(client.name)} is client {client.id}. Give it a credential: mutualgate client sign or client p12."
    emit({**as_dict(client), **force.facts}, text, json)


@app.command("sign")
def sign(
    name: Annotated[str | None, typer.Argument(help="The client's name; not with --csrs.")] = None,
    csr: Annotated[
        Path | None, typer.Option(help="The certificate signing request, PEM or DER; `-` for stdin.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The file for the certificate and its chain, PEM. With --csrs, a folder; by default the same."
        ),
    ] = None,
    csrs: Annotated[
        Path | None, typer.Option(help="A folder of CSRs, each for the client that its file is named after.")
    ] = None,
    add: Annotated[bool, typer.Option("--add", help="With --csrs: add clients that are not there.")] = False,
    role: Annotated[
        list[str] | None, typer.Option("--role", help="With --add: a role for them; may be given several times.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, max=MOST_DAYS, help="Valid for so many days.")] = None,
    replaces: Annotated[
        str | None,
        typer.Option(help="The credential that this one renews: its number, serial or fingerprint. It ends later."),
    ] = None,
    authority: Annotated[str | None, typer.Option(help="An adopted authority, to sign in place of ours.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files.")] = False,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> int:
    """Sign a client's CSR, or a folder of them. A certificate says what the client's record says, whatever was asked.

    A folder may be signed again: what has a certificate is not signed twice, and a file that is missing is written.
    With neither name nor --csrs, a folder in --dir that holds CSRs and no installation is taken for --csrs.

    Examples:
    mutualgate client sign partner-7 --csr partner-7.csr --out partner-7.pem
    mutualgate client sign --csrs requests/ --out certificates/ --add --role orders
    """
    from mutualgate.app import Folder, change
    from mutualgate.cli.bulk import sign_folder

    if name is None and csr is None and csrs is None and dir.is_dir() and not Folder(dir).exists():
        csrs, dir = dir, Path(os.environ.get(DIR_VARIABLE) or DEFAULT_DIR)
    goes_with("--csrs", csrs is not None, "--add", "--role")
    goes_with("--add", add, "--role")
    if csrs is not None:
        if name is not None or csr is not None or replaces is not None:
            raise typer.BadParameter("--csrs takes no name, no --csr and no --replaces")
        return sign_folder(
            csrs, out, days=days, authority=authority, add=add, roles=role or (), force=force, dir=dir, json=json
        )
    if name is None or csr is None or out is None:
        raise typer.BadParameter("give the client's name, --csr and --out; or a folder of CSRs with --csrs")
    lifetime = None if days is None else timedelta(days=days)
    with placed(out, force=force) as put:
        data = read_file(csr)
        signed, in_force = change(
            Folder(dir),
            lambda services: services.enrolment.sign(
                name, data, str(csr), authority=authority, lifetime=lifetime, replaces=replaces
            ),
        )
        put(signed.chain_pem, "its certificate is signed")
    credential = signed.credential
    lines = [f"{out}: the certificate of {plain(signed.client.name)}, until {credential.not_after:%Y-%m-%d}."]
    lines += [
        f"  {plain(one.field)}: asked for {plain(one.asked)}, given {plain(one.given)}" for one in signed.differences
    ]
    differences = [{"field": one.field, "asked": one.asked, "given": one.given} for one in signed.differences]
    lines.append(f"{in_force.sentence[0].upper()}{in_force.sentence[1:]}.")
    facts = {**credential_dict(credential), "file": str(out), "differences": differences, **in_force.facts}
    emit(facts, "\n".join(lines), json)
    return DONE


@app.command("p12")
def p12(
    name: Name,
    out: Annotated[Path, typer.Option(help="The .p12 file to write.")],
    target: Annotated[
        str | None, typer.Option("--for", help="Where it will be imported: windows-11, macos, android-13, firefox …")
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            help="auto: by --for; compat: 3DES, opens everywhere; modern: AES, current systems; fips: AES, PBMAC1."
        ),
    ] = "auto",
    key: Annotated[str, typer.Option(help="p256, p384, rsa2048 or rsa3072.")] = "p256",
    days: Annotated[int | None, typer.Option(min=1, max=MOST_DAYS, help="Valid for so many days.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Make a key and a certificate for a client, in a .p12 to import. The key is not kept; the password is shown once.

    Example: mutualgate client p12 partner-7 --out partner-7.p12 --for windows-11
    """
    from mutualgate.app import Folder, change
    from mutualgate.authorities.keys import KeyKind
    from mutualgate.authorities.p12 import Encoding

    goes_with("--profile auto", profile == "auto", "--for")
    kind = choice(KeyKind, key, "--key")
    encoding = None if profile == "auto" else choice(Encoding, profile, "--profile")
    lifetime = None if days is None else timedelta(days=days)
    require_reader()
    with placed(out, private=True, force=force) as put:
        made, in_force = change(
            Folder(dir),
            lambda services: services.enrolment.make_p12(
                name, target=target, encoding=encoding, kind=kind, lifetime=lifetime
            ),
        )
        is_made = f"its certificate {made.credential.serial_text} is made"
        back = f"mutualgate client revoke {made.client.name.word} --credential {made.credential.serial_text}"
        put(made.data, is_made, f"Nobody has its key; take it back: {back}")
    text = (
        f"{out}: key and certificate of {plain(made.client.name)}, until {made.credential.not_after:%Y-%m-%d} "
        f"({made.encoding}).\nPassword, shown once: {made.password}\nSend file and password by different channels. "
        f"{in_force.sentence[0].upper()}{in_force.sentence[1:]}."
    )
    facts = {**credential_dict(made.credential), "file": str(out), "profile": str(made.encoding)}
    lost = f"{out} is written, and nobody has seen its password; take the certificate back: {back}"
    emit({**facts, "password": made.password, **in_force.facts}, text, json, lost=lost)


@app.command("list")
def list_(
    search: Annotated[str, typer.Option(help="Part of a name or contact.")] = "",
    role: Annotated[str | None, typer.Option(help="Only clients with this role.")] = None,
    state: Annotated[str | None, typer.Option(help="new (nothing lets it in yet), active, suspended or gone.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many, 1 to 1,000.")] = 100,
    after: Annotated[int, typer.Option(help="Go on after the client with this id.")] = 0,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """List clients.

    Example: mutualgate client list --role orders
    """
    from mutualgate.app import Folder, services
    from mutualgate.model.client import ClientState

    wanted = None if state is None else choice(ClientState, state, "--state")
    with services(Folder(dir)) as all_of_it:
        page = all_of_it.clients.list(search=search, role=role, state=wanted, after=after, limit=limit)
    if json:
        clients = [as_dict(client) for client in page.clients]
        emit({"clients": clients, "total": page.total, "after": page.after}, "", json)
        return
    rows = [(c.id, plain(c.name), c.standing, ", ".join(c.roles), plain(c.contact)) for c in page.clients]
    text = table(("id", "name", "state", "roles", "contact"), rows) if rows else "No client fits."
    if page.after is not None:
        text += f"\n{page.total} in all; the next ones: --after {page.after}"
    emit({}, text, json)


@app.command("show")
def show(name: Name, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """Show a client and its credentials.

    Example: mutualgate client show partner-7
    """
    from mutualgate.app import Folder, services

    with services(Folder(dir)) as all_of_it:
        view = all_of_it.clients.show(name)
        now = all_of_it.clock()
    client = view.client
    lines = [f"{plain(client.name)}, client {client.id}, {client.standing}"]
    lines.append(f"roles: {', '.join(client.roles) or 'none'}")
    if client.contact:
        lines.append(f"contact: {plain(client.contact)}")
    if view.estate_of is not None:
        lines.append(f"stands for every unlisted certificate that {view.estate_of.name} signed")
    if view.partner is not None:
        lines.append(f"stands for clients of the partner {view.partner.name} that are not recorded")
    lines += [
        f"is {plain(one.name)} of the partner {partner.name}"
        + (", which may not vouch for this name any more: out" if one.state == "outside" else "")
        for partner, one in view.memberships
    ]
    if view.credentials:
        rows = [(c.id, _state(c, now), f"{c.not_after:%Y-%m-%d}", c.serial_text, c.origin) for c in view.credentials]
        lines += ["", table(("credential", "state", "until", "serial", "origin"), rows)]
    if view.pins:
        own = [
            (
                one.id,
                "ended" if one.state == "active" and one.not_after < now else one.state,
                f"{one.not_after:%Y-%m-%d}",
                one.digest.hex()[:16],
                one.kind,
            )
            for one in view.pins
        ]
        lines += ["", table(("pin", "state", "until", "SHA-256", "of"), own)]
    credentials = [credential_dict(credential) for credential in view.credentials]
    estate = None if view.estate_of is None else str(view.estate_of.name)
    facts = {
        **as_dict(client),
        "credentials": credentials,
        "estate_of": estate,
        "pins": [pin_dict(one) for one in view.pins],
        "memberships": [
            {"partner": str(partner.name), "name": one.name, "state": str(one.state)}
            for partner, one in view.memberships
        ],
    }
    emit(facts, "\n".join(lines), json)


@app.command("roles")
def roles(
    name: Name,
    add: Annotated[list[str] | None, typer.Option("--add", help="A role to give.")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", help="A role to take.")] = None,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Give a client roles, or take them.

    Example: mutualgate client roles partner-7 --add reports --remove orders
    """
    from mutualgate.app import Folder, change_trust

    if not add and not remove:
        raise typer.BadParameter("say which: --add, --remove or both")
    client, force = change_trust(
        Folder(dir), lambda services: services.clients.change_roles(name, add=add or (), remove=remove or ())
    )
    held = ", ".join(client.roles) or "no role"
    emit({**as_dict(client), **force.facts}, f"{plain(client.name)} has {held}; {force.sentence}.", json)


@app.command("suspend")
def suspend(name: Name, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """Keep a client out until it is resumed, whatever it shows. Open connections are cut.

    Example: mutualgate client suspend partner-7
    """
    from mutualgate.app import Folder, change

    client, force = change(Folder(dir), lambda services: services.clients.suspend(name))
    emit({**as_dict(client), **force.facts}, f"{plain(client.name)} is suspended; {force.sentence}.", json)


@app.command("resume")
def resume(name: Name, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """Let a suspended client in again. What was revoked stays revoked.

    Example: mutualgate client resume partner-7
    """
    from mutualgate.app import Folder, change

    client, force = change(Folder(dir), lambda services: services.clients.resume(name))
    emit({**as_dict(client), **force.facts}, f"{plain(client.name)} is {client.state} again; {force.sentence}.", json)


@app.command("remove")
def remove(name: Name, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """Let a client go for good: its certificates are revoked and its name is free.

    Example: mutualgate client remove partner-7
    """
    from mutualgate.app import Folder, change

    client, force = change(Folder(dir), lambda services: services.clients.remove(name))
    emit({**as_dict(client), **force.facts}, f"{plain(client.name)} is gone; {force.sentence}.", json)


@app.command("revoke")
def revoke(
    name: Annotated[str | None, typer.Argument(help="The client's name; not with --certificate.")] = None,
    reason: Annotated[str, typer.Option(help="A CRLReason of RFC 5280 5.3.1.")] = "unspecified",
    credential: Annotated[
        str | None, typer.Option(help="Only this one: its number, serial or fingerprint, or the beginning of it.")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="A certificate file, for one that an adopted authority signed unlisted.")
    ] = None,
    lineage: Annotated[
        bool, typer.Option("--lineage", help="With --credential: those that it renews and that renew it, too.")
    ] = False,
    release: Annotated[bool, typer.Option("--release", help="Lift a certificateHold instead.")] = False,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Revoke a client's certificates: all of them, or one. Open connections are cut.

    Examples:
    mutualgate client revoke partner-7 --reason keyCompromise
    mutualgate client revoke partner-7 --credential 12 --lineage
    mutualgate client revoke --certificate stolen.pem --reason keyCompromise
    """
    from mutualgate.app import Folder, change
    from mutualgate.clients import Revoked
    from mutualgate.model.revocation import RevocationReason

    if (name is None) == (certificate is None):
        raise typer.BadParameter("give either the client's name or --certificate")
    if release and (certificate is not None or reason != "unspecified"):
        raise typer.BadParameter("--release takes a client's name, and --credential at the most")
    goes_with("the client's name", name is not None, "--credential")
    goes_with("--credential, without --release", credential is not None and not release, "--lineage")
    why = RevocationReason.parse(reason)

    def do(services: "Services") -> Revoked:
        if certificate is not None:
            return services.clients.revoke_certificate(read_file(certificate), reason=why, where=str(certificate))
        if release:
            return Revoked(services.clients.release(str(name), credential=credential))
        return services.clients.revoke(str(name), reason=why, credential=credential, lineage=lineage)

    made, force = change(Folder(dir), do)
    serials, pins = [entry.serial_text for entry in made.certificates], [pin.id for pin in made.pins]
    done = "released" if release else "revoked"
    parts = [f"{counted(len(serials), 'certificate')} {done} ({', '.join(serials)})"] if serials else []
    parts += [f"{counted(len(pins), 'pin')} retired ({', '.join(map(str, pins))})"] if pins else []
    text = f"{', '.join(parts)}; {force.sentence}."
    emit({done: serials, "pins_retired": pins, "reason": why.name, **force.facts}, text, json)


def _state(credential: "Credential", now: datetime) -> str:
    if credential.not_after < now:
        return "expired"
    if credential.superseded is not None and credential.state == "valid":
        return f"valid, superseded on {credential.superseded:%Y-%m-%d}"
    return str(credential.state)


def as_dict(client: "Client") -> dict[str, Any]:
    """A client for programs."""
    return {
        "id": client.id,
        "name": str(client.name),
        "contact": client.contact,
        "roles": [str(role) for role in client.roles],
        "state": str(client.state),
        "invited": client.invited,
        "created": client.created.isoformat(),
    }


def credential_dict(credential: "Credential") -> dict[str, Any]:
    """A credential for programs."""
    revocation = credential.revocation
    return {
        "id": credential.id,
        "state": str(credential.state),
        "origin": str(credential.origin),
        "serial": credential.serial_text,
        "fingerprint": credential.fingerprint.hex(),
        "not_before": credential.not_before.isoformat(),
        "not_after": credential.not_after.isoformat(),
        "replaces": credential.replaces,
        "superseded": None if credential.superseded is None else credential.superseded.isoformat(),
        "revoked": None if revocation is None else revocation.at.isoformat(),
        "revocation_reason": None if revocation is None else revocation.reason.name,
    }
