"""Partners of each test's own, with a CA."""

import pki
import pytest

from mutualgate.model.partner import Partner, PartnerAdmits
from mutualgate.partners.service import Partners
from mutualgate.store import Store, Transaction


@pytest.fixture
def letters() -> list[tuple[str, str]]:
    """To whom a letter was put into the outbox, and its subject."""
    return []


@pytest.fixture
def partners(store: Store, letters: list[tuple[str, str]]) -> Partners:
    """The service with the partners acme and umbrella."""

    def tell(tx: Transaction, partner: Partner, subject: str, body: str, once: str) -> None:
        letters.append((str(partner.name), subject))

    service = Partners(store, by="test", tell=tell)
    for name in ("acme", "umbrella"):
        service.add(name, names=[f"dns:*.{name}.example"], admits=PartnerAdmits.RULE, roles=["orders"])
    return service


@pytest.fixture
def acme_ca() -> pki.Issued:
    return pki.ca("acme issuing", parent=pki.ca("acme root"), path_length=0)
