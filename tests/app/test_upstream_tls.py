"""The files that say whom the gate trusts behind it, and what it shows there."""

from pathlib import Path

import pytest
from pki import ca, leaf

from mutualgate.app import upstream_tls
from mutualgate.app.settings import gate_settings
from mutualgate.app.upstream_tls import OF_SYSTEM, files_of_upstreams, tls_settings, upstreams_fit
from mutualgate.config import Config, UpstreamTls, parse
from mutualgate.gate.settings import SiteSettings

FILE = """
[[upstreams]]
name = "app"
servers = ["https://app:8443"]
protocol = "h2"
tls = { ca_file = "ca.pem", server_name = "app.internal", certificate = "own.pem", key = "own.key" }

[[sites]]
name = "main"
hosts = ["localhost"]
routes = [{ path = "/", upstream = "app" }]
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    authority = ca("House")
    own = leaf(authority, "gate")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "own.pem").write_bytes(own.pem)
    (tmp_path / "own.key").write_bytes(own.key_pem)
    return parse(FILE, tmp_path / "mutualgate.toml")


def test_files_are_passed_on(config: Config, tmp_path: Path) -> None:
    (upstream,) = gate_settings(config, [SiteSettings("main", b"", b"")], tmp_path).upstreams
    assert upstream.protocol == "h2"
    assert upstream.tls is not None
    assert upstream.tls.ca_pem == (tmp_path / "ca.pem").read_bytes()
    assert upstream.tls.server_name == "app.internal"
    assert upstream.tls.key_pem is not None
    assert b"PRIVATE KEY" in upstream.tls.key_pem
    assert "PRIVATE KEY" not in repr(upstream)
    assert files_of_upstreams(config) == [tmp_path / name for name in ("ca.pem", "own.pem", "own.key")]


@pytest.mark.parametrize(
    ("name", "text", "key"),
    [("ca.pem", "", "ca_file"), ("own.pem", "nothing", "certificate"), ("own.key", "nothing", "key")],
)
def test_a_file_that_cannot_be_used_is_found(config: Config, tmp_path: Path, name: str, text: str, key: str) -> None:
    assert list(upstreams_fit(config)) == []
    (tmp_path / name).write_text(text)
    (finding,) = upstreams_fit(config)
    assert finding.place == ("upstreams", 0, "tls", key)
    (tmp_path / name).unlink()
    assert len(list(upstreams_fit(config))) == 1


def test_nobody_is_trusted_unless_it_is_said() -> None:
    assert tls_settings(UpstreamTls(None, None, None, None)) is None


def test_the_system_can_be_trusted_by_name(tmp_path: Path) -> None:
    settings = tls_settings(OF_SYSTEM)
    assert settings is not None
    assert b"BEGIN CERTIFICATE" in settings.ca_pem


def test_a_machine_that_trusts_nobody_is_found_before_it_matters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
[[sites]]
name = "main"
hosts = ["localhost"]
routes = [{ path = "/", upstream = "http://app" }, { path = "/x", upstream = "https://app" }]
"""
    config = parse(text, tmp_path / "mutualgate.toml")
    assert list(upstreams_fit(config)) == []
    monkeypatch.setattr(upstream_tls, "_SYSTEM_FILES", ())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing"))
    (finding,) = upstreams_fit(config)
    assert finding.place == ("sites", 0, "routes", 1, "upstream")
    assert finding.problem == "https://app:443: this machine has no collection of authorities"
