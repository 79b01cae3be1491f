"""The folder of an enrolled client: one numbered folder for each key, and `current`, which points to the one in force.

    state.json        where the gate is, and how it is known
    root.pem          the root of the gate's own authority, if its hash was given
    1/, 2/            key.pem, request.pem; then chain.pem and what was made of it
    current -> 2      changed at once, by a rename: whoever reads through it has key and certificate of one kind

Every step is on the disk before the next one begins, so that a run that was killed is taken up by the next.
"""

import json
import os
import secrets
import stat
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from mutualgate.authorities.keys import KeyKind, PrivateKey, make_key
from mutualgate.authorities.private_files import create_private_file, ensure_private_folder, replace_file, sync_folder
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.reading.bounded import read_file
from mutualgate.reading.files import UNREADABLE, read_certificates

CURRENT = "current"
KEY, REQUEST, CHAIN = "key.pem", "request.pem", "chain.pem"


@dataclass(frozen=True)
class State:
    """What has to be remembered. `link` is None once the invitation is used up: a used token opens nothing, but "
    "still."""

    base: str
    """The portal's address, without a slash at the end."""
    root_sha256: str | None
    """The hash that was given, of the root that is trusted in place of the system's."""
    target: str | None
    link: str | None = field(default=None, repr=False)
    learned: tuple[str, ...] = ()
    """Hashes of roots that the gate gave out over a trusted connection: the next one, while it changes its root."""
    used: str | None = None
    """SHA-256 of the link that was used up, hex; None in a folder from before it was kept."""


@dataclass(frozen=True)
class Slot:
    """One key and what belongs to it."""

    folder: Path

    @property
    def number(self) -> int:
        return int(self.folder.name)

    @property
    def key(self) -> Path:
        return self.folder / KEY

    @property
    def request(self) -> Path:
        return self.folder / REQUEST

    @property
    def chain(self) -> Path:
        return self.folder / CHAIN

    def load_key(self) -> PrivateKey:
        """Raises `BadInput` for a file that holds none of the kinds that we make."""
        try:
            key = load_pem_private_key(read_file(self.key), None)
        except UNREADABLE as error:
            raise BadInput("is no private key", where=str(self.key), expected="the key that was made here") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
            raise BadInput("is a key of another kind", where=str(self.key), expected="the key that was made here")
        return key

    def load_chain(self) -> list[x509.Certificate]:
        return read_certificates(read_file(self.chain), str(self.chain))

    @property
    def certified(self) -> bool:
        """Whether its certificate is here."""
        return self.chain.exists()


class Kept:
    """The folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def state_file(self) -> Path:
        return self.path / "state.json"

    @property
    def root(self) -> Path:
        return self.path / "root.pem"

    def create(self) -> None:
        """Makes the folder, mode 0700; BadInput when others may look into it."""
        ensure_private_folder(self.path)

    def state(self) -> State:
        """Raises `NotFound` where nobody enrolled, `BadInput` for a file that is not ours."""
        if not self.state_file.exists():
            raise NotFound(
                "nothing was enrolled into this folder",
                where=str(self.path),
                fix="Enrol first: mutualgate enrol LINK",
                code="not_enrolled_here",
            )
        try:
            values = json.loads(read_file(self.state_file))
            state = State(**{**values, "learned": tuple(values.get("learned", ()))})
        except (ValueError, TypeError) as error:
            raise BadInput("is not what was written here", where=str(self.state_file), expected="JSON") from error
        if not isinstance(state.base, str) or not state.base.startswith("https://"):
            raise BadInput("names no gate", where=str(self.state_file), expected="an address with https")
        return state

    def write_state(self, state: State) -> None:
        """Durably, in place of an older one."""
        replace_file(self.state_file, json.dumps(asdict(state), indent=2).encode() + b"\n", 0o600)

    def slots(self) -> list[Slot]:
        """All, oldest first."""
        found = (one for one in self.path.iterdir() if one.name.isdecimal() and one.name.isascii() and one.is_dir())
        return sorted((Slot(one) for one in found), key=lambda slot: slot.number)

    def current(self) -> Slot | None:
        """The one in force."""
        link = self.path / CURRENT
        try:
            name = os.readlink(link)
        except OSError:
            return None
        slot = Slot(self.path / name)
        return slot if name.isdecimal() and slot.certified else None

    def pending(self) -> Slot | None:
        """The newest one, if it is not in force yet: a run that was interrupted left it."""
        slots, current = self.slots(), self.current()
        if not slots or (current is not None and slots[-1].number <= current.number):
            return None
        return slots[-1]

    def begin(self, kind: KeyKind) -> Slot:
        """A slot with a key and a request for it: the one that is pending, or a new one. On return both are durable."""
        slot = self.pending()
        if slot is None:
            number = max((one.number for one in self.slots()), default=0) + 1
            slot = Slot(self.path / str(number))
            ensure_private_folder(slot.folder)
            sync_folder(self.path)
        if not slot.key.exists():
            key = make_key(kind)
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            create_private_file(slot.key, pem)
        else:
            refuse_readable(slot.key)
        if not slot.request.exists() or not _is_for(slot.request.read_bytes(), slot.load_key()):
            replace_file(slot.request, make_request(slot.load_key()), 0o600)
        return slot

    def keep_key(self, slot: Slot, of: Slot) -> None:
        """Has `slot`, which is not certified yet, ask for the key of another one in place of its own."""
        replace_file(slot.key, read_file(of.key), 0o600)
        replace_file(slot.request, make_request(slot.load_key()), 0o600)

    def switch(self, slot: Slot) -> None:
        """Puts `slot` into force: at once, durably."""
        beside = self.path / f".{CURRENT}.{secrets.token_hex(8)}"
        beside.symlink_to(slot.folder.name)
        try:
            beside.replace(self.path / CURRENT)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise Conflict(
                f"cannot be replaced ({error.strerror})", where=str(self.path / CURRENT), expected="a link of ours"
            ) from error
        sync_folder(self.path)


def make_request(key: PrivateKey) -> bytes:
    """A CSR (PKCS#10). What it calls itself does not count: the name comes from the invitation."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mutualgate enrol")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM)


def _is_for(request: bytes, key: PrivateKey) -> bool:
    """Whether a CSR is for this key: a kill between two files leaves one of another."""
    try:
        return x509.load_pem_x509_csr(request).public_key() == key.public_key()
    except UNREADABLE:
        return False


def refuse_readable(path: Path) -> None:
    """BadInput when others may read the key: it may be known to them."""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise BadInput(
            "others may read this key",
            where=str(path),
            expected="mode 0600",
            fix="Begin in another folder, with a new key",
            code="others_may_read",
        )
