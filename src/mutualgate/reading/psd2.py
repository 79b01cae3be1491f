"""What an eIDAS certificate says about a payment service provider (ETSI TS 119 495): who it is, and as what.

Authorities encode roles in different ways, so this reads leniently and says what is odd. It is for people; nobody is
let in or kept out by it.
"""

from dataclasses import dataclass

from asn1crypto import core
from cryptography import x509

from mutualgate.reading.files import UNREADABLE, shown

ORGANIZATION_IDENTIFIER = x509.ObjectIdentifier("2.5.4.97")
_QC_STATEMENTS = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.3")
_PSD2 = "0.4.0.19495.2"
_ROLES = {
    "0.4.0.19495.1.0": "unspecified",
    "0.4.0.19495.1.1": "PSP_AS",
    "0.4.0.19495.1.2": "PSP_PI",
    "0.4.0.19495.1.3": "PSP_AI",
    "0.4.0.19495.1.4": "PSP_IC",
}
_MOST = 20
_LONGEST = 256


class _Role(core.Sequence):  # type: ignore[misc]  # asn1crypto names no types
    _fields = [("oid", core.ObjectIdentifier), ("name", core.Any, {"optional": True})]  # noqa: RUF012 - as it wants them


class _Roles(core.SequenceOf):  # type: ignore[misc]  # asn1crypto names no types
    _child_spec = _Role


class _Statement(core.Sequence):  # type: ignore[misc]  # asn1crypto names no types
    _fields = [("id", core.ObjectIdentifier), ("info", core.Any, {"optional": True})]  # noqa: RUF012


class _Statements(core.SequenceOf):  # type: ignore[misc]  # asn1crypto names no types
    _child_spec = _Statement


class _Psd2(core.Sequence):  # type: ignore[misc]  # asn1crypto names no types
    _fields = [("roles", _Roles), ("nca_name", core.Any), ("nca_id", core.Any)]  # noqa: RUF012


@dataclass(frozen=True)
class PaymentProvider:
    """A payment service provider by its certificate. Every text is fit to be shown; `odd` says what is wrong."""

    identifier: str
    roles: tuple[str, ...]
    authority: str
    authority_id: str
    odd: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """It, in one sentence."""
        roles = ", ".join(self.roles) or "no role that can be read"
        by = f"; authority: {self.authority_id or '?'} ({self.authority or 'no name'})" if self.authority_id else ""
        return f"A payment service provider's (PSD2) {self.identifier or 'without identifier'}, roles: {roles}{by}."


def read(certificate: x509.Certificate) -> PaymentProvider | None:
    """None for a certificate that says nothing of the kind."""
    odd: list[str] = []
    identifiers = _identifiers(certificate)
    statement = _statement(certificate, odd)
    psd = [one for one in identifiers if one.startswith("PSD")]
    if statement is None and not psd and not odd:
        return None
    if len(identifiers) != 1:
        odd.append(f"its subject has {len(identifiers)} organizationIdentifiers, not one")
    roles: tuple[str, ...] = ()
    name = id = ""
    if statement is None and not odd:
        odd.append("it has no PSD2 statement (0.4.0.19495.2), so no roles")
    elif statement is not None:
        try:
            roles, name, id = _contents(statement, odd)
        except (ValueError, TypeError, KeyError):
            odd.append("its PSD2 statement cannot be read")
    return PaymentProvider((psd or identifiers or [""])[0], roles, name, id, tuple(odd))


def _identifiers(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.subject.get_attributes_for_oid(ORGANIZATION_IDENTIFIER)
        return [shown(str(one.value), _LONGEST) for one in found]
    except UNREADABLE:
        return []


def _statement(certificate: x509.Certificate, odd: list[str]) -> core.Any | None:
    """What follows the identifier of the PSD2 statement."""
    try:
        extension = certificate.extensions.get_extension_for_oid(_QC_STATEMENTS).value
    except (x509.ExtensionNotFound, *UNREADABLE):
        return None
    try:
        data = extension.value if isinstance(extension, x509.UnrecognizedExtension) else extension.public_bytes()
        for one in list(_Statements.load(data))[:_MOST]:
            if one["id"].dotted == _PSD2:
                return one["info"]
    except (ValueError, TypeError):
        odd.append("its qcStatements cannot be read")
    return None


def _contents(statement: core.Any, odd: list[str]) -> tuple[tuple[str, ...], str, str]:
    parsed = statement.parse(_Psd2)
    roles = []
    for one in list(parsed["roles"])[:_MOST]:
        oid = one["oid"].dotted
        said, known = _text(one["name"]), _ROLES.get(oid)
        if known is None:
            odd.append(f"it has a role {shown(oid, 60)} that is not known ({said or 'no name'})")
        elif said != known:
            odd.append(f"its role {known} is called {said or 'nothing'}")
        roles.append(known or said or shown(oid, 60))
    if not roles:
        odd.append("its PSD2 statement has no role")
    return tuple(dict.fromkeys(roles)), _text(parsed["nca_name"]), _text(parsed["nca_id"])


def _text(value: core.Any) -> str:
    """A string of any kind, which the standard says is UTF8String."""
    native = value.native
    return shown(native, _LONGEST) if isinstance(native, str) else ""
