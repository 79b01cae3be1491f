"""After any changes of trust three judges say the same: the one that heard of them by deltas, as a running gate does,
one that was built anew, and one that was told only what concerns the chain."""

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pki
import pytest
from conftest import Hands
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from mutualgate import snapshot
from mutualgate.app import Folder, Services
from mutualgate.authorities.adopt import Estate
from mutualgate.errors import MutualgateError
from mutualgate.gate import Judge
from mutualgate.model.authority import Admits
from mutualgate.model.certificate import spki_fingerprint
from mutualgate.model.foreign import OcspAnswer, OcspStatus
from mutualgate.model.invitation import Way
from mutualgate.model.partner import PartnerAdmits, RevocationMode
from mutualgate.model.pin import PinKind
from mutualgate.model.revocation import RevocationReason
from mutualgate.partners.terms import Terms
from mutualgate.snapshot import SiteRecord
from mutualgate.snapshot.records import RouteRecord

T = TypeVar("T")
PEER = "192.0.2.9"
LIST = "http://crl.example/1"
SITES = [
    SiteRecord(name, [name], "required", "page", [RouteRecord("/", "required", [], [], 0)], name)
    for name in ("test", "live")
]
HOSTS = ("a.acme.example", "b.acme.example", "c.acme.example")
CLIENTS = ("anna", "bert", "acme", "old estate", *HOSTS)
FACTS = ("admitted", "reason", "client_id", "client_name", "roles", "credential_id", "evidence", "partner", "authority")


class Others:
    """CAs of others and what they signed. Made once: nothing of it changes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        names = ("Acme Root", "Acme Root", "Public")
        self.cas = [pki.ca(name) for name in names]
        self.renewed = [pki.ca(name, key=one.key, days=4000) for name, one in zip(names, self.cas, strict=True)]
        self.below = pki.ca("Acme Below", self.cas[0])
        self.old = pki.ca("rootCA")
        self.own = [pki.leaf(None, "own"), pki.leaf(None, "other")]
        self.own.append(pki.leaf(None, "own again", key=self.own[0].key))
        self.unlisted, listed = pki.leaf(self.old, "unlisted"), pki.leaf(self.old, "listed")
        self.certificates = [self.old.write(folder, "rootCA")[0]]
        self.certificates.append(pki.ca("rootCA", key=self.old.key, days=4000).write(folder, "renewed")[0])
        self.issued = folder / "issued"
        self.issued.mkdir()
        listed.write(self.issued, "listed")
        points = [x509.DistributionPoint([x509.UniformResourceIdentifier(LIST)], None, None, None)]
        named = [
            (x509.SubjectAlternativeName([x509.DNSName(HOSTS[0])]), False),
            (x509.CRLDistributionPoints(points), False),
        ]
        self.chains = {
            "with a list": pki.issue(self.cas[0], "x", serial=9, days=60, extensions=named).chain_der,
            "by a helper": [pki.leaf(self.below, "x", sans=[HOSTS[1]], serial=8, days=60).der],
            "a CA's": [self.cas[0].der],
            "old, v1": [pki.as_v1(self.unlisted).der],
            **{one.certificate.subject.rfc4514_string(): [one.der] for one in (*self.own, listed, self.unlisted)},
            **{
                f"{host} of {number}": pki.leaf(ca, "x", sans=[host], serial=7 + number, days=60).chain_der
                for number, ca in enumerate((*self.cas, self.below))
                for host in HOSTS
            },
        }


class World:
    """An installation to which things are done, and the judge that hears of it by deltas alone."""

    def __init__(self, folder: Path, others: Others) -> None:
        self.clock = Hands()
        self.services = Services(
            Folder(folder), clock=self.clock, environment={"MUTUALGATE_PASSPHRASE": "a passphrase for tests"}
        )
        self.others = others
        self.chains = dict(others.chains)
        self.issued: list[bytes] = []
        self.tokens: list[str] = []
        self.lists = 0
        self.dice = random.Random(0)

    def begin(self) -> None:
        """From here on the judge follows."""
        self.judge = self._built()

    def do(self, action: str, seed: int) -> None:
        self.dice = random.Random(seed)
        with suppress(MutualgateError):  # what cannot be done changes nothing
            getattr(self, action)()
        delta = snapshot.delta(self.services.store, self.judge.epoch)
        self.judge = self._built() if delta is None else self.judge.after(delta)

    def compare(self, *, parts: bool) -> None:
        whole = self._built()
        for name, chain in self.chains.items():
            expected = self._said(whole, chain)
            assert self._said(self.judge, chain) == expected, name
            if parts:
                part = Judge(snapshot.build_for(self.services.store, SITES, [chain]))
                assert self._said(part, chain) == expected, name

    def _built(self) -> Judge:
        return Judge(snapshot.build(self.services.store, SITES))

    def _said(self, judge: Judge, chain: list[bytes]) -> list[object]:
        now = int(self.clock().timestamp())
        asked = [judge.authorize(chain, at, site.name, "/") for site in SITES for at in (now, now + 25 * 86_400)]
        return [getattr(verdict, fact) for verdict in asked for fact in FACTS]

    def _one(self, of: Sequence[T]) -> T:
        return self.dice.choice(of)

    def _add(self, *chain: x509.Certificate) -> None:
        ders = [one.public_bytes(Encoding.DER) for one in chain]
        self.chains[f"issued {len(self.chains)}"] = ders
        self.issued.append(ders[0])

    # What can happen.

    def client(self) -> None:
        self.services.clients.add(self._one(CLIENTS), roles=["staff"])

    def suspend(self) -> None:
        self.services.clients.suspend(self._one(CLIENTS))

    def resume(self) -> None:
        self.services.clients.resume(self._one(CLIENTS))

    def remove(self) -> None:
        self.services.clients.remove(self._one(CLIENTS))

    def roles(self) -> None:
        self.services.clients.set_roles(self._one(CLIENTS), self._one(([], ["staff"], ["admin", "staff"])))

    def revoke(self) -> None:
        reasons = (RevocationReason.keyCompromise, RevocationReason.certificateHold, RevocationReason.superseded)
        if self.dice.random() < 0.3:
            self.services.clients.revoke_certificate(self.others.unlisted.der, reason=self._one(reasons))
        self.services.clients.revoke(self._one(CLIENTS), reason=self._one(reasons))

    def release(self) -> None:
        self.services.clients.release(self._one(CLIENTS))

    def sign(self) -> None:
        signed = self.services.enrolment.sign(self._one(CLIENTS), pki.csr(pki.fresh_key()))
        self._add(signed.certificate, *signed.chain)

    def invite(self) -> None:
        self.tokens.append(self.services.invitations.invite(self._one(CLIENTS), roles=["staff"]).token)

    def invite_by_partner(self) -> None:
        self.tokens.append(self.services.partner_invitations.invite("acme", f"dns:{self._one(HOSTS)}").token)

    def use(self) -> None:
        token = self._one(self.tokens or [""])
        outcome = self.services.invitation_use.sign(token, pki.csr(pki.fresh_key()), way=Way.CSR, peer=PEER)
        if outcome.signed is not None:
            self._add(outcome.signed.certificate, *outcome.signed.chain)

    def bring(self) -> None:
        self.services.invitation_use.own(self._one(self.tokens or [""]), [self._one(self.others.own).der], peer=PEER)

    def renew(self) -> None:
        signed = self.services.renewals.renew(self._one(self.issued or [b""]), pki.csr(pki.fresh_key()), peer=PEER)
        self._add(signed.certificate, *signed.chain)

    def pin(self) -> None:
        self.services.pins.add(
            self._one(CLIENTS),
            self._one(self.others.own).der,
            kind=self._one(tuple(PinKind)),
            environment=self._one(("", "test")),
            replaces=self._one((None, None, 1, 2)),
        )

    def retire_pin(self) -> None:
        self.services.pins.retire(self._one((1, 2, 3)), on=self._one((None, self.clock() + timedelta(days=20))))

    def renew_pin(self) -> None:
        self.services.pins.renew(self._one((1, 2, 3)))

    def partner(self) -> None:
        admits = self._one(tuple(PartnerAdmits))
        self.services.partners.add(self._one(("acme", "umbrella")), names=["dns:*.acme.example"], admits=admits)

    def move_partner(self) -> None:
        partners = self.services.partners
        self._one((partners.suspend, partners.resume, partners.remove))("acme")

    def set_partner(self) -> None:
        self.services.partners.set_roles("acme", self._one(([], ["orders"], ["orders", "stock"])))
        self.services.partners.set_admits("acme", self._one(tuple(PartnerAdmits)))

    def permit(self) -> None:
        self.services.partners.permit(
            self._one(("acme", "umbrella")), [f"dns:{self._one(HOSTS)}"], anchor=self._one((None, 1, 2, 3, 4))
        )

    def forbid(self) -> None:
        texts = [f"dns:{self._one((*HOSTS, '*.acme.example'))}"]
        self.services.partners.forbid("acme", texts, keep=self._one((True, False)))

    def claim(self) -> None:
        which = self._one(range(len(self.others.cas)))
        terms = Terms(shared=which == 2, revocation=RevocationMode.IGNORE)
        self.services.partners.anchors.claim(self._one(("acme", "umbrella")), self.others.cas[which].pem, terms=terms)

    def approve_ca(self) -> None:
        for partner in ("acme", "umbrella"):
            for one in self.services.partners.anchors.list(partner):
                with suppress(MutualgateError):
                    self.services.partners.anchors.approve(partner, one.id, without_proof=True)

    def set_ca(self) -> None:
        below = spki_fingerprint(self.others.below.certificate)
        change = self._one(
            (
                lambda terms: replace(terms, depth=1),
                lambda terms: replace(terms, depth=1, hold=True),
                lambda terms: replace(terms, depth=1, sub_cas=(below,)),
                lambda terms: replace(terms, depth=0, hold=False, sub_cas=()),
                lambda terms: replace(terms, environment="test"),
                lambda terms: replace(terms, revocation=RevocationMode.FAIL),
                lambda terms: replace(terms, revocation=RevocationMode.GRACE),
                lambda terms: replace(terms, revocation=RevocationMode.IGNORE, leaf_limit=timedelta(days=50)),
                lambda terms: replace(terms, policy="1.2.3"),
            )
        )
        self.services.partners.anchors.set("acme", self._one((1, 2, 3)), change)

    def renew_ca(self) -> None:
        self.services.partners.anchors.renew("acme", self._one((1, 2, 3)), self._one(self.others.renewed).pem)

    def retire_ca(self) -> None:
        on = self._one((None, self.clock() + timedelta(days=20)))
        self.services.partners.anchors.retire("acme", self._one((1, 2, 3)), on=on)

    def helper(self) -> None:
        if self.dice.random() < 0.5:
            self.services.partners.add_intermediate("acme", self.others.below.pem)
        self.services.partners.remove_intermediate("acme", self._one((1, 2)))

    def between(self) -> None:
        between = self.services.partners.between
        self._one((between.allow, between.disallow))("acme", spki_fingerprint(self.others.below.certificate))

    def member(self) -> None:
        members = self.services.partners.members
        does: list[Callable[[str, str], object]] = [members.add, members.suspend, members.resume, members.remove]
        self._one(does)("acme", f"dns:{self._one(HOSTS)}")

    def load(self) -> None:
        self.lists += 1
        point = x509.IssuingDistributionPoint(
            [x509.UniformResourceIdentifier(LIST)], None, False, False, None, False, False
        )
        partial: list[tuple[x509.ExtensionType, bool]] = [(point, True)]
        numbers = [*range(7, 11), self.others.below.certificate.serial_number]
        revoked = [number for number in numbers if self.dice.random() < 0.3]
        data = pki.crl(
            self._one(self.others.cas),
            *revoked,
            number=self.lists,
            now=self.clock(),
            days=self._one((20, 30)),
            extensions=self._one(([], partial)),
        )
        self.services.revocation.load("acme", data)

    def forget(self) -> None:
        self.services.revocation.forget("acme", self._one(("", LIST)))

    def answer(self) -> None:
        now, serial = self.clock(), bytes([self._one(range(7, 11))])
        with self.services.store.transaction() as tx:
            one = tx.anchors.of_partner(1)[0]
            tx.foreign.want(one.id, serial, now, now + timedelta(days=30))
            status = self._one((OcspStatus.GOOD, OcspStatus.UNKNOWN))
            later = now + timedelta(days=22)
            tx.foreign.put_answer(OcspAnswer(one.id, serial, status, now, later, later, 0, ""))
            tx.anchors.set(one)

    def adopt(self) -> None:
        estate = Estate(certificate=self._one(self.others.certificates), issued=self._one((None, self.others.issued)))
        self.services.authorities.adopt(estate, name="old", depth=self._one((None, 0)))

    def admits(self) -> None:
        self.services.authorities.set_admits("old", self._one((Admits.SIGNED, Admits.LISTED)))

    def rotate(self) -> None:
        self.services.authorities.rotate_issuing()

    def undo(self) -> None:
        self.services.trust.undo(self._one([None, *(one.id for one in self.services.trust.list(10))]))

    def wait(self) -> None:
        self.clock.move(timedelta(days=self._one((1, 10))))
        self.services.renewals.end_superseded()
        self.services.partners.anchors.forget_late()


ACTIONS = [name for name in vars(World) if not name.startswith("_") and name not in ("begin", "do", "compare")]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> World:
    """With some of everything, so that what is done to it finds something."""
    folder = Folder(tmp_path_factory.mktemp("prepared") / "gate")
    folder.create()
    world = World(folder.path, Others(tmp_path_factory.mktemp("others")))
    services = world.services
    services.authorities.create()
    for name in ("anna", "bert"):
        services.clients.add(name, roles=["staff"])
        signed = services.enrolment.sign(name, pki.csr(pki.fresh_key()))
        world._add(signed.certificate, *signed.chain)
    services.pins.add("anna", world.others.own[0].der)
    services.pins.add("bert", world.others.own[1].der, kind=PinKind.KEY)
    services.authorities.adopt(Estate(certificate=world.others.certificates[0], issued=world.others.issued), name="old")
    services.partners.add("acme", names=["dns:*.acme.example"], admits=PartnerAdmits.RULE)
    services.partners.add("umbrella", names=["dns:*.umbrella.example"])
    for number, ca in enumerate(world.others.cas):
        terms = Terms(shared=number == 2, depth=int(number == 0), leaf_limit=timedelta(days=100))
        services.partners.anchors.claim("acme", ca.pem, terms=terms)
    world.approve_ca()
    services.partners.add_intermediate("acme", world.others.below.pem)
    services.partners.permit("acme", [f"dns:{HOSTS[0]}"], anchor=3)
    services.partners.members.add("acme", f"dns:{HOSTS[0]}")
    services.partners.members.add("acme", f"dns:{HOSTS[1]}")
    services.close()
    return world


@contextmanager
def copied(prepared: World) -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(prepared.services.folder.path, Path(folder) / "gate")
        world = World(Path(folder) / "gate", prepared.others)
        world.chains, world.issued = dict(prepared.chains), [*prepared.issued]
        try:
            world.begin()
            yield world
        finally:
            world.services.close()


@pytest.mark.timeout(400)  # some seconds of work, on a busy machine
@settings(max_examples=8, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 1_000)), min_size=1, max_size=20))
def test_three_judges_agree(prepared: World, steps: list[tuple[str, int]]) -> None:
    with copied(prepared) as world:
        for action, seed in steps:
            world.do(action, seed)
            world.compare(parts=False)
        world.compare(parts=True)
