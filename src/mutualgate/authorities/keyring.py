"""Opens the stored keys of authorities when something has to be signed, and not before."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mutualgate.authorities.keys import Passphrase, PrivateKey, decrypt_key, encrypt_key
from mutualgate.errors import BadInput, Conflict
from mutualgate.model.authority import Authority
from mutualgate.store import Transaction


class Locked(BadInput):
    """The passphrase is missing, or opens no key of the store: the fault of whoever runs this, and of no visitor."""


class KeyRing:
    """The keys of one store. Asks for the passphrase at the first need; a command that signs nothing never does."""

    def __init__(self, passphrase: Callable[[], Passphrase], kept: Callable[[], bytes | None] = lambda: None) -> None:
        """`kept` gives a key that the store has already, encrypted, if it has any."""
        self._ask = passphrase
        self._kept = kept
        self._passphrase: Passphrase | None = None
        # By the ciphertext: one that was encrypted anew is opened anew. Opening takes longer than signing does.
        self._open: dict[bytes, PrivateKey] = {}

    @property
    def passphrase(self) -> Passphrase:
        """What encrypts the keys of this store."""
        if self._passphrase is None:
            _leave_no_core()
            with _locked():
                self._passphrase = self._ask()
        return self._passphrase

    def lock(self, key: PrivateKey) -> bytes:
        """`key`, encrypted for the store. Raises `Locked` for another passphrase than that of the keys in it: nobody
        could open this one then."""
        kept = None if self._open else self._kept()
        if kept is not None:
            self.unlock(kept, "the keys of this store")
        return encrypt_key(key, self.passphrase)

    def open(self, tx: Transaction, authority: Authority) -> PrivateKey:
        """The authority's key. Raises `Conflict` when we do not have it, `Locked` for a wrong passphrase."""
        encrypted = tx.authorities.key(authority.id)
        if encrypted is None:
            raise Conflict(
                f"the authority '{authority.name}' was adopted without its key, so nothing can be signed with it",
                fix="Adopt it again with --key",
                code="no_key",
                facts={"authority": str(authority.name)},
            )
        return self.unlock(encrypted, f"the key of the authority '{authority.name}'")

    def unlock(self, encrypted: bytes, whose: str) -> PrivateKey:
        """What `lock` made."""
        key = self._open.get(encrypted)
        if key is None:
            with _locked():
                key = self._open[encrypted] = decrypt_key(encrypted, self.passphrase, whose)
        return key


@contextmanager
def _locked() -> Iterator[None]:
    try:
        yield
    except BadInput as error:
        raise Locked(
            error.problem,
            where=error.where,
            expected=error.expected,
            fix=error.fix,
            code=error.code,
            facts=error.facts,
        ) from error


def _leave_no_core() -> None:
    """From now on this process leaves no core file (core(5)): it would hold in clear what is encrypted at rest."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))
