"""What the plain listener serves: the root, for whoever has to trust it, the revocation lists, the keys of tokens."""

from cryptography.hazmat.primitives.serialization import Encoding

from mutualgate.app.services import Services
from mutualgate.authorities.issuing import certificate_of
from mutualgate.gate import Publication
from mutualgate.model.names import AuthorityName


class Publications:
    """What is served, as it changes. A list is asked for by its number: it may have many MB."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._served: dict[AuthorityName, int | None] = {}
        self.behind = False
        """Whether large lists are due, which `catch_up` makes."""

    def news(self) -> list[Publication]:
        """What changed since it was asked for last. Lists that are due are made first, but large ones: of these the
        last one is served as long as it lasts, and where there is none, the answer is that it is not there yet."""
        self.behind = self._services.authorities.renew_crls(large=False)
        return [*self._certificates(), *self._lists()]

    def catch_up(self) -> list[Publication]:
        """As `news`, with the large lists. They take 3 seconds for a million entries."""
        self.behind = self._services.authorities.renew_crls(large=True)
        return self._lists()

    def _certificates(self) -> list[Publication]:
        """And the keys of tokens: they are small."""
        files = []
        hierarchy = self._services.authorities.hierarchy()
        if hierarchy is not None:
            der = certificate_of(hierarchy.root).public_bytes(Encoding.DER)
            files.append(Publication("/root.pem", "application/x-pem-file", hierarchy.root_pem, None))
            files.append(Publication("/root.crt", "application/x-x509-ca-cert", der, None))
            for other in hierarchy.other_roots:
                der = certificate_of(other).public_bytes(Encoding.DER)
                files.append(Publication(f"/{other.name}.crt", "application/x-x509-ca-cert", der, None))
        keys = self._services.token_keys.published()
        if keys is not None:
            files.append(Publication("/.well-known/mutualgate/jwks.json", "application/jwk-set+json", keys, None))
        return files

    def _lists(self) -> list[Publication]:
        # RFC 5280 4.2.1.13 and RFC 2585 4.2: DER, application/pkix-crl; never past its nextUpdate.
        files = []
        for name, state in self._services.authorities.crl_states().items():
            number = None if state is None else state.number
            if name in self._served and self._served[name] == number:
                continue
            body, expires_at = b"", 0
            if state is not None:
                crl = self._services.authorities.served_crl(name)
                number, body, expires_at = crl.number, crl.der, int(crl.next_update.timestamp())
            files.append(Publication(f"/crl/{name}.crl", "application/pkix-crl", body, expires_at))
            self._served[name] = number
        return files
