"""`mutualgate partner crl`, each verb, for people and for programs."""

from pathlib import Path

import pki
import pytest
from commands import Run
from publisher import publisher

URL = "http://crl.acme.example/ca.crl"


@pytest.fixture
def acme(cli: Run, tmp_path: Path) -> pki.Issued:
    """The CA of the partner acme, proved; nobody under it comes in without its word about revocation."""
    ca = pki.ca("acme issuing", path_length=0, now=pki.real_now())
    cli("partner", "add", "acme", "--names", "dns:*.acme.example", "--admits", "rule")
    (tmp_path / "acme.pem").write_bytes(ca.pem)
    claimed = cli("partner", "ca", "add", "acme", tmp_path / "acme.pem", "--revocation", "fail", "--json").json
    (tmp_path / "proof.pem").write_bytes(pki.leaf(ca, claimed["challenge"], now=pki.real_now()).pem)
    cli("partner", "ca", "prove", "acme", tmp_path / "proof.pem")
    return ca


def decide(cli: Run, folder: Path, leaf: pki.Issued) -> str | None:
    (folder / "leaf.pem").write_bytes(leaf.chain_pem)
    found = cli("decide", "--cert", folder / "leaf.pem", "--json").json
    return None if found["verdict"] == "admitted" else str(found["reason"])


def test_a_list_from_a_file_decides(cli: Run, tmp_path: Path, acme: pki.Issued) -> None:
    now = pki.real_now()
    anna, ben = (pki.leaf(acme, name, sans=[f"{name}.acme.example"], now=now) for name in ("anna", "ben"))
    assert decide(cli, tmp_path, anna) == "crl_missing"
    assert "nobody under it is let in (crl_missing)" in cli("partner", "crl", "list", "acme").out
    (tmp_path / "acme.crl").write_bytes(pki.crl(acme, anna.certificate.serial_number, now=now))
    said = cli("partner", "crl", "load", "acme", tmp_path / "acme.crl")
    assert said.code == 0, said.err
    assert "1 revoked certificate of CA 1, 1 added, 0 taken back" in said.out
    assert decide(cli, tmp_path, anna) == "revoked"
    assert decide(cli, tmp_path, ben) is None
    assert "nothing new" in cli("partner", "crl", "load", "acme", tmp_path / "acme.crl").out
    listed = cli("partner", "crl", "list", "acme").out
    assert "fail, 1 revoked" in listed
    assert "No address is known" in listed
    assert "revocation under CA 1: fail, 1 revoked; fresh" in cli("partner", "show", "acme").out
    (tmp_path / "other.crl").write_bytes(pki.crl(pki.ca("acme issuing"), now=now))
    said = cli("partner", "crl", "load", "acme", tmp_path / "other.crl")
    assert said.code == 2
    assert "was not signed by CN=acme issuing" in said.err
    (tmp_path / "old.crl").write_bytes(pki.crl(acme, now=now, number=0))
    assert "is older than the list in force" in cli("partner", "crl", "load", "acme", tmp_path / "old.crl").err
    assert "0 revoked" in cli("partner", "crl", "load", "acme", tmp_path / "old.crl", "--force").out
    said = cli("partner", "crl", "forget", "acme", "all")
    assert "The list of CA 1 is out of force; 0 certificates are no longer revoked by it" in said.out
    assert decide(cli, tmp_path, ben) == "crl_missing"
    assert "has no list of all certificates" in cli("partner", "crl", "forget", "acme", "all").err
    cli("partner", "ca", "set", "acme", "1", "--revocation", "grace", "--grace", "36h")
    assert "CN=acme issuing: grace 36h, 0 revoked" in cli("partner", "crl", "list", "acme").out


def test_addresses(cli: Run, tmp_path: Path, acme: pki.Issued) -> None:
    said = cli("partner", "crl", "approve", "acme", URL)
    assert said.code == 0, said.err
    assert f"{URL} is approved" in said.out
    (source,) = cli("partner", "crl", "list", "acme", "--json").json["cas"][0]["sources"]
    assert (source["state"], source["kind"], source["private"]) == ("approved", "crl", False)
    assert "ldap: addresses are not fetched" in cli("partner", "crl", "approve", "acme", "ldap://x/").err
    assert "is not fetched for CA 1." in cli("partner", "crl", "refuse", "acme", URL).out
    assert "no address that may be fetched" in cli("partner", "crl", "fetch", "acme").err
    assert "--kind" in cli("partner", "crl", "approve", "acme", URL, "--kind", "ftp").err


def test_fetching_by_hand(cli: Run, tmp_path: Path, acme: pki.Issued) -> None:
    with publisher() as server:
        written = server.put("/ca.crl", pki.crl(acme, 5, now=pki.real_now()))
        said = cli("partner", "crl", "approve", "acme", written)
        assert said.code == 2
        assert "leads into a private network or to this machine" in said.err
        url = written.replace("127.0.0.1", "localhost")
        cli("partner", "crl", "approve", "acme", url)
        said = cli("partner", "crl", "fetch", "acme")
        assert said.code == 1
        assert "leads into a private network or to this machine" in said.out
        cli("partner", "crl", "approve", "acme", url, "--private")
        said = cli("partner", "crl", "fetch", "acme")
        assert (said.code, said.out) == (0, f"{url}: 1 entry\n")
        assert cli("partner", "crl", "fetch", "acme", "--json").json["fetched"][0]["news"] is False
        server.put("/ca.crl", pki.crl(acme, 5, now=pki.real_now(), number=0))
        said = cli("partner", "crl", "fetch", "acme")
        assert said.out.startswith(f"failed: {url}: is older than the list in force")
        assert f"  {url}: is older" in cli("partner", "crl", "list", "acme").out.splitlines()[-1]
