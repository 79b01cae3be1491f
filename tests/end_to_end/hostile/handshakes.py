"""Handshakes under partners' CAs, with pins and with neither, each against one rule.

Each is made with somebody's program, shown to a running gate, and answers with the code of the reason.
"""

import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID, ObjectIdentifier
from end_to_end import forge
from end_to_end.forge import CLIENT_AUTH, DAY, Identity
from end_to_end.hostile import makers
from end_to_end.hostile.scene import POLICY, PROVIDER, Scene
from end_to_end.hostile.table import By, Way, row

# --- R1: another's name ---


@row("R1", "acme's CA signs a name of globex", by=By.OPENSSL, way=Way.HANDSHAKE, expected="name_not_permitted")
def another_s_name(scene: Scene) -> str:
    return scene.show(
        makers.openssl_leaf(scene.new, "/CN=x", scene.ca("acme"), "subjectAltName=DNS:api.globex.example")
    )


@row("R1", "one name of its own, one of globex", by=By.GO, way=Way.HANDSHAKE, expected="name_not_permitted")
def one_of_two_names(scene: Scene) -> str:
    return scene.show(makers.go(scene.new, "x", scene.ca("acme"), dns=["api.acme.example", "api.globex.example"]))


@row("R1", "globex in the common name only", by=By.KEYTOOL, way=Way.HANDSHAKE, expected="name_not_permitted")
def another_s_common_name(scene: Scene) -> str:
    return scene.show(makers.keytool_leaf(scene.new, "CN=api.globex.example", scene.ca("acme"), "eku=clientAuth"))


@row("R1", "the operator's common name", by=By.OPENSSL, way=Way.HANDSHAKE, expected="name_not_permitted")
def the_operator_s_name(scene: Scene) -> str:
    return scene.show(makers.openssl_leaf(scene.new, "/CN=operator", scene.ca("acme")))


@row("R1", "an own name in the subject, globex in the SAN", by=By.GO, way=Way.HANDSHAKE, expected="name_not_permitted")
def own_subject_other_name(scene: Scene) -> str:
    return scene.show(makers.go(scene.new, "api.acme.example", scene.ca("acme"), dns=["api.globex.example"]))


@row("R1", "its own name as a prefix of another's", by=By.GO, way=Way.HANDSHAKE, expected="name_not_permitted")
def own_name_in_front(scene: Scene) -> str:
    return scene.show(makers.go(scene.new, "x", scene.ca("acme"), dns=["api.acme.example.evil.example"]))


@row("R1", "a name that only ends in its own", by=By.KEYTOOL, way=Way.HANDSHAKE, expected="name_not_permitted")
def own_name_without_a_dot(scene: Scene) -> str:
    return scene.show(
        makers.keytool_leaf(scene.new, "CN=x", scene.ca("acme"), "san=dns:evilacme.example", "eku=clientAuth")
    )


@row("R1", "a mailbox at globex", by=By.OPENSSL, way=Way.HANDSHAKE, expected="name_not_permitted")
def another_s_mailbox(scene: Scene) -> str:
    return scene.show(
        makers.openssl_leaf(scene.new, "/CN=x", scene.ca("acme"), "subjectAltName=email:boss@globex.example")
    )


@row("R1", "a SPIFFE id of globex", by=By.GO, way=Way.HANDSHAKE, expected="name_not_permitted")
def another_s_uri(scene: Scene) -> str:
    return scene.show(makers.go(scene.new, "x", scene.ca("acme"), uri=["spiffe://globex.example/api"]))


@row("R1", "a path out of its own SPIFFE id", by=By.GO, way=Way.HANDSHAKE, expected="name_not_permitted")
def uri_that_climbs(scene: Scene) -> str:
    return scene.show(makers.go(scene.new, "x", scene.ca("acme"), uri=["spiffe://acme.example.evil/api"]))


@row("R1", "an address outside its own", by=By.OPENSSL, way=Way.HANDSHAKE, expected="name_not_permitted")
def another_s_address(scene: Scene) -> str:
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", scene.ca("acme"), "subjectAltName=IP:203.0.113.7"))


@row("R1", "a user principal name beside its own", by=By.OPENSSL, way=Way.HANDSHAKE, expected="name_not_permitted")
def another_kind_of_name(scene: Scene) -> str:
    names = "subjectAltName=DNS:api.acme.example,otherName:1.3.6.1.4.1.311.20.2.3;UTF8:root@globex.example"
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", scene.ca("acme"), names))


@row("R1", "a directory name beside its own", by=By.OURS, way=Way.HANDSHAKE, expected="name_not_permitted")
def a_directory_name(scene: Scene) -> str:
    names = [x509.DNSName("api.acme.example"), x509.DirectoryName(forge.name("operator"))]
    return scene.show(forge.leaf(scene.new, scene.ca("acme"), alternative_names=names))


@row(
    "R1", "a client that globex lists, signed by acme", by=By.KEYTOOL, way=Way.HANDSHAKE, expected="name_not_permitted"
)
def another_s_client(scene: Scene) -> str:
    names = "san=dns:robot.globex.example"
    return scene.show(makers.keytool_leaf(scene.new, "CN=x", scene.ca("acme"), names, "eku=clientAuth"))


@row("R1", "a dot after its own name", by=By.OPENSSL, way=Way.HANDSHAKE, expected="name_not_permitted")
def dot_after(scene: Scene) -> str:
    return scene.show(_under_acme(scene, "DNS:api.acme.example."))


@row("R1", "a mailbox of globex, quoted", by=By.OPENSSL, way=Way.HANDSHAKE, expected="name_not_permitted")
def quoted_mailbox(scene: Scene) -> str:
    return scene.show(_under_acme(scene, 'email:"a@globex.example"@acme.example'))


@row("R1", "a mailbox with two hosts", by=By.OPENSSL, way=Way.HANDSHAKE, expected="name_not_permitted")
def two_hosts(scene: Scene) -> str:
    return scene.show(_under_acme(scene, "email:a@globex.example@acme.example"))


@row("R1", "a way out of its own SPIFFE id, encoded", by=By.OPENSSL, way=Way.HANDSHAKE, expected="name_not_permitted")
def encoded_path(scene: Scene) -> str:
    return scene.show(_under_acme(scene, "URI:spiffe://acme.example/%2e%2e/globex"))


@row("R1", "an IPv4 address as IPv6", by=By.OPENSSL, way=Way.HANDSHAKE, expected="name_not_permitted")
def mapped_address(scene: Scene) -> str:
    return scene.show(_under_acme(scene, "IP:::ffff:192.0.2.1"))


def _under_acme(scene: Scene, name: str) -> Identity:
    return makers.openssl_leaf(scene.new, "/CN=x", scene.ca("acme"), f"subjectAltName={name}")


# --- R2: equal names ---


@row("R2", "a CA that is called what acme's is called", by=By.OPENSSL, way=Way.HANDSHAKE, expected="unknown_issuer")
def same_subject(scene: Scene) -> str:
    impostor = makers.openssl_ca(scene.new, "/O=Acme/CN=Acme issuing")
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", impostor, "subjectAltName=DNS:api.acme.example"))


@row("R2", "the same name and the same key identifier", by=By.GO, way=Way.HANDSHAKE, expected="bad_signature")
def same_subject_and_identifier(scene: Scene) -> str:
    known = x509.SubjectKeyIdentifier.from_public_key(scene.ca("acme").certificate.public_key()).digest
    impostor = makers.go_ca(scene.new, "", subject_of=str(scene.ca("acme").certificate_file), subject_key=known)
    return scene.show(makers.go(scene.new, "x", impostor, dns=["api.acme.example"]))


@row("R2", "another partner's CA of the same name", by=By.GO, way=Way.HANDSHAKE, expected="name_not_permitted")
def same_subject_of_another_partner(scene: Scene) -> str:
    return scene.show(makers.go(scene.new, "x", scene.ca("twin"), dns=["api.acme.example"]))


# --- R3, R4: pins ---


@row("R3", "issuer, subject and serial of a pinned one", by=By.OURS, way=Way.HANDSHAKE, expected="unknown_issuer")
def copy_of_a_pin(scene: Scene) -> str:
    pinned = scene.identity("pinned").leaf()
    key = forge.private_key("p256")
    builder = x509.CertificateBuilder().subject_name(pinned.subject).issuer_name(pinned.issuer)
    builder = builder.serial_number(pinned.serial_number).public_key(key.public_key())
    builder = builder.not_valid_before(pinned.not_valid_before_utc).not_valid_after(pinned.not_valid_after_utc)
    for extension in pinned.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return scene.show(forge.written(scene.new, builder.sign(key, hashes.SHA256()), key))


@row("R3", "serial 1 and no identifiers, X.509 v1", by=By.OPENSSL, way=Way.HANDSHAKE, expected="unknown_issuer")
def first_serial(scene: Scene) -> str:
    return scene.show(makers.openssl_leaf(scene.new, "/CN=pinned", None, serial="01", v1=True))


@row("R3", "another certificate for a pinned one's key", by=By.OPENSSL, way=Way.HANDSHAKE, expected="unknown_issuer")
def same_key(scene: Scene) -> str:
    again = scene.new / "again.pem"
    makers.run(
        *(
            "openssl",
            "req",
            "-x509",
            "-key",
            scene.identity("pinned").key,
            "-subj",
            "/CN=pinned",
            "-days",
            "3000",
            "-out",
            again,
        )
    )
    return scene.show(Identity(again, scene.identity("pinned").key))


@row("R4", "signed by a pinned self-signed CA:TRUE", by=By.OPENSSL, way=Way.HANDSHAKE, expected="unknown_issuer")
def child_of_a_pin(scene: Scene) -> str:
    parent = makers.authority(scene.identity("pinned"))
    names = "subjectAltName=DNS:api.acme.example"
    return scene.show(makers.openssl_leaf(scene.new, "/CN=child", parent, names))


@row("R4", "the same, with the pinned one sent along", by=By.GO, way=Way.HANDSHAKE, expected="unknown_issuer")
def child_with_its_pin(scene: Scene) -> str:
    parent = makers.authority(scene.identity("pinned"))
    return scene.show(makers.go(scene.new, "pinned", parent, chain=[scene.identity("pinned").certificate]))


@row("R4", "signed by a key that is pinned", by=By.KEYTOOL, way=Way.HANDSHAKE, expected="unknown_issuer")
def child_of_a_pinned_key(scene: Scene) -> str:
    parent = makers.authority(scene.identity("pinned_key"))
    return scene.show(makers.keytool_leaf(scene.new, "CN=child", parent, "eku=clientAuth"))


# --- R6, R7: CAs that count for nothing ---


@row("R6", "a CA whose partner has no name rule", by=By.OPENSSL, way=Way.HANDSHAKE, expected="name_not_permitted")
def no_rule(scene: Scene) -> str:
    names = "subjectAltName=DNS:api.nameless.example"
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", scene.ca("nameless"), names))


@row("R6", "a shared CA, for a name beside the listed one", by=By.GO, way=Way.HANDSHAKE, expected="name_not_permitted")
def another_customer_of_a_shared_ca(scene: Scene) -> str:
    return scene.show(makers.go(scene.new, "x", scene.ca("shared"), dns=["other.shopper.example"]))


@row("R7", "a CA that waits for its proof", by=By.OPENSSL, way=Way.HANDSHAKE, expected="unknown_issuer")
def pending(scene: Scene) -> str:
    names = "subjectAltName=DNS:api.acme.example"
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", scene.ca("pending"), names))


@row("R7", "acme's certificate, without its key", by=By.OURS, way=Way.HANDSHAKE, expected="no handshake")
def stolen(scene: Scene) -> str:
    honest = forge.leaf(scene.new, scene.ca("acme"), alternative_names=[x509.DNSName("api.acme.example")])
    return scene.show(Identity(honest.certificate, forge.stolen(scene.new, honest)))


# --- R8: the end of a CA ---


@row("R8", "a CA past its own end", by=By.OPENSSL, way=Way.HANDSHAKE, expected="expired")
def expired_anchor(scene: Scene) -> str:
    names = "subjectAltName=DNS:api.short.example"
    leaf = makers.openssl_leaf(scene.new, "/CN=x", scene.ca("short"), names, days=400)
    return scene.judge(leaf, days=60)


@row("R8", "an expired intermediate below a good CA", by=By.OPENSSL, way=Way.HANDSHAKE, expected="expired")
def expired_intermediate(scene: Scene) -> str:
    below = makers.openssl_ca(
        scene.new, "/CN=Acme old", scene.ca("acme"), begin="20200101000000Z", end="20210101000000Z"
    )
    names = "subjectAltName=DNS:api.acme.example"
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", below, names, chain=[below.certificate_file]))


# --- R9, R10: what stands between ---


@row("R9", "a further CA where none may stand", by=By.OPENSSL, way=Way.HANDSHAKE, expected="path_invalid")
def too_deep_by_one(scene: Scene) -> str:
    below = makers.openssl_ca(scene.new, "/CN=Globex sub", scene.ca("globex"))
    names = "subjectAltName=DNS:robot.globex.example"
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", below, names, chain=[below.certificate_file]))


@row("R9", "two further CAs where one may stand", by=By.GO, way=Way.HANDSHAKE, expected="path_invalid")
def too_deep_by_two(scene: Scene) -> str:
    first = makers.go_ca(scene.new, "Acme sub", scene.ca("acme"))
    second = makers.go_ca(scene.new, "Acme sub sub", first)
    chain = [second.certificate_file, first.certificate_file]
    return scene.show(makers.go(scene.new, "x", second, dns=["api.acme.example"], chain=chain))


@row("R9", "a further CA that is not on the list", by=By.OPENSSL, way=Way.HANDSHAKE, expected="path_invalid")
def unlisted_sub_ca(scene: Scene) -> str:
    below = makers.openssl_ca(scene.new, "/CN=Picky other", scene.ca("picky"))
    names = "subjectAltName=DNS:api.picky.example"
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", below, names, chain=[below.certificate_file]))


@row("R9", "a new CA between, where new ones wait", by=By.GO, way=Way.HANDSHAKE, expected="path_invalid, then waits")
def new_sub_ca(scene: Scene) -> str:
    below = makers.go_ca(scene.new, "Wary new", scene.ca("wary"))
    leaf = makers.go(scene.new, "x", below, dns=["api.wary.example"], chain=[below.certificate_file])
    return f"{scene.show(leaf)}, then {scene.below('wary', 'CN=Wary new')}"


@row("R9", "and once it was allowed", by=By.OPENSSL, way=Way.HANDSHAKE, expected="path_invalid, then admitted")
def allowed_sub_ca(scene: Scene) -> str:
    below = makers.openssl_ca(scene.new, "/CN=Wary next", scene.ca("wary"))
    names = "subjectAltName=DNS:api.wary.example"
    leaf = makers.openssl_leaf(scene.new, "/CN=x", below, names, chain=[below.certificate_file])
    before = scene.show(leaf)
    scene.below("wary", "CN=Wary next")
    scene.typist.command("partner", "ca", "allow", "wary", below.certificate_file)
    return f"{before}, then {scene.show(leaf)}"


@row("R9", "not under the policy that was agreed on", by=By.OPENSSL, way=Way.HANDSHAKE, expected="path_invalid")
def another_policy(scene: Scene) -> str:
    names = ("subjectAltName=DNS:api.regulated.example", "certificatePolicies=1.3.6.1.4.1.99999.2,2.5.29.32.0")
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", scene.ca("regulated"), *names))


@row("R9", "a CA between that is not under the policy", by=By.OPENSSL, way=Way.HANDSHAKE, expected="path_invalid")
def another_policy_above(scene: Scene) -> str:
    below = makers.openssl_ca(scene.new, "/CN=Regulated sub", scene.ca("regulated"))
    names = ("subjectAltName=DNS:api.regulated.example", f"certificatePolicies={POLICY}")
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", below, *names, chain=[below.certificate_file]))


@row("R9", "under the policy, and the CA between under any", by=By.OPENSSL, way=Way.HANDSHAKE, expected="admitted")
def the_policy(scene: Scene) -> str:
    wish = (*makers.CA, "certificatePolicies=2.5.29.32.0")
    below = makers.openssl_ca(scene.new, "/CN=Regulated sub", scene.ca("regulated"), extensions=wish)
    names = ("subjectAltName=DNS:api.regulated.example", f"certificatePolicies={POLICY}")
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", below, *names, chain=[below.certificate_file]))


@row("R9", "a sister CA under the same root", by=By.GO, way=Way.HANDSHAKE, expected="unknown_issuer")
def sister(scene: Scene) -> str:
    sister = makers.go_ca(scene.new, "Acme other", scene.ca("acme_root"))
    chain = [sister.certificate_file, scene.ca("acme_root").certificate_file]
    return scene.show(makers.go(scene.new, "x", sister, dns=["api.acme.example"], chain=chain))


@row("R9", "the root above the registered CA", by=By.OPENSSL, way=Way.HANDSHAKE, expected="unknown_issuer")
def the_root_above(scene: Scene) -> str:
    names = "subjectAltName=DNS:api.acme.example"
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", scene.ca("acme_root"), names))


@row("R10", "an intermediate that nobody sent or gave", by=By.KEYTOOL, way=Way.HANDSHAKE, expected="unknown_issuer")
def missing_intermediate(scene: Scene) -> str:
    below = makers.openssl_ca(scene.new, "/CN=Acme unsent", scene.ca("acme"))
    return scene.show(makers.keytool_leaf(scene.new, "CN=x", below, "san=dns:api.acme.example", "eku=clientAuth"))


@row("R10", "an address where the intermediate is", by=By.GO, way=Way.HANDSHAKE, expected="unknown_issuer, no fetch")
def fetched_intermediate(scene: Scene) -> str:
    below = makers.go_ca(scene.new, "Acme unsent", scene.ca("acme"))
    url = scene.bait("issuer")
    leaf = makers.go(scene.new, "x", below, dns=["api.acme.example"], issuers=[url])
    return f"{scene.show(leaf)}, {scene.fetched('issuer')}"


@row(
    "R10",
    "acme's helper certificate for another's path",
    by=By.OPENSSL,
    way=Way.HANDSHAKE,
    expected="name_not_permitted",
)
def helper_of_another(scene: Scene) -> str:
    names = "subjectAltName=DNS:robot.globex.example"
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", scene.ca("acme_sub"), names))


@row(
    "R11",
    "lists and responders inside the network",
    by=By.GO,
    way=Way.HANDSHAKE,
    expected="name_not_permitted, no fetch",
)
def addresses_inside(scene: Scene) -> str:
    lists, ocsp = scene.bait("list"), scene.bait("ocsp")
    leaf = makers.go(scene.new, "x", scene.ca("acme"), dns=["api.globex.example"], lists=[lists], ocsp=[ocsp])
    return f"{scene.show(leaf)}, {scene.fetched('list', 'ocsp')}"


# --- R12, R13: lists ---


@row("R12", "a CA that needs a list, without one", by=By.OPENSSL, way=Way.HANDSHAKE, expected="crl_missing")
def no_list(scene: Scene) -> str:
    names = "subjectAltName=DNS:api.careful.example"
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", scene.ca("careful"), names))


@row("R12", "a list that is past its end", by=By.GO, way=Way.HANDSHAKE, expected="crl_expired")
def old_list(scene: Scene) -> str:
    leaf = makers.go(scene.new, "x", scene.ca("listed"), dns=["api.listed.example"])
    return scene.judge(leaf, days=20)


@row("R12", "ten years, where revocation is not asked", by=By.OPENSSL, way=Way.HANDSHAKE, expected="path_invalid")
def long_life(scene: Scene) -> str:
    names = "subjectAltName=DNS:api.careless.example"
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", scene.ca("careless"), names, days=3650))


@row("R12", "a list for another distribution point", by=By.GO, way=Way.HANDSHAKE, expected="crl_missing")
def other_point(scene: Scene) -> str:
    leaf = makers.go(
        scene.new, "x", scene.ca("parted"), dns=["api.parted.example"], lists=["http://crl.parted.example/2"]
    )
    return scene.show(leaf)


# --- R14: out at once ---


@row("R14", "on its CA's list", by=By.OPENSSL, way=Way.HANDSHAKE, expected="revoked")
def revoked(scene: Scene) -> str:
    return scene.show(scene.identity("revoked"))


@row(
    "R14",
    "a connection that was open when it was revoked",
    by=By.OURS,
    way=Way.HANDSHAKE,
    expected="in, then out",
)
def revoked_while_connected(scene: Scene) -> str:
    name = scene.name("leaver")
    identity = scene.client(name)
    with scene.gate.open(identity) as connection:
        before = connection.request("/").status
        scene.typist.command("client", "revoke", name)
        try:
            after = connection.request("/").status
        except (ConnectionError, ssl.SSLError):
            after = 0
    return f"{'in' if before == 200 else 'out'}, then {'in' if after == 200 else 'out'}"


@row("R14", "a pin that was retired", by=By.OPENSSL, way=Way.HANDSHAKE, expected="pin_retired")
def retired_pin(scene: Scene) -> str:
    return scene.show(scene.identity("retired_pin"))


# --- R15: weak crypto ---


@row("R15", "RSA of 1,024 bits", by=By.GO, way=Way.HANDSHAKE, expected="weak_key")
def short_rsa(scene: Scene) -> str:
    return scene.show(makers.go(scene.new, "x", scene.ca("acme"), dns=["api.acme.example"], key="rsa1024"))


@row("R15", "signed with SHA-1", by=By.OPENSSL, way=Way.HANDSHAKE, expected="bad_signature")
def sha1(scene: Scene) -> str:
    names = "subjectAltName=DNS:api.acme.example"
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", scene.ca("acme"), names, digest="sha1"))


@row("R15", "signed with MD5", by=By.OPENSSL, way=Way.HANDSHAKE, expected="bad_signature")
def md5(scene: Scene) -> str:
    names = "subjectAltName=DNS:api.rsa.example"
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", scene.ca("rsa"), names, digest="md5"))


@row("R15", "an intermediate signed with SHA-1", by=By.OPENSSL, way=Way.HANDSHAKE, expected="bad_signature")
def sha1_above(scene: Scene) -> str:
    below = makers.openssl_ca(scene.new, "/CN=Acme sha1", scene.ca("acme"), digest="sha1")
    names = "subjectAltName=DNS:api.acme.example"
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", below, names, chain=[below.certificate_file]))


@row("R15", "an intermediate with RSA of 1,024 bits", by=By.GO, way=Way.HANDSHAKE, expected="weak_key")
def short_rsa_above(scene: Scene) -> str:
    below = makers.go_ca(scene.new, "Acme short", scene.ca("acme"), key="rsa1024")
    return scene.show(makers.go(scene.new, "x", below, dns=["api.acme.example"], chain=[below.certificate_file]))


@row("R15", "ECDSA on secp256k1", by=By.OPENSSL, way=Way.HANDSHAKE, expected="weak_key")
def other_curve(scene: Scene) -> str:
    names = "subjectAltName=DNS:api.acme.example"
    key = "EC -pkeyopt ec_paramgen_curve:secp256k1"
    return scene.judge(makers.openssl_leaf(scene.new, "/CN=x", scene.ca("acme"), names, key=key))


@row("R15", "SHA1withRSA by keytool", by=By.KEYTOOL, way=Way.HANDSHAKE, expected="bad_signature")
def sha1_by_keytool(scene: Scene) -> str:
    wish = ("san=dns:api.rsa.example", "eku=clientAuth")
    return scene.show(
        makers.keytool_leaf(scene.new, "CN=x", scene.ca("rsa"), *wish, key="RSA", algorithm="SHA1withRSA")
    )


# --- R16, R17: what it may be used for ---


@row("R16", "for servers only", by=By.KEYTOOL, way=Way.HANDSHAKE, expected="not_for_client_auth")
def server_only(scene: Scene) -> str:
    wish = ("san=dns:api.acme.example", "eku=serverAuth")
    return scene.show(makers.keytool_leaf(scene.new, "CN=x", scene.ca("acme"), *wish))


@row("R16", "for signing code", by=By.GO, way=Way.HANDSHAKE, expected="not_for_client_auth")
def code_signing(scene: Scene) -> str:
    return scene.show(makers.go(scene.new, "x", scene.ca("acme"), dns=["api.acme.example"], usages=["code"]))


@row("R16", "an intermediate for servers only", by=By.GO, way=Way.HANDSHAKE, expected="not_for_client_auth")
def server_only_above(scene: Scene) -> str:
    below = makers.go_ca(scene.new, "Acme servers", scene.ca("acme"), usages=["server"])
    return scene.show(makers.go(scene.new, "x", below, dns=["api.acme.example"], chain=[below.certificate_file]))


@row("R17", "a CA as a client", by=By.KEYTOOL, way=Way.HANDSHAKE, expected="ca_as_client")
def ca_as_client(scene: Scene) -> str:
    wish = ("san=dns:api.acme.example", "bc:critical=ca:true", "eku=clientAuth")
    return scene.show(makers.keytool_leaf(scene.new, "CN=x", scene.ca("acme"), *wish))


@row("R17", "X.509 v1 under a partner's CA", by=By.OPENSSL, way=Way.HANDSHAKE, expected="path_invalid")
def v1_leaf(scene: Scene) -> str:
    return scene.show(makers.openssl_leaf(scene.new, "/CN=api.acme.example", scene.ca("acme"), v1=True))


@row("R17", "X.509 v1 as an intermediate", by=By.OPENSSL, way=Way.HANDSHAKE, expected="path_invalid")
def v1_above(scene: Scene) -> str:
    below = makers.authority(makers.openssl_leaf(scene.new, "/CN=Acme v1", scene.ca("acme"), v1=True))
    names = "subjectAltName=DNS:api.acme.example"
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", below, names, chain=[below.certificate_file]))


@row("R17", "no CA's, and may sign certificates", by=By.OPENSSL, way=Way.HANDSHAKE, expected="path_invalid")
def signing_leaf(scene: Scene) -> str:
    names = "subjectAltName=DNS:api.acme.example"
    usage = "keyUsage=digitalSignature,keyCertSign"
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", scene.ca("acme"), names, usage))


@row("R17", "names that it may sign for, in no CA's", by=By.OPENSSL, way=Way.HANDSHAKE, expected="path_invalid")
def constrained_leaf(scene: Scene) -> str:
    names = "subjectAltName=DNS:api.acme.example"
    constraints = "nameConstraints=critical,permitted;DNS:acme.example"
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", scene.ca("acme"), names, constraints))


@row("R17", "signed by a client of acme", by=By.GO, way=Way.HANDSHAKE, expected="path_invalid")
def signed_by_a_client(scene: Scene) -> str:
    client = makers.authority(makers.go(scene.new, "x", scene.ca("acme"), dns=["api.acme.example"]))
    return scene.show(makers.go(scene.new, "y", client, dns=["b.acme.example"], chain=[client.certificate_file]))


@row("R17", "a path longer than its constraint", by=By.GO, way=Way.HANDSHAKE, expected="path_invalid")
def path_length(scene: Scene) -> str:
    below = makers.go_ca(scene.new, "Acme below zero", scene.ca("strict"))
    return scene.show(makers.go(scene.new, "x", below, dns=["api.strict.example"], chain=[below.certificate_file]))


@row("R17", "outside the CA's own name constraints", by=By.GO, way=Way.HANDSHAKE, expected="path_invalid")
def name_constraints(scene: Scene) -> str:
    below = makers.go_ca(scene.new, "Acme bound", scene.ca("acme"), permitted=["inner.acme.example"])
    return scene.show(makers.go(scene.new, "x", below, dns=["api.acme.example"], chain=[below.certificate_file]))


@row("R17", "something critical that nobody knows", by=By.OPENSSL, way=Way.HANDSHAKE, expected="path_invalid")
def critical(scene: Scene) -> str:
    wish = ("subjectAltName=DNS:api.acme.example", "1.3.6.1.4.1.99999.1=critical,ASN1:NULL")
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", scene.ca("acme"), *wish))


# --- R18, R19, R20: names, headers, hints ---


@row("R18", "a NUL in a name", by=By.OURS, way=Way.HANDSHAKE, expected="name_not_permitted")
def nul(scene: Scene) -> str:
    names = [x509.DNSName("api.acme.example\0.globex.example")]
    return scene.show(forge.leaf(scene.new, scene.ca("acme"), alternative_names=names))


@row("R18", "lines of a header in the common name", by=By.OURS, way=Way.HANDSHAKE, expected="name_not_permitted")
def header_in_a_name(scene: Scene) -> str:
    return scene.show(forge.leaf(scene.new, scene.ca("acme"), "x\r\nMutualgate-Client: operator"))


@row("R18", "the same attributes in another order", by=By.OPENSSL, way=Way.HANDSHAKE, expected="name_not_permitted")
def other_order(scene: Scene) -> str:
    return scene.show(makers.openssl_leaf(scene.new, "/CN=robot/O=Globex", scene.ca("globex")))


@row("R18", "two attributes where the rule has one", by=By.OPENSSL, way=Way.HANDSHAKE, expected="name_not_permitted")
def more_attributes(scene: Scene) -> str:
    return scene.show(makers.openssl_leaf(scene.new, "/O=Globex/OU=x/CN=robot", scene.ca("globex")))


@row("R18", "a comma that looks like two attributes", by=By.OURS, way=Way.HANDSHAKE, expected="name_not_permitted")
def comma(scene: Scene) -> str:
    return scene.show(forge.leaf(scene.new, scene.ca("globex"), "robot,O=Globex"))


@row("R20", "the names of CAs are asked for", by=By.OPENSSL, way=Way.HANDSHAKE, expected="none are named")
def hints(scene: Scene) -> str:
    said = makers.run(
        *("openssl", "s_client", "-connect", f"127.0.0.1:{scene.gate.port}", "-servername", "localhost"),
        *("-CAfile", scene.gate.root),
        stdin=b"",
    )
    return "none are named" if b"No client certificate CA names sent" in said else "CAs are named"


# --- R21, R22, R23: rotation, isolation, environments ---


@row("R21", "a CA after its retirement", by=By.OPENSSL, way=Way.HANDSHAKE, expected="unknown_issuer")
def retired_anchor(scene: Scene) -> str:
    names = "subjectAltName=DNS:api.retired.example"
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", scene.ca("retired"), names))


@row(
    "R21",
    "its successor of the same name vouches for another",
    by=By.GO,
    way=Way.HANDSHAKE,
    expected="name_not_permitted",
)
def successor(scene: Scene) -> str:
    return scene.show(makers.go(scene.new, "x", scene.ca("twin"), dns=["b.acme.example"]))


@row("R22", "acme's clients after a CA of acme's name came", by=By.GO, way=Way.HANDSHAKE, expected="admitted")
def undisturbed(scene: Scene) -> str:
    return scene.show(makers.go(scene.new, "x", scene.ca("acme"), dns=["api.acme.example"]))


@row("R23", "a CA for testing at the production site", by=By.OPENSSL, way=Way.HANDSHAKE, expected="not_granted")
def test_environment(scene: Scene) -> str:
    names = "subjectAltName=DNS:api.sandbox.example"
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", scene.ca("sandbox"), names))


# --- R24: bounds ---


@row("R24", "five certificates", by=By.OPENSSL, way=Way.HANDSHAKE, expected="malformed")
def five(scene: Scene) -> str:
    chain = [scene.ca("acme").certificate_file, scene.ca("acme_root").certificate_file] * 2
    names = "subjectAltName=DNS:api.acme.example"
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", scene.ca("acme"), names, chain=chain))


@row("R24", "more names than anybody has", by=By.GO, way=Way.HANDSHAKE, expected="malformed")
def many_names(scene: Scene) -> str:
    names = [f"{number}.{'x' * 40}.acme.example" for number in range(900)]
    return scene.show(makers.go(scene.new, "x", scene.ca("acme"), dns=names))


@row("R24", "RSA of 16,384 bits", by=By.OURS, way=Way.HANDSHAKE, expected="weak_key")
def long_rsa(scene: Scene) -> str:
    """Nobody can finish a handshake with a number that is no product of primes; the judge is asked directly."""
    public = rsa.RSAPublicNumbers(65537, (1 << 16_383) | (1 << 9_000) | 1).public_key()
    builder = x509.CertificateBuilder().subject_name(forge.name("x")).issuer_name(scene.ca("acme").certificate.subject)
    builder = builder.public_key(public).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(forge.now() - DAY).not_valid_after(forge.now() + DAY)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("api.acme.example")]), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage([CLIENT_AUTH]), critical=False)
    certificate = builder.sign(scene.ca("acme").private_key, hashes.SHA256())
    file = scene.new / "long.pem"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return scene.judge(Identity(file, file))


@row("R24", "a ring of intermediates", by=By.GO, way=Way.HANDSHAKE, expected="unknown_issuer")
def ring(scene: Scene) -> str:
    """Two CAs that signed each other."""
    first, second = makers.go_ca(scene.new, "Ring one"), makers.go_ca(scene.new, "Ring two")
    key = first.key_file
    crossed = []
    for subject, issuer in ((first, second), (second, first)):
        request = scene.new / f"{subject.certificate_file.stem}.crossed.pem"
        makers.run(
            *("openssl", "x509", "-in", subject.certificate_file, "-CA", issuer.certificate_file),
            *("-CAkey", issuer.key_file, "-set_serial", "7", "-days", "30", "-out", request),
        )
        crossed.append(request)
    assert key.exists()
    return scene.show(makers.go(scene.new, "x", first, dns=["api.acme.example"], chain=crossed))


# --- R25 to R28 ---

PSD2 = ObjectIdentifier("2.5.4.97")


@row("R25", "another bank's number in the shared CA", by=By.OURS, way=Way.HANDSHAKE, expected="name_not_permitted")
def another_bank(scene: Scene) -> str:
    subject = x509.Name(
        [x509.NameAttribute(PSD2, "PSDBE-NBB-0002"), x509.NameAttribute(NameOID.COMMON_NAME, "Other bank")]
    )
    return scene.show(forge.leaf(scene.new, scene.ca("shared"), subject=subject))


@row("R25", "a number that begins with the right one", by=By.GO, way=Way.HANDSHAKE, expected="name_not_permitted")
def longer_number(scene: Scene) -> str:
    return scene.show(makers.go(scene.new, "Bank", scene.ca("shared"), extra={"2.5.4.97": "PSDBE-NBB-00011"}))


@row("R25", "a bank whose licence was withdrawn", by=By.OPENSSL, way=Way.HANDSHAKE, expected="client_suspended")
def suspended_partner(scene: Scene) -> str:
    names = "subjectAltName=DNS:api.unlicensed.example"
    return scene.show(makers.openssl_leaf(scene.new, "/CN=x", scene.ca("unlicensed"), names))


@row("R25", "another provider under the qualified CA", by=By.OPENSSL, way=Way.HANDSHAKE, expected="name_not_permitted")
def another_provider(scene: Scene) -> str:
    names = "subjectAltName=DNS:api.bank.example"
    subject = "/C=BE/O=Bank/organizationIdentifier=PSDBE-NBB-0000000002/CN=api.bank.example"
    return scene.show(makers.openssl_leaf(scene.new, subject, scene.ca("bank"), names))


@row("R25", "two identifiers, its own among them", by=By.OPENSSL, way=Way.HANDSHAKE, expected="name_not_permitted")
def two_identifiers(scene: Scene) -> str:
    subject = f"/organizationIdentifier={PROVIDER}/organizationIdentifier=PSDBE-NBB-0000000002/CN=x"
    return scene.show(makers.openssl_leaf(scene.new, subject, scene.ca("bank")))


@row("R25", "a host of the bank's, and no identifier", by=By.GO, way=Way.HANDSHAKE, expected="name_not_permitted")
def no_identifier(scene: Scene) -> str:
    return scene.show(makers.go(scene.new, "x", scene.ca("bank"), dns=["api.bank.example"]))


@row("R25", "its identifier, beside the host of acme", by=By.OPENSSL, way=Way.HANDSHAKE, expected="admitted")
def the_provider(scene: Scene) -> str:
    subject = f"/C=BE/O=Bank/organizationIdentifier={PROVIDER}/CN=x"
    return scene.show(makers.openssl_leaf(scene.new, subject, scene.ca("bank"), "subjectAltName=DNS:api.acme.example"))


@row("R26", "a pinned certificate past the pin's end", by=By.OPENSSL, way=Way.HANDSHAKE, expected="pin_retired")
def pin_past_its_end(scene: Scene) -> str:
    return scene.judge(scene.identity("pinned"), days=500)


@row("R26", "a pinned key past the pin's end", by=By.KEYTOOL, way=Way.HANDSHAKE, expected="pin_retired")
def pinned_key_past_its_end(scene: Scene) -> str:
    return scene.judge(scene.identity("pinned_key"), days=500)


@row("R28", "a client's certificate from tomorrow", by=By.KEYTOOL, way=Way.HANDSHAKE, expected="not_yet_valid")
def from_tomorrow(scene: Scene) -> str:
    wish = ("san=dns:api.acme.example", "eku=clientAuth")
    return scene.show(makers.keytool_leaf(scene.new, "CN=x", scene.ca("acme"), *wish, begin="+1d"))


@row("R28", "an intermediate from tomorrow", by=By.GO, way=Way.HANDSHAKE, expected="not_yet_valid")
def intermediate_from_tomorrow(scene: Scene) -> str:
    below = makers.go_ca(scene.new, "Acme tomorrow", scene.ca("acme"), begin_hours=24.0)
    return scene.show(makers.go(scene.new, "x", below, dns=["api.acme.example"], chain=[below.certificate_file]))
