"""Linux and servers: a script to read before it is run, and what `mutualgate enrol` asks for."""

import shlex
from collections.abc import Sequence
from hashlib import sha256
from importlib import resources

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.responses import Response
from starlette.routing import Route

from mutualgate.errors import NotFound
from mutualgate.model.invitation import Way
from mutualgate.portal import answers
from mutualgate.portal.asked import Asked
from mutualgate.portal.desk import Desk
from mutualgate.portal.invited import opened_for
from mutualgate.portal.machines import enrol_command, hand_in, trusted_root, trusted_roots


def routes(desk: Desk) -> list[Route]:
    """The addresses of this way, and the root for whoever is told its hash."""
    return [
        desk.route("/root.pem", get=root_pem),
        desk.route("/root.crt", get=root_der),
        desk.route("/{secret:secret}/linux", get=page),
        desk.route("/{secret:secret}/linux.sh", get=script),
        desk.route("/{secret:secret}/command", post=command),
    ]


async def root_pem(asked: Asked) -> Response:
    """Our root, and the one that comes after it. Whoever fetches it over a connection that proves nothing yet has to
    compare its hash."""
    pem = _pem(await _roots(asked))
    return answers.file(asked, pem, "application/x-pem-file", "root.pem")


async def root_der(asked: Asked) -> Response:
    """The same in DER, as phones want it."""
    der = (await _roots(asked))[0].public_bytes(Encoding.DER)
    return answers.file(asked, der, "application/x-x509-ca-cert", "root.crt")


async def _roots(asked: Asked) -> Sequence[x509.Certificate]:
    roots = await asked.call(trusted_roots, asked)
    if not roots:
        raise NotFound("this site's certificate is from a public authority: there is no root of ours to trust")
    return roots


def _pem(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


async def page(asked: Asked) -> Response:
    """The commands, in the order of how little they ask of a machine."""
    opened = await opened_for(asked, Way.COMMAND)
    root, enrol = await asked.call(trusted_root, asked), await asked.call(enrol_command, asked)
    link = f"{asked.base}/{asked.secret}"
    if asked.kind != "html":
        lines = ["With mutualgate installed:", f"  {enrol}", ""]
        lines += ["With openssl and curl alone, a script to read before you run it:", f"  curl -O {link}/linux.sh"]
        return answers.text(asked, "\n".join(lines))
    digest = None if root is None else sha256(root.public_bytes(Encoding.DER)).hexdigest()
    return answers.page(asked, "linux.html.j2", opened=opened, enrol=enrol, digest=digest)


async def script(asked: Asked) -> Response:
    """One POSIX shell script. Nothing that anybody chose is in it but our own address, token and root."""
    opened = await opened_for(asked, Way.COMMAND)
    roots = await asked.call(trusted_roots, asked)
    text = make_script(
        f"{asked.base}/{asked.secret}",
        asked.base,
        asked.origin,
        roots=roots,
        second_factor=opened.invitation.has_factor,
    )
    return answers.send(asked, text, "text/x-shellscript; charset=utf-8", 200, {"Content-Disposition": _AS_FILE})


_AS_FILE = 'attachment; filename="linux.sh"'


async def command(asked: Asked) -> Response:
    """A request from the script, or from `mutualgate enrol`."""
    return await hand_in(asked, Way.COMMAND)


def make_script(link: str, base: str, site: str, *, roots: Sequence[x509.Certificate], second_factor: bool) -> str:
    """The script, from its template. Values are quoted for the shell, though none should need it."""
    template = (resources.files("mutualgate.portal") / "templates" / "linux.sh").read_text(encoding="utf-8")
    values = {
        "@LINK@": shlex.quote(link),
        "@BASE@": shlex.quote(base),
        "@SITE@": shlex.quote(site),
        "@ROOT@": _pem(roots).decode().strip(),
        "@OWN_ROOT@": "yes" if roots else "no",
        "@SECOND@": "yes" if second_factor else "no",
    }
    for marker, value in values.items():
        template = template.replace(marker, value)
    return template
