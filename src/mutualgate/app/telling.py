"""Tells partners, and whoever watches the gate, of what concerns them: letters in the outbox, where mail is set up."""

from mutualgate.config import Config, is_mailbox
from mutualgate.model import Partner
from mutualgate.notices import Outbox
from mutualgate.partners.anchors import Tell
from mutualgate.store import Transaction


def teller(config: Config, outbox: Outbox) -> Tell:
    """What puts a letter to a partner's contacts, and to those that `[notices]` names, into the outbox."""

    def tell(tx: Transaction, partner: Partner, subject: str, body: str, once: str) -> None:
        if not outbox.sends_mail:
            return
        contacts = (partner.security_contact, partner.contact) if config.notices.contacts else ()
        for to in dict.fromkeys((*contacts, *config.notices.to)):
            if is_mailbox(to):
                outbox.put(tx, "mail", to, subject, f"Partner {partner.name}: {body}\n", f"{once}:{to}"[:160])

    return tell
