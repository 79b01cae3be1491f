"""What is wrong with the certificates that sites bring is said before visitors meet it."""

import json
from datetime import timedelta

import pki
import pytest
from installation import CONFIG, Installation

from mutualgate.app.certificate_checks import certificates_last, certificates_serve
from mutualgate.app.checks import certificates_fit
from mutualgate.config import problems

NOW = pki.NOW


def bring(installed: Installation, hosts: list[str], names: list[str], *, days: float, begins: float = -1) -> None:
    """Gives the site `hosts`, and a certificate of its own for `names`."""
    begin = min(NOW, NOW + timedelta(days=days)) + timedelta(days=begins)
    made = pki.leaf(None, "site", sans=names, eku=None, days=days, not_before=begin)
    (installed.folder.path / "site.pem").write_bytes(made.pem)
    (installed.folder.path / "site.key").write_bytes(made.key_pem)
    own = f'{json.dumps(hosts)}\ncertificate = "site.pem"\nkey = "site.key"'
    installed.config.write_text(CONFIG.replace('["localhost", "127.0.0.1"]', own))


def found(installed: Installation) -> list[tuple[str | None, str]]:
    checks = certificates_fit, certificates_last(NOW), certificates_serve(NOW)
    where = f"{installed.folder.path}/"
    return [(one.key, one.problem.replace(where, "")) for one in problems(installed.config, *checks)]


@pytest.mark.parametrize(
    ("days", "begins", "wrong"),
    [
        (-2, -1, "site.pem: ended on 2026-05-30 12:00 UTC"),
        (300, 3, "site.pem: is not valid before 2026-06-04 12:00 UTC"),
        (9.5, -1, "site.pem: ends on 2026-06-11 00:00 UTC, in 9 days"),
        (31, -1, None),
    ],
)
def test_its_time(installed: Installation, days: float, begins: float, wrong: str | None) -> None:
    bring(installed, ["localhost"], ["localhost"], days=days, begins=begins)
    assert found(installed) == ([] if wrong is None else [("sites[0].certificate", wrong)])


def test_a_key_of_another_certificate(installed: Installation) -> None:
    bring(installed, ["localhost"], ["localhost"], days=300)
    (installed.folder.path / "site.key").write_bytes(pki.issue(None, "other").key_pem)
    assert found(installed) == [
        ("sites[0].key", "site.key: the key does not belong to the first certificate in site.pem")
    ]


@pytest.mark.parametrize(
    ("host", "names", "fits"),
    [
        ("gate.example", ["other.example", "GATE.example"], True),
        ("gate.example", ["*.example"], True),
        ("a.gate.example", ["*.example"], False),
        ("example", ["*.example"], False),
        ("gate.example", ["gate.example.com"], False),
        ("gate.example", [], False),
        ("192.0.2.1", ["192.0.2.1"], True),
        ("192.0.2.1", ["*.0.2.1"], False),
        ("2001:db8::1", ["2001:DB8:0::1"], True),
    ],
)
def test_a_host_that_it_is_not_for(installed: Installation, host: str, names: list[str], fits: bool) -> None:
    bring(installed, [host], names, days=300)
    wrong = [("sites[0].hosts[0]", f"site.pem: is not for {host}, so nobody gets in by that name")]
    assert found(installed) == ([] if fits else wrong)
