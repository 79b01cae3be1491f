"""What the services of a folder are made of."""

import getpass

import pytest
from installation import Installation

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
