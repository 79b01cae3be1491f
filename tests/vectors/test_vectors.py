"""The judge's vectors, asked from Python: the boundary says what the judge says. `cargo test` reads the same files."""

import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mutualgate.errors import BadInput
from mutualgate.gate import Judge
from mutualgate.model.partner import PartnerProfile, RuleKind
from mutualgate.partners.names import name_of
from mutualgate.partners.rules import parse
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
                records.AuthorityRecord(
                    a["id"], a["name"], der(a["certificate"]), a["admits"], a["estate"], a.get("depth")
                )
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


VOUCHED = [
    vector
    for _, vector in VECTORS
    if vector["verdict"] == "admitted" and vector.get("evidence") == "partner" and vector["route"] is None
]
ALICE = 1


@pytest.mark.parametrize("vector", VOUCHED, ids=[vector["name"] for vector in VOUCHED])
def test_a_member_is_found_under_the_name_that_the_control_plane_reads(vector: dict[str, Any]) -> None:
    chain = [der(text) for text in vector["chain"]]
    partners = vector["snapshot"]["partners"]
    leaf = x509.load_der_x509_certificate(chain[0])
    names = {one["id"]: name_of(leaf, PartnerProfile(one.get("profile", "names"))) for one in partners}
    listed = [one | {"admits": "listed"} for one in partners]
    members = [{"partner": id, "name": name, "client": ALICE} for id, name in names.items() if name is not None]
    if not members:
        pytest.skip("the control plane's library cannot read all of it, so nobody is recorded under it")
    snapshot = vector["snapshot"] | {"partners": listed, "members": members}
    verdict = Judge([batch(snapshot, None)]).decide(chain, vector["at"])
    assert (verdict.admitted, verdict.client_id) == (True, ALICE), (names, verdict.detail)


HOSTS = st.from_regex(r"(\*\.)?[a-z0-9_-]{1,5}(\.[a-zA-Z0-9_*-]{1,5}){0,2}", fullmatch=True)
PATTERNS = {
    RuleKind.DNS: HOSTS,
    RuleKind.EMAIL: st.builds("{}@{}".format, st.from_regex(r"\*|[a-z.+*]{1,4}", fullmatch=True), HOSTS),
    RuleKind.URI: st.builds(
        "{}{}{}".format,
        st.sampled_from(["https://", "spiffe://", "urn:", "HTTP://"]),
        HOSTS,
        st.from_regex(r"(:80)?(/[a-z.%2*]{0,4}){0,3}(/\*)?", fullmatch=True),
    ),
    RuleKind.IP: st.one_of(
        st.ip_addresses().map(str),
        st.builds("{}/{}".format, st.ip_addresses(), st.integers(0, 130)),
        st.sampled_from(["10.0.0.0/8", "2001:db8::/32"]),
    ),
    RuleKind.DN: st.lists(
        st.builds(
            "{}={}".format,
            st.sampled_from(["CN", "o", "2.5.4.12", "emailAddress", "X"]),
            st.from_regex(r"\*|\\\*|[ a#,\\+=\"0-9é]{1,4}", fullmatch=True),
        ),
        min_size=1,
        max_size=3,
    ).map(",".join),
    RuleKind.ORGANIZATION: st.from_regex(r"PSD[A-Z]{2}-[A-Z]{2,8}-[ -~é*]{1,12}", fullmatch=True),
}


@settings(deadline=None)
@given(st.sampled_from(RuleKind).flatmap(lambda kind: PATTERNS[kind].map(lambda pattern: f"{kind}:{pattern}")))
@example("dns:_tcp.acme.example")
def test_the_judge_understands_every_rule_that_may_be_written(text: str) -> None:
    try:
        rule = parse(text, wide=True)
    except BadInput:
        return
    record = records.RuleRecord(str(rule.kind), rule.pattern, None)
    partner = records.PartnerRecord(1, "acme", "rule", 1, False, [record], [])
    assert Judge([records.encode(records.Batch(partners=[partner]))]).problems == []
