"""The command line. Parses, calls one service, prints. Exit status: 0 done, 1 the answer is no, 2 wrong use."""

import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn, cast

from mutualgate.cli import brief

DEBUG = "MUTUALGATE_DEBUG"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs one command and ends the process. No traceback reaches a user, unless MUTUALGATE_DEBUG asks for it."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["up"]:
        from mutualgate import priority

        priority.give_way()
        sys.exit(run(words))
    brief.begin()
    brief.end(run(words))


def run(words: list[str]) -> int:
    """Runs one command and returns its exit status."""
    import typer
    import typer.exceptions

    from mutualgate.cli import output
    from mutualgate.cli.commands import app
    from mutualgate.cli.group import built
    from mutualgate.errors import MutualgateError

    as_json = "--json" in words
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets its number, not a traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = built(app)(args=words, prog_name="mutualgate", standalone_mode=False)
        return status if isinstance(status, int) else output.DONE
    except MutualgateError as error:
        return output.fail(error, as_json)
    except typer.exceptions.TyperException as error:
        return output.misused(error.format_message(), " ".join(["mutualgate", *_named(words), "--help"]), as_json)
    except typer.Exit as ended:
        return ended.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return 130  # 128 + SIGINT, as shells count
    except SystemExit as ended:
        # The reader had enough, as `head` has: typer makes a failure of that, and takes care of what is buffered.
        if isinstance(ended.__context__, BrokenPipeError):
            return output.DONE
        raise
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        sys.stderr.write(output.plain(f"mutualgate: a defect of mutualgate: {type(error).__name__}: {error}") + "\n")
        sys.stderr.write(f"Please report it; {DEBUG}=1 shows where it happened.\n")
        return output.INTERNAL


def _named(words: list[str]) -> list[str]:
    """The words at the beginning that name a command or a group of them: whose help to see."""
    from typer.core import TyperGroup

    from mutualgate.cli.commands import app
    from mutualgate.cli.group import Command, built

    named: list[str] = []
    command: Command = built(app)
    for word in words:
        if not isinstance(command, TyperGroup) or word not in command.commands:
            break
        named.append(word)
        command = cast(Command, command.commands[word])
    return named
