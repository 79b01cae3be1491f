"""What the plain listener serves: the root, for whoever has to trust it, the revocation lists, the keys of tokens."""

import logging
import math
import time
from collections.abc import Callable

from cryptography.hazmat.primitives.serialization import Encoding

from mutualgate.app.services import Services
from mutualgate.authorities.issuing import certificate_of
from mutualgate.errors import MutualgateError
from mutualgate.gate import Publication
from mutualgate.model.names import AuthorityName

SHARE = 0.02
"""Of a core, at most, for the list of an authority: one that took 3 seconds stays as it is for 150, whatever is revoked
meanwhile. The gate refuses at once, and asks no list."""


AGAIN_SECONDS = 60.0
"""Until a list is tried again that could not be made: its authority's key could not be opened, or its token is away."""

log = logging.getLogger(__name__)


class Publications:
    """What is served, as it changes. A list is asked for by its number: it may have many MB."""

    def __init__(self, services: Services, seconds: Callable[[], float] = time.monotonic) -> None:
        self._services = services
        self._seconds = seconds
        self._served: dict[AuthorityName, int | None] = {}
        self._rests: dict[AuthorityName, float] = {}
        """Until when a list is not made for a revocation, by the clock `seconds`."""
        self._failed: dict[AuthorityName, float] = {}
        """Until when a list is not tried again that could not be made, by the same clock."""
        self.rest = math.inf
        """In how many seconds the next list may be made that is due already."""
        self.behind = False
        """Whether large lists may be made already, which `catch_up` does."""

    def news(self) -> list[Publication]:
        """What changed since it was asked for last. Lists that are due are made first, but large ones: of these the
        last one is served as long as it lasts, and where there is none, the answer is that it is not there yet."""
        self._make(large=False)
        return [*self._certificates(), *self._lists()]

    def catch_up(self) -> list[Publication]:
        """As `news`, with the large lists. They take 3 seconds for a million entries."""
        self._make(large=True)
        return self._lists()

    def _make(self, *, large: bool) -> None:
        """After each revocation, but not more often than its share allows; at half its life whatever it takes. One that
        cannot be made keeps no other from being made, and no gate from opening."""
        self.rest, self.behind = math.inf, False
        for one in self._services.authorities.due_crls():
            name, now = one.authority.name, self._seconds()
            rest = -math.inf if one.aged else self._rests.get(name, -math.inf) - now
            rest = max(rest, self._failed.get(name, -math.inf) - now)
            if rest > 0:
                self.rest = min(self.rest, rest)
            elif one.large and not large:
                self.behind = True
            else:
                self._make_one(name)

    def _make_one(self, name: AuthorityName) -> None:
        begun = time.thread_time()
        try:
            self._services.authorities.crl(name)
        except MutualgateError as error:
            log.error("the revocation list of %s cannot be made: %s", name, error)
            self._failed[name] = self._seconds() + AGAIN_SECONDS
            self.rest = min(self.rest, AGAIN_SECONDS)
        else:
            self._rests[name] = self._seconds() + (time.thread_time() - begun) / SHARE

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
