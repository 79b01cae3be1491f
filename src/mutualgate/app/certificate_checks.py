"""Whether the certificates that sites bring would be taken by those who come: their time, and the names in them.

The gate opens with whatever it has, for the other sites' sake; `mutualgate check` asks before it does.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from mutualgate.app.server_certificates import own_certificate
from mutualgate.config import Check, Config, Finding, SiteConfig
from mutualgate.counts import counted
from mutualgate.errors import BadInput

if TYPE_CHECKING:
    from cryptography import x509

_SOON = timedelta(days=30)


def certificates_last(now: datetime) -> Check:
    """None has ended, or has not begun: then nobody gets in."""

    def check(config: Config) -> Iterator[Finding]:
        for number, site, certificate in _own(config):
            where, place = f"{site.certificate}", ("sites", number, "certificate")
            begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
            if ends < now:
                yield Finding(
                    place, f"{where}: ended on {ends:%Y-%m-%d %H:%M} UTC", fix="Put the next one in its place"
                )
            elif begins > now:
                yield Finding(
                    place,
                    f"{where}: is not valid before {begins:%Y-%m-%d %H:%M} UTC",
                    fix="Look at this machine's clock",
                )

    return check


def certificates_serve(now: datetime) -> Check:
    """None ends soon, and each bears the names of its site: else some do not get in, or none will before long."""

    def check(config: Config) -> Iterator[Finding]:
        for number, site, certificate in _own(config):
            ends = certificate.not_valid_after_utc
            if timedelta(0) <= ends - now <= _SOON:
                left = counted((ends - now).days, "day")
                yield Finding(
                    ("sites", number, "certificate"),
                    f"{site.certificate}: ends on {ends:%Y-%m-%d %H:%M} UTC, in {left}",
                    fix="Put the next one in its place before: the gate sees it by itself",
                )
            names = _names(certificate)
            for place, host in enumerate(site.hosts):
                if not any(_covers(name, host) for name in names):
                    yield Finding(
                        ("sites", number, "hosts", place),
                        f"{site.certificate}: is not for {host}, so nobody gets in by that name",
                        expected=f"one of {', '.join(names)}" if names else "a certificate with a subjectAltName",
                    )

    return check


def _own(config: Config) -> Iterator[tuple[int, SiteConfig, "x509.Certificate"]]:
    """Those that can be used; of others, somebody else says why."""
    for number, site in enumerate(config.sites):
        try:
            own = own_certificate(site)
            if own is not None:
                from mutualgate.reading.files import read_certificates

                yield number, site, read_certificates(own[0], str(site.certificate))[0]
        except BadInput:
            continue


def _names(certificate: "x509.Certificate") -> list[str]:
    """RFC 9525 6.1: what browsers and programs compare. A common name is none of it."""
    from cryptography import x509

    from mutualgate.reading.files import UNREADABLE, odd_serials_allowed

    try:
        with odd_serials_allowed():
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            found = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    except (*UNREADABLE, x509.ExtensionNotFound):
        return []
    return [name.lower() for name in found]


def _covers(name: str, host: str) -> bool:
    """RFC 9525 6.3: an asterisk stands for one whole label, the first; of an address for nothing."""
    if name == host:
        return True
    return name.startswith("*.") and name[1:] == host[host.find(".") :] and not _is_address(host)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
