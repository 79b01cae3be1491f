"""What the plain listener serves."""

import json

import pki
import pytest
from cryptography import x509
from installation import Installation

from mutualgate.app.publications import Publications
from mutualgate.gate import Publication


def test_the_root_and_the_lists_are_served(installed: Installation) -> None:
    services = installed.services()
    try:
        served = Publications(services)
        files = {file.path: file for file in served.news()}
        services.clients.revoke("first-client")
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


def test_nobody_waits_for_a_large_list(installed: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    services = installed.services()
    path = "/crl/issuing.crl"

    def of(files: list[Publication]) -> list[tuple[int, int]]:
        """Entries of the list, and when it ends; -1 where there is no list."""
        found = [file for file in files if file.path == path]
        return [(len(x509.load_der_x509_crl(one.body)) if one.body else -1, one.expires_at or -1) for one in found]

    try:
        monkeypatch.setattr("mutualgate.authorities.lists.LARGE", 0)
        services.clients.revoke("first-client")
        first = Publications(services)
        assert of(first.news()) == [(-1, -1)], "there is none yet: 503"
        assert first.behind
        ((entries, ends),) = of(first.catch_up())
        assert entries == 1
        assert not first.behind
        services.clients.add("second")
        services.enrolment.sign("second", pki.csr(pki.fresh_key()))
        services.clients.revoke("second")
        assert of(first.news()) == []
        assert first.behind
        assert of(Publications(services).news()) == [(1, ends)], "the last one is served after a start, too"
        ((entries, _),) = of(first.catch_up())
        assert entries == 2
    finally:
        services.close()
