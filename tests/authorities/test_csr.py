"""CSRs, honest and hostile."""

import base64

import pki
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PublicFormat, pkcs12
from cryptography.x509.oid import AttributeOID
from hypothesis import given, settings
from hypothesis import strategies as st

from mutualgate.authorities.csr import MAX_NAMES, Difference, Request, differences, read_csr
from mutualgate.authorities.profiles import ClientProfile, prepare
from mutualgate.errors import BadInput

KEY = pki.ec_key()
GOOD = pki.csr(KEY, "alice")
GOOD_DER = pki.csr(KEY, "alice", encoding=Encoding.DER)
SANS = x509.SubjectAlternativeName([x509.DNSName("evil.example"), x509.RFC822Name("ceo@example.com")])


def refused(data: bytes) -> BadInput:
    with pytest.raises(BadInput) as caught:
        read_csr(data, "client.csr")
    assert str(caught.value).startswith("client.csr")
    assert "\n" not in str(caught.value)
    return caught.value


def asked_and_given(*extensions: tuple[x509.ExtensionType, bool], name: str = "alice") -> list[Difference]:
    request = read_csr(pki.csr(KEY, name, *extensions), "client.csr")
    profile = ClientProfile(7, "alice", "alice@example.com")
    return differences(request, prepare(profile, request.public_key, pki.ca().certificate, pki.NOW))


@pytest.mark.parametrize(
    "data",
    [
        GOOD,
        GOOD_DER,
        b"\n text before\n" + GOOD + b"text after",
        GOOD.decode().encode("utf-16"),
        base64.encodebytes(GOOD_DER),
    ],
    ids=["PEM", "DER", "text", "UTF-16", "base64"],
)
def test_a_good_one_is_read(data: bytes) -> None:
    request = read_csr(data, "client.csr")
    assert request.public_key == KEY.public_key()
    assert request == Request(request.public_key, "CN=alice", (), (), False)


def test_the_older_label_is_read_too() -> None:
    old = GOOD.replace(b"CERTIFICATE REQUEST", b"NEW CERTIFICATE REQUEST")
    assert read_csr(old, "client.csr").subject == "CN=alice"


@pytest.mark.parametrize(
    "key", [pki.rsa_key(), pki.ec_key("P-384"), pki.ec_key("P-521"), pki.ed25519_key()], ids=["RSA", "384", "521", "Ed"]
)
def test_every_good_kind_of_key_is_read(key: pki.Key) -> None:
    assert read_csr(pki.csr(key), "client.csr").public_key == key.public_key()


def test_made_by_the_old_recipe() -> None:
    data = pki.openssl(
        "req", "-new", "-key", "/dev/stdin", "-subj", "/C=DE/O=Acme/CN=client", stdin=pki.key_pem(pki.rsa_key())
    )
    assert read_csr(data, "client.csr").subject == "CN=client,O=Acme,C=DE"


def test_a_signature_that_does_not_verify_proves_nothing() -> None:
    for position in (-1, GOOD_DER.index(b"alice")):
        changed = bytearray(GOOD_DER)
        changed[position] ^= 1
        assert refused(bytes(changed)).code == "no_proof_of_possession"


def test_the_key_of_somebody_else_is_not_proven() -> None:
    ours, theirs = (
        key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint) for key in (KEY, pki.fresh_key())
    )
    assert refused(GOOD_DER.replace(ours, theirs)).code == "no_proof_of_possession"


@pytest.mark.parametrize("digest", ["sha1", "md5"])
def test_an_old_hash_proves_nothing(digest: str) -> None:
    pem = pki.key_pem(pki.rsa_key())
    data = pki.openssl("req", "-new", "-key", "/dev/stdin", "-subj", "/CN=x", f"-{digest}", stdin=pem)
    assert refused(data).code == "no_proof_of_possession"


@pytest.mark.parametrize(
    "key",
    [pki.rsa_key(1024), pki.rsa_key(2048, exponent=3), pki.ec_key("secp256k1")],
    ids=["RSA 1024", "exponent 3", "secp256k1"],
)
def test_weak_keys_are_refused(key: pki.Key) -> None:
    error = refused(pki.csr(key))
    assert error.code == "weak_key"
    assert "Make a new key" in str(error)


@pytest.mark.parametrize("kind", ["ed448", "dsa"])
def test_keys_that_tls_does_not_verify_are_refused(kind: str) -> None:
    if kind == "dsa":
        parameters = pki.openssl("genpkey", "-genparam", "-algorithm", "DSA", "-pkeyopt", "dsa_paramgen_bits:1024")
        key = pki.openssl("genpkey", "-paramfile", "/dev/stdin", stdin=parameters)
    else:
        key = pki.openssl("genpkey", "-algorithm", kind)
    assert refused(pki.openssl("req", "-new", "-key", "/dev/stdin", "-subj", "/CN=x", stdin=key)).code == "weak_key"


@pytest.mark.parametrize(
    "key",
    [
        pki.key_pem(KEY),
        pki.key_pem(KEY, "a password"),
        pki.openssl("pkey", "-outform", "DER", stdin=pki.key_pem(KEY)),
        pki.key_pem(KEY).decode().encode("utf-16"),
        pkcs12.serialize_key_and_certificates(None, KEY, None, None, BestAvailableEncryption(b"secret")),
    ],
    ids=["PEM", "encrypted PEM", "DER", "UTF-16", "a .p12"],
)
def test_a_private_key_is_refused_with_a_warning_to_replace_it(key: bytes) -> None:
    error = refused(key)
    assert error.code == "private_key_given"
    assert "make a new key" in str(error)
    assert base64.b64encode(key)[:20].decode() not in str(error)
    if key.startswith(b"-----"):
        assert refused(GOOD + key).code == "private_key_given"


def test_other_things_are_named() -> None:
    assert "is a certificate, not a CSR" in str(refused(pki.leaf(None).pem))
    assert "holds 2 CSRs" in str(refused(GOOD + GOOD))
    assert "too large" in str(refused(GOOD + b" " * 65536))
    for nothing in (b"", b"hello", b"\0" * 100, pki.crl(pki.ca()), GOOD_DER[:-1], GOOD_DER + b"\0"):
        assert refused(nothing).code == "not_a_csr"
    assert "cut off" in str(refused(GOOD[:-30]))
    assert "not base64" in str(refused(GOOD.replace(b"MII", b"M!!").replace(b"MIH", b"M!!")))


def test_a_private_key_in_der_is_not_taken_for_noise() -> None:
    encrypted = pki.openssl("pkcs8", "-topk8", "-passout", "pass:secret", "-outform", "DER", stdin=pki.key_pem(KEY))
    assert refused(encrypted).code == "private_key_given"


def test_extensions_that_cannot_be_read_are_refused() -> None:
    twice = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), b"\x30\x03\x82\x01a")
    other = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.19"), b"nonsense")
    assert "extensions" in str(refused(pki.csr(KEY, "x", (other, False))))
    assert read_csr(pki.csr(KEY, "x", (twice, False)), "client.csr").sans == ("DNS:a",)


def test_more_names_than_anybody_needs_are_refused() -> None:
    names = [x509.DNSName(f"{number}.example") for number in range(MAX_NAMES + 1)]
    assert "101 names" in str(refused(pki.csr(KEY, "x", (x509.SubjectAlternativeName(names), False))))


def test_control_characters_never_reach_the_terminal() -> None:
    assert read_csr(pki.csr(KEY, "a\x1b[31m\nb\u202ec"), "client.csr").subject == "CN=a\\x1b[31m\\x0ab\\x202ec"


def test_what_was_asked_and_is_not_given_is_listed() -> None:
    found = asked_and_given((SANS, False), (x509.BasicConstraints(True, None), True), name="admin")
    assert [(one.field, one.asked, one.given) for one in found] == [
        ("subject", "CN=admin", "CN=alice"),
        ("subjectAltName", "DNS:evil.example", "(left out)"),
        ("subjectAltName", "email:ceo@example.com", "(left out)"),
        ("subjectAltName", "(nothing)", "URI:urn:mutualgate:client:7"),
        ("subjectAltName", "(nothing)", "email:alice@example.com"),
        ("basicConstraints", "CA:TRUE", "CA:FALSE"),
    ]
    assert all(one.why for one in found)


def test_nothing_of_the_request_but_its_key_is_in_the_certificate() -> None:
    request = read_csr(pki.csr(KEY, "admin", (SANS, False), (x509.BasicConstraints(True, None), True)), "client.csr")
    ready = prepare(ClientProfile(7, "alice"), request.public_key, pki.ca().certificate, pki.NOW)
    assert ready.sans == ("URI:urn:mutualgate:client:7",)
    assert [attribute.value for attribute in ready.subject] == ["alice"]


def test_uses_that_were_asked_are_compared() -> None:
    good = asked_and_given((x509.ExtendedKeyUsage([pki.CLIENT_AUTH]), False), (pki.usage(digital_signature=True), True))
    assert {one.field for one in good} == {"subjectAltName"}
    other = asked_and_given((x509.ExtendedKeyUsage([pki.SERVER_AUTH]), False), (pki.usage(key_cert_sign=True), True))
    assert [(one.field, one.asked, one.given) for one in other][2:] == [
        ("extendedKeyUsage", "serverAuth", "clientAuth"),
        ("keyUsage", "keyCertSign", "digitalSignature"),
    ]


def test_a_challenge_password_is_not_shown() -> None:
    data = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(pki.common_name("alice"))
        .add_attribute(AttributeOID.CHALLENGE_PASSWORD, b"hunter2hunter2")
        .sign(KEY, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
    request = read_csr(data, "client.csr")
    found = differences(request, prepare(ClientProfile(7, "alice"), request.public_key, pki.ca().certificate, pki.NOW))
    assert "hunter2" not in str(found) + str(request)
    assert found[-1].field == "challengePassword"


@settings(max_examples=400, deadline=None)
@given(
    position=st.integers(0, len(GOOD_DER) - 1),
    replacement=st.binary(max_size=6),
    length=st.integers(0, 6),
    pem=st.booleans(),
)
def test_whatever_is_changed_there_is_one_sentence_or_the_same_key(
    position: int, replacement: bytes, length: int, pem: bool
) -> None:
    data = (GOOD if pem else GOOD_DER)[:position] + replacement + (GOOD if pem else GOOD_DER)[position + length :]
    _one_sentence_or_a_proven_key(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2000))
def test_whatever_is_sent_there_is_one_sentence(data: bytes) -> None:
    _one_sentence_or_a_proven_key(data)
    _one_sentence_or_a_proven_key(
        b"-----BEGIN CERTIFICATE REQUEST-----\n" + base64.b64encode(data) + b"\n-----END CERTIFICATE REQUEST-----"
    )


def _one_sentence_or_a_proven_key(data: bytes) -> None:
    try:
        request = read_csr(data, "client.csr")
    except BadInput as error:
        sentence = str(error)
    else:
        assert request.public_key == KEY.public_key()
        return
    assert "\n" not in sentence
    assert len(sentence) < 400
