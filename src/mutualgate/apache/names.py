"""The header fields by which proxies tell a service who the client is: ours, and those of others.

httpd can remove a field only by its exact name, so each spelling is listed (`_` and `.` are read as `-` by many
programs behind). For other proxies' names only the uniform spellings are, since all of them would be thousands; a
mixture is refused by a pattern. That pattern sees only the last such field and takes an empty one for none
(mod_setenvif), so it is a second line and ours do not depend on it.
"""

from itertools import product
from typing import Final

OURS: Final = (
    "Client-Cert",
    "Client-Cert-Chain",
    "Mutualgate-Verdict",
    "Mutualgate-Client-Id",
    "Mutualgate-Client",
    "Mutualgate-Roles",
    "Mutualgate-Credential",
    "Mutualgate-Subject",
    "Mutualgate-Issuer",
    "Mutualgate-Serial",
    "Mutualgate-Authority",
    "Mutualgate-Evidence",
    "Mutualgate-Partner",
    "Mutualgate-Reason",
    "Mutualgate-Detail",
    "Mutualgate-Issuer-Known",
    "Mutualgate-Tls",
)
"""What the gate writes (RFC 9440, and plain fields)."""

OF_OTHERS: Final = (
    # Envoy and Istio; Traefik; AWS; Azure; Cloudflare
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Tls-Client-Cert",
    "X-Forwarded-Tls-Client-Cert-Info",
    "X-Amzn-Mtls-Clientcert",
    "X-Amzn-Mtls-Clientcert-Serial-Number",
    "X-Amzn-Mtls-Clientcert-Issuer",
    "X-Amzn-Mtls-Clientcert-Subject",
    "X-Amzn-Mtls-Clientcert-Validity",
    "X-Amzn-Mtls-Clientcert-Leaf",
    "X-Arr-Clientcert",
    "Cf-Client-Cert-Der-Base64",
    "Cf-Client-Cert-Sha256",
    # the recipes for nginx, HAProxy and httpd
    *(
        f"{prefix}-{what}"
        for prefix in ("X-Ssl-Client", "Ssl-Client", "X-Client")
        for what in (
            "Cert",
            "Certificate",
            "Cert-Chain",
            "Cn",
            "Dn",
            "S-Dn",
            "S-Dn-Cn",
            "Subject",
            "Subject-Dn",
            "I-Dn",
            "Issuer",
            "Issuer-Dn",
            "M-Serial",
            "Serial",
            "Fingerprint",
            "Sha1",
            "Sha256",
            "Verify",
            "Notbefore",
            "Notafter",
        )
    ),
    "X-Ssl",
    "X-Ssl-Cert",
    "X-Ssl-Cipher",
    "X-Ssl-Issuer",
    "X-Ssl-Protocol",
    "X-Ssl-Subject",
    "X-Ssl-Verify",
    # users, as authenticating proxies pass them on
    "Remote-User",
    "X-Remote-User",
    "X-Forwarded-User",
    "X-Auth-User",
    "X-Auth-Request-User",
    # how the request came in: ours is the first proxy that anybody may believe
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Proto",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Real-Ip",
    "X-Request-Id",
    # CGI programs take it for the setting HTTP_PROXY
    "Proxy",
)
"""What other proxies write. Not complete: nobody registered these names."""


def spellings(name: str) -> list[str]:
    """Every way to write `name` with `-`, `_` and `.` between its words; the name itself first."""
    words = name.split("-")
    return [
        "".join(word + mark for word, mark in zip(words, (*marks, ""), strict=True))
        for marks in product("-_.", repeat=len(words) - 1)
    ]


def common_spellings(name: str) -> list[str]:
    """`name` with `_` throughout, and with `.` throughout."""
    return [name.replace("-", mark) for mark in "_." if "-" in name]


def alias_pattern() -> str:
    """A case-insensitive PCRE for the names that are refused: identity fields spelled with `_` or `.`, and unknown ones
    that begin with `Mutualgate-`."""
    known = "|".join(name.removeprefix("Mutualgate-").lower() for name in OURS if name.startswith("Mutualgate-"))
    families = (
        r"client[-_.].*",
        r"(?:x[-_.])?ssl[-_.].*",
        r"x[-_.]client[-_.].*",
        r"x[-_.]forwarded[-_.].*",
        r"x[-_.]amzn[-_.]mtls[-_.].*",
        r"x[-_.]arr[-_.]clientcert",
        r"cf[-_.]client[-_.].*",
        r"(?:x[-_.])?remote[-_.]user",
        r"x[-_.]auth[-_.].*",
        r"x[-_.]re(?:al[-_.]ip|quest[-_.]id)",
    )
    return rf"^(?:mutualgate[-_.](?!(?:{known})$).*|(?=.*[_.])(?:{'|'.join(families)}))$"
