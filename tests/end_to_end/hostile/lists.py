"""Revocation lists, and addresses of lists, that should not be believed or asked."""

from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ObjectIdentifier
from end_to_end import forge
from end_to_end.forge import DAY
from end_to_end.hostile import makers
from end_to_end.hostile.scene import Scene
from end_to_end.hostile.table import By, Way, row

PARTNER = "careless"
"""Whose CA the lists are said to be of; what it admits does not hang on them."""


@row(
    "R13",
    "a list by another CA of the same name",
    by=By.OPENSSL,
    way=Way.CRL,
    expected="was not signed by CN=Careless CA",
)
def another_ca(scene: Scene) -> str:
    impostor = makers.openssl_ca(scene.new, "/CN=Careless CA")
    return scene.load(PARTNER, makers.openssl_crl(scene.new, impostor))


@row("R13", "a list of another CA", by=By.OPENSSL, way=Way.CRL, expected="other_issuer")
def other_name(scene: Scene) -> str:
    return scene.load(PARTNER, makers.openssl_crl(scene.new, scene.ca("acme")))


@row("R13", "a delta where there is no base", by=By.OURS, way=Way.CRL, expected="no_base")
def delta(scene: Scene) -> str:
    file = scene.new / "delta.crl"
    file.write_bytes(forge.revocation_list(scene.ca(PARTNER), [7], delta_of=1))
    return scene.load(PARTNER, file)


@row("R13", "yesterday's list after today's", by=By.OPENSSL, way=Way.CRL, expected="done, then older_list")
def older(scene: Scene) -> str:
    """Who lost a certificate plays back the list from before it was revoked."""
    old = makers.openssl_crl(scene.new, scene.ca("rsa"), number="01", begin_hours=-24)
    new = makers.openssl_crl(scene.new, scene.ca("rsa"), number="02")
    return f"{scene.load('rsa', new)}, then {scene.load('rsa', old)}"


@row(
    "R13",
    "an indirect list",
    by=By.OURS,
    way=Way.CRL,
    expected="is an indirect CRL",
)
def indirect(scene: Scene) -> str:
    point = x509.IssuingDistributionPoint(None, None, False, False, None, True, False)
    return scene.load(PARTNER, _list(scene, (point, True))).partition(":")[0]


@row(
    "R13",
    "something critical in a list",
    by=By.OURS,
    way=Way.CRL,
    expected="has a critical extension",
)
def critical(scene: Scene) -> str:
    unknown = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    return scene.load(PARTNER, _list(scene, (unknown, True))).partition(" that")[0]


@row("R15", "a list signed with SHA-1", by=By.OPENSSL, way=Way.CRL, expected="is signed with SHA-1 or MD5")
def sha1(scene: Scene) -> str:
    return scene.load(PARTNER, makers.openssl_crl(scene.new, scene.ca(PARTNER), digest="sha1")).partition(",")[0]


@row("R28", "a list from tomorrow", by=By.OURS, way=Way.CRL, expected="begins in the future")
def from_tomorrow(scene: Scene) -> str:
    return scene.load(PARTNER, _list(scene, begin=DAY)).partition(" (")[0]


@row("R24", "64 MiB that say they are a list", by=By.OURS, way=Way.CRL, expected="is too large")
def bomb(scene: Scene) -> str:
    file = scene.new / "bomb.crl"
    with file.open("wb") as hole:
        hole.truncate(1 << 30)  # a hole: no disk is filled
    return scene.load(PARTNER, file)


@row("R13", "a certificate in place of a list", by=By.OPENSSL, way=Way.CRL, expected="holds 0 CRLs")
def certificate(scene: Scene) -> str:
    return scene.load(PARTNER, scene.ca(PARTNER).certificate_file)


@row("R11", "an address that is no web's", by=By.OURS, way=Way.CRL, expected="bad_address")
def ldap(scene: Scene) -> str:
    return scene.type("partner", "crl", "approve", PARTNER, "ldap://directory.careless.example/cn=crl")


@row("R11", "a file of this machine", by=By.OURS, way=Way.CRL, expected="bad_address")
def file(scene: Scene) -> str:
    return scene.type("partner", "crl", "approve", PARTNER, "file:///etc/passwd")


@row("R11", "a user name that hides the host", by=By.OURS, way=Way.CRL, expected="bad_address")
def user_name(scene: Scene) -> str:
    return scene.type("partner", "crl", "approve", PARTNER, "http://crl.careless.example@127.0.0.1/")


@row("R11", "an address inside, approved as if outside", by=By.OURS, way=Way.CRL, expected="not fetched, no fetch")
def inside(scene: Scene) -> str:
    """Approved by mistake: by a name that resolves to it. Written out, it is refused at once."""
    bait = scene.bait("inside")
    if scene.type("partner", "crl", "approve", PARTNER, bait) != "private_address":
        return "approved"
    bait = bait.replace("127.0.0.1", "localhost")
    approved = scene.type("partner", "crl", "approve", PARTNER, bait)
    answer = scene.typist.command("partner", "crl", "fetch", PARTNER, check=False)
    scene.typist.command("partner", "crl", "refuse", PARTNER, bait, check=False)
    told = approved != "done" or any(one["problem"] for one in answer.json["fetched"])
    return f"{'not fetched' if told else 'fetched'}, {scene.fetched('inside')}"


def _list(scene: Scene, *extensions: tuple[x509.ExtensionType, bool], begin: timedelta = -DAY) -> Path:
    ca = scene.ca(PARTNER)
    builder = x509.CertificateRevocationListBuilder().issuer_name(ca.certificate.subject)
    builder = builder.last_update(forge.now() + begin).next_update(forge.now() + begin + 7 * DAY)
    builder = builder.add_extension(x509.CRLNumber(9), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    file = scene.new / "made.crl"
    file.write_bytes(builder.sign(ca.private_key, hashes.SHA256()).public_bytes(serialization.Encoding.DER))
    return file
