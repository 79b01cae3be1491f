"""`mutualgate partner ca`: a partner's own CAs, from the claim to the end; and certificates that help below them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mutualgate.cli.files import read_file
from mutualgate.cli.group import Group
from mutualgate.cli.moments import day, span
from mutualgate.cli.options import DEFAULT_DIR, Dir, Json, choice, goes_with, number, remarks_on
from mutualgate.cli.output import emit, plain, table
from mutualgate.counts import counted
from mutualgate.errors import BadInput

if TYPE_CHECKING:
    from mutualgate.app import Services
    from mutualgate.model.partner import Anchor
    from mutualgate.partners.anchors import Claimed
    from mutualgate.partners.between import Below
    from mutualgate.partners.terms import Terms


class NewIntermediate(StrEnum):
    """What becomes of CAs below a partner's that were not seen before."""

    ADMIT = "admit"
    HOLD = "hold"


app = Group("A partner's own CAs: claimed, proved, in use, retiring, retired.")
helpers = Group("CA certificates that help when a partner's clients send their own alone. Not trusted themselves.")

Partner = Annotated[str, typer.Argument(help="The partner's name.")]
File = Annotated[Path, typer.Argument(help="The certificate, in any form; `-` for stdin.")]
Number = Annotated[int, number("a CA", "partner ca list PARTNER")]
Depth = Annotated[int | None, typer.Option(min=0, max=1, help="CAs that may stand between it and a client: 0 or 1.")]
SubCa = Annotated[
    list[str] | None,
    typer.Option("--sub-ca", help="The only CA that may: its certificate's file, or its key's SHA-256; several times."),
]
NewIntermediates = Annotated[
    str | None,
    typer.Option(
        "--new-intermediates",
        help="With --depth 1: admit CAs below it that are new, or hold them until each is allowed.",
    ),
]
Environment = Annotated[str | None, typer.Option(help="Only on sites of this environment; empty for all.")]
Revocation = Annotated[
    str | None,
    typer.Option(
        help="fail: a list in force is needed; grace: it may be late; ignore: none is, but certificates must be short."
    ),
]
Grace = Annotated[str | None, typer.Option(help="With grace: how late a list may be, such as 24h.")]
LeafLimit = Annotated[str | None, typer.Option(help="With ignore: how long a certificate may be valid, such as 90d.")]
Policy = Annotated[
    str | None,
    typer.Option(help="Only what is issued under this certificate policy, such as 1.3.6.1.4.1.99999.1; empty for any."),
]
ExpiredGrace = Annotated[str | None, typer.Option(help="How long the CA counts past its own end, such as 7d.")]


@app.command("add")
def add(
    partner: Partner,
    file: File,
    depth: Depth = None,
    sub_ca: SubCa = None,
    new_intermediates: NewIntermediates = None,
    shared: Annotated[
        bool, typer.Option("--shared", help="A public CA, or one of several partners: exact names bound to it alone.")
    ] = False,
    environment: Environment = None,
    revocation: Revocation = None,
    grace: Grace = None,
    leaf_limit: LeafLimit = None,
    expired_grace: ExpiredGrace = None,
    policy: Policy = None,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Claim a CA for a partner. It counts once the partner has proved that it controls it.

    Examples:
    mutualgate partner ca add acme issuing-ca.pem
    mutualgate partner ca add acme issuing-ca.pem --revocation grace --grace 24h --environment test
    """
    from mutualgate.app import Folder, change
    from mutualgate.partners.terms import Terms

    data = read_file(file)
    terms = _changed(
        replace(Terms(), shared=shared),
        *(depth, sub_ca, new_intermediates, environment, policy, revocation, grace, leaf_limit, expired_grace),
    )

    def do(services: "Services") -> tuple["Claimed", list[str]]:
        claimed = services.partners.anchors.claim(partner, data, str(file), terms)
        return claimed, [*claimed.remarks, *remarks_on(claimed.anchor.environment, services)]

    (claimed, odd), force = change(Folder(dir), do)
    anchor = claimed.anchor
    lines = [*claimed.explained, *(f"Note: {line}" for line in odd)]
    if anchor.revocation == "ignore":
        lines.append(
            "Revocation is not asked for, so certificates under it may be valid for"
            f" {counted(anchor.leaf_limit.days, 'day')} at the most; with lists: --revocation grace."
        )
    lines.append("")
    if claimed.held_by is not None:
        lines.append("Its key is registered for another partner: this claim waits, and both are told.")
    if anchor.challenge is not None:
        lines += [
            f"The CA {anchor.id} of {claimed.partner.name} waits for its proof. Until"
            f" {anchor.challenge_expires:%Y-%m-%d %H:%M} UTC, sign a certificate with this common name under it:",
            f"  {anchor.challenge}",
            f"then: mutualgate partner ca prove {claimed.partner.name} FILE",
        ]
    else:
        name = "organization:PSDBE-NBB-0123456789" if claimed.partner.profile == "psd2" else "dns:NAME"
        lines += [
            f"The CA {anchor.id} is {anchor.state}; {force.sentence}.",
            "It is shared, so name each client:"
            f" mutualgate partner name add {claimed.partner.name} {name} --ca {anchor.id}",
        ]
    facts = {
        **as_dict(anchor, None),
        "explained": list(claimed.explained),
        "remarks": odd,
        "held_by_another": claimed.held_by is not None,
    }
    emit({**facts, **force.facts}, "\n".join(plain(line) for line in lines), json)


@app.command("prove")
def prove(
    partner: Partner,
    file: Annotated[Path, typer.Argument(help="A certificate under the CA that says the code; `-` for stdin.")],
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Prove that a partner controls a CA, with a certificate under it that says the claim's code.

    Example: mutualgate partner ca prove acme proof.pem
    """
    from mutualgate.app import Folder, change

    data = read_file(file)
    anchor, force = change(Folder(dir), lambda services: services.partners.anchors.prove(partner, data, str(file)))
    emit({**as_dict(anchor, None), **force.facts}, f"The CA {anchor.id} is proved; {force.sentence}.", json)


@app.command("approve")
def approve(
    partner: Partner,
    number: Number,
    without_proof: Annotated[
        bool, typer.Option("--without-proof", help="Nobody has proved it, and you know better. Written down.")
    ] = False,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Let a claimed CA count: one that its partner proved, or one without proof.

    Examples:
    mutualgate partner ca approve acme 3
    mutualgate partner ca approve acme 3 --without-proof
    """
    from mutualgate.app import Folder, change

    anchor, force = change(
        Folder(dir),
        lambda services: services.partners.anchors.approve(partner, number, without_proof=without_proof),
    )
    text = f"The CA {number} counts{', without proof' if without_proof else ''}; {force.sentence}."
    emit({**as_dict(anchor, None), **force.facts}, text, json)


@app.command("set")
def set_(
    partner: Partner,
    number: Number,
    depth: Depth = None,
    sub_ca: SubCa = None,
    new_intermediates: NewIntermediates = None,
    environment: Environment = None,
    revocation: Revocation = None,
    grace: Grace = None,
    leaf_limit: LeafLimit = None,
    expired_grace: ExpiredGrace = None,
    policy: Policy = None,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Change on which terms a partner's CA is trusted. What is not named stays.

    Example: mutualgate partner ca set acme 3 --revocation fail
    """
    from mutualgate.app import Folder, change_trust

    flags = (depth, sub_ca, new_intermediates, environment, policy, revocation, grace, leaf_limit, expired_grace)
    if all(flag is None for flag in flags):
        raise typer.BadParameter(
            "say what to change: --depth, --sub-ca, --new-intermediates, --environment, --revocation, --grace,"
            " --leaf-limit, --expired-grace or --policy"
        )

    def changed(terms: "Terms") -> "Terms":
        return _changed(terms, *flags)

    def do(services: "Services") -> tuple["Anchor", list[str]]:
        return services.partners.anchors.set(partner, number, changed), remarks_on(environment or "", services)

    (anchor, odd), force = change_trust(Folder(dir), do)
    lines = [f"The CA {number} is trusted on these terms; {force.sentence}.", *(f"Note: {plain(line)}" for line in odd)]
    emit({**as_dict(anchor, None), "remarks": odd, **force.facts}, "\n".join(lines), json)


@app.command("renew")
def renew(partner: Partner, number: Number, file: File, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """Take a newer certificate of the same CA: same key, same name.

    Example: mutualgate partner ca renew acme 3 issuing-ca-2028.pem
    """
    from mutualgate.app import Folder, change_trust

    data = read_file(file)
    anchor, force = change_trust(
        Folder(dir), lambda services: services.partners.anchors.renew(partner, number, data, str(file))
    )
    text = f"The CA {number} lasts until {anchor.not_after:%Y-%m-%d}; {force.sentence}."
    emit({**as_dict(anchor, None), **force.facts}, text, json)


@app.command("retire")
def retire(
    partner: Partner,
    number: Number,
    on: Annotated[str | None, typer.Option(help="On this day (2027-01-31); both count until then.")] = None,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """End a partner's CA, now or on a day, so that its clients can move to the next one.

    Example: mutualgate partner ca retire acme 3 --on 2027-01-31
    """
    from mutualgate.app import Folder, change_trust

    when = day(on, "--on")
    anchor, force = change_trust(
        Folder(dir), lambda services: services.partners.anchors.retire(partner, number, on=when)
    )
    said = "is retired" if anchor.state == "retired" else f"counts until {anchor.retire_at:%Y-%m-%d %H:%M} UTC"
    emit({**as_dict(anchor, None), **force.facts}, f"The CA {number} {said}; {force.sentence}.", json)


@app.command("remove")
def remove(partner: Partner, number: Number, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """End a partner's CA at once, or withdraw a claim. Open connections of its clients are cut.

    Example: mutualgate partner ca remove acme 3
    """
    from mutualgate.app import Folder, change

    anchor, force = change(Folder(dir), lambda services: services.partners.anchors.retire(partner, number))
    emit({**as_dict(anchor, None), **force.facts}, f"The CA {number} is retired; {force.sentence}.", json)


@app.command("list")
def list_(
    partner: Annotated[str | None, typer.Argument(help="The partner's name; without it, all claims that wait.")] = None,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """List a partner's CAs, or all claims that wait for a proof.

    Examples:
    mutualgate partner ca list acme
    mutualgate partner ca list
    """
    from mutualgate.app import Folder, services

    with services(Folder(dir)) as all_of_it:
        now = all_of_it.clock()
        if partner is None:
            claims = all_of_it.partners.anchors.pending()
            below = all_of_it.partners.between.waiting()
        else:
            found = all_of_it.partners.anchors.list(partner)
            below = all_of_it.partners.between.of(partner)
    if partner is not None:
        facts: dict[str, Any] = {"cas": [as_dict(one, now) for one in found], "below": below_facts(below)}
        emit(facts, "\n".join([as_table(found, now), *below_lines(below)]), json)
        return
    rows = [
        (
            whose.name,
            one.id,
            "proved" if one.challenge_expires is None else f"{one.challenge_expires:%Y-%m-%d}",
            "" if other is None else other.name,
            plain(one.subject),
        )
        for one, whose, other in claims
    ]
    text = table(("partner", "CA", "until", "held by", "subject"), rows) if rows else "No claim waits."
    waits = [
        {**as_dict(one, now), "partner_name": str(whose.name), "held_by": None if other is None else str(other.name)}
        for one, whose, other in claims
    ]
    emit({"claims": waits, "below": below_facts(below)}, "\n".join([text, *below_lines(below)]), json)


Which = Annotated[str, typer.Argument(help="The CA below: SHA-256 of its key, or its certificate's file.")]
Ca = Annotated[int | None, typer.Option("--ca", min=1, help="Below this CA alone.")]


@app.command("allow")
def allow(partner: Partner, which: Which, ca: Ca = None, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """Let a CA stand below a partner's CA that holds new ones: its clients come in from now on.

    Example: mutualgate partner ca allow acme new-issuing-ca.pem
    """
    _change_below(partner, which, ca, dir, json, allow=True)


@app.command("disallow")
def disallow(partner: Partner, which: Which, ca: Ca = None, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """Take that back. Open connections of clients under it are cut.

    Example: mutualgate partner ca disallow acme new-issuing-ca.pem
    """
    _change_below(partner, which, ca, dir, json, allow=False)


def _change_below(partner: str, which: str, ca: int | None, dir: Path, json: bool, *, allow: bool) -> None:
    from mutualgate.app import Folder, change

    key = _key(which)

    def do(services: "Services") -> "list[Anchor]":
        service = services.partners.between
        return (service.allow if allow else service.disallow)(partner, key, anchor=ca)

    done, force = change(Folder(dir), do)
    where = ", ".join(str(one.id) for one in done)
    said = "may" if allow else "may no longer"
    text = f"The CA with the key {key.hex()} {said} stand below the CA {where}; {force.sentence}."
    emit({"spki": key.hex(), "cas": [as_dict(one, None) for one in done], **force.facts}, text, json)


@helpers.command("add")
def add_intermediate(partner: Partner, file: File, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """Add a CA certificate between a partner's CA and its clients, for those that send their own alone; or the one of a
    key by which the CA signs its revocation lists.

    Example: mutualgate partner intermediate add acme issuing-ca.pem
    """
    from mutualgate.app import Folder, change

    data = read_file(file)
    (made, odd), force = change(
        Folder(dir), lambda services: services.partners.add_intermediate(partner, data, str(file))
    )
    text = "\n".join([f"The intermediate {made.id} helps; {force.sentence}.", *(f"Note: {plain(one)}" for one in odd)])
    facts = {"id": made.id, "fingerprint": made.fingerprint.hex(), "remarks": odd}
    emit({**facts, **force.facts}, text, json)


@helpers.command("remove")
def remove_intermediate(
    partner: Partner,
    number: Annotated[int, number("an intermediate", "partner show PARTNER")],
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Take a helping CA certificate away.

    Example: mutualgate partner intermediate remove acme 2
    """
    from mutualgate.app import Folder, change

    made, force = change(Folder(dir), lambda services: services.partners.remove_intermediate(partner, number))
    emit({"id": made.id, **force.facts}, f"The intermediate {made.id} is gone; {force.sentence}.", json)


def _changed(
    terms: "Terms",
    depth: int | None,
    sub_ca: list[str] | None,
    new_intermediates: str | None,
    environment: str | None,
    policy: str | None,
    revocation: str | None,
    grace: str | None,
    leaf_limit: str | None,
    expired_grace: str | None,
) -> "Terms":
    """`terms` with what the flags say."""
    from mutualgate.model.partner import RevocationMode

    if depth is not None:
        terms = replace(terms, depth=depth, sub_cas=terms.sub_cas if depth else (), hold=terms.hold and depth > 0)
    if new_intermediates is not None:
        hold = choice(NewIntermediate, new_intermediates, "--new-intermediates") is NewIntermediate.HOLD
        if sub_ca and not hold:
            raise BadInput("with --sub-ca no others are admitted", where="--new-intermediates", expected="one of both")
        terms = replace(terms, hold=hold, sub_cas=terms.sub_cas if hold else ())
    if sub_ca:
        if "" in sub_ca:
            raise BadInput("no CA is named", where="--sub-ca", fix="For all of them: --new-intermediates admit")
        terms = replace(terms, sub_cas=tuple(_key(one) for one in sub_ca))
    if environment is not None:
        terms = replace(terms, environment=environment)
    if policy is not None:
        terms = replace(terms, policy=policy)
    if revocation is not None:
        terms = replace(terms, revocation=choice(RevocationMode, revocation, "--revocation"))
    goes_with("--revocation grace", terms.revocation is RevocationMode.GRACE, "--grace")
    goes_with("--revocation ignore", terms.revocation is RevocationMode.IGNORE, "--leaf-limit")
    late, longest, past = (
        span(grace, "--grace"),
        span(leaf_limit, "--leaf-limit"),
        span(expired_grace, "--expired-grace"),
    )
    if late is not None:
        terms = replace(terms, grace=late)
    if longest is not None:
        terms = replace(terms, leaf_limit=longest)
    if past is not None:
        terms = replace(terms, expired_grace=past)
    return terms


def _key(text: str) -> bytes:
    """The SHA-256 of a CA's key: itself in hex, or of the certificate in a file."""
    digits = text.replace(":", "").lower()
    if len(digits) == 64 and all(digit in "0123456789abcdef" for digit in digits):
        return bytes.fromhex(digits)
    from mutualgate.model.certificate import read, spki_fingerprint

    return spki_fingerprint(read(read_file(Path(text)), text).says)


def below_lines(below: "Sequence[Below]") -> list[str]:
    """CAs that were seen below a partner's, for people."""
    if not below:
        return []
    rows = [
        (one.partner.name, one.anchor.id, one.state, f"{one.seen.first_at:%Y-%m-%d}", plain(one.seen.subject))
        for one in below
    ]
    lines = ["", "Seen below them:", table(("partner", "below CA", "state", "first seen", "subject"), rows)]
    for one in below:
        if one.state == "waits":
            lines.append(f"Let it in: mutualgate partner ca allow {one.partner.name} {one.seen.spki.hex()}")
    return lines


def below_facts(below: "Sequence[Below]") -> list[dict[str, Any]]:
    """CAs that were seen below a partner's, for programs."""
    return [
        {
            "partner": str(one.partner.name),
            "ca": one.anchor.id,
            "state": one.state,
            "spki": one.seen.spki.hex(),
            "subject": one.seen.subject,
            "first_at": one.seen.first_at.isoformat(),
        }
        for one in below
    ]


def as_table(anchors: "Sequence[Anchor]", now: datetime) -> str:
    """A partner's CAs for people."""
    if not anchors:
        return "It has no CA."
    rows = [
        (
            one.id,
            one.state_at(now),
            f"{(one.last_moment if one.challenge_expires is None else one.challenge_expires):%Y-%m-%d}",
            one.depth,
            "yes" if one.shared else "no",
            one.environment or "any",
            one.revocation,
            one.policy or "any",
            plain(one.subject),
        )
        for one in anchors
    ]
    return table(("CA", "state", "until", "depth", "shared", "environment", "revocation", "policy", "subject"), rows)


def as_dict(anchor: "Anchor", now: datetime | None) -> dict[str, Any]:
    """A partner's CA for programs."""
    return {
        "id": anchor.id,
        "subject": anchor.subject,
        "spki": anchor.spki.hex(),
        "state": str(anchor.state if now is None else anchor.state_at(now)),
        "shared": anchor.shared,
        "depth": anchor.depth,
        "sub_cas": [key.hex() for key in anchor.sub_cas],
        "environment": anchor.environment,
        "policy": anchor.policy,
        "new_intermediates": "hold" if anchor.hold else "refuse" if anchor.sub_cas else "admit",
        "not_before": anchor.not_before.isoformat(),
        "not_after": anchor.not_after.isoformat(),
        "retire_at": None if anchor.retire_at is None else anchor.retire_at.isoformat(),
        "challenge": anchor.challenge,
        "approval": anchor.approval,
        "waits_for_approval": anchor.proved,
        "challenge_expires": None if anchor.challenge_expires is None else anchor.challenge_expires.isoformat(),
        "revocation": str(anchor.revocation),
        "grace_seconds": int(anchor.grace.total_seconds()),
        "leaf_limit_seconds": int(anchor.leaf_limit.total_seconds()),
        "expired_grace_seconds": int(anchor.expired_grace.total_seconds()),
    }
