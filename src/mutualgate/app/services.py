"""Builds every service once, of one folder. Whoever needs a service asks here; nobody else puts them together."""

import logging
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from mutualgate.app.folder import Folder
from mutualgate.clock import Clock, system_clock
from mutualgate.errors import Conflict, MutualgateError, Unavailable

log = logging.getLogger("mutualgate")

Overrides = Callable[["Config"], "Config"]
"""What flags change in a configuration, each time that it is read."""

if TYPE_CHECKING:
    from mutualgate.app.approving import Approvals
    from mutualgate.app.refusals import Refusals
    from mutualgate.app.sightings import Sightings
    from mutualgate.app.trust import Trust
    from mutualgate.authorities.issuing import Policy
    from mutualgate.authorities.keyring import KeyRing
    from mutualgate.authorities.keys import Passphrase
    from mutualgate.authorities.service import Authorities
    from mutualgate.authorities.token_keys import TokenKeys
    from mutualgate.clients import Clients
    from mutualgate.config import Check, Config
    from mutualgate.enrolment.invitation_use import InvitationUse
    from mutualgate.enrolment.invitations import Invitations
    from mutualgate.enrolment.partner_invitations import PartnerInvitations
    from mutualgate.enrolment.renewals import Renewals
    from mutualgate.enrolment.service import Enrolment
    from mutualgate.enrolment.signing import Signer
    from mutualgate.enrolment.tries import WrongTries
    from mutualgate.model.partner import Partner
    from mutualgate.notices.expiry import Expiry
    from mutualgate.notices.outbox import Outbox
    from mutualgate.notices.sender import Sender
    from mutualgate.partners.key_set_fetch import KeySetFetch
    from mutualgate.partners.key_sets import KeySets
    from mutualgate.partners.pins import Pins
    from mutualgate.partners.register import Register
    from mutualgate.partners.revocation import PartnerRevocation
    from mutualgate.partners.revocation_fetch import RevocationFetch
    from mutualgate.partners.service import Partners
    from mutualgate.store import Store, Transaction


class Services:
    """The services of one folder. Each is made when it is first asked for, so that a command imports what it needs."""

    def __init__(
        self,
        folder: Folder,
        *,
        overrides: Overrides = lambda config: config,
        clock: Clock = system_clock,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.clock = clock
        self.listening: list[str] = []
        """Where the gate of this process listens, once it does; TLS first."""
        self.has_claim = False
        """Whether this process has claimed the folder, to run the gate."""
        self.site_ends: Callable[[], Mapping[str, datetime]] = dict
        """When the certificates of the gate itself end, by site; whoever runs it knows."""
        self._overrides = overrides
        self._environment = os.environ if environment is None else environment

    @cached_property
    def by(self) -> str:
        """Who acts, for the audit log: the user of this process."""
        import getpass

        try:
            return getpass.getuser()
        except (KeyError, OSError):
            return f"uid {os.getuid()}"

    def acting(self, by: str) -> "Services":
        """The same installation with somebody else at work: the audit log names `by`. What is open is shared, and it is
        for whoever opened it to close."""
        other = Services(self.folder, overrides=self._overrides, clock=self.clock, environment=self._environment)
        other.__dict__ |= {"by": by, "config": self.config, "store": self.store, "keys": self.keys}
        return other

    @cached_property
    def config(self) -> "Config":
        """mutualgate.toml as it was when it was first asked for, or its defaults. Raises `BadInput`."""
        return self.read_config()

    def rehearsing(self, store: "Store") -> "Services":
        """The same services over another store, in which something is tried."""
        others = Services(self.folder, overrides=self._overrides, clock=self.clock, environment=self._environment)
        others.__dict__.update(store=store, config=self.config, by=self.by)
        return others

    def take(self, config: "Config") -> None:
        """From now on `config` is the one in force: what is signed and published goes by it."""
        self.config = config
        for made_of_it in (
            "policy",
            "enrolment",
            "expiry",
            "invitations",
            "invitation_use",
            "renewals",
            "outbox",
            "sender",
            "key_set_fetch",
            "register",
            "partner_invitations",
        ):
            self.__dict__.pop(made_of_it, None)

    def read_config(self, *checks: "Check", there: bool = False) -> "Config":
        """mutualgate.toml as it is now, with what flags change in it. Raises `BadInput`, as `config.load` does."""
        from mutualgate.config import load

        return self._overrides(load(self.folder.config, *checks, there=there))

    @cached_property
    def store(self) -> "Store":
        from mutualgate.store import Store

        self.folder.refuse_empty_store()
        return Store.open(self.folder.store, self.clock, migrating=self._migrating)

    @contextmanager
    def _migrating(self, old: str, new: str) -> Iterator[None]:
        """Brings the store to another form only where no gate of an older program is at work on it: this process is the
        gate, or there is none, nor will there be until it is done. Raises `Conflict`."""
        from mutualgate.app.claim import claimed

        with ExitStack() as stack:
            if not self.has_claim:
                self.folder.create()
                try:
                    stack.enter_context(claimed(self.folder))
                except Unavailable as error:
                    raise Conflict(
                        f"the store has version {old} and a gate of the older program runs on it; this program needs "
                        f"version {new}, which that one does not know",
                        where=str(self.folder.store),
                        fix=f"First: mutualgate restart --dir {shlex.quote(str(self.folder.path))}",
                        code="older_gate_runs",
                    ) from error
            log.warning(
                "%s is brought from version %s to %s; an older program does not open it any more",
                self.folder.store,
                old,
                new,
            )
            yield

    @cached_property
    def keys(self) -> "KeyRing":
        """The keys of authorities; asks for the passphrase when the first of them is needed."""
        from mutualgate.authorities.keyring import KeyRing
        from mutualgate.authorities.keys import find_passphrase

        def ask() -> "Passphrase":
            return find_passphrase(self.folder.path, self._environment, make=self._kept_key() is None)

        return KeyRing(ask, self._kept_key)

    def _kept_key(self) -> bytes | None:
        """One that the passphrase opens, encrypted, if there is any."""
        from mutualgate.authorities.token_keys import kept_key

        with self.store.reading() as tx:
            oldest = next(iter(tx.authorities.with_keys()), None)
            return kept_key(tx) if oldest is None else tx.authorities.key(oldest.id)

    @cached_property
    def policy(self) -> "Policy":
        """What is written into all that our authorities sign."""
        from mutualgate.authorities.issuing import Policy

        authority = self.config.authority
        return Policy(
            crl_url=authority.crl_url or self._default_crl_url(),
            crl_life=authority.crl_life,
            client_validity=authority.client_validity,
            renewal_overlap=authority.renewal_overlap,
            renewal_grace=authority.renewal_grace,
            server_validity=authority.server_validity,
        )

    @cached_property
    def refusals(self) -> "Refusals":
        from mutualgate.app.refusals import Refusals

        return Refusals(self.store)

    @cached_property
    def sightings(self) -> "Sightings":
        from mutualgate.app.sightings import Sightings

        return Sightings(self.store, self.tell)

    @cached_property
    def clients(self) -> "Clients":
        from mutualgate.clients import Clients

        return Clients(self.store, self.by)

    @cached_property
    def pins(self) -> "Pins":
        from mutualgate.partners.pins import Pins

        return Pins(self.store, self.by)

    @cached_property
    def key_sets(self) -> "KeySets":
        """Clients that publish their keys by a URL."""
        from mutualgate.partners.key_sets import KeySets

        return KeySets(self.store, self.by)

    @cached_property
    def key_set_fetch(self) -> "KeySetFetch":
        from mutualgate.app.telling import teller_of_keys
        from mutualgate.partners.key_set_fetch import KeySetFetch

        return KeySetFetch(self.store, teller_of_keys(self.config, self.outbox))

    @cached_property
    def partners(self) -> "Partners":
        from mutualgate.partners.service import Partners

        return Partners(self.store, self.by, self.tell, self.permits, self.adoption_fault)

    def tell(self, tx: "Transaction", partner: "Partner", subject: str, body: str, once: str) -> None:
        """Tells a partner, by the configuration in force: what tells is loaded when there is something to tell."""
        from mutualgate.app.telling import teller

        teller(self.config, self.outbox)(tx, partner, subject, body, once)

    @staticmethod
    def permits(rules: Sequence[tuple[str, str]], names: Sequence[str]) -> list[bool]:
        """Which names one of a partner's rules permits: the judge's word, who is loaded when he is asked."""
        from mutualgate.gate import names_permitted

        return names_permitted(rules, names)

    @cached_property
    def register(self) -> "Register":
        """Whether payment service providers have their licences; only in the process that has claimed the folder."""
        from mutualgate.partners.register import Register

        return Register(self.store, self.config.register, self.tell)

    @cached_property
    def trust(self) -> "Trust":
        from mutualgate.app.trust import Trust

        return Trust(self)

    @cached_property
    def approvals(self) -> "Approvals":
        from mutualgate.app.approving import Approvals

        return Approvals(self.store, self.by)

    @cached_property
    def revocation(self) -> "PartnerRevocation":
        """What partners' CAs revoked."""
        from mutualgate.partners.revocation import PartnerRevocation

        return PartnerRevocation(self.store, self.by)

    @cached_property
    def revocation_fetch(self) -> "RevocationFetch":
        from mutualgate.partners.revocation_fetch import RevocationFetch

        return RevocationFetch(self.store, self.revocation)

    @cached_property
    def authorities(self) -> "Authorities":
        from mutualgate.authorities.service import Authorities

        return Authorities(
            self.store, self.keys, lambda: self.policy, self.by, self.adoption_fault, self.most_of_a_name
        )

    @staticmethod
    def adoption_fault(certificate: bytes, policy: bool) -> str | None:
        """Why nobody could come in under a CA of this certificate, adopted or a partner's: the judge's word."""
        from mutualgate.gate import adoption_fault

        return adoption_fault(certificate, policy)

    @staticmethod
    def most_of_a_name() -> int:
        """How many CAs of one name the judge tries for one certificate."""
        from mutualgate.gate import most_of_a_name

        return most_of_a_name()

    @cached_property
    def token_keys(self) -> "TokenKeys":
        from mutualgate.authorities.token_keys import TokenKeys

        return TokenKeys(self.store, self.keys, self.by)

    @cached_property
    def enrolment(self) -> "Enrolment":
        from mutualgate.enrolment.service import Enrolment

        return Enrolment(self.store, self.keys, self.policy, self.by)

    @cached_property
    def wrong_tries(self) -> "WrongTries":
        """Outlives a new configuration: who guessed before it is not forgotten."""
        from mutualgate.enrolment.tries import WrongTries

        return WrongTries()

    @cached_property
    def invitations(self) -> "Invitations":
        from mutualgate.enrolment.invitations import Invitations

        return Invitations(
            self.store,
            self._signer,
            self.by,
            base_url=self.base_url,
            outbox=self.outbox,
            organisation=lambda: self.config.authority.organisation,
            letter=lambda: self.config.portal.letter,
        )

    def _signer(self) -> "Signer":
        from mutualgate.enrolment.signing import Signer

        return Signer(self.keys, self.policy, self.by)

    @cached_property
    def invitation_use(self) -> "InvitationUse":
        """What their holders do with them."""
        from mutualgate.enrolment.invitation_use import InvitationUse

        return InvitationUse(self.store, self.keys, self.policy, tries=self.wrong_tries)

    @cached_property
    def partner_invitations(self) -> "PartnerInvitations":
        """Those that partners' own administrators make."""
        from mutualgate.enrolment.partner_invitations import PartnerInvitations

        return PartnerInvitations(self.store, self.invitations, self.permits, self.by)

    @cached_property
    def renewals(self) -> "Renewals":
        from mutualgate.enrolment.renewals import Renewals

        return Renewals(self.store, self.keys, self.policy)

    def base_url(self) -> str:
        """The address of the portal, as links to it begin: `https://gate.example.com/join`.

        Raises `NotFound` where no route leads to the portal, and where nobody knows the port; `Unavailable` where the
        gate that runs does not say where it listens.
        """
        from mutualgate.app.links import portal_url

        return portal_url(self.config, lambda: self.listening or self._listening_elsewhere)

    @cached_property
    def _listening_elsewhere(self) -> "Sequence[str]":
        """Where the gate of another process listens, if one runs: asked once, however many links a command writes."""
        from mutualgate.app import control

        answer = None if self.has_claim else control.ask(self.folder, "running")
        return () if answer is None else answer["listening"]

    @cached_property
    def outbox(self) -> "Outbox":
        from mutualgate.notices.outbox import Outbox

        return Outbox(self.store, lambda: self.config.mail, lambda: self.config.notices, self.by)

    @cached_property
    def expiry(self) -> "Expiry":
        from mutualgate.notices.expiry import Expiry

        return Expiry(
            self.store,
            self.outbox,
            self.config.notices,
            sites=lambda: self.site_ends(),
            files=lambda: {site.name: str(site.certificate) for site in self.config.sites if site.certificate},
            issued_life=self.config.authority.server_validity,
            renew_url=self._renew_url,
            renews=lambda tx, one: self.renewals.renews(tx, one),
        )

    def _renew_url(self) -> str | None:
        try:
            return self.base_url()
        except MutualgateError:
            return None

    @cached_property
    def sender(self) -> "Sender":
        """What sends letters; only in the process that has claimed the folder."""
        from mutualgate.notices.sender import Sender

        return Sender(self.store, self.config.mail, self.config.notices)

    def _default_crl_url(self) -> str | None:
        """`/crl` at the first plain listener, by a name of the first site that others can use, if it has one."""
        listeners = self.config.gate.plain_listen
        if not listeners or listeners[0].port == 0:
            return None
        listener = listeners[0]
        host = listener.host
        if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
            host = next((name for name in self.config.sites[0].hosts if name != "localhost"), host)
        port = "" if listener.port == 80 else f":{listener.port}"
        return f"http://{f'[{host}]' if ':' in host else host}{port}/crl"

    def close(self) -> None:
        """Closes the store, if it was opened."""
        if "store" in self.__dict__:
            self.store.close()


@contextmanager
def services(folder: Folder, *, create: bool = False) -> Iterator[Services]:
    """The services of an installation, closed at the end. Raises `BadInput` where there is none, unless to `create`."""
    if not create:
        folder.require()
    made = Services(folder)
    try:
        yield made
    finally:
        made.close()
