"""What the plain listener serves: the root, for whoever has to trust it, the revocation lists, the keys of tokens."""

from cryptography.hazmat.primitives.serialization import Encoding

from mutualgate.app.services import Services
from mutualgate.authorities.issuing import certificate_of
from mutualgate.gate import Publication


def publications(services: Services) -> list[Publication]:
    """All of them; lists that are due are made first."""
    files = []
    hierarchy = services.authorities.hierarchy()
    if hierarchy is not None:
        der = certificate_of(hierarchy.root).public_bytes(Encoding.DER)
        files.append(Publication("/root.pem", "application/x-pem-file", hierarchy.root_pem, None))
        files.append(Publication("/root.crt", "application/x-x509-ca-cert", der, None))
        for other in hierarchy.other_roots:
            der = certificate_of(other).public_bytes(Encoding.DER)
            files.append(Publication(f"/{other.name}.crt", "application/x-x509-ca-cert", der, None))
    for name, crl in services.authorities.crls().items():
        # RFC 5280 4.2.1.13 and RFC 2585 4.2: DER, application/pkix-crl; never past its nextUpdate.
        expires_at = int(crl.next_update.timestamp())
        files.append(Publication(f"/crl/{name}.crl", "application/pkix-crl", crl.der, expires_at))
    keys = services.token_keys.published()
    if keys is not None:
        files.append(Publication("/.well-known/mutualgate/jwks.json", "application/jwk-set+json", keys, None))
    return files
