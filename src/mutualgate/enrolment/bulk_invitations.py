"""Many invitations at once, resumable: nobody is invited twice, and no link is lost.

Links are kept as hashes only, so what a killed run has made could not be shown again. Therefore each part is written
down first, by the caller, and made then: a run that finds links that were written down and not made makes just these.
Both happen in one transaction: of two runs at once, only one writes down and makes somebody's link.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mutualgate import audit
from mutualgate.clients import subject
from mutualgate.enrolment import tokens
from mutualgate.enrolment.invitations import Invitations
from mutualgate.enrolment.opening import LIFE, check_times, ways_of
from mutualgate.enrolment.people import Person
from mutualgate.model.client import Client, ClientState
from mutualgate.model.invitation import Way
from mutualgate.store import Store, Transaction
from mutualgate.store.invitations import NewInvitation
from mutualgate.store.select import chunks

PART = 200
"""Invitations in one transaction, and in one durable write of the caller's."""


@dataclass(frozen=True)
class Noted:
    """What is written down before it is made: a link's token, its codes, and until when it works."""

    name: str
    secrets: tokens.Secrets
    expires: datetime


@dataclass(frozen=True)
class Done:
    """What came of a row: `invited` now, or `before` by an earlier run, or `there`: the client was there already."""

    person: Person
    outcome: str


INVITED, BEFORE, THERE, ADDED = "invited", "before", "there", "added"


class BulkInvitations:
    """The service. `by` names who acts, for the audit log."""

    def __init__(self, store: Store, invitations: Invitations, by: str = "operator") -> None:
        self._store = store
        self._invitations = invitations
        self._by = by

    def add(self, people: Sequence[Person]) -> Iterator[list[Done]]:
        """Adds the clients that are not there, in parts; no invitations."""
        for part in chunks(people, PART):
            now = self._store.clock()
            with self._store.transaction() as tx:
                known = tx.clients.find_many(one.name for one in part)
                fresh = [one for one in part if one.name.key not in known]
                _, entries = self._add_clients(tx, fresh, now)
                audit.record_many(tx, now, self._by, entries)
            yield [Done(one, THERE if one.name.key in known else ADDED) for one in part]

    def invite(
        self,
        people: Sequence[Person],
        noted: Mapping[str, Noted],
        note: Callable[[Sequence[Noted]], None],
        *,
        ways: Sequence[Way] = tuple(Way),
        validity: timedelta | None = None,
        life: timedelta = LIFE,
        second_factor: bool = False,
        approval: bool = False,
    ) -> Iterator[list[Done]]:
        """Adds and invites those who are not there, in parts. Who is there already is not invited and not changed.

        `noted` is what earlier runs wrote down, by the key of the name; `note` writes down, durably, what is about to
        be made, while nobody else writes. Rows with `mail` are sent their link. Raises `BadInput`, and what `note`
        raises.
        """
        check_times(validity, life)
        wanted = ways_of(ways)
        if any(one.mail for one in people):
            self._invitations.check_can_send()
        for part in chunks(people, PART):
            yield self._part(part, noted, note, wanted, validity, life, second_factor, approval)

    def _part(
        self,
        part: Sequence[Person],
        noted: Mapping[str, Noted],
        note: Callable[[Sequence[Noted]], None],
        ways: tuple[Way, ...],
        validity: timedelta | None,
        life: timedelta,
        second_factor: bool,
        approval: bool,
    ) -> list[Done]:
        now = self._store.clock()
        with self._store.reading() as tx:
            known = set(tx.clients.find_many(one.name for one in part))
        # Slow: a second factor's hash takes 40 ms. So it is done before the transaction, and not for who is there.
        secrets: dict[str, Noted] = {}
        new: dict[str, Noted] = {}
        for one in part:
            key = one.name.key
            if key in known:
                continue
            before = noted.get(key)
            if before is not None and now < before.expires and (before.secrets.factor is not None) == second_factor:
                secrets[key] = before
            else:
                secrets[key] = new[key] = Noted(str(one.name), tokens.Secrets.make(second_factor), now + life)
        hashes = {key: one.secrets.hashes for key, one in secrets.items()}
        with self._store.transaction() as tx:
            there = tx.clients.find_many(one.name for one in part)
            fresh = [one for one in part if one.name.key not in there and one.name.key in secrets]
            unwritten = [new[one.name.key] for one in fresh if one.name.key in new]
            if unwritten:
                note(unwritten)
            clients, entries = self._add_clients(tx, fresh, now)
            rows = [
                NewInvitation(
                    client=clients[one.name.key].id,
                    hashes=hashes[one.name.key],
                    ways=ways,
                    validity=validity,
                    approval=approval,
                    by=self._by,
                    created=now,
                    expires=secrets[one.name.key].expires,
                    sent_to=one.mail or "",
                )
                for one in fresh
            ]
            tx.invitations.add_many(rows)
            for one in fresh:
                made = secrets[one.name.key]
                about: audit.Facts = {
                    "ways": ",".join(ways),
                    "expires": made.expires.isoformat(),
                    "approval": approval,
                    "second_factor": second_factor,
                    "sent_to": one.mail or "",
                }
                entries.append(("invitation.create", subject(clients[one.name.key]), about))
                if one.mail is not None:
                    self._invitations.send_link(tx, str(one.name), made.secrets, made.expires, one.mail)
            audit.record_many(tx, now, self._by, entries)
            earlier = tx.invitations.tokens_known(one.secrets.hashes.token for one in noted_of(part, noted))
        made_now = {one.name.key for one in fresh}
        return [Done(one, self._outcome(one, made_now, noted, earlier)) for one in part]

    def _outcome(self, one: Person, made_now: set[str], noted: Mapping[str, Noted], earlier: set[bytes]) -> str:
        if one.name.key in made_now:
            return INVITED
        before = noted.get(one.name.key)
        mine = before is not None and tokens.hash_token(before.secrets.token) in earlier
        return BEFORE if mine else THERE

    def _add_clients(
        self, tx: Transaction, people: Sequence[Person], now: datetime
    ) -> tuple[dict[str, Client], list[tuple[str, str, audit.Facts]]]:
        made = tx.clients.add_many([(one.name, one.contact, one.roles) for one in people], now, ClientState.NEW)
        entries: list[tuple[str, str, audit.Facts]] = [
            ("client.add", subject(client), {"roles": ",".join(client.roles)}) for client in made
        ]
        return {client.name.key: client for client in made}, entries


def noted_of(part: Sequence[Person], noted: Mapping[str, Noted]) -> list[Noted]:
    """What was written down of these people."""
    return [noted[one.name.key] for one in part if one.name.key in noted]
