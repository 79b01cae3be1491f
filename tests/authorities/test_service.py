"""The authorities' service on a real store, with real keys and certificates."""

import resource
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pki
import pytest
from conftest import Hands
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtensionOID, NameOID
from rows import adopted, statements

from mutualgate import audit
from mutualgate.authorities import lists
from mutualgate.authorities.adopt import Estate
from mutualgate.authorities.issuing import Policy, certificate_of
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.keys import Passphrase
from mutualgate.authorities.overview import views
from mutualgate.authorities.service import Authorities
from mutualgate.clients import Clients
from mutualgate.enrolment.service import Enrolment
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.gate import most_of_a_name
from mutualgate.model.authority import Admits, AuthorityKind
from mutualgate.model.change import ChangeKind
from mutualgate.model.client import ClientState
from mutualgate.model.credential import Origin
from mutualgate.model.crl import StoredCrl
from mutualgate.model.names import AuthorityName
from mutualgate.model.revocation import Revocation, RevocationReason
from mutualgate.model.serial import from_int, to_int
from mutualgate.partners.pins import Pins
from mutualgate.partners.service import Partners
from mutualgate.store import Store, crls


def _due(authorities: Authorities) -> set[tuple[str, bool, bool]]:
    """Name, whether it is large, whether it is aged."""
    return {(one.authority.name, one.large, one.aged) for one in authorities.due_crls()}


def _revoked(crl: StoredCrl) -> dict[int, x509.ReasonFlags]:
    found = {}
    for entry in x509.load_der_x509_crl(crl.der):
        try:
            found[entry.serial_number] = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
        except x509.ExtensionNotFound:
            found[entry.serial_number] = x509.ReasonFlags.unspecified
    return found


def _number(crl: StoredCrl) -> int:
    return x509.load_der_x509_crl(crl.der).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def test_thousands_of_adopted_authorities_are_not_asked_about_one_by_one(
    authorities: Authorities, store: Store
) -> None:
    issuing = authorities.crl("issuing")

    def asked(many: int) -> int:
        adopted(store, many)
        with statements(store) as told:
            found = views(store)
            authorities.served_crl("issuing")
        assert [(one.authority.kind, one.revoked, one.crl and one.crl.number) for one in found[1:3]] == [
            (AuthorityKind.ISSUING, 0, issuing.number),
            (AuthorityKind.ADOPTED, 1, None),
        ]
        return len(told)

    assert asked(1) == asked(30)


class TestCreate:
    def test_a_root_and_an_issuing_authority_under_it(self, authorities: Authorities) -> None:
        made = authorities.hierarchy()
        assert made is not None
        root, under = certificate_of(made.root), certificate_of(made.issuing)
        root.verify_directly_issued_by(root)
        under.verify_directly_issued_by(root)
        assert (made.root.kind, made.issuing.kind) == (AuthorityKind.ROOT, AuthorityKind.ISSUING)
        assert made.issuing.issuer == made.root.id
        assert b"BEGIN CERTIFICATE" in made.root_pem
        address = under.extensions.get_extension_for_oid(ExtensionOID.CRL_DISTRIBUTION_POINTS)
        assert "http://gate.test/crl/root.crl" in str(address)

    def test_once(self, authorities: Authorities, store: Store) -> None:
        epoch = store.epoch()
        with pytest.raises(Conflict, match="root already"):
            authorities.create()
        assert store.epoch() == epoch

    def test_keys_are_kept_encrypted(self, authorities: Authorities, store: Store) -> None:
        with store.reading() as tx:
            stored = [tx.authorities.key(one.id) for one in tx.authorities.all()]
        assert all(key is not None and b"BEGIN ENCRYPTED PRIVATE KEY" in key for key in stored)
        store.close()
        content = b"".join(file.read_bytes() for file in store.path.parent.iterdir())
        assert b"BEGIN PRIVATE KEY" not in content
        assert b"a passphrase for tests" not in content

    def test_another_passphrase_opens_nothing(self, authorities: Authorities, store: Store) -> None:
        wrong = KeyRing(lambda: Passphrase(b"not the passphrase", "the variable X"))
        with pytest.raises(BadInput, match="the variable X does not open the key") as refused:
            Authorities(store, wrong).crl("issuing")
        assert "not the passphrase" not in str(refused.value)

    def test_a_long_organisation_is_shortened(self, store: Store, keys: KeyRing) -> None:
        made = Authorities(store, keys).create("An organisation with a name that goes on and on and on and on")
        assert certificate_of(made.root).subject.rfc4514_string().endswith("Root CA")


def test_who_opens_keys_leaves_no_core_file(keys: KeyRing) -> None:
    """It would hold them in clear."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
        assert keys.passphrase.secret
        assert resource.getrlimit(resource.RLIMIT_CORE) == (0, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)


class TestServerCertificate:
    def test_it_is_for_the_hosts_and_is_kept(self, authorities: Authorities) -> None:
        made = authorities.server_certificate("main", ["localhost", "127.0.0.1", "localhost"])
        assert made.is_new
        assert made.hosts == ("localhost", "127.0.0.1")
        again = authorities.server_certificate("main", ["localhost", "127.0.0.1"])
        assert not again.is_new
        assert (again.chain_pem, again.key_pem) == (made.chain_pem, made.key_pem)
        chain = x509.load_pem_x509_certificates(made.chain_pem)
        assert len(chain) == 2  # the root is the client's own
        chain[0].verify_directly_issued_by(chain[1])
        assert made.key.public_key() == chain[0].public_key()

    def test_other_hosts_get_another(self, authorities: Authorities) -> None:
        one = authorities.server_certificate("main", ["localhost"])
        assert authorities.server_certificate("main", ["localhost", "gate.test"]).is_new
        assert authorities.server_certificate("other", ["localhost"]).certificate != one.certificate

    def test_it_is_renewed_in_time(self, authorities: Authorities, clock: Hands) -> None:
        one = authorities.server_certificate("main", ["localhost"])
        clock.move(timedelta(days=260))
        assert not authorities.server_certificate("main", ["localhost"]).is_new
        clock.move(timedelta(days=10))
        renewed = authorities.server_certificate("main", ["localhost"])
        assert renewed.is_new
        assert renewed.not_after > one.not_after

    def test_one_from_the_future_is_made_anew(self, authorities: Authorities, clock: Hands) -> None:
        """A clock that was set back: every client would turn away, until the day comes."""
        clock.move(timedelta(days=100))
        authorities.server_certificate("main", ["localhost"])
        clock.move(timedelta(days=-99))
        made = authorities.server_certificate("main", ["localhost"])
        assert made.is_new
        assert made.certificate.not_valid_before_utc <= clock()

    def test_its_key_is_in_no_file_and_no_text(self, authorities: Authorities, store: Store) -> None:
        made = authorities.server_certificate("main", ["localhost"])
        assert "PRIVATE" not in repr(made)
        store.close()
        content = b"".join(file.read_bytes() for file in store.path.parent.iterdir())
        assert b"BEGIN PRIVATE KEY" not in content

    def test_a_name_that_is_none(self, authorities: Authorities) -> None:
        with pytest.raises(BadInput):
            authorities.server_certificate("main", ["not a host"])


class TestCrl:
    def test_it_is_made_stored_and_kept(self, authorities: Authorities, clock: Hands) -> None:
        first = authorities.crl("issuing")
        assert _revoked(first) == {}
        clock.move(timedelta(days=3))
        assert authorities.crl("issuing") == first
        assert authorities.served_crl("issuing") == first

    def test_its_signature_is_the_authoritys(self, authorities: Authorities) -> None:
        for name, crl in authorities.crls().items():
            issuer = certificate_of(authorities.get(name))
            assert x509.load_der_x509_crl(crl.der).is_signature_valid(issuer.public_key())  # type: ignore[arg-type]  # others raise TypeError
        assert set(authorities.crls()) == {"root", "issuing"}

    def test_a_revocation_makes_a_new_one(self, authorities: Authorities, store: Store, keys: KeyRing) -> None:
        first = authorities.crl("issuing")
        Clients(store).add("anna")
        signed = Enrolment(store, keys).sign("anna", pki.csr(pki.fresh_key()))
        assert authorities.crl("issuing") == first  # a new certificate is no revocation
        Clients(store).revoke("anna", reason=RevocationReason.certificateHold)
        second = authorities.crl("issuing")
        assert _revoked(second) == {signed.certificate.serial_number: x509.ReasonFlags.certificate_hold}
        Clients(store).release("anna")
        third = authorities.crl("issuing")
        assert _revoked(third) == {}
        assert [_number(crl) for crl in (first, second, third)] == [1, 2, 3]
        assert _number(authorities.crl("root")) == 1

    def test_half_of_its_life_makes_a_new_one(self, authorities: Authorities, clock: Hands) -> None:
        first = authorities.crl("issuing")
        clock.move(timedelta(days=3, hours=13))
        second = authorities.crl("issuing")
        assert second.number == first.number + 1
        assert second.next_update > first.next_update

    def test_one_from_the_future_is_made_anew(self, authorities: Authorities, clock: Hands) -> None:
        """A clock that was set back: nobody takes a list that has not begun."""
        clock.move(timedelta(days=300))
        first = authorities.crl("issuing")
        clock.move(timedelta(days=-299))
        second = authorities.crl("issuing")
        assert (second.number, second.this_update) == (first.number + 1, clock())

    def test_one_past_its_next_update_is_never_served(self, authorities: Authorities, clock: Hands) -> None:
        authorities.crl("issuing")
        clock.move(timedelta(days=7))
        with pytest.raises(NotFound, match="no current CRL"):
            authorities.served_crl("issuing")

    def test_the_life_is_the_policys(self, store: Store, keys: KeyRing, authorities: Authorities) -> None:
        service = Authorities(store, keys, lambda: Policy(crl_life=timedelta(hours=12)))
        crl = service.crl("issuing")
        assert crl.next_update - crl.this_update == timedelta(hours=12)

    def test_a_large_one_is_made_when_it_is_wanted(
        self, authorities: Authorities, store: Store, clock: Hands, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lists, "LARGE", 2)
        one = authorities.get("issuing").id
        with store.transaction() as tx:
            entries = [(bytes([number]), store.clock(), RevocationReason.superseded) for number in (1, 2, 3)]
            tx.revocations.add_many(one, entries)
        assert _due(authorities) == {("root", False, True), ("issuing", True, True)}
        authorities.crl("root")
        states = authorities.crl_states()
        assert states[AuthorityName("root")] is not None
        assert states[AuthorityName("issuing")] is None
        authorities.crl("issuing")
        assert _due(authorities) == set()
        assert authorities.crl_states()[AuthorityName("issuing")] is not None
        assert set(_revoked(authorities.served_crl("issuing"))) == {1, 2, 3}
        with store.transaction() as tx:
            tx.revocations.add_many(one, [(b"\4", store.clock(), RevocationReason.superseded)])
        assert _due(authorities) == {("issuing", True, False)}
        clock.move(timedelta(days=4))
        assert _due(authorities) == {("root", False, True), ("issuing", True, True)}
        assert authorities.crl_states()[AuthorityName("issuing")] is not None  # the last one lasts
        clock.move(timedelta(days=3))
        assert authorities.crl_states()[AuthorityName("issuing")] is None

    def test_no_authority_of_that_name(self, authorities: Authorities) -> None:
        for call in (authorities.crl, authorities.served_crl, authorities.get):
            for name in ("nobody", "../x", "\udcff"):
                with pytest.raises(NotFound, match="mutualgate ca list"):
                    call(name)

    def test_others_can_write_while_a_large_one_is_written(
        self, authorities: Authorities, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(crls, "PART_OCTETS", 64)
        monkeypatch.setattr(lists, "_GIVE_WAY_SECONDS", 0)
        first = authorities.crl("issuing")
        with store.transaction() as tx:
            tx.revocations.add_many(first.authority, [(b"\1", store.clock(), RevocationReason.superseded)])
        with statements(store) as told:
            assert set(_revoked(authorities.crl("issuing"))) == {1}
        transactions = " ".join(told).split("BEGIN IMMEDIATE")
        assert len(transactions) > 4
        for change in ("INSERT INTO crl_part", "DELETE FROM crl_part"):
            assert max(one.count(change) for one in transactions) == 1


@pytest.fixture
def old() -> pki.Issued:
    """An older authority, as `openssl req -x509` leaves it."""
    return pki.ca("Acme Root", key_usage=False)


@pytest.fixture
def estate(tmp_path: Path, old: pki.Issued) -> Callable[..., Estate]:
    """Writes an estate with these certificates."""

    def write(*issued: pki.Issued, key: bool = True, crl: bytes | None = None) -> Estate:
        (tmp_path / "rootCA.pem").write_bytes(old.pem)
        (tmp_path / "rootCA.key").write_bytes(old.key_pem)
        folder = tmp_path / "issued"
        folder.mkdir(exist_ok=True)
        for one in issued:
            serial = one.certificate.serial_number
            (folder / f"{serial:x}.crt").write_bytes(one.pem)
        if crl is not None:
            (tmp_path / "rootCA.crl").write_bytes(crl)
        return Estate(
            certificate=tmp_path / "rootCA.pem",
            key=tmp_path / "rootCA.key" if key else None,
            issued=folder,
            crl=tmp_path / "rootCA.crl" if crl is not None else None,
        )

    return write


Write = Callable[..., Estate]


class TestAdopt:
    def test_listed_certificates_become_credentials_of_clients(
        self, authorities: Authorities, store: Store, old: pki.Issued, estate: Write
    ) -> None:
        anna, bert = pki.leaf(old, "Anna Maier"), pki.leaf(old, "bert/ops")
        report = authorities.adopt(estate(anna, bert), roles=["legacy"])
        (done,) = report.taken_over
        assert (done.is_new, done.key_added, done.credentials) == (True, True, 2)
        assert done.authority.name == "acme-root"
        assert done.authority.kind is AuthorityKind.ADOPTED
        assert {one.name for one in done.clients} == {"Anna Maier", "bert-ops"}
        view = Clients(store).show("anna maier")
        assert view.client.roles == ("legacy",)
        assert view.client.state is ClientState.ACTIVE
        assert [(one.serial, one.origin) for one in view.credentials] == [(anna.serial, Origin.LISTED)]

    def test_unlisted_certificates_stand_for_the_estate_client(
        self, authorities: Authorities, store: Store, estate: Write
    ) -> None:
        (done,) = authorities.adopt(estate(), estate_client="Old devices", roles=["legacy"]).taken_over
        assert done.authority.admits is Admits.SIGNED
        view = Clients(store).show("old devices")
        assert done.authority.estate == view.client.id
        assert view.estate_of == done.authority
        assert view.client.roles == ("legacy",)

    def test_listed_only_has_no_estate(self, authorities: Authorities, store: Store, estate: Write) -> None:
        (done,) = authorities.adopt(estate(), admits=Admits.LISTED).taken_over
        assert (done.authority.admits, done.authority.estate) == (Admits.LISTED, None)
        assert Clients(store).list().total == 0

    def test_one_subject_is_one_client_and_names_are_made_unique(
        self, authorities: Authorities, store: Store, old: pki.Issued, estate: Write
    ) -> None:
        mine = Clients(store).add("anna")
        other = x509.Name(
            [
                x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Other"),
                x509.NameAttribute(x509.NameOID.COMMON_NAME, "anna"),
            ]
        )
        report = authorities.adopt(
            estate(pki.leaf(old, "anna"), pki.leaf(old, "anna"), pki.issue(old, other)), admits=Admits.LISTED
        )
        assert sorted(one.name for one in report.taken_over[0].clients) == ["anna 2", "anna 3"]
        held = {name: len(Clients(store).show(name).credentials) for name in ("anna", "anna 2", "anna 3")}
        assert held["anna"] == 0  # ours is never given somebody else's certificate for its name
        assert sorted([held["anna 2"], held["anna 3"]]) == [1, 2]
        assert Clients(store).get("anna") == mine

    def test_without_a_common_name_the_file_names_the_client(
        self, authorities: Authorities, old: pki.Issued, estate: Write
    ) -> None:
        """`openssl req` with nothing but Enter gives everybody the same subject: they are not one client."""
        default = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Internet Widgits Pty Ltd")])
        one, two = pki.issue(old, default), pki.issue(old, default)
        (done,) = authorities.adopt(estate(one, two), admits=Admits.LISTED).taken_over
        assert {one.name for one in done.clients} == {
            f"{one.certificate.serial_number:x}",
            f"{two.certificate.serial_number:x}",
        }

    def test_a_key_decides_before_a_name(
        self, authorities: Authorities, store: Store, old: pki.Issued, estate: Write
    ) -> None:
        key = pki.fresh_key()
        report = authorities.adopt(estate(pki.leaf(old, "anna", key=key), pki.leaf(old, "bert", key=key)))
        (done,) = report.taken_over
        assert (len(done.clients), done.credentials) == (1, 2)
        assert "shared_key" in {finding.code for finding in report.findings}

    def test_more_authorities_of_one_name_than_are_tried_are_told(
        self, authorities: Authorities, tmp_path: Path
    ) -> None:
        told, most = [], most_of_a_name()
        for _ in range(most + 2):
            (tmp_path / "ca.pem").write_bytes(pki.ca("Old", key=pki.fresh_key()).pem)
            report = authorities.adopt(Estate(tmp_path / "ca.pem"))
            told.append([(one.code, one.where) for one in report.findings if one.code == "many_of_one_name"])
        last = f"authority '{report.taken_over[0].authority.name}'"
        assert [bool(one) for one in told] == [False] * most + [True] * 2
        assert told[-1] == [("many_of_one_name", last)]
        # Another name has few.
        (tmp_path / "ca.pem").write_bytes(pki.ca("Other").pem)
        assert not [one for one in authorities.adopt(Estate(tmp_path / "ca.pem")).findings if "many" in one.code]

    def test_again_adds_what_is_new_only(
        self, authorities: Authorities, store: Store, old: pki.Issued, estate: Write
    ) -> None:
        first = pki.leaf(old, "anna")
        authorities.adopt(estate(first, key=False))
        epoch = store.epoch()
        (again,) = authorities.adopt(estate(first, key=False)).taken_over
        assert not again.changed
        assert again.known == 1
        assert store.epoch() == epoch
        renewed = pki.leaf(old, "anna")
        (more,) = authorities.adopt(estate(first, renewed)).taken_over
        assert (more.is_new, more.key_added, more.clients, more.credentials) == (False, True, (), 1)
        assert len(Clients(store).show("anna").credentials) == 2
        assert more.authority.has_key

    def test_our_own_authority_is_not_adopted(self, authorities: Authorities, tmp_path: Path) -> None:
        made = authorities.hierarchy()
        assert made is not None
        (tmp_path / "root.pem").write_bytes(made.root_pem)
        with pytest.raises(Conflict, match="our own authority 'root'"):
            authorities.adopt(Estate(tmp_path / "root.pem"))

    def test_the_key_of_a_partner_s_ca_or_of_a_pin_is_not_adopted(
        self, authorities: Authorities, store: Store, clock: Hands, old: pki.Issued, estate: Write
    ) -> None:
        """R4: as a CA that we adopted is no partner's and is not pinned."""
        partners, clients, pins = Partners(store), Clients(store), Pins(store)
        partners.add("acme")
        ca = partners.anchors.claim("acme", old.pem).anchor
        partners.anchors.approve("acme", ca.id, without_proof=True)
        with pytest.raises(Conflict, match=f"CA {ca.id} of the partner 'acme'") as refused:
            authorities.adopt(estate())
        assert refused.value.code == "key_in_use"
        partners.anchors.retire("acme", ca.id, on=clock() + timedelta(days=1))
        clock.move(timedelta(days=1))
        clients.add("anna")
        pin = pins.add("anna", old.pem)
        with pytest.raises(Conflict, match=f"pin {pin.id} of the client 'anna'") as refused:
            authorities.adopt(estate())
        assert refused.value.code == "key_in_use"
        pins.retire(pin.id)
        assert authorities.adopt(estate()).taken_over[0].is_new

    def test_the_key_of_a_client_s_certificate_is_not_adopted(
        self, authorities: Authorities, store: Store, keys: KeyRing, old: pki.Issued, estate: Write
    ) -> None:
        """R4: its holder, a client, could sign what comes in as anybody."""
        Clients(store).add("anna")
        Enrolment(store, keys).sign("anna", pki.csr(old.key))
        epoch = store.epoch()
        with pytest.raises(Conflict, match=r"a client proves itself with this key, .* of the client 'anna'") as refused:
            authorities.adopt(estate())
        assert refused.value.code == "key_in_use"
        assert refused.value.where == str(estate().certificate)
        assert store.epoch() == epoch

    def test_a_compromised_key_is_not_adopted(
        self, authorities: Authorities, store: Store, old: pki.Issued, estate: Write
    ) -> None:
        """Whoever else has it could sign, too."""
        clients, pins = Clients(store), Pins(store)
        clients.add("anna")
        pins.add("anna", old.pem)
        clients.revoke("anna", reason=RevocationReason.keyCompromise)
        with pytest.raises(Conflict, match="was revoked as compromised on 2026-06-01") as refused:
            authorities.adopt(estate())
        assert refused.value.code == "key_compromised"

    def test_a_certificate_with_a_compromised_key_stays_out(
        self, authorities: Authorities, store: Store, keys: KeyRing, old: pki.Issued, estate: Write
    ) -> None:
        key = pki.fresh_key()
        Clients(store).add("anna")
        signed = Enrolment(store, keys).sign("anna", pki.csr(key))
        Clients(store).revoke("anna", reason=RevocationReason.keyCompromise, credential=str(signed.credential.id))
        again = pki.leaf(old, "anna", key=key)
        report = authorities.adopt(estate(again))
        assert "key_compromised" in {finding.code for finding in report.findings}
        with store.reading() as tx:
            entry = tx.revocations.find(report.taken_over[0].authority.id, again.serial)
            assert entry is not None
            assert entry.reason is RevocationReason.keyCompromise
            assert tx.credentials.with_fingerprint(again.certificate.fingerprint(hashes.SHA256())) is None

    def test_a_name_in_use(self, authorities: Authorities, store: Store, estate: Write) -> None:
        epoch = store.epoch()
        with pytest.raises(Conflict, match="'issuing'"):
            authorities.adopt(estate(), name="issuing")
        assert store.epoch() == epoch

    def test_all_or_nothing(self, authorities: Authorities, store: Store, old: pki.Issued, estate: Write) -> None:
        epoch = store.epoch()
        with pytest.raises(BadInput):
            authorities.adopt(estate(pki.leaf(old, "anna"), crl=pki.crl(pki.ca("Another"), 1)))
        assert store.epoch() == epoch
        assert Clients(store).list().total == 0

    def test_a_renewed_certificate_replaces_the_old_one(
        self, authorities: Authorities, tmp_path: Path, old: pki.Issued, estate: Write
    ) -> None:
        (before,) = authorities.adopt(estate()).taken_over
        longer = pki.ca("Acme Root", key=old.key, days=9000)
        (tmp_path / "new.pem").write_bytes(longer.pem)
        report = authorities.adopt(Estate(tmp_path / "new.pem"))
        assert report.taken_over[0].authority.id == before.authority.id
        assert report.taken_over[0].authority.certificate == longer.der
        assert "renewed_authority" in [finding.code for finding in report.findings]
        # The second is the same name to pyca/cryptography; the judge, as TLS libraries do, compares bytes.
        printable = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Acme Root", _ASN1Type.PrintableString)])
        for subject in (pki.common_name("Someone"), printable):
            other = pki.issue(None, subject, key=old.key, extensions=[(x509.BasicConstraints(True, None), True)])
            (tmp_path / "other.pem").write_bytes(other.pem)
            with pytest.raises(Conflict, match="another subject"):
                authorities.adopt(Estate(tmp_path / "other.pem"))

    def test_what_it_admits_stays_and_whoever_asked_for_something_else_is_told(
        self, authorities: Authorities, estate: Write
    ) -> None:
        authorities.adopt(estate())
        for asked, told in ((None, False), (Admits.SIGNED, False), (Admits.LISTED, True)):
            report = authorities.adopt(estate(), admits=asked)
            assert report.taken_over[0].authority.admits is Admits.SIGNED
            assert ("admits_unchanged" in [finding.code for finding in report.findings]) == told

    def test_revocations_come_along_and_numbers_of_lists_go_on(
        self, authorities: Authorities, store: Store, old: pki.Issued, estate: Write
    ) -> None:
        anna = pki.leaf(old, "anna")
        crl = pki.crl(old, anna.certificate.serial_number, 77, number=40, reason=x509.ReasonFlags.key_compromise)
        (done,) = authorities.adopt(estate(anna, crl=crl)).taken_over
        assert done.revocations == 2
        assert Clients(store).show("anna").credentials[0].state == "revoked"
        with pytest.raises(NotFound):
            authorities.served_crl(done.authority.name)
        made = authorities.crl(done.authority.name)
        assert _number(made) == 41
        assert set(_revoked(made)) == {anna.certificate.serial_number, 77}

    def test_without_its_key_nothing_is_signed(
        self, authorities: Authorities, store: Store, keys: KeyRing, old: pki.Issued, estate: Write
    ) -> None:
        authorities.adopt(estate(pki.leaf(old, "anna"), key=False))
        with pytest.raises(Conflict, match="without its key"):
            authorities.crl("acme-root")
        with pytest.raises(Conflict, match="without its key"):
            Enrolment(store, keys).sign("anna", pki.csr(pki.fresh_key()), authority="acme-root")
        assert set(authorities.crls()) == {"root", "issuing"}

    def test_with_its_key_it_signs_and_gives_no_number_twice(
        self, authorities: Authorities, store: Store, keys: KeyRing, old: pki.Issued, estate: Write
    ) -> None:
        listed = pki.leaf(old, "anna")
        authorities.adopt(estate(listed))
        signed = Enrolment(store, keys).sign("anna", pki.csr(pki.fresh_key()), authority="acme-root")
        signed.certificate.verify_directly_issued_by(old.certificate)
        assert signed.chain == ()
        with store.reading() as tx:
            adopted = authorities.get("acme-root").id
            assert tx.serials.taken(adopted, listed.serial)
            assert tx.serials.taken(adopted, from_int(signed.certificate.serial_number))

    def test_a_key_of_a_client_that_is_gone_stays_out(
        self, authorities: Authorities, store: Store, old: pki.Issued, estate: Write
    ) -> None:
        key = pki.fresh_key()
        authorities.adopt(estate(pki.leaf(old, "anna", key=key)))
        Clients(store).remove("anna")
        again = pki.leaf(old, "anna", key=key)
        report = authorities.adopt(estate(again))
        assert "key_of_gone_client" in {finding.code for finding in report.findings}
        with store.reading() as tx:
            assert tx.revocations.find(report.taken_over[0].authority.id, again.serial) is not None
            assert tx.credentials.with_fingerprint(again.certificate.fingerprint(hashes.SHA256())) is None

    def test_an_unlisted_certificate_is_revoked_by_its_file(
        self, authorities: Authorities, store: Store, old: pki.Issued, estate: Write
    ) -> None:
        authorities.adopt(estate())
        lost = pki.leaf(old, "lost")
        made = Clients(store).revoke_certificate(lost.pem, reason=RevocationReason.keyCompromise, where="lost.crt")
        (entry,) = made.certificates
        assert entry.serial == lost.serial
        assert set(_revoked(authorities.crl("acme-root"))) == {to_int(lost.serial)}
        with pytest.raises(Conflict, match="is revoked since"):
            Clients(store).revoke_certificate(lost.der)
        with pytest.raises(NotFound, match="no authority of ours"):
            Clients(store).revoke_certificate(pki.leaf(pki.ca("Acme Root"), "x").pem)
        with pytest.raises(BadInput, match=r"lost\.crt"):
            Clients(store).revoke_certificate(b"nothing", where="lost.crt")
        (told,) = [one for one in audit.recent(store, 10) if one.action == "credential.revoke"]
        assert told.facts["serial"] == lost.serial.hex()

    def test_admits_is_changed(self, authorities: Authorities, store: Store, estate: Write) -> None:
        authorities.adopt(estate(), admits=Admits.LISTED)
        changed = authorities.set_admits("acme-root", Admits.SIGNED, roles=["legacy"])
        client = Clients(store).show("acme-root estate")
        assert changed.estate == client.client.id
        assert client.client.roles == ("legacy",)
        assert authorities.set_admits("acme-root", Admits.LISTED).estate is None
        assert Clients(store).remove("acme-root estate").state is ClientState.GONE
        with pytest.raises(Conflict):
            authorities.set_admits("issuing", Admits.SIGNED)

    def test_a_depth_is_counted_from_the_top_of_a_bundle_and_changed_by_adopting_again(
        self, authorities: Authorities, tmp_path: Path
    ) -> None:
        root = pki.ca("Deep Root")
        middle = pki.ca("Deep Middle", root)
        bundle = tmp_path / "bundle.pem"
        bundle.write_bytes(middle.pem + root.pem)

        def depths(depth: int | None) -> dict[str, int | None]:
            report = authorities.adopt(Estate(bundle), depth=depth)
            return {str(one.authority.name): one.authority.depth for one in report.taken_over}

        assert depths(None) == {"deep-root": None, "deep-middle": None}
        assert depths(2) == {"deep-root": 2, "deep-middle": 1}
        assert depths(0) == {"deep-root": 0, "deep-middle": 0}
        assert depths(None) == {"deep-root": 0, "deep-middle": 0}

    def test_what_changes_by_adopting_again_is_recorded_once_and_told_to_the_judge(
        self, authorities: Authorities, store: Store, estate: Write
    ) -> None:
        def again(key: bool, depth: int | None) -> tuple[list[str], list[ChangeKind], bool]:
            with store.reading() as tx:
                entries, epoch = len(list(tx.audit.walk())), tx.changes.epoch()
            (done,) = authorities.adopt(estate(key=key), depth=depth).taken_over
            with store.reading() as tx:
                recorded = list(tx.audit.walk())[entries:]
                told = [change.kind for change in tx.changes.since(epoch) or []]
            return [entry.action for entry in recorded], told, done.changed

        assert again(False, None)[0] == ["authority.adopt"]
        assert again(False, None) == ([], [], False)
        assert again(False, 1) == (["authority.extend"], [ChangeKind.AUTHORITY], True)
        assert again(False, 1) == ([], [], False)
        assert again(True, 1) == (["authority.extend"], [], True)
        assert again(True, None) == ([], [], False)

    def test_cas_that_vouch_for_each_other_are_counted_to_an_end(
        self, authorities: Authorities, tmp_path: Path
    ) -> None:
        old = pki.ca("One")
        other = pki.ca("Other", old)
        bundle = tmp_path / "bundle.pem"
        bundle.write_bytes(pki.ca("One", other).pem + other.pem)
        assert [one.authority.depth for one in authorities.adopt(Estate(bundle), depth=3).taken_over] == [0, 0]

    def test_of_a_bundle_each_takes_what_it_signed_and_all_is_one_change(
        self, authorities: Authorities, store: Store, tmp_path: Path
    ) -> None:
        first, second = pki.ca("First"), pki.ca("Second")
        bundle, folder = tmp_path / "bundle.pem", tmp_path / "issued"
        bundle.write_bytes(first.pem + second.pem)
        folder.mkdir()
        for number, root in enumerate((first, second, second)):
            (folder / f"{number}.crt").write_bytes(pki.leaf(root, f"client {number}").pem)
        report = authorities.adopt(Estate(bundle, issued=folder))
        assert [(one.credentials, one.known) for one in report.taken_over] == [(1, 0), (2, 0)]
        assert not any(one.changed for one in authorities.adopt(Estate(bundle, issued=folder)).taken_over)
        with store.reading() as tx:
            # A bundle of thousands must not push earlier changes, which can be taken back, out of the list.
            assert [one.what for one in tx.trust.recent(5)] == ["ca adopt first and 1 more"]
            recorded = [(entry.action, entry.subject) for entry in tx.audit.walk()][-2:]
        assert recorded == [("authority.adopt", "authority first"), ("authority.adopt", "authority second")]

    def test_a_v1_certificate_of_the_old_recipe_is_taken(
        self, authorities: Authorities, store: Store, old: pki.Issued, estate: Write
    ) -> None:
        (done,) = authorities.adopt(estate(pki.v1_leaf(old, "anna", serial=1))).taken_over
        assert done.credentials == 1
        Clients(store).revoke("anna")
        assert set(_revoked(authorities.crl("acme-root"))) == {1}

    def test_numbers_that_only_old_authorities_gave_are_in_the_list(
        self, authorities: Authorities, store: Store, estate: Write
    ) -> None:
        """Zero and 160 bits: RFC 5280 4.1.2.2 rules them out, and the gate admits them under an adopted authority."""
        (done,) = authorities.adopt(estate()).taken_over
        with store.transaction() as tx:
            for number in (b"", b"\xff" * 20, b"\x05"):
                entry = Revocation(done.authority.id, number, pki.NOW, RevocationReason.superseded)
                tx.revocations.put(entry)
        assert set(_revoked(authorities.crl("acme-root"))) == {0, 5, 2**160 - 1}


def test_the_audit_log_tells_all_and_no_secret(
    authorities: Authorities, store: Store, keys: KeyRing, old: pki.Issued, estate: Write
) -> None:
    authorities.adopt(estate(pki.leaf(old, "anna")))
    authorities.server_certificate("main", ["localhost"])
    made = Enrolment(store, keys).make_p12("anna")
    Clients(store).revoke("anna")
    verified = audit.verify(store)
    assert isinstance(verified, audit.Verified)
    with store.reading() as tx:
        entries = list(tx.audit.walk())
    assert [entry.action for entry in entries] == [
        *("authority.create", "authority.create", "authority.adopt", "server.issue", "credential.make"),
        *("credential.revoke", "credential.revoke"),
    ]
    text = repr(entries)
    assert made.password not in text
    assert "BEGIN" not in text
    assert "passphrase" not in text
