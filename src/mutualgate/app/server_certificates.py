"""The certificate of each site: its own files, or one that our authority issues."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mutualgate.app.services import Services
from mutualgate.config import Config, SiteConfig, UpstreamTls
from mutualgate.errors import BadInput
from mutualgate.gate.settings import SiteSettings
from mutualgate.reading.bounded import read_file


@dataclass(frozen=True)
class SiteCertificate:
    """What the data plane is given for a site, and until when it is good. `own`: from files, not from our authority."""

    name: str
    settings: SiteSettings
    not_after: datetime
    own: bool


def site_certificates(services: Services, config: Config) -> list[SiteCertificate]:
    """One for each site, in the order of the file; issues what is missing, outdated or in the last third of its life.

    Raises `BadInput` for files that cannot be used.
    """
    return [_own(site) or _issued(services, site) for site in config.sites]


def reissued(services: Services, config: Config, in_force: Sequence[SiteCertificate]) -> list[SiteCertificate]:
    """Those that are `in_force`, but of our authority's the ones that are due now; they are issued then."""
    return [now if now.own else _issued(services, site) for site, now in zip(config.sites, in_force, strict=True)]


def reread(config: Config, in_force: Sequence[SiteCertificate]) -> list[SiteCertificate]:
    """Those that are `in_force`, but as their files are now, where those can be used."""
    return [_reread(site) or now if now.own else now for site, now in zip(config.sites, in_force, strict=True)]


def _reread(site: SiteConfig) -> SiteCertificate | None:
    try:
        return _own(site)
    except BadInput:
        return None


def own_certificate(site: SiteConfig | UpstreamTls) -> tuple[bytes, bytes, datetime] | None:
    """The own chain and key of a site, or of the gate at an upstream, PEM, and its notAfter; None where there is none.

    Raises `BadInput` that names the file: unreadable, no certificate, a key that is encrypted or another one's.
    """
    if site.certificate is None or site.key is None:
        return None
    from mutualgate.authorities.keys import plain_key_pem, read_private_key
    from mutualgate.reading.files import read_certificates

    chain_pem = read_file(site.certificate)
    chain = read_certificates(chain_pem, str(site.certificate))
    fix = f"The gate reads it without one: openssl pkey -in {site.key} -out FILE"
    key = read_private_key(read_file(site.key), None, str(site.key), fix=fix)
    if key.public_key() != chain[0].public_key():
        raise BadInput(
            f"the key does not belong to the first certificate in {site.certificate}",
            where=str(site.key),
            expected="the private key of that certificate",
        )
    return chain_pem, plain_key_pem(key), chain[0].not_valid_after_utc


def _own(site: SiteConfig) -> SiteCertificate | None:
    own = own_certificate(site)
    if own is None:
        return None
    chain_pem, key_pem, not_after = own
    return SiteCertificate(site.name, SiteSettings(site.name, chain_pem, key_pem), not_after, own=True)


def _issued(services: Services, site: SiteConfig) -> SiteCertificate:
    made = services.authorities.server_certificate(site.name, site.hosts)
    settings = SiteSettings(site.name, made.chain_pem, made.key_pem)
    return SiteCertificate(site.name, settings, made.not_after, own=False)


def files_of(config: Config) -> list[Path]:
    """The files that `site_certificates` reads."""
    return [path for site in config.sites for path in (site.certificate, site.key) if path is not None]
