"""What the services of a folder are made of."""

import getpass
import shutil
import sqlite3
from contextlib import closing, nullcontext
from datetime import timedelta
from pathlib import Path

import pki
import pytest
from cryptography import x509
from installation import CONFIG, Installation

from mutualgate import snapshot
from mutualgate.app import Folder, Services, services
from mutualgate.app.claim import claimed, is_claimed
from mutualgate.app.setup import set_up
from mutualgate.authorities.adopt import Estate
from mutualgate.errors import BadInput, Conflict, Corrupt
from mutualgate.gate import Judge
from mutualgate.store.schema import VERSIONS


def url(installed: Installation, gate: str, hosts: str = '["localhost", "gate.example"]') -> str | None:
    installed.config.write_text(
        f'[gate]\n{gate}\n[[sites]]\nname = "main"\nhosts = {hosts}\nroutes = [{{ path = "/", upstream = "demo" }}]\n'
    )
    made = installed.services()
    found = made.policy.crl_url
    made.close()
    return found


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        ('plain_listen = ["127.0.0.1:8480"]', "http://127.0.0.1:8480/crl"),
        ('plain_listen = ["127.0.0.1:80"]', "http://127.0.0.1/crl"),
        ('plain_listen = ["[::1]:8480"]', "http://[::1]:8480/crl"),
        ('plain_listen = ["0.0.0.0:8480"]', "http://gate.example:8480/crl"),
        ("plain_listen = []", None),
        ('plain_listen = ["127.0.0.1:0"]', None),
    ],
)
def test_certificates_carry_the_address_at_which_the_lists_are_served(
    installed: Installation, gate: str, expected: str | None
) -> None:
    assert url(installed, gate) == expected


def test_a_wrong_configuration_is_placed(installed: Installation) -> None:
    installed.config.write_text('[gate]\nlisten = ["nonsense"]\n')
    made = Services(installed.folder)
    with pytest.raises(BadInput, match=r"mutualgate\.toml:2:11: gate.listen"):
        _ = made.config


def test_who_acts_is_the_user_of_the_process(installed: Installation) -> None:
    with services(installed.folder) as made:
        assert made.by == getpass.getuser()


def test_where_nothing_is_nothing_is_made(installed: Installation) -> None:
    empty = Folder(installed.folder.path / "empty")
    with pytest.raises(BadInput), services(empty):
        pass
    assert not empty.path.exists()


def test_a_wrong_passphrase_is_one_sentence(installed: Installation) -> None:
    made = Services(installed.folder, environment={"MUTUALGATE_PASSPHRASE": "another passphrase"})
    try:
        with pytest.raises(BadInput, match="the passphrase from the variable MUTUALGATE_PASSPHRASE does not open"):
            made.authorities.server_certificate("other", ["localhost"])
    finally:
        made.close()


def test_no_key_is_kept_under_another_passphrase(installed: Installation, tmp_path: Path) -> None:
    """Nobody could open it with the others."""
    certificate, key = pki.ca("old").write(tmp_path, "old")
    made = Services(installed.folder, environment={"MUTUALGATE_PASSPHRASE": "another passphrase"})
    try:
        for do in (
            made.authorities.rotate_root,
            made.token_keys.replace,
            lambda: made.authorities.adopt(Estate(certificate, key)),
        ):
            with pytest.raises(BadInput, match="the keys of this store: the passphrase from the variable"):
                do()
        assert len(made.authorities.crl_states()) == 2
    finally:
        made.close()


def test_what_is_signed_follows_the_settings(installed: Installation) -> None:
    installed.config.write_text(
        '[authority]\ncrl_url = "http://ca.example.com/crl"\ncrl_life = "24h"\n'
        'client_validity = "90d"\nserver_validity = "30d"\nrenewal_overlap = "24h"\nrenewal_grace = "0s"\n'
    )
    made = installed.services()
    policy = made.policy
    made.close()
    assert policy.crl_url == "http://ca.example.com/crl"
    assert policy.crl_life == timedelta(days=1)
    assert policy.client_validity == timedelta(days=90)
    assert policy.server_validity == timedelta(days=30)
    assert policy.renewal_overlap == timedelta(days=1)
    assert policy.renewal_grace == timedelta(0)


@pytest.mark.parametrize("left", ["root.pem", "keys/passphrase"])
def test_a_store_that_was_cut_to_nothing_is_no_new_one(tmp_path: Path, left: str) -> None:
    """A copy that was cut short must not become an installation with a root of its own."""
    folder = Folder(tmp_path / "gate")
    folder.create()
    (folder.path / left).write_bytes(b"of before")
    folder.store.touch(0o600)
    made = Services(folder, environment={})
    with pytest.raises(Corrupt, match=r"the store is empty, and something was set up here\. Put back a copy"):
        set_up(made)
    assert folder.store.stat().st_size == 0
    assert (folder.path / left).read_bytes() == b"of before"


def test_a_first_start_that_left_an_empty_store_goes_on(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "gate")
    folder.create()
    folder.store.touch(0o600)
    made = Services(folder, environment={})
    set_up(made)
    assert folder.root.exists()
    made.close()


def test_a_passphrase_that_is_lost_is_not_made_anew(installed: Installation) -> None:
    kept = installed.folder.keys / "passphrase"
    kept.unlink()
    made = installed.services()
    with pytest.raises(BadInput, match="passphrase of the keys is missing"):
        made.authorities.crl("issuing")
    made.close()
    assert not kept.exists()


def test_what_is_signed_goes_by_the_configuration_in_force(installed: Installation) -> None:
    made = installed.services()
    authorities, before = made.authorities, made.policy.crl_url
    installed.config.write_text(f'{CONFIG}[authority]\ncrl_url = "http://crl.example/lists"\n')
    made.take(made.read_config())
    assert made.policy.crl_url == "http://crl.example/lists" != before
    certificate = authorities.server_certificate("main", ["localhost"]).certificate
    (point,) = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert [name.value for name in point.full_name or ()] == [f"{made.policy.crl_url}/issuing.crl"]
    made.close()


CA = (x509.BasicConstraints(ca=True, path_length=None), True)
UNUSABLE: dict[str, list[tuple[x509.ExtensionType, bool]]] = {
    "more than 64": [
        CA,
        *((x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.2.3.{n}"), b"\5\0"), False) for n in range(65)),
    ],
    "2.5.29.19 that cannot be read": [(x509.BasicConstraints(ca=True, path_length=1 << 40), True)],
    "means nothing": [
        CA,
        (x509.NameConstraints([x509.UniformResourceIdentifier("https://acme.example/")], None), True),
    ],
    "requires a certificate policy": [CA, (x509.PolicyConstraints(0, None), True)],
}


@pytest.mark.parametrize("why", UNUSABLE)
def test_what_the_judge_can_build_nothing_on_is_not_adopted(installed: Installation, tmp_path: Path, why: str) -> None:
    """Records that it cannot read at all would keep every later change from taking effect."""
    odd, good = pki.issue(None, "odd", extensions=UNUSABLE[why]), pki.ca("old")
    (tmp_path / "odd.pem").write_bytes(odd.pem)
    (tmp_path / "both.pem").write_bytes(odd.pem + good.pem)
    with services(installed.folder) as made:
        with pytest.raises(BadInput, match=why):
            made.authorities.adopt(Estate(tmp_path / "odd.pem"))
        report = made.authorities.adopt(Estate(tmp_path / "both.pem"))
        assert [one.authority.certificate for one in report.taken_over] == [good.der]
        assert "unusable" in [one.code for one in report.findings]
        assert Judge(snapshot.build(made.store, [])).epoch == made.store.epoch()


def test_a_root_that_does_not_say_that_it_is_one_counts_once_it_is_adopted(
    installed: Installation, tmp_path: Path
) -> None:
    root = pki.ca("old", basic_constraints=False)
    (tmp_path / "root.pem").write_bytes(root.pem)
    with services(installed.folder) as made:
        made.authorities.adopt(Estate(tmp_path / "root.pem"), name="old")
        judge = Judge(snapshot.build(made.store, []))
    assert judge.decide(pki.leaf(root).chain_der, int(pki.NOW.timestamp())).client_name == "old estate"
    # Below it nobody said so: what it signed is a CA's only by its own word.
    below = pki.ca("below", root, basic_constraints=False)
    assert judge.decide(pki.leaf(below).chain_der, int(pki.NOW.timestamp())).reason == "path_invalid"


def version(folder: Folder, new: str | None = None) -> str:
    """Of the store; `new` makes it that of an older program."""
    with closing(sqlite3.connect(folder.store)) as store, store:
        if new is not None:
            store.execute("UPDATE alembic_version SET version_num = ?", (new,))
            store.execute("ALTER TABLE seen DROP COLUMN signer")  # 0010 adds it
            store.execute("DROP INDEX ix_member_partner_state")  # and 0011 that
            store.execute("ALTER TABLE key_owner DROP COLUMN compromised")  # and 0012 that
            # What else came can come once more.
        return str(store.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def test_a_store_under_a_gate_of_an_older_program_stays_as_it_is(installed: Installation) -> None:
    version(installed.folder, "0006")
    with claimed(installed.folder):
        with pytest.raises(Conflict) as refused, services(installed.folder) as made:
            made.clients.add("anna")
        assert refused.value.fix == f"First: mutualgate restart --dir {installed.folder.path}"
    assert version(installed.folder) == "0006"


@pytest.mark.parametrize("gate", [False, True])
def test_where_none_runs_the_store_is_brought_up_and_that_is_said(
    installed: Installation, gate: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor is this process kept out by itself, where it is the gate."""
    version(installed.folder, "0006")
    if not gate:
        shutil.rmtree(installed.folder.run)  # of a backup that was put back
    with claimed(installed.folder) if gate else nullcontext(), services(installed.folder) as made:
        made.has_claim = gate
        made.clients.add("anna")
    newest = VERSIONS[-1]
    assert version(installed.folder) == newest
    assert [one.getMessage() for one in caplog.records] == [
        f"{installed.folder.store} is brought from version 0006 to {newest}; an older program does not open it any more"
    ]


def test_no_gate_begins_while_a_command_brings_the_store_up(installed: Installation) -> None:
    version(installed.folder, "0006")
    made = installed.services()
    with made._migrating("0006", VERSIONS[-1]):
        assert is_claimed(installed.folder)
    assert not is_claimed(installed.folder)
