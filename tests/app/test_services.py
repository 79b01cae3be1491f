"""What the services of a folder are made of."""

import getpass
from datetime import timedelta

import pytest
from cryptography import x509
from installation import CONFIG, Installation

from mutualgate.app import Folder, Services, services
from mutualgate.errors import BadInput


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
