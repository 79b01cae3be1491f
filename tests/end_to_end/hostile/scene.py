"""A running gate with partners, pins and CAs of many kinds: what the hostile corpus is played on.

Everything is set up as an operator does it, by the commands. What is refused says its code; what is not says
`admitted` or `done`.
"""

import contextlib
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID
from end_to_end import forge
from end_to_end.estate import mark
from end_to_end.forge import Authority, Identity
from end_to_end.gate import Gate
from end_to_end.hostile import makers
from end_to_end.hostile.typist import Typist
from end_to_end.raw import Headers, message
from end_to_end.recorder import Recorder
from publisher import Publisher

_numbers = count(1)


def sites(upstream: str) -> str:
    """`mutualgate.toml` of the scene, but for its listeners."""
    return f"""
[[sites]]
name = "main"
environment = "production"
hosts = ["localhost", "127.0.0.1"]
client_certificate = "required"
routes = [
    {{ path = "/", upstream = "{upstream}" }},
    {{ path = "/join", upstream = "portal" }},
    {{ path = "/optional", upstream = "{upstream}", client_certificate = "optional" }},
]
"""


POLICY = "1.3.6.1.4.1.99999.1"
"""What the partner `regulated` issues under."""

PROVIDER = "PSDBE-NBB-0000000001"
"""The payment service provider that the partner `bank` is."""

PKCS10: Headers = (("Content-Type", "application/pkcs10"), ("Accept", "application/json"))
"""A CSR from a program."""


@dataclass(frozen=True)
class Claim:
    """A partner's claim to a CA, and the code that its proof has to say."""

    partner: str
    id: int
    code: str


@dataclass
class Scene:
    """The gate, what lies behind it, and a folder for what is made."""

    gate: Gate
    typist: Typist
    recorder: Recorder
    publisher: Publisher
    folder: Path
    authorities: dict[str, Authority] = field(default_factory=dict)
    anchors: dict[str, int] = field(default_factory=dict)
    """Numbers of the partners' CAs."""
    identities: dict[str, Identity] = field(default_factory=dict)
    last_invitation: int = 0

    @property
    def new(self) -> Path:
        """An empty folder."""
        made = self.folder / f"row-{next(_numbers)}"
        made.mkdir(parents=True)
        return made

    def name(self, stem: str) -> str:
        """A name that no other client has."""
        return f"{stem}-{next(_numbers)}"

    def claim(self, partner: str, ca: Authority, *terms: str) -> None:
        """Claims a CA for a partner and proves it."""
        made = self.typist.command("partner", "ca", "add", partner, ca.certificate_file, *terms).json
        self.anchors[partner] = made["id"]
        if made["challenge"] is not None:
            proof = makers.openssl_leaf(self.new, f"/CN={made['challenge']}", ca, days=2)
            self.typist.command("partner", "ca", "prove", partner, proof.certificate)

    def claimed(self, partner: str, certificate: Path) -> Claim:
        """A claim that waits for its proof."""
        made = self.typist.command("partner", "ca", "add", partner, certificate).json
        return Claim(partner, made["id"], made["challenge"])

    def withdrawn(self, claim: Claim, said: str) -> str:
        """Passes on what was said, and takes the claim away, for the rows to come."""
        self.type("partner", "ca", "retire", claim.partner, str(claim.id))
        return said

    def client(self, name: str) -> Identity:
        """A new client with a certificate of ours."""
        self.typist.command("client", "add", name)
        request, key = forge.request(self.new, name)
        out = request.with_suffix(".pem")
        self.typist.command("client", "sign", name, "--csr", request, "--out", out)
        return Identity(out, key)

    def load(self, partner: str, file: Path) -> str:
        """Loads a revocation list for a partner's CA."""
        return self.type("partner", "crl", "load", partner, file, "--ca", str(self.anchors[partner]))

    def pin(self, certificate: Path, *options: str, suspended: bool = False) -> str:
        """Pins a file to a new client."""
        name = self.name("pinner")
        self.typist.command("client", "add", name)
        if suspended:
            self.typist.command("client", "suspend", name)
        return self.type("pin", "add", name, certificate, *options)

    def invite(self, *options: str) -> str:
        """Invites a new client; the path of its link."""
        made = self.typist.command("invite", self.name("guest"), *options).json
        self.last_invitation = int(made["invitation"])
        return "/join/" + str(made["link"]).rpartition("/")[2]

    def below(self, partner: str, subject: str) -> str:
        """What became of a CA below a partner's that was shown a moment ago."""
        for _ in range(100):
            seen = self.typist.command("partner", "ca", "list", partner).json["below"]
            for one in seen:
                if one["subject"] == subject:
                    return str(one["state"])
            time.sleep(0.1)
        return "not seen"

    # --- ways in ---

    def hand_in(self, target: str, body: bytes, fields: Headers = PKCS10, *, identity: Identity | None = None) -> str:
        """Posts something to the portal, as `identity` if it is given: `done`, or the code of the problem."""
        with self.gate.open(identity) as connection:
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                # Who sends too much is cut, and has its answer all the same.
                connection.send(message(target, fields, method="POST", body=body))
            response = connection.response("POST")
        return "done" if response.status < 400 else str(response.json()["code"])

    def show(self, identity: Identity | None, *, target: str = "/", host: str = "localhost") -> str:
        """Shows it to the gate: `admitted`, the code of the reason, or that no handshake came about."""
        word = mark()
        try:
            response = self.gate.get(f"{target}?{word}", identity, host=host)
        except (ssl.SSLError, ConnectionError):
            return "no handshake"
        forwarded = self.recorder.marked(word)
        if response.status == 200:
            assert forwarded, "admitted, and nothing arrived behind"
            return "admitted"
        assert not forwarded, f"refused for {response.reason}, and yet it arrived behind"
        return response.reason or f"status {response.status}"

    def judge(self, identity: Identity, *, days: float = 0) -> str:
        """Asks the judge of the same folder, `days` from now: what cannot be shown, or not today."""
        at = forge.now() + timedelta(days=days)
        answer = self.typist.command("decide", "--cert", identity.certificate, "--at", at.isoformat(), check=False)
        said = answer.json
        return str(said["reason"] or said["verdict"]) if "verdict" in said else str(said["error"]["code"])

    def type(self, *arguments: str | Path) -> str:
        """Types a command: `done`, or the code of the problem."""
        answer = self.typist.command(*arguments, check=False)
        if answer.code == 0:
            return "done"
        error = answer.json["error"]
        # Where no code is its own, the sentence is.
        return str(error["problem"] if error["code"] == "bad_input" else error["code"])

    def sign(self, request: Path, *, show: str = "CA") -> str:
        """Has a CSR signed for a client `asker-N`: what became of it (`show`: its name or whether it is a CA)."""
        name, out = self.name("asker"), request.with_suffix(".signed.pem")
        self.typist.command("client", "add", name)
        said = self.type("client", "sign", name, "--csr", request, "--out", out)
        if said != "done":
            return said
        certificate = x509.load_pem_x509_certificate(out.read_bytes())
        if show == "name":
            (given,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            return "signed, for the client" if given.value == name else f"signed, for {given.value!s}"
        return (
            f"signed, CA:{str(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca).upper()}"
        )

    def told(
        self, target: str, identity: Identity | None, headers: Headers, word: str, *, trailers: Headers = ()
    ) -> str:
        """Sends header fields: whether a service behind is told of `word` in any field that says who somebody is."""
        where = mark()
        with self.gate.open(identity) as connection:
            if trailers:
                lines = "".join(f"{name}: {value}\r\n" for name, value in trailers)
                head = "".join(f"{name}: {value}\r\n" for name, value in headers)
                connection.send(
                    f"POST {target}?{where} HTTP/1.1\r\nHost: localhost\r\n{head}Transfer-Encoding: chunked\r\n\r\n"
                    f"2\r\nok\r\n0\r\n{lines}\r\n".encode()
                )
                connection.response()
            else:
                connection.request(f"{target}?{where}", headers)
        (request,) = self.recorder.marked(where)
        fields = [*request.headers, *request.trailers]
        told = [name for name, value in fields if word in value]
        return f"arrived in {', '.join(told)}" if told else "none of them arrived"

    def bait(self, name: str) -> str:
        """An address on the loopback that tells when somebody asks for it."""
        return f"{self.recorder.url}/{name}-{self._bait}"

    def fetched(self, *names: str) -> str:
        """Whether somebody asked for one of the baits."""
        asked = [name for name in names if self.recorder.marked(f"{name}-{self._bait}")]
        return f"{', '.join(asked)} fetched" if asked else "no fetch"

    @cached_property
    def _bait(self) -> str:
        return mark()

    def ca(self, name: str) -> Authority:
        """The CA of a partner of the scene."""
        return self.authorities[name]

    def identity(self, name: str) -> Identity:
        """Somebody of the scene who has a certificate."""
        return self.identities[name]


@dataclass(frozen=True)
class Company:
    """A partner of the scene: the CA that it brings, what it may vouch for, and on which terms."""

    ca: Authority
    names: Sequence[str]
    terms: Sequence[str] = ()
    admits: str = "rule"
    profile: str = "names"


def companies(folder: Path) -> dict[str, Company]:
    """The partners by name; each is there for the rows that are called after it."""
    root = makers.openssl_ca(folder, "/O=Acme/CN=Acme root")
    acme = makers.openssl_ca(folder, "/O=Acme/CN=Acme issuing", root)
    picky = makers.openssl_ca(folder, "/CN=Picky CA")
    listed = makers.openssl_ca(folder / "picky", "/CN=Picky sub", picky)
    spki = forge.spki(listed.certificate).hex()

    def ca(name: str, **wish: Any) -> Authority:
        return makers.openssl_ca(folder, f"/CN={name} CA", **wish)

    def of(name: str, *terms: str, **wish: Any) -> Company:
        return Company(ca(name.title(), **wish), [f"dns:*.{name}.example"], terms)

    acme_names = ("dns:*.acme.example", "email:*@acme.example", "uri:spiffe://acme.example/*", "ip:192.0.2.0/24")
    return {
        "acme_root": Company(root, ()),
        "acme": Company(acme, acme_names, ("--depth", "1")),
        "globex": Company(
            makers.go_ca(folder, "Globex CA"), ("dns:*.globex.example", "dn:CN=robot,O=Globex"), admits="listed"
        ),
        "twin": Company(makers.go_ca(folder, "", subject_of=str(acme.certificate_file)), ("dns:*.twin.example",)),
        "nameless": Company(ca("Nameless"), ()),
        "short": of("short", "--leaf-limit", "3650d", days=40),
        "picky": Company(picky, ("dns:*.picky.example",), ("--depth", "1", "--sub-ca", spki)),
        "wary": of("wary", "--depth", "1", "--new-intermediates", "hold"),
        "regulated": of("regulated", "--depth", "1", "--policy", POLICY),
        "careful": of("careful", "--revocation", "fail"),
        "listed": of("listed", "--revocation", "fail"),
        "parted": of("parted", "--revocation", "fail"),
        "careless": of("careless"),
        "rsa": of("rsa", key="RSA -pkeyopt rsa_keygen_bits:2048"),
        "strict": of("strict", extensions=(makers.CA[0] + ",pathlen:0", makers.CA[1])),
        "retired": of("retired"),
        "sandbox": of("sandbox", "--environment", "test"),
        "unlicensed": of("unlicensed"),
        "bank": Company(ca("Qualified"), (), ("--shared",), profile="psd2"),
        "shopper": Company(ca("Public"), (), ("--shared",)),
    }


def furnish(scene: Scene) -> None:
    """Registers the partners, their CAs and the pins, as an operator does."""
    command = scene.typist.command
    made = companies(scene.folder)
    scene.authorities = {name: company.ca for name, company in made.items()}
    for name, company in made.items():
        if name == "acme_root":
            continue
        names = [part for one in company.names for part in ("--names", one)]
        command("partner", "add", name, *names, "--admits", company.admits, "--profile", company.profile)
        scene.claim(name, company.ca, *company.terms)
    scene.authorities["pending"] = makers.openssl_ca(scene.folder, "/CN=Acme next")
    scene.type("partner", "ca", "add", "acme", scene.authorities["pending"].certificate_file)
    scene.authorities["shared"] = made["shopper"].ca
    exact = ("dns:shop.shopper.example", "dn:CN=Bank,organizationIdentifier=PSDBE-NBB-0001")
    other = "dn:organizationIdentifier=PSDBE-NBB-0001,CN=Bank"
    command("partner", "name", "add", "shopper", *exact, other, "--ca", str(scene.anchors["shopper"]))
    command("partner", "name", "add", "bank", f"organization:{PROVIDER}", "--ca", str(scene.anchors["bank"]))
    command("partner", "member", "add", "globex", "dns:robot.globex.example")
    scene.authorities["acme_sub"] = makers.openssl_ca(scene.folder, "/CN=Acme sub", made["acme"].ca)
    command("partner", "intermediate", "add", "acme", scene.authorities["acme_sub"].certificate_file)
    command("partner", "ca", "retire", "retired", str(scene.anchors["retired"]))
    command("partner", "suspend", "unlicensed")
    lost = makers.openssl_leaf(scene.folder, "/CN=x", made["listed"].ca, "subjectAltName=DNS:lost.listed.example")
    scene.identities["revoked"] = lost
    gone = makers.openssl_crl(scene.folder, made["listed"].ca, makers.serial(lost.certificate))
    scene.load("listed", gone)
    point = "issuingDistributionPoint=critical,fullname:URI:http://crl.parted.example/1"
    scene.load("parted", makers.openssl_crl(scene.folder, made["parted"].ca, extensions=[point]))
    for name, key in (("pinned", False), ("pinned_key", True), ("retired_pin", False)):
        identity = makers.openssl_self_signed(scene.folder, f"/CN={name}")
        scene.identities[name] = identity
        command("client", "add", name)
        pin = command("pin", "add", name, identity.certificate, *(["--key"] if key else [])).json["id"]
        if name == "retired_pin":
            command("pin", "retire", str(pin))
