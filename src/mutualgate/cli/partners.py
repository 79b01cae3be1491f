"""`mutualgate partner`: organisations whose own CAs vouch for their clients, each within its names."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mutualgate.cli.group import Group
from mutualgate.cli.options import DEFAULT_DIR, Dir, Json, choice, goes_with
from mutualgate.cli.output import emit, plain, table
from mutualgate.cli.partner_names import Wide
from mutualgate.errors import BadInput

if TYPE_CHECKING:
    from mutualgate.model.partner import Partner
    from mutualgate.partners.service import PartnerView

app = Group(
    "Partners: organisations with CAs of their own, each within its names.",
    {
        "ca": "partner_cas:app",
        "name": "partner_names:app",
        "intermediate": "partner_cas:helpers",
        "member": "partner_members:app",
        "crl": "partner_revocation:app",
    },
)

Name = Annotated[str, typer.Argument(help="The partner's name.")]
ADMITS = "rule: any client under its names; approval: one that is new waits; listed: only those that were added."


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What to call it: lower-case letters, digits, '-'.")],
    names: Annotated[
        list[str] | None,
        typer.Option("--names", help="What it may vouch for, such as dns:*.acme.example; several times."),
    ] = None,
    admits: Annotated[str, typer.Option(help=ADMITS)] = "approval",
    role: Annotated[list[str] | None, typer.Option("--role", help="A role for its clients; several times.")] = None,
    contact: Annotated[str, typer.Option(help="Whom to ask, for example an e-mail address.")] = "",
    security_contact: Annotated[str, typer.Option(help="Whom to tell when something is wrong.")] = "",
    client: Annotated[
        str | None, typer.Option(help="What its own client is called, which stands for those not recorded.")
    ] = None,
    wide: Wide = False,
    profile: Annotated[
        str,
        typer.Option(help="names: by their alternative names or subjects; psd2: payment service providers (eIDAS)."),
    ] = "names",
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Add a partner: an organisation that brings its own CA. Nothing of it comes in before its CA is added and proved.

    Examples:
    mutualgate partner add acme --names 'dns:*.acme.example' --role orders --admits rule
    mutualgate partner add bank --profile psd2
    """
    from mutualgate.app import Folder, change
    from mutualgate.model.partner import PartnerAdmits, PartnerProfile

    goes_with("--names", bool(names), "--wide")
    known_by = choice(PartnerProfile, profile, "--profile")
    which = choice(PartnerAdmits, admits, "--admits")
    partner, force = change(
        Folder(dir),
        lambda services: services.partners.add(
            name,
            names=names or (),
            wide=wide,
            roles=role or (),
            admits=which,
            contact=contact,
            security_contact=security_contact,
            client=client,
            profile=known_by,
        ),
    )
    lines = [f"{partner.name} is partner {partner.id}; {force.sentence}."]
    of_many = partner.profile is PartnerProfile.PSD2  # then names are of one CA, and its number comes first
    if not names and not of_many:
        lines.append(f"It may vouch for nothing yet: mutualgate partner name add {partner.name} dns:*.acme.example")
    lines.append(f"Next: mutualgate partner ca add {partner.name} issuing-ca.pem{' --shared' if of_many else ''}")
    emit({**as_dict(partner), **force.facts}, "\n".join(lines), json)


@app.command("list")
def list_(
    search: Annotated[str, typer.Option(help="Part of a name or contact.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
    after: Annotated[int, typer.Option(help="Go on after the partner with this id.")] = 0,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """List partners.

    Example: mutualgate partner list
    """
    from mutualgate.app import Folder, services

    with services(Folder(dir)) as all_of_it:
        found, total = all_of_it.partners.list(search=search, after=after, limit=limit)
    rows = [(one.id, one.name, one.state, one.admits, ", ".join(one.roles), plain(one.contact)) for one in found]
    text = table(("id", "name", "state", "admits", "roles", "contact"), rows) if rows else "No partner fits."
    if len(found) == limit:
        text += f"\n{total} in all; the next ones: --after {found[-1].id}"
    emit({"partners": [as_dict(one) for one in found], "total": total}, text, json)


@app.command("show")
def show(name: Name, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """Show a partner: its names, CAs, intermediates and how many clients it has.

    Example: mutualgate partner show acme
    """
    from mutualgate.app import Folder, services
    from mutualgate.cli import partner_cas, partner_names, partner_revocation

    with services(Folder(dir)) as all_of_it:
        view = all_of_it.partners.show(name)
        revocation = all_of_it.revocation.show(name)
        below = all_of_it.partners.between.of(name)
        now = all_of_it.clock()
    partner = view.partner
    lines = [
        f"{partner.name}, partner {partner.id}, {partner.state}; admits: {partner.admits}",
        f"its own client: {plain(view.client.name)} (client {view.client.id}),"
        f" roles: {', '.join(partner.roles) or 'none'}",
    ]
    if partner.profile == "psd2":
        lines.append("profile psd2: its clients are known by the organizationIdentifier of their certificates")
    for word, contact in (("contact", partner.contact), ("security contact", partner.security_contact)):
        if contact:
            lines.append(f"{word}: {plain(contact)}")
    lines.append(f"clients that are recorded: {view.members}")
    lines += ["", *_rules(view), "", partner_cas.as_table(view.anchors, now), *partner_cas.below_lines(below)]
    lines += ["", *(partner_revocation.line(one) for one in revocation)]
    if view.intermediates:
        lines.append(f"\nhelping intermediates: {', '.join(str(one.id) for one in view.intermediates)}")
    facts = {
        **as_dict(partner),
        "client_name": str(view.client.name),
        "rules": [partner_names.as_dict(rule) for rule in view.rules],
        "cas": [partner_cas.as_dict(anchor, now) for anchor in view.anchors],
        "below": partner_cas.below_facts(below),
        "intermediates": [{"id": one.id, "fingerprint": one.fingerprint.hex()} for one in view.intermediates],
        "members": view.members,
        "revocation": [partner_revocation.as_dict(one) for one in revocation],
    }
    emit(facts, "\n".join(lines), json)


def _rules(view: "PartnerView") -> list[str]:
    if not view.rules:
        return ["It may vouch for nothing: no name rule."]
    return [
        f"may vouch for {plain(rule.text)}" + ("" if rule.anchor is None else f" (under the CA {rule.anchor} alone)")
        for rule in view.rules
    ]


@app.command("suspend")
def suspend(name: Name, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """Keep a partner out with all its clients, until it is resumed. Open connections are cut.

    Example: mutualgate partner suspend acme
    """
    from mutualgate.app import Folder, change

    partner, force = change(Folder(dir), lambda services: services.partners.suspend(name))
    emit({**as_dict(partner), **force.facts}, f"{partner.name} is suspended; {force.sentence}.", json)


@app.command("resume")
def resume(name: Name, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """Let a suspended partner in again.

    Example: mutualgate partner resume acme
    """
    from mutualgate.app import Folder, change

    partner, force = change(Folder(dir), lambda services: services.partners.resume(name))
    emit({**as_dict(partner), **force.facts}, f"{partner.name} is {partner.state} again; {force.sentence}.", json)


@app.command("remove")
def remove(name: Name, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """Let a partner go for good, and its CAs. Clients of it that were recorded stay, with what else they have.

    Example: mutualgate partner remove acme
    """
    from mutualgate.app import Folder, change

    partner, force = change(Folder(dir), lambda services: services.partners.remove(name))
    emit({**as_dict(partner), **force.facts}, f"{partner.name} is gone; {force.sentence}.", json)


@app.command("admits")
def admits(
    name: Name,
    which: Annotated[str, typer.Argument(help=ADMITS)],
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Say which of a partner's clients come in.

    Example: mutualgate partner admits acme approval
    """
    from mutualgate.app import Folder, change_trust
    from mutualgate.model.partner import PartnerAdmits

    wanted = choice(PartnerAdmits, which, "WHICH")
    partner, force = change_trust(Folder(dir), lambda services: services.partners.set_admits(name, wanted))
    emit({**as_dict(partner), **force.facts}, f"{partner.name} admits {partner.admits}; {force.sentence}.", json)


@app.command("roles")
def roles(
    name: Name,
    role: Annotated[list[str] | None, typer.Argument(help="The roles; none takes all of them.")] = None,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Replace the roles of a partner's own client, and of those clients of it that are recorded from now on.

    Example: mutualgate partner roles acme orders reports
    """
    from mutualgate.app import Folder, change_trust

    partner, force = change_trust(Folder(dir), lambda services: services.partners.set_roles(name, role or ()))
    held = ", ".join(partner.roles) or "no role"
    emit({**as_dict(partner), **force.facts}, f"{partner.name} has {held}; {force.sentence}.", json)


@app.command("appoints")
def appoints(
    name: Name,
    answer: Annotated[str, typer.Argument(help="yes or no.")],
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Say whether a partner's administrators may invite further administrators. They may not, unless it is said.

    Example: mutualgate partner appoints acme yes
    """
    from mutualgate.app import Folder, change

    if answer not in ("yes", "no"):
        raise BadInput(f"'{plain(answer)[:40]}' is neither yes nor no", expected="yes or no")
    partner, force = change(Folder(dir), lambda services: services.partners.set_appoints(name, answer == "yes"))
    text = f"The administrators of {partner.name} {'may' if partner.appoints else 'may not'} invite further ones."
    emit({**as_dict(partner), **force.facts}, text, json)


@app.command("contact")
def contact(
    name: Name,
    contact: Annotated[str | None, typer.Option(help="Whom to ask.")] = None,
    security: Annotated[str | None, typer.Option(help="Whom to tell when something is wrong.")] = None,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Replace whom to ask at a partner, and whom to tell when something is wrong.

    Example: mutualgate partner contact acme --security security@acme.example
    """
    from mutualgate.app import Folder, change

    if contact is None and security is None:
        raise typer.BadParameter("say whom: --contact, --security or both")
    partner, force = change(
        Folder(dir),
        lambda services: services.partners.set_contacts(name, contact=contact, security_contact=security),
    )
    ask, tell = plain(partner.contact) or "none", plain(partner.security_contact) or "none"
    text = f"{partner.name}: contact {ask}, security {tell}."
    emit({**as_dict(partner), **force.facts}, text, json)


def as_dict(partner: "Partner") -> dict[str, Any]:
    """A partner for programs."""
    return {
        "id": partner.id,
        "name": str(partner.name),
        "state": str(partner.state),
        "admits": str(partner.admits),
        "roles": [str(role) for role in partner.roles],
        "contact": partner.contact,
        "security_contact": partner.security_contact,
        "client": partner.client,
        "profile": str(partner.profile),
        "appoints": partner.appoints,
        "created": partner.created.isoformat(),
    }
