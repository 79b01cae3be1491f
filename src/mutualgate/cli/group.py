"""Groups of commands that are imported when they are called.

A command costs what it needs itself: `mutualgate status` loads neither the other eighty nor their flags. Only help and
completion ask every member of a group. tests/cli/test_startup.py holds what a command may not load.
"""

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from typing import Any, cast

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup
from typer.models import CommandInfo

Command = TyperCommand | TyperGroup
_TYPED = "COMMANDLINE"
"""As click calls where the value of such an option comes from."""


class Group(typer.Typer):
    """A noun with its verbs. `later` has the members that are defined elsewhere, last in its help:
    `{"import": "bulk:import_"}` is the function (a command) or the `Group` of that name in `mutualgate.cli.bulk`."""

    def __init__(self, help_text: str, later: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(
            help=help_text, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False, **more
        )
        self.later = later or {}

    def add_typer(self, *_: Any, **__: Any) -> None:
        """Not here: it would load the other group always."""
        raise TypeError("name the group in `later`")


@cache
def built(group: Group) -> TyperGroup:
    """What parses the words of a command and calls it. Made once: a shell, and who stands by, are asked for many."""
    alone = copy.copy(group)
    alone.registered_commands = []
    # With a callback it is the whole program, which installs completion as well.
    made = typer.main.get_command(alone) if alone.registered_callback else typer.main.get_group(alone)
    made.commands = _Members(group)  # type: ignore[attr-defined]  # whose values are made when they are asked for
    return cast(TyperGroup, made)


def found(group: Group, words: Sequence[str]) -> tuple[list[str], Command]:
    """The words at the beginning that name a group or a command, and what they name."""
    command: Command = built(group)
    for count, word in enumerate(words):
        if not isinstance(command, TyperGroup) or word not in command.commands:
            return list(words[:count]), command
        command = cast(Command, command.commands[word])
    return list(words), command


class _Members(Mapping[str, Command]):
    """Commands and groups by name, each made when it is asked for."""

    def __init__(self, group: Group) -> None:
        own = {str(info.name): info for info in group.registered_commands}
        self._members: dict[str, str | CommandInfo] = {**own, **group.later}
        self._made: dict[str, Command] = {}

    def __getitem__(self, name: str) -> Command:
        if name not in self._made:
            member = self._members[name]
            self._made[name] = _named(name, member) if isinstance(member, str) else _command(member)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


def _named(name: str, where: str) -> Command:
    """What `module:attribute` is, under its name in the group."""
    module, _, attribute = where.partition(":")
    found = getattr(import_module(f"{__package__}.{module}"), attribute)
    if not isinstance(found, Group):
        return _command(CommandInfo(name, callback=found))
    made = built(found)
    made.name = name
    return made


_given: ContextVar[frozenset[str]] = ContextVar("given", default=frozenset())


def given() -> frozenset[str]:
    """The options of the command that runs which somebody typed, whatever they say: `--days`."""
    return _given.get()


class _Noting(TyperCommand):
    """Notes which options were typed: a default says the same as the option, and does not ask for it."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # typer has a class of its own for it
        typed = (one for one in self.params if (of := ctx.get_parameter_source(str(one.name))) and of.name == _TYPED)
        token = _given.set(frozenset(word for one in typed for word in one.opts))
        try:
            return super().invoke(ctx)
        finally:
            _given.reset(token)


def _command(info: CommandInfo) -> TyperCommand:
    alone = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
    info.cls = _Noting
    alone.registered_commands = [info]
    made = cast(TyperCommand, typer.main.get_command(alone))
    # Help is filled to the width of the terminal; examples, which people copy, keep their lines (\b is click's mark).
    made.help = re.sub(r"^(?=Examples?:)", "\b\n", made.help or "", flags=re.MULTILINE)
    return made
