"""`mutualgate invite` and `mutualgate invitation`: links that turn their holders into clients; what came of them."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mutualgate.cli.files import Put, placed
from mutualgate.cli.group import Group
from mutualgate.cli.options import DEFAULT_DIR, MOST_DAYS, Dir, Json, choice, goes_with, number
from mutualgate.cli.output import DONE, WRONG_USE, complain, emit, plain, require_reader, table
from mutualgate.counts import counted
from mutualgate.errors import MutualgateError, NotFound

if TYPE_CHECKING:
    from mutualgate.app import Services
    from mutualgate.enrolment.invitations import Invited
    from mutualgate.enrolment.opening import Opened

app = Group("Invitations: what came of them, take back, approve, send again.")

Number = Annotated[int, number("an invitation", "invitation list")]
Open = Annotated[int, typer.Option("--days", min=1, max=366, help="The link works for so many days.")]
Qr = Annotated[bool, typer.Option("--qr", help="Show the link as a QR code, for a phone's camera.")]
QrFile = Annotated[Path | None, typer.Option("--qr-file", help="Write the QR code into this file, SVG.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the file.")]


@dataclass(frozen=True)
class Link:
    """Where an invitation is opened, or why nobody knows."""

    url: str | None = field(repr=False)
    path: str = field(repr=False)
    problem: str | None
    root_sha256: str | None = None
    """Of the root that machines need to know to trust the portal, where that is ours."""


def invite(
    name: Annotated[str, typer.Argument(help="The client's name; one that is not there is added.")],
    role: Annotated[list[str] | None, typer.Option("--role", help="A role; may be given several times.")] = None,
    contact: Annotated[str, typer.Option(help="Whom to ask, for example an e-mail address.")] = "",
    mail: Annotated[str | None, typer.Option("--mail", help="Send the link to this e-mail address.")] = None,
    way: Annotated[
        list[str] | None,
        typer.Option("--way", help="Only in this way: page, csr, own, apple, windows, command; may be repeated."),
    ] = None,
    days: Open = 7,
    valid_for: Annotated[
        int | None,
        typer.Option("--valid-for", min=1, max=MOST_DAYS, help="The certificate will be valid for so many days."),
    ] = None,
    second_factor: Annotated[
        bool, typer.Option("--second-factor", help="Ask for a second code, which you tell by another channel.")
    ] = False,
    approve: Annotated[
        bool, typer.Option("--approve", help="What is handed in waits until an operator approves it.")
    ] = False,
    qr: Qr = False,
    qr_file: QrFile = None,
    force: Force = False,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> int:
    """Invite somebody: a link that works once and turns its holder into a client, on whatever device it is opened.

    Examples:
    mutualgate invite ward-3 --role staff --mail ward-3@example.com
    mutualgate invite partner-7 --role orders --way own --way csr --second-factor --qr
    """
    from mutualgate.app import Folder, change
    from mutualgate.model.invitation import Way

    goes_with("--qr-file", qr_file is not None, "--force")
    goes_with("an answer in words", not json, "--qr")
    ways = tuple(choice(Way, one, "--way") for one in way) if way else tuple(Way)

    def do(services: "Services") -> tuple["Invited", Link]:
        base = base_of(services)
        invited = services.invitations.invite(
            name,
            roles=role or (),
            contact=contact,
            ways=ways,
            validity=None if valid_for is None else timedelta(days=valid_for),
            life=timedelta(days=days),
            second_factor=second_factor,
            approval=approve,
            mail_to=mail,
        )
        return invited, link_of(services, base, invited)

    require_reader()
    with _placed(qr_file, force) as put:
        (invited, link), force_of = change(Folder(dir), do)
        head = f"{plain(invited.client.name)} is invited (invitation {invited.invitation.id})."
        return _show(head, invited, link, qr, qr_file, put, json, force_of.facts)


@app.command("list")
def list_(
    state: Annotated[str | None, typer.Option(help="open, waiting, used, revoked, declined or locked.")] = None,
    expired: Annotated[
        bool | None, typer.Option("--expired/--not-expired", help="Only those whose time is over, or is not.")
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many, 1 to 1,000.")] = 100,
    before: Annotated[int | None, typer.Option(help="Go on with those before this number.")] = None,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """List invitations, newest first.

    Example: mutualgate invitation list --state waiting
    """
    from mutualgate.app import Folder, services
    from mutualgate.model.invitation import InvitationState

    wanted = None if state is None else choice(InvitationState, state, "--state")
    with services(Folder(dir)) as all_of_it:
        page = all_of_it.invitations.list(state=wanted, expired=expired, before=before, limit=limit)
        now = all_of_it.clock()
    rows = [
        (
            one.invitation.id,
            plain(one.client.name),
            "expired" if one.invitation.expired(now) else one.invitation.state,
            f"{one.invitation.expires:%Y-%m-%d %H:%M}",
            one.invitation.way or "",
            plain(one.invitation.by),
        )
        for one in page.invitations
    ]
    header = ("invitation", "client", "state", "until (UTC)", "way", "by")
    text = table(header, rows) if rows else "No invitation fits."
    if page.before is not None:
        text += f"\n{page.total} in all; the next ones: --before {page.before}"
    facts = {"invitations": [as_dict(one) for one in page.invitations], "total": page.total, "before": page.before}
    emit(facts, text, json)


@app.command("show")
def show(number: Number, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """Show an invitation, and what was handed in with it.

    Example: mutualgate invitation show 12
    """
    from mutualgate.app import Folder, services

    with services(Folder(dir)) as all_of_it:
        opened = all_of_it.invitations.get(number)
        handed_in = all_of_it.invitations.handed_in(number)
        came = all_of_it.invitations.came_of(number)
        now = all_of_it.clock()
    invitation = opened.invitation
    lines = [
        f"invitation {invitation.id} of {plain(opened.client.name)}: "
        + ("expired" if invitation.expired(now) else invitation.state),
        f"made by {plain(invitation.by)} on {invitation.created:%Y-%m-%d %H:%M}, open until "
        f"{invitation.expires:%Y-%m-%d %H:%M} UTC",
        f"ways: {', '.join(invitation.ways)}",
    ]
    if invitation.sent_to:
        lines.append(f"sent to: {plain(invitation.sent_to)}")
    if invitation.has_factor:
        lines.append(f"second code: needed, {counted(invitation.wrong_factors, 'wrong try', 'wrong tries')}")
    if invitation.approval:
        lines.append("an operator has to approve what is handed in")
    facts = as_dict(opened)
    if handed_in is not None:
        lines += [
            "",
            f"handed in ({handed_in.way}) from {plain(handed_in.peer)}: {plain(handed_in.what)}",
            f"  it calls itself: {plain(handed_in.subject)}",
            f"  SHA-256 of its key: {handed_in.spki}",
            *(f"  {plain(remark)}" for remark in handed_in.remarks),
        ]
        facts["handed_in"] = {
            "what": handed_in.what,
            "subject": handed_in.subject,
            "spki": handed_in.spki,
            "remarks": list(handed_in.remarks),
        }
    facts["not_after"] = None if came.not_after is None else came.not_after.isoformat()
    facts["seen"] = None if came.seen is None else came.seen.isoformat()
    if came.not_after is not None and invitation.closed is not None:
        seen = f"saw it first on {came.seen:%Y-%m-%d %H:%M}" if came.seen else "has not seen it yet"
        lines += [
            "",
            f"used on {invitation.closed:%Y-%m-%d %H:%M} UTC; what came of it counts until {came.not_after:%Y-%m-%d}; "
            f"the gate {seen}",
        ]
    if invitation.state == "waiting":
        lines += ["", f"mutualgate invitation approve {number}, or: mutualgate invitation decline {number}"]
    emit(facts, "\n".join(lines), json)


@app.command("revoke")
def revoke(number: Number, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """Take back an invitation that is not used: its link opens nothing any more.

    Example: mutualgate invitation revoke 12
    """
    from mutualgate.app import Folder, change

    opened, force = change(Folder(dir), lambda services: services.invitations.revoke(number))
    text = f"The invitation {number} of {plain(opened.client.name)} is taken back."
    emit({**as_dict(opened), **force.facts}, text, json)


@app.command("approve")
def approve(number: Number, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """Accept what was handed in: a CSR is signed, an own certificate is let in. Look at it first, with show.

    Example: mutualgate invitation approve 12
    """
    from mutualgate.app import Folder, change

    outcome, force = change(Folder(dir), lambda services: services.invitations.approve(number))
    name = plain(outcome.client.name)
    facts: dict[str, Any] = {"invitation": number, "client": str(outcome.client.name)}
    if outcome.signed is not None:
        facts["not_after"] = outcome.signed.credential.not_after.isoformat()
        text = f"{name} has a certificate until {facts['not_after'][:10]}, and fetches it by the link"
    elif outcome.pin is not None:
        facts["not_after"] = outcome.pin.not_after.isoformat()
        text = f"{name} comes in with its own certificate until {facts['not_after'][:10]}"
    else:
        text = f"{name}: approved"
    emit({**facts, **force.facts}, f"{text}; {force.sentence}.", json)


@app.command("decline")
def decline(number: Number, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """Turn down what was handed in.

    Example: mutualgate invitation decline 12
    """
    from mutualgate.app import Folder, change

    opened, force = change(Folder(dir), lambda services: services.invitations.decline(number))
    text = f"What was handed in with the invitation {number} of {plain(opened.client.name)} is turned down."
    emit({**as_dict(opened), **force.facts}, text, json)


@app.command("resend")
def resend(
    number: Number,
    days: Open = 7,
    qr: Qr = False,
    qr_file: QrFile = None,
    force: Force = False,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> int:
    """Make a new link for an invitation that is unused, expired or locked, and end the old one.

    It is sent again where the first one was sent.

    Example: mutualgate invitation resend 12
    """
    from mutualgate.app import Folder, change

    goes_with("--qr-file", qr_file is not None, "--force")
    goes_with("an answer in words", not json, "--qr")

    def do(services: "Services") -> tuple["Invited", Link]:
        base = base_of(services)
        invited = services.invitations.renew_link(number, life=timedelta(days=days))
        return invited, link_of(services, base, invited)

    require_reader()
    with _placed(qr_file, force) as put:
        (invited, link), force_of = change(Folder(dir), do)
        head = f"{plain(invited.client.name)} has a new link; the old one opens nothing any more."
        return _show(head, invited, link, qr, qr_file, put, json, force_of.facts)


def base_of(services: "Services") -> str | NotFound:
    """The portal's address, or why nobody knows it. Asked before somebody is invited: raises `BadInput` for a
    configuration that cannot be read, and a link that is made then would never be shown."""
    try:
        return services.base_url()
    except NotFound as error:
        return error


def link_of(services: "Services", base: str | NotFound, invited: "Invited") -> Link:
    """Its link, or the end of it where the portal's address is not known."""
    from mutualgate.app.links import root_sha256

    if isinstance(base, NotFound):
        return Link(None, invited.link("/join"), str(base))
    return Link(invited.link(base), "", None, root_sha256(services))


def _placed(qr_file: Path | None, force: bool) -> AbstractContextManager[Put | None]:
    return nullcontext() if qr_file is None else placed(qr_file, private=True, force=force)


def _show(
    head: str,
    invited: "Invited",
    link: Link,
    qr: bool,
    qr_file: Path | None,
    put: Put | None,
    json: bool,
    more: dict[str, Any],
) -> int:
    """Shows what is shown only now, whatever becomes of the file with the QR code."""
    from mutualgate.model.invitation import Way

    invitation = invited.invitation
    lines = [head, ""]
    if link.url is not None:
        lines += [f"  link:  {link.url}", f"  code:  {invited.code}  (to type at {link.url.rpartition('/')[0]}/)"]
    else:
        lines += [
            f"  link:  {link.path}, once there is a portal",
            f"  code:  {invited.code}",
            f"  {plain(link.problem)}",
        ]
    lines.append(f"  until: {invitation.expires:%Y-%m-%d %H:%M} UTC, once")
    if link.root_sha256 is not None and Way.COMMAND in invitation.ways:
        lines.append(f"  on a machine: mutualgate enrol LINK --root-sha256 {link.root_sha256}")
    if invitation.sent_to:
        lines.append(f"  sent to {plain(invitation.sent_to)} as soon as the gate runs")
    if invited.factor is not None:
        lines += ["", f"Second code: {invited.factor}", "Tell it by another channel than the link: by telephone, say."]
    lines += ["", "Link and codes are shown only now."]
    problem: MutualgateError | None = None
    if put is not None:
        try:
            put(_qr_svg(link.url or link.path))
            lines.append(f"{qr_file}: the link as a QR code.")
        except MutualgateError as error:
            problem = error
    if qr and link.url is not None:
        lines += ["", _qr_text(link.url)]
    facts = {
        **as_dict_of(invited),
        "link": link.url,
        "link_path": None if link.url else link.path,
        "root_sha256": link.root_sha256,
        "code": invited.code,
        "second_factor": invited.factor,
        **more,
    }
    again = f"mutualgate invitation resend {invitation.id}"
    emit(facts, "\n".join(lines), json, lost=f"{head} Nobody has seen the link; another: {again}")
    if problem is None:
        return DONE
    complain(plain(problem))
    return WRONG_USE


def _qr_svg(text: str) -> bytes:
    import io

    import segno

    buffer = io.BytesIO()
    # A light background of its own: in a dark viewer nothing would be left of it.
    segno.make(text, error="m", micro=False).save(buffer, kind="svg", scale=6, light="#fff")
    return buffer.getvalue()


def _qr_text(text: str) -> str:
    import io

    import segno

    buffer = io.StringIO()
    segno.make(text, error="l", micro=False).terminal(out=buffer, compact=True, border=2)
    return buffer.getvalue()


def as_dict_of(invited: "Invited") -> dict[str, Any]:
    """A new invitation for programs, without what opens it."""
    from mutualgate.enrolment.opening import Opened

    return as_dict(Opened(invited.invitation, invited.client))


def as_dict(opened: "Opened") -> dict[str, Any]:
    """An invitation for programs."""
    invitation = opened.invitation
    return {
        "invitation": invitation.id,
        "client": {"id": opened.client.id, "name": str(opened.client.name)},
        "state": str(invitation.state),
        "ways": [str(way) for way in invitation.ways],
        "valid_for_days": None if invitation.validity is None else invitation.validity.days,
        "approval": invitation.approval,
        "needs_second_factor": invitation.has_factor,
        "by": invitation.by,
        "created": invitation.created.isoformat(),
        "expires": invitation.expires.isoformat(),
        "sent_to": invitation.sent_to,
        "way": None if invitation.way is None else str(invitation.way),
        "peer": invitation.peer,
        "closed": None if invitation.closed is None else invitation.closed.isoformat(),
        "credential": invitation.credential,
        "pin": invitation.pin,
    }
