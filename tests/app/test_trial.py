"""Few certificates are judged at once, many while somebody is told how far it is. What it finds, `test_trust` holds."""

from datetime import timedelta

import pki
import pytest
from rows import see

from mutualgate.app import Services, trial
from mutualgate.app.trial import Make

NOW = pki.real_now()


@pytest.fixture
def retire(services: Services, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Locks out the five that came under a partner's CA; three certificates are many."""
    ca = pki.ca("acme issuing", path_length=0, now=NOW)
    services.partners.add("acme", names=["dns:*.acme.example"])
    anchor = services.partners.anchors.claim("acme", ca.pem).anchor
    services.partners.anchors.approve("acme", anchor.id, without_proof=True)
    for number in range(5):
        name = f"m{number}.acme.example"
        services.partners.members.add("acme", f"dns:{name}")
        leaf = pki.leaf(ca, name, sans=[name], days=30, now=NOW)
        see(services.store, leaf.chain_der, at=NOW - timedelta(days=1, seconds=number), subject=f"CN={name}")
    monkeypatch.setattr(trial, "FEW", 2)
    return lambda tried: tried.partners.anchors.retire("acme", anchor.id)


def test_many_are_judged_while_somebody_is_told(services: Services, retire: Make) -> None:
    told: list[tuple[int, int]] = []
    found = services.trust.try_(retire, told=lambda judged, of: told.append((judged, of)))
    assert len(found.locked_out) == 5
    assert told == [(0, 5), (2, 5), (4, 5), (5, 5)]


def test_few_are_known_at_once(services: Services, retire: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    assert services.trust.try_few(retire) is None
    many = services.trust.try_(retire)
    monkeypatch.setattr(trial, "FEW", 5)
    told: list[tuple[int, int]] = []
    for few in (services.trust.try_few(retire), services.trust.try_(retire, told=lambda *far: told.append(far))):
        assert few is not None
        assert (few.affected, few.locked_out, few.clients) == (many.affected, many.locked_out, many.clients)
    assert told == []


def test_a_partner_s_client_is_one_however_many_there_are(services: Services, retire: Make) -> None:
    for words in ("members", "clients"):

        def suspend(tried: Services, words: str = words) -> object:
            if words == "members":
                return tried.partners.members.suspend("acme", "dns:m1.acme.example")
            return tried.clients.suspend("m1.acme.example")

        found = services.trust.try_few(suspend)
        assert found is not None
        assert (found.locked_out, found.clients) == (("m1.acme.example",), 1)


def test_who_is_told_can_end_it(services: Services, retire: Make) -> None:
    def enough(judged: int, of: int) -> None:
        if judged:
            raise KeyboardInterrupt

    epoch = services.store.epoch()
    with pytest.raises(KeyboardInterrupt):
        services.trust.try_(retire, told=enough)
    assert services.store.epoch() == epoch
    assert services.trust.try_(retire).certificates == 5
