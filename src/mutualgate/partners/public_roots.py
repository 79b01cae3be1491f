"""Is this a CA that browsers trust? Then anybody can have a certificate under it, and it is no partner's own.

The list is vendored. This machine's own set of trusted CAs is not asked: companies add their private CAs to it.
"""

import hashlib
from functools import cache
from importlib.resources import files

from cryptography import x509


@cache
def _known() -> tuple[frozenset[bytes], frozenset[bytes]]:
    keys, names = set(), set()
    for line in files("mutualgate.partners").joinpath("public_roots.txt").read_text("ascii").splitlines():
        if not line.startswith("#"):
            key, name = line.split()
            keys.add(bytes.fromhex(key))
            names.add(bytes.fromhex(name))
    return frozenset(keys), frozenset(names)


def is_public(certificate: x509.Certificate, spki: bytes) -> bool:
    """Whether the CA is publicly trusted, or says that one of those signed it.

    The second by name: whoever names himself after a public CA is not to be taken for a partner's own CA either.
    """
    keys, names = _known()
    issuer = hashlib.sha256(certificate.issuer.public_bytes()).digest()
    return spki in keys or issuer in names
