"""Adopting what the old recipe left: made with the openssl commands that people typed."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pki
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mutualgate.authorities.adopt import Adoption, Estate, adopt
from mutualgate.authorities.findings import Finding, Severity
from mutualgate.authorities.keys import read_private_key
from mutualgate.authorities.profiles import ClientProfile, prepare, sign
from mutualgate.errors import BadInput
from mutualgate.gate import Judge, Verdict
from mutualgate.snapshot.records import AuthorityRecord, Batch, ClientRecord, encode

_ROOT = pki.ca("fuzzed root", now=pki.real_now())
_LEAF = pki.leaf(_ROOT, "fuzzed", now=pki.real_now())


@pytest.fixture
def old(recipe: Path, tmp_path: Path) -> Path:
    """A copy of what the recipe leaves, to change."""
    return shutil.copytree(recipe, tmp_path / "old")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the recipe leaves in a folder, word for word: a root, its serial file, two clients."""
    tmp_path = tmp_path_factory.mktemp("recipe")
    pki.openssl("genrsa", "-out", "rootCA.key", "2048", cwd=tmp_path)
    root = ("req", "-x509", "-new", "-key", "rootCA.key", "-sha256", "-days", "3650", "-out", "rootCA.pem")
    pki.openssl(*root, "-subj", "/C=DE/O=Old/CN=Old root", cwd=tmp_path)
    (tmp_path / "issued").mkdir()
    for name in ("client", "other"):
        at = f"issued/{name}"
        pki.openssl("genrsa", "-out", f"{at}.key", "2048", cwd=tmp_path)
        pki.openssl("req", "-new", "-key", f"{at}.key", "-out", f"{at}.csr", "-subj", f"/CN={name}", cwd=tmp_path)
        serial = ("-CAserial", "rootCA.srl", "-CAcreateserial") if name == "client" else ("-CAserial", "rootCA.srl")
        sign_it = ("x509", "-req", "-in", f"{at}.csr", "-CA", "rootCA.pem", "-CAkey", "rootCA.key", *serial)
        pki.openssl(*sign_it, "-out", f"{at}.crt", "-days", "500", "-sha256", cwd=tmp_path)
    export = ("pkcs12", "-export", "-in", "issued/client.crt", "-inkey", "issued/client.key")
    pki.openssl(*export, "-out", "issued/client.p12", "-passout", "pass:changeit", cwd=tmp_path)
    return tmp_path


def adopted(folder: Path, **changes: Any) -> Adoption:
    """The estate in `folder`: what lies there under the recipe's names."""
    names = {"key": "rootCA.key", "serial": "rootCA.srl", "issued": "issued", "crl": "root.crl"}
    files: dict[str, Any] = {word: folder / name for word, name in names.items() if (folder / name).exists()}
    return adopt(Estate(certificate=folder / "rootCA.pem", **(files | changes)), pki.real_now())


def estate(folder: Path, root: pki.Issued, **leaves: pki.Issued) -> Path:
    """An estate of `root` and `leaves`."""
    (folder / "rootCA.pem").write_bytes(root.pem)
    (folder / "issued").mkdir()
    for name, leaf in leaves.items():
        (folder / "issued" / f"{name}.crt").write_bytes(leaf.pem)
    return folder


def codes(adoption: Adoption) -> list[str]:
    return [finding.code for finding in adoption.findings]


def the(adoption: Adoption, code: str) -> Finding:
    [finding] = [finding for finding in adoption.findings if finding.code == code]
    return finding


def new_root(name: str = "root") -> pki.Issued:
    return pki.ca(name, now=pki.real_now())


def new_leaf(root: pki.Issued, name: str = "client", **anything: Any) -> pki.Issued:
    return pki.leaf(root, name, now=pki.real_now(), **anything)


def test_the_old_recipe_is_adopted_whole(old: Path) -> None:
    adoption = adopted(old)
    [authority] = adoption.authorities
    assert authority.subject == "CN=Old root,O=Old,C=DE"
    assert authority.der == x509.load_pem_x509_certificate((old / "rootCA.pem").read_bytes()).public_bytes(Encoding.DER)
    assert [leaf.subject for leaf in adoption.issued] == ["CN=client", "CN=other"]
    assert all(leaf.admissible and leaf.authority == 0 for leaf in adoption.issued)
    assert adoption.issued[0].serial.hex().upper() == _serial_of(old / "issued" / "client.crt")
    assert adoption.issued[0].fingerprint.hex() == _fingerprint_of(old / "issued" / "client.crt")
    assert not [finding for finding in adoption.findings if finding.severity is Severity.REFUSED]
    assert "ca_without_key_usage" in codes(adoption)
    if pki.openssl_makes_v1():
        assert codes(adoption).count("v1_certificate") == 2
    assert str(old / "issued" / "client.p12") in adoption.skipped
    assert the(adoption, "pkcs12_skipped").where == str(old / "issued" / "client.p12")
    assert "certificates_missing" not in codes(adoption)


def test_with_its_key_it_can_sign(old: Path) -> None:
    [authority] = adopted(old).authorities
    assert authority.key is not None
    now = pki.real_now()
    client = sign(
        prepare(ClientProfile(1, "new"), pki.fresh_key().public_key(), authority.certificate, now), authority.key
    )
    client.verify_directly_issued_by(authority.certificate)


def test_without_its_key_it_is_adopted_all_the_same(old: Path) -> None:
    (old / "rootCA.key").unlink()
    [authority] = adopted(old).authorities
    assert authority.key is None


def test_an_encrypted_key_needs_its_password(old: Path) -> None:
    pki.openssl("rsa", "-aes256", "-in", "rootCA.key", "-out", "locked.key", "-passout", "pass:secret", cwd=old)
    [authority] = adopted(old, key=old / "locked.key", key_password=b"secret").authorities
    plain = read_private_key((old / "rootCA.key").read_bytes(), None, "x")
    assert authority.key is not None
    assert authority.key.public_key() == plain.public_key()
    for password, code in ((None, "password_needed"), (b"wrong", "wrong_password")):
        with pytest.raises(BadInput) as refused:
            adopted(old, key=old / "locked.key", key_password=password)
        assert refused.value.code == code


def test_secrets_do_not_show(old: Path) -> None:
    shown = repr(Estate(old / "rootCA.pem", key_password=b"hunter2")) + repr(adopted(old))
    assert "hunter2" not in shown
    assert "PrivateKey" not in shown


def test_a_key_that_does_not_match_is_refused(old: Path) -> None:
    with pytest.raises(BadInput) as refused:
        adopted(old, key=old / "issued" / "client.key")
    assert refused.value.code == "key_mismatch"
    assert "key and certificate do not match" in str(refused.value)


def test_certificates_in_der_are_read_too(old: Path) -> None:
    for name in ("rootCA.pem", "issued/client.crt"):
        pki.openssl("x509", "-in", name, "-outform", "DER", "-out", name + ".new", cwd=old)
        (old / (name + ".new")).rename(old / name)
    assert len(adopted(old).issued) == 2


def test_a_missing_certificate_is_told_from_the_serial_file(old: Path) -> None:
    (old / "issued" / "client.crt").unlink()
    (old / "rootCA.srl").write_text(f"{int((old / 'rootCA.srl').read_text(), 16) + 1:X}\n")
    (old / "rootCA.srl").write_text(f"{int((old / 'rootCA.srl').read_text(), 16) + 1:X}\n")
    assert "2 more certificates" in the(adopted(old), "certificates_missing").sentence


def test_a_crl_comes_with_it(tmp_path: Path) -> None:
    root = new_root()
    leaf = new_leaf(root)
    estate(tmp_path, root, a=leaf)
    (tmp_path / "root.crl").write_bytes(pki.crl(root, leaf.certificate.serial_number, now=pki.real_now()))
    adoption = adopted(tmp_path)
    assert list(adoption.crls) == [0]
    assert [entry.serial for entry in adoption.crls[0].entries()] == [adoption.issued[0].serial]
    assert codes(adoption) == []
    (tmp_path / "root.crl").write_bytes(pki.crl(root, 5, now=pki.real_now(), encoding=Encoding.DER))
    assert [entry.serial for entry in adopted(tmp_path).crls[0].entries()] == [b"\x05"]


def test_a_stale_crl_is_taken_and_reported(tmp_path: Path) -> None:
    root = new_root()
    estate(tmp_path, root)
    (tmp_path / "root.crl").write_bytes(pki.crl(root, 5, now=pki.real_now(), days=-2))
    assert the(adopted(tmp_path), "stale_crl").severity is Severity.WARNING


def test_a_crl_that_none_of_them_signed_is_refused(tmp_path: Path) -> None:
    root = new_root()
    estate(tmp_path, root)
    (tmp_path / "root.crl").write_bytes(pki.crl(new_root(), 5, now=pki.real_now()))
    with pytest.raises(BadInput, match="was not signed by CN=root") as refused:
        adopted(tmp_path)
    assert refused.value.where == str(tmp_path / "root.crl")


def test_the_crl_of_one_authority_in_a_bundle_finds_it(tmp_path: Path) -> None:
    first, second, third = new_root("a"), new_root("b"), new_root("b")
    (tmp_path / "rootCA.pem").write_bytes(first.pem + second.pem + third.pem)
    (tmp_path / "root.crl").write_bytes(pki.crl(third, 5, now=pki.real_now()))
    assert list(adopted(tmp_path).crls) == [2]
    (tmp_path / "root.crl").write_bytes(pki.crl(new_root("b"), 5, now=pki.real_now()))
    with pytest.raises(BadInput, match="was not signed by CN=b"):
        adopted(tmp_path)


def test_a_file_of_lists_is_taken_apart(tmp_path: Path) -> None:
    first, second, other = new_root("a"), new_root("b"), new_root("c")
    (tmp_path / "rootCA.pem").write_bytes(first.pem + second.pem)
    late, early = pki.real_now(), pki.real_now() - timedelta(days=1)
    lists = [pki.crl(second, 7, now=early), pki.crl(first, 5, now=late), pki.crl(second, 8, now=late),
             pki.crl(second, 9, now=early), pki.crl(other, 6, now=late)]  # fmt: skip
    (tmp_path / "root.crl").write_bytes(b"".join(lists))
    adoption = adopted(tmp_path)
    serials = {index: [entry.serial for entry in crl.entries()] for index, crl in adoption.crls.items()}
    assert serials == {0: [b"\x05"], 1: [b"\x08"]}
    assert the(adoption, "crl_of_another").where.endswith("list 5")
    (tmp_path / "root.crl").write_bytes(lists[0] + pki.crl(new_root("a"), 5, now=late))
    with pytest.raises(BadInput, match="was not signed by CN=a"):
        adopted(tmp_path)


def test_a_list_is_found_beside_lists_of_others_and_certificates(tmp_path: Path) -> None:
    root, other = new_root("a"), new_root("b")
    (tmp_path / "rootCA.pem").write_bytes(root.pem)
    now = pki.real_now()
    (tmp_path / "root.crl").write_bytes(pki.crl(other, 6, now=now) + root.pem + pki.crl(root, 5, now=now))
    adoption = adopted(tmp_path)
    assert [entry.serial for entry in adoption.crls[0].entries()] == [b"\x05"]
    assert codes(adoption) == ["crl_of_another"]
    (tmp_path / "root.crl").write_bytes(pki.crl(other, 6, now=now) + pki.crl(other, 7, now=now))
    assert codes(adopted(tmp_path)) == ["crl_of_another", "crl_of_another"]


def test_a_certificate_of_another_authority_with_the_same_name_is_left_out(tmp_path: Path) -> None:
    root, twin = new_root(), new_root()
    adoption = adopted(estate(tmp_path, root, good=new_leaf(root), bad=new_leaf(twin)))
    assert [Path(leaf.where).name for leaf in adoption.issued] == ["good.crt"]
    assert "that key did not sign it" in the(adoption, "not_signed_by_authority").sentence


def test_two_authorities_with_the_same_name_are_told_apart_by_their_keys(tmp_path: Path) -> None:
    root, twin = new_root(), new_root()
    estate(tmp_path, root, a=new_leaf(root), b=new_leaf(twin))
    (tmp_path / "rootCA.pem").write_bytes(root.pem + twin.pem)
    assert [(Path(leaf.where).name, leaf.authority) for leaf in adopted(tmp_path).issued] == [
        ("a.crt", 0),
        ("b.crt", 1),
    ]


def test_changed_and_foreign_certificates_are_left_out(tmp_path: Path) -> None:
    root = new_root()
    adoption = adopted(estate(tmp_path, root, a=pki.tampered(new_leaf(root)), b=new_leaf(new_root("else"))))
    assert adoption.issued == ()
    assert codes(adoption) == ["not_signed_by_authority"] * 2
    assert "was issued by CN=else" in adoption.findings[1].sentence


@pytest.mark.parametrize("digest", ["sha1", "md5"])
def test_a_certificate_signed_with_an_old_hash_is_left_out(tmp_path: Path, digest: str) -> None:
    root = pki.ca("old", key=pki.rsa_key(), now=pki.real_now())
    adoption = adopted(estate(tmp_path, root, a=pki.v1_leaf(root, md=digest)))
    assert adoption.issued == ()
    assert the(adoption, "weak_signature").severity is Severity.REFUSED


def test_what_the_judge_can_build_nothing_on_is_left_out(tmp_path: Path) -> None:
    """Its word is asked by the services; `tests/app/test_services.py` has the judge itself."""
    odd, good = pki.ca("odd"), pki.ca("good")
    (tmp_path / "both.pem").write_bytes(odd.pem + good.pem)
    adoption = adopt(
        Estate(tmp_path / "both.pem"), pki.NOW, fault=lambda der, _: "is too odd" if der == odd.der else None
    )
    assert [one.der for one in adoption.authorities] == [good.der]
    (refused,) = [one for one in adoption.findings if one.severity is Severity.REFUSED]
    assert (refused.code, refused.sentence) == ("unusable", "Nobody could come in under it: it is too odd.")


def test_duplicate_serial_numbers_are_found(tmp_path: Path) -> None:
    root = new_root()
    adoption = adopted(estate(tmp_path, root, a=new_leaf(root, "a", serial=1), b=new_leaf(root, "b", serial=1)))
    assert len(adoption.issued) == 2
    assert the(adoption, "duplicate_serial").where.endswith("b.crt")
    assert the(adoption, "duplicate_serial").sentence.endswith("a.crt.")


def test_the_same_serial_number_under_two_authorities_is_none(tmp_path: Path) -> None:
    root, second = new_root("a"), new_root("b")
    estate(tmp_path, root, a=new_leaf(root, serial=1), b=new_leaf(second, serial=1))
    (tmp_path / "rootCA.pem").write_bytes(root.pem + second.pem)
    assert "duplicate_serial" not in codes(adopted(tmp_path))


def test_what_the_gate_will_refuse_is_marked(tmp_path: Path) -> None:
    root = new_root()
    leaves = {
        "good": new_leaf(root),
        "late": new_leaf(root, days=-1),
        "server": new_leaf(root, eku=[pki.SERVER_AUTH]),
        "sub": new_leaf(root, ca=True),
        "weak": new_leaf(root, key=pki.rsa_key(1024)),
    }
    adoption = adopted(estate(tmp_path, root, **leaves))
    assert {Path(leaf.where).stem: leaf.admissible for leaf in adoption.issued} == {
        name: name == "good" for name in leaves
    }
    assert set(codes(adoption)) == {"expired", "not_for_client_auth", "ca_as_client", "weak_key"}


def test_folders_below_are_searched_and_other_files_named(tmp_path: Path) -> None:
    root = new_root()
    estate(tmp_path, root)
    below = tmp_path / "issued" / "2025"
    below.mkdir()
    (below / "a.pem").write_bytes(new_leaf(root).pem)
    (below / "ca.crt").write_bytes(root.pem)
    (below / "notes.txt").write_text("hello")
    (below / "a.key.pem").write_bytes(pki.key_pem(pki.ec_key()))
    adoption = adopted(tmp_path)
    assert [leaf.where for leaf in adoption.issued] == [str(below / "a.pem")]
    assert adoption.skipped == (str(below / "a.key.pem"), str(below / "notes.txt"))
    assert adoption.findings == ()


def test_a_private_key_beside_a_certificate_is_pointed_out(tmp_path: Path) -> None:
    root = new_root()
    leaf = new_leaf(root)
    estate(tmp_path, root)
    (tmp_path / "issued" / "both.pem").write_bytes(leaf.key_pem + leaf.pem)
    adoption = adopted(tmp_path)
    assert len(adoption.issued) == 1
    assert codes(adoption) == ["private_key_beside"]


def test_the_same_certificate_twice_counts_once(tmp_path: Path) -> None:
    root = new_root()
    leaf = new_leaf(root)
    adoption = adopted(estate(tmp_path, root, a=leaf, b=leaf))
    assert len(adoption.issued) == 1
    assert codes(adoption) == ["repeated"]


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n", b"\x30\x82\xff\xff" + b"\0" * 99]
)
def test_a_broken_file_is_a_finding_and_the_rest_is_adopted(tmp_path: Path, data: bytes) -> None:
    root = new_root()
    estate(tmp_path, root, good=new_leaf(root))
    (tmp_path / "issued" / "broken.crt").write_bytes(data)
    adoption = adopted(tmp_path)
    assert len(adoption.issued) == 1
    assert the(adoption, "unreadable").where.startswith(str(tmp_path / "issued" / "broken.crt"))


def test_odd_serials_and_v1_with_extensions_are_findings(tmp_path: Path) -> None:
    root = new_root()
    estate(tmp_path, root, odd=pki.as_v1(new_leaf(root), keep_extensions=True))
    root.write(tmp_path, "ca")
    numbers = {"zero": b"\0", "high": b"\0" + b"\x91" * 20, "negative": b"\x91", "long": b"\x11" * 21}
    for name, octets in numbers.items():
        (tmp_path / "issued" / f"{name}.der").write_bytes(pki.numbered(new_leaf(root, name), octets))
    adoption = adopted(tmp_path)
    admissible = {Path(leaf.where).stem: leaf.admissible for leaf in adoption.issued}
    assert admissible == {"odd": False, "zero": True, "high": True, "negative": False, "long": False}
    assert the(adoption, "malformed").where.endswith("odd.crt")
    told = {Path(one.where).stem: one.severity for one in adoption.findings if one.code == "odd_serial"}
    warning, refused = Severity.WARNING, Severity.REFUSED
    assert told == {"zero": warning, "high": warning, "negative": refused, "long": refused}


@pytest.mark.parametrize(
    ("old", "new", "admissible", "code"),
    [
        (bytes.fromhex("0101ff04023000"), bytes.fromhex("010100" + "04023000"), True, "odd_encoding"),
        (bytes.fromhex("0101ff04023000"), bytes.fromhex("0101ff" + "04053003010100"), True, "odd_encoding"),
        (b"\x0c\x05plain", b"\x13\x05a&b_c", True, "odd_encoding"),
        (bytes.fromhex("0603551d23"), bytes.fromhex("0603551d1f"), True, "odd_encoding"),
        (bytes.fromhex("0603551d25"), bytes.fromhex("0603551d0f"), False, "malformed"),
        (bytes.fromhex("0101ff04023000"), bytes.fromhex("0101ff04020500"), False, "malformed"),
        (bytes.fromhex("0603551d23"), bytes.fromhex("0603551d0e"), False, "malformed"),
    ],
)
def test_what_is_odd_is_taken_where_the_gate_admits_it(
    tmp_path: Path, old: bytes, new: bytes, admissible: bool, code: str
) -> None:
    root = new_root()
    folder = estate(tmp_path, root)
    odd = pki.respelt(new_leaf(root, "plain"), old, new)
    (tmp_path / "issued").mkdir(exist_ok=True)
    (tmp_path / "issued" / "odd.der").write_bytes(odd)
    adoption = adopted(folder)
    (issued,) = adoption.issued
    assert (issued.der, issued.admissible) == (odd, admissible)
    assert the(adoption, code).where.endswith("odd.der")
    assert judged(root, odd).admitted is admissible


def judged(root: pki.Issued, leaf: bytes) -> Verdict:
    """What the judge says under `root`, adopted."""
    authority = AuthorityRecord(1, "old", root.der, "signed", 1)
    batch = encode(Batch(authorities=[authority], clients=[ClientRecord(1, "estate", [], False)]))
    return Judge([batch]).decide([leaf], int(pki.real_now().timestamp()))


def test_a_leaf_is_no_authority(tmp_path: Path) -> None:
    (tmp_path / "rootCA.pem").write_bytes(pki.leaf(None).pem)
    with pytest.raises(BadInput, match="basicConstraints say CA:FALSE; expected the certificate of an authority"):
        adopted(tmp_path)


def test_of_a_bundle_the_usable_ones_are_taken(tmp_path: Path) -> None:
    good = new_root()
    data = pki.leaf(None).pem + good.pem + good.pem + pki.tampered(new_root("x")).pem
    (tmp_path / "rootCA.pem").write_bytes(data)
    adoption = adopted(tmp_path)
    assert [authority.der for authority in adoption.authorities] == [good.der]
    refused = [finding.code for finding in adoption.findings if finding.severity is Severity.REFUSED]
    assert refused == ["not_an_authority", "tampered"]
    assert the(adoption, "repeated").where.endswith("rootCA.pem, certificate 3")


def test_a_bundle_of_many_finds_each_signer(tmp_path: Path) -> None:
    authorities = [new_root(f"company {number}") for number in range(300)]
    estate(tmp_path, authorities[0], a=new_leaf(authorities[7]), b=new_leaf(authorities[299]))
    (tmp_path / "rootCA.pem").write_bytes(b"".join(authority.pem for authority in authorities))
    (tmp_path / "rootCA.key").write_bytes(authorities[150].key_pem)
    adoption = adopted(tmp_path)
    assert [leaf.authority for leaf in adoption.issued] == [7, 299]
    assert [index for index, authority in enumerate(adoption.authorities) if authority.key] == [150]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, len(_LEAF.der)), replacement=st.binary(max_size=4), length=st.integers(0, 4))
def test_whatever_is_changed_in_a_certificate_there_is_no_traceback(
    tmp_path: Path, position: int, replacement: bytes, length: int
) -> None:
    data = _LEAF.der[:position] + replacement + _LEAF.der[position + length :]
    folder = tmp_path / "issued"
    folder.mkdir(exist_ok=True)
    (folder / "changed.der").write_bytes(data)
    (tmp_path / "rootCA.pem").write_bytes(_ROOT.pem)
    assert bool(adopted(tmp_path).issued) == (data == _LEAF.der)
    (tmp_path / "rootCA.pem").write_bytes(data)
    with pytest.raises(BadInput) as refused:
        adopted(tmp_path)
    assert "\n" not in str(refused.value)


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"rootCA\.pem: cannot be read"):
        adopted(tmp_path)
    estate(tmp_path, new_root())
    for word in ("key", "serial", "crl"):
        with pytest.raises(BadInput, match=r"nowhere: cannot be read"):
            adopted(tmp_path, **{word: tmp_path / "nowhere"})
    with pytest.raises(BadInput, match="nowhere: is no folder"):
        adopted(tmp_path, issued=tmp_path / "nowhere")


def _serial_of(path: Path) -> str:
    return pki.openssl("x509", "-in", str(path), "-noout", "-serial").decode().strip().removeprefix("serial=")


def _fingerprint_of(path: Path) -> str:
    text = pki.openssl("x509", "-in", str(path), "-noout", "-fingerprint", "-sha256").decode().strip()
    return text.partition("=")[2].replace(":", "").lower()
