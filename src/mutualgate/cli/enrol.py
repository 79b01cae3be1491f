"""`mutualgate enrol`: on the machine of a client. Needs no installation: it talks to a gate over HTTPS."""

from pathlib import Path
from typing import Annotated

import typer

from mutualgate.cli.files import standard_input
from mutualgate.cli.options import Json, choice, goes_with
from mutualgate.cli.output import NO, emit, plain


def enrol(
    link: Annotated[
        str | None, typer.Argument(help="The link of the invitation, `-` to read it from stdin; not with --renew.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder for key and certificate; it is made.")] = Path(
        "mutualgate-client"
    ),
    key: Annotated[str, typer.Option(help="p256, p384, rsa2048, rsa3072 or ed25519.")] = "p256",
    target: Annotated[
        str | None, typer.Option("--for", help="What client.p12 is for: windows-11, macos, java, fips …")
    ] = None,
    root_sha256: Annotated[
        str | None, typer.Option("--root-sha256", help="SHA-256 of the root that signs the gate's own certificate.")
    ] = None,
    code: Annotated[
        str | None, typer.Option(help="The second code of the invitation, if it has one; `-` for stdin.")
    ] = None,
    renew: Annotated[
        Path | None, typer.Option("--renew", help="Renew what is in this folder, if two thirds of its time are over.")
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="With --renew: whether it is due or not.")] = False,
    json: Json = False,
) -> int:
    """Enrol this machine: make a key here, have it certified by an invitation, and write what programs want.

    The key never leaves this machine. Run again, it goes on where it was interrupted.

    Examples:
    mutualgate enrol https://gate.example/join/TOKEN --out /etc/gate-client
    mutualgate enrol --renew /etc/gate-client
    """
    from mutualgate.authorities.keys import KeyKind
    from mutualgate.clock import system_clock
    from mutualgate.enrolling import Kept, Waiting, parse_link, renewal_due
    from mutualgate.enrolling import enrol as do_enrol
    from mutualgate.enrolling import renew as do_renew
    from mutualgate.enrolling.outputs import instructions

    if (link is None) == (renew is None):
        raise typer.BadParameter("give either the link of an invitation or --renew and a folder")
    of_link = ("--out", "--key", "--for", "--root-sha256", "--code")
    goes_with("the link of an invitation: --renew goes by what is in the folder", link is not None, *of_link)
    goes_with("--renew", renew is not None, "--now")
    if renew is not None:
        kept = Kept(renew)
        kept.state()
        due = None if now else renewal_due(kept, system_clock)
        if due is not None:
            text = f"{plain(renew)}: nothing to do before {due:%Y-%m-%d}."
            emit({"folder": str(renew), "changed": False, "due": due.isoformat()}, text, json)
            return 0
        done = do_renew(kept)
        said = f"{plain(renew)}: renewed until {done.certificate.not_valid_after_utc:%Y-%m-%d}."
    else:
        kind = choice(KeyKind, key, "--key")
        kept = Kept(out)
        # On a command line, other users of the machine could read them.
        url = _line("the link") if link == "-" else str(link)
        code = _line("the code") if code == "-" else code
        outcome = do_enrol(parse_link(url), kept, kind=kind, target=target, root_sha256=root_sha256, factor=code)
        if isinstance(outcome, Waiting):
            text = (
                f"{plain(out)}: the key is made and its request handed in. An operator has to approve it: run this "
                "again later."
            )
            emit({"folder": str(out), "waiting": True}, text, json)
            return NO
        done = outcome
        word = "enrolled" if done.changed else "enrolled already"
        said = f"{plain(out)}: {word}, until {done.certificate.not_valid_after_utc:%Y-%m-%d}."
    use = instructions(done.folder, done.base, pinned_root=done.pinned_root)
    facts = {
        "folder": str(done.folder),
        "waiting": False,
        "changed": done.changed,
        "not_after": done.certificate.not_valid_after_utc.isoformat(),
        "profile": str(done.profile),
    }
    emit(facts, said if not done.changed or renew is not None else f"{said}\n\n{plain_lines(use)}", json)
    return 0


def _line(what: str) -> str:
    """A line from standard input."""
    from mutualgate.errors import BadInput

    line = standard_input().readline(4096).decode("utf-8-sig", "replace").strip()
    if not line:
        raise BadInput(f"{what} is missing on standard input", expected="a line for each `-`, the link first")
    return line


def plain_lines(text: str) -> str:
    """Several lines for a terminal."""
    return "\n".join(plain(line) for line in text.split("\n"))
