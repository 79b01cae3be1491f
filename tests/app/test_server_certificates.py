"""The certificate of each site."""

from datetime import timedelta
from pathlib import Path

import pki
import pytest
from installation import Installation

from mutualgate.app import Services
from mutualgate.app.server_certificates import files_of, own_certificate, reissued, reread, site_certificates
from mutualgate.clock import system_clock
from mutualgate.config import Config
from mutualgate.errors import BadInput


def own(installed: Installation, certificate: Path, key: Path) -> Config:
    text = installed.config.read_text()
    installed.config.write_text(f'{text}certificate = "{certificate}"\nkey = "{key}"\n')
    return installed.services().read_config()


def test_a_site_without_files_has_one_of_ours_which_is_kept(installed: Installation) -> None:
    services = installed.services()
    try:
        (first,) = site_certificates(services, services.config)
        (again,) = site_certificates(services, services.config)
    finally:
        services.close()
    assert first == again
    assert not first.own
    assert "KEY" not in repr(first)


def test_it_is_renewed_in_the_last_third_of_its_life(installed: Installation) -> None:
    services = installed.services()
    try:
        in_force = site_certificates(services, services.config)
        assert reissued(services, services.config, in_force) == in_force
        life = in_force[0].not_after - services.clock()
        later = Services(installed.folder, clock=lambda: system_clock() + life * 0.7, environment={})
        due = reissued(later, services.config, in_force)
        assert due != in_force
        # Also for who comes second: another process has issued it, this one still has the old one in force.
        assert reissued(later, services.config, in_force) == due
        assert site_certificates(later, services.config) == due
        later.close()
    finally:
        services.close()


def test_own_files_are_taken_as_they_are(installed: Installation, tmp_path: Path) -> None:
    server = pki.server(pki.ca("their root"), "localhost")
    certificate, key = server.write(tmp_path, "server")
    config = own(installed, certificate, key)
    services = installed.services()
    (made,) = site_certificates(services, config)
    assert made.own
    assert made.settings.certificate_pem == certificate.read_bytes()
    assert reissued(services, config, [made]) == [made]
    assert files_of(config) == [certificate, key]
    services.close()


def test_files_are_read_again_where_they_can_be_used(installed: Installation, tmp_path: Path) -> None:
    root = pki.ca("their root")
    certificate, key = pki.server(root, "localhost").write(tmp_path, "server")
    config = own(installed, certificate, key)
    services = installed.services()
    in_force = site_certificates(services, config)
    assert reread(config, in_force) == in_force
    other = pki.server(root, "localhost")
    certificate.write_bytes(other.pem)  # the key is still the old one's
    assert reread(config, in_force) == in_force
    other.write(tmp_path, "server")
    (found,) = reread(config, in_force)
    assert found.settings.certificate_pem == other.pem
    key.unlink()
    assert reread(config, [found]) == [found]
    services.close()


def broken(folder: Path) -> dict[str, tuple[Path, Path, str]]:
    root = pki.ca("their root")
    certificate, key = pki.server(root, "localhost").write(folder, "server")
    other_key = pki.server(root, "localhost").write(folder, "other")[1]
    encrypted, garbage = folder / "encrypted.key", folder / "garbage"
    encrypted.write_bytes(pki.key_pem(pki.fresh_key(), "a password"))
    garbage.write_bytes(b"\x00\xffgarbage")
    return {
        "another's key": (certificate, other_key, r"other.*the key does not belong"),
        "no certificate": (garbage, key, "garbage: "),
        "no key": (certificate, garbage, "garbage: is no private key"),
        "missing": (folder / "nowhere.pem", key, "nowhere.pem: "),
        "a folder": (folder, key, "cannot be read|is no"),
        "encrypted": (certificate, encrypted, "encrypted.key: is encrypted"),
    }


@pytest.mark.parametrize("case", ["another's key", "no certificate", "no key", "missing", "a folder", "encrypted"])
def test_files_that_cannot_be_used_are_named(case: str, installed: Installation, tmp_path: Path) -> None:
    certificate, key, problem = broken(tmp_path)[case]
    config = own(installed, certificate, key)
    with pytest.raises(BadInput, match=problem):
        own_certificate(config.sites[0])


def test_the_end_of_a_certificate_is_its_own(installed: Installation, tmp_path: Path) -> None:
    now = pki.real_now()
    server = pki.leaf(pki.ca("their root", now=now), "localhost", days=3, now=now)
    config = own(installed, *server.write(tmp_path, "server"))
    found = own_certificate(config.sites[0])
    assert found is not None
    assert timedelta(days=2) < found[2] - now < timedelta(days=4)
