"""Who was invited by a partner is bounded by its rules, as who comes in under its CAs is.

Knows who was invited and what becomes of it when rules change. Which names a rule permits, the judge says.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from mutualgate.errors import Conflict
from mutualgate.model.names import shown
from mutualgate.model.partner import Member, MemberState
from mutualgate.store import Transaction
from mutualgate.store.trust import Watch

Permits = Callable[[Sequence[tuple[str, str]], str, str], bool]
"""Whether one of the rules (kind, pattern) permits a name of a kind: the judge's word."""


def none(rules: Sequence[tuple[str, str]], kind: str, name: str) -> bool:
    """Permits nothing: where nobody asks the judge, nobody is kept in."""
    return False


def permitted(tx: Transaction, partner: int, name: str, permits: Permits) -> bool:
    """Whether a partner may invite by this name. Rules for one CA alone say nothing of who has no certificate of it."""
    return _permitted(_rules(tx, partner), name, permits)


def not_among(name: str, partner: str) -> Conflict:
    """The error for a name that a partner may not vouch for."""
    return Conflict(
        f"{shown(name)} is not among the names of {partner}",
        expected="a name that its rules permit",
        fix="Ask the operator for a rule",
        code="name_not_permitted",
    )


def outside(tx: Transaction, partner: int, permits: Permits) -> dict[str, Member]:
    """The clients that the partner invited and that count, by names that none of its rules permits."""
    rules = _rules(tx, partner)
    return {
        one.name: one
        for one in tx.members.invited_by(partner, MemberState.ACTIVE)
        if not _permitted(rules, one.name, permits)
    }


def put_out(tx: Transaction, watch: Watch, members: Sequence[Member]) -> None:
    """Keeps them out, with whatever came of their invitations, until a rule permits their names."""
    _move(tx, watch, members, MemberState.OUTSIDE)


def let_in_again(tx: Transaction, watch: Watch, partner: int, permits: Permits) -> list[Member]:
    """Those of the partner's that were put out and whose names its rules permit now."""
    rules = _rules(tx, partner)
    found = [one for one in tx.members.invited_by(partner, MemberState.OUTSIDE) if _permitted(rules, one.name, permits)]
    _move(tx, watch, found, MemberState.ACTIVE)
    return found


def _move(tx: Transaction, watch: Watch, members: Sequence[Member], state: MemberState) -> None:
    for one in members:
        watch.changes("member", one.partner, one.name)
        tx.members.put(replace(one, state=state))


def _rules(tx: Transaction, partner: int) -> list[tuple[str, str]]:
    return [(str(one.kind), one.pattern) for one in tx.partners.rules_of(partner) if one.anchor is None]


def _permitted(rules: Sequence[tuple[str, str]], name: str, permits: Permits) -> bool:
    kind, _, bare = name.partition(":")
    return permits(rules, kind, bare)
