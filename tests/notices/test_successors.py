"""What is typed for what ends."""

import shlex
from datetime import timedelta

import pki
import pytest

from mutualgate.cli.commands import app
from mutualgate.cli.group import found
from mutualgate.model.authority import AuthorityKind
from mutualgate.model.expiring import Expiring, ExpiryKind
from mutualgate.notices.successors import command


def of(kind: ExpiryKind, detail: str = "", name: str = "anna b") -> Expiring:
    return Expiring(kind, "7", name, pki.NOW, pki.NOW - timedelta(days=90), detail=detail)


EVERYTHING = [
    *(of(kind) for kind in ExpiryKind if kind is not ExpiryKind.AUTHORITY),
    *(of(ExpiryKind.AUTHORITY, str(kind)) for kind in AuthorityKind),
]


@pytest.mark.parametrize("portal", [True, False])
@pytest.mark.parametrize("one", EVERYTHING, ids=lambda one: f"{one.kind} {one.detail}")
def test_the_program_takes_it(one: Expiring, portal: bool) -> None:
    program, *words = shlex.split(command(one, portal=portal))
    assert program == "mutualgate"
    named, its = found(app, words)
    its.make_context("mutualgate", words[len(named) :])  # raises what the parser has against the words


def test_a_file_of_the_operators_is_put_in_place_of_the_old_one() -> None:
    assert command(of(ExpiryKind.SITE, "/etc/gate/a b.pem"), portal=True) == "cp FILE '/etc/gate/a b.pem'"


def test_no_name_moves_a_cursor_or_begins_another_command() -> None:
    said = command(of(ExpiryKind.PARTNER_CA, name="\x1b[2J; rm x"), portal=True)
    assert shlex.split(said) == ["mutualgate", "partner", "ca", "renew", "?[2J; rm x", "7", "FILE"]
