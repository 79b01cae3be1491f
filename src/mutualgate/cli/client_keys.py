"""`mutualgate client keys`: clients that publish their keys by a URL (RFC 7517, RFC 8705)."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mutualgate.cli.group import Group
from mutualgate.cli.moments import span
from mutualgate.cli.options import DEFAULT_DIR, Dir, Json, number
from mutualgate.cli.output import DONE, NO, emit, plain, table
from mutualgate.cli.pins import as_dict as pin_dict

if TYPE_CHECKING:
    from mutualgate.app import Services
    from mutualgate.model.key_set import KeySet, PublishedKey
    from mutualgate.model.pin import Pin
    from mutualgate.partners.key_set_fetch import Taken

app = Group("Keys that a client publishes by a URL: new ones are found, wait, and then let it in.")

Name = Annotated[str, typer.Argument(help="The client's name.")]
Number = Annotated[int, number("a key", "client keys list NAME")]


@app.command("watch")
def watch(
    name: Name,
    url: Annotated[str, typer.Argument(help="Where its JWK Set is, an https address.")],
    hold: Annotated[str, typer.Option(help="A new key waits for so long before it lets anybody in; 0h: not.")] = "24h",
    every: Annotated[str, typer.Option(help="Fetch it so often.")] = "1h",
    private: Annotated[bool, typer.Option("--private", help="It may lie in this network or on this machine.")] = False,
    environment: Annotated[str, typer.Option(help="Its keys count on sites of this environment only.")] = "",
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> int:
    """Fetch a client's keys from where it publishes them, now and from now on. Say it again to change how.

    A fetch only adds keys, and only to this client. A key counts if it is still there when its hold is over, or when
    you approve it. You are told of each: set [notices] up. Exit status 1: it could not be fetched now.

    Example: mutualgate client keys watch partner-7 https://partner-7.example/jwks.json
    """
    from mutualgate.app import Folder, change

    wait, often = span(hold, "--hold") or timedelta(0), span(every, "--every") or timedelta(0)

    def do(services: "Services") -> "Taken":
        services.key_sets.watch(name, url, hold=wait, every=often, private=private, environment=environment)
        return services.key_set_fetch.now(name)

    taken, force = change(Folder(dir), do)
    text = f"The keys of {plain(name)} are watched, a new one waits for {hold}; {force.sentence}.\n{_story(taken)}"
    emit({**_facts(taken), **force.facts}, text, json)
    return NO if taken.problem else DONE


@app.command("list")
def list_(
    name: Annotated[str | None, typer.Argument(help="The client's name; without it, all that are watched.")] = None,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Show the keys that a client published, and what became of each; or all clients whose keys are watched.

    Example: mutualgate client keys list partner-7
    """
    from mutualgate.app import Folder, services
    from mutualgate.config.kinds import duration_text

    if name is None:
        return _list_all(dir, json)
    with services(Folder(dir)) as all_of_it:
        view = all_of_it.key_sets.show(name)
    one = view.set
    fetched = "never" if one.fetched is None else f"{one.fetched:%Y-%m-%d %H:%M} UTC"
    again, hold = f"{one.next_fetch:%Y-%m-%d %H:%M} UTC", duration_text(one.hold)
    lines = [f"{plain(one.url)}: read {fetched}, next {again}; a new key waits for {hold}"]
    if one.error:
        lines.append(f"!  {plain(one.error)}")
    rows = [
        (
            key.id,
            key.kind,
            _state(key, pin, one),
            f"{key.since:%Y-%m-%d %H:%M}",
            "yes" if key.gone is None else f"no, since {key.gone:%Y-%m-%d %H:%M}",
            key.digest.hex()[:16],
            plain(key.label),
        )
        for key, pin in view.keys
    ]
    header = ("key", "of", "state", "found (UTC)", "in the set", "SHA-256", "what")
    lines += ["", table(header, rows)] if rows else ["It published none that could be used."]
    lines += [f"left out: {plain(sentence)}" for sentence in one.left_out]
    keys = [
        {**key_dict(key), "pin": None if pin is None else pin_dict(pin), "counts_from": _due(key, one)}
        for key, pin in view.keys
    ]
    emit({**set_dict(one), "keys": keys}, "\n".join(lines), json)


@app.command("fetch")
def fetch(name: Name, dir: Dir = DEFAULT_DIR, json: Json = False) -> int:
    """Fetch a client's keys now. Exit status 1: they could not be fetched, or not be used.

    Example: mutualgate client keys fetch partner-7
    """
    from mutualgate.app import Folder, change

    taken, force = change(Folder(dir), lambda services: services.key_set_fetch.now(name))
    emit({**_facts(taken), **force.facts}, f"{_story(taken)}\n{force.sentence[0].upper()}{force.sentence[1:]}.", json)
    return NO if taken.problem else DONE


@app.command("approve")
def approve(name: Name, number: Number, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """Let a published key count now, without waiting any longer. Compare its SHA-256 with what the client says first.

    Example: mutualgate client keys approve partner-7 4
    """
    from mutualgate.app import Folder, change

    pin, force = change(Folder(dir), lambda services: services.key_sets.approve(name, number))
    text = f"The key {number} is {plain(name)}'s until {pin.not_after:%Y-%m-%d}, as pin {pin.id}; {force.sentence}."
    emit({"key": number, "pin": pin_dict(pin), **force.facts}, text, json)


@app.command("decline")
def decline(name: Name, number: Number, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """Never let a published key count, however long it stays in the set.

    Example: mutualgate client keys decline partner-7 4
    """
    from mutualgate.app import Folder, change

    key, force = change(Folder(dir), lambda services: services.key_sets.decline(name, number))
    emit({**key_dict(key), **force.facts}, f"The key {number} is declined; {force.sentence}.", json)


@app.command("unwatch")
def unwatch(name: Name, dir: Dir = DEFAULT_DIR, json: Json = False) -> None:
    """Fetch a client's keys no more. Those that wait are forgotten; those that count stay until they are retired.

    Example: mutualgate client keys unwatch partner-7
    """
    from mutualgate.app import Folder, change

    waiting, force = change(Folder(dir), lambda services: services.key_sets.unwatch(name))
    text = f"The keys of {plain(name)} are not watched, {waiting} that waited are forgotten; {force.sentence}."
    emit({"forgotten": waiting, **force.facts}, text, json)


def _list_all(dir: Dir, json: Json) -> None:
    from mutualgate.app import Folder, services

    with services(Folder(dir)) as all_of_it:
        found = all_of_it.key_sets.list()
    rows = [
        (
            plain(name),
            waiting,
            "never" if one.fetched is None else f"{one.fetched:%Y-%m-%d %H:%M}",
            plain(one.url) + (f": {plain(one.error)}" if one.error else ""),
        )
        for one, name, waiting in found
    ]
    text = table(("client", "waiting", "read (UTC)", "address"), rows) if rows else "No client's keys are watched."
    emit({"sets": [{**set_dict(one), "client_name": name, "waiting": n} for one, name, n in found]}, text, json)


def _story(taken: "Taken") -> str:
    if taken.problem:
        return f"Nothing was taken: {plain(taken.problem)}"
    pinned = {one.id: one for one in taken.pinned}
    news = [pinned.get(one.id, one) for one in taken.found]
    news += [one for one in taken.pinned if one.id not in {known.id for known in taken.found}]
    lines = [f"key {one.id}, {one.kind} {one.digest.hex()[:16]}… {plain(one.label)}: {_became(one)}" for one in news]
    lines += [f"key {one.id}: left the set" for one in taken.left]
    lines += [f"key {one.id}: is back in the set" for one in taken.back]
    lines += [f"left out: {plain(sentence)}" for sentence in taken.set.left_out]
    return "\n".join(lines) or "Nothing is new in the set."


def _became(key: "PublishedKey") -> str:
    if key.pin is not None:
        return f"pin {key.pin}"
    return f"{key.state}: {plain(key.detail)}" if key.detail else str(key.state)


def _state(key: "PublishedKey", pin: "Pin | None", one: "KeySet") -> str:
    if pin is not None:
        return f"pin {pin.id}, {pin.state}"
    if (due := _due(key, one)) is not None:
        return f"waiting until {due[:16].replace('T', ' ')}"
    return f"{key.state}: {plain(key.detail)}" if key.detail else str(key.state)


def _due(key: "PublishedKey", one: "KeySet") -> str | None:
    return (key.since + one.hold).isoformat() if key.state == "waiting" else None


def _facts(taken: "Taken") -> dict[str, Any]:
    return {
        **set_dict(taken.set),
        "problem": taken.problem,
        "found": [key_dict(one) for one in taken.found],
        "pinned": [key_dict(one) for one in taken.pinned],
        "left": [key_dict(one) for one in taken.left],
        "back": [key_dict(one) for one in taken.back],
    }


def set_dict(one: "KeySet") -> dict[str, Any]:
    """Where a client publishes, for programs."""
    return {
        "client": one.client,
        "url": one.url,
        "private": one.private,
        "environment": one.environment,
        "hold_seconds": int(one.hold.total_seconds()),
        "every_seconds": int(one.every.total_seconds()),
        "fetched": None if one.fetched is None else one.fetched.isoformat(),
        "next_fetch": one.next_fetch.isoformat(),
        "failures": one.failures,
        "error": one.error,
        "left_out": list(one.left_out),
    }


def key_dict(key: "PublishedKey") -> dict[str, Any]:
    """A published key, for programs."""
    return {
        "id": key.id,
        "kind": str(key.kind),
        "sha256": key.digest.hex(),
        "what": key.label,
        "state": str(key.state),
        "found": key.since.isoformat(),
        "gone": None if key.gone is None else key.gone.isoformat(),
        "pin": key.pin,
        "detail": key.detail,
    }
