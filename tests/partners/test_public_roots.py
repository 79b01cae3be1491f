import pki

from mutualgate.partners import public_roots
from mutualgate.partners.public_roots import is_public
from mutualgate.reading.weak_keys import key_fingerprint


def _spki(issued: pki.Issued) -> bytes:
    return key_fingerprint(issued.key.public_key())


def test_the_list_is_there_and_whole() -> None:
    keys, names = public_roots._known()
    assert len(keys) > 100
    assert len(names) > 100


def test_a_private_ca_is_not_public_and_one_that_names_a_public_one_is() -> None:
    """R6."""
    own = pki.ca("acme root")
    assert not is_public(own.certificate, _spki(own))
    isrg = pki.public_root_name()
    under = pki.issue(None, "R99", issuer_name=isrg)
    assert is_public(under.certificate, _spki(under))
