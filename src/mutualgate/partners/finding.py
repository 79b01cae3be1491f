"""Whom a name means, within a transaction that somebody else leads."""

from mutualgate.errors import BadInput, NotFound
from mutualgate.model.names import shown
from mutualgate.model.partner import Partner, PartnerName
from mutualgate.store import Transaction


def find(tx: Transaction, name: str) -> Partner:
    """The partner of this name that is not gone. Raises `NotFound`."""
    try:
        partner = tx.partners.find(PartnerName(name))
    except BadInput:
        partner = None
    if partner is None:
        raise NotFound(
            f"there is no partner {shown(name)}", fix="See them with: mutualgate partner list", code="no_such_partner"
        )
    return partner


def subject(partner: Partner) -> str:
    """What the audit log calls it; the id too, for a name can be another's later."""
    return f"partner {partner.id} {partner.name}"
