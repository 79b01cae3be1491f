"""`mutualgate expiring`."""

import pki
from commands import Run
from installation import Installation


def test_what_ends_soon_is_listed(
    cli: Run,
    installed: Installation,
) -> None:
    assert cli("expiring", "--within", "1d").out.startswith("Nothing ends within 1d.")
    csr = installed.folder.path.parent / "x.csr"
    csr.write_bytes(pki.csr(pki.fresh_key()))
    cli("client", "add", "anna")
    cli("client", "sign", "anna", "--csr", csr, "--out", csr.with_suffix(".pem"), "--days", "20")
    said = cli("expiring")
    assert said.code == 0, said.err
    assert "certificate of" in said.out
    assert "anna" in said.out
    assert "mutualgate client p12 anna --out FILE.p12\n" in said.out  # no route leads to the portal
    assert "the certificates of its sites are not among these" in said.out
    found = cli("expiring", "--json").json
    assert found["sites_included"] is False
    (one,) = found["expiring"]
    assert (one["kind"], one["name"], one["days"]) == ("credential", "anna", 19)
    assert one["command"] == "mutualgate client p12 anna --out FILE.p12"
    assert found["more"] is False
    assert "There are more" not in said.out
    cli("client", "add", "bert")
    csr.write_bytes(pki.csr(pki.fresh_key()))
    cli("client", "sign", "bert", "--csr", csr, "--out", csr.with_suffix(".2.pem"), "--days", "21")
    assert "\nThere are more than these: --limit 10000\n" in cli("expiring", "--limit", "1").out
    assert cli("expiring", "--limit", "1", "--json").json["more"] is True
    assert cli("expiring", "--kind", "pin", "--json").json["expiring"] == []
    assert cli("expiring", "--within", "5d", "--json").json["expiring"] == []
    assert '--within: found "soon"; expected a duration' in cli("expiring", "--within", "soon").err
    assert "--kind" in cli("expiring", "--kind", "sun").err
