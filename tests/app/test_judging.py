"""The judge without a gate."""

from pathlib import Path

import pki
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from installation import Installation

from mutualgate.app import Services
from mutualgate.app.judging import judge_of
from mutualgate.authorities.adopt import Estate
from mutualgate.errors import BadInput


def test_it_judges_as_the_gate_would(installed: Installation) -> None:
    services = installed.services()
    chain = [x509.load_pem_x509_certificate(installed.pem().read_bytes()).public_bytes(Encoding.DER)]
    try:
        now = int(services.clock().timestamp())
        verdict = judge_of(services).authorize(chain, now, "localhost", "/hello")
        assert verdict.admitted
        assert verdict.client_name == "first-client"
        services.clients.suspend("first-client")
        assert judge_of(services).decide(chain, now).reason == "client_suspended"
    finally:
        services.close()


def test_what_an_adopted_authority_made_oddly_is_listed_suspended_and_revoked_alone(
    services: Services, tmp_path: Path
) -> None:
    root = pki.ca("old", now=pki.real_now())
    (tmp_path / "old.pem").write_bytes(root.pem)
    (tmp_path / "issued").mkdir()
    spelt = bytes.fromhex("0603551d25040c"), bytes.fromhex("0603551d25010100040c")
    odd = {}
    for name in ("anna", "bert", "carl", "dora"):
        odd[name] = pki.respelt(pki.leaf(root, name, now=pki.real_now()), *spelt)
        if name != "dora":
            (tmp_path / "issued" / f"{name}.der").write_bytes(odd[name])
    odd["erik"] = pki.numbered(pki.leaf(root, "erik", now=pki.real_now()), b"\0")
    negative = pki.numbered(pki.leaf(root, "fred", now=pki.real_now()), b"\x91")

    def said() -> dict[str, str | None]:
        judge, now = judge_of(services, with_sites=False), int(services.clock().timestamp())
        verdicts = {name: judge.decide([der], now) for name, der in odd.items()}
        return {name: verdict.client_name or verdict.reason for name, verdict in verdicts.items()}

    services.authorities.adopt(Estate(tmp_path / "old.pem", issued=tmp_path / "issued"))
    as_listed = {"anna": "anna", "bert": "bert", "carl": "carl", "dora": "old estate", "erik": "old estate"}
    assert said() == as_listed
    services.clients.suspend("anna")
    services.clients.revoke_certificate(odd["bert"])
    services.clients.revoke_certificate(odd["dora"])
    out = {"anna": "client_suspended", "bert": "revoked", "dora": "revoked"}
    assert said() == as_listed | out
    services.clients.revoke_certificate(odd["erik"])
    assert said() == as_listed | out | {"erik": "revoked"}
    with pytest.raises(BadInput, match="negative"):
        services.clients.revoke_certificate(negative)
