"""Who may change something: a page of ours in the visitor's own hands, or a program that was told to.

Browsers add the certificate to requests that other sites make them send, and no SameSite holds it back as it holds
back cookies. So an unsafe method has to say where it comes from. Bodies are bounded while they are read.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from mutualgate.errors import BadInput, MutualgateError
from mutualgate.model.names import trimmed

SAFE: Final = ("GET", "HEAD")

MAX_FORM_BYTES: Final = 256 * 1024
DRAIN_BYTES: Final = 16 * 1024 * 1024
MAX_FIELDS: Final = 64
"""More than this no form of ours has."""

# What a form or a script of another site can send without asking first (Fetch: CORS-safelisted Content-Type).
FORM_TYPES: Final = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")


class NotAllowed(MutualgateError):
    """Whoever asks may not have that."""

    code = "not_allowed"


class TooLarge(BadInput):
    """More than is read."""

    code = "too_large"


def check(method: str, fields: Mapping[str, str], origin: str) -> None:
    """Raises NotAllowed (`cross_site`) for a request that a page of somebody else may have caused.

    `fields` have names in lower case; `origin` is that of our own pages, `https://gate.example:8443`.
    """
    if method in SAFE:
        return
    site = fields.get("sec-fetch-site")
    if site is not None:
        # Written by the browser; no script can set it (Fetch Metadata 2.4). `same-site` is another host.
        if site != "same-origin":
            raise _cross_site()
        return
    sender = fields.get("origin")
    if sender is not None:
        if sender != origin:
            raise _cross_site()
        return
    # Neither: no browser, which sends Origin with every POST. A program has no cookie of ours, and says what it sends.
    if fields.get("cookie") or content_type(fields) in FORM_TYPES:
        raise NotAllowed(
            "nothing says which page this form was sent from",
            expected="a browser that sends Sec-Fetch-Site or Origin, or a program with a Content-Type of its own",
            fix="With curl, add the header field Content-Type: application/octet-stream",
            code="cross_site",
        )


def from_here(fields: Mapping[str, str], origin: str) -> bool:
    """Whether a link of ours was followed, or an address typed: where reading begins work, other sites begin none."""
    site = fields.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    # Older browsers say it with the Referer alone, of which our pages send the origin (Referrer-Policy).
    return fields.get("referer", "") == f"{origin}/"


def content_type(fields: Mapping[str, str]) -> str:
    """What the body is said to be, without parameters; empty if nothing is said."""
    return fields.get("content-type", "").partition(";")[0].strip().lower()


def _cross_site() -> NotAllowed:
    return NotAllowed(
        "another site's page sent this, so nothing was done",
        expected="a click on a page of this site",
        fix="Open the page here and try it again",
        code="cross_site",
    )


async def read(stream: AsyncIterator[bytes], fields: Mapping[str, str], limit: int) -> bytes:
    """The body, of at most `limit` bytes. Raises TooLarge for a longer one, whatever Content-Length promised.

    What is beyond the limit is taken in and thrown away, up to DRAIN_BYTES: who is still sending does not read the
    answer, and would be told of a broken connection instead.
    """
    length = fields.get("content-length", "")
    if length.isascii() and length.isdecimal() and int(length[:20]) > DRAIN_BYTES:
        raise _too_large(limit)
    body, received = bytearray(), 0
    async for chunk in stream:
        received += len(chunk)
        if received <= limit:
            body += chunk
        elif received > DRAIN_BYTES:
            break
    if received > limit:
        raise _too_large(limit)
    return bytes(body)


def _too_large(limit: int) -> TooLarge:
    return TooLarge("what was sent is too large", expected=f"at most {limit // 1024} KiB")


@dataclass(frozen=True)
class Form:
    """The fields of a form, each with all that was given for it; files are fields of bytes."""

    values: Mapping[str, tuple[str, ...]]
    files: Mapping[str, bytes]

    def text(self, name: str, limit: int = 4096) -> str:
        """The one value of a field, without spaces around it; empty if it is not there. Raises BadInput for more."""
        given = self.values.get(name, ())
        if len(given) > 1:
            raise BadInput(f"the field {name} was sent {len(given)} times", expected="once")
        value = trimmed(given[0]) if given else ""
        if len(value) > limit:
            raise BadInput(f"the field {name} has {len(value)} characters", expected=f"at most {limit}")
        return value

    def all(self, name: str) -> tuple[str, ...]:
        """All values of a field."""
        return self.values.get(name, ())

    def file(self, name: str) -> bytes:
        """The bytes of a file; empty if none was chosen."""
        return self.files.get(name, b"")


def parse_form(body: bytes, content_type: str) -> Form:
    """A form as browsers send it. Raises BadInput for anything else."""
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    try:
        if kind == "application/x-www-form-urlencoded":
            pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
            return Form(_grouped(pairs), {})
        if kind == "multipart/form-data":
            return _multipart(body, parameters)
    except ValueError as error:  # UnicodeDecodeError too
        raise BadInput("the form cannot be read", expected="a form of this site", code="bad_form") from error
    raise BadInput("this is no form", expected="a form of this site", code="bad_form")


def _multipart(body: bytes, parameters: str) -> Form:
    """RFC 7578, as far as browsers use it. ValueError for anything else."""
    match = re.fullmatch(r'\s*boundary=(?:"([^"]{1,70})"|([0-9A-Za-z\'()+_,./:=?-]{1,70}))\s*', parameters)
    if match is None:
        raise ValueError("no boundary")
    line = b"--" + (match[1] or match[2]).encode("ascii")
    first, *parts = (b"\r\n" + body).split(b"\r\n" + line)
    if first or parts[-1].strip(b"\r\n") != b"--" or len(parts) > MAX_FIELDS + 1:
        raise ValueError("no parts")
    pairs: list[tuple[str, str]] = []
    files: dict[str, bytes] = {}
    for part in parts[:-1]:
        head, found, content = part.partition(b"\r\n\r\n")
        disposition = re.search(
            rb'\r\ncontent-disposition: form-data; name="([a-z0-9_-]{1,64})"(; filename="[^\r\n]*)?(?=\r\n|$)',
            head,
            re.IGNORECASE,
        )
        if not found or disposition is None:
            raise ValueError("a part without a name")
        name = disposition[1].decode("ascii")
        if disposition[2] is None:
            pairs.append((name, content.decode("utf-8")))
        elif name in files:
            raise ValueError("two files of one name")
        else:
            files[name] = content
    return Form(_grouped(pairs), files)


def _grouped(pairs: Sequence[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        found[name] = (*found.get(name, ()), value)
    return found
