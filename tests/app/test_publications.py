"""What the plain listener serves."""

import json
import math
import sqlite3
from datetime import timedelta

import pki
import pytest
from cryptography import x509
from installation import Installation

from mutualgate.app.publications import Publications
from mutualgate.app.services import Services
from mutualgate.clock import system_clock
from mutualgate.gate import Publication

DAY = 86_400


class Hands:
    """Of a clock that counts seconds."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_root_and_the_lists_are_served(installed: Installation) -> None:
    services = installed.services()
    try:
        hands = Hands()
        served = Publications(services, hands)
        files = {file.path: file for file in served.news()}
        services.clients.revoke("first-client")
        hands.now += DAY
        after = {file.path: file for file in served.news()}
    finally:
        services.close()
    assert "/crl/root.crl" not in after, "it is read and handed over again although it is the same"
    assert set(files) == {"/root.pem", "/root.crt", "/crl/root.crl", "/crl/issuing.crl"}
    assert files["/root.pem"].body == installed.folder.root.read_bytes()
    assert files["/root.pem"].expires_at is None
    assert x509.load_der_x509_certificate(files["/root.crt"].body) == x509.load_pem_x509_certificate(
        files["/root.pem"].body
    )
    before, now = (x509.load_der_x509_crl(one["/crl/issuing.crl"].body) for one in (files, after))
    assert (len(before), len(now)) == (0, 1)


def test_the_keys_of_tokens_are_served_once_there_are_some(installed: Installation) -> None:
    services = installed.services()
    try:
        key = services.token_keys.signing()
        (file,) = [file for file in Publications(services).news() if file.path == "/.well-known/mutualgate/jwks.json"]
    finally:
        services.close()
    assert file.content_type == "application/jwk-set+json"
    assert [one["kid"] for one in json.loads(file.body)["keys"]] == [key.key_id]


@pytest.mark.parametrize("path", ["/crl/root.crl", "/crl/issuing.crl"])
def test_a_list_is_not_served_past_its_next_update(path: str, installed: Installation) -> None:
    services = installed.services()
    try:
        (file,) = [file for file in Publications(services).news() if file.path == path]
    finally:
        services.close()
    next_update = x509.load_der_x509_crl(file.body).next_update_utc
    assert next_update is not None
    assert file.expires_at == int(next_update.timestamp())


LIST = "/crl/issuing.crl"


def of(files: list[Publication]) -> list[tuple[int, int]]:
    """Entries of the issuing authority's list, and when it ends; -1 where there is no list; none if it was not made."""
    found = [file for file in files if file.path == LIST]
    return [(len(x509.load_der_x509_crl(one.body)) if one.body else -1, one.expires_at or -1) for one in found]


def revoke(services: Services, name: str) -> None:
    services.clients.add(name)
    services.enrolment.sign(name, pki.csr(pki.fresh_key()))
    services.clients.revoke(name)


def test_nobody_waits_for_a_large_list(installed: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    services = installed.services()
    try:
        monkeypatch.setattr("mutualgate.authorities.lists.LARGE", 0)
        services.clients.revoke("first-client")
        hands = Hands()
        first = Publications(services, hands)
        assert of(first.news()) == [(-1, -1)], "there is none yet: 503"
        assert first.behind
        ((entries, ends),) = of(first.catch_up())
        assert entries == 1
        assert not first.behind
        revoke(services, "second")
        hands.now += DAY
        assert of(first.news()) == []
        assert first.behind
        assert of(Publications(services).news()) == [(1, ends)], "the last one is served after a start, too"
        ((entries, _),) = of(first.catch_up())
        assert entries == 2
    finally:
        services.close()


def test_the_longer_a_list_takes_the_rarer_it_is_made_anew(
    installed: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mutualgate.app.publications.SHARE", 1e-9)  # whatever it takes, it is some days
    services, hands = installed.services(), Hands()
    try:
        served = Publications(services, hands)
        assert [entries for entries, _ in of(served.news())] == [0]
        assert served.rest == math.inf, "none is due"
        services.clients.revoke("first-client")
        assert of(served.news()) == []
        assert of(served.catch_up()) == []
        first = served.rest
        assert DAY < first < math.inf
        hands.now += first - 1
        assert of(served.news()) == []
        assert served.rest == pytest.approx(1)
        hands.now += 2
        assert [entries for entries, _ in of(served.news())] == [1]
        assert served.rest == math.inf
    finally:
        services.close()


def test_who_makes_a_list_by_command_does_not_wait(installed: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mutualgate.app.publications.SHARE", 1e-9)
    services = installed.services()
    try:
        served = Publications(services, Hands())
        served.news()
        services.clients.revoke("first-client")
        assert len(x509.load_der_x509_crl(services.authorities.crl("issuing").der)) == 1
        assert [entries for entries, _ in of(served.news())] == [1], "and it is the one that is served"
    finally:
        services.close()


def test_a_key_that_cannot_be_opened_keeps_no_other_list_from_being_made(
    installed: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    services, hands = installed.services(), Hands()
    try:
        with sqlite3.connect(installed.folder.store) as store:
            (key,) = store.execute("SELECT encrypted FROM authority_key WHERE authority = 1").fetchone()
            store.execute("UPDATE authority_key SET encrypted = ? WHERE authority = 1", (b"damaged",))
        store.close()
        served = Publications(services, hands)
        lists = {file.path: file.body for file in served.news() if file.path.startswith("/crl/")}
        assert lists["/crl/root.crl"] == b""
        assert x509.load_der_x509_crl(lists["/crl/issuing.crl"]) is not None
        assert "the revocation list of root cannot be made: " in caplog.text
        assert 0 < served.rest <= 60
        with sqlite3.connect(installed.folder.store) as store:
            store.execute("UPDATE authority_key SET encrypted = ? WHERE authority = 1", (key,))
        store.close()
        hands.now += 61
        (made,) = (file.body for file in served.news() if file.path == "/crl/root.crl")
        assert x509.load_der_x509_crl(made) is not None
    finally:
        services.close()


def test_a_list_is_made_at_half_its_life_whatever_it_takes(
    installed: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mutualgate.app.publications.SHARE", 1e-9)
    moved = [timedelta(0)]
    services = Services(installed.folder, clock=lambda: system_clock() + moved[0], environment={})
    try:
        served = Publications(services, Hands())
        served.news()
        services.clients.revoke("first-client")
        moved[0] = timedelta(days=4)
        assert [entries for entries, _ in of(served.news())] == [1]
    finally:
        services.close()
