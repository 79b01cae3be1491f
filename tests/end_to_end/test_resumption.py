"""A session that is resumed is worth what its certificate is worth today: what other gateways got wrong.

`test_revocation` has the rest: another site, another verdict, the same headers.
"""

import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from asn1crypto import core, parser, pem
from cryptography import x509
from end_to_end import forge
from end_to_end.estate import mark
from end_to_end.forge import Authority, Identity
from end_to_end.gate import Gate, running_gate, up
from end_to_end.raw import Connection
from end_to_end.recorder import Recorder
from end_to_end.refusal import assert_refused

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
LIFE_SECONDS = 10


def sites(upstream: str, mode: str = "optional", on_refusal: str = "page") -> str:
    return f"""
[[sites]]
name = "main"
hosts = ["localhost"]
routes = [{{ path = "/", upstream = "{upstream}" }}]

[[sites]]
name = "changing"
hosts = ["changing.test"]
client_certificate = "{mode}"
on_refusal = "{on_refusal}"
routes = [{{ path = "/", upstream = "{upstream}" }}]
"""


@dataclass(frozen=True)
class House:
    """A gate with two workers."""

    gate: Gate
    recorder: Recorder
    adopted: Authority
    folder: Path

    def session(self, tls: ssl.SSLContext, sni: str = "localhost") -> ssl.SSLSession | None:
        with Connection.open(self.gate.port, tls, sni) as connection:
            assert connection.request("/", host=sni).status == 200
            return connection.tls.session

    def write(self, text: str) -> None:
        """Other sites, in force."""
        before = len(self.gate.program.text())
        file = self.gate.folder / "mutualgate.toml"
        file.write_text(file.read_text().split("[[sites]]")[0] + text)
        self.gate.program.wait_for(lambda: "was read again" in self.gate.program.text()[before:], 30)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, upstream: Recorder) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("resumption")
    adopted = forge.authority(folder / "adopted")
    with running_gate(folder / "gate", sites(upstream.url), "workers = 2\n") as gate:
        gate.command("ca", "adopt", "--cert", adopted.certificate_file, "--key", adopted.key_file)
        yield House(gate, upstream, adopted, folder)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_worker_opens_the_tickets_of_the_other(version: str, house: House) -> None:
    """And of the same verdict: with two workers the kernel chooses who gets a connection."""
    identity = house.gate.client(f"workers-{version}")
    tls = house.gate.context(identity, version=VERSIONS[version])
    session = house.session(tls)
    for _ in range(16):
        word = mark()
        with Connection.open(house.gate.port, tls, session=session) as connection:
            assert connection.tls.session_reused
            assert connection.request(f"/{word}").status == 200
            session = connection.tls.session
        (request,) = house.recorder.marked(word)
        assert request.values("Mutualgate-Client") == [f"workers-{version}"]
    house.gate.command("client", "revoke", f"workers-{version}")
    for _ in range(16):
        with Connection.open(house.gate.port, tls, session=session) as connection:
            assert not connection.tls.session_reused
            assert_refused(connection.request("/"), "revoked")


@pytest.mark.parametrize("version", VERSIONS)
def test_an_epoch_alone_takes_no_session_away(version: str, house: House) -> None:
    identity = house.gate.client(f"epoch-{version}")
    tls = house.gate.context(identity, version=VERSIONS[version])
    session = house.session(tls)
    house.gate.client(f"somebody-else-{version}")
    with Connection.open(house.gate.port, tls, session=session) as connection:
        assert connection.tls.session_reused
        assert connection.request("/").status == 200


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_ends_with_the_authority_that_vouched_for_it(version: str, house: House, tmp_path: Path) -> None:
    """CVE-2025-68121: the CA was taken away between."""
    ca = forge.authority(tmp_path / "ca", f"goes away {version}")
    house.gate.command("partner", "add", f"leaver-{version[-1]}", "--names", "dns:*.leaver.example", "--admits", "rule")
    claimed = house.gate.command("partner", "ca", "add", f"leaver-{version[-1]}", ca.certificate_file).json
    proof = forge.leaf(tmp_path, ca, "x", alternative_names=[x509.DNSName(claimed["challenge"])])
    number = house.gate.command("partner", "ca", "prove", f"leaver-{version[-1]}", proof.certificate).json["id"]
    identity = forge.leaf(tmp_path, ca, "y", alternative_names=[x509.DNSName("a.leaver.example")])
    tls = house.gate.context(identity, version=VERSIONS[version])
    session = house.session(tls)
    house.gate.command("partner", "ca", "remove", f"leaver-{version[-1]}", str(number))
    word = mark()
    with Connection.open(house.gate.port, tls, session=session) as connection:
        assert not connection.tls.session_reused
        assert connection.request(f"/{word}").status == 403
    assert house.recorder.marked(word) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_certificate_that_ends_while_its_ticket_lives_is_asked_for_again(
    version: str, house: House, tmp_path: Path
) -> None:
    """CVE-2025-68121, too: the ticket outlived the leaf."""
    identity = forge.leaf(tmp_path, house.adopted, not_after=forge.DAY / 86400 * 4)
    tls = house.gate.context(identity, version=VERSIONS[version])
    session = house.session(tls)
    over = identity.leaf().not_valid_after_utc + forge.DAY / 86400
    while forge.now() <= over:
        time.sleep(0.1)
    with Connection.open(house.gate.port, tls, session=session) as connection:
        assert not connection.tls.session_reused
        assert_refused(connection.request("/"), "expired")


@pytest.mark.parametrize(
    ("before", "after"), [("optional", "page"), ("off", "page"), ("optional", "alert"), ("off", "close")]
)
def test_a_session_of_when_no_certificate_was_needed_ends_when_one_is(before: str, after: str, house: House) -> None:
    """Botan's of 2026: a ticket of an optional certificate, resumed where it is required."""
    house.write(sites(house.recorder.url, before))
    contexts = [house.gate.context(None, version=version) for version in VERSIONS.values()]
    sessions = [house.session(tls, "changing.test") for tls in contexts]
    house.write(sites(house.recorder.url, "required", after))
    for tls, session in zip(contexts, sessions, strict=True):
        word = mark()
        try:
            with Connection.open(house.gate.port, tls, "changing.test", session) as connection:
                assert not connection.tls.session_reused
                status = connection.request(f"/{word}", host="changing.test").status
        except (ssl.SSLError, ConnectionError):
            status = 0
        assert status == (403 if after == "page" else 0)
        assert house.recorder.marked(word) == []


def test_a_ticket_is_too_old_once_its_key_is_gone(upstream: Recorder, tmp_path: Path) -> None:
    """And while the next key is in use already, it is not, however late that key was made."""
    settings = f'resumption = "{LIFE_SECONDS}s"\n'
    with running_gate(tmp_path / "gate", sites(upstream.url), settings) as gate:
        identity = gate.client("old")
        house = House(gate, upstream, forge.authority(tmp_path / "adopted"), tmp_path)
        # In TLS 1.2 a session can be tried many times.
        tls = gate.context(identity, version=ssl.TLSVersion.TLSv1_2)
        asked = time.monotonic()
        session = house.session(tls)
        got, worked = time.monotonic(), 0.0
        while (age := time.monotonic() - got) < LIFE_SECONDS + 1:
            house.session(tls)  # somebody else's: a key is changed when it is used
            with Connection.open(gate.port, tls, session=session) as connection:
                if connection.tls.session_reused:
                    worked = age
                else:
                    assert time.monotonic() - asked > LIFE_SECONDS / 2
                assert connection.request("/").status == 200
            time.sleep(0.2)
        assert LIFE_SECONDS / 3 < worked < LIFE_SECONDS
        assert not connection.tls.session_reused


def test_a_ticket_of_before_the_start_is_worth_nothing_after(house: House, upstream: Recorder, tmp_path: Path) -> None:
    """Keys are of one process: they are written nowhere."""
    with running_gate(tmp_path / "gate", sites(upstream.url)) as gate:
        identity = gate.client("stays")
        tls = gate.context(identity)
        with Connection.open(gate.port, tls) as connection:
            assert connection.request("/").status == 200
            session = connection.tls.session
        with Connection.open(gate.port, tls, session=session) as connection:
            assert connection.tls.session_reused
            session = connection.tls.session
        ports = gate.port, gate.plain_port, gate.ops_port
    with up(tmp_path / "gate", *ports) as gate, Connection.open(gate.port, tls, session=session) as connection:
        assert not connection.tls.session_reused
        assert connection.request("/").status == 200


@pytest.mark.parametrize(("of", "offered_in"), [("1.3", "1.2"), ("1.2", "1.3")])
def test_a_ticket_says_nothing_in_another_version(of: str, offered_in: str, house: House, tmp_path: Path) -> None:
    """CVE-2026-93831: somebody who has a ticket of one version tries to be that client in the other."""
    identity = house.gate.client(f"confused-{of}")
    real, other, forged = (tmp_path / name for name in ("real", "other", "forged"))
    _save(house.gate, of, real, identity)
    _save(house.gate, offered_in, other, identity)
    forged.write_bytes(_with_ticket(other.read_bytes(), of=real.read_bytes()))
    said = _resume(house.gate, offered_in, other)
    assert "Reused, TLS" in said, said  # the way works: what OpenSSL kept itself is taken
    said = _resume(house.gate, offered_in, forged)
    # A handshake like any other, in which nobody showed a certificate.
    assert "New, TLS" in said, said
    assert "HTTP/1.1 403" in said


def _s_client(gate: Gate, version: str, *more: str) -> str:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{gate.port}", "-servername", "localhost", "-ign_eof"]
    request = "GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    done = subprocess.run(
        [*command, f"-tls1_{version[-1]}", *more], input=request, text=True, capture_output=True, timeout=30
    )
    return done.stdout


def _save(gate: Gate, version: str, file: Path, identity: Identity) -> None:
    said = _s_client(
        gate, version, "-cert", str(identity.certificate), "-key", str(identity.key), "-sess_out", str(file)
    )
    assert "HTTP/1.1 200" in said


def _resume(gate: Gate, version: str, file: Path) -> str:
    return _s_client(gate, version, "-sess_in", str(file))


TICKET = 0xAA  # [10] of OpenSSL's SSL_SESSION
MASTER_KEY = 4  # the fifth of its fields


def _with_ticket(session: bytes, of: bytes) -> bytes:
    """OpenSSL's `session`, but with the ticket and the secret of the one `of` another version."""
    fields, others = _fields(session), _fields(of)
    fields[MASTER_KEY] = others[MASTER_KEY]
    (ticket,) = (field for field in others if field[0] == TICKET)
    der = core.Sequence(contents=b"".join(ticket if field[0] == TICKET else field for field in fields)).dump()
    assert isinstance(der, bytes)
    return bytes(pem.armor("SSL SESSION PARAMETERS", der))


def _fields(session: bytes) -> list[bytes]:
    """The fields of the SEQUENCE, each whole."""
    rest: bytes = core.Sequence.load(pem.unarmor(session)[2]).contents
    found = []
    while rest:
        length: int = parser.peek(rest)
        found.append(rest[:length])
        rest = rest[length:]
    return found


def test_early_data_is_neither_offered_nor_taken(house: House, tmp_path: Path) -> None:
    """RFC 8446 8: it can be replayed."""
    identity, session = house.gate.client("early"), tmp_path / "session"
    common: list[str | Path] = [
        "openssl",
        "s_client",
        "-connect",
        f"127.0.0.1:{house.gate.port}",
        "-servername",
        "localhost",
        "-tls1_3",
    ]
    common += ["-CAfile", house.gate.root, "-cert", identity.certificate, "-key", identity.key]
    one, early = mark(), tmp_path / "early"
    asked = f"GET /?{one} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    early.write_text(asked)

    def say(*more: str | Path, said: str) -> str:
        done = subprocess.run([*common, *more], input=said, capture_output=True, text=True, timeout=60)
        return done.stdout

    first = say("-sess_out", session, "-ign_eof", said=asked)
    assert "HTTP/1.1 200" in first
    assert len(house.recorder.marked(one)) == 1
    shown = subprocess.run(["openssl", "sess_id", "-in", session, "-noout", "-text"], capture_output=True, text=True)
    assert "Max Early Data: 0" in shown.stdout
    again = say("-sess_in", session, "-early_data", early, "-ign_eof", said=asked)
    assert "Early data was not sent" in again
    assert "Reused" in again
    assert len(house.recorder.marked(one)) == 2
