"""Many CSRs at once: as one after the other, but in parts of one transaction each, with one look-up for all.

A part is there as a whole or not at all. What a call before has signed is found again and not signed twice, so a run
that was killed goes on where it stopped.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mutualgate import audit
from mutualgate.authorities import issuing
from mutualgate.authorities.csr import Request, read_csr
from mutualgate.authorities.issuing import Policy, certificate_of
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.profiles import prepare, sign
from mutualgate.clients import revoking, states, subject
from mutualgate.enrolment.signing import Signer, signing_authority
from mutualgate.errors import BadInput, Conflict, MutualgateError, NotFound
from mutualgate.model import serial
from mutualgate.model.authority import Authority
from mutualgate.model.certificate import CertificateFacts, facts
from mutualgate.model.client import Client, ClientState
from mutualgate.model.credential import Credential, CredentialState, Origin
from mutualgate.model.names import ClientName, Role
from mutualgate.model.names import roles as parse_roles
from mutualgate.partners import sharing
from mutualgate.reading.weak_keys import key_fingerprint
from mutualgate.store import Store, Transaction
from mutualgate.store.select import chunks

PART = 250
"""CSRs in one transaction: about a fifth of a second, in which nobody else writes."""


@dataclass(frozen=True)
class Given:
    """A CSR for the client `name`, read from `where`."""

    name: str
    csr: bytes
    where: str


@dataclass(frozen=True)
class Answer:
    """What came of a CSR: certificate and chain in PEM, `again` if it was signed before; or why not."""

    given: Given
    chain_pem: bytes | None = None
    again: bool = False
    problem: MutualgateError | None = None


@dataclass(frozen=True)
class _Asked:
    given: Given
    name: ClientName
    request: Request
    spki: bytes


@dataclass(frozen=True)
class _Known:
    """What the store says of all that a part asks for."""

    clients: dict[str, Client]
    owners: dict[bytes, int]
    compromised: dict[bytes, datetime]
    credentials: dict[bytes, list[Credential]]
    certificates: dict[int, bytes]
    ca_keys: dict[bytes, str]
    out: set[int]
    """Clients that are out with their partner."""
    takers: dict[bytes, ClientName] = field(default_factory=dict)
    """Who gets a certificate for a key in this part. Not all of them are there yet."""


class BulkSigning:
    """The service. `by` names who acts, for the audit log."""

    def __init__(self, store: Store, keys: KeyRing, policy: Policy | None = None, by: str = "operator") -> None:
        self._store = store
        self._keys = keys
        self._signer = Signer(keys, policy or Policy(), by)
        self._by = by

    def sign(
        self,
        given: Iterable[Given],
        *,
        lifetime: timedelta | None = None,
        authority: str | None = None,
        add: bool = False,
        roles: Iterable[str] = (),
    ) -> Iterator[list[Answer]]:
        """Signs each CSR for its client, in parts; each part is durable before it is given out, in its order.

        A CSR whose key has a valid certificate for that client is answered with that one. With `add`, clients that
        are not there and whose CSR can be signed are added with `roles`. Raises `NotFound`, `Conflict` for an authority
        that signs no clients; what is wrong with one CSR is in its answer.
        """
        held = parse_roles(roles)
        with self._store.reading() as tx:
            signing_authority(tx, authority)
        seen: dict[str, str] = {}
        for part in chunks(given, PART):
            answers: dict[int, Answer] = {}
            asked: dict[int, _Asked] = {}
            for index, one in enumerate(part):
                try:
                    asked[index] = _read(one, seen)
                except MutualgateError as error:
                    answers[index] = Answer(one, problem=error)
            if asked:
                with self._store.transaction() as tx:
                    work = _Part(tx, self._keys, self._signer, self._by, self._store.clock(), lifetime)
                    answers |= work.run(asked, signing_authority(tx, authority), held if add else None)
            yield [answers[index] for index in range(len(part))]


class _Part:
    """One transaction."""

    def __init__(
        self,
        tx: Transaction,
        keys: KeyRing,
        signer: Signer,
        by: str,
        now: datetime,
        lifetime: timedelta | None,
    ) -> None:
        self._tx = tx
        self._keys = keys
        self._signer = signer
        self._by = by
        self._now = now
        self._lifetime = lifetime
        self._chains: dict[int, bytes] = {}
        self._audit: list[tuple[str, str, audit.Facts]] = []

    def run(self, asked: dict[int, _Asked], issuer: Authority, add: tuple[Role, ...] | None) -> dict[int, Answer]:
        """The answer to each."""
        known = self._look_up(list(asked.values()))
        answers: dict[int, Answer] = {}
        taken: dict[int, _Asked] = {}
        for index, one in asked.items():
            try:
                client = _usable(known, one, add=add is not None)
                before = None if client is None else self._valid(known, client, one.spki)
                if before is not None:
                    answers[index] = Answer(one.given, self._again(known, before), again=True)
                    continue
                self._check_key(known, one, client)
            except MutualgateError as error:
                answers[index] = Answer(one.given, problem=error)
                continue
            known.takers[one.spki] = one.name
            taken[index] = one
        self._add(known, taken.values(), add or ())
        clients = [known.clients[one.name.key] for one in taken.values()]
        fresh = list(zip(clients, taken.values(), strict=True))
        signed = self._sign(issuer, [(client, one.request) for client, one in fresh])
        self._tx.credentials.own_keys({one.spki: client.id for client, one in fresh if one.spki not in known.owners})
        self._keep(issuer, clients, [about for about, _ in signed])
        for (index, one), (_, certificate) in zip(taken.items(), signed, strict=True):
            answers[index] = Answer(one.given, certificate.public_bytes(Encoding.PEM) + self._above(issuer.id))
        audit.record_many(self._tx, self._now, self._by, self._audit)
        return answers

    def _look_up(self, asked: Sequence[_Asked]) -> _Known:
        tx = self._tx
        spkis = {one.spki for one in asked}
        credentials: dict[bytes, list[Credential]] = {}
        for credential in tx.credentials.with_keys(spkis):
            credentials.setdefault(credential.spki, []).append(credential)
        valid = [one.id for some in credentials.values() for one in some if one.state is CredentialState.VALID]
        clients = tx.clients.find_many(one.name for one in asked)
        return _Known(
            clients=clients,
            owners=tx.credentials.key_owners(spkis),
            compromised=tx.credentials.compromised(spkis),
            credentials=credentials,
            certificates=tx.credentials.certificates(valid),
            ca_keys=sharing.ca_keys(tx, spkis, self._now),
            out=tx.clients.out_with_partner([one.id for one in clients.values()]),
        )

    def _add(self, known: _Known, asked: Iterable[_Asked], roles: tuple[Role, ...]) -> None:
        missing = {one.name.key: one.name for one in asked if one.name.key not in known.clients}
        made = self._tx.clients.add_many([(name, "", roles) for name in missing.values()], self._now, ClientState.NEW)
        for client in made:
            known.clients[client.name.key] = client
            self._audit.append(("client.add", subject(client), {"roles": ",".join(roles)}))

    def _valid(self, known: _Known, client: Client, spki: bytes) -> Credential | None:
        """The newest certificate of ours for this key and client that counts."""
        held = known.credentials.get(spki, [])
        good = [
            one
            for one in held
            if one.client == client.id
            and one.origin is Origin.ISSUED
            and one.state is CredentialState.VALID
            and one.superseded is None
            and self._now < one.not_after
        ]
        return good[-1] if good else None

    def _again(self, known: _Known, credential: Credential) -> bytes:
        certificate = x509.load_der_x509_certificate(known.certificates[credential.id])
        return certificate.public_bytes(Encoding.PEM) + self._above(credential.authority)

    def _above(self, authority: int) -> bytes:
        """What is sent after a leaf that the authority signed, PEM."""
        if authority not in self._chains:
            issuer = self._tx.authorities.get(authority)
            chain = [] if issuer is None else issuing.chain_of(self._tx, issuer)
            self._chains[authority] = b"".join(link.public_bytes(Encoding.PEM) for link in chain)
        return self._chains[authority]

    def _check_key(self, known: _Known, asked: _Asked, client: Client | None) -> None:
        """As `signing.check_key`, by what was looked up for all; and a folder lets nobody in again who was put out.
        Without `client`, for one that is not there yet.

        What lies in it was signed once, and is signed again by every run: that is nobody's decision about this one.
        """
        spki = asked.spki
        owner = known.owners.get(spki)
        if owner is not None and (client is None or owner != client.id):
            raise self._tx.credentials.key_in_use(owner)
        if spki in known.takers:
            raise Conflict(
                f"the client '{known.takers[spki]}' uses this key",
                expected="a key of its own for each client",
                fix="Make a new key and a new CSR",
                code="key_in_use",
            )
        sharing.check_no_ca(spki, known.ca_keys)
        revoking.check_not_compromised(spki, known.compromised)
        held = known.credentials.get(spki, [])
        if held and held[-1].revocation is not None:
            raise _ended(asked.name, f"is revoked since {held[-1].revocation.at:%Y-%m-%d}", "credential_revoked")
        if held and held[-1].superseded is not None:
            raise _ended(asked.name, "was renewed, for another key", "credential_superseded")

    def _sign(
        self, issuer: Authority, fresh: Sequence[tuple[Client, Request]]
    ) -> list[tuple[CertificateFacts, x509.Certificate]]:
        """Prepares all, records their numbers, signs: nothing is signed under a number that is not kept."""
        if not fresh:
            return []
        policy = self._signer.policy
        above, crl = certificate_of(issuer), policy.crl_address(issuer)
        prepared = [
            prepare(self._signer.profile(client, self._lifetime), request.public_key, above, self._now, crl)
            for client, request in fresh
        ]
        numbers = [serial.from_int(one.serial) for one in prepared]
        key = self._keys.open(self._tx, issuer)
        self._tx.serials.reserve_many(issuer.id, numbers, "client", self._now)
        certificates = [sign(one, key) for one in prepared]
        return [(facts(certificate), certificate) for certificate in certificates]

    def _keep(self, issuer: Authority, clients: Sequence[Client], signed: Sequence[CertificateFacts]) -> None:
        new = [(client.id, about) for client, about in zip(clients, signed, strict=True)]
        self._tx.credentials.add_many(new, authority=issuer.id, at=self._now)
        self._tx.clients.activate(dict.fromkeys(one.id for one in clients if one.state is ClientState.NEW))
        for client, about in zip(clients, signed, strict=True):
            said: audit.Facts = {
                "serial": serial.text(about.serial),
                "fingerprint": about.fingerprint.hex(),
                "not_after": about.not_after.isoformat(),
            }
            self._audit.append(("credential.sign", subject(client), said))


def _ended(name: ClientName, what: str, code: str) -> Conflict:
    return Conflict(
        f"the certificate for this key {what}",
        expected="a key that has none, or whose last one has expired",
        fix=f"Make a new key and a new CSR; or sign this one by name: mutualgate client sign {name.word} --csr FILE",
        code=code,
    )


_CSR_AND_BAD = ("no_proof_of_possession", "weak_key")
"""What is wrong with a CSR. All else is none, as the key is that lies beside its CSR: it takes no client's name."""


def _read(given: Given, seen: dict[str, str]) -> _Asked:
    name = ClientName(given.name)
    try:
        request = read_csr(given.csr, given.where)
    except BadInput as error:
        if error.code in _CSR_AND_BAD:
            seen.setdefault(name.key, given.where)
        raise
    if name.key in seen:
        raise BadInput(
            f"is another CSR for the client '{name}', after {seen[name.key]}",
            where=given.where,
            expected="one for each client",
            code="given_twice",
        )
    seen[name.key] = given.where
    return _Asked(given, name, request, key_fingerprint(request.public_key))


def _usable(known: _Known, one: _Asked, *, add: bool) -> Client | None:
    """The client, or None for one that is to be added."""
    client = known.clients.get(one.name.key)
    if client is not None:
        states.check_one(client, out=client.id in known.out)
    elif not add:
        raise NotFound(
            f"there is no client '{one.name}'",
            where=one.given.where,
            fix="Add the client first, or say --add",
            code="no_such_client",
        )
    return client
