"""Puts into the store what `adopt` found, in one transaction; what is there already stays as it is.

Certificates become credentials of clients: those with one subject are one client's, named after its common name; a
key that is known decides before the name, for the key is what a handshake proves.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath

from cryptography import x509
from cryptography.x509.oid import NameOID

from mutualgate.authorities.adopt import AdoptedAuthority, Adoption, IssuedCertificate
from mutualgate.authorities.findings import Finding, Severity
from mutualgate.authorities.issuing import certificate_of
from mutualgate.authorities.keyring import KeyRing
from mutualgate.clients import revoking
from mutualgate.counts import counted
from mutualgate.errors import BadInput, Conflict
from mutualgate.model import serial as serials
from mutualgate.model.authority import Admits, Authority, AuthorityKind
from mutualgate.model.certificate import CertificateFacts, facts, spki_fingerprint
from mutualgate.model.client import Client, ClientState
from mutualgate.model.credential import Origin
from mutualgate.model.crl import NEVER, StoredCrl
from mutualgate.model.legible import legible
from mutualgate.model.names import NAME_LIMIT, AuthorityName, ClientName, Role
from mutualgate.model.revocation import Revocation, RevocationReason
from mutualgate.reading.files import UNREADABLE, odd_serials_allowed
from mutualgate.store import Transaction


@dataclass(frozen=True)
class TakenOver:
    """What became of one authority: what is new in the store."""

    authority: Authority
    is_new: bool
    key_added: bool
    depth_changed: bool
    clients: tuple[Client, ...]
    credentials: int
    known: int
    revocations: int

    @property
    def changed(self) -> bool:
        """Whether there was anything new."""
        return bool(
            self.is_new or self.key_added or self.depth_changed or self.clients or self.credentials or self.revocations
        )


class TakeOver:
    """One adoption, within a transaction."""

    def __init__(
        self,
        tx: Transaction,
        keys: KeyRing,
        adoption: Adoption,
        *,
        name: AuthorityName | None,
        admits: Admits | None,
        estate: ClientName | None,
        roles: tuple[Role, ...],
        depth: int | None,
        most_of_a_name: int,
        now: datetime,
    ) -> None:
        self._tx = tx
        self._keys = keys
        self._adoption = adoption
        self._name = name
        self._admits = admits
        self._estate = estate
        self._roles = roles
        self._depth = depth
        self._most_of_a_name = most_of_a_name
        self._now = now
        self.findings: list[Finding] = []
        self._issued_by: dict[int, list[IssuedCertificate]] = defaultdict(list)
        for one in adoption.issued:
            self._issued_by[one.authority].append(one)
        self._by_subject = {one.certificate.subject: one for one in adoption.authorities}

    def run(self) -> list[TakenOver]:
        """Takes all of it over. Raises `Conflict` for an authority of ours, a name in use, or the key
        of a partner's CA or of a client, or one that was revoked as compromised."""
        done = [self._authority(index, found) for index, found in enumerate(self._adoption.authorities)]
        self._say_which_name_has_many({one.authority.id: one.authority for one in done if one.is_new})
        return done

    def _say_which_name_has_many(self, new: dict[int, Authority]) -> None:
        subjects = {certificate_of(authority).subject.public_bytes() for authority in new.values()}
        of_name: dict[bytes, list[int]] = defaultdict(list)
        with odd_serials_allowed():
            for rows in self._tx.authorities.walk(1000) if subjects else ():
                for id, _, der, *_ in rows:
                    if (subject := x509.load_der_x509_certificate(der).subject.public_bytes()) in subjects:
                        of_name[subject].append(id)
        for ids in of_name.values():
            if len(ids) > self._most_of_a_name:
                self.findings.append(
                    Finding(
                        "many_of_one_name",
                        Severity.WARNING,
                        next(f"authority '{new[id].name}'" for id in reversed(ids) if id in new),
                        f"{len(ids)} authorities have its subject, and a certificate that does not say by which key it"
                        f" was signed (authorityKeyIdentifier) is tried against {self._most_of_a_name} of them.",
                        "Have such certificates of the others made anew, with an authorityKeyIdentifier.",
                    )
                )

    def _authority(self, index: int, found: AdoptedAuthority) -> TakenOver:
        known = self._tx.authorities.with_spki(spki_fingerprint(found.certificate))
        key_added = depth_changed = False
        depth = self._depth_of(found)
        if known is None:
            self._check_free(found)
            authority = self._add(found, depth)
            key_added = found.key is not None
        else:
            authority = known
            self._check_same(known, found)
            self._say_what_stays(known, found)
            if found.key is not None and not known.has_key:
                compromised = self._tx.credentials.compromised([known.spki])
                revoking.check_not_compromised(known.spki, compromised, found.where)
                self._tx.authorities.set_key(known.id, self._keys.lock(found.key))
                key_added = True
            if depth is not None and depth != known.depth:
                self._tx.authorities.set_depth(known.id, depth)
                depth_changed = True
        revocations = self._revocations(index, authority)
        clients, added, before, revoked = self._issued(authority, self._issued_by[index])
        return TakenOver(
            authority=authority if known is None else self._tx.authorities.get(authority.id) or authority,
            is_new=known is None,
            key_added=key_added,
            depth_changed=depth_changed,
            clients=tuple(clients),
            credentials=added,
            known=before,
            revocations=revocations + revoked,
        )

    def _check_free(self, found: AdoptedAuthority) -> None:
        """R4: what it signed would come in as its clients and as somebody else's, or it would be a client itself."""
        spki = spki_fingerprint(found.certificate)
        for anchor in self._tx.anchors.standing(spki, self._now):
            partner = self._tx.partners.get(anchor.partner)
            name = anchor.partner if partner is None else partner.name
            raise Conflict(
                f"this is the key of the CA {anchor.id} of the partner '{name}'",
                where=found.where,
                expected="an authority of your own",
                fix=f"Retire it there first: mutualgate partner ca retire {name} {anchor.id}",
                code="key_in_use",
            )
        revoking.check_free_for_ca(self._tx, spki, found.where)

    def _depth_of(self, found: AdoptedAuthority) -> int | None:
        """What was said holds for the top of a bundle; each CA below it that is in the bundle, too, has one less."""
        if self._depth is None:
            return None
        above, name = 0, found.certificate
        while (
            (issuer := self._by_subject.get(name.issuer)) and issuer.certificate.subject != name.subject and above < 4
        ):
            above, name = above + 1, issuer.certificate
        return max(self._depth - above, 0)

    def _add(self, found: AdoptedAuthority, depth: int | None) -> Authority:
        name = self._name
        if name is None or len(self._adoption.authorities) > 1:
            name = self._free_authority_name(found, name)
        estate = None
        admits = self._admits or Admits.SIGNED
        if admits is Admits.SIGNED:
            wanted = self._estate or ClientName(f"{name} estate"[:NAME_LIMIT].strip())
            client = self._tx.clients.add(
                self._free_client_name(wanted), contact="", roles=self._roles, at=self._now, state=ClientState.ACTIVE
            )
            estate = client.id
        return self._tx.authorities.add(
            name,
            kind=AuthorityKind.ADOPTED,
            admits=admits,
            certificate=found.der,
            spki=spki_fingerprint(found.certificate),
            not_after=found.certificate.not_valid_after_utc,
            at=self._now,
            key=None if found.key is None else self._keys.lock(found.key),
            estate=estate,
            depth=depth,
        )

    def _say_what_stays(self, known: Authority, found: AdoptedAuthority) -> None:
        if self._admits not in (None, known.admits):
            self.findings.append(
                Finding(
                    "admits_unchanged",
                    Severity.WARNING,
                    found.where,
                    f"The authority '{known.name}' was adopted before, and goes on admitting what is {known.admits}.",
                    f"Change that with: mutualgate ca admits {known.name} {self._admits}",
                )
            )

    def _check_same(self, known: Authority, found: AdoptedAuthority) -> None:
        if known.kind is not AuthorityKind.ADOPTED:
            raise Conflict(f"this is our own authority '{known.name}'", where=found.where, code="authority_known")
        if known.certificate == found.der:
            return
        # Certificates are matched to it by these bytes, whatever types of strings they are made of.
        if certificate_of(known).subject.public_bytes() != found.certificate.subject.public_bytes():
            raise Conflict(
                f"the authority '{known.name}' has this key already, under another subject (its bytes count)",
                where=found.where,
                expected="the certificate that was adopted, or another key",
                code="authority_known",
            )
        end = found.certificate.not_valid_after_utc
        renewed = end > known.not_after
        if renewed:
            self._tx.authorities.set_certificate(known.id, found.der, end)
        self.findings.append(
            Finding(
                "renewed_authority",
                Severity.NOTE,
                found.where,
                f"It is another certificate of the authority '{known.name}', for the same key, until {end:%Y-%m-%d}.",
                "It replaces the one that was there." if renewed else "The one that is there lasts longer and stays.",
            )
        )

    def _revocations(self, index: int, authority: Authority) -> int:
        crl = self._adoption.crls.get(index)
        if crl is None:
            return 0
        left_out = 0

        def entries() -> Iterator[tuple[bytes, datetime, RevocationReason]]:
            nonlocal left_out
            for entry in crl.entries():
                if len(entry.serial) > serials.LIMIT:
                    left_out += 1
                    continue
                reason = RevocationReason(entry.reason)
                if reason is RevocationReason.removeFromCRL:  # has no meaning in a complete list: RFC 5280 5.3.1
                    reason = RevocationReason.unspecified
                yield entry.serial, entry.at, reason

        added = self._tx.revocations.add_many(authority.id, entries())
        if left_out:
            self.findings.append(
                Finding(
                    "odd_serial",
                    Severity.WARNING,
                    "CRL",
                    f"It lists {counted(left_out, 'number')} of more than {serials.LIMIT} octets (RFC 5280 4.1.2.2).",
                    "Left out: the gate refuses certificates with such numbers.",
                )
            )
        if crl.number is not None and 0 <= crl.number < 1 << 159:
            before = self._tx.crls.state(authority.id)
            if before is None or before.number < crl.number:
                # Ours go on where theirs ended (RFC 5280 5.2.3). One is due at once.
                self._tx.crls.put(StoredCrl(authority.id, crl.number, self._now, self._now, NEVER, b""))
        return added

    def _issued(self, authority: Authority, issued: list[IssuedCertificate]) -> tuple[list[Client], int, int, int]:
        """Clients that are new, credentials that are new, those that were known, revocations that are new."""
        if not issued:
            return [], 0, 0, 0
        numbers = [one.serial for one in issued if len(one.serial) <= serials.LIMIT]
        self._tx.serials.note(authority.id, numbers, "listed", self._now)
        owners = self._owners(authority)
        new: list[Client] = []
        added = known = revoked = 0
        fresh: list[tuple[IssuedCertificate, CertificateFacts]] = []
        for one in issued:
            if self._tx.credentials.with_fingerprint(one.fingerprint) is not None:
                known += 1
            elif one.admissible:  # else a finding of the adoption said why the gate refuses it
                about = self._facts(one)
                if about is not None:
                    fresh.append((one, about))
        # Asked before any of these is there: what is revoked among themselves is as their own authority left it.
        compromised = self._tx.credentials.compromised({about.spki for _, about in fresh})
        for one, about in fresh:
            if about.spki in compromised:
                since = f"{compromised[about.spki]:%Y-%m-%d}"
                sentence = f"Its key was revoked as compromised on {since}: somebody else has it."
                reason = RevocationReason.keyCompromise
                revoked += self._shut_out(authority, one, about, reason, "key_compromised", sentence)
                continue
            owner = self._key_owner(about, one)
            if owner is None:
                owner = owners.get(_subject(one))
            if owner is not None and owner.state is ClientState.GONE:
                sentence = f"It has the key of the client '{owner.name}', which is gone."
                reason = RevocationReason.cessationOfOperation
                revoked += self._shut_out(authority, one, about, reason, "key_of_gone_client", sentence)
                continue
            if owner is None:
                owner = self._tx.clients.add(
                    self._free_client_name(_client_name(one)),
                    contact="",
                    roles=self._roles,
                    at=self._now,
                    state=ClientState.ACTIVE,
                )
                new.append(owner)
            elif owner.state is ClientState.NEW:
                self._tx.clients.set_state(owner.id, ClientState.ACTIVE)
            if _common_name(one):
                owners.setdefault(_subject(one), owner)
            self._tx.credentials.add(
                owner, authority=authority.id, certificate_facts=about, origin=Origin.LISTED, at=self._now
            )
            added += 1
        return new, added, known, revoked

    def _owners(self, authority: Authority) -> dict[bytes, Client]:
        """Whose each subject is that was listed under this authority before."""
        found: dict[bytes, Client] = {}
        for credential in self._tx.credentials.of_authority(authority.id):
            der = self._tx.credentials.certificate(credential.id)
            client = self._tx.clients.get(credential.client)
            if der is not None and client is not None and client.state is not ClientState.GONE:
                found.setdefault(legible(der).says.subject.public_bytes(), client)
        return found

    def _facts(self, one: IssuedCertificate) -> CertificateFacts | None:
        try:
            return facts(one.legible)
        except BadInput as error:
            self.findings.append(
                Finding("odd_serial", Severity.REFUSED, one.where, f"{error.problem}.".capitalize(), "It is left out.")
            )
            return None

    def _key_owner(self, about: CertificateFacts, one: IssuedCertificate) -> Client | None:
        holder = self._tx.credentials.key_owner(about.spki)
        client = None if holder is None else self._tx.clients.get(holder)
        if client is not None and client.name != _common_name(one):
            self.findings.append(
                Finding(
                    "shared_key",
                    Severity.WARNING,
                    one.where,
                    f"It has the same key as a certificate of the client '{client.name}'.",
                    "It counts as that client's: a handshake proves the key, not the name.",
                )
            )
        return client

    def _shut_out(
        self,
        authority: Authority,
        one: IssuedCertificate,
        about: CertificateFacts,
        reason: RevocationReason,
        code: str,
        sentence: str,
    ) -> int:
        """Revokes it: unlisted, an authority that admits what it signed would let it in all the same."""
        self.findings.append(Finding(code, Severity.REFUSED, one.where, sentence, "It is revoked."))
        if self._tx.revocations.find(authority.id, about.serial) is not None:
            return 0
        self._tx.revocations.put(Revocation(authority.id, about.serial, self._now, reason))
        return 1

    def _free_client_name(self, wanted: ClientName) -> ClientName:
        name, number = wanted, 1
        while self._tx.clients.find(name) is not None:
            number += 1
            name = ClientName(f"{wanted[: NAME_LIMIT - len(str(number)) - 1].rstrip()} {number}")
        return name

    def _free_authority_name(self, found: AdoptedAuthority, wanted: AuthorityName | None) -> AuthorityName:
        text = wanted or _common_name_of(found.certificate) or "adopted"
        plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
        base = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:56].strip("-") or "adopted"
        name, number = AuthorityName(base), 1
        while self._tx.authorities.find(name) is not None:
            number += 1
            name = AuthorityName(f"{base}-{number}")
        return name


def _client_name(one: IssuedCertificate) -> ClientName:
    """A legal name for a client: the common name, else the file's; what no name may have is left out of it."""
    for text in (_common_name(one), PurePath(one.where.partition(",")[0]).stem, "client"):
        kept = "".join(
            character if character not in "/\\" else "-"
            for character in unicodedata.normalize("NFC", text)
            if unicodedata.category(character)[0] != "C" and unicodedata.category(character) not in ("Zl", "Zp")
        )
        try:
            return ClientName(" ".join(kept.split()).lstrip(".- ")[:NAME_LIMIT].strip())
        except BadInput:
            continue
    return ClientName("client")


def _common_name(one: IssuedCertificate) -> str:
    return _common_name_of(one.certificate)


def _common_name_of(certificate: x509.Certificate) -> str:
    try:
        values = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except UNREADABLE:
        return ""
    return str(values[-1].value).strip() if values else ""


def _subject(one: IssuedCertificate) -> bytes:
    return one.certificate.subject.public_bytes()
