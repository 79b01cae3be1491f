"""`mutualgate notices`: the letters that the gate sends, and those it could not send."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mutualgate.cli.group import Group
from mutualgate.cli.options import DEFAULT_DIR, Dir, Json, choice, number
from mutualgate.cli.output import emit, plain, table

if TYPE_CHECKING:
    from mutualgate.model.letter import Letter

app = Group("Letters by e-mail and webhook: what waits, what was sent, what was given up.")


@app.command("list")
def list_(
    state: Annotated[str | None, typer.Option(help="waiting, sent or dead.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """List letters, the newest first. What they say is not shown: it may open an invitation.

    Example: mutualgate notices list --state dead
    """
    from mutualgate.app import Folder, services
    from mutualgate.model.letter import LetterState

    wanted = None if state is None else choice(LetterState, state, "--state")
    with services(Folder(dir)) as all_of_it:
        letters = all_of_it.outbox.list(wanted, limit)
    rows = [
        (one.id, one.state, one.kind, f"{one.created:%Y-%m-%d %H:%M}", plain(one.recipient), plain(_about(one)))
        for one in letters
    ]
    text = table(("letter", "state", "by", "put", "to", "about"), rows) if rows else "There is no letter."
    emit({"letters": [as_dict(one) for one in letters]}, text, json)


@app.command("retry")
def retry(
    letter: Annotated[int, number("a letter", "notices list")],
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Have a letter that was given up sent again.

    Example: mutualgate notices retry 17
    """
    from mutualgate.app import Folder, change

    found, _ = change(Folder(dir), lambda services: services.outbox.retry(letter))
    emit(as_dict(found), f"Letter {found.id} is sent again by the running gate, or by the next one.", json)


@app.command("test")
def try_(
    to: Annotated[str, typer.Argument(help="The e-mail address.")],
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Put a letter for TO into the outbox, to see whether the mail server takes it.

    Example: mutualgate notices test ops@example.com
    """
    from mutualgate.app import Folder, Services, change

    def do(services: Services) -> int | None:
        with services.store.transaction() as tx:
            return services.outbox.put(
                tx, "mail", to, "mutualgate can send letters", "This is a test. Nobody has to do anything.\n"
            )

    letter, _ = change(Folder(dir), do)
    text = f"Letter {letter} is on its way. What becomes of it: mutualgate notices list"
    emit({"id": letter}, text, json)


def _about(letter: "Letter") -> str:
    return f"{letter.subject}: {letter.error}" if letter.error else letter.subject


def as_dict(letter: "Letter") -> dict[str, Any]:
    """A letter for programs."""
    return {
        "id": letter.id,
        "kind": str(letter.kind),
        "state": str(letter.state),
        "recipient": letter.recipient,
        "subject": letter.subject,
        "created": letter.created.isoformat(),
        "next_try": None if letter.next_try is None else letter.next_try.isoformat(),
        "tries": letter.tries,
        "sent": None if letter.sent is None else letter.sent.isoformat(),
        "error": letter.error,
    }
