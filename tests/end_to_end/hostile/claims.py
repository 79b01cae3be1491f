"""What partners and clients hand in to be trusted: CAs, proofs, pins and rules, each against one rule."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from end_to_end import forge
from end_to_end.forge import DAY
from end_to_end.hostile import makers
from end_to_end.hostile.scene import Scene
from end_to_end.hostile.table import By, Way, row

BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


# --- R1, R3, R4: names and keys of others ---


@row("R1", "a name that is a pattern, as a client", by=By.OURS, way=Way.UPLOAD, expected="bad_name")
def pattern_as_a_client(scene: Scene) -> str:
    return scene.type("partner", "member", "add", "globex", "dns:*.globex.example")


@row("R1", "a rule for everybody below a top-level domain", by=By.OURS, way=Way.UPLOAD, expected="rule_too_wide")
def wide_rule(scene: Scene) -> str:
    return scene.type("partner", "name", "add", "globex", "dns:*.example")


@row("R3", "one client's pinned key for another client", by=By.OPENSSL, way=Way.UPLOAD, expected="key_in_use")
def key_of_another(scene: Scene) -> str:
    again = scene.new / "again.pem"
    key = scene.identity("pinned").key
    makers.run("openssl", "req", "-x509", "-key", key, "-subj", "/CN=thief", "-days", "300", "-out", again)
    return scene.pin(again)


@row("R4", "a partner's CA as somebody's pin", by=By.OPENSSL, way=Way.UPLOAD, expected="key_in_use")
def ca_as_a_pin(scene: Scene) -> str:
    return scene.pin(scene.ca("acme").certificate_file)


@row("R4", "a pinned certificate as a partner's CA", by=By.OPENSSL, way=Way.UPLOAD, expected="key_in_use")
def pin_as_a_ca(scene: Scene) -> str:
    return scene.type("partner", "ca", "add", "globex", scene.identity("pinned").certificate)


@row("R4", "our own root as a partner's CA", by=By.OURS, way=Way.UPLOAD, expected="key_in_use")
def our_root(scene: Scene) -> str:
    return scene.type("partner", "ca", "add", "globex", scene.gate.root)


# --- R5, R6, R7: whose CA it is ---


@row("R5", "acme's CA, claimed and proved by globex", by=By.OPENSSL, way=Way.UPLOAD, expected="anchor_held")
def claimed_by_another(scene: Scene) -> str:
    """Somebody at acme's CA helps: even then a key belongs to one partner."""
    claim = scene.claimed("globex", scene.ca("acme").certificate_file)
    proof = makers.openssl_leaf(scene.new, f"/CN={claim.code}", scene.ca("acme"))
    return scene.withdrawn(claim, scene.type("partner", "ca", "prove", "globex", proof.certificate))


@row("R5", "and acme's clients meanwhile", by=By.KEYTOOL, way=Way.HANDSHAKE, expected="admitted")
def rightful_owner(scene: Scene) -> str:
    claim = scene.claimed("globex", scene.ca("acme").certificate_file)
    wish = ("san=dns:api.acme.example", "eku=clientAuth")
    return scene.withdrawn(claim, scene.show(makers.keytool_leaf(scene.new, "CN=x", scene.ca("acme"), *wish)))


@row("R6", "a public root as a partner's own", by=By.OURS, way=Way.UPLOAD, expected="public_ca")
def public_root(scene: Scene) -> str:
    if not BUNDLE.exists():
        pytest.skip(f"this machine has no {BUNDLE}")
    begin = b"-----BEGIN CERTIFICATE-----"
    root = BUNDLE.read_bytes().split(begin)[1]  # whichever is the first
    file = scene.new / "public.pem"
    file.write_bytes(begin + root)
    return scene.type("partner", "ca", "add", "globex", file)


@row("R6", "a pattern under a shared CA", by=By.OURS, way=Way.UPLOAD, expected="pattern_under_shared")
def pattern_under_shared(scene: Scene) -> str:
    number = str(scene.anchors["shopper"])
    return scene.type("partner", "name", "add", "shopper", "dns:*.shopper.example", "--ca", number)


@row("R7", "a proof that says another code", by=By.OPENSSL, way=Way.UPLOAD, expected="no_proof")
def other_code(scene: Scene) -> str:
    ca = makers.openssl_ca(scene.new, "/CN=Globex next")
    claim = scene.claimed("globex", ca.certificate_file)
    proof = makers.openssl_leaf(scene.new, "/CN=mutualgate-proof-aaaaaaaaaaaaaaaa", ca)
    return scene.withdrawn(claim, scene.type("partner", "ca", "prove", "globex", proof.certificate))


@row("R7", "a proof by a CA of the same name", by=By.GO, way=Way.UPLOAD, expected="no_proof")
def proof_by_another(scene: Scene) -> str:
    ca = makers.go_ca(scene.new, "Globex next")
    claim = scene.claimed("globex", ca.certificate_file)
    other = makers.go_ca(scene.new, "", subject_of=str(ca.certificate_file))
    proof = makers.go(scene.new, claim.code, other)
    return scene.withdrawn(claim, scene.type("partner", "ca", "prove", "globex", proof.certificate))


@row("R7", "a proof signed with SHA-1", by=By.OPENSSL, way=Way.UPLOAD, expected="no_proof")
def weak_proof(scene: Scene) -> str:
    ca = makers.openssl_ca(scene.new, "/CN=Globex next")
    claim = scene.claimed("globex", ca.certificate_file)
    proof = makers.openssl_leaf(scene.new, f"/CN={claim.code}", ca, digest="sha1")
    return scene.withdrawn(claim, scene.type("partner", "ca", "prove", "globex", proof.certificate))


@row("R7", "another partner's code", by=By.OPENSSL, way=Way.UPLOAD, expected="nothing_pending")
def code_of_another(scene: Scene) -> str:
    ca = makers.openssl_ca(scene.new, "/CN=Globex next")
    claim = scene.claimed("globex", ca.certificate_file)
    proof = makers.openssl_leaf(scene.new, f"/CN={claim.code}", ca)
    return scene.withdrawn(claim, scene.type("partner", "ca", "prove", "rsa", proof.certificate))


@row("R7", "no proof at all, approved in passing", by=By.OPENSSL, way=Way.UPLOAD, expected="not_proved")
def approved_without(scene: Scene) -> str:
    claim = scene.claimed("globex", makers.openssl_ca(scene.new, "/CN=Globex next").certificate_file)
    return scene.withdrawn(claim, scene.type("partner", "ca", "approve", "globex", str(claim.id)))


@row("R7", "a CA's certificate with its private key", by=By.OPENSSL, way=Way.UPLOAD, expected="private_key_given")
def ca_with_its_key(scene: Scene) -> str:
    ca = makers.openssl_ca(scene.new, "/CN=Globex next")
    both = scene.new / "both.pem"
    both.write_bytes(ca.certificate_file.read_bytes() + ca.key_file.read_bytes())
    return scene.type("partner", "ca", "add", "globex", both)


# --- R8, R9, R10 ---


@row("R8", "a CA that has expired", by=By.OPENSSL, way=Way.UPLOAD, expected="expired")
def expired_ca(scene: Scene) -> str:
    ca = makers.openssl_ca(scene.new, "/CN=Old CA", begin="20200101000000Z", end="20210101000000Z")
    return scene.type("partner", "ca", "add", "globex", ca.certificate_file)


@row("R9", "a depth of two", by=By.OPENSSL, way=Way.UPLOAD, expected="wrong_use")
def deep(scene: Scene) -> str:
    ca = makers.openssl_ca(scene.new, "/CN=Deep CA")
    return scene.type("partner", "ca", "add", "globex", ca.certificate_file, "--depth", "2")


@row("R9", "a bundle of CAs", by=By.GO, way=Way.UPLOAD, expected="several_certificates")
def bundle(scene: Scene) -> str:
    both = scene.new / "bundle.pem"
    files = [makers.go_ca(scene.new, name).certificate_file for name in ("One CA", "Other CA")]
    both.write_bytes(b"".join(file.read_bytes() for file in files))
    return scene.type("partner", "ca", "add", "globex", both)


@row("R10", "a helper that no CA of the partner's signed", by=By.GO, way=Way.UPLOAD, expected="no_anchor_above")
def foreign_helper(scene: Scene) -> str:
    below = makers.go_ca(scene.new, "Acme sub", scene.ca("acme"))
    return scene.type("partner", "intermediate", "add", "globex", below.certificate_file)


# --- R15, R16, R17: what a CA has to be ---


@row("R15", "a CA with RSA of 1,024 bits", by=By.GO, way=Way.UPLOAD, expected="weak_key")
def weak_ca(scene: Scene) -> str:
    ca = makers.go_ca(scene.new, "Weak CA", key="rsa1024")
    return scene.type("partner", "ca", "add", "globex", ca.certificate_file)


@row("R15", "a pin with P-224", by=By.GO, way=Way.UPLOAD, expected="weak_key")
def weak_pin(scene: Scene) -> str:
    return scene.pin(makers.go(scene.new, "x", None, key="p224").certificate)


@row("R16", "a CA for servers only", by=By.GO, way=Way.UPLOAD, expected="not_a_ca")
def server_ca(scene: Scene) -> str:
    ca = makers.go_ca(scene.new, "Server CA", usages=["server"])
    return scene.type("partner", "ca", "add", "globex", ca.certificate_file)


@row("R17", "a client's certificate as a CA", by=By.KEYTOOL, way=Way.UPLOAD, expected="not_a_ca")
def leaf_as_a_ca(scene: Scene) -> str:
    return scene.type("partner", "ca", "add", "globex", makers.keytool_leaf(scene.new, "CN=x", None).certificate)


@row("R17", "X.509 v1 as a CA", by=By.OPENSSL, way=Way.UPLOAD, expected="not_a_ca")
def v1_as_a_ca(scene: Scene) -> str:
    identity = makers.openssl_leaf(scene.new, "/CN=Old CA", None, v1=True)
    return scene.type("partner", "ca", "add", "globex", identity.certificate)


# --- R18, R23, R24, R26, R27 ---


@row("R18", "a line break in a partner's rule", by=By.OURS, way=Way.UPLOAD, expected="bad_rule")
def line_break_in_a_rule(scene: Scene) -> str:
    return scene.type("partner", "name", "add", "globex", "dns:api.globex.example\nMutualgate-Client: operator")


@row("R23", "an environment that is a path", by=By.OURS, way=Way.UPLOAD, expected="bad_environment")
def odd_environment(scene: Scene) -> str:
    ca = makers.openssl_ca(scene.new, "/CN=Odd CA")
    return scene.type("partner", "ca", "add", "globex", ca.certificate_file, "--environment", "../production")


@row("R24", "a crowd of CAs with one name and key identifier", by=By.GO, way=Way.UPLOAD, expected="too_many_alike")
def crowd(scene: Scene) -> str:
    """Each would be tried for every chain of that name."""
    ca = scene.ca("acme")
    identifier = x509.SubjectKeyIdentifier.from_public_key(ca.certificate.public_key()).digest
    claims, said = [], "done"
    for _ in range(5):
        alike = makers.go_ca(scene.new, "", subject_of=str(ca.certificate_file), subject_key=identifier)
        claims.append(scene.claimed("rsa", alike.certificate_file))
        proof = makers.go(scene.new, claims[-1].code, alike)
        said = scene.type("partner", "ca", "prove", "rsa", proof.certificate)
        if said != "done":
            break
    for claim in claims:
        scene.withdrawn(claim, said)
    return said


@row("R24", "a certificate of 10 MiB", by=By.OURS, way=Way.UPLOAD, expected="is too large")
def large_certificate(scene: Scene) -> str:
    file = scene.new / "large.pem"
    file.write_bytes(b"-----BEGIN CERTIFICATE-----\n" + b"A" * (10 << 20) + b"\n-----END CERTIFICATE-----\n")
    return scene.pin(file)


@row("R26", "a pin for ten years", by=By.OURS, way=Way.UPLOAD, expected="bad_end")
def long_pin(scene: Scene) -> str:
    identity = makers.openssl_self_signed(scene.new, "/CN=x", days=9_000)
    until = f"{forge.now() + 3_650 * DAY:%Y-%m-%d}"
    return scene.pin(identity.certificate, "--until", until)


@row("R26", "a pin of a certificate that has expired", by=By.OURS, way=Way.UPLOAD, expected="expired")
def expired_pin(scene: Scene) -> str:
    key = forge.private_key("p256")
    builder = x509.CertificateBuilder().subject_name(forge.name("x")).issuer_name(forge.name("x"))
    builder = builder.public_key(key.public_key()).serial_number(7)
    builder = builder.not_valid_before(forge.now() - 9 * DAY).not_valid_after(forge.now() - DAY)
    return scene.pin(forge.written(scene.new, builder.sign(key, hashes.SHA256()), key).certificate)


@row("R27", "a new certificate for a suspended client", by=By.OPENSSL, way=Way.UPLOAD, expected="client_suspended")
def pin_for_a_suspended(scene: Scene) -> str:
    identity = makers.openssl_self_signed(scene.new, "/CN=x")
    return scene.pin(identity.certificate, suspended=True)


@row("R27", "a new CA of a suspended partner", by=By.OPENSSL, way=Way.HANDSHAKE, expected="client_suspended")
def ca_of_a_suspended(scene: Scene) -> str:
    ca = makers.openssl_ca(scene.new, "/CN=Unlicensed next")
    scene.claim("unlicensed", ca)
    names = "subjectAltName=DNS:api.unlicensed.example"
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", ca, names))


@row("R28", "a proof from tomorrow", by=By.GO, way=Way.UPLOAD, expected="no_proof")
def proof_from_tomorrow(scene: Scene) -> str:
    ca = makers.go_ca(scene.new, "Globex next")
    claim = scene.claimed("globex", ca.certificate_file)
    proof = makers.go(scene.new, claim.code, ca, begin_hours=24.0)
    return scene.withdrawn(claim, scene.type("partner", "ca", "prove", "globex", proof.certificate))
