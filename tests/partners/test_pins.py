from datetime import timedelta
from pathlib import Path

import pki
import pytest
from conftest import Hands
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from mutualgate import audit
from mutualgate.authorities.issuing import Policy
from mutualgate.authorities.keyring import KeyRing
from mutualgate.authorities.service import Authorities
from mutualgate.clients import Clients
from mutualgate.enrolment.service import Enrolment
from mutualgate.errors import BadInput, Conflict, NotFound
from mutualgate.model.client import ClientState
from mutualgate.model.pin import PinKind, PinState
from mutualgate.model.revocation import RevocationReason
from mutualgate.partners.pins import Pins
from mutualgate.store import Store


@pytest.fixture
def pins(store: Store) -> Pins:
    clients = Clients(store, by="test")
    clients.add("anna")
    clients.add("bert")
    return Pins(store, by="test")


def _actions(store: Store) -> list[str]:
    assert isinstance(audit.verify(store), audit.Verified)
    with store.reading() as tx:
        return [entry.action for entry in tx.audit.walk()]


def test_a_certificate_of_ones_own_is_pinned(pins: Pins, store: Store) -> None:
    own = pki.leaf(None, "anna's own", days=1000)
    pin = pins.add("anna", own.pem, "own.pem")
    assert pin.digest.hex() == own.certificate.fingerprint(hashes.SHA256()).hex()
    assert (pin.kind, pin.state, pin.certificate) == (PinKind.CERTIFICATE, PinState.ACTIVE, own.der)
    assert pin.not_after == pki.NOW + timedelta(days=398)
    assert Clients(store).get("anna").state is ClientState.ACTIVE
    assert _actions(store)[-1] == "pin.add"
    assert [(one.id, client.name) for one, client in pins.list()] == [(pin.id, "anna")]
    assert pins.list("bert") == []


def test_a_pin_never_outlives_its_certificate_but_a_key_does(pins: Pins) -> None:
    own = pki.leaf(None, days=30)
    assert pins.add("anna", own.der).not_after == own.certificate.not_valid_after_utc
    assert pins.add("anna", own.der, kind=PinKind.KEY).not_after == pki.NOW + timedelta(days=398)
    long = pki.leaf(None, days=300)
    wanted = pki.NOW + timedelta(days=350)
    assert pins.add("anna", long.der, not_after=wanted).not_after == long.certificate.not_valid_after_utc


def test_a_bare_key_can_be_pinned_as_a_key_only(pins: Pins) -> None:
    pem = pki.fresh_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(BadInput, match="key alone"):
        pins.add("anna", pem)
    pin = pins.add("anna", pem, kind=PinKind.KEY)
    assert pin.digest == pin.spki
    assert pin.certificate is None


def test_a_weak_key_is_no_better_without_a_certificate(pins: Pins) -> None:
    weak = pki.rsa_key(1024).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(BadInput) as refused:
        pins.add("anna", weak, kind=PinKind.KEY)
    assert refused.value.code == "weak_key"
    assert pins.list("anna") == []


def test_one_key_is_one_clients(pins: Pins, store: Store) -> None:
    """R2, R3: whatever names and numbers two certificates share, the key tells them apart and is one client's."""
    key = pki.fresh_key()
    pins.add("anna", pki.leaf(None, "same", key=key, serial=1).pem)
    with pytest.raises(Conflict, match="'anna' uses this key") as refused:
        pins.add("bert", pki.leaf(None, "same", key=key, serial=2).pem)
    assert refused.value.code == "key_in_use"
    # Another one with the same name and number is another key's.
    assert pins.add("bert", pki.leaf(None, "same", serial=1).pem).client != pins.list("anna")[0][0].client
    Clients(store).remove("anna")
    with pytest.raises(Conflict, match="a removed client, 'anna', used this key"):
        pins.add("bert", pki.leaf(None, "same", key=key).pem)


def test_a_pin_is_known_once(pins: Pins) -> None:
    own = pki.leaf(None)
    pin = pins.add("anna", own.pem)
    for name, says in (("anna", f"is the pin {pin.id}"), ("bert", "is pinned for the client 'anna'")):
        with pytest.raises(Conflict, match=says):
            pins.add(name, own.pem)
    pins.retire(pin.id)
    with pytest.raises(Conflict, match="already, retired") as refused:
        pins.add("anna", own.pem)
    assert refused.value.fix is not None
    assert f"pin renew {pin.id}" in refused.value.fix


def test_what_our_authorities_stand_for_is_not_pinned(
    pins: Pins, store: Store, keys: KeyRing, authorities: Authorities
) -> None:
    """R4: with a pin, a certificate of ours would come in past its revocation."""
    key = pki.fresh_key()
    signed = Enrolment(store, keys, Policy(), by="test").sign("anna", pki.csr(key, "anna"))
    with pytest.raises(Conflict, match="has certified this key"):
        pins.add("anna", signed.certificate_pem)
    with pytest.raises(Conflict, match="has certified this key"):
        pins.add("anna", pki.leaf(None, "own", key=key).pem, kind=PinKind.KEY)
    with store.reading() as tx:
        ours = [one.certificate for one in tx.authorities.all()]
    for certificate in ours:
        with pytest.raises(Conflict, match="key of an authority of ours"):
            pins.add("anna", certificate)


def test_an_unlisted_certificate_of_an_adopted_authority_is_not_pinned(
    pins: Pins, authorities: Authorities, tmp_path: Path
) -> None:
    from mutualgate.authorities.adopt import Estate
    from mutualgate.model.authority import Admits

    root = pki.ca("old root")
    path = tmp_path / "root.pem"
    path.write_bytes(root.pem)
    authorities.adopt(
        Estate(certificate=path, key=None, key_password=None, serial=None, issued=None, crl=None), admits=Admits.LISTED
    )
    leaf = pki.leaf(root, "anna")
    odd = pki.respelt(leaf, bytes.fromhex("0603551d25040c"), bytes.fromhex("0603551d25010100040c"))
    for der in (leaf.der, odd):
        with pytest.raises(Conflict, match="signed this certificate"):
            pins.add("anna", der)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "bad_input"),
        (b"\x00" * 100, "bad_input"),
        (pki.leaf(None, key=pki.rsa_key(1024)).pem, "weak_key"),
        (pki.leaf(None, key=pki.ec_key("secp256k1")).pem, "weak_key"),
        (pki.leaf(None).pem + pki.fresh_key().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), "private_key_given"),
        (pki.leaf(None, days=-1).pem, "expired"),
    ],
)  # fmt: skip
def test_what_cannot_be_pinned_is_refused_and_not_kept(pins: Pins, store: Store, data: bytes, code: str) -> None:
    before = store.epoch()
    with pytest.raises(BadInput) as refused:
        pins.add("anna", data, "the file")
    assert refused.value.code == code
    assert str(refused.value).isprintable()
    assert store.epoch() == before


@pytest.mark.parametrize("days", [0, -1, 2000])
def test_an_end_is_within_bounds(pins: Pins, days: int) -> None:
    with pytest.raises(BadInput, match="cannot end"):
        pins.add("anna", pki.leaf(None).pem, kind=PinKind.KEY, not_after=pki.NOW + timedelta(days=days))


def test_a_suspended_client_gets_no_pin(pins: Pins, store: Store) -> None:
    Clients(store).suspend("anna")
    with pytest.raises(Conflict, match="suspended"):
        pins.add("anna", pki.leaf(None).pem)


def test_the_next_one_replaces_the_last_with_overlap(pins: Pins, clock: Hands) -> None:
    first = pins.add("anna", pki.leaf(None).pem)
    second = pins.add("anna", pki.leaf(None).pem, replaces=first.id, overlap=timedelta(days=7))
    assert second.replaces == first.id
    old = pins.get(first.id)
    assert (old.state, old.not_after) == (PinState.ACTIVE, pki.NOW + timedelta(days=7))
    third = pins.add("anna", pki.leaf(None).pem, replaces=second.id)
    assert pins.get(second.id).not_after == second.not_after
    with pytest.raises(Conflict, match="not one of the client 'bert'"):
        pins.add("bert", pki.leaf(None).pem, replaces=third.id)


def test_a_pin_is_retired_at_once_or_on_a_day(pins: Pins, clock: Hands) -> None:
    pin = pins.add("anna", pki.leaf(None).pem)
    day = pki.NOW + timedelta(days=10)
    assert pins.retire(pin.id, on=day).not_after == day
    assert pins.get(pin.id).state is PinState.ACTIVE
    with pytest.raises(BadInput, match="by itself"):
        pins.retire(pin.id, on=day + timedelta(days=1))
    assert pins.retire(pin.id).state is PinState.RETIRED
    with pytest.raises(Conflict, match="retired already"):
        pins.retire(pin.id)
    assert pins.renew(pin.id).state is PinState.ACTIVE
    for call in (pins.retire, pins.renew, pins.get):
        with pytest.raises(NotFound):
            call(999)


def test_a_pin_is_renewed_until_its_certificate_ends(pins: Pins, clock: Hands) -> None:
    """R26: a key does not outlive everything; somebody says each year that it is to go on."""
    pin = pins.add("anna", pki.leaf(None, days=450).pem)
    clock.move(timedelta(days=300))
    assert pins.renew(pin.id).not_after == pki.NOW + timedelta(days=450)
    with pytest.raises(Conflict, match="as long as it can"):
        pins.renew(pin.id)
    clock.move(timedelta(days=200))
    with pytest.raises(BadInput, match="expired"):
        pins.renew(pin.id)


def test_what_was_taken_from_a_client_does_not_come_back_by_a_pin(
    pins: Pins, store: Store, authorities: Authorities, keys: KeyRing
) -> None:
    clients = Clients(store, by="test")
    own = pki.leaf(None, days=300)
    pin = pins.add("anna", own.der)
    Enrolment(store, keys, Policy(crl_url="http://gate.test/crl"), by="test").sign("anna", pki.csr(own.key))
    pins.retire(pin.id)
    clients.suspend("anna")
    with pytest.raises(Conflict) as refused:
        pins.renew(pin.id)
    assert refused.value.code == "client_suspended"
    clients.resume("anna")
    clients.revoke("anna", reason=RevocationReason.keyCompromise)
    with pytest.raises(Conflict) as refused:
        pins.renew(pin.id)
    assert refused.value.code == "key_compromised"
    assert pins.get(pin.id).state is PinState.RETIRED
    # Nor does a retired one get an end anew from the one that takes its place.
    with pytest.raises(Conflict) as refused:
        pins.add("anna", pki.leaf(None).der, replaces=pin.id)
    assert refused.value.code == "pin_retired"


def test_what_is_done_with_pins_is_in_the_audit_log(pins: Pins, store: Store) -> None:
    pin = pins.add("anna", pki.leaf(None, days=300).der)
    pins.retire(pin.id)
    pins.renew(pin.id)
    assert _actions(store)[-3:] == ["pin.add", "pin.retire", "pin.renew"]


def test_a_client_that_goes_leaves_no_pin(pins: Pins, store: Store) -> None:
    pin = pins.add("anna", pki.leaf(None).pem)
    Clients(store).remove("anna")
    assert pins.get(pin.id).state is PinState.RETIRED


def test_revoking_retires_pins_too(pins: Pins, store: Store) -> None:
    one, two = pins.add("anna", pki.leaf(None).pem), pins.add("anna", pki.leaf(None).pem)
    Clients(store).revoke("anna", reason=RevocationReason.keyCompromise)
    assert [pins.get(pin.id).state for pin in (one, two)] == [PinState.RETIRED] * 2
    with pytest.raises(Conflict):
        Clients(store).revoke("anna")


def test_a_compromised_key_is_not_pinned_again_in_any_shape(pins: Pins, store: Store) -> None:
    own, alive = pki.leaf(None, "own", days=300), pki.leaf(None, "alive")
    pin = pins.add("anna", own.der)
    Clients(store).revoke("anna", reason=RevocationReason.keyCompromise)
    renewed = pki.leaf(None, "next", key=own.key)
    for name, data, kind in (
        ("anna", own.der, PinKind.CERTIFICATE),
        ("anna", own.der, PinKind.KEY),
        ("anna", renewed.der, PinKind.CERTIFICATE),
        ("bert", renewed.der, PinKind.CERTIFICATE),
    ):
        with pytest.raises(Conflict) as refused:
            pins.add(name, data, kind=kind)
        assert refused.value.code == "key_compromised"
    with pytest.raises(Conflict, match="revoked as compromised"):
        pins.renew(pin.id)
    other = pins.add("anna", alive.der)
    Clients(store).revoke("anna", reason=RevocationReason.superseded)
    assert pins.renew(other.id).state is PinState.ACTIVE, "revoked for another reason"


def test_a_suspended_client_with_a_pin_is_active_again(pins: Pins, store: Store) -> None:
    pins.add("anna", pki.leaf(None).pem)
    Clients(store).suspend("anna")
    assert Clients(store).resume("anna").state is ClientState.ACTIVE


def test_a_client_has_a_bounded_number(pins: Pins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mutualgate.partners.room.MOST_PER_CLIENT", 2)
    pins.add("anna", pki.leaf(None).pem)
    pins.add("anna", pki.leaf(None).pem)
    with pytest.raises(Conflict, match="2 pins already"):
        pins.add("anna", pki.leaf(None).pem)
