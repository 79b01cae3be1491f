"""What the configuration says reaches the services that act on it."""

from datetime import timedelta
from pathlib import Path

import pytest

from mutualgate.app import Folder, Services, services
from mutualgate.errors import BadInput

SITE = '[[sites]]\nname = "main"\nhosts = [{hosts}]\nroutes = [{{ path = "/", upstream = "demo" }}]\n'


def made(folder: Path, toml: str, hosts: str = '"localhost"') -> Services:
    (folder / "mutualgate.toml").write_text(toml + SITE.format(hosts=hosts))
    return Services(Folder(folder))


def test_what_is_signed_follows_the_settings(tmp_path: Path) -> None:
    toml = '[authority]\ncrl_url = "http://ca.example.com/crl"\ncrl_life = "24h"\n'
    policy = made(tmp_path, f'{toml}client_validity = "90d"\nserver_validity = "30d"\n').policy
    assert policy.crl_url == "http://ca.example.com/crl"
    assert policy.crl_life == timedelta(days=1)
    assert policy.client_validity == timedelta(days=90)
    assert policy.server_validity == timedelta(days=30)


@pytest.mark.parametrize(
    ("listen", "hosts", "url"),
    [
        ('["127.0.0.1:8480"]', '"localhost"', "http://127.0.0.1:8480/crl"),
        ('["[::1]:80"]', '"localhost"', "http://[::1]/crl"),
        # Nobody can fetch from 0.0.0.0, so a name of the site that others know is taken.
        ('["0.0.0.0:80"]', '"localhost", "gate.example.com"', "http://gate.example.com/crl"),
        ("[]", '"localhost"', None),
    ],
)
def test_the_address_of_the_lists_is_that_of_the_plain_listener(
    listen: str, hosts: str, url: str | None, tmp_path: Path
) -> None:
    assert made(tmp_path, f"[gate]\nplain_listen = {listen}\n", hosts).policy.crl_url == url


def test_a_folder_without_an_installation_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="mutualgate up"), services(Folder(tmp_path / "absent")):
        pass
