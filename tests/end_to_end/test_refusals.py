"""Who is refused, for which reason, and that nothing of theirs reaches the service."""

import re
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from end_to_end import forge
from end_to_end.estate import Estate, mark
from end_to_end.forge import DAY, SERVER_AUTH, Identity
from end_to_end.raw import Connection
from end_to_end.refusal import REFUSAL_ID, assert_refused

Maker = Callable[[Path, Estate], Identity | None]


def other_authority(folder: Path, estate: Estate) -> Identity:
    return forge.leaf(folder, forge.authority(folder / "other", "Some other root"))


def same_name(folder: Path, estate: Estate) -> Identity:
    """Another CA that calls itself what the adopted one is called."""
    return forge.leaf(folder, forge.authority(folder / "other", "Estate root"))


def same_everything_but_the_key(folder: Path, estate: Estate) -> Identity:
    """Issuer, subject, serial and key identifiers of an honest certificate, over another key, by another CA."""
    honest = forge.leaf(folder, estate.adopted, "honest").leaf()
    impostor = forge.authority(folder / "other", "Estate root")
    known = x509.SubjectKeyIdentifier.from_public_key(estate.adopted.certificate.public_key())
    identifiers: list[tuple[x509.ExtensionType, bool]] = [
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known), False)
    ]
    return forge.leaf(folder, impostor, "honest", serial=honest.serial_number, extensions=identifiers)


def through_a_leaf(folder: Path, estate: Estate) -> Identity:
    """Signed by a client's own key, the client's certificate being shown as an intermediate."""
    key = forge.private_key("p256")
    client = forge.leaf(folder, estate.adopted, "greedy", key=key)
    child = forge.leaf(folder, forge.Authority(client.leaf(), key, client.certificate, client.key), "child")
    child.certificate.write_bytes(child.certificate.read_bytes() + client.certificate.read_bytes())
    return child


def five_certificates(folder: Path, estate: Estate) -> Identity:
    identity = forge.leaf(folder, estate.adopted, "long chain")
    identity.certificate.write_bytes(identity.certificate.read_bytes() * 5)
    return identity


def larger_than_honest(folder: Path, estate: Estate) -> Identity:
    names = [x509.DNSName(f"{number}.{'x' * 50}.test") for number in range(800)]
    return forge.leaf(folder, estate.adopted, "large", alternative_names=names)


def unknown_critical_extension(folder: Path, estate: Estate) -> Identity:
    extension = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    return forge.leaf(folder, estate.adopted, "critical", extensions=[(extension, True)])


CASES: dict[str, tuple[str, Maker]] = {
    "no certificate": ("no_certificate", lambda folder, estate: None),
    "other CA": ("unknown_issuer", other_authority),
    "other CA with our subject name": ("bad_signature", same_name),
    "other CA with our name, serial and key identifier": ("bad_signature", same_everything_but_the_key),
    "signed by a client": ("path_invalid", through_a_leaf),
    "self-signed": ("unknown_issuer", lambda folder, estate: forge.self_signed(folder)),
    "tampered": ("bad_signature", lambda folder, estate: forge.leaf(folder, estate.adopted, tampered=True)),
    "expired": (
        "expired",
        lambda folder, estate: forge.leaf(folder, estate.adopted, not_before=-9 * DAY, not_after=-DAY),
    ),
    "not yet valid": ("not_yet_valid", lambda folder, estate: forge.leaf(folder, estate.adopted, not_before=DAY)),
    "serverAuth only": (
        "not_for_client_auth",
        lambda folder, estate: forge.leaf(folder, estate.adopted, usages=[SERVER_AUTH]),
    ),
    "emailProtection only": (
        "not_for_client_auth",
        lambda folder, estate: forge.leaf(folder, estate.adopted, usages=[ExtendedKeyUsageOID.EMAIL_PROTECTION]),
    ),
    "CA certificate": ("ca_as_client", lambda folder, estate: forge.leaf(folder, estate.adopted, ca=True)),
    "RSA of 1024 bits": ("weak_key", lambda folder, estate: forge.leaf(folder, estate.adopted, kind="rsa1024")),
    "five certificates": ("malformed", five_certificates),
    "more than 32 KiB": ("malformed", larger_than_honest),
    "unknown critical extension": ("path_invalid", unknown_critical_extension),
}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda version: version.name)
@pytest.mark.parametrize("case", CASES)
def test_each_flaw_has_its_own_reason_and_nothing_is_forwarded(
    case: str, version: ssl.TLSVersion, estate: Estate, tmp_path: Path
) -> None:
    reason, make = CASES[case]
    tls = estate.gate.context(make(tmp_path, estate), version=version)
    word = mark()
    with Connection.open(estate.gate.port, tls) as connection:
        assert_refused(connection.request(f"/{word}"), reason)
    assert estate.recorder.marked(word) == []


@pytest.mark.parametrize("case", ["no extended key usage", "RSA of 2048 bits", "P-384", "Ed25519"])
def test_the_nearest_certificates_without_a_flaw_pass(case: str, estate: Estate, tmp_path: Path) -> None:
    identity = {
        "no extended key usage": lambda: forge.leaf(tmp_path, estate.adopted, usages=None, ca=None),
        "RSA of 2048 bits": lambda: forge.leaf(tmp_path, estate.adopted, kind="rsa2048"),
        "P-384": lambda: forge.leaf(tmp_path, estate.adopted, kind="p384"),
        "Ed25519": lambda: forge.leaf(tmp_path, estate.adopted, kind="ed25519"),
    }[case]()
    assert estate.gate.get("/", identity).status == 200


def test_a_browser_gets_a_page_that_says_why_and_what_to_do(estate: Estate, tmp_path: Path) -> None:
    expired = forge.leaf(tmp_path, estate.adopted, not_before=-9 * DAY, not_after=-DAY)
    accept = [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")]
    response = estate.gate.get("/", expired, accept)
    page = response.body.decode()
    assert response.status == 403
    assert (response.header("content-type") or "").startswith("text/html")
    assert "expired" in page
    assert REFUSAL_ID.search(re.sub("<[^>]+>", "", page))


def test_a_certificate_s_own_words_are_no_markup_on_the_page(estate: Estate, tmp_path: Path) -> None:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "<script>alert(1)</script>")])
    expired = forge.leaf(tmp_path, estate.adopted, subject=subject, not_before=-9 * DAY, not_after=-DAY)
    page = estate.gate.get("/", expired, [("Accept", "text/html")]).body
    assert b"<script>alert" not in page


def test_a_suspended_client_is_refused_until_it_is_resumed(estate: Estate) -> None:
    identity = estate.gate.client("suspended-for-a-while")
    assert estate.gate.get("/", identity).status == 200
    estate.gate.command("client", "suspend", "suspended-for-a-while")
    assert_refused(estate.gate.get("/", identity), "client_suspended")
    estate.gate.command("client", "resume", "suspended-for-a-while")
    assert estate.gate.get("/", identity).status == 200


def test_a_revoked_client_is_refused(estate: Estate) -> None:
    identity = estate.gate.client("revoked-for-good")
    estate.gate.command("client", "revoke", "revoked-for-good", "--reason", "keyCompromise")
    refused = estate.gate.get("/", identity)
    assert_refused(refused, "revoked")


def test_a_known_client_is_refused_where_the_route_is_not_theirs(
    estate: Estate, alice: Identity, operator: Identity
) -> None:
    for target in ("/admin", "/admin/x", "/named"):
        word = mark()
        assert_refused(estate.gate.get(f"{target}?{word}", alice), "not_granted")
        assert estate.recorder.marked(word) == []
        assert estate.gate.get(target, operator).status == 200


def test_each_route_that_is_not_theirs_has_a_reference_of_its_own(estate: Estate, alice: Identity) -> None:
    """Else whoever looks the second one up is told of the first."""
    admin, again, named = (estate.gate.get(target, alice).json() for target in ("/admin", "/admin/x", "/named"))
    assert admin["detail"] == "The client alice is not among those who may use /admin."
    assert named["detail"] == "The client alice is not among those who may use /named."
    assert admin["refusal"] == again["refusal"] != named["refusal"]


def test_of_a_self_signed_certificate_it_is_said_that_it_is_one(estate: Estate, tmp_path: Path) -> None:
    answer = estate.gate.get("/", forge.self_signed(tmp_path))
    refusal = answer.json()["refusal"]
    estate.gate.program.wait_for(lambda: estate.gate.command("explain", refusal, check=False).code == 0, 20)
    told = estate.gate.command("explain", refusal).json["detail"]
    assert told == "The certificate is self-signed, and is not known here."


def test_a_flawed_certificate_is_as_good_as_none_where_none_is_required(estate: Estate, tmp_path: Path) -> None:
    expired = forge.leaf(tmp_path, estate.adopted, not_before=-9 * DAY, not_after=-DAY)
    for target in ("/optional", "/off"):
        word = mark()
        assert estate.gate.get(f"{target}/{word}", expired).status == 200
        (request,) = estate.recorder.marked(word)
        assert request.values("Mutualgate-Verdict") == ["anonymous"]
        assert request.values("Client-Cert") == []


def test_a_total_stranger_is_told_less_than_somebody_whose_issuer_is_known(estate: Estate, tmp_path: Path) -> None:
    stranger = other_authority(tmp_path, estate)
    problem = estate.gate.get("/", stranger).json()
    known = forge.leaf(tmp_path, estate.adopted, "known", not_before=-9 * DAY, not_after=-DAY)
    assert "Estate root" not in str(problem)
    assert len(estate.gate.get("/", known).json()["detail"]) > 0


def test_an_alert_site_ends_the_handshake_and_says_nothing(estate: Estate, alice: Identity) -> None:
    assert estate.gate.get("/", alice, host="alert.test").status == 200
    with pytest.raises((ssl.SSLError, ConnectionError)):
        estate.gate.get("/", None, host="alert.test")


def test_a_close_site_ends_the_connection_and_says_nothing(estate: Estate, alice: Identity) -> None:
    assert estate.gate.get("/", alice, host="close.test").status == 200
    with estate.gate.open(None, "close.test") as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: close.test\r\n\r\n")
        assert connection.closed()


def test_strangers_have_small_budgets(estate: Estate) -> None:
    """One request, 8 KiB of header fields, no body read (lesson 23)."""
    with estate.gate.open(None) as connection:
        assert_refused(connection.request("/"), "no_certificate")
        assert connection.closed()
    with estate.gate.open(None, "a.test") as connection:  # a site where nothing is for strangers
        assert connection.request("/", [("X-Large", "x" * 9000)], host="a.test").status == 431
    with estate.gate.open(None) as connection:
        # A body that never comes: the answer does not wait for it.
        response = connection.request("/", [("Content-Length", "1000000")], method="POST")
        assert_refused(response, "no_certificate")
