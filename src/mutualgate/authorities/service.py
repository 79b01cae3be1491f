"""What can be done with authorities. Each call that changes something is one transaction, with its audit entry.

Does not know clients' requests (`enrolment`) nor how a gate learns of a change (`snapshot`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from sys import maxsize

from cryptography.hazmat.primitives.serialization import Encoding

from mutualgate import audit
from mutualgate.authorities import exchange, hosting, issuing, lists, rotation
from mutualgate.authorities.adopt import Estate, Fault, Progress, adopt, no_fault
from mutualgate.authorities.exchange import Recipient
from mutualgate.authorities.findings import Finding
from mutualgate.authorities.hosting import ServerCertificate
from mutualgate.authorities.issuing import Policy
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.keys import KeyKind, make_key
from mutualgate.authorities.overview import Hierarchy, hierarchy
from mutualgate.authorities.profiles import (
    INTERMEDIATE_LIFETIME,
    ROOT_LIFETIME,
    IntermediateProfile,
    RootProfile,
    prepare,
    sign,
)
from mutualgate.authorities.taking_over import TakenOver, TakeOver
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model import serial as serials
from mutualgate.model.authority import Admits, Authority, AuthorityKind
from mutualgate.model.certificate import spki_fingerprint
from mutualgate.model.client import ClientState
from mutualgate.model.crl import CrlState, StoredCrl
from mutualgate.model.names import AuthorityName, ClientName
from mutualgate.model.names import roles as parse_roles
from mutualgate.store import Store, Transaction

ROOT, ISSUING = AuthorityName("root"), AuthorityName("issuing")
"""The names of our own two; they are part of the addresses of their CRLs."""


@dataclass(frozen=True)
class AdoptionReport:
    """What an adoption brought and what there is to say about it."""

    taken_over: tuple[TakenOver, ...]
    findings: tuple[Finding, ...]
    skipped: tuple[str, ...]


class Authorities:
    """The service. `keys` opens their keys and `policy` says what is written when something is signed; `by` names who
    acts, for the audit log; `fault` says what the judge can build nothing on, `most_of_a_name` how many of one name he
    tries."""

    def __init__(
        self,
        store: Store,
        keys: KeyRing,
        policy: Callable[[], Policy] = Policy,
        by: str = "operator",
        fault: Fault = no_fault,
        most_of_a_name: Callable[[], int] = lambda: maxsize,
    ) -> None:
        self._store = store
        self._keys = keys
        self._policy = policy
        self._by = by
        self._fault = fault
        self._most_of_a_name = most_of_a_name

    def hierarchy(self) -> Hierarchy | None:
        """Our own authorities, once they are made."""
        with self._store.reading() as tx:
            return hierarchy(tx, self._store.clock())

    def create(
        self,
        organisation: str = "mutualgate",
        *,
        kind: KeyKind = KeyKind.P256,
        root_lifetime: timedelta = ROOT_LIFETIME,
        issuing_lifetime: timedelta = INTERMEDIATE_LIFETIME,
    ) -> Hierarchy:
        """Makes the root and the issuing intermediate under it. Raises `Conflict` when they are there."""
        now = self._store.clock()
        root_key, issuing_key = make_key(kind), make_key(kind)
        root_stored, issuing_stored = self._keys.lock(root_key), self._keys.lock(issuing_key)
        short = organisation.strip()[:50].strip()
        with self._store.transaction() as tx:
            if hierarchy(tx, now) is not None:
                raise Conflict("there is a root already", code="hierarchy_exists")
            prepared = prepare(RootProfile(f"{short} Root CA", root_lifetime), root_key.public_key(), None, now)
            certificate = sign(prepared, root_key)
            root = tx.authorities.add(
                ROOT,
                kind=AuthorityKind.ROOT,
                admits=Admits.ISSUED,
                certificate=certificate.public_bytes(Encoding.DER),
                spki=spki_fingerprint(certificate),
                not_after=certificate.not_valid_after_utc,
                at=now,
                key=root_stored,
            )
            tx.serials.reserve(root.id, serials.from_int(prepared.serial), "root", now)
            profile = IntermediateProfile(f"{short} Issuing CA", issuing_lifetime)
            signed, _ = issuing.issue(
                tx, self._keys, root, profile, issuing_key.public_key(), now, self._policy(), "issuing"
            )
            under = tx.authorities.add(
                ISSUING,
                kind=AuthorityKind.ISSUING,
                admits=Admits.ISSUED,
                certificate=signed.public_bytes(Encoding.DER),
                spki=spki_fingerprint(signed),
                not_after=signed.not_valid_after_utc,
                at=now,
                key=issuing_stored,
                issuer=root.id,
            )
            for one in (root, under):
                self._record(tx, "authority.create", one, {"not_after": one.not_after.isoformat()})
        return Hierarchy(root, under)

    def rotate_issuing(self, *, under: str | None = None, lifetime: timedelta = INTERMEDIATE_LIFETIME) -> Authority:
        """Makes the next issuing authority, which signs from now on; what the older ones signed goes on to be admitted.

        Under the root in force, or the one named. Raises `NotFound`, `Conflict`.
        """
        now = self._store.clock()
        with self._store.reading() as tx:
            kind = rotation.key_kind(issuing.issuing_authority(tx))
        key = make_key(kind)
        with self._store.transaction() as tx:
            root = rotation.current_root(tx) if under is None else issuing.find(tx, under)
            made = rotation.new_issuing(tx, self._keys, self._policy(), key, root, lifetime, now)
            facts: audit.Facts = {"not_after": made.not_after.isoformat(), "under": str(root.name)}
            self._record(tx, "authority.rotate", made, facts)
            tx.trust.record(now, self._by, f"ca rotate {ISSUING}", None)
        return made

    def rotate_root(self, *, lifetime: timedelta = ROOT_LIFETIME) -> Authority:
        """Makes the next root and publishes it beside the one in force. It signs nothing before `rotate_issuing`.

        Raises `NotFound`, `Conflict`.
        """
        now = self._store.clock()
        with self._store.reading() as tx:
            kind = rotation.key_kind(rotation.current_root(tx))
        key = make_key(kind)
        with self._store.transaction() as tx:
            made = rotation.new_root(tx, self._keys, key, lifetime, now)
            self._record(tx, "authority.rotate", made, {"not_after": made.not_after.isoformat()})
            tx.trust.record(now, self._by, f"ca rotate {ROOT}", None)
        return made

    def get(self, name: str) -> Authority:
        """The authority of this name. Raises `NotFound`."""
        with self._store.reading() as tx:
            return issuing.find(tx, name)

    def adopt(
        self,
        estate: Estate,
        *,
        name: str | None = None,
        admits: Admits | None = None,
        estate_client: str | None = None,
        roles: Iterable[str] = (),
        depth: int | None = None,
        progress: Progress = lambda done, total: None,
    ) -> AdoptionReport:
        """Takes over an older authority: its certificate and, as given, its key, CRL and what it signed.

        All of it or nothing. The listed certificates become credentials of clients with `roles`; under SIGNED, which
        it is unless `admits` says otherwise, the unlisted ones stand for one more client, `estate_client`. At most
        `depth` CAs may stand between the authority and a client; None leaves it to its certificate. Done again, it
        adds what is new: a key, certificates, revocations, a `depth`. Raises `BadInput` for files that cannot be used,
        `Conflict` for our own authority, a name in use, the key of a partner's CA or of a client, or a compromised one.
        """
        if admits is Admits.ISSUED:
            raise BadInput("an adopted authority admits what it signed or what is listed", expected="signed or listed")
        legal = None if name is None else AuthorityName(name)
        client = None if estate_client is None else ClientName(estate_client)
        held = parse_roles(roles)
        now = self._store.clock()
        adoption = adopt(estate, now, progress, self._fault)
        with self._store.transaction() as tx:
            work = TakeOver(
                tx,
                self._keys,
                adoption,
                name=legal,
                admits=admits,
                estate=client,
                roles=held,
                depth=depth,
                most_of_a_name=self._most_of_a_name(),
                now=now,
            )
            done = work.run()
            changed = [one for one in done if one.changed]
            audit.record_many(tx, now, self._by, [_taken(one) for one in changed])
            if changed:
                more = f" and {len(changed) - 1:,} more" if len(changed) > 1 else ""
                tx.trust.record(now, self._by, f"ca adopt {changed[0].authority.name}{more}", None)
        return AdoptionReport(tuple(done), (*adoption.findings, *work.findings), adoption.skipped)

    def set_admits(
        self, name: str, admits: Admits, *, estate_client: str | None = None, roles: Iterable[str] = ()
    ) -> Authority:
        """Says anew which certificates of an adopted authority are admitted: all that it SIGNED, or the LISTED ones.

        For SIGNED, the unlisted ones stand for `estate_client`, which is added with `roles` when it is not there; where
        they were admitted and it is not named, for whom they did.
        Raises `NotFound`, `Conflict` for our own authorities.
        """
        held = parse_roles(roles)
        now = self._store.clock()
        with self._store.transaction() as tx:
            authority = issuing.find(tx, name)
            if authority.kind is not AuthorityKind.ADOPTED or admits is Admits.ISSUED:
                raise Conflict(
                    "our own authorities admit what we issued, adopted ones what they signed or what is listed",
                    code="wrong_admits",
                )
            estate = None
            if admits is authority.admits and estate_client is None:
                estate = authority.estate
            elif admits is Admits.SIGNED:
                wanted = ClientName(estate_client or f"{authority.name} estate"[:64].strip())
                client = tx.clients.find(wanted)
                if client is None:
                    client = tx.clients.add(wanted, contact="", roles=held, at=now, state=ClientState.ACTIVE)
                estate = client.id
            watch = tx.trust.watch()
            watch.changes("authority", authority.id)
            tx.authorities.set_admits(authority.id, admits, estate)
            if tx.trust.record(now, self._by, f"ca admits {authority.name} {admits}", watch):
                self._record(tx, "authority.admits", authority, {"from": str(authority.admits), "to": str(admits)})
            return issuing.find(tx, name)

    def recipient(self) -> Recipient:
        """The certificate that devices encrypt their requests for: the one that is kept, or a new one."""
        now = self._store.clock()
        with self._store.reading() as tx:
            kept = exchange.stored(tx, self._keys, now)
        if kept is not None:
            return kept
        with self._store.transaction() as tx:
            kept = exchange.stored(tx, self._keys, now)  # another process may have been faster
            if kept is not None:
                return kept
            made = exchange.issued(tx, self._keys, self._policy(), now)
            about = {"serial": serials.text(serials.from_int(made.certificate.serial_number))}
            audit.record(tx, now, self._by, "recipient.issue", "scep", about)
        return made

    def server_certificate(self, site: str, hosts: Iterable[str]) -> ServerCertificate:
        """The certificate of a site that brings none of its own, for `hosts` (names and IP addresses, in order).

        The one that is kept, as long as it is for the same hosts and has a third of its life left; else a new one.
        """
        wanted = tuple(dict.fromkeys(hosts))
        with self._store.reading() as tx:
            kept = hosting.stored(tx, self._keys, site, wanted, self._store.clock())
        if kept is not None:
            return kept
        now = self._store.clock()
        with self._store.transaction() as tx:
            kept = hosting.stored(tx, self._keys, site, wanted, now)  # another process may have been faster
            if kept is not None:
                return kept
            made = hosting.issued(tx, self._keys, self._policy(), site, wanted, now)
            audit.record(
                tx,
                now,
                self._by,
                "server.issue",
                f"site {site}",
                {
                    "hosts": ",".join(wanted),
                    "serial": serials.text(serials.from_int(made.certificate.serial_number)),
                    "not_after": made.not_after.isoformat(),
                },
            )
        return made

    def crl(self, name: str) -> StoredCrl:
        """The authority's CRL as it has to be now, made first where that is due.

        Raises `NotFound`, and `Conflict` when we do not have its key.
        """
        return lists.current(self._store, self._keys, self._policy(), self.get(name))

    def crls(self) -> dict[AuthorityName, StoredCrl]:
        """The current CRL of every authority whose key we have and that has not expired, by its name."""
        with self._store.reading() as tx:
            wanted = _with_lists(tx, self._store.clock())
        return {one.name: lists.current(self._store, self._keys, self._policy(), one) for one in wanted}

    def due_crls(self) -> Sequence[lists.Due]:
        """Those of these CRLs that `crl` would make anew."""
        now = self._store.clock()
        with self._store.reading() as tx:
            found = [lists.due(tx, one, now) for one in _with_lists(tx, now)]
        return [one for one in found if one is not None]

    def crl_states(self) -> dict[AuthorityName, CrlState | None]:
        """How it stands with the CRL of each of these authorities, by its name; None where none may be served."""
        now = self._store.clock()
        with self._store.reading() as tx:
            states = {one.name: tx.crls.state(one.id) for one in _with_lists(tx, now)}
        return {name: None if state is None or not _lasts(state, now) else state for name, state in states.items()}

    def served_crl(self, name: str) -> StoredCrl:
        """The stored CRL for who has no key at hand. Raises `NotFound` when there is none that may be served still.

        RFC 5280 5.1.2.5: a list past its nextUpdate is nobody's current one.
        """
        with self._store.reading() as tx:
            found = tx.crls.find(issuing.find(tx, name).id)
        if found is None or not _lasts(found, self._store.clock()):
            raise NotFound(f"there is no current CRL of the authority '{name}'", code="no_crl")
        return found

    def _record(self, tx: Transaction, action: str, authority: Authority, facts: audit.Facts) -> None:
        audit.record(tx, self._store.clock(), self._by, action, f"authority {authority.name}", facts)


def _taken(one: TakenOver) -> tuple[str, str, audit.Facts]:
    """The audit entry."""
    facts: audit.Facts = {
        "admits": str(one.authority.admits),
        "key": one.authority.has_key,
        "depth": one.authority.depth,
        "clients": len(one.clients),
        "credentials": one.credentials,
        "revocations": one.revocations,
    }
    return "authority.adopt" if one.is_new else "authority.extend", f"authority {one.authority.name}", facts


def _lasts(crl: CrlState, now: datetime) -> bool:
    """Whether it may be served. RFC 5280 5.1.2.5: a list past its nextUpdate is nobody's current one."""
    return crl.signed and crl.lasts(now) > timedelta(0)


def _with_lists(tx: Transaction, now: datetime) -> list[Authority]:
    """Those that sign lists: whose keys we have and that have not expired."""
    return [one for one in tx.authorities.with_keys() if now < one.not_after]
