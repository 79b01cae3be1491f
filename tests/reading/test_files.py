"""Bytes from outside: PEM in all its shapes, and what reaches a terminal."""

import pki
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutualgate.errors import BadInput
from mutualgate.reading.files import holds_private_key, pem_blocks, read_certificates, shown

ROOT = pki.ca("root")
ALICE = pki.leaf(ROOT, "alice")


def test_one_certificate_in_der_or_many_in_pem_in_their_order() -> None:
    assert read_certificates(ALICE.der, "x") == [ALICE.certificate]
    assert read_certificates(b"# ours\n" + ALICE.pem + b"\r\n" + ROOT.pem, "x") == [ALICE.certificate, ROOT.certificate]


def test_windows_line_endings_and_the_older_label_are_read() -> None:
    assert read_certificates(ALICE.pem.replace(b"\n", b"\r\n"), "x") == [ALICE.certificate]
    assert read_certificates(ALICE.pem.replace(b"CERTIFICATE", b"X509 CERTIFICATE"), "x") == [ALICE.certificate]


def test_the_text_that_openssl_ca_puts_before_it_is_passed_over() -> None:
    data = pki.openssl("x509", "-text", stdin=ALICE.pem)
    assert data.startswith(b"Certificate:")
    assert read_certificates(data, "x") == [ALICE.certificate]


def test_other_objects_beside_them_are_passed_over() -> None:
    assert read_certificates(ALICE.key_pem + ALICE.pem + pki.csr(ALICE.key), "x") == [ALICE.certificate]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is no X.509 certificate"),
        (b"hello", "is no X.509 certificate"),
        (ALICE.der + b"\0", "is no X.509 certificate"),
        (ALICE.key_pem, "holds no certificate"),
        (ALICE.pem[:-20], "PEM object 1 is cut off"),
        (ROOT.pem + ALICE.pem[:-20], "PEM object 2 is cut off"),
        (ALICE.pem.replace(b"MII", b"M!!"), "PEM object 1 (CERTIFICATE) is not base64"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "PEM object 1: is no X.509 certificate"),
        (b"-----BEGIN " + b"A" * 100, "has no complete BEGIN line"),
        (ALICE.pem.replace(b" CERT", b" TRUSTED CERT"), "TRUSTED CERTIFICATE form"),
    ],
)
def test_anything_else_gets_one_sentence_that_says_where(data: bytes, words: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_certificates(data, "ca.pem")
    assert words in str(refused.value)
    assert str(refused.value).startswith("ca.pem")
    assert "\n" not in str(refused.value)


def test_a_serial_number_that_is_not_positive_is_read_without_a_warning() -> None:
    zero = pki.openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null"),
        *("-subj", "/CN=zero", "-set_serial", "0"),
    )
    assert len(read_certificates(zero, "x")) == 1  # warnings are errors in these tests


@pytest.mark.parametrize("kind", ["PKCS8", "encrypted", "SEC1", "DER", "encrypted DER"])
def test_private_keys_are_noticed(kind: str) -> None:
    pem = pki.key_pem(pki.ec_key())
    data = {
        "PKCS8": lambda: pem,
        "encrypted": lambda: pki.key_pem(pki.ec_key(), "a password"),
        "SEC1": lambda: pki.openssl("ec", stdin=pem),
        "DER": lambda: pki.openssl("pkey", "-outform", "DER", stdin=pem),
        "encrypted DER": lambda: pki.openssl("pkcs8", "-topk8", "-passout", "pass:x", "-outform", "DER", stdin=pem),
    }[kind]()
    assert holds_private_key(data)
    if data.startswith(b"-----"):
        assert holds_private_key(ALICE.pem + data)


def test_certificates_and_noise_are_no_private_keys() -> None:
    for data in (ALICE.pem, ALICE.der, pki.csr(ALICE.key), b"", b"\x30\x00", b"PRIVATE KEY"):
        assert not holds_private_key(data)


@given(st.binary(max_size=300))
def test_noise_is_refused_and_nothing_else(data: bytes) -> None:
    for given_data in (data, b"-----BEGIN X-----" + data, b"-----BEGIN " + data + b"-----END "):
        try:
            pem_blocks(given_data, "x")
            read_certificates(given_data, "x")
        except BadInput as error:
            sentence = str(error)
            continue
        pytest.fail(f"took {given_data!r} for a certificate")
    assert "\n" not in sentence


def test_many_beginnings_without_an_end_cost_no_more_than_their_length() -> None:
    # One pass takes milliseconds; one pass for each beginning would run into the limit on a test's time.
    with pytest.raises(BadInput, match="cut off"):
        pem_blocks(b"-----BEGIN A-----\n" * 2_000_000, "x")


def test_what_is_shown_cannot_move_the_cursor_or_turn_the_text() -> None:
    assert shown("a\x1b[2J\r\n\u202eb\u2028c\x00\x7fd é 名") == "a\\x1b[2J\\x0d\\x0a\\x202eb\\x2028c\\x00\\x7fd é 名"
    assert shown("x" * 121) == "x" * 120 + "..."
    assert shown("x" * 120) == "x" * 120
