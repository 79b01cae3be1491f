"""Makes the seeds of the fuzz targets out of `tests/vectors`; run it after `tests/vectors/make.py`.

Needs the package on PYTHONPATH, whose records the seeds of `deltas` are: so they also prove that both sides agree.
"""

import json
import shutil
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mutualgate.snapshot import records

HERE = Path(__file__).resolve().parent / "seeds"
VECTORS = Path(__file__).resolve().parents[2] / "tests" / "vectors"


def der(text):
    if text.startswith("hex:"):
        return bytes.fromhex(text.removeprefix("hex:"))
    return x509.load_pem_x509_certificate(text.encode()).public_bytes(Encoding.DER)


def write(target, name, data):
    (HERE / target).mkdir(parents=True, exist_ok=True)
    (HERE / target / name).write_bytes(data)


def main():
    for target in ("certificates", "deltas", "paths", "questions"):  # those of `requests` are written by hand
        shutil.rmtree(HERE / target, ignore_errors=True)
    vectors = {path.stem: json.loads(path.read_text()) for path in sorted(VECTORS.glob("*.json"))}
    plain = vectors["no_certificate"][1]
    ours, adopted = (der(authority["certificate"]) for authority in plain["snapshot"]["authorities"])
    write("", "ours.der", ours)
    write("", "adopted.der", adopted)
    partner = vectors["name_not_permitted"][0]["snapshot"]
    write("", "partner.der", der(partner["anchors"][0]["certificate"]))
    write("", "at.txt", f"{plain['at']}\n".encode())
    for file, listed in vectors.items():
        chain = [der(text) for text in listed[0]["chain"][:4]] or [b"\x30\x00"]
        data = b"".join(len(one).to_bytes(2, "big") + one for one in chain if len(one) < 65536)
        if len(data) < 8192:
            write("certificates", file, data)
    for number, path in enumerate(
        [
            "/",
            "/admin",
            "/admin/x",
            "/open/%C3%A9",
            "/a;b",
            "/%2e%2e/",
            "/%252e",
            "/a//b",
            "/a/../b",
            "/%c0%af",
            "/\\a",
            "/open/..;/admin",
        ]
    ):
        write("paths", f"{number:02}", path.encode())
    for name, batch in batches(ours, der(plain["chain"][0])).items():
        write("deltas", name, records.encode(batch))
    question = {
        "id": "a",
        "chain": plain["chain"],
        "trusted": [plain["snapshot"]["authorities"][0]["certificate"]],
        "at": plain["at"],
    }
    write("questions", "good", json.dumps(question).encode())
    write(
        "questions",
        "depth",
        json.dumps(question | {"max_chain_depth": 0, "eku": "serverAuth", "crls": [], "intermediates": []}).encode(),
    )
    write("questions", "wrong", b'{"id": 7, "chain": 5}')


def batches(ours, leaf):
    fingerprint = x509.load_der_x509_certificate(leaf).fingerprint(
        x509.load_der_x509_certificate(ours).signature_hash_algorithm
    )
    route = records.RouteRecord(path="/", client_certificate="required", roles=["staff"], clients=["alice"], upstream=0)
    site = records.SiteRecord(
        name="other", hosts=["other.example"], client_certificate="required", on_refusal="alert", routes=[route]
    )
    return {
        "epoch": records.Batch(epoch=5),
        "authority": records.Batch(
            authorities=[records.AuthorityRecord(id=3, name="third", certificate=ours, admits="listed", estate=None)]
        ),
        "estate": records.Batch(
            authorities=[records.AuthorityRecord(id=3, name="third", certificate=ours, admits="signed", estate=1)]
        ),
        "client": records.Batch(clients=[records.ClientRecord(id=3, name="bob", roles=["b", "a"], suspended=True)]),
        "credential": records.Batch(
            credentials=[records.CredentialRecord(fingerprint=fingerprint, id=1, client=1, authority=1)]
        ),
        "revocation": records.Batch(
            revocations=[records.RevocationRecord(authority=1, serial=b"\x05", at=1_700_000_000, reason=4)]
        ),
        "pin": records.Batch(
            pins=[
                records.PinRecord(
                    kind=kind,
                    digest=fingerprint,
                    id=4,
                    client=1,
                    not_before=1_700_000_000,
                    not_after=1_900_000_000,
                    retired=False,
                    environment="test",
                )
                for kind in ("certificate", "key")
            ]
        ),
        "partner": records.Batch(
            partners=[
                records.PartnerRecord(
                    id=2,
                    name="other",
                    admits="listed",
                    client=1,
                    suspended=False,
                    rules=[
                        records.RuleRecord(kind=kind, pattern=pattern, anchor=anchor)
                        for kind, pattern, anchor in (
                            ("dns", "*.acme.example", None),
                            ("email", "*@acme.example", 5),
                            ("uri", "spiffe://acme/*", None),
                            ("ip", "192.0.2.0/24", None),
                            ("dn", "CN=*,O=Acme", None),
                        )
                    ],
                    intermediates=[ours],
                )
            ]
        ),
        "anchor": records.Batch(
            anchors=[
                records.AnchorRecord(
                    id=6,
                    partner=2,
                    certificate=ours,
                    not_before=1_700_000_000,
                    not_after=1_900_000_000,
                    shared=True,
                    depth=1,
                    sub_cas=[fingerprint],
                    environment="test",
                    revocation="grace",
                    grace_seconds=3_600,
                    leaf_limit_seconds=7_776_000,
                    lists=[records.ListRecord(scope="", this_update=1_700_000_000, next_update=1_900_000_000)],
                )
            ]
        ),
        "member": records.Batch(members=[records.MemberRecord(partner=2, name="dns:a.acme.example", client=1)]),
        "foreign": records.Batch(foreign=[records.ForeignRecord(anchor=6, serial=b"\x05", at=1_700_000_000, reason=4)]),
        "sites": records.Batch(sites=[site]),
        "removed": records.Batch(
            removed=records.Removed(
                authorities=[2],
                clients=[2],
                credentials=[fingerprint],
                revocations=[(1, b"\x05")],
                pins=[("key", fingerprint)],
                partners=[1],
                anchors=[5],
                members=[(1, "dns:a.acme.example")],
                foreign=[(5, b"\x05")],
            )
        ),
    }


if __name__ == "__main__":
    main()
