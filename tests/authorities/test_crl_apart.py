"""A list that another process made is the one that this process would have made."""

from datetime import timedelta

import pki
import pytest
from cryptography import x509

from mutualgate.authorities.crl import make_crl
from mutualgate.authorities.crl_apart import Row, make_crl_apart
from mutualgate.errors import Unavailable
from mutualgate.reading.crl import Revocation

NOW = pki.NOW
KEY = pki.fresh_key()
CA = pki.ca("issuing", key=KEY)
NUMBER = 2**158 + 7
LIFE = timedelta(hours=36)


def test_it_says_the_same() -> None:
    numbers = [bytes([1, number]) for number in range(9)]
    rows: list[Row] = [(number, int(NOW.timestamp()), number[1] % 5) for number in numbers]
    apart = make_crl_apart(CA.certificate, KEY, [rows[:4], [], rows[4:]], NUMBER, NOW, LIFE)
    here = make_crl(CA.certificate, KEY, [Revocation(row[0], NOW, row[2]) for row in rows], NUMBER, NOW, LIFE)
    made, expected = x509.load_der_x509_crl(apart), x509.load_der_x509_crl(here)
    assert made.tbs_certlist_bytes == expected.tbs_certlist_bytes
    assert made.is_signature_valid(KEY.public_key())  # type: ignore[arg-type]
    assert len(made) == 9


def test_one_that_could_not_be_made_is_said() -> None:
    with pytest.raises(Unavailable, match="no reason of RFC 5280"):
        make_crl_apart(CA.certificate, KEY, [[(b"\1", 0, 7)]], 1, NOW, LIFE)
