"""What a route of the gate can say about who may pass, and how such sayings are joined.

A rule that is not understood is never taken for an open door: it is `unknown`, and the route stays shut.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Final

from mutualgate.apache.syntax import Directive


@dataclass(frozen=True)
class Grant:
    """Who may pass. Without `clients` and `roles`: everybody, or with `certificate` everybody who has one."""

    certificate: bool = False
    clients: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    nobody: bool = False
    unknown: bool = False
    because: tuple[Directive, ...] = field(default=(), compare=False)
    """The directives that say so."""

    @property
    def named(self) -> bool:
        return bool(self.clients or self.roles)


OPEN: Final = Grant()

MOST_ROLES: Final = 20
"""That stand for one rule; beyond, it is not understood."""


def any_of(grants: Iterable[Grant]) -> Grant:
    """One of them suffices, as for several `Require` beside each other."""
    parts = list(grants)
    because = tuple(d for part in parts for d in part.because)
    # An open door beside a rule that is not understood is open in httpd as well.
    if any(part == OPEN for part in parts):
        return OPEN
    rest = [part for part in parts if not part.nobody]
    if not rest:
        return Grant(nobody=True, because=because)
    if any(part.unknown for part in rest):
        return Grant(unknown=True, because=because)
    if any(not part.named for part in rest):
        return Grant(certificate=True, because=because)
    return Grant(
        certificate=True,
        clients=frozenset().union(*(part.clients for part in rest)),
        roles=frozenset().union(*(part.roles for part in rest)),
        because=because,
    )


def all_of(grants: Iterable[Grant]) -> Grant:
    """Each of them has to hold."""
    parts = [part for part in grants if part != OPEN]
    because = tuple(d for part in parts for d in part.because)
    if any(part.nobody for part in parts):
        return Grant(nobody=True, because=because)
    named = list(dict.fromkeys((part.clients, part.roles) for part in parts if part.named))
    if any(part.unknown for part in parts):
        return Grant(unknown=True, because=because)
    if not parts:
        return OPEN
    if len(named) > 1:
        # A route of the gate lets pass who is in `clients` or has one of `roles`. It cannot say "and": a role of its
        # own stands for those of whom all holds.
        words = [{*(role_of(client) for client in clients), *roles} for clients, roles in named]
        roles = frozenset("-".join(one) for one in product(*words)) if prod(map(len, words)) <= MOST_ROLES else None
        if not roles or any(role != role_of(role) for role in roles):
            return Grant(unknown=True, because=because)
        return Grant(certificate=True, roles=roles, because=because)
    if named:  # the others ask for a certificate alone, which goes without saying then
        because = tuple(d for part in parts if part.named for d in part.because)
    clients, roles = next(iter(named), (frozenset[str](), frozenset[str]()))
    return Grant(certificate=True, clients=clients, roles=roles, because=because)


def role_of(text: str) -> str:
    """`text` as the name of a role; empty when nothing is left of it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:64].strip("-._").lower()
