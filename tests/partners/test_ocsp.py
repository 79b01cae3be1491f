"""OCSP: an answer counts only if it is the CA's, or its responder's, of now, and about what was asked."""

import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pki
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as library
from cryptography.x509.oid import ExtendedKeyUsageOID

from mutualgate.errors import BadInput
from mutualgate.model.foreign import OcspStatus
from mutualgate.partners.ocsp import Answer, Question, ask, verify

NOW = pki.NOW
ROOT = pki.ca("acme root")
CA = pki.ca("acme issuing", parent=ROOT)
LEAF = pki.leaf(CA, "anna")
GOOD, REVOKED, UNKNOWN = library.OCSPCertStatus.GOOD, library.OCSPCertStatus.REVOKED, library.OCSPCertStatus.UNKNOWN
DAY = timedelta(days=1)


def responder(
    parent: pki.Issued = CA, *, signing: bool = True, days: float = 30, nocheck: bool = False, name: str = "ocsp"
) -> pki.Issued:
    eku = [ExtendedKeyUsageOID.OCSP_SIGNING] if signing else [pki.CLIENT_AUTH]
    extensions: list[tuple[x509.ExtensionType, bool]] = [(x509.ExtendedKeyUsage(eku), False)]
    if nocheck:
        extensions.append((x509.OCSPNoCheck(), False))
    return pki.issue(parent, name, days=days, extensions=extensions)


def answer(
    question: Question,
    *,
    by: pki.Issued = CA,
    status: library.OCSPCertStatus = GOOD,
    about: pki.Issued = LEAF,
    issuer: pki.Issued = CA,
    this_update: datetime = NOW,
    next_update: datetime | None = NOW + DAY,
    nonce: bytes | None = None,
    named: pki.Issued | None = None,
    chain: bool = True,
    more: x509.UnrecognizedExtension | None = None,
) -> bytes:
    builder = library.OCSPResponseBuilder().add_response(
        cert=about.certificate,
        issuer=issuer.certificate,
        algorithm=hashes.SHA1(),
        cert_status=status,
        this_update=this_update,
        next_update=next_update,
        revocation_time=NOW - DAY if status is REVOKED else None,
        revocation_reason=x509.ReasonFlags.key_compromise if status is REVOKED else None,
    )
    builder = builder.responder_id(library.OCSPResponderEncoding.HASH, (named or by).certificate)
    if by is not CA and chain:
        builder = builder.certificates([by.certificate])
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), False)
    if more is not None:
        builder = builder.add_extension(more, True)
    signed = builder.sign(by.key, hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


def check(data: bytes, question: Question, now: datetime = NOW) -> Answer:
    return verify(data, question, CA.certificate, now, "http://ocsp.acme.example/")


@pytest.fixture
def question() -> Question:
    return ask(CA.certificate, LEAF.serial)


def problem(data: bytes, question: Question, now: datetime = NOW) -> str:
    with pytest.raises(BadInput) as error:
        check(data, question, now)
    assert str(error.value).isprintable()
    return error.value.problem


def test_the_question(question: Question) -> None:
    request = library.load_der_ocsp_request(question.der)
    own = library.OCSPRequestBuilder().add_certificate(LEAF.certificate, CA.certificate, hashes.SHA1()).build()
    assert (request.serial_number, request.issuer_name_hash, request.issuer_key_hash) == (
        own.serial_number,
        own.issuer_name_hash,
        own.issuer_key_hash,
    )
    nonce = request.extensions.get_extension_for_class(x509.OCSPNonce).value
    assert nonce.nonce == question.nonce
    assert ask(CA.certificate, LEAF.serial).nonce != question.nonce


@pytest.mark.parametrize(
    ("status", "expected"),
    [(GOOD, OcspStatus.GOOD), (REVOKED, OcspStatus.REVOKED), (UNKNOWN, OcspStatus.UNKNOWN)],
)
def test_the_cas_own_answer(question: Question, status: library.OCSPCertStatus, expected: OcspStatus) -> None:
    got = check(answer(question, status=status), question)
    assert (got.status, got.this_update, got.next_update, got.responder) == (expected, NOW, NOW + DAY, None)
    if status is REVOKED:
        assert (got.revoked_at, got.reason) == (NOW - DAY, 1)


def test_a_responder_that_the_ca_named(question: Question) -> None:
    by = responder()
    got = check(answer(question, by=by), question)
    assert got.responder == by.serial
    assert not got.nocheck
    assert check(answer(question, by=responder(nocheck=True)), question).nocheck


@pytest.mark.parametrize(
    ("by", "why"),
    [
        (responder(signing=False), "a client of the CA"),
        (responder(pki.ca("acme issuing")), "another CA of that name"),
        (responder(ROOT), "the CA above, whose word this is not"),
        (responder(responder()), "somebody below a responder"),
        (responder(days=-1), "one whose certificate is over"),
        (pki.leaf(None, "ocsp", eku=[ExtendedKeyUsageOID.OCSP_SIGNING]), "one that signed itself"),
        (LEAF, "the client itself"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nobody_else_answers(question: Question, by: pki.Issued, why: str) -> None:
    assert "was not signed by the CA" in problem(answer(question, by=by), question), why


def test_a_signature_that_does_not_verify(question: Question) -> None:
    forged = bytearray(answer(question))
    forged[-1] ^= 1
    assert "was not signed by the CA" in problem(bytes(forged), question)
    assert "was not signed by the CA" in problem(answer(question, by=responder(), chain=False), question)


def test_what_has_to_be_understood_and_is_not(question: Question) -> None:
    """RFC 6960 4.4: an extension that is critical may say that the answer counts for something else."""
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    assert "1.3.6.1.4.1.99999.1" in problem(answer(question, more=unknown), question)


def test_a_ca_with_an_rsa_key() -> None:
    rsa = pki.ca("acme rsa", key=pki.rsa_key())
    leaf = pki.leaf(rsa, "anna")
    asked = ask(rsa.certificate, leaf.serial)
    fine = answer(asked, by=pki.Issued(rsa.certificate, rsa.key), about=leaf, issuer=rsa, chain=False)
    assert verify(fine, asked, rsa.certificate, NOW, "x").status is OcspStatus.GOOD


def test_about_something_else(question: Question) -> None:
    other = pki.leaf(CA, "ben")
    assert "is about another certificate" in problem(answer(question, about=other), question)
    same_serial = pki.leaf(pki.ca("acme issuing"), "anna")
    twin = pki.ca("acme issuing")
    assert "is about another certificate" in problem(answer(question, about=same_serial, issuer=twin), question)


def test_the_nonce_may_be_missing_but_not_wrong(question: Question) -> None:
    assert check(answer(question), question).status is OcspStatus.GOOD
    assert check(answer(question, nonce=question.nonce), question).status is OcspStatus.GOOD
    assert "answers another question" in problem(answer(question, nonce=b"x" * 16), question)


def test_an_answer_is_of_now(question: Question) -> None:
    old = answer(question, this_update=NOW - 2 * DAY, next_update=NOW - DAY)
    assert "is old" in problem(old, question)
    early = answer(question, this_update=NOW + DAY, next_update=NOW + 2 * DAY)
    assert "begins in the future" in problem(early, question)
    ancient = answer(question, this_update=NOW - 15 * DAY, next_update=NOW + DAY)
    assert "is old" in problem(ancient, question), "a replay that somebody kept"
    endless = answer(question, next_update=None)
    assert check(endless, question).next_update == NOW + timedelta(hours=1)
    assert "is old" in problem(endless, question, NOW + timedelta(hours=2))


def test_what_is_no_answer(question: Question) -> None:
    for status in (library.OCSPResponseStatus.TRY_LATER, library.OCSPResponseStatus.UNAUTHORIZED):
        data = library.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)
        assert f"is no answer but {status.name.lower()}" in problem(data, question)
    for junk in (b"", b"<html>", b"\x30\x03\x0a\x01\x00", question.der):
        assert problem(junk, question)


def test_openssl_answers(tmp_path: Path) -> None:
    """The responder of openssl, by a responder's certificate and by the CA itself."""
    now = pki.real_now()
    ca = pki.ca("acme issuing", now=now)
    leaves = [pki.leaf(ca, name, now=now) for name in ("good", "revoked", "unknown")]
    by = pki.issue(ca, "ocsp", now=now, extensions=[(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False)])
    ca.write(tmp_path, "ca")
    by.write(tmp_path, "ocsp")
    until = f"{now + DAY:%y%m%d%H%M%SZ}"
    (tmp_path / "index.txt").write_text(
        f"V\t{until}\t\t{leaves[0].serial.hex().upper()}\tunknown\t/CN=good\n"
        f"R\t{until}\t{now - DAY:%y%m%d%H%M%SZ},keyCompromise\t{leaves[1].serial.hex().upper()}\tunknown\t/CN=revoked\n"
    )

    def answered(leaf: pki.Issued, signer: str, digest: str = "sha256") -> Answer:
        asked = ask(ca.certificate, leaf.serial)
        (tmp_path / "request").write_bytes(asked.der)
        subprocess.run(
            [
                *("openssl", "ocsp", "-index", "index.txt", "-CA", "ca.crt", "-ndays", "1", "-rmd", digest),
                *("-rsigner", f"{signer}.crt", "-rkey", f"{signer}.key"),
                *("-reqin", "request", "-respout", "response"),
            ],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
        return verify((tmp_path / "response").read_bytes(), asked, ca.certificate, pki.real_now(), "openssl")

    for signer in ("ocsp", "ca"):
        for leaf, expected in zip(leaves, (OcspStatus.GOOD, OcspStatus.REVOKED, OcspStatus.UNKNOWN), strict=True):
            got = answered(leaf, signer)
            assert got.status is expected
            if expected is OcspStatus.REVOKED:
                assert got.reason == 1
        # Two answers with one such hash can be found: the CA signs one of them, and the other one says good.
        with pytest.raises(BadInput, match="is signed with SHA-1"):
            answered(leaves[0], signer, "sha1")
