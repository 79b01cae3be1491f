"""By which name a certificate goes inside its partner: `dns:api.acme.example`. For records; the judge reads it itself.

Where this and the judge differ, the record is never found and nobody comes in: a fault of ours, but no hole.
"""

import hashlib
import ipaddress
from collections.abc import Sequence

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID

from mutualgate.model.legible import Legible
from mutualgate.model.partner import PartnerProfile, RuleKind
from mutualgate.reading.files import UNREADABLE, names_above, odd_serials_allowed

_SHORT = {
    "2.5.4.3": "CN",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.6": "C",
    "2.5.4.9": "STREET",
    "0.9.2342.19200300.100.1.25": "DC",
    "0.9.2342.19200300.100.1.1": "UID",
    "1.2.840.113549.1.9.1": "emailAddress",
    "2.5.4.5": "serialNumber",
    "2.5.4.97": "organizationIdentifier",
}


def name_of(of: x509.Certificate | Legible, profile: PartnerProfile = PartnerProfile.NAMES) -> str | None:
    """The first dNSName, rfc822Name, URI or iPAddress, in this order of kinds; without one, the subject, if any.

    Under a partner of the profile psd2, the one organizationIdentifier of the subject. None where the judge
    alone may be able to read names.
    """
    if isinstance(of, Legible) and ExtensionOID.SUBJECT_ALTERNATIVE_NAME.dotted_string in of.unread:
        return None
    leaf = of.says if isinstance(of, Legible) else of
    try:
        if profile is PartnerProfile.PSD2:
            found = leaf.subject.get_attributes_for_oid(NameOID.ORGANIZATION_IDENTIFIER)
            return f"{RuleKind.ORGANIZATION}:{found[0].value!s}" if len(found) == 1 else None
        try:
            names = list(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        except x509.ExtensionNotFound:
            names = []
        for kind, type_ in (
            (RuleKind.DNS, x509.DNSName),
            (RuleKind.EMAIL, x509.RFC822Name),
            (RuleKind.URI, x509.UniformResourceIdentifier),
            (RuleKind.IP, x509.IPAddress),
        ):
            for name in names:
                if isinstance(name, type_):
                    return f"{kind}:{_canonical(kind, name.value)}"
        subject = leaf.subject
        if names or not subject.rdns:
            return None
        return f"{RuleKind.DN}:{_subject(subject)}"
    except UNREADABLE:
        return None


def hashes_in(chain: Sequence[bytes]) -> tuple[bytes, ...]:
    """By what a chain (DER, leaf first) is found that a change of trust may concern, 32 bytes each: `names_above` it,
    and the `name_hash` of each name by which the leaf may go. None where a certificate of it cannot be read."""
    try:
        with odd_serials_allowed():
            certificates = [x509.load_der_x509_certificate(der) for der in chain]
            above = names_above(certificates)
            own = [name_of(leaf, profile) for leaf in certificates[:1] for profile in PartnerProfile]
    except UNREADABLE:
        return ()
    return above + tuple(name_hash(name) for name in own if name is not None)


def name_hash(name: str) -> bytes:
    """SHA-256 of a name inside a partner. It is never that of a name in DER, which begins otherwise."""
    return hashlib.sha256(name.encode()).digest()


def _canonical(kind: RuleKind, value: object) -> str:
    text = str(value)
    if kind is RuleKind.DNS:
        return text.lower()
    if kind is RuleKind.EMAIL:
        local, at, host = text.rpartition("@")
        return f"{local}{at}{host.lower()}"
    if kind is RuleKind.IP:
        from mutualgate.partners.rules import address_text

        return address_text(ipaddress.ip_address(text))
    # RFC 3986 3.1, 3.2.2: case does not count in scheme and host.
    scheme, colon, rest = text.partition(":")
    if rest.startswith("//"):
        end = min((spot for mark in "/?#" if (spot := rest.find(mark, 2)) >= 0), default=len(rest))
        rest = rest[:end].lower() + rest[end:]
    return f"{scheme.lower()}{colon}{rest}"


def _subject(name: x509.Name) -> str:
    """RFC 4514, as the judge writes subjects."""
    from mutualgate.partners.rules import escape

    parts = []
    for rdn in reversed(name.rdns):
        parts.append(
            "+".join(
                f"{_SHORT.get(one.oid.dotted_string, one.oid.dotted_string)}={escape(str(one.value))}" for one in rdn
            )
        )
    return ",".join(parts)
