"""What the gate knows -> a commented httpd configuration and the files that it names.

Pure: it reads no file, no clock and no store, and the same input gives the same bytes. What httpd cannot do (clients,
roles, a reason for the refused) is said in the README that is part of the output.
"""

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import urlsplit

import jinja2
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from mutualgate.apache.names import OF_OTHERS, OURS, alias_pattern, common_spellings, spellings
from mutualgate.counts import counted
from mutualgate.errors import BadInput

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:@SECLEVEL=2"

# A quarter of the 64 KiB that the list may take in a handshake (RFC 8446 4.2.4), so that it fits beside the rest of the
# message into what old TLS stacks read.
MAX_NAMES_BYTES: Final = 16_384

# One path, as DESIGN reads it: no empty segment but the last, no dot segment, and of the printable ASCII characters all
# but `#`, `%`, `/`, `;`, `?` and `\`. Possessive, so that a long path that fails, fails at once.
_PLAIN: Final = r"[\x21\x22\x24\x26-\x2e\x30-\x3a\x3c-\x3e\x40-\x5b\x5d-\x7e]"
_ENCODED: Final = r"%(?:2[0-46-9A-Ca-c]|3[AaC-Fc-f]|40|5[BbDdEe]|60|7[B-Db-d]|[89A-Fa-f][0-9A-Fa-f])"
PATH_PATTERN: Final = rf"(?=/)(?:/(?!\.\.?[/?\x20])(?:{_PLAIN}++|{_ENCODED})++)*+/?"

MODULES: Final = (
    ("mpm_event_module", "mod_mpm_event.so"),
    ("authz_core_module", "mod_authz_core.so"),
    ("headers_module", "mod_headers.so"),
    ("http2_module", "mod_http2.so"),
    ("proxy_module", "mod_proxy.so"),
    ("proxy_http_module", "mod_proxy_http.so"),
    ("reqtimeout_module", "mod_reqtimeout.so"),
    ("rewrite_module", "mod_rewrite.so"),
    ("setenvif_module", "mod_setenvif.so"),
    ("ssl_module", "mod_ssl.so"),
    ("unique_id_module", "mod_unique_id.so"),
    # Built in at some distributions, a file of its own at others.
    ("log_config_module", "mod_log_config.so"),
    ("unixd_module", "mod_unixd.so"),
)


@dataclass(frozen=True)
class Authority:
    """Who may vouch for clients, or stands above one who may."""

    name: str
    certificate_pem: bytes
    issues_clients: bool = True
    """Whether it signs clients' certificates itself; a root above it does not. Its name is then sent as a hint."""
    crl_pem: bytes | None = None
    """Its list of today; without one, nobody looks whether it revoked a certificate."""
    crl_url: str | None = None
    """Where `refresh-crls` fetches the next list: the gate's plain-HTTP listener, `…/crl/<name>.crl`."""


@dataclass(frozen=True)
class Input:
    """What the configuration is made of."""

    upstream: str
    """`http://host:port[/path]`."""
    directory: PurePosixPath
    """Where the files will lie: absolute, as the configuration names them."""
    hosts: tuple[str, ...]
    """Host names of the site; `*.example.org` may follow the first."""
    server_certificate_pem: bytes
    """With the intermediates that a client needs."""
    server_key_pem: bytes
    authorities: tuple[Authority, ...]
    listen: str = "443"
    """`port` or `address:port`."""
    modules_dir: str = "/usr/lib/apache2/modules"
    program: str = "apache2"
    """The server's program, as the comments and the reload name it."""
    user: str | None = "www-data"
    """Who serves when it was started by root."""
    max_body_bytes: int = 1_073_741_824
    response_seconds: int = 60
    """How long the upstream may be silent."""


def export(what: Input) -> dict[PurePosixPath, bytes]:
    """The files of a configuration for `what`, by path below `what.directory`.

    Raises BadInput when something in it cannot be written down for httpd, or would make a server that does not start.
    """
    _check(what)
    values = _values(what)
    files: dict[PurePosixPath, bytes] = {}

    def render(path: str, template: str | None = None) -> None:
        text = _templates().get_template(f"{template or path}.j2").render(values)
        files[PurePosixPath(path)] = (text.rstrip("\n") + "\n").encode()

    render("mutualgate.conf")
    render("identity-fields.conf")
    render("httpd.conf")
    render("README.txt")
    files[PurePosixPath("tls/server.pem")] = what.server_certificate_pem
    files[PurePosixPath("tls/server.key")] = what.server_key_pem
    files[PurePosixPath("trust/authorities.pem")] = _joined(a.certificate_pem for a in what.authorities)
    files[PurePosixPath("trust/names.pem")] = _joined(a.certificate_pem for a in what.authorities if a.issues_clients)
    with_list = [a for a in what.authorities if a.crl_pem is not None]
    if with_list:
        files[PurePosixPath("trust/crls.pem")] = _joined(a.crl_pem or b"" for a in with_list)
    if any(a.crl_url for a in with_list):
        render("refresh-crls")
        for unit in ("mutualgate-crls.service", "mutualgate-crls.timer", "mutualgate-crls.cron"):
            render(unit)
        for authority in with_list:
            slug = _slug(authority.name)
            files[PurePosixPath(f"trust/authority-{slug}.pem")] = _joined([authority.certificate_pem])
            files[PurePosixPath(f"trust/crl-{slug}.pem")] = _joined([authority.crl_pem or b""])
    return files


def _values(what: Input) -> dict[str, object]:
    issuing = [a for a in what.authorities if a.issues_clients]
    with_list = [a for a in what.authorities if a.crl_pem is not None]
    unchecked = [a.name for a in issuing if a.crl_pem is None]
    revocation, notes = _revocation(what.authorities)
    port = what.listen.rpartition(":")[2]
    names = ", ".join(a.name for a in what.authorities)
    return {
        "upstream": what.upstream,
        "upstream_slash": what.upstream.rstrip("/") + "/",
        "directory": str(what.directory),
        "directory_sh": shlex.quote(str(what.directory)),
        "this_file": str(what.directory / "mutualgate.conf"),
        "httpd_conf": str(what.directory / "httpd.conf"),
        "hosts": what.hosts,
        "listen": what.listen,
        "vhost_address": what.listen if ":" in what.listen else f"*:{what.listen}",
        "port": port,
        "port_suffix": "" if port == "443" else f":{port}",
        "ciphers": CIPHERS,
        # A client's own certificate, its issuer, and what stands above: one more than there are authorities is never
        # reached, and a partner's own intermediates get one.
        "depth": 1 if all(a.issues_clients for a in what.authorities) else 2,
        "authority_names": f"Who vouches for clients, and who stands above: {names}",
        "revocation": revocation,
        "revocation_notes": notes,
        "unchecked": unchecked,
        "refreshed": [
            {"slug": _slug(a.name), "url_sh": shlex.quote(a.crl_url)} for a in with_list if a.crl_url is not None
        ],
        "crl_slugs": [_slug(a.name) for a in with_list],
        "reload_sh": shlex.quote(f"{what.program} -f {what.directory / 'httpd.conf'} -k graceful"),
        "only_authority": issuing[0].name if len(issuing) == 1 else None,
        "path_pattern": PATH_PATTERN,
        "alias_pattern": alias_pattern(),
        "ours": [spelling for name in OURS for spelling in spellings(name)],
        "of_others": [spelling for name in OF_OTHERS for spelling in (name, *common_spellings(name))],
        "max_body_bytes": what.max_body_bytes,
        "response_seconds": what.response_seconds,
        "modules": MODULES,
        "modules_dir": what.modules_dir,
        "program": what.program,
        "user": what.user,
    }


def _revocation(authorities: tuple[Authority, ...]) -> tuple[str | None, list[str]]:
    """The argument of SSLCARevocationCheck, and what to say about it."""
    missing = [a for a in authorities if a.crl_pem is None]
    if len(missing) == len(authorities):
        return None, []
    if not missing:
        return "chain", ["chain: each authority has a list, so the authorities' own certificates are looked up too."]
    if not any(a.issues_clients for a in missing):
        return "leaf", ["leaf: the authorities above came without a list, so only clients' certificates are looked up."]
    names = ", ".join(a.name for a in missing if a.issues_clients)
    return "leaf no_crl_for_cert_ok", [
        f"no_crl_for_cert_ok: {names} came without a list and would let nobody in. It has a price: an authority whose",
        "list disappears from the file is no longer checked. `refresh-crls` never removes one.",
    ]


_HOST: Final = re.compile(r"(?:\*\.)?(?!-)[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*|[0-9.]+|\[?[0-9a-f:.]*:[0-9a-f:.]*\]?")
_LISTEN: Final = re.compile(r"(?:(?:[0-9.]+|\[[0-9a-f:.]+\]|\*):)?([0-9]{1,5})")
_SAFE_PATH: Final = re.compile(r"/[A-Za-z0-9._/+@-]*")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,127}")


def _check(what: Input) -> None:
    """Everything that ends up in a line of a configuration or of a shell script is of a form that needs no quoting."""
    _check_upstream(what.upstream)
    if not what.hosts:
        raise BadInput("no host name was given", where="hosts", expected="at least one", fix="Add --host NAME.")
    for host in what.hosts:
        if not _HOST.fullmatch(host):
            raise BadInput(
                f"{host!r} is no host name", where="hosts", expected="letters, digits, - and . in lower case"
            )
    if what.hosts[0].startswith("*"):
        raise BadInput("a pattern cannot be the main name", where=what.hosts[0], expected="a plain host name first")
    listen = _LISTEN.fullmatch(what.listen)
    if listen is None or not 0 < int(listen[1]) < 65536:
        raise BadInput(f"{what.listen!r} cannot be listened on", where="listen", expected="PORT or ADDRESS:PORT")
    for label, path in (("out", str(what.directory)), ("modules folder", what.modules_dir)):
        if not _SAFE_PATH.fullmatch(path):
            raise BadInput(
                f"{path!r} cannot be written into an httpd configuration as it is",
                where=label,
                expected="an absolute path of letters, digits and . _ + @ -",
                fix="Choose another folder and move it afterwards, if you have to.",
            )
    for label, word in (("program", what.program), ("user", what.user or "x")):
        if not re.fullmatch(r"[A-Za-z0-9._/@-]+", word):
            raise BadInput(f"{word!r} is no {label}", where=label, expected="a plain name")
    _check_server(what.server_certificate_pem, what.server_key_pem)
    _check_authorities(what.authorities)


def _check_upstream(upstream: str) -> None:
    expected = "http://HOST:PORT or http://HOST:PORT/PATH"
    try:
        address = urlsplit(upstream)
        port = address.port
    except ValueError as error:
        raise BadInput(f"{upstream!r} is no address", where="upstream", expected=expected) from error
    if address.scheme != "http":
        raise BadInput(
            f"{address.scheme or 'no scheme'!r} in {upstream!r} is not supported",
            where="upstream",
            expected=expected,
            fix="httpd and the service behind are on one machine or one trusted network: use plain http.",
        )
    clean = re.fullmatch(r"http://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?(?:/[A-Za-z0-9._~/-]*)?", upstream)
    if not clean or port == 0:
        raise BadInput(f"{upstream!r} is no address of a service", where="upstream", expected=expected)


def _check_server(certificate_pem: bytes, key_pem: bytes) -> None:
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
    except ValueError as error:
        raise BadInput("no PEM certificate in it", where="the server's certificate") from error
    try:
        key = load_pem_private_key(key_pem, password=None)
    except TypeError as error:
        raise BadInput(
            "the key is encrypted",
            where="the server's key",
            expected="a key without passphrase, as httpd would ask for it at each start",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadInput("no PEM private key in it", where="the server's key") from error
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*spki) != certificate.public_key().public_bytes(*spki):
        raise BadInput("the key does not belong to the certificate", where="the server's key")


def _check_authorities(authorities: tuple[Authority, ...]) -> None:
    if not any(a.issues_clients for a in authorities):
        raise BadInput("nobody vouches for clients", where="authorities", expected="at least one that signs clients")
    slugs: dict[str, str] = {}
    names_bytes = 0
    for authority in authorities:
        if not _NAME.fullmatch(authority.name):
            raise BadInput(
                f"{authority.name!r} cannot be a name here", where="authorities", expected="letters and digits"
            )
        slug = _slug(authority.name)
        if slug in slugs:
            raise BadInput(f"{authority.name!r} and {slugs[slug]!r} would share a file", where="authorities")
        slugs[slug] = authority.name
        try:
            certificate = x509.load_pem_x509_certificate(authority.certificate_pem)
        except ValueError as error:
            raise BadInput("no PEM certificate in it", where=f"authority {authority.name}") from error
        if authority.issues_clients:
            names_bytes += len(certificate.subject.public_bytes()) + 2
        if authority.crl_pem is not None:
            _check_list(authority, authority.crl_pem, certificate)
        if authority.crl_url is not None and not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]/%_~-]+", authority.crl_url):
            raise BadInput(f"{authority.crl_url!r} is no address", where=f"authority {authority.name}, its list")
    if names_bytes > MAX_NAMES_BYTES:
        raise BadInput(
            f"the names of {counted(len(authorities), 'authority', 'authorities')} take {names_bytes} bytes in each"
            " handshake",
            where="authorities",
            expected=f"at most {MAX_NAMES_BYTES}, as browsers and Java give up beyond",
            fix="Export fewer authorities; the gate itself needs no such list.",
        )


def _check_list(authority: Authority, crl_pem: bytes, certificate: x509.Certificate) -> None:
    where = f"authority {authority.name}, its list"
    try:
        crl = x509.load_pem_x509_crl(crl_pem)
        signed = crl.is_signature_valid(certificate.public_key())  # type: ignore[arg-type]  # others raise TypeError
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadInput("no PEM revocation list in it", where=where) from error
    if not signed or crl.issuer != certificate.subject:
        raise BadInput("the list is not signed by this authority", where=where)


def _slug(name: str) -> str:
    """`name` as a part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _joined(parts: Iterable[bytes]) -> bytes:
    return b"".join(part.rstrip(b"\n") + b"\n" for part in parts)


def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("mutualgate.apache"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - no HTML; `_check` lets through only what needs no quoting
        keep_trailing_newline=True,
        comment_start_string="{##",  # a shell script says ${#1}
        comment_end_string="##}",
    )
