"""Virtual hosts as people write them, and what the import makes of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mutualgate.apache.import_ import Imported, import_text
from mutualgate.config import Config, parse

CN = "%{SSL_CLIENT_S_DN_CN}"


class Nothing:
    def read(self, pattern: str) -> Sequence[tuple[str, str]]:
        return []


def imported(text: str) -> Imported:
    return import_text(text, "site.conf", Nothing(), Path("/etc/apache2"))


def vhost(*lines: str, address: str = "*:443") -> str:
    inner = "\n".join(f"    {line}" for line in lines)
    return f"<VirtualHost {address}>\n{inner}\n</VirtualHost>\n"


TLS = (
    "ServerName shop.example.com",
    "SSLEngine on",
    "SSLCertificateFile /etc/ssl/shop.crt",
    "SSLCertificateKeyFile /etc/ssl/shop.key",
    "SSLCACertificateFile /etc/ssl/rootCA.pem",
)
BASIC = (*TLS, "SSLVerifyClient require", "ProxyPass / http://127.0.0.1:8080/")


def config(*lines: str) -> Config:
    return parse(imported(vhost(*lines)).toml)


def routes(*lines: str) -> dict[str, Any]:
    (site,) = config(*lines).sites
    return {route.path: route for route in site.routes}


def whys(result: Imported, directive: str) -> list[str]:
    return [left.why for left in result.left if left.directive.lower().startswith(directive.lower())]
