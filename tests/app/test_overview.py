"""What the watchers are told of the store."""

from installation import Installation

from mutualgate.app.overview import figures, overview
from mutualgate.model.expiring import ExpiryKind


def test_it_counts_clients_and_says_what_ends(installed: Installation) -> None:
    services = installed.services()
    try:
        services.clients.add("second")
        services.clients.suspend("first-client")
        services.authorities.crls()
        seen = overview(services.store)
        assert seen.epoch == services.store.epoch()
    finally:
        services.close()
    assert seen.clients["suspended"] == 1
    assert sum(seen.clients.values()) == 2
    assert [name for name, _ in seen.authorities] == ["root", "issuing"]
    assert [name for name, _ in seen.lists] == ["root", "issuing"]
    assert seen.lists[1][1] < seen.authorities[1][1]


def test_a_list_is_behind_until_it_tells_of_the_last_revocation(installed: Installation) -> None:
    services = installed.services()
    try:
        services.authorities.crls()
        assert overview(services.store).lists_behind == {"root": False, "issuing": False}
        services.clients.revoke("first-client")
        assert overview(services.store).lists_behind == {"root": False, "issuing": True}
        services.authorities.crls()
        assert overview(services.store).lists_behind == {"root": False, "issuing": False}
    finally:
        services.close()


def test_figures_name_no_client(installed: Installation) -> None:
    services = installed.services()
    try:
        services.partners.add("acme")
        found = figures(services.expiry, services.revocation, services.key_sets)
    finally:
        services.close()
    assert {one.kind for one in found.expiring} == set(ExpiryKind)
    assert found.partner_lists == []
    assert "first-client" not in str(found)
