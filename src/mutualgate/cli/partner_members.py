"""`mutualgate partner member`: a partner's clients, one by one."""

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mutualgate.cli.group import Group
from mutualgate.cli.options import DEFAULT_DIR, Dir, Json, choice
from mutualgate.cli.output import emit, plain, table

if TYPE_CHECKING:
    from mutualgate.app import Services
    from mutualgate.partners.members import MemberView

app = Group("A partner's clients, one by one.")

Partner = Annotated[str, typer.Argument(help="The partner's name.")]
Name = Annotated[str, typer.Argument(help="The name in its certificate, such as dns:api.acme.example.")]
As = Annotated[str | None, typer.Option("--client", help="A client that exists; else a new one is made.")]
Roles = Annotated[list[str] | None, typer.Option("--role", help="A role, instead of the partner's; several times.")]


@app.command("add")
def add(
    partner: Partner, name: Name, client: As = None, role: Roles = None, dir: Dir = DEFAULT_DIR, json: Json = False
) -> None:
    """Add a client of a partner's by name, before it is seen.

    Example: mutualgate partner member add acme dns:api.acme.example --role orders
    """
    from mutualgate.app import Folder, change

    def do(services: "Services") -> tuple["MemberView", bool]:
        made = services.partners.members.add(partner, name, client=client, roles=role)
        return made, services.partners.permitted(partner, made.member.name)

    (made, permitted), force = change(Folder(dir), do)
    lines = [f"{_said(made)}; {force.sentence}."]
    if not permitted:
        lines.append(
            f"Note: no rule permits the name yet, so nobody comes in by it: mutualgate partner name add {partner}"
            f" {shlex.quote(plain(made.member.name))}"
        )
    emit({**as_dict(made), "permitted": permitted, **force.facts}, "\n".join(lines), json)


@app.command("list")
def list_(
    partner: Partner,
    state: Annotated[
        str | None,
        typer.Option(
            help="pending: waits for approval; seen: comes in by rule; active;"
            " outside: was invited by a name that no rule permits now."
        ),
    ] = None,
    search: Annotated[str, typer.Option(help="Part of a name.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
    after: Annotated[str, typer.Option(help="Go on after this name.")] = "",
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """List a partner's clients.

    Example: mutualgate partner member list acme --state pending
    """
    from mutualgate.app import Folder, services
    from mutualgate.model.partner import MemberState

    wanted = None if state is None else choice(MemberState, state, "--state")
    with services(Folder(dir)) as all_of_it:
        found = all_of_it.partners.members.list(partner, state=wanted, search=search, after=after, limit=limit)
    rows = [
        (
            plain(one.member.name),
            one.state,
            "" if one.client is None else plain(one.client.name),
            f"{one.member.created:%Y-%m-%d}",
        )
        for one in found
    ]
    text = table(("name", "state", "client", "since"), rows) if rows else "No client fits."
    if len(found) == limit:
        text += f"\nThe next ones: --after {plain(found[-1].member.name)}"
    emit({"members": [as_dict(one) for one in found]}, text, json)


@app.command("approve")
def approve(
    partner: Partner, name: Name, client: As = None, role: Roles = None, dir: Dir = DEFAULT_DIR, json: Json = False
) -> None:
    """Let a client of a partner's in that was seen and waits, or give one that comes in by rule a client of its own.

    Example: mutualgate partner member approve acme dns:api.acme.example
    """
    from mutualgate.app import Folder, change

    made, force = change(
        Folder(dir), lambda services: services.partners.members.approve(partner, name, client=client, roles=role)
    )
    emit({**as_dict(made), **force.facts}, f"{_said(made)}; {force.sentence}.", json)


@app.command("suspend")
def suspend(partner: Partner, name: Name, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """Keep one client of a partner's out, until it is resumed. Open connections are cut.

    Example: mutualgate partner member suspend acme dns:api.acme.example
    """
    from mutualgate.app import Folder, change

    made, force = change(Folder(dir), lambda services: services.partners.members.suspend(partner, name))
    emit({**as_dict(made), **force.facts}, f"{plain(made.member.name)} is suspended; {force.sentence}.", json)


@app.command("resume")
def resume(partner: Partner, name: Name, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """Let a suspended client of a partner's in again.

    Example: mutualgate partner member resume acme dns:api.acme.example
    """
    from mutualgate.app import Folder, change

    made, force = change(Folder(dir), lambda services: services.partners.members.resume(partner, name))
    emit({**as_dict(made), **force.facts}, f"{plain(made.member.name)} is active again; {force.sentence}.", json)


@app.command("remove")
def remove(partner: Partner, name: Name, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """Take a client off a partner's list. It stays a client, with what else it has.

    Example: mutualgate partner member remove acme dns:api.acme.example
    """
    from mutualgate.app import Folder, change

    member, force = change(Folder(dir), lambda services: services.partners.members.remove(partner, name))
    emit({"name": member.name, **force.facts}, f"{plain(member.name)} is off the list; {force.sentence}.", json)


def _said(made: "MemberView") -> str:
    assert made.client is not None  # noqa: S101 - an approved one has a client
    roles = ", ".join(made.client.roles) or "no role"
    return f"{plain(made.member.name)} is the client {plain(made.client.name)} ({made.client.id}) with {roles}"


def as_dict(one: "MemberView") -> dict[str, Any]:
    """A client inside a partner for programs."""
    return {
        "name": one.member.name,
        "state": str(one.member.state),
        "client": one.member.client,
        "client_name": None if one.client is None else str(one.client.name),
        "client_state": None if one.client is None else str(one.client.state),
        "created": one.member.created.isoformat(),
    }
