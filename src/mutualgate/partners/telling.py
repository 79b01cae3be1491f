"""How partners are told of what concerns them: whoever makes a service says it, here is who tells nobody."""

from collections.abc import Callable

from mutualgate.model.partner import Partner
from mutualgate.store import Transaction

Tell = Callable[[Transaction, Partner, str, str, str], None]
"""Puts a letter to a partner into the outbox, and a copy for the operator: subject, body, and what keeps the same from
being said twice."""


def silent(tx: Transaction, partner: Partner, subject: str, body: str, once: str) -> None:
    """Tells nobody: where there is no outbox, the audit log has it."""
