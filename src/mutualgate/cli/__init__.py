"""The command line. Parses, calls one service, prints. Exit status: 0 done, 1 the answer is no, 2 wrong use."""

import io
import os
import sys

from mutualgate.cli import relay

TYPE_CHECKING = False  # `typing` takes as long to import as Python to start
if TYPE_CHECKING:
    from typing import NoReturn

DEBUG = "MUTUALGATE_DEBUG"


def main() -> "NoReturn":
    """Runs one command and ends the process. No traceback reaches a user, unless MUTUALGATE_DEBUG asks for it."""
    try:
        _main(sys.argv[1:])
    except KeyboardInterrupt:  # while it imports, which is half of what most commands take
        raise SystemExit(relay.INTERRUPTED) from None


def _main(words: list[str]) -> "NoReturn":
    status = relay.relayed(words)
    if status is not None:
        os._exit(status)  # nothing was written here
    if words[:1] == ["up"]:
        from mutualgate import priority

        priority.give_way()
        sys.exit(run(words))
    from mutualgate.cli import brief

    brief.begin()
    brief.end(run(words))


def run(words: list[str]) -> int:
    """Runs one command and returns its exit status."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed by who called
            from mutualgate.cli import output

            setattr(sys, name, output.nobody())
    try:
        return attempt(words)
    except BrokenPipeError:
        return 0  # the reader had enough, as `head` has


def attempt(words: list[str]) -> int:
    """As `run`. Raises `BrokenPipeError` where nobody reads what the command says; it has done its work then."""
    status = 0
    try:
        status = _attempt(words)
    except SystemExit as ended:  # the answer could not be written
        status = ended.code if isinstance(ended.code, int) else 1
    finally:
        status = _unconfirmed(status)
    return status


def _unconfirmed(status: int) -> int:
    """Says, after the results, what the running gate has not confirmed; returns the exit status with that."""
    change = sys.modules.get("mutualgate.app.change")  # a command that did not load it has changed nothing
    for error in change.unconfirmed() if change is not None else ():
        from mutualgate.cli import output

        output.complain(output.plain(error))
        status = max(status, output.INTERRUPTED if error.gave_up else output.NO)
    return status


def _attempt(words: list[str]) -> int:
    import typer
    import typer.exceptions
    from typer.core import TyperGroup

    from mutualgate.cli import output
    from mutualgate.cli.commands import app
    from mutualgate.cli.group import built, found
    from mutualgate.errors import BadInput, MutualgateError

    as_json = "--json" in words
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets its number, not a traceback. Once only: Ctrl-C within it would
        # leave a stream that writes nothing more, and a shell goes on.
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "backslashreplace":
            stream.reconfigure(errors="backslashreplace")
    try:
        status = built(app)(args=words, prog_name="mutualgate", standalone_mode=False)
        return status if isinstance(status, int) else output.DONE
    except MutualgateError as error:
        return output.fail(error, as_json)
    except UnicodeEncodeError as error:
        # Files may have such names, so a word is only refused where it came to be text.
        odd = [word for word in words if not word.isascii() and error.object[error.start : error.end] in word]
        if error.reason != "surrogates not allowed" or not odd:
            return _defect(error)
        return output.fail(BadInput(f"{odd[0]!a} is not UTF-8", expected="text"), as_json)
    except typer.exceptions.TyperException as error:
        named, command = found(app, words)
        if named == words and isinstance(command, TyperGroup):
            output.emit({}, error.format_message(), as_json)  # a group alone: what it has
            return output.WRONG_USE
        return output.misused(error.format_message(), " ".join(["mutualgate", *named, "--help"]), as_json)
    except typer.Exit as ended:
        return ended.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return output.INTERRUPTED
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # typer exits, and takes care of what is buffered
            raise ended.__context__ from None
        raise
    except Exception as error:
        return _defect(error)


def _defect(error: Exception) -> int:
    """Says that it is ours, and returns the exit status."""
    from mutualgate.cli import output

    if os.environ.get(DEBUG):
        raise error
    what = output.plain(f"{type(error).__name__}: {error}")
    output.complain(f"a defect of mutualgate: {what}\nPlease report it; {DEBUG}=1 shows where it happened.")
    return output.INTERNAL
