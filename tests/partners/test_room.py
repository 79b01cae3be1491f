"""Bounds that are asked in other places than where something of the kind is added; those have theirs there."""

import pki
import pytest

from mutualgate.clients import Clients
from mutualgate.errors import Conflict, NotFound
from mutualgate.partners.pins import Pins
from mutualgate.partners.service import Partners
from mutualgate.store import Store


def test_a_retired_pin_is_renewed_only_where_there_is_room(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    Clients(store).add("anna")
    pins = Pins(store)
    first, second = (pins.add("anna", pki.leaf(None, name).pem) for name in ("first", "second"))
    pins.retire(first.id)
    monkeypatch.setattr("mutualgate.partners.room.MOST_PER_CLIENT", 1)
    with pytest.raises(Conflict, match="'anna' has 1 pins already") as full:
        pins.renew(first.id)
    assert full.value.code == "too_many_pins"
    pins.retire(second.id)
    assert pins.renew(first.id).state == "active"


def test_a_partner_is_added_with_no_more_rules_than_may_be(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mutualgate.partners.room.MOST_RULES", 1)
    partners = Partners(store)
    with pytest.raises(Conflict) as full:
        partners.add("acme", names=["dns:*.acme.example", "dns:*.acme.test"])
    assert full.value.code == "too_many_rules"
    with pytest.raises(NotFound):
        partners.get("acme")
