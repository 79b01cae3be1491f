"""Makes a large CRL in a process of its own.

A million entries keep Python busy for ten seconds, parts of which nothing else in the process is heard, and take half a
GB, which a process keeps. The other process knows no store: it is sent the issuer, its key and the entries, in frames
over a pipe, and answers with the list. A frame without octets is the end; whoever finds none was left alone.
"""

import gc
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import BinaryIO

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from mutualgate.authorities.crl import make_crl
from mutualgate.authorities.keys import PrivateKey
from mutualgate.errors import Unavailable
from mutualgate.reading.crl import Revocation

Row = tuple[bytes, int, int]
"""Serial number, Unix seconds, reason."""

_LENGTH = 4


class _Head(msgspec.Struct):
    issuer: bytes
    key: bytes
    number: str
    now: float
    lifetime: float


def make_crl_apart(
    issuer: x509.Certificate,
    issuer_key: PrivateKey,
    parts: Iterable[Sequence[Row]],
    number: int,
    now: datetime,
    lifetime: timedelta,
) -> bytes:
    """As `make_crl`, of `parts` of the entries, which are sent as they come. Raises `Unavailable`."""
    head = _Head(
        issuer=issuer.public_bytes(Encoding.DER),
        key=issuer_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        number=f"{number:x}",
        now=now.timestamp(),
        lifetime=lifetime.total_seconds(),
    )
    frames = (msgspec.msgpack.encode(one) for one in chain([head], parts))
    made = subprocess.run(
        [sys.executable, "-P", "-m", __name__],
        input=b"".join(_framed(frame) for frame in chain(frames, [b""])),
        capture_output=True,
        check=False,
    )
    if made.returncode != 0:
        why = made.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise Unavailable(f"the process that makes a revocation list ended with {made.returncode}: {why}")
    return made.stdout


def main() -> None:
    """The other process."""
    gc.disable()  # it would look through a million objects again and again, and all of them are needed
    source = sys.stdin.buffer
    head = msgspec.msgpack.decode(_receive(source), type=_Head)
    der = make_crl(
        x509.load_der_x509_certificate(head.issuer),
        load_der_private_key(head.key, None),  # type: ignore[arg-type]  # make_crl compares it with the certificate
        _revocations(source),
        int(head.number, 16),
        datetime.fromtimestamp(head.now, UTC),
        timedelta(seconds=head.lifetime),
    )
    sys.stdout.buffer.write(der)


def _revocations(source: BinaryIO) -> Iterator[Revocation]:
    rows = msgspec.msgpack.Decoder(list[Row])
    while part := _receive(source):
        for number, at, reason in rows.decode(part):
            yield Revocation(number, datetime.fromtimestamp(at, UTC), reason)


def _framed(frame: bytes) -> bytes:
    return len(frame).to_bytes(_LENGTH, "big") + frame


def _receive(source: BinaryIO) -> bytes:
    length = source.read(_LENGTH)
    frame = source.read(int.from_bytes(length, "big"))
    if len(length) < _LENGTH or len(frame) < int.from_bytes(length, "big"):
        raise EOFError("nobody needs the list any more")
    return frame


if __name__ == "__main__":
    main()
