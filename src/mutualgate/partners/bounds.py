"""Who was invited by a partner is bounded by its rules, as who comes in under its CAs is.

Knows who was invited and what becomes of it when rules change. Which names a rule permits, the judge says.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from mutualgate.errors import Conflict
from mutualgate.model.names import shown
from mutualgate.model.partner import Member, MemberState, NameRule, RuleKind
from mutualgate.store import Transaction
from mutualgate.store.trust import Watch

Permits = Callable[[Sequence[tuple[str, str]], Sequence[str]], Sequence[bool]]
"""For each of the names, as `dns:api.example`, whether a rule (kind, pattern) permits it: the judge's word."""


def none(rules: Sequence[tuple[str, str]], names: Sequence[str]) -> list[bool]:
    """Permits nothing: where nobody asks the judge, nobody is kept in."""
    return [False] * len(names)


def permitted(tx: Transaction, partner: int, name: str, permits: Permits) -> bool:
    """Whether a partner may invite by this name. Rules for one CA alone say nothing of who has no certificate of it."""
    return permits(_rules(tx, partner), [name])[0]


def not_among(name: str, partner: str) -> Conflict:
    """The error for a name that a partner may not vouch for."""
    return Conflict(
        f"{shown(name)} is not among the names of {partner}",
        expected="a name that its rules permit",
        fix="Ask the operator for a rule",
        code="name_not_permitted",
    )


def outside(tx: Transaction, partner: int, permits: Permits, names: Sequence[str]) -> dict[str, Member]:
    """Those of the partner's clients by these names that count, though none of its rules permits the name."""
    good = permits(_rules(tx, partner), names)
    those = tx.members.get_many(partner, [name for name, within in zip(names, good, strict=True) if not within])
    return {name: one for name, one in those.items() if one.state is MemberState.ACTIVE}


def put_out(tx: Transaction, watch: Watch, members: Sequence[Member]) -> None:
    """Keeps them out, with whatever came of their invitations, until a rule permits their names."""
    _move(tx, watch, members, MemberState.OUTSIDE)


def let_in_again(tx: Transaction, watch: Watch, partner: int, permits: Permits) -> list[Member]:
    """Those of the partner's that were put out and whose names its rules permit now."""
    names = tx.members.invited_by(partner, MemberState.OUTSIDE)
    good = permits(_rules(tx, partner), names)
    those = tx.members.get_many(partner, [name for name, within in zip(names, good, strict=True) if within])
    found = list(those.values())
    _move(tx, watch, found, MemberState.ACTIVE)
    return found


def _move(tx: Transaction, watch: Watch, members: Sequence[Member], state: MemberState) -> None:
    for one in members:
        watch.changes("member", one.partner, one.name)
        tx.members.put(replace(one, state=state))


def binding(rules: Iterable[NameRule]) -> list[tuple[RuleKind, str]]:
    """Those of `rules` that count for who was invited: not those for one CA alone."""
    return [(one.kind, one.pattern) for one in rules if one.anchor is None]


def _rules(tx: Transaction, partner: int) -> list[tuple[str, str]]:
    return [(str(kind), pattern) for kind, pattern in binding(tx.partners.rules_of(partner))]
