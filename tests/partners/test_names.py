import pki
from cryptography import x509
from cryptography.x509.oid import NameOID

from mutualgate.partners.names import name_of


def _name(*sans: x509.GeneralName | str, subject: str | x509.Name = "api") -> str | None:
    extensions: list[tuple[x509.ExtensionType, bool]] = []
    if sans:
        names = [one if isinstance(one, x509.GeneralName) else x509.DNSName(one) for one in sans]
        extensions = [(x509.SubjectAlternativeName(names), False)]
    return name_of(pki.issue(None, subject, extensions=extensions).certificate)


def test_the_first_name_of_the_first_kind() -> None:
    uri, email = x509.UniformResourceIdentifier("spiffe://a.example/x"), x509.RFC822Name("Ann@A.example")
    assert _name(uri, "B.example", "a.example") == "dns:b.example"
    assert _name(uri, email) == "email:Ann@a.example"
    assert _name(uri) == "uri:spiffe://a.example/x"
    assert _name(x509.IPAddress(pki.ipaddress.ip_address("2001:db8::1"))) == "ip:2001:db8::1"


def test_without_names_the_subject() -> None:
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme, Ltd"), x509.NameAttribute(NameOID.COMMON_NAME, "api")]
    )
    assert _name(subject=subject) == r"dn:CN=api,O=Acme\, Ltd"


def test_a_name_of_another_kind_is_none() -> None:
    assert _name(x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))) is None
