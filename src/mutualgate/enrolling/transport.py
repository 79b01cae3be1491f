"""HTTPS to a gate: whom to trust, one request, a bounded answer. The standard library does it; nothing is followed."""

import hashlib
import hmac
import http.client
import json
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mutualgate.errors import BadInput, MutualgateError, Unavailable
from mutualgate.reading.files import read_certificates, shown

TIMEOUT_SECONDS = 30
MAX_ANSWER_BYTES = 256 * 1024
MAX_ROOTS = 4
"""Two, while a root is changed."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    content_type: str
    body: bytes

    @property
    def values(self) -> dict[str, Any]:
        """The JSON object in it; Unavailable when there is none: whoever answered is no gate."""
        try:
            value = json.loads(self.body)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise Unavailable(
                f"the answer (status {self.status}) is none that a gate gives",
                fix="Check the address, and whether a proxy is in between",
                code="no_gate",
            )
        return value


def context(root: Path | None, identity: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """TLS that trusts `root` alone, or the system's roots; `identity`: chain and key to show."""
    made = ssl.create_default_context(cafile=None if root is None else str(root))
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if identity is not None:
        chain, key = identity
        made.load_cert_chain(chain, key)
    return made


def request(
    method: str,
    url: str,
    tls: ssl.SSLContext,
    body: bytes | None = None,
    fields: Mapping[str, str] | None = None,
) -> Answer:
    """One request over a connection of its own. Unavailable when nobody answers, or not whom we trust."""
    parts = split(url)
    connection = http.client.HTTPSConnection(
        str(parts.hostname), parts.port or 443, context=tls, timeout=TIMEOUT_SECONDS
    )
    try:
        headers = {"Accept": "application/json", "User-Agent": "mutualgate", **(fields or {})}
        connection.request(method, parts.path or "/", body, headers)
        response = connection.getresponse()
        data = response.read(MAX_ANSWER_BYTES + 1)
    except ssl.SSLCertVerificationError as error:
        raise Unavailable(
            f"the certificate of {parts.netloc} is not trusted here ({shown(error.verify_message)})",
            fix="If the gate has an authority of its own, give the hash of its root, which `mutualgate invite` prints: "
            "--root-sha256 HEX",
            code="server_not_trusted",
        ) from error
    except (OSError, http.client.HTTPException) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else shown(str(error), 80)
        if isinstance(error, socket.gaierror):
            reason = "the name is not known"
        raise Unavailable(
            f"{parts.netloc} does not answer: {reason or type(error).__name__}", code="no_answer"
        ) from error
    finally:
        connection.close()
    if len(data) > MAX_ANSWER_BYTES:
        raise Unavailable(f"{parts.netloc} answers with too much", code="no_gate")
    return Answer(response.status, response.headers.get_content_type(), data)


def fetch_root(base: str, sha256: str) -> bytes:
    """The root of the gate's own authority, PEM, if its hash is `sha256`: else BadInput, and nothing is believed.

    The connection proves nothing yet; the hash does. Another root that is given out beside it is left aside.
    """
    wanted = parse_hash(sha256)
    blind = ssl.create_default_context()
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    for root in _roots(request("GET", f"{base}/root.pem", blind, fields={"Accept": "*/*"}), base):
        der = root.public_bytes(Encoding.DER)
        if hmac.compare_digest(hashlib.sha256(der).digest(), wanted):
            return root.public_bytes(Encoding.PEM)
    raise BadInput(
        "the root that was sent is not the one with this hash",
        where="--root-sha256",
        expected=f"a certificate whose SHA-256 begins with {wanted.hex()[:16]}",
        fix="Somebody may sit in between: ask for the hash again, by another channel",
        code="wrong_root",
    )


def fetch_roots(base: str, trusted: ssl.SSLContext) -> list[x509.Certificate]:
    """All roots that the gate gives out, over a connection that is trusted: while it changes its root, two."""
    return _roots(request("GET", f"{base}/root.pem", trusted, fields={"Accept": "*/*"}), base)


def _roots(answer: Answer, base: str) -> list[x509.Certificate]:
    if answer.status != 200:
        raise Unavailable(f"no root is given out at {base}/root.pem (status {answer.status})", code="no_root")
    return read_certificates(answer.body, f"{base}/root.pem")[:MAX_ROOTS]


def parse_hash(text: str) -> bytes:
    """A SHA-256 in hexadecimal, with colons or without. BadInput."""
    bare = text.replace(":", "").strip()
    if not re.fullmatch(r"[0-9A-Fa-f]{64}", bare):
        raise BadInput("is no SHA-256", where="--root-sha256", expected="64 hexadecimal digits")
    return bytes.fromhex(bare)


def split(url: str) -> SplitResult:
    """An address over HTTPS, without user, query or fragment. BadInput."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises for what is no port
    except ValueError as error:
        raise BadInput("is no address", where="the link", expected="https://HOST/join/TOKEN") from error
    plain = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme != "https" or not parts.hostname or not plain or parts.username or parts.query or parts.fragment:
        raise BadInput("is not a link of an invitation", where="the link", expected="https://HOST/join/TOKEN")
    return parts


def refusal(answer: Answer) -> MutualgateError:
    """What the gate said instead (RFC 9457), as an error of ours."""
    values = answer.values

    def text(name: str) -> str:
        return shown(str(values.get(name, "")), 400)

    kind = Unavailable if answer.status >= 500 or answer.status == 429 else BadInput
    return kind(
        text("title").rstrip(".") or f"the gate answered with status {answer.status}",
        expected=text("detail").removeprefix("Expected: ").rstrip(".") or None,
        fix=text("fix") or None,
        code=re.sub(r"[^a-z_]", "", text("code")[:64]) or "refused",
    )
