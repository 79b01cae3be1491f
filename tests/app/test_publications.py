"""What the plain listener serves."""

import json

import pytest
from cryptography import x509
from installation import Installation

from mutualgate.app.publications import publications


def test_the_root_and_the_lists_are_served(installed: Installation) -> None:
    services = installed.services()
    try:
        files = {file.path: file for file in publications(services)}
        services.clients.revoke("first-client")
        after = {file.path: file for file in publications(services)}
    finally:
        services.close()
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
        (file,) = [file for file in publications(services) if file.path == "/.well-known/mutualgate/jwks.json"]
    finally:
        services.close()
    assert file.content_type == "application/jwk-set+json"
    assert [one["kid"] for one in json.loads(file.body)["keys"]] == [key.key_id]


@pytest.mark.parametrize("path", ["/crl/root.crl", "/crl/issuing.crl"])
def test_a_list_is_not_served_past_its_next_update(path: str, installed: Installation) -> None:
    services = installed.services()
    try:
        (file,) = [file for file in publications(services) if file.path == path]
    finally:
        services.close()
    next_update = x509.load_der_x509_crl(file.body).next_update_utc
    assert next_update is not None
    assert file.expires_at == int(next_update.timestamp())
