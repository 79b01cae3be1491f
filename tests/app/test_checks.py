"""What the file alone cannot tell."""

import pytest
from installation import Installation

from mutualgate.app import Folder
from mutualgate.app.checks import certificates_fit, clients_exist
from mutualgate.config import problems


def file(installed: Installation, more: str) -> None:
    installed.config.write_text(f'[[sites]]\nname = "main"\nhosts = ["localhost"]\n{more}\n')


def test_a_client_that_is_not_known_is_placed(installed: Installation) -> None:
    file(installed, 'routes = [{ path = "/", upstream = "demo", clients = ["first-client", "nobody"] }]')
    (found,) = problems(installed.config, clients_exist(installed.folder))
    assert (found.line, found.key) == (4, "sites[0].routes[0].clients[1]")
    assert "nobody" in found.problem
    assert found.fix == "mutualgate client add 'nobody'"


def test_without_an_installation_no_client_is_asked_for(installed: Installation) -> None:
    file(installed, 'routes = [{ path = "/", upstream = "demo", clients = ["nobody"] }]')
    empty = Folder(installed.folder.path / "empty")
    assert problems(installed.config, clients_exist(empty)) == []


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_a_certificate_that_cannot_be_used_is_placed(content: bytes | None, installed: Installation) -> None:
    certificate = installed.folder.path / "site.pem"
    if content is not None:
        certificate.write_bytes(content)
    file(installed, 'routes = [{ path = "/", upstream = "demo" }]\ncertificate = "site.pem"\nkey = "site.key"')
    (found,) = problems(installed.config, certificates_fit)
    assert (found.line, found.key) == (5, "sites[0].certificate")
    assert "site.pem" in found.problem
