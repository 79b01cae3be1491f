"""Clients with certificates of their own and of partners' CAs, through a gate that runs."""

import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from end_to_end import forge
from end_to_end.estate import mark
from end_to_end.forge import Authority, Identity
from end_to_end.gate import Gate, running_gate
from end_to_end.hostile import makers
from end_to_end.recorder import Recorder
from end_to_end.refusal import assert_refused

from mutualgate.model.certificate import spki_fingerprint


@dataclass(frozen=True)
class House:
    """A gate with a site for production and one for tests."""

    gate: Gate
    recorder: Recorder
    folder: Path

    def partner(
        self, name: str, *, admits: str = "rule", ca: Authority | None = None, environment: str = ""
    ) -> Authority:
        """Adds a partner with a CA, which is proved as its administrator would."""
        self.gate.command(
            "partner", "add", name, "--names", f"dns:*.{name}.example", "--admits", admits, "--role", "orders"
        )
        ca = ca or forge.authority(self.folder / name, f"{name} issuing")
        self.claim(name, ca, environment=environment)
        return ca

    def claim(self, name: str, ca: Authority, environment: str = "") -> int:
        """Adds a CA to a partner and proves it; returns its number."""
        claimed = self.gate.command(
            "partner", "ca", "add", name, ca.certificate_file, "--environment", environment
        ).json
        proof = self.leaf(ca, claimed["challenge"])
        return int(self.gate.command("partner", "ca", "prove", name, proof.certificate).json["id"])

    def leaf(self, ca: Authority, name: str) -> Identity:
        return forge.leaf(self.folder / "leaves", ca, "decoration", alternative_names=[x509.DNSName(name)])


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, upstream: Recorder) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("partners")
    sites = f"""
[[sites]]
name = "main"
hosts = ["localhost"]
environment = "production"
routes = [{{ path = "/", upstream = "{upstream.url}" }}]

[[sites]]
name = "test"
hosts = ["test.example"]
environment = "test"
routes = [{{ path = "/", upstream = "{upstream.url}" }}]
"""
    with running_gate(folder / "gate", sites) as gate:
        yield House(gate, upstream, folder)


def test_any_client_under_the_rule_comes_in_as_the_partners(house: House) -> None:
    ca = house.partner("acme")
    word = mark()
    assert house.gate.get(f"/{word}", house.leaf(ca, "api.acme.example")).status == 200
    (request,) = house.recorder.marked(word)
    assert request.values("Mutualgate-Partner") == ["acme"]
    assert request.values("Mutualgate-Authority") == ["partner acme"]
    assert request.values("Mutualgate-Roles") == ["orders"]


def test_one_that_a_partners_ca_forged_in_anothers_name_is_refused(house: House) -> None:
    """R1: a CA vouches for its own names, whatever else its certificates say."""
    ours, theirs = house.partner("umbrella"), house.partner("cyberdyne")
    assert house.gate.get("/", house.leaf(theirs, "api.cyberdyne.example")).status == 200
    word = mark()
    assert_refused(house.gate.get(f"/{word}", house.leaf(ours, "api.cyberdyne.example")), "name_not_permitted")
    assert house.recorder.marked(word) == []


def test_two_cas_of_one_name_are_told_apart_by_their_keys(house: House) -> None:
    """R2."""
    one = house.partner("twin-a", ca=forge.authority(house.folder / "twin-a", "Twin CA"))
    two = house.partner("twin-b", ca=forge.authority(house.folder / "twin-b", "Twin CA"))
    assert house.gate.get("/", house.leaf(one, "x.twin-a.example")).status == 200
    assert house.gate.get("/", house.leaf(two, "x.twin-b.example")).status == 200
    assert_refused(house.gate.get("/", house.leaf(one, "x.twin-b.example")), "name_not_permitted")


def test_only_those_that_were_enumerated_come_in(house: House) -> None:
    ca = house.partner("listed", admits="listed")
    one, other = house.leaf(ca, "a.listed.example"), house.leaf(ca, "b.listed.example")
    assert_refused(house.gate.get("/", one), "not_enrolled")
    house.gate.command("partner", "member", "add", "listed", "dns:a.listed.example")
    word = mark()
    assert house.gate.get(f"/{word}", one).status == 200
    (request,) = house.recorder.marked(word)
    assert request.values("Mutualgate-Client") == ["a.listed.example"]
    assert_refused(house.gate.get("/", other), "not_enrolled")
    house.gate.command("partner", "member", "suspend", "listed", "dns:a.listed.example")
    assert_refused(house.gate.get("/", one), "client_suspended")


def test_a_ca_of_the_test_environment_is_refused_in_production(house: House) -> None:
    """R23."""
    ca = house.partner("tested", environment="test")
    leaf = house.leaf(ca, "a.tested.example")
    assert house.gate.get("/", leaf, host="test.example").status == 200
    assert_refused(house.gate.get("/", leaf), "not_granted")


def test_a_certificate_of_ones_own_comes_in_and_vouches_for_nobody(house: House) -> None:
    """R4: what `openssl req -x509` makes says that it is a CA; pinned, it comes in and signs nothing."""
    own = forge.authority(house.folder / "own", "my laptop")
    assert_refused(house.gate.get("/", Identity(own.certificate_file, own.key_file)), "unknown_issuer")
    house.gate.command("client", "add", "laptop")
    pin = house.gate.command("pin", "add", "laptop", own.certificate_file).json["id"]
    word = mark()
    assert house.gate.get(f"/{word}", Identity(own.certificate_file, own.key_file)).status == 200
    (request,) = house.recorder.marked(word)
    assert request.values("Mutualgate-Authority") == ["pin"]
    assert_refused(house.gate.get("/", house.leaf(own, "anybody.example")), "unknown_issuer")
    with house.gate.open(Identity(own.certificate_file, own.key_file)) as connection:
        assert connection.request("/").status == 200
        house.gate.command("pin", "retire", str(pin))
        assert_refused(connection.request("/"), "pin_retired")


def wait_until_kept(house: House, identity: Identity) -> bytes | None:
    """What the gate saw is kept a moment after it was seen; returns the SHA-256 of the key that signed it."""
    digest = identity.leaf().fingerprint(hashes.SHA256()).hex()
    waited = threading.Event()
    while (kept := _kept(house, digest)) is None:
        waited.wait(0.1)
    return kept[0]


def _kept(house: House, digest: str) -> tuple[bytes | None] | None:
    uri = f"file:{house.gate.folder / 'store.sqlite3'}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as store:
        query = "SELECT signer FROM seen WHERE lower(hex(fingerprint)) = ?"
        found: tuple[bytes | None] | None = store.execute(query, (digest,)).fetchone()
        return found


def test_a_stranger_comes_in_from_the_refusal_that_he_was_shown(house: House) -> None:
    stranger = forge.self_signed(house.folder / "stranger", "a stranger")
    refused = house.gate.get("/", stranger)
    assert_refused(refused, "unknown_issuer")
    assert wait_until_kept(house, stranger) is None
    said = house.gate.command(
        "approve", refused.json()["refusal"], "--client", "known", "--role", "orders", "--yes"
    ).json
    assert (said["client"], said["seen"]) == ("known", 1)
    ends, purpose = said["unusual"]
    assert "It expires on " in ends
    assert "no extended key usage" in purpose
    assert said["in_force"] is True
    assert house.gate.get("/", stranger).status == 200


def test_one_that_is_new_under_a_partner_waits_and_is_approved(house: House) -> None:
    ca = house.partner("careful", admits="approval")
    leaf = house.leaf(ca, "a.careful.example")
    refused = house.gate.get("/", leaf)
    assert_refused(refused, "not_enrolled")
    wait_until_kept(house, leaf)
    house.gate.command("approve", refused.json()["refusal"], "--yes")
    word = mark()
    assert house.gate.get(f"/{word}", leaf).status == 200
    (request,) = house.recorder.marked(word)
    assert request.values("Mutualgate-Client") == ["a.careful.example"]


def test_one_that_was_refused_before_its_ca_counted_waits_as_well(house: House) -> None:
    """Who tries too early is the usual case: what was said of it then must not hide what is said now."""
    ca = forge.authority(house.folder / "early", "early issuing")
    house.gate.command("partner", "add", "early", "--names", "dns:*.early.example", "--admits", "approval")
    leaf = house.leaf(ca, "a.early.example")
    assert_refused(house.gate.get("/", leaf), "unknown_issuer")
    wait_until_kept(house, leaf)
    house.claim("early", ca)
    assert_refused(house.gate.get("/", leaf), "not_enrolled")
    members = ("partner", "member", "list", "early")
    house.gate.program.wait_for(lambda: bool(house.gate.command(*members).json["members"]), 20)
    (waits,) = house.gate.command(*members).json["members"]
    assert (waits["name"], waits["state"]) == ("dns:a.early.example", "pending")


def test_a_change_is_tried_against_who_came_in_and_taken_back(house: House) -> None:
    """R21."""
    ca = house.partner("tried")
    leaf = house.leaf(ca, "a.tried.example")
    assert house.gate.get("/", leaf).status == 200
    assert wait_until_kept(house, leaf) == spki_fingerprint(ca.certificate)
    found: dict[str, Any] = house.gate.command(
        "trust", "try", "partner", "name", "remove", "tried", "dns:*.tried.example"
    ).json
    assert "tried" in found["locked_out"]
    assert found["clients"] >= len(found["locked_out"])
    assert [one["after"] for one in found["affected"] if one["before"].get("client") == "tried"] == [
        {"admitted": False, "reason": "name_not_permitted"}
    ]
    assert house.gate.get("/", leaf).status == 200
    house.gate.command("partner", "name", "remove", "tried", "dns:*.tried.example")
    assert_refused(house.gate.get("/", leaf), "name_not_permitted")
    house.gate.command("trust", "undo")
    assert house.gate.get("/", leaf).status == 200


CUT = 0
"""Counted as a status: the connection was ended by the gate."""


@dataclass
class Load:
    """Who comes again and again, each time over a new connection, and what they met."""

    gate: Gate
    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    cuts: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, name: str, identity: Identity) -> None:
        counted = self.statuses[name] = Counter()

        def run() -> None:
            while not self._stop.is_set():
                try:
                    with self.gate.open(identity) as connection:
                        for _ in range(3):
                            counted[connection.request("/").status] += 1
                except ConnectionResetError as error:
                    counted[CUT] += 1
                    self.cuts.append(f"{name}: {error}, after {dict(counted)}")

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self._threads.append(thread)

    def more(self, name: str, requests: int = 12) -> None:
        """Waits until `name` has made so many more."""
        counted = self.statuses[name]
        wanted = sum(counted.values()) + requests
        waited = threading.Event()
        while sum(counted.values()) < wanted:
            assert all(thread.is_alive() for thread in self._threads)
            waited.wait(0.02)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)


@contextmanager
def load(gate: Gate) -> Iterator[Load]:
    made = Load(gate)
    try:
        yield made
    finally:
        made.stop()


def test_a_partner_moves_to_its_next_ca_and_nobody_is_refused(house: House) -> None:
    """R21: A, then A and B, then B, with no good request refused on the way."""
    first = house.partner("mover")
    second = forge.authority(house.folder / "mover-2", "mover issuing")  # the same name, as CAs that are renewed have
    with load(house.gate) as going:
        going.start("old", house.leaf(first, "old.mover.example"))
        going.more("old")
        number = house.claim("mover", second)
        going.start("new", house.leaf(second, "new.mover.example"))
        going.more("new")
        going.more("old")
        assert set(going.statuses["old"]) == {200}
        (before,) = (
            ca["id"] for ca in house.gate.command("partner", "ca", "list", "mover").json["cas"] if ca["id"] != number
        )
        house.gate.command("partner", "ca", "retire", "mover", str(before))
        # The command came back when it was in force: from now on everybody under the old one is refused. The new one
        # has its name, and so is found for it, but not its key.
        assert_refused(house.gate.get("/", house.leaf(first, "late.mover.example")), "bad_signature")
        going.more("old")
        going.more("new")
    assert set(going.statuses["new"]) == {200}, going.cuts
    assert set(going.statuses["old"]) - {CUT} == {200, 403}, going.cuts


def test_a_pin_is_replaced_with_overlap_and_nobody_is_refused(house: House) -> None:
    old, new = (forge.self_signed(house.folder / "pins", "pinned") for _ in range(2))
    house.gate.command("client", "add", "pinned")
    pin = house.gate.command("pin", "add", "pinned", old.certificate).json["id"]
    with load(house.gate) as going:
        going.start("old", old)
        going.more("old")
        house.gate.command("pin", "add", "pinned", new.certificate, "--replaces", str(pin), "--overlap", "7d")
        going.start("new", new)
        going.more("old")
        going.more("new")
    assert set(going.statuses["old"]) == set(going.statuses["new"]) == {200}


def test_our_own_authorities_are_rotated_and_nobody_is_refused(house: House) -> None:
    """The issuing one, then the root: those under the old ones and under the new ones come in all the while."""

    def client(name: str) -> Identity:
        request, key = forge.request(house.folder / "own", name)
        house.gate.command("client", "add", name)
        house.gate.command("client", "sign", name, "--csr", request, "--out", request.with_suffix(".pem"))
        return Identity(request.with_suffix(".pem"), key)

    with load(house.gate) as going:
        going.start("before", client("before"))
        house.gate.command("ca", "rotate", "issuing")
        going.start("between", client("between"))
        going.more("before")
        root = house.gate.command("ca", "rotate", "root").json["name"]
        for name in going.statuses:
            going.more(name)  # all of them trust both roots by then, as it has to be before the next step
        house.gate.command("ca", "rotate", "issuing", "--under", root)
        going.start("after", client("after"))
        for name in going.statuses:
            going.more(name)
    assert [set(met) for met in going.statuses.values()] == [{200}, {200}, {200}], going.cuts


def reason_of(gate: Gate, client: Identity) -> str | None:
    """Why it is refused; none as well where the change ended what was open."""
    try:
        return gate.get("/", client).reason
    except ConnectionResetError:
        return None


def test_a_provider_whose_licence_was_withdrawn_is_kept_out_by_itself(tmp_path: Path, upstream: Recorder) -> None:
    """R25: the register's answer suspends; the gate asks by itself, and no client waits for it."""
    provider, withdrawn, program = "PSDBE-NBB-0000000001", tmp_path / "withdrawn", tmp_path / "check-register"
    program.write_text(f"#!/bin/sh\ntest -e {withdrawn} && echo withdrawn || echo active\n")
    program.chmod(0o755)
    settings = f"""
[register]
command = "{program}"
every = "1m"
timeout = "20s"

[[sites]]
name = "main"
hosts = ["localhost"]
client_certificate = "required"
routes = [{{ path = "/", upstream = "{upstream.url}" }}]
"""
    ca = makers.openssl_ca(tmp_path, "/CN=Qualified CA")
    client = makers.openssl_leaf(tmp_path, f"/C=BE/O=Bank/organizationIdentifier={provider}/CN=x", ca)
    with running_gate(tmp_path / "gate", settings) as gate:
        gate.command("partner", "add", "bank", "--profile", "psd2", "--admits", "rule")
        gate.command("partner", "ca", "add", "bank", ca.certificate_file, "--shared")
        gate.command("partner", "name", "add", "bank", f"organization:{provider}", "--ca", "1")
        assert gate.get("/", client).status == 200
    withdrawn.touch()
    with running_gate(tmp_path / "gate", settings) as gate:  # the first thing that it asks
        gate.program.wait_for(lambda: reason_of(gate, client) == "client_suspended", 30)
        [member] = gate.command("partner", "member", "list", "bank").json["members"]
        assert member["name"] == f"organization:{provider}"
