"""Files and requests that somebody hands in, each against one rule or one promise of the issue.

What comes out is the stable code of the problem, or what became of the wish.
"""

import io
import zipfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from end_to_end import forge
from end_to_end.hostile import makers
from end_to_end.hostile.scene import Scene
from end_to_end.hostile.table import By, Way, row

MEBIBYTE = 1 << 20


# --- CSRs ---


@row("R7", "a CSR for somebody else's public key", by=By.OURS, way=Way.CSR, expected="no_proof_of_possession")
def stolen_key(scene: Scene) -> str:
    """The public key of an honest request in a request that another key signed."""
    request = scene.new / "stolen.csr"
    victim, thief = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    honest = x509.CertificateSigningRequestBuilder().subject_name(forge.name("x")).sign(thief, hashes.SHA256())
    encoding = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    mine, other = thief.public_key().public_bytes(*encoding), victim.public_key().public_bytes(*encoding)
    request.write_bytes(honest.public_bytes(serialization.Encoding.DER).replace(mine, other))
    return scene.sign(request)


@row("R17", "a CSR that asks to be a CA", by=By.OPENSSL, way=Way.CSR, expected="signed, CA:FALSE")
def csr_for_a_ca(scene: Scene) -> str:
    request = makers.openssl_csr(scene.new, "/CN=x", "basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign")
    return scene.sign(request)


@row("R1", "a CSR with the operator's name and others'", by=By.KEYTOOL, way=Way.CSR, expected="signed, for the client")
def csr_for_others(scene: Scene) -> str:
    return scene.sign(makers.keytool_csr(scene.new, "CN=operator", "san=dns:api.globex.example"), show="name")


@row("R15", "a CSR with RSA of 1,024 bits", by=By.KEYTOOL, way=Way.CSR, expected="weak_key")
def weak_csr(scene: Scene) -> str:
    return scene.sign(makers.keytool_csr(scene.new, "CN=x", key="RSA -keysize 1024"))


@row("R15", "a CSR whose exponent is 3", by=By.OPENSSL, way=Way.CSR, expected="weak_key")
def exponent_three(scene: Scene) -> str:
    key = "RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3"
    return scene.sign(makers.openssl_csr(scene.new, "/CN=x", key=key))


@row("R24", "a CSR of 10 MiB", by=By.OURS, way=Way.CSR, expected="is too large for a CSR")
def large_csr(scene: Scene) -> str:
    request = scene.new / "large.csr"
    request.write_bytes(b"-----BEGIN CERTIFICATE REQUEST-----\n" + b"A" * 10 * MEBIBYTE)
    return scene.sign(request)


@row("R24", "a CSR that asks for 10,000 names", by=By.OPENSSL, way=Way.CSR, expected="is too large for a CSR")
def many_names(scene: Scene) -> str:
    names = ",".join(f"DNS:{number}.example" for number in range(10_000))
    return scene.sign(makers.openssl_csr(scene.new, "/CN=x", f"subjectAltName={names}"))


@row("R18", "a CSR with a script in its names", by=By.OPENSSL, way=Way.CSR, expected="signed, for the client")
def script_in_names(scene: Scene) -> str:
    return scene.sign(makers.openssl_csr(scene.new, "/CN=<script>alert(1)<\\/script>"), show="name")


@row("R7", "a private key in place of a CSR", by=By.OPENSSL, way=Way.CSR, expected="private_key_given")
def key_for_a_csr(scene: Scene) -> str:
    request = makers.openssl_csr(scene.new, "/CN=x")
    request.write_bytes(request.with_suffix(".key").read_bytes() + request.read_bytes())
    return scene.sign(request)


@row("R7", "a .p12 with its key in place of a CSR", by=By.OPENSSL, way=Way.CSR, expected="private_key_given")
def p12_for_a_csr(scene: Scene) -> str:
    return scene.sign(_p12(scene))


@row("R7", "a .p12 with its key as a pin", by=By.OPENSSL, way=Way.UPLOAD, expected="private_key_given")
def p12_as_a_pin(scene: Scene) -> str:
    return scene.pin(_p12(scene))


@row("R24", "a zip bomb in place of a CSR", by=By.OURS, way=Way.CSR, expected="not_a_csr")
def zip_for_a_csr(scene: Scene) -> str:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("client.csr", bytes(20 * MEBIBYTE))
    request = scene.new / "bomb.csr"
    request.write_bytes(packed.getvalue()[: 64 << 10])
    return scene.sign(request)


# --- what a request says of itself ---


@row("R19", "identity headers without a certificate", by=By.OURS, way=Way.HTTP, expected="none of them arrived")
def forged_headers(scene: Scene) -> str:
    forged = ["Mutualgate-Client", "Mutualgate_Client", "Mutualgate-Verdict", "Client-Cert", "Mutualgate-Partner"]
    return scene.told("/optional", None, [(name, "operator") for name in forged], "operator")


@row("R19", "identity headers beside one's own", by=By.OURS, way=Way.HTTP, expected="none of them arrived")
def forged_beside_own(scene: Scene) -> str:
    client = forge.leaf(scene.new, scene.ca("acme"), alternative_names=[x509.DNSName("api.acme.example")])
    forged = [("mutualgate-partner", "globex"), ("MUTUALGATE-PARTNER", "globex"), ("Mutualgate-Roles", "globex")]
    return scene.told("/optional", client, forged, "globex")


@row("R19", "the same name in a trailer", by=By.OURS, way=Way.HTTP, expected="none of them arrived")
def forged_trailer(scene: Scene) -> str:
    return scene.told(
        "/optional", None, [("Trailer", "Mutualgate-Client")], "operator", trailers=[("Mutualgate-Client", "operator")]
    )


def _p12(scene: Scene) -> Path:
    """With a password, as everybody has one."""
    own = makers.openssl_self_signed(scene.new, "/CN=own")
    packed = own.certificate.with_suffix(".p12")
    makers.run(
        *("openssl", "pkcs12", "-export", "-in", own.certificate, "-inkey", own.key),
        *("-passout", "pass:secret", "-out", packed),
    )
    return packed
