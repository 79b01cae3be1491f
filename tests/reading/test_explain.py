"""What people are told about their certificate."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pki
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mutualgate.errors import BadInput
from mutualgate.reading.about import lifetime_words
from mutualgate.reading.explain import Explanation, explain, explain_chain
from mutualgate.reading.works import Effect, Way

NOW = pki.NOW
ROOT = pki.ca("root")
ISSUING = pki.ca("issuing", parent=ROOT)


def told(data: bytes, now: datetime = NOW) -> Explanation:
    return explain(data, "x", now=now)


def codes(found: Explanation) -> set[str]:
    return {one.code for one in found.findings}


def failing(found: Explanation) -> set[str]:
    return {one.code for one in found.findings if one.effect is Effect.FAILS}


def ways(found: Explanation) -> set[Way]:
    return {one.way for one in found.ways if one.open}


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("0603551d25040c", "0603551d25010100040c", "odd_encoding", "not critical, which DER leaves out"),
        ("0c05706c61696e", "1305703c3e696e", "odd_encoding", "Its subject has a character"),
        ("0603551d23", "0603551d1f", "extensions", "Its extension 2.5.29.31 cannot be read"),
    ],
)
def test_what_others_take_for_no_certificate_is_explained(old: str, new: str, code: str, said: str) -> None:
    plain = pki.leaf(ISSUING, "plain")
    odd = pki.respelt(plain, bytes.fromhex(old), bytes.fromhex(new))
    for found in (told(odd), explain_chain([odd, ISSUING.der], now=NOW)):
        assert failing(found) == {code}
        assert said in next(one.sentence for one in found.findings if one.code == code)
        assert found.certificate is not None
        assert found.certificate.fingerprint == sha256(odd).hexdigest()
        assert found.der == odd
        assert found.certificate.subject == ("CN=p\\<\\>in" if "subject" in said else "CN=plain")
        assert found.way(Way.PIN).open
    assert [one.subject for one in explain_chain([odd, ISSUING.der], now=NOW).chain] == ["CN=issuing"]
    forged = explain_chain([odd[:-1] + bytes([odd[-1] ^ 1]), ISSUING.der], now=NOW)
    assert (forged.chain, forged.extra) == ((), 1)


def test_purposes_that_cannot_be_read_are_none() -> None:
    plain = pki.leaf(ISSUING)
    value = bytes.fromhex("0603551d25040c300a06082b06010505070302")
    odd = pki.respelt(plain, value, bytes.fromhex("0603551d25040530030101ff"))
    assert failing(told(odd)) == {"extensions", "no_client_auth", "no_client_auth_ca"}


def test_a_year_that_no_calendar_has_is_said() -> None:
    plain = pki.leaf(ISSUING)
    begin = f"{plain.certificate.not_valid_before_utc:%y%m%d%H%M%S}Z".encode()
    odd = pki.respelt(plain, b"\x17\x0d" + begin, b"\x18\x0f00000101000000Z")
    with pytest.raises(BadInput, match="begins at a moment that cannot be read"):
        told(odd)
    with pytest.raises(BadInput, match="begins at a moment that cannot be read"):
        explain_chain([odd], now=NOW)


def test_the_sentence_of_a_self_signed_one() -> None:
    made = pki.leaf(None, "me", key=pki.rsa_key(2048), eku=None, days=3 * 365)
    found = told(made.pem)
    assert found.headline == "Self-signed, RSA 2048, three years, no extended key usage."
    assert found.works == "It works everywhere but in some .NET clients."
    assert codes(found) == {"no_purpose"}
    assert ways(found) == {Way.PIN, Way.OURS}


def test_what_openssl_req_x509_makes(tmp_path: object) -> None:
    pem = pki.openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-noenc", "-keyout", "/dev/null", "-subj", "/CN=me", "-days", "365")
    )
    found = explain(pem, "x", now=pki.real_now())
    assert found.headline == "Self-signed, RSA 2048, one year, a CA (CA:TRUE), no extended key usage."
    # Browsers send it: tests/end_to_end/test_offered.py.
    assert found.works == "It works everywhere but in some .NET clients."
    assert "ca_true" in codes(found) - failing(found)
    assert Way.PIN in ways(found)


def test_what_may_have_been_issued_here_is_not_promised_a_pin() -> None:
    """A pin of such a certificate is refused, and no store is looked into here."""
    for leaf, unless in ((pki.leaf(ISSUING, "alice"), True), (pki.leaf(None, "me"), False)):
        (pinned,) = (one.sentence for one in told(leaf.pem).ways if one.way is Way.PIN)
        assert ("unless it was issued here" in pinned) is unless


def test_a_good_one_with_its_chain_works_everywhere() -> None:
    alice = pki.leaf(ISSUING, "alice")
    for data in (
        alice.chain_pem,
        pkcs7.serialize_certificates([ROOT.certificate, ISSUING.certificate, alice.certificate], Encoding.DER),
    ):
        found = told(data)
        assert found.works == "It works everywhere."
        assert found.findings == ()
        assert found.der == alice.der
        assert found.chain_der[0] == ISSUING.der
        assert ways(found) == {Way.PIN, Way.PARTNER, Way.OURS}
        assert "issuing" in found.way(Way.PARTNER).sentence
    assert found.certificate is not None
    assert found.certificate.subject == "CN=alice"
    assert found.certificate.fingerprint == alice.certificate.fingerprint(hashes.SHA256()).hex()


def test_one_for_servers_alone() -> None:
    found = told(pki.leaf(ISSUING, "s", eku=[pki.SERVER_AUTH], sans=["a.example"]).pem)
    assert found.works.startswith("It works everywhere except for browsers and .NET clients: its extended key usage")
    assert ways(found) == {Way.PIN, Way.OURS}
    assert found.certificate is not None
    assert found.certificate.names == ("a.example",)


def test_a_ca_s_for_clients_is_hidden_by_some_browsers() -> None:
    found = told(pki.leaf(None, ca=True).pem)
    assert found.works.startswith("It works everywhere except for Firefox and Chrome on Linux: it says that it is a CA")
    for_servers = told(pki.leaf(None, ca=True, eku=[pki.SERVER_AUTH]).pem)
    assert for_servers.works.startswith("It works everywhere except for browsers and .NET clients: its extended key")


def test_one_for_any_use_is_passed_over_by_some() -> None:
    found = told(pki.leaf(ISSUING, eku=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]).pem)
    assert failing(found) == {"any_purpose"}
    assert found.works.startswith("It works everywhere except for Firefox, Chrome on Linux and .NET clients: its ext")
    assert ways(found) == {Way.PIN, Way.PARTNER, Way.OURS}


def test_a_key_usage_without_digital_signature_is_passed_over() -> None:
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.ExtendedKeyUsage([pki.CLIENT_AUTH]), False),
        (pki.usage(key_encipherment=True), True),
    ]
    assert failing(told(pki.issue(ISSUING, "x", extensions=extensions).pem)) == {"no_digital_signature"}
    extensions[1] = (pki.usage(digital_signature=True), True)
    assert failing(told(pki.issue(ISSUING, "x", extensions=extensions).pem)) == set()


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (pki.leaf(ISSUING, days=-1), "expired"),
        (pki.leaf(ISSUING, not_before=NOW + timedelta(hours=1)), "not_yet_valid"),
        (pki.leaf(ISSUING, key=pki.rsa_key(1024)), "weak_key"),
    ],
)
def test_what_works_nowhere(made: pki.Issued, code: str) -> None:
    found = told(made.pem)
    assert found.works.startswith("It works nowhere: ")
    assert code in failing(found)
    assert ways(found) == {Way.OURS}


def test_the_day_it_expired_is_told() -> None:
    assert "It expired on 31 May 2026. Browsers hide" in told(pki.leaf(ISSUING, days=-1).pem).findings[0].sentence
    assert codes(told(pki.leaf(ISSUING, days=20).chain_pem)) == {"expires_soon"}


def test_keys_that_browsers_cannot_use() -> None:
    found = told(pki.leaf(ISSUING, key=pki.ed25519_key()).chain_pem)
    assert failing(found) == {"browser_key"}
    assert "except for browsers" in found.works
    assert failing(told(pki.leaf(ISSUING, key=pki.ec_key("P-521")).chain_pem)) == set()


def test_x509_v1_can_only_be_pinned() -> None:
    found = told(pki.as_v1(pki.leaf(ROOT, "old")).pem)
    assert "v1" in failing(found)
    assert "X.509 v1" in found.headline
    assert ways(found) == {Way.PIN, Way.OURS}


def test_sha1_under_a_ca_is_refused(tmp_path: object) -> None:
    made = _sha1_leaf()
    found = explain(made, "x", now=pki.real_now())
    assert "old_hash" in failing(found)
    assert "signed with SHA-1" in found.headline
    assert Way.PARTNER not in ways(found)


@pytest.mark.parametrize(
    ("organisation", "now", "words"),
    [
        ("Let's Encrypt", NOW, "Let's Encrypt has put clientAuth into no new certificate since 13 May 2026"),
        ("Google Trust Services", NOW, "since 13 April 2026"),
        ("DigiCert Inc", NOW, "DigiCert stops putting clientAuth into certificates on 1 March 2027"),
        ("DigiCert Inc", datetime(2027, 3, 1, tzinfo=UTC), "DigiCert has put clientAuth into no new certificate since"),
    ],
)
def test_public_cas_and_their_dates(organisation: str, now: datetime, words: str) -> None:
    name = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation), x509.NameAttribute(NameOID.COMMON_NAME, "X1")]
    )
    public = pki.issue(None, name, extensions=[(x509.BasicConstraints(ca=True, path_length=None), True)], days=4000)
    found = told(pki.leaf(public, "shop.example", eku=[pki.SERVER_AUTH, pki.CLIENT_AUTH]).chain_pem, now)
    assert any(words in one.sentence for one in found.findings if one.code == "public_ca")


def test_a_payment_service_provider_is_named_and_what_is_odd_is_said() -> None:
    identifier = x509.NameAttribute(NameOID.ORGANIZATION_IDENTIFIER, "PSDBE-NBB-0123456789")
    made = pki.issue(pki.ca("qualified"), x509.Name([identifier]))
    found = told(made.pem)
    sentences = {one.code: one.sentence for one in found.findings}
    assert sentences["psd2"].startswith("It is a payment service provider's (PSD2) PSDBE-NBB-0123456789, roles:")
    assert "no PSD2 statement" in sentences["psd2_odd"]
    assert not {"psd2", "psd2_odd"} & failing(found)


def test_other_cas_have_no_such_date() -> None:
    assert "public_ca" not in codes(told(pki.leaf(ISSUING).pem))


def test_a_missing_chain_and_things_that_do_not_belong_to_it() -> None:
    alice = pki.leaf(ISSUING, "alice")
    assert codes(told(alice.pem)) == {"chain_missing"}
    found = told(alice.chain_pem + pki.leaf(pki.ca("other"), "bob").pem)
    assert codes(found) == {"extra"}
    assert found.extra == 1


def test_faults_of_the_chain() -> None:
    old = pki.ca("issuing", parent=ROOT, days=-1)
    assert "chain_expired" in failing(told(pki.leaf(old).chain_pem))
    weak = pki.ca("issuing", parent=ROOT, key=pki.rsa_key(1024))
    assert "chain_weak" in failing(told(pki.leaf(weak).chain_pem))
    servers = pki.leaf(ROOT, "issuing", ca=True, eku=[pki.SERVER_AUTH])
    assert "chain_purpose" in failing(told(pki.leaf(servers).chain_pem))
    none = pki.leaf(ROOT, "issuing", ca=False)
    assert "chain_not_ca" in failing(told(pki.leaf(none).chain_pem))


def test_a_chain_of_a_handshake() -> None:
    alice = pki.leaf(ISSUING, "alice")
    found = explain_chain(alice.chain_der, now=NOW)
    assert (found.form, found.works) == ("handshake", "It works everywhere.")
    # The first one is whose key was proved: nobody may say that it is another.
    assert explain_chain(alice.chain_der[::-1], now=NOW).der == ISSUING.der
    for wrong in ([], [b"x"], [alice.der] * 21, [bytes(300_000)]):
        with pytest.raises(BadInput):
            explain_chain(wrong, now=NOW)


def test_a_csr_is_no_certificate_yet() -> None:
    found = told(pki.csr(pki.ec_key(), "alice"))
    assert found.headline == "A request for a certificate (CSR), P-256, for CN=alice."
    assert ways(found) == {Way.OURS}
    assert ways(told(pki.csr(pki.rsa_key(1024), "alice"))) == set()


def test_names_are_hostile_and_shown_harmless() -> None:
    found = told(pki.leaf(None, "al\x1b[31mice\u202e").pem)
    assert found.certificate is not None
    assert "\x1b" not in found.certificate.subject
    assert "\u202e" not in found.certificate.subject
    many = pki.leaf(ISSUING, sans=[f"h{number}.example" for number in range(500)])
    described = told(many.pem).certificate
    assert described is not None
    assert described.names[-1] == "and 480 more"


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (1095, "three years"),
        (1096, "three years"),
        (365, "one year"),
        (398, "13 months"),
        (825, "27 months"),
        (90, "90 days"),
        (1, "one day"),
        (0.25, "six hours"),
        (3650, "ten years"),
        (3653, "ten years"),
        (7300, "20 years"),
    ],
)
def test_how_long(days: float, words: str) -> None:
    assert lifetime_words(timedelta(days=days)) == words


def _sha1_leaf() -> bytes:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ROOT.write(folder, "ca")
        (folder / "c.csr").write_bytes(pki.csr(pki.rsa_key(2048), "old"))
        return pki.openssl(
            *(
                "x509",
                "-req",
                "-in",
                "c.csr",
                "-CA",
                "ca.crt",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-sha1",
                "-days",
                "90",
            ),
            cwd=folder,
        )
