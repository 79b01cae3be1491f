"""CRLs: ours as OpenSSL sees them, others' read with all suspicion."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pki
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from mutualgate.authorities.crl import CRL_LIFETIME, crl_pem, make_crl, read_crl
from mutualgate.authorities.keys import PrivateKey
from mutualgate.authorities.profiles import authority_key_identifier
from mutualgate.authorities.unsigned import signature_hash
from mutualgate.errors import BadInput
from mutualgate.reading.crl import REASONS, Revocation, serial_octets

NOW = pki.NOW
KEY = pki.fresh_key()
CA = pki.ca("issuing", key=KEY)
KEYS: list[PrivateKey] = [KEY, pki.ec_key("P-384"), pki.rsa_key(), pki.ed25519_key()]
SIGNERS = [(pki.ca("issuing", key=key), key) for key in KEYS]
SERIAL = bytes.fromhex("7f0102030405060708090a0b0c0d0e0f10111213")


def ours(*revocations: Revocation, number: int = 5) -> bytes:
    entries = [(one.serial, int(one.at.timestamp()), one.reason) for one in revocations]
    return make_crl(CA.certificate, KEY, entries, number, NOW)


def refused(data: bytes, issuer: pki.Issued = CA) -> str:
    with pytest.raises(BadInput) as caught:
        read_crl(data, issuer.certificate, NOW, "old.crl")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_openssl_reads_and_verifies_ours(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(CA.pem)
    (tmp_path / "a.crl").write_bytes(ours(Revocation(SERIAL, NOW, 1), Revocation(b"\x05", NOW, 0)))
    arguments = ("-in", "a.crl", "-inform", "DER", "-noout")
    text = pki.openssl("crl", *arguments, "-text", "-CAfile", "ca.pem", cwd=tmp_path).decode()
    for line in (
        "Version 2 (0x1)",
        "Issuer: CN = issuing",
        "Last Update: Jun  1 11:55:00 2026 GMT",
        "Next Update: Jun  8 12:00:00 2026 GMT",
        "X509v3 CRL Number: \n                5",
        "X509v3 Authority Key Identifier",
        f"Serial Number: {SERIAL.hex().upper()}",
        "X509v3 CRL Reason Code: \n                Key Compromise",
    ):
        assert line in text
    assert "Unspecified" not in text  # RFC 5280 5.3.1: left out instead


def test_openssl_refuses_the_client_that_is_revoked_and_no_other(tmp_path: Path) -> None:
    alice, bob = pki.leaf(CA, "alice"), pki.leaf(CA, "bob")
    (tmp_path / "ca.pem").write_bytes(CA.pem + crl_pem(ours(Revocation(alice.serial, NOW, 4))))
    verify = ("verify", "-crl_check", "-x509_strict", "-attime", str(int(NOW.timestamp())), "-CAfile", "ca.pem")
    (tmp_path / "bob.pem").write_bytes(bob.pem)
    assert b"OK" in pki.openssl(*verify, "bob.pem", cwd=tmp_path)
    (tmp_path / "alice.pem").write_bytes(alice.pem)
    with pytest.raises(AssertionError, match="certificate revoked"):
        pki.openssl(*verify, "alice.pem", cwd=tmp_path)


@pytest.mark.parametrize("reason", REASONS)
def test_what_we_write_we_read(reason: int) -> None:
    given = [Revocation(SERIAL, NOW, reason), Revocation(b"\x80", NOW, reason)]
    read = read_crl(ours(*given), CA.certificate, NOW, "a.crl")
    assert list(read.entries()) == given
    assert (read.number, read.count, read.stale) == (5, 2, False)
    assert (read.this_update, read.next_update) == (NOW - timedelta(minutes=5), NOW + timedelta(days=7))


def test_an_empty_list_is_a_list() -> None:
    assert list(read_crl(crl_pem(ours()), CA.certificate, NOW, "a.crl").entries()) == []


@pytest.mark.parametrize("reason", [7, 8, 11, -1])
def test_reasons_that_a_complete_crl_cannot_have_are_never_written(reason: int) -> None:
    with pytest.raises(ValueError, match="no reason"):
        ours(Revocation(SERIAL, NOW, reason))


def test_openssl_finds_numbers_that_only_old_authorities_made(tmp_path: Path) -> None:
    numbers = {"zero": b"\0", "high": b"\0" + b"\x91" * 20}
    listed = [Revocation(octets.lstrip(b"\0"), NOW, 4) for octets in numbers.values()]
    assert list(read_crl(ours(*listed), CA.certificate, NOW, "a.crl").entries()) == listed
    verify = ("verify", "-crl_check", "-attime", str(int(NOW.timestamp())), "-CAfile", "ca.pem")
    for name, octets in numbers.items():
        der, digits = pki.numbered(pki.leaf(CA, name), octets), octets.lstrip(b"\0")
        (tmp_path / "leaf.der").write_bytes(der)
        pki.openssl("x509", "-inform", "der", "-in", "leaf.der", "-out", "leaf.pem", cwd=tmp_path)
        (tmp_path / "ca.pem").write_bytes(CA.pem + crl_pem(ours(*(one for one in listed if one.serial != digits))))
        assert b"OK" in pki.openssl(*verify, "leaf.pem", cwd=tmp_path)
        (tmp_path / "ca.pem").write_bytes(CA.pem + crl_pem(ours(*listed)))
        with pytest.raises(AssertionError, match="certificate revoked"):
            pki.openssl(*verify, "leaf.pem", cwd=tmp_path)


@pytest.mark.parametrize("serial", [b"\x80" + bytes(20), bytes(22)])
def test_serial_numbers_that_no_crl_can_have_are_never_written(serial: bytes) -> None:
    with pytest.raises(ValueError, match="no serial number"):
        ours(Revocation(serial, NOW, 1))


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 2**159 - 1),
            st.datetimes(datetime(1950, 1, 1), datetime(2150, 1, 1)),  # noqa: DTZ001 - as the builder wants it
            st.sampled_from(sorted(REASONS)),
        ),
        max_size=9,
    ),
    st.integers(0, 2**159 - 1),
    st.sampled_from(SIGNERS),
)
def test_it_is_octet_for_octet_what_another_would_have_made(
    entries: list[tuple[int, datetime, int]], number: int, signer: tuple[pki.Issued, PrivateKey]
) -> None:
    issuer, key = signer[0].certificate, signer[1]
    builder = x509.CertificateRevocationListBuilder(issuer.subject, NOW - timedelta(minutes=5), NOW + CRL_LIFETIME)
    for serial, at, reason in entries:
        entry = x509.RevokedCertificateBuilder(serial, at.replace(microsecond=0))
        if reason:
            entry = entry.add_extension(x509.CRLReason(REASONS[reason]), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    key_identifier = authority_key_identifier(issuer)
    builder = builder.add_extension(key_identifier, critical=False).add_extension(x509.CRLNumber(number), False)
    expected = builder.sign(key, signature_hash(key.public_key()))
    plain = [
        (serial_octets(serial), int(at.replace(tzinfo=UTC, microsecond=0).timestamp()), reason)
        for serial, at, reason in entries
    ]
    made = x509.load_der_x509_crl(make_crl(issuer, key, plain, number, NOW))
    assert made.tbs_certlist_bytes == expected.tbs_certlist_bytes
    assert made.signature_algorithm_oid == expected.signature_algorithm_oid
    assert made.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]  # others raise TypeError


def test_a_day_before_1950_has_four_digits() -> None:
    # RFC 5280 4.1.2.5: two of them would be the year 2049.
    at = datetime(1949, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert b"\x18\x0f19491231235959Z" in ours(Revocation(SERIAL, at, 1))


def test_another_key_writes_no_crl() -> None:
    with pytest.raises(ValueError, match="not the issuer's key"):
        make_crl(CA.certificate, pki.fresh_key(), [], 1, NOW)


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_a_foreign_crl_is_read(encoding: Encoding) -> None:
    data = pki.crl(CA, 5, 2**150, reason=x509.ReasonFlags.superseded, encoding=encoding)
    assert [(one.serial, one.reason) for one in read_crl(data, CA.certificate, NOW, "old.crl").entries()] == [
        (b"\x05", 4),
        (serial_octets(2**150), 4),
    ]


def test_one_made_by_openssl_ca_of_version_1_is_read(tmp_path: Path) -> None:
    root = pki.ca("old", key=pki.rsa_key(), key_usage=False)
    root.write(tmp_path, "ca")
    (tmp_path / "index.txt").write_text("R\t350101000000Z\t260101000000Z,keyCompromise\t0A\tunknown\t/CN=gone\n")
    (tmp_path / "ca.cnf").write_text("[ca]\ndefault_ca=c\n[c]\ndatabase=index.txt\ndefault_md=sha256\n")
    command = ("ca", "-config", "ca.cnf", "-gencrl", "-keyfile", "ca.key", "-cert", "ca.crt", "-crldays", "30")
    data = pki.openssl(*command, cwd=tmp_path)
    read = read_crl(data, root.certificate, pki.real_now(), "ca.crl")
    assert [(entry.serial, entry.reason) for entry in read.entries()] == [(b"\x0a", 1)]
    assert read.number is None


def test_a_stale_one_is_read_and_says_so() -> None:
    assert read_crl(pki.crl(CA, 5, days=-1), CA.certificate, NOW, "old.crl").stale


def test_one_of_the_future_is_refused() -> None:
    assert "begins in the future" in refused(pki.crl(CA, 5, now=NOW + timedelta(days=1)))


def test_another_authority_with_the_same_name_did_not_sign_it() -> None:
    assert "was not signed by CN=issuing" in refused(pki.crl(pki.ca("issuing"), 5))
    assert "is the CRL of CN=other" in refused(pki.crl(pki.ca("other"), 5))


def test_a_changed_one_is_refused() -> None:
    data = pki.crl(CA, int.from_bytes(SERIAL, "big"), encoding=Encoding.DER)
    assert "was not signed" in refused(data.replace(SERIAL, SERIAL[:-1] + b"\0"))


def test_an_old_hash_is_refused(tmp_path: Path) -> None:
    root = pki.ca("old", key=pki.rsa_key())
    root.write(tmp_path, "ca")
    (tmp_path / "index.txt").write_text("")
    (tmp_path / "ca.cnf").write_text("[ca]\ndefault_ca=c\n[c]\ndatabase=index.txt\ndefault_md=sha1\n")
    command = ("ca", "-config", "ca.cnf", "-gencrl", "-keyfile", "ca.key", "-cert", "ca.crt", "-crldays", "30")
    assert "which nothing should trust today" in refused(pki.openssl(*command, cwd=tmp_path), root)


@pytest.mark.parametrize(
    ("extension", "words"),
    [
        (x509.DeltaCRLIndicator(1), "is a delta CRL"),
        (x509.IssuingDistributionPoint(None, None, False, False, None, True, False), "is an indirect CRL"),
        (x509.IssuingDistributionPoint(None, None, False, True, None, False, False), "is a partial CRL"),
        (
            x509.IssuingDistributionPoint(
                None, None, False, False, frozenset([x509.ReasonFlags.key_compromise]), False, False
            ),
            "is a partial CRL",
        ),
        (
            x509.IssuingDistributionPoint(
                [x509.UniformResourceIdentifier("http://ca.example/1.crl")], None, False, False, None, False, False
            ),
            "CRL of one distribution point",
        ),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), "critical extension"),
    ],
)
def test_what_is_not_the_whole_list_does_not_pass_for_it(extension: x509.ExtensionType, words: str) -> None:
    assert words in refused(pki.crl(CA, 5, extensions=[(extension, True)]))


def test_the_list_of_all_client_certificates_is_whole_enough() -> None:
    point = x509.IssuingDistributionPoint(None, None, True, False, None, False, False)
    assert read_crl(pki.crl(CA, 5, extensions=[(point, True)]), CA.certificate, NOW, "old.crl").count == 1


def test_an_entry_of_another_authority_stops_the_reading() -> None:
    issuer = x509.CertificateIssuer([x509.DirectoryName(pki.common_name("other"))])
    entry = x509.RevokedCertificateBuilder().serial_number(5).revocation_date(NOW).add_extension(issuer, True).build()
    builder = x509.CertificateRevocationListBuilder(CA.certificate.subject, NOW, NOW + timedelta(days=1), [], [entry])
    read = read_crl(builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER), CA.certificate, NOW, "old.crl")
    with pytest.raises(BadInput, match="entry 1 has a critical extension"):
        list(read.entries())


def test_other_things_are_no_crl() -> None:
    for data in (b"", b"hello", b"\x30\x00", ours()[:-1]):
        assert "is no CRL" in refused(data)
    assert "holds 0 CRLs" in refused(CA.pem)
    assert "holds 2 CRLs" in refused(pki.crl(CA) * 2)


@settings(max_examples=300, deadline=None)
@given(position=st.integers(0, 300), replacement=st.binary(max_size=4), length=st.integers(0, 4))
def test_whatever_is_changed_there_is_one_sentence(position: int, replacement: bytes, length: int) -> None:
    data = _WHOLE[:position] + replacement + _WHOLE[position + length :]
    if data != _WHOLE:
        refused(data)


@pytest.mark.parametrize(
    ("number", "octets"),
    [(0, ""), (1, "01"), (0x80, "80"), (0x100, "0100"), (-1, "ff"), (-5, "fb"), (-128, "80"), (-129, "ff7f")],
)
def test_serial_numbers_as_bytes(number: int, octets: str) -> None:
    assert serial_octets(number).hex() == octets


def test_a_long_list_is_read_as_it_comes() -> None:
    # It must not be quadratic and must not be held as objects.
    revocations = [Revocation(serial_octets(2**150 + number), NOW, 1) for number in range(50_000)]
    data = ours(*revocations)
    entries = read_crl(data, CA.certificate, NOW, "a.crl").entries()
    assert next(entries) == revocations[0]
    assert sum(1 for _ in entries) == 49_999


_WHOLE = ours(Revocation(SERIAL, NOW, 1))
