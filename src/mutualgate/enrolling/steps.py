"""Enrols and renews, step by step; each step can be repeated, and the next run goes on where one was killed."""

import re
import ssl
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from mutualgate.authorities.keys import KeyKind
from mutualgate.authorities.p12 import Encoding as Profile
from mutualgate.authorities.p12 import encoding_for
from mutualgate.authorities.private_files import replace_file
from mutualgate.clock import Clock
from mutualgate.enrolling import transport
from mutualgate.enrolling.kept import Kept, Slot, State
from mutualgate.enrolling.outputs import write_outputs
from mutualgate.errors import BadInput, Conflict, MutualgateError, Unavailable
from mutualgate.reading.files import read_certificates

FACTOR_FIELD = "Second-Factor"
CSR_TYPE = "application/pkcs10"

_SHA256 = hashes.SHA256()


@dataclass(frozen=True)
class Link:
    """An invitation's link, taken apart."""

    url: str
    base: str

    @property
    def digest(self) -> str:
        """SHA-256, hex: tells it from others, and opens nothing."""
        return sha256(self.url.encode()).hexdigest()


@dataclass(frozen=True)
class Enrolled:
    """What is in force now. `password` opens the .p12 files; it is in the file `password` beside them, too."""

    folder: Path
    certificate: x509.Certificate
    profile: Profile
    pinned_root: bool
    base: str
    changed: bool


@dataclass(frozen=True)
class Waiting:
    """The request is handed in, and an operator has to approve it: the same command goes on later."""

    folder: Path


def parse_link(text: str) -> Link:
    """`https://HOST[:PORT]/join/TOKEN`; BadInput for anything else, plain HTTP included."""
    parts = transport.split(text.strip().rstrip("/"))
    above, _, secret = parts.path.rpartition("/")
    if not re.fullmatch(r"[A-Za-z0-9_-]{43}|([A-Za-z0-9]{4}-){2}[A-Za-z0-9]{4}", secret):
        raise BadInput("is not a link of an invitation", where="the link", expected="https://HOST/join/TOKEN")
    base = f"https://{parts.netloc}{above}"
    return Link(f"{base}/{secret}", base)


def enrol(
    link: Link,
    kept: Kept,
    *,
    kind: KeyKind = KeyKind.P256,
    target: str | None = None,
    root_sha256: str | None = None,
    factor: str | None = None,
) -> Enrolled | Waiting:
    """Uses an invitation: makes a key in the folder, has it certified, and writes what programs want.

    The key is on the disk before its request leaves, so that nothing is lost when this is killed: the same call takes
    up what it finds, with the same key. Conflict for a folder that belongs to another invitation.
    """
    profile = encoding_for(target)  # before anything is made: a word that we do not know
    kept.create()
    state = _remember(kept, link, target, root_sha256)
    current = kept.current()
    if current is not None and (state.link is None or kept.pending() is None):  # what else is pending is a renewal
        return _enrolled(kept, current, state, changed=False)
    root = _root(kept, state)
    slot = kept.begin(kind)
    if not slot.certified:
        chain = _claim(link, slot, root, factor)
        if chain is None:
            return Waiting(kept.path)
        _keep_chain(slot, chain)
    write_outputs(slot, profile, root)
    kept.switch(slot)
    kept.write_state(replace(state, link=None, used=link.digest))
    return _enrolled(kept, slot, state, changed=True)


def renewal_due(kept: Kept, clock: Clock) -> datetime | None:
    """When the certificate in force should be renewed (two thirds of its life are over), if that is not past."""
    current = kept.current()
    if current is None:
        return None
    leaf = current.load_chain()[0]
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    due = begin + (end - begin) * 2 / 3
    return due if due > clock() else None


def renew(kept: Kept, *, kind: KeyKind | None = None) -> Enrolled:
    """Renews over the gate, with the certificate in force, for a new key. The old files stay as they are, and in force,
    until the gate has let the new ones in. Raises NotFound where nothing was enrolled, Unavailable, BadInput.
    """
    state = kept.state()
    current = kept.current()
    if current is None:
        raise Conflict(
            "the enrolment is not finished",
            where=str(kept.path),
            fix="Finish it: mutualgate enrol LINK",
            code="unfinished",
        )
    root = _root(kept, state)
    slot = kept.begin(kind or _kind_of(current))
    if not slot.certified:
        old = transport.context(root, (current.chain, current.key))
        answer = _ask_to_renew(state.base, slot, old)
        if answer.status != 200 and transport.refusal(answer).code == "renewal_needs_same_key":
            kept.keep_key(slot, current)  # it has expired, and is renewed for the key that it had, or not at all
            answer = _ask_to_renew(state.base, slot, old)
        if answer.status != 200:
            raise transport.refusal(answer)
        _keep_chain(slot, _chain_in(answer, slot))
    new = transport.context(root, (slot.chain, slot.key))
    if root is not None:
        state = _learn_roots(kept, state, new)
    write_outputs(slot, encoding_for(state.target), root)
    answer = transport.request("GET", f"{state.base}/renew", new)
    if answer.status != 200:
        raise Unavailable(
            f"the gate does not let the new certificate in yet (status {answer.status}); the old one stays in force",
            fix="Try it again: mutualgate enrol --renew",
            code="not_in_yet",
        )
    kept.switch(slot)
    return _enrolled(kept, slot, state, changed=True)


def _ask_to_renew(base: str, slot: Slot, tls: ssl.SSLContext) -> transport.Answer:
    return transport.request("POST", f"{base}/renew", tls, slot.request.read_bytes(), {"Content-Type": CSR_TYPE})


def _remember(kept: Kept, link: Link, target: str | None, root_sha256: str | None) -> State:
    """What is kept of this enrolment; the first run writes it, the next ones have to agree with it."""
    pinned = None if root_sha256 is None else transport.parse_hash(root_sha256).hex()
    if not kept.state_file.exists():
        if kept.slots():
            raise Conflict("has files of something else", where=str(kept.path), fix="Name another folder with --out")
        state = State(link.base, pinned, target, link.url)
        kept.write_state(state)
        return state
    state = kept.state()
    others = state.link not in (None, link.url) or state.used not in (None, link.digest)
    if state.base != link.base or others:
        raise Conflict(
            "belongs to another invitation",
            where=str(kept.path),
            fix="Name another folder with --out, or remove this one",
            code="folder_in_use",
        )
    if state.link is None:
        return state
    if pinned is not None and pinned != state.root_sha256:
        state = replace(state, root_sha256=pinned, learned=())
        kept.root.unlink(missing_ok=True)
        kept.write_state(state)
    return state


def _root(kept: Kept, state: State) -> Path | None:
    """The file of the one root that is trusted, or None for the system's. It is fetched once, and checked each time."""
    if state.root_sha256 is None:
        return None
    if not kept.root.exists():
        replace_file(kept.root, transport.fetch_root(state.base, state.root_sha256), 0o644)
    known = {state.root_sha256, *state.learned}
    if any(root.fingerprint(_SHA256).hex() not in known for root in _roots_in(kept.root)):
        raise BadInput("is not the root that was checked", where=str(kept.root), fix="Remove it, and try again")
    return kept.root


def _roots_in(file: Path) -> list[x509.Certificate]:
    return read_certificates(file.read_bytes(), str(file))


def _learn_roots(kept: Kept, state: State, trusted: ssl.SSLContext) -> State:
    """Takes the next root of the gate's authority over a connection that the one in force vouches for, so that nobody
    has to come by when it changes. What is trusted already stays."""
    found = {one.fingerprint(_SHA256).hex(): one for one in transport.fetch_roots(state.base, trusted)}
    old = {one.fingerprint(_SHA256).hex(): one for one in _roots_in(kept.root)}
    if set(found) <= set(old):
        return state
    state = replace(state, learned=tuple(sorted({*state.learned, *found} - {state.root_sha256})))
    kept.write_state(state)  # first: what is in the file has to be known
    every = {**old, **found}.values()
    replace_file(kept.root, b"".join(one.public_bytes(Encoding.PEM) for one in every), 0o644)
    return state


def _claim(link: Link, slot: Slot, root: Path | None, factor: str | None) -> bytes | None:
    """The chain, PEM; None while an operator has to approve."""
    tls = transport.context(root)
    fields = {"Content-Type": CSR_TYPE, **({} if factor is None else {FACTOR_FIELD: factor})}
    answer = transport.request("POST", f"{link.url}/command", tls, slot.request.read_bytes(), fields)
    if answer.status in (200, 202):
        return None if answer.status == 202 else _chain_in(answer, slot)
    said = transport.refusal(answer)
    if said.code not in ("invitation_used", "invitation_waiting"):
        raise said
    # Perhaps it was us, and the answer got lost.
    answer = transport.request("GET", f"{link.url}/chain", tls)
    if answer.status == 202:
        return None
    if answer.status != 200:
        raise said
    try:
        return _chain_in(answer, slot)
    except MutualgateError:
        raise said from None  # it was somebody else


def _chain_in(answer: transport.Answer, slot: Slot) -> bytes:
    """The certificate for the key in `slot`, and what is above it, PEM, from an answer. Unavailable for another key."""
    pem = str(answer.values.get("pem", "")).encode()
    leaf, *above = read_certificates(pem, "the answer")
    if leaf.public_key() != slot.load_key().public_key():
        raise Unavailable("the certificate that came is for another key", code="wrong_key")
    return b"".join(one.public_bytes(Encoding.PEM) for one in (leaf, *above))


def _keep_chain(slot: Slot, chain: bytes) -> None:
    replace_file(slot.chain, chain, 0o644)


def _enrolled(kept: Kept, slot: Slot, state: State, *, changed: bool) -> Enrolled:
    pinned = state.root_sha256 is not None
    leaf = slot.load_chain()[0]
    return Enrolled(kept.path, leaf, encoding_for(state.target), pinned, state.base, changed)


def _kind_of(slot: Slot) -> KeyKind:
    """The kind of key that was chosen when it was enrolled."""
    key = slot.load_key()
    if isinstance(key, rsa.RSAPrivateKey):
        return KeyKind.RSA3072 if key.key_size > 2048 else KeyKind.RSA2048
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return KeyKind.P384 if key.curve.name == "secp384r1" else KeyKind.P256
    return KeyKind.ED25519
