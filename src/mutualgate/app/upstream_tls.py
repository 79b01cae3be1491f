"""TLS towards upstreams: the files that name whom the gate trusts there, and what it shows."""

from collections.abc import Iterator
from pathlib import Path

from mutualgate.app.server_certificates import own_certificate
from mutualgate.config import SYSTEM, Config, Finding, UpstreamConfig, UpstreamTls
from mutualgate.errors import BadInput
from mutualgate.gate.settings import TlsSettings
from mutualgate.reading.bounded import read_file

_SYSTEM_FILES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_MOST_BYTES = 4 << 20  # the collections of systems have a quarter of it

OF_SYSTEM = UpstreamTls(SYSTEM, None, None, None)
"""For an address with `https://` that stands in a route."""


def tls_settings(tls: UpstreamTls) -> TlsSettings | None:
    """What the data plane is told; None where nothing says whom to trust.

    Raises `BadInput` that names the file.
    """
    if tls.ca_file is None:
        return None
    if isinstance(tls.ca_file, Path):
        from mutualgate.reading.files import read_certificates

        ca_pem = read_file(tls.ca_file)
        read_certificates(ca_pem, str(tls.ca_file))
    else:
        ca_pem = _of_system()
    own = own_certificate(tls)
    certificate, key = own[:2] if own else (None, None)
    return TlsSettings(ca_pem, tls.server_name, certificate, key)


def upstreams_fit(config: Config) -> Iterator[Finding]:
    """The files of each upstream can be read and belong together; where the machine is to trust somebody, it does."""
    for number, upstream in enumerate(config.upstreams):
        try:
            tls_settings(upstream.tls)
        except BadInput as error:
            problem = f"{error.where}: {error.problem}"
            yield Finding(("upstreams", number, "tls", _blamed(upstream, error)), problem, error.expected, error.fix)
    for site_number, site in enumerate(config.sites):
        for number, route in enumerate(site.routes):
            if route.upstream is not None and route.upstream.is_tls:
                try:
                    tls_settings(OF_SYSTEM)
                except BadInput as error:
                    fix = "Name one of [[upstreams]] there, with `ca_file` under [upstreams.tls]"
                    where = ("sites", site_number, "routes", number, "upstream")
                    yield Finding(where, f"{route.upstream}: {error.problem}", error.expected, fix)


def files_of_upstreams(config: Config) -> list[Path]:
    """The files that `tls_settings` reads."""
    names = (name for up in config.upstreams for name in (up.tls.ca_file, up.tls.certificate, up.tls.key))
    return [name for name in names if isinstance(name, Path)]


def _blamed(upstream: UpstreamConfig, error: BadInput) -> str:
    named = {str(upstream.tls.certificate): "certificate", str(upstream.tls.key): "key"}
    return named.get(str(error.where), "ca_file")


def _of_system() -> bytes:
    import ssl

    usual = ssl.get_default_verify_paths().cafile
    for name in (usual, *_SYSTEM_FILES):
        if name and Path(name).is_file():
            return read_file(Path(name), _MOST_BYTES)
    raise BadInput("this machine has no collection of authorities", where="system", fix="Give `ca_file`, a PEM file")
