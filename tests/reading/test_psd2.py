"""What is read of a payment service provider's certificate: roles leniently, oddities said, nothing decided."""

import pki
import pytest
from asn1crypto import core
from cryptography import x509
from cryptography.x509.oid import NameOID

from mutualgate.reading import psd2

ROLES = {
    "PSP_AS": "0.4.0.19495.1.1",
    "PSP_PI": "0.4.0.19495.1.2",
    "PSP_AI": "0.4.0.19495.1.3",
    "PSP_IC": "0.4.0.19495.1.4",
}


def statement(*roles: tuple[str, str], name: str = "National Bank", id: str = "BE-NBB") -> bytes:
    """QCStatements with the PSD2 statement after another."""

    def sequence(*parts: bytes) -> bytes:
        return bytes(core.Sequence(contents=b"".join(parts)).dump())

    def text(value: str) -> bytes:
        return bytes(core.UTF8String(value).dump())

    def oid(value: str) -> bytes:
        return bytes(core.ObjectIdentifier(value).dump())

    said = [sequence(oid(number), text(word)) for number, word in roles]
    info = sequence(sequence(*said), text(name), text(id))
    return sequence(sequence(oid("0.4.0.1862.1.1")), sequence(oid("0.4.0.19495.2"), info))


def certificate(data: bytes | None, *identifiers: str) -> x509.Certificate:
    subject = x509.Name(
        [
            *(x509.NameAttribute(NameOID.ORGANIZATION_IDENTIFIER, one) for one in identifiers),
            x509.NameAttribute(NameOID.COMMON_NAME, "api.bank.example"),
        ]
    )
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.3"), data or b"")
    return pki.issue(None, subject, extensions=[] if data is None else [(extension, False)]).certificate


def test_who_it_is_and_as_what() -> None:
    data = statement((ROLES["PSP_AI"], "PSP_AI"), (ROLES["PSP_PI"], "PSP_PI"))
    found = psd2.read(certificate(data, "PSDBE-NBB-0123456789"))
    assert found == psd2.PaymentProvider("PSDBE-NBB-0123456789", ("PSP_AI", "PSP_PI"), "National Bank", "BE-NBB", ())
    assert found.sentence == (
        "A payment service provider's (PSD2) PSDBE-NBB-0123456789, roles: PSP_AI, PSP_PI; authority: BE-NBB"
        " (National Bank)."
    )


def test_other_certificates_say_nothing_of_it() -> None:
    assert psd2.read(certificate(None)) is None
    assert psd2.read(certificate(None, "VATBE-0876866142")) is None


@pytest.mark.parametrize(
    ("data", "identifiers", "says"),
    [
        (statement((ROLES["PSP_AI"], "psp ai")), ("PSDBE-NBB-1",), "its role PSP_AI is called psp ai"),
        (
            statement(("0.4.0.19495.1.9", "PSP_CB")),
            ("PSDBE-NBB-1",),
            "a role 0.4.0.19495.1.9 that is not known (PSP_CB)",
        ),
        (statement(), ("PSDBE-NBB-1",), "has no role"),
        (statement((ROLES["PSP_AI"], "PSP_AI")), (), "0 organizationIdentifiers"),
        (statement((ROLES["PSP_AI"], "PSP_AI")), ("PSDBE-NBB-1", "PSDBE-NBB-2"), "2 organizationIdentifiers"),
        (None, ("PSDBE-NBB-1",), "no PSD2 statement"),
        (b"\x30\x03abc", ("PSDBE-NBB-1",), "cannot be read"),
        (b"\x30\x80", ("PSDBE-NBB-1",), "cannot be read"),
        (b"\xff" * 50, ("PSDBE-NBB-1",), "cannot be read"),
        (b"", ("PSDBE-NBB-1",), "cannot be read"),
    ],
)
def test_what_is_odd_is_said(data: bytes | None, identifiers: tuple[str, ...], says: str) -> None:
    found = psd2.read(certificate(data, *identifiers))
    assert found is not None
    assert any(says in one for one in found.odd), found.odd


def test_any_damage_is_reported_and_no_error() -> None:
    whole = statement((ROLES["PSP_AI"], "PSP_AI"))
    for position in range(len(whole)):
        for value in (0x00, 0x80, 0xFF):
            data = whole[:position] + bytes([value]) + whole[position + 1 :]
            found = psd2.read(certificate(data, "PSDBE-NBB-1"))
            assert found is not None
            assert found.sentence.isprintable()
