"""`mutualgate partner name`: what a partner may vouch for."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mutualgate.cli.group import Group
from mutualgate.cli.options import DEFAULT_DIR, Dir, Json
from mutualgate.cli.output import emit, named, plain, table
from mutualgate.counts import counted

if TYPE_CHECKING:
    from mutualgate.app import Services
    from mutualgate.model.partner import NameRule

app = Group("What a partner may vouch for. Without a rule, nothing.")

Partner = Annotated[str, typer.Argument(help="The partner's name.")]
Rules = Annotated[
    list[str],
    typer.Argument(
        help="dns:*.acme.example, email:*@acme.example, uri:spiffe://acme/*, ip:192.0.2.0/24, dn:CN=*,O=Acme"
    ),
]
Under = Annotated[int | None, typer.Option("--ca", min=1, help="For this CA of the partner's alone.")]
Wide = Annotated[bool, typer.Option("--wide", help="Take rules that cover names of others, such as dns:*.com.")]


@app.command("add")
def add(
    partner: Partner,
    rules: Rules,
    ca: Under = None,
    wide: Wide = False,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Let a partner vouch for more names.

    Examples:
    mutualgate partner name add acme 'dns:*.acme.example' 'email:*@acme.example'
    mutualgate partner name add acme dns:api.acme.example --ca 3
    """
    from mutualgate.app import Folder, change_trust

    def do(services: "Services") -> tuple[list["NameRule"], tuple[int, ...]]:
        made = services.partners.permit(partner, rules, anchor=ca, wide=wide)
        return made, () if ca is not None else services.partners.only_shared(partner)

    (made, shared), force = change_trust(Folder(dir), do)
    lines = [f"{plain(partner)} may vouch for {', '.join(plain(one.text) for one in made)}; {force.sentence}."]
    if shared:
        lines.append(
            f"Note: nobody comes in by that: all CAs of {plain(partner)} are shared, which takes exact names, each for"
            f" one CA: --ca {' or '.join(map(str, shared))}."
        )
    emit({"rules": [as_dict(one) for one in made], "only_shared": list(shared), **force.facts}, "\n".join(lines), json)


@app.command("remove")
def remove(
    partner: Partner,
    rules: Rules,
    ca: Under = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep clients in that the partner invited by names of these rules.")
    ] = False,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Take rules away. What only they permitted is refused from then on, clients that the partner invited, too.

    Example: mutualgate partner name remove acme 'dns:*.acme.example'
    """
    from mutualgate.app import Folder, change

    done, force = change(Folder(dir), lambda services: services.partners.forbid(partner, rules, anchor=ca, keep=keep))
    gone = ", ".join(plain(one.text) for one in done.rules)
    lines = [f"{plain(partner)} may not vouch for {gone} any more; {force.sentence}."]
    if done.outside:
        name = plain(partner)
        them = counted(len(done.outside), f"client that {name} invited is", f"clients that {name} invited are")
        lines.append(
            f"{them} outside its rules now, and {'kept' if keep else 'out'}:"
            f" {named([one.name for one in done.outside])}."
        )
    facts = {"rules": [as_dict(one) for one in done.rules], "outside": [one.name for one in done.outside], "kept": keep}
    emit({**facts, **force.facts}, "\n".join(lines), json)


@app.command("list")
def list_(partner: Partner, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """List what a partner may vouch for.

    Example: mutualgate partner name list acme
    """
    from mutualgate.app import Folder, services

    with services(Folder(dir)) as all_of_it:
        found = all_of_it.partners.show(partner).rules
    rows = [("all" if one.anchor is None else one.anchor, plain(one.text)) for one in found]
    text = table(("under CA", "rule"), rows) if rows else "It may vouch for nothing: no name rule."
    emit({"rules": [as_dict(one) for one in found]}, text, json)


def as_dict(rule: "NameRule") -> dict[str, Any]:
    """A rule for programs."""
    return {"id": rule.id, "rule": rule.text, "ca": rule.anchor}
