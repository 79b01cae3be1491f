"""Names, dates and keys of certificates that the judge admits and our library does not read: an `&`, `@`, `_` or `*` is
no character of a PrintableString (X.680 41.4), and there are CAs that write it.
"""

from collections.abc import Iterator
from typing import Any

from cryptography import x509

from mutualgate.reading.files import UNREADABLE

_PRINTABLE_STRING, _UTF8_STRING = 0x13, 0x0C


def legible(der: bytes) -> x509.Certificate:
    """What `der` says. Its bytes, its signature and its names in DER may be others': never hash or verify what is here.

    Raises one of `UNREADABLE` for what is no certificate.
    """
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError:
        respelt = _respelt(der)
        if respelt == der:
            raise
        return x509.load_der_x509_certificate(respelt)


def _respelt(der: bytes) -> bytes:
    """With UTF8String in place of PrintableString in both names: of the same length, and for all characters."""
    from asn1crypto.x509 import Certificate

    try:
        certificate = Certificate.load(der)
        for name in (certificate.issuer, certificate.subject):
            before = after = name.dump()
            for text in _texts(name):
                if text[0] == _PRINTABLE_STRING:
                    after = after.replace(text, bytes([_UTF8_STRING]) + text[1:])
            der = der.replace(before, after, 1)
    except UNREADABLE:
        pass
    return der


def _texts(name: Any) -> Iterator[bytes]:
    """The values of the attributes, DER."""
    for rdn in name.chosen:
        for attribute in rdn:
            yield attribute["value"].dump()
