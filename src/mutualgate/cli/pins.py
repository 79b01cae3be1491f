"""`mutualgate pin`: clients' own certificates and keys, accepted as they are."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mutualgate.cli.files import read_file
from mutualgate.cli.group import Group
from mutualgate.cli.moments import day, span
from mutualgate.cli.options import DEFAULT_DIR, Dir, Json, goes_with, number, remarks_on
from mutualgate.cli.output import emit, plain, table

if TYPE_CHECKING:
    from mutualgate.app import Services
    from mutualgate.model.pin import Pin

app = Group("Clients' own certificates and keys, accepted as they are.")

Number = Annotated[int, number("a pin", "pin list")]
Until = Annotated[str | None, typer.Option("--until", help="It ends on this day (2027-01-31); by default in 398 days.")]


@app.command("add")
def add(
    client: Annotated[str, typer.Argument(help="The client's name.")],
    file: Annotated[
        Path, typer.Argument(help="Its certificate, in any form, or with --key its public key; `-`: stdin.")
    ],
    key: Annotated[
        bool, typer.Option("--key", help="Pin the key: renewed certificates with the same key come in, too.")
    ] = False,
    until: Until = None,
    environment: Annotated[
        str | None, typer.Option(help="Only on sites of this environment; with --replaces, by default the old one's.")
    ] = None,
    replaces: Annotated[int | None, typer.Option(min=1, help="The pin that it replaces.")] = None,
    overlap: Annotated[
        str | None, typer.Option(help="With --replaces: the old one counts for so long (7d); else until its end.")
    ] = None,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Accept a client's own certificate, self-signed or by any CA: this one alone, or its key.

    Examples:
    mutualgate pin add partner-7 partner-7.pem
    mutualgate pin add partner-7 renewed.pem --replaces 3 --overlap 7d
    """
    from mutualgate.app import Folder, change
    from mutualgate.model.pin import PinKind

    goes_with("--replaces", replaces is not None, "--overlap")
    data = read_file(file)
    end, both = day(until, "--until"), span(overlap, "--overlap")

    def do(services: "Services") -> tuple["Pin", list[str]]:
        pin = services.pins.add(
            client,
            data,
            str(file),
            kind=PinKind.KEY if key else PinKind.CERTIFICATE,
            not_after=end,
            environment=environment,
            replaces=replaces,
            overlap=both,
        )
        return pin, [*remarks(pin, services), *remarks_on(pin.environment, services)]

    (pin, odd), force = change(Folder(dir), do)
    lines = [f"Pin {pin.id}: this {pin.kind} is {plain(client)}'s until {pin.not_after:%Y-%m-%d}; {force.sentence}."]
    lines += [f"  {line}" for line in odd]
    emit({**as_dict(pin), "remarks": odd, **force.facts}, "\n".join(lines), json)


@app.command("list")
def list_(
    client: Annotated[str | None, typer.Argument(help="Only this client's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
    after: Annotated[int, typer.Option(help="Go on after the pin with this number.")] = 0,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """List pins.

    Example: mutualgate pin list partner-7
    """
    from mutualgate.app import Folder, services

    goes_with("the list of all, without a client", client is None, "--limit", "--after")
    with services(Folder(dir)) as all_of_it:
        found = all_of_it.pins.list(client, after=after, limit=limit)
        now = all_of_it.clock()
    rows = [
        (
            pin.id,
            plain(owner.name),
            pin.kind,
            "ended" if pin.state == "active" and pin.not_after < now else pin.state,
            f"{pin.retired or pin.not_after:%Y-%m-%d}",
            pin.environment or "any",
            pin.digest.hex()[:16],
            plain(pin.subject),
        )
        for pin, owner in found
    ]
    header = ("pin", "client", "of", "state", "until", "environment", "SHA-256", "subject")
    text = table(header, rows) if rows else "No pin fits."
    if client is None and len(found) == limit:
        text += f"\nThe next ones: --after {found[-1][0].id}"
    emit({"pins": [{**as_dict(pin), "client_name": str(owner.name)} for pin, owner in found]}, text, json)


@app.command("retire")
def retire(
    number: Number,
    on: Annotated[str | None, typer.Option(help="On this day (2027-01-31) instead of now.")] = None,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """End a pin. Its holder is told so from then on; open connections are cut.

    Example: mutualgate pin retire 3 --on 2027-01-31
    """
    from mutualgate.app import Folder, change_trust

    when = day(on, "--on")
    pin, force = change_trust(Folder(dir), lambda services: services.pins.retire(number, on=when))
    said = "is retired" if pin.state == "retired" else f"counts until {pin.not_after:%Y-%m-%d}"
    emit({**as_dict(pin), **force.facts}, f"The pin {number} {said}; {force.sentence}.", json)


@app.command("renew")
def renew(number: Number, until: Until = None, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """Let a pin count for longer, a retired one too. A certificate's never counts after the certificate.

    Example: mutualgate pin renew 3
    """
    from mutualgate.app import Folder, change

    end = day(until, "--until")
    pin, force = change(Folder(dir), lambda services: services.pins.renew(number, not_after=end))
    text = f"The pin {number} counts until {pin.not_after:%Y-%m-%d}; {force.sentence}."
    emit({**as_dict(pin), **force.facts}, text, json)


def remarks(pin: "Pin", services: "Services") -> list[str]:
    """What is odd about a pinned certificate, and what it is."""
    from mutualgate.partners import material
    from mutualgate.reading.files import legible_at

    if pin.certificate is None:
        return []
    certificate = legible_at(pin.certificate, f"the pin {pin.id}")
    return [f"{pin.subject}: {material.words(certificate)}.", *material.remarks(certificate, services.clock())]


def as_dict(pin: "Pin") -> dict[str, Any]:
    """A pin for programs."""
    return {
        "id": pin.id,
        "client": pin.client,
        "kind": str(pin.kind),
        "digest": pin.digest.hex(),
        "spki": pin.spki.hex(),
        "subject": pin.subject,
        "environment": pin.environment,
        "state": str(pin.state),
        "not_before": pin.not_before.isoformat(),
        "not_after": pin.not_after.isoformat(),
        "retired": None if pin.retired is None else pin.retired.isoformat(),
        "replaces": pin.replaces,
    }
