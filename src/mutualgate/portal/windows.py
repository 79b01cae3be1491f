"""Windows: a script that has certreq make a key that cannot be exported, in the TPM where there is one.

What nobody could run when this was written is said in docs/howto/windows.md; the tests hold the script's syntax, the
request's settings by rule, and the addresses that it asks.
"""

import base64
import re
from importlib import resources

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.responses import Response
from starlette.routing import Route

from mutualgate.model.invitation import Way
from mutualgate.portal import answers
from mutualgate.portal.asked import Asked
from mutualgate.portal.desk import Desk
from mutualgate.portal.invited import opened_for
from mutualgate.portal.machines import hand_in, trusted_root


def routes(desk: Desk) -> list[Route]:
    """The addresses of this way."""
    return [
        desk.route("/{secret:secret}/windows", get=page, post=request),
        desk.route("/{secret:secret}/windows.ps1", get=script),
    ]


async def page(asked: Asked) -> Response:
    """What to do with the script."""
    opened = await opened_for(asked, Way.WINDOWS)
    root = await asked.call(trusted_root, asked)
    if asked.kind != "html":
        link = f"{asked.base}/{asked.secret}/windows.ps1"
        return answers.text(asked, f"A script to read before you run it:\n  curl.exe -O {link}")
    # What Windows shows when it asks whether to trust a root is the SHA-1.
    thumbprint = None if root is None else root.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303
    return answers.page(asked, "windows.html.j2", opened=opened, thumbprint=thumbprint)


async def script(asked: Asked) -> Response:
    """The script. Of names it has only letters and digits."""
    opened = await opened_for(asked, Way.WINDOWS)
    text = make_script(
        f"{asked.base}/{asked.secret}",
        asked.base,
        label=f"{asked.host_name} - {opened.client.name}",
        root=await asked.call(trusted_root, asked),
        second_factor=opened.invitation.has_factor,
    )
    # Windows PowerShell takes a file without a byte order mark for one in the system's old code page: ASCII is all one.
    return answers.file(asked, text.encode("ascii"), "text/plain; charset=us-ascii", "windows.ps1")


async def request(asked: Asked) -> Response:
    """A request from the script."""
    return await hand_in(asked, Way.WINDOWS)


def make_script(link: str, base: str, *, label: str, root: x509.Certificate | None, second_factor: bool) -> str:
    """The script, from its template, with the line ends of Windows."""
    root_text = "" if root is None else base64.b64encode(root.public_bytes(Encoding.DER)).decode()
    template = _template("windows.ps1")
    values = {
        "@LINK@": quoted(link),
        "@BASE@": quoted(base),
        "@LABEL@": quoted(plain_label(label)),
        "@SECOND@": "$true" if second_factor else "$false",
        "@ROOT@": quoted(root_text),
        "@INF@": _template("windows.inf").strip(),
    }
    pattern = re.compile("|".join(map(re.escape, values)))
    return pattern.sub(lambda match: values[match[0]], template).replace(
        "\n", "\r\n"
    )  # one pass: values are not searched


def quoted(text: str) -> str:
    """A literal string of PowerShell. It takes the typographic quotes for the plain one, so they are doubled, too."""
    return "'" + re.sub("(['\u2018\u2019\u201a\u201b])", r"\1\1", text) + "'"


def plain_label(label: str) -> str:
    """A name for choosers, of what no quoting anywhere can take for more."""
    return re.sub(r"[^A-Za-z0-9 ._-]+", "-", label)[:64].strip("- ") or "client"


def _template(name: str) -> str:
    return (resources.files("mutualgate.portal") / "templates" / name).read_text(encoding="utf-8")
