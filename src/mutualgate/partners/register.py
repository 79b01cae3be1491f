"""Whether payment service providers still have their licences: an operator's program is asked, again and again (R25).

A qualified certificate outlives the licence that it names. Registers differ from country to country, so who asks one is
a program that the operator names; it is called with the identifier, and the first word that it writes is the answer.
Only `withdrawn` changes anything, and nothing here lifts a suspension.
"""

import logging
import os
import shlex
import subprocess
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mutualgate.config import RegisterConfig
from mutualgate.model.partner import Member, MemberState, Partner, PartnerProfile, PartnerState, RuleKind
from mutualgate.partners.members import Members
from mutualgate.partners.telling import Tell
from mutualgate.store import Store, Transaction

log = logging.getLogger("mutualgate")

_PAGE = 500


class Standing(StrEnum):
    """What a register says."""

    ACTIVE = "active"
    WITHDRAWN = "withdrawn"


class Unreachable(Exception):
    """The register could not be asked; the text says why."""


@dataclass(frozen=True)
class Provider:
    """A payment service provider, by the rule that names it."""

    partner: Partner
    identifier: str

    @property
    def name(self) -> str:
        """What it is called inside its partner."""
        return f"{RuleKind.ORGANIZATION}:{self.identifier}"


@dataclass
class Register:
    """The service, for the process that runs the gate. What was asked when is forgotten with it."""

    store: Store
    config: RegisterConfig
    tell: Tell
    _asked: dict[str, datetime] = field(default_factory=dict)

    def due(self) -> list[Provider]:
        """Those that come in by their identifiers and were not asked about for `every`."""
        if self.config.command is None:
            return []
        now = self.store.clock()
        found: dict[str, Provider] = {}
        with self.store.reading() as tx:
            last = 0
            while page := tx.partners.page(after=last, limit=_PAGE):
                last = page[-1].id
                for partner in page:
                    if partner.profile is PartnerProfile.PSD2 and partner.state is PartnerState.ACTIVE:
                        found |= {one.name: one for one in _providers(tx, partner)}
        since = now - self.config.every
        # Asked in the future: the clock was set back since.
        return [one for name, one in found.items() if not since < self._asked.get(name, since) <= now]

    def check(self, provider: Provider) -> Standing | None:
        """Asks about one, and keeps it out if its licence was withdrawn. None where the register did not say."""
        now = self.store.clock()
        self._asked[provider.name] = now
        day = f"{now:%Y-%m-%d}"
        try:
            standing = ask(self.config, provider.identifier)
        except Unreachable as problem:
            log.warning("the register could not be asked about %s: %s", provider.identifier, problem)
            with self.store.transaction() as tx:
                body = (
                    f"The register could not be asked about {provider.identifier}: {problem}.\nNothing was changed:"
                    " whoever came in still does."
                )
                self.tell(tx, provider.partner, "A register could not be asked", body, f"register:{day}:unreachable")
            return None
        if standing is Standing.WITHDRAWN:
            self._keep_out(provider, f"register:{day}:{provider.identifier}"[:80])
        return standing

    def _keep_out(self, provider: Provider, once: str) -> None:
        """In one transaction with its letter: nobody asks the register again about who is kept out."""
        with self.store.transaction() as tx:
            if tx.members.get(provider.partner.id, provider.name) is None:
                now = self.store.clock()
                tx.members.put(Member(provider.partner.id, provider.name, None, MemberState.PENDING, now))
            Members(self.store, "register").keep_out(tx, str(provider.partner.name), provider.name)
            body = (
                f"The register says that the licence of {provider.identifier} was withdrawn. Its client is suspended,"
                " and comes in again only when an operator says so:\n"
                f"mutualgate partner member resume {provider.partner.name} {shlex.quote(provider.name)}"
            )
            self.tell(tx, provider.partner, "A payment service provider's licence was withdrawn", body, once)


def ask(config: RegisterConfig, identifier: str) -> Standing:
    """Calls the program. Raises `Unreachable`."""
    try:
        done = subprocess.run(
            [str(config.command), identifier],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=config.timeout.total_seconds(),
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unreachable("the program did not end in time") from None
    except OSError as error:
        raise Unreachable(f"the program cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        raise Unreachable(f"the program ended with {done.returncode}")
    word = done.stdout[:100].decode("ascii", "replace").split()
    try:
        return Standing(word[0].lower() if word else "")
    except ValueError:
        raise Unreachable("the program wrote neither active nor withdrawn") from None


def _providers(tx: Transaction, partner: Partner) -> list[Provider]:
    """Those of a partner's that are not kept out already."""
    found = []
    for rule in tx.partners.rules_of(partner.id):
        if rule.kind is not RuleKind.ORGANIZATION:
            continue
        member = tx.members.get(partner.id, rule.text)
        client = None if member is None or member.client is None else tx.clients.get(member.client)
        if client is None or not client.suspended:
            found.append(Provider(partner, rule.pattern))
    return found
