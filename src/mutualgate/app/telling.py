"""Tells partners, and whoever watches the gate, of what concerns them: letters in the outbox, where mail is set up."""

from mutualgate.config import Config, is_mailbox
from mutualgate.model.client import Client
from mutualgate.model.partner import Partner
from mutualgate.notices.outbox import Outbox
from mutualgate.partners.key_set_fetch import Notice
from mutualgate.partners.key_set_fetch import Tell as TellOfKeys
from mutualgate.partners.telling import Tell
from mutualgate.store import Transaction


def teller(config: Config, outbox: Outbox) -> Tell:
    """What puts a letter to a partner's contacts, and to those that `[notices]` names, into the outbox."""

    def tell(tx: Transaction, partner: Partner, subject: str, body: str, once: str) -> None:
        text = f"Partner {partner.name}: {body}\n"
        contacts = (partner.security_contact, partner.contact) if config.notices.contacts and outbox.sends_mail else ()
        for to in dict.fromkeys(contacts):
            if is_mailbox(to) and to not in config.notices.to:
                outbox.put(tx, "mail", to, subject, text, f"{once}:{to}"[:160])
        outbox.tell(tx, "partner", subject, text, {"partner": str(partner.name), "about": once}, once)

    return tell


def teller_of_keys(config: Config, outbox: Outbox) -> TellOfKeys:
    """What tells those that `[notices]` names, and the client by its contact, of the keys that it published.

    The client is told since it alone knows whether it was it.
    """

    def tell(tx: Transaction, client: Client, notice: Notice) -> None:
        said = "\n".join(notice.lines)
        more = f"See them, approve or decline: mutualgate client keys list {client.name.word}"
        text = f"{notice.facts['url']}\n\n{said}\n\n{more}\n"
        outbox.tell(tx, "client_keys", f"mutualgate: {notice.subject}", text, notice.facts, notice.once)
        if not (config.notices.contacts and outbox.sends_mail and is_mailbox(client.contact)):
            return
        body = (
            f"At {notice.facts['url']}, the keys of {client.name} changed:\n\n{said}\n\n"
            "If that was not you, tell whoever runs the gate at once.\n\n"
            "You get this letter since your address is the contact of this client.\n"
        )
        outbox.put(tx, "mail", client.contact, notice.subject, body, f"{notice.once}:holder")

    return tell
