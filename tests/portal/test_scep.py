"""Devices that make their own key, over SCEP: a client made of openssl, and one on another library."""

import base64
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pki
import pytest
from conftest import Hands
from cryptography import x509
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from portal.asking import ANONYMOUS, TEXT, Answer, ask
from portal.device import SCEP, Device, Reply, attribute, der, oid, request
from portal.served import served

from mutualgate.app import Services
from mutualgate.enrolment.invitations import Invited
from mutualgate.model.invitation import Way

if TYPE_CHECKING:
    from starlette.types import ASGIApp


@pytest.fixture(scope="module")
def key_of_another() -> Path:
    path = Path(tempfile.mkdtemp()) / "key.pem"
    path.write_bytes(pki.key_pem(pki.rsa_key(2048, 7)))
    return path


@pytest.fixture
def trust(services: Services, tmp_path: Path) -> Path:
    """The certificates of ours, for openssl."""
    hierarchy = services.authorities.hierarchy()
    assert hierarchy is not None
    path = tmp_path / "trust.pem"
    ders = (hierarchy.issuing.certificate, hierarchy.root.certificate)
    path.write_bytes(b"".join(x509.load_der_x509_certificate(one).public_bytes(Encoding.PEM) for one in ders))
    return path


def recipient(portal: "ASGIApp") -> x509.Certificate:
    """What a device encrypts for: of the certificates that it is told, the one whose key usage says so."""
    told = ask(portal, "/join/scep?operation=GetCACert", accept=TEXT)
    assert told.headers["Content-Type"] == "application/x-x509-ca-ra-cert"
    pem = pki.openssl("pkcs7", "-inform", "DER", "-print_certs", stdin=told.body)
    certificates = x509.load_pem_x509_certificates(pem)
    assert len(certificates) == 3
    [found] = [one for one in certificates if _usage(one).key_encipherment]
    return found


def _usage(certificate: x509.Certificate) -> x509.KeyUsage:
    return certificate.extensions.get_extension_for_class(x509.KeyUsage).value


def send(portal: "ASGIApp", message: bytes) -> Answer:
    at = "/join/scep?operation=PKIOperation"
    return ask(
        portal, at, ANONYMOUS, method="POST", body=message, content_type="application/x-pki-message", accept=TEXT
    )


def reply(device: Device, answer: Answer, trust: Path) -> Reply:
    assert answer.status == 200, answer.text
    assert answer.headers["Content-Type"] == "application/x-pki-message"
    said = device.read(answer.body, trust)
    assert said.nonce == device.nonce
    assert said.transaction == device.transaction
    return said


def invited(services: Services, name: str = "phone", **more: Any) -> Invited:
    return services.invitations.invite(name, **more)


@pytest.fixture(autouse=True)
def _real_clock(clock: Hands) -> None:
    """openssl has a clock of its own."""
    clock.now = pki.real_now()


def test_a_device_gets_a_certificate_for_its_own_key(
    services: Services, portal: "ASGIApp", tmp_path: Path, trust: Path
) -> None:
    made = invited(services)
    device = Device(tmp_path / "device", made.token)
    said = reply(device, send(portal, device.message(device.envelope(recipient(portal)))), trust)
    assert said.status == "0"
    assert said.certificate is not None
    assert said.certificate.public_key() == device.key.public_key()
    assert said.certificate.subject.rfc4514_string() == "CN=phone"
    assert services.invitations.get(made.invitation.id).invitation.way is Way.APPLE


def test_asked_by_get_it_answers_the_same(services: Services, portal: "ASGIApp", tmp_path: Path, trust: Path) -> None:
    device = Device(tmp_path / "device", invited(services).token)
    message = base64.b64encode(device.message(device.envelope(recipient(portal)))).decode()
    answer = ask(
        portal, f"/join/scep/pkiclient.exe?operation=PKIOperation&message={quote(message, safe='')}", accept=TEXT
    )
    assert reply(device, answer, trust).status == "0"


def test_what_it_can_do(portal: "ASGIApp") -> None:
    told = ask(portal, "/join/scep?operation=GetCACaps", accept=TEXT).text.split()
    assert set(told) == {"AES", "POSTPKIOperation", "SCEPStandard", "SHA-256", "SHA-512"}
    assert ask(portal, "/join/scep?operation=Nonsense", accept=TEXT).status == 400
    assert ask(portal, "/join/scep", accept=TEXT).status == 400


def test_the_certificate_that_is_encrypted_for_is_no_client_and_is_kept(services: Services, portal: "ASGIApp") -> None:
    one = recipient(portal)
    assert list(one.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [pki.SERVER_AUTH]
    assert recipient(portal) == one
    with services.store.reading() as tx:
        assert tx.credentials.with_fingerprint(one.fingerprint(hashes.SHA256())) is None


def test_a_lost_answer_is_given_again_to_the_same_key_only(
    services: Services, portal: "ASGIApp", tmp_path: Path, trust: Path
) -> None:
    made = invited(services)
    device, other = Device(tmp_path / "one", made.token), Device(tmp_path / "two", made.token)
    first = reply(device, send(portal, device.message(device.envelope(recipient(portal)))), trust)
    again = reply(device, send(portal, device.message(device.envelope(recipient(portal)))), trust)
    assert first.certificate == again.certificate
    assert reply(other, send(portal, other.message(other.envelope(recipient(portal)))), trust).status == "2"
    assert len(services.clients.show("phone").credentials) == 1


def test_the_challenge_is_the_invitation(services: Services, portal: "ASGIApp", tmp_path: Path, trust: Path) -> None:
    other_way = invited(services, "one", ways=(Way.PAGE,))
    revoked = invited(services, "two")
    services.invitations.revoke(revoked.invitation.id)
    with_code = invited(services, "three", second_factor=True)
    for number, challenge in enumerate(
        (None, "", "a" * 43, other_way.token, revoked.token, with_code.token, f"{with_code.token}.00000000")
    ):
        device = Device(tmp_path / str(number), "")
        device.csr = request(device.key, challenge)
        said = reply(device, send(portal, device.message(device.envelope(recipient(portal)))), trust)
        assert (said.status, said.fail) == ("2", "2"), challenge
    device = Device(tmp_path / "right", f"{with_code.token}.{with_code.factor}")
    assert reply(device, send(portal, device.message(device.envelope(recipient(portal)))), trust).status == "0"


def test_with_approval_it_waits_and_is_polled_by_the_same_key(
    services: Services, portal: "ASGIApp", tmp_path: Path, trust: Path
) -> None:
    made = invited(services, approval=True)
    other = invited(services, "other", approval=True)
    device, thief = Device(tmp_path / "device", made.token), Device(tmp_path / "thief", other.token)
    thief.transaction = device.transaction
    message = device.message(device.envelope(recipient(portal)))
    assert reply(device, send(portal, message), trust).status == "3"
    poll = device.message(device.envelope(recipient(portal), content=b"issuer and subject"), kind="20")
    assert reply(device, send(portal, poll), trust).status == "3"
    # Somebody else's transaction of the same name does not get in the way.
    assert reply(thief, send(portal, thief.message(thief.envelope(recipient(portal)))), trust).status == "3"
    services.invitations.approve(made.invitation.id)
    assert reply(device, send(portal, poll), trust).status == "0"
    services.invitations.decline(other.invitation.id)
    stolen = thief.message(thief.envelope(recipient(portal), content=b"x"), kind="20")
    assert reply(thief, send(portal, stolen), trust).status == "2"


def test_another_ones_request_is_not_signed(services: Services, portal: "ASGIApp", tmp_path: Path, trust: Path) -> None:
    """A request that was seen somewhere, in a message signed with a key of one's own."""
    made = invited(services)
    device = Device(tmp_path / "device", made.token)
    device.csr = request(pki.rsa_key(2048, 3), made.token)
    said = reply(device, send(portal, device.message(device.envelope(recipient(portal)))), trust)
    assert (said.status, said.fail) == ("2", "2")
    assert services.clients.show("phone").credentials == ()


def test_a_message_that_its_sender_did_not_sign_gets_no_answer(
    services: Services, portal: "ASGIApp", tmp_path: Path, key_of_another: Path
) -> None:
    device = Device(tmp_path / "device", invited(services).token)
    content = device.envelope(recipient(portal))
    good = device.message(content)
    wrong = {
        "another key": device.message(content, signing_key=key_of_another),
        "changed content": good.replace(content[-20:], bytes(20)),
        "MD5": device.message(content, digest="md5"),
        "no nonce": device.message(content, without="nonce"),
        "no transaction": device.message(content, without="transaction"),
        "no digest": device.message(content, without="digest"),
        "two transactions": device.message(content, more=(attribute(f"{SCEP}7", der(0x13, b"other")),)),
        "two values": device.message(
            content, without="nonce", more=(attribute(f"{SCEP}5", der(4, b"a"), der(4, b"b")),)
        ),
        "a long transaction": device.message(
            content, without="transaction", more=(attribute(f"{SCEP}7", der(0x13, b"x" * 500)),)
        ),
        "no transaction's name": device.message(
            content, without="transaction", more=(attribute(f"{SCEP}7", der(0x13, b"")),)
        ),
        "a long nonce": device.message(content, without="nonce", more=(attribute(f"{SCEP}5", der(4, bytes(65))),)),
        "an empty nonce": device.message(content, without="nonce", more=(attribute(f"{SCEP}5", der(4, b"")),)),
        "many certificates": device.message(content, certificates=6),
        "two signers": device.message(content, signers=2),
        "nothing": b"",
        "no CMS": b"x" * 500,
        "only an envelope": content,
        "deep": b"\x30\x80" * 5000,
    }
    for name, message in wrong.items():
        answer = send(portal, message)
        assert (answer.status, answer.headers["Content-Type"]) == (400, "text/plain; charset=utf-8"), name
    assert send(portal, bytes(70_000)).status == 413
    long = base64.b64encode(bytes(70_000)).decode()
    assert "too large" in ask(portal, f"/join/scep?operation=PKIOperation&message={long}", accept=TEXT).text
    weak = Device(tmp_path / "weak", "", key=pki.rsa_key(1024))
    assert send(portal, weak.message(weak.envelope(recipient(portal)))).status == 400
    assert send(portal, good).status == 200


def test_the_signer_s_certificate_is_found_among_others(
    services: Services, portal: "ASGIApp", tmp_path: Path, trust: Path
) -> None:
    device = Device(tmp_path / "device", invited(services).token)
    own = device.self_signed.certificate
    namesake = pki.leaf(None, "device", key=pki.rsa_key(2048, 3), now=pki.real_now())
    numbered = pki.leaf(None, "other", key=pki.rsa_key(2048, 3), now=pki.real_now(), serial=own.serial_number)
    assert (namesake.certificate.issuer, numbered.certificate.serial_number) == (own.issuer, own.serial_number)
    for other in (namesake, numbered):
        message = device.message(device.envelope(recipient(portal)), others=(other.der,))
        assert reply(device, send(portal, message), trust).status == "0"


def test_whatever_is_wrong_inside_is_answered_in_one_way(
    services: Services, portal: "ASGIApp", tmp_path: Path, trust: Path
) -> None:
    device = Device(tmp_path / "device", invited(services).token)
    own = recipient(portal)
    good = device.envelope(own)
    # the encrypted key is 256 bytes in an OCTET STRING; the ciphertext is at the end
    at = good.index(b"\x04\x82\x01\x00") + 4
    wrong = {
        "for another key": device.envelope(device.self_signed.certificate),
        "for another certificate of the key": device.envelope(_twin(own)),
        "for two": device.envelope(own, device.self_signed.certificate),
        "for two, the other last": device.envelope(own, pki.leaf(None, "x" * 64, key=device.key).certificate),
        "with a key of another length": _with_a_short_key(device, own),
        "a changed key": good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :],
        "a changed end": good[:-1] + bytes([good[-1] ^ 1]),
        "cut off": good[:-16],
        "no envelope": device.csr,
        "empty": b"",
        "nothing in it": device.envelope(own, content=b"x"),
        "a CSR cut off in it": device.envelope(own, content=device.csr[:-5]),
    }
    for name, content in wrong.items():
        said = reply(device, send(portal, device.message(content)), trust)
        assert (said.status, said.fail) == ("2", "1"), name


def _twin(certificate: x509.Certificate) -> x509.Certificate:
    """Another for the same key."""
    made = x509.CertificateBuilder(certificate.issuer, certificate.subject, certificate.public_key(), 7)
    made = made.not_valid_before(certificate.not_valid_before_utc).not_valid_after(certificate.not_valid_after_utc)
    return made.sign(pki.rsa_key(2048, 3), hashes.SHA256())


def _with_a_short_key(device: Device, own: x509.Certificate) -> bytes:
    """Encrypted with AES-128, and called AES-256."""
    good = device.envelope(own, cipher="-aes256")
    key = own.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    secret = bytes(16)
    algorithm = oid("2.16.840.1.101.3.4.1.42") + b"\x04\x10"
    vector = good[good.index(algorithm) + len(algorithm) :][:16]
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(secret), modes.CBC(vector)).encryptor()
    ciphertext = encryptor.update(padder.update(device.csr) + padder.finalize()) + encryptor.finalize()
    at = good.index(b"\x04\x82\x01\x00") + 4
    forged = good[:at] + key.encrypt(secret, PKCS1v15()) + good[at + 256 : -len(ciphertext)] + ciphertext
    assert len(forged) == len(good)
    return forged


def test_old_ciphers_are_refused_as_such(services: Services, portal: "ASGIApp", tmp_path: Path, trust: Path) -> None:
    device = Device(tmp_path / "device", invited(services).token)
    said = reply(device, send(portal, device.message(device.envelope(recipient(portal), cipher="-des3"))), trust)
    assert (said.status, said.fail) == ("2", "0")
    said = reply(device, send(portal, device.message(device.envelope(recipient(portal), oaep=True))), trust)
    assert (said.status, said.fail) == ("2", "0")
    said = reply(device, send(portal, device.message(device.envelope(recipient(portal), cipher="-aes256"))), trust)
    assert said.status == "0"


def test_other_kinds_of_message_are_refused(services: Services, portal: "ASGIApp", tmp_path: Path, trust: Path) -> None:
    device = Device(tmp_path / "device", invited(services).token)
    for kind in ("17", "21", "22", "3", "x"):
        assert (
            reply(device, send(portal, device.message(device.envelope(recipient(portal)), kind)), trust).status == "2"
        )


@pytest.fixture
def sample(services: Services, portal: "ASGIApp", tmp_path: Path) -> bytes:
    device = Device(tmp_path / "device", "a" * 43)
    return device.message(device.envelope(recipient(portal)))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(at=st.integers(0), value=st.integers(0, 255))
def test_a_changed_byte_is_answered_or_refused(portal: "ASGIApp", sample: bytes, at: int, value: int) -> None:
    message = bytearray(sample)
    message[at % len(message)] = value
    assert send(portal, bytes(message)).status in (200, 400, 503)


@functools.cache
def go_client() -> Path:
    """The program in tests/readers/scep, built; skips where its modules cannot be had."""
    if shutil.which("go") is None:
        pytest.skip("go is not installed")
    target = Path(tempfile.mkdtemp()) / "scep"
    source = Path(__file__).resolve().parents[1] / "readers" / "scep"
    done = subprocess.run(["go", "build", "-o", target, "."], cwd=source, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"the Go client cannot be built here: {done.stderr.strip()[-200:]}")
    return target


def test_a_client_on_another_library_is_answered(tmp_path_factory: pytest.TempPathFactory) -> None:
    program = go_client()
    folder = tmp_path_factory.mktemp("scep") / "gate"
    with served(folder) as gate:

        def run(challenge: str, cipher: str = "aes") -> str:
            done = subprocess.run(
                [program, f"{gate.base}/scep", challenge, cipher],
                env={"SSL_CERT_FILE": str(folder / "trusted.pem"), "PATH": "/usr/bin"},
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        made = gate.services.invitations.invite("go")
        assert run("wrong") == "failure 2\n"
        assert run(made.token, "des") == "failure 0\n"
        leaf = x509.load_pem_x509_certificate(run(made.token).encode())
        assert leaf.subject.rfc4514_string() == "CN=go"
        assert run(made.token) == "failure 2\n"  # another key: the invitation is used up
        assert run(gate.services.invitations.invite("slow", approval=True).token) == "pending\n"
