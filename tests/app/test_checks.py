"""What the file alone cannot tell."""

import pytest
from installation import Installation

from mutualgate.app import Folder
from mutualgate.app.checks import certificates_fit, clients_exist, fields_fit, files_fit, logs_fit, refuse_logs
from mutualgate.config import load, problems
from mutualgate.errors import BadInput


def file(installed: Installation, more: str) -> None:
    installed.config.write_text(f'[[sites]]\nname = "main"\nhosts = ["localhost"]\n{more}\n')


def test_a_client_that_is_not_known_is_placed(installed: Installation) -> None:
    file(installed, 'routes = [{ path = "/", upstream = "demo", clients = ["first-client", "nobody"] }]')
    (found,) = problems(installed.config, clients_exist(installed.folder))
    assert (found.line, found.key) == (4, "sites[0].routes[0].clients[1]")
    assert "nobody" in found.problem
    assert found.fix == "mutualgate client add nobody"


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


def test_a_secret_that_others_may_read_is_placed(installed: Installation) -> None:
    """Asked by `mutualgate check` alone: a gate opens without it, and letters wait."""
    installed.config.write_text(
        '[mail]\nserver = "127.0.0.1:25"\nsender = "a@b.example"\nusername = "gate"\npassword_file = "password"\n'
        'security = "none"\n[notices]\nwebhook = "https://hooks.example/"\nsecret_file = "secret"\n'
        '[tracing]\nendpoint = "https://traces.example"\nheaders_file = "headers"\n'
    )
    folder = installed.folder.path
    password, secret, headers = (folder / name for name in ("password", "secret", "headers"))
    for path in (password, secret, headers):
        path.write_text("short and sweet\n")
        path.chmod(0o644)
    wrong = ["mail.password_file", "notices.secret_file", "tracing.headers_file"]
    assert [one.key for one in problems(installed.config, files_fit)] == wrong
    for path in (password, secret, headers):
        path.chmod(0o600)
    found, fields = problems(installed.config, files_fit)
    assert (fields.key, "sweet" in str(fields)) == ("tracing.headers_file", False)
    headers.write_text("Authorization: Bearer sweet\n")
    assert found.key == "notices.secret_file"
    assert "16 to 1023 characters" in str(found.expected)
    assert "sweet" not in str(found)
    secret.write_text("a secret that is long enough\n")
    assert problems(installed.config, files_fit) == []


def test_a_letter_that_cannot_be_sent_is_placed(installed: Installation) -> None:
    installed.config.write_text('[portal]\nletter = "letter.txt"\n')
    letter = installed.folder.path / "letter.txt"
    for text, problem in (
        (None, "letter.txt"),
        ("no subject", "has no subject or no text"),
        ("Subject\n\nno link", "does not say the link"),
        ("Subject\n\n{{ link }} {% if", "letter.txt"),
    ):
        if text is not None:
            letter.write_text(text)
        (found,) = problems(installed.config, files_fit)
        assert (found.line, found.key) == (2, "portal.letter")
        assert problem in found.problem
    letter.write_text("Subject\n\n{{ link }}\n")
    assert problems(installed.config, files_fit) == []


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ('request_headers = {set = {"client_cert" = "x"}}', "client_cert is the gate's own, and nobody else writes it"),
        ('request_headers = {add = {"X-Forwarded-For" = "x"}}', "says where a request comes from"),
        ('request_headers = {set = {"X-SSL-Client-Cert" = "x"}}', "the gate alone says who a client is"),
        ('request_headers = {set = {"Transfer_Encoding" = "x"}}', "frames the message"),
        ('request_headers = {remove = ["Host"]}', "is written by the gate"),
        ('request_headers = {set = {"TraceParent" = "x"}}', "names one request of a trace"),
        ('request_headers = {add = {"tracestate" = "x"}}', "names one request of a trace"),
        ('response_headers = {remove = ["Mutualgate-Reason"]}', "is the gate's own"),
        ('response_headers = {set = {"Connection" = "x"}}', "belongs to one connection"),
    ],
)
def test_a_rule_for_what_only_the_gate_writes_is_placed(rules: str, sentence: str, installed: Installation) -> None:
    file(installed, f'[[sites.routes]]\npath = "/"\nupstream = "demo"\n{rules}')
    (found,) = problems(installed.config, fields_fit)
    assert found.line == 7
    assert found.key.startswith(f"sites[0].routes[0].{rules.split(' ')[0]}.")
    assert sentence in found.problem


def test_rules_for_other_fields_are_fine(installed: Installation) -> None:
    rules = 'request_headers = {set = {"Authorization" = "x"}, remove = ["X-SSL-Client-Cert", "Cookie", "traceparent"]}'
    file(installed, f'[[sites.routes]]\npath = "/"\nupstream = "demo"\n{rules}')
    assert problems(installed.config, fields_fit) == []


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nodir/x.log", "nodir: is not there"),
        (".", "is a folder"),
        ("mutualgate.toml/x.log", "cannot be written: Not a directory"),
        ("x" * 300, "cannot be written: File name too long"),
    ],
)
@pytest.mark.parametrize("key", ["access_log", "key_log"])
def test_a_log_that_cannot_be_written_is_placed(key: str, name: str, problem: str, installed: Installation) -> None:
    installed.config.write_text(f'[gate]\n{key} = "{name}"\n')
    (found,) = problems(installed.config, logs_fit)
    assert (found.line, found.key) == (2, f"gate.{key}")
    assert problem in found.problem
    with pytest.raises(BadInput, match=f"name another file: --{key.replace('_', '-')}, or `{key}`"):
        refuse_logs(load(installed.config))


def test_logs_that_can_be_written_are_fine_and_are_not_made(installed: Installation) -> None:
    installed.config.write_text('[gate]\naccess_log = "access.log"\nkey_log = "keys.log"\n')
    assert problems(installed.config, logs_fit) == []
    assert not (installed.folder.path / "access.log").exists()
    keys = installed.folder.path / "keys.log"
    keys.write_text("")
    keys.chmod(0o644)
    (found,) = problems(installed.config, logs_fit)
    assert (found.key, found.fix) == ("gate.key_log", f"Run: chmod 0600 {keys}")
