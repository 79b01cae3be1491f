"""The judge's vectors, asked from Python: the boundary says what the judge says. `cargo test` reads the same files."""

import json
import ssl
from pathlib import Path
from typing import Any

import pytest

from mutualgate.gate import Judge
from mutualgate.snapshot import records

VECTORS = [
    (path.stem, vector)
    for path in sorted(Path(__file__).parent.glob("*.json"))
    for vector in json.loads(path.read_text(encoding="utf-8"))
]


def der(text: str) -> bytes:
    if text.startswith("hex:"):
        return bytes.fromhex(text.removeprefix("hex:"))
    return ssl.PEM_cert_to_DER_cert(text)


def batch(snapshot: dict[str, Any], route: dict[str, Any] | None) -> bytes:
    rule = route or {"client_certificate": "required", "roles": [], "clients": []}
    site = records.SiteRecord(
        "main",
        ["localhost"],
        "required",
        "page",
        [records.RouteRecord("/", rule["client_certificate"], rule["roles"], rule["clients"], 0)],
        rule.get("environment", ""),
    )
    brought: dict[str, list[dict[str, Any]]] = {
        kind: snapshot.get(kind, []) for kind in ("pins", "partners", "anchors", "members", "foreign")
    }
    return records.encode(
        records.Batch(
            epoch=1,
            authorities=[
                records.AuthorityRecord(a["id"], a["name"], der(a["certificate"]), a["admits"], a["estate"])
                for a in snapshot["authorities"]
            ],
            clients=[records.ClientRecord(c["id"], c["name"], c["roles"], c["suspended"]) for c in snapshot["clients"]],
            credentials=[
                records.CredentialRecord(bytes.fromhex(c["fingerprint"]), c["id"], c["client"], c["authority"])
                for c in snapshot["credentials"]
            ],
            revocations=[
                records.RevocationRecord(r["authority"], bytes.fromhex(r["serial"]), r["at"], r["reason"])
                for r in snapshot["revocations"]
            ],
            pins=[records.PinRecord(**(p | {"digest": bytes.fromhex(p["digest"])})) for p in brought["pins"]],
            partners=[
                records.PartnerRecord(
                    **(
                        p
                        | {
                            "rules": [records.RuleRecord(**rule) for rule in p["rules"]],
                            "intermediates": [der(text) for text in p["intermediates"]],
                        }
                    )
                )
                for p in brought["partners"]
            ],
            anchors=[
                records.AnchorRecord(
                    **(
                        a
                        | {
                            "certificate": der(a["certificate"]),
                            "sub_cas": [bytes.fromhex(key) for key in a["sub_cas"]],
                            "lists": [records.ListRecord(**entry) for entry in a["lists"]],
                        }
                    )
                )
                for a in brought["anchors"]
            ],
            members=[records.MemberRecord(**m) for m in brought["members"]],
            foreign=[records.ForeignRecord(**(f | {"serial": bytes.fromhex(f["serial"])})) for f in brought["foreign"]],
            sites=[site],
        )
    )


@pytest.mark.parametrize(("reason", "vector"), VECTORS, ids=[f"{stem}-{v['name']}" for stem, v in VECTORS])
def test_vector(reason: str, vector: dict[str, Any]) -> None:
    judge = Judge([batch(vector["snapshot"], vector["route"])])
    chain = [der(text) for text in vector["chain"]]
    if vector["route"] is None:
        verdict = judge.decide(chain, vector["at"])
    else:
        verdict = judge.authorize(chain, vector["at"], "localhost", "/")
    assert verdict.admitted == (vector["verdict"] == "admitted")
    assert verdict.reason == vector["reason"]
    assert verdict.certificate == vector["certificate"]
    if verdict.admitted and vector.get("evidence") is not None:
        assert (verdict.evidence, verdict.partner) == (vector["evidence"], vector["partner"])
    if vector["client"] is not None:
        assert verdict.client_id == vector["client"]
