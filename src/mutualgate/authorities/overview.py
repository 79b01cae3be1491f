"""Which authorities there are. Reads no certificate, so who only asks does not wait for what can."""

from dataclasses import dataclass
from datetime import datetime

from mutualgate.model.authority import Authority, AuthorityKind
from mutualgate.model.crl import CrlState
from mutualgate.store import Store, Transaction


@dataclass(frozen=True)
class Hierarchy:
    """Our root, which clients trust for the gate's certificate, and the authority under it that signs."""

    root: Authority
    issuing: Authority
    other_roots: tuple[Authority, ...] = ()
    """Before or after this one: published beside it, so that a change of root finds who trusts both."""

    @property
    def root_pem(self) -> bytes:
        """What people import, PEM: the root in force first."""
        from cryptography.hazmat.primitives.serialization import Encoding

        from mutualgate.authorities.issuing import certificate_of

        return b"".join(certificate_of(root).public_bytes(Encoding.PEM) for root in (self.root, *self.other_roots))


@dataclass(frozen=True)
class AuthorityView:
    """An authority, how much is revoked under it, and its current CRL, if we sign one."""

    authority: Authority
    revoked: int
    crl: CrlState | None


def hierarchy(tx: Transaction, now: datetime) -> Hierarchy | None:
    """Our own authorities, once they are made: the newest issuing one and the root above it."""
    own = tx.authorities.own()
    newest = next((one for one in reversed(own) if one.kind is AuthorityKind.ISSUING), None)
    roots = [one for one in own if one.kind is AuthorityKind.ROOT]
    root = next((one for one in roots if newest is not None and one.id == newest.issuer), None)
    if newest is None or root is None:
        return None
    others = tuple(one for one in roots if one.id != root.id and now < one.not_after)
    return Hierarchy(root, newest, others)


def views(store: Store) -> tuple[AuthorityView, ...]:
    """All authorities, oldest first."""
    with store.reading() as tx:
        revoked, lists = tx.revocations.counts(), tx.crls.states()
        return tuple(
            AuthorityView(one, revoked.get(one.id, 0), _signed(lists.get(one.id))) for one in tx.authorities.all()
        )


def _signed(crl: CrlState | None) -> CrlState | None:
    """Not what only remembers the number of an older authority's last list."""
    return crl if crl is not None and crl.signed else None
