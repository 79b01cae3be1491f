"""Takes over what an older authority left: its certificate, key, serial file, CRL, and the certificates that it signed.

Reads files and reports; stores nothing. What cannot be used at all is BadInput, what can be used with a reservation
is a finding. The typical estate was made by `openssl req -x509` and `openssl x509 -req`, which before OpenSSL 3.2
wrote X.509 v1 certificates.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mutualgate.authorities.crl import MAX_CRL_BYTES, ForeignCrl, read_crl
from mutualgate.authorities.estate import authority_findings, leaf_findings
from mutualgate.authorities.findings import Finding, Severity
from mutualgate.authorities.keys import PrivateKey, read_private_key
from mutualgate.authorities.serial_file import serial_file_findings
from mutualgate.errors import BadInput
from mutualgate.model.certificate import signed
from mutualgate.model.legible import Legible
from mutualgate.model.serial import text as serial_text
from mutualgate.reading.bounded import read_file
from mutualgate.reading.crl import serial_octets
from mutualgate.reading.files import (
    OLD_HASHES,
    UNREADABLE,
    holds_private_key,
    name_text,
    odd_serials_allowed,
    pem_blocks,
    read_certificates,
    read_legible,
    subject_text,
)
from mutualgate.reading.weak_keys import examine, key_fingerprint

MAX_BUNDLE_BYTES = 64 * 1024 * 1024
MAX_ISSUED_FILES = 1_000_000
CERTIFICATE_SUFFIXES = frozenset({".crt", ".pem", ".cer", ".der"})
PKCS12_SUFFIXES = frozenset({".p12", ".pfx"})


@dataclass(frozen=True)
class Estate:
    """The files that the older authority left. `certificate` may hold many; `issued` is searched to its depth.

    `key_password` opens the key when it is encrypted.
    """

    certificate: Path
    key: Path | None = None
    key_password: bytes | None = field(default=None, repr=False)
    serial: Path | None = None
    issued: Path | None = None
    crl: Path | None = None


@dataclass(frozen=True)
class AdoptedAuthority:
    """An authority that can be adopted; `key` when it was given, and then we can sign with it."""

    certificate: x509.Certificate
    where: str
    subject: str
    key: PrivateKey | None = field(default=None, repr=False)

    @property
    def der(self) -> bytes:
        """The certificate as the store keeps it."""
        return self.certificate.public_bytes(Encoding.DER)


@dataclass(frozen=True)
class IssuedCertificate:
    """A certificate that an adopted authority signed: the signature was verified. `authority` counts from 0.

    `admissible` is false when a finding says that the gate will not admit it.
    """

    legible: Legible
    where: str
    subject: str
    serial: bytes
    fingerprint: bytes
    authority: int
    admissible: bool

    @property
    def certificate(self) -> x509.Certificate:
        """What it says: see `Legible`."""
        return self.legible.says

    @property
    def der(self) -> bytes:
        """The certificate as the store keeps it."""
        return self.legible.der


@dataclass(frozen=True)
class Adoption:
    """What was found. `crls` are the lists, by the index of the authority whose they are."""

    authorities: tuple[AdoptedAuthority, ...]
    issued: tuple[IssuedCertificate, ...]
    crls: Mapping[int, ForeignCrl]
    findings: tuple[Finding, ...]
    skipped: tuple[str, ...]


Progress = Callable[[int, int], None]
"""Told how many of how many files were read."""


Fault = Callable[[bytes, bool], str | None]
"""Why nobody could come in under an authority of this certificate, in the judge's word: the rest of a sentence.

It may require a certificate policy if it is said that one is agreed: with older authorities none is.
"""


def no_fault(der: bytes, policy: bool) -> None:
    """Where no judge is asked."""


def adopt(
    estate: Estate, now: datetime, progress: Progress = lambda done, total: None, fault: Fault = no_fault
) -> Adoption:
    """Reads everything that `estate` names and says what it found; tells `progress` after each file of `issued`.

    BadInput: a file that is none of what it should be, no usable authority, a key that belongs to none of them, a CRL
    that none of them signed. Nothing is refused for being old.
    """
    findings: list[Finding] = []
    authorities = _authorities(estate, now, findings, fault)
    if estate.key is not None:
        authorities = _with_key(authorities, estate.key, estate.key_password)
    by_name: dict[bytes, list[int]] = defaultdict(list)
    for index, authority in enumerate(authorities):
        by_name[authority.certificate.subject.public_bytes()].append(index)
    skipped: list[str] = []
    issued: list[IssuedCertificate] = []
    if estate.issued is not None:
        issued = _issued(estate.issued, authorities, by_name, now, findings, skipped, progress)
    if estate.serial is not None:
        keyed = next((index for index, authority in enumerate(authorities) if authority.key is not None), 0)
        serials = {int.from_bytes(leaf.serial, "big") for leaf in issued if leaf.authority == keyed}
        findings += serial_file_findings(read_file(estate.serial), str(estate.serial), serials)
    crls = {} if estate.crl is None else _crls(estate.crl, authorities, now, findings)
    return Adoption(tuple(authorities), tuple(issued), crls, tuple(findings), tuple(skipped))


def _authorities(estate: Estate, now: datetime, findings: list[Finding], fault: Fault) -> list[AdoptedAuthority]:
    where = str(estate.certificate)
    certificates = read_certificates(read_file(estate.certificate, MAX_BUNDLE_BYTES), where)
    usable: list[AdoptedAuthority] = []
    seen: set[bytes] = set()
    for number, certificate in enumerate(certificates, 1):
        place = where if len(certificates) == 1 else f"{where}, certificate {number}"
        fingerprint = sha256(certificate.public_bytes(Encoding.DER)).digest()
        if fingerprint in seen:
            findings.append(
                Finding("repeated", Severity.NOTE, place, "The same certificate is there twice.", "It is taken once.")
            )
            continue
        seen.add(fingerprint)
        found, can_be_adopted = authority_findings(certificate, place, now)
        findings += found
        if can_be_adopted and (why := fault(certificate.public_bytes(Encoding.DER), False)) is not None:
            sentence = f"Nobody could come in under it: it {why}."
            findings.append(Finding("unusable", Severity.REFUSED, place, sentence, "It is left out."))
        elif can_be_adopted:
            usable.append(AdoptedAuthority(certificate, place, subject_text(certificate)))
    if not usable:
        first = next(finding for finding in findings if finding.severity is Severity.REFUSED)
        raise BadInput(first.sentence.rstrip("."), where=first.where, expected="the certificate of an authority")
    return usable


def _with_key(authorities: list[AdoptedAuthority], path: Path, password: bytes | None) -> list[AdoptedAuthority]:
    where = str(path)
    fix = "Give its password in a file: --key-password-file FILE; or in the variable MUTUALGATE_CA_KEY_PASSWORD"
    key = read_private_key(read_file(path), password, where, fix=fix)
    wanted = key_fingerprint(key.public_key())
    matched = False
    keyed = []
    for authority in authorities:
        public, _ = examine(authority.certificate)
        fits = public is not None and key_fingerprint(public) == wanted
        matched = matched or fits
        keyed.append(
            AdoptedAuthority(authority.certificate, authority.where, authority.subject, key) if fits else authority
        )
    if not matched:
        raise BadInput(
            "the key is not the authority's: key and certificate do not match",
            where=where,
            expected=f"the private key of {authorities[0].subject}",
            fix=f"Compare: openssl pkey -in {where} -pubout, openssl x509 -in {authorities[0].where} -pubkey -noout",
            code="key_mismatch",
        )
    return keyed


def _issued(
    folder: Path,
    authorities: list[AdoptedAuthority],
    by_name: dict[bytes, list[int]],
    now: datetime,
    findings: list[Finding],
    skipped: list[str],
    progress: Progress,
) -> list[IssuedCertificate]:
    if not folder.is_dir():
        raise BadInput("is no folder", where=str(folder), expected="the folder with the certificates that were issued")
    own = {authority.der for authority in authorities}
    by_fingerprint: dict[bytes, str] = {}
    by_serial: dict[tuple[int, bytes], str] = {}
    issued = []
    files = _files(folder)
    for number, path in enumerate(files):
        progress(number, len(files))
        for one, place in _certificates_in(path, findings, skipped):
            fingerprint = sha256(one.der).digest()
            if one.der in own:
                continue  # the authority's own lies beside them more often than not
            if fingerprint in by_fingerprint:
                findings.append(
                    Finding(
                        "repeated",
                        Severity.NOTE,
                        place,
                        f"The same certificate is in {by_fingerprint[fingerprint]}.",
                        "It is taken once.",
                    )
                )
                continue
            by_fingerprint[fingerprint] = place
            authority = _signer(one, place, authorities, by_name, findings)
            if authority is None:
                continue
            about = leaf_findings(one, place, now)
            with odd_serials_allowed():
                serial = serial_octets(one.says.serial_number)
            if (authority, serial) in by_serial:
                about.append(
                    Finding(
                        "duplicate_serial",
                        Severity.WARNING,
                        place,
                        f"It has the serial number {serial_text(serial)} of {by_serial[authority, serial]}.",
                        "Both are admitted; to revoke one revokes both. Issue new ones to both clients.",
                    )
                )
            by_serial.setdefault((authority, serial), place)
            findings += about
            issued.append(
                IssuedCertificate(
                    legible=one,
                    where=place,
                    subject=subject_text(one.says),
                    serial=serial,
                    fingerprint=fingerprint,
                    authority=authority,
                    admissible=all(finding.severity is not Severity.REFUSED for finding in about),
                )
            )
    return issued


def _files(folder: Path) -> list[Path]:
    """Every file in `folder` and below, in a stable order. Links to folders are not followed."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if len(files) > MAX_ISSUED_FILES:
        raise BadInput(f"holds {len(files)} files", where=str(folder), expected=f"at most {MAX_ISSUED_FILES}")
    return files


def _certificates_in(path: Path, findings: list[Finding], skipped: list[str]) -> list[tuple[Legible, str]]:
    place, suffix = str(path), path.suffix.lower()
    if suffix in PKCS12_SUFFIXES:
        skipped.append(place)
        findings.append(
            Finding(
                "pkcs12_skipped",
                Severity.NOTE,
                place,
                "A PKCS#12 file holds a client's private key under a password that is not ours.",
                "It is skipped; the certificate in it counts when it is in the folder as a file of its own.",
            )
        )
        return []
    if suffix not in CERTIFICATE_SUFFIXES:
        skipped.append(place)
        return []
    try:
        data = read_file(path, MAX_BUNDLE_BYTES)
        if b"-----BEGIN " in data and b"CERTIFICATE-----" not in data and holds_private_key(data):
            skipped.append(place)
            return []
        certificates = read_legible(data, place)
    except BadInput as error:
        findings.append(
            Finding("unreadable", Severity.REFUSED, place, f"It cannot be read: {error.problem}.", "It is left out.")
        )
        return []
    if holds_private_key(data):
        findings.append(
            Finding(
                "private_key_beside",
                Severity.WARNING,
                place,
                "A client's private key lies beside its certificate.",
                "The certificate is taken, the key is not looked at. Who can read the file can be that client.",
            )
        )
    if len(certificates) == 1:
        return [(certificates[0], place)]
    return [(certificate, f"{place}, certificate {number}") for number, certificate in enumerate(certificates, 1)]


def _signer(
    certificate: Legible,
    place: str,
    authorities: list[AdoptedAuthority],
    by_name: dict[bytes, list[int]],
    findings: list[Finding],
) -> int | None:
    """Which authority signed it, by the signature; the name only says whom to ask. None and a finding when none did."""
    try:
        candidates = by_name.get(certificate.issuer, [])
        old_hash = isinstance(certificate.says.signature_hash_algorithm, OLD_HASHES)
        issuer = name_text(certificate.says.issuer)
    except UNREADABLE:
        findings.append(Finding("unreadable", Severity.REFUSED, place, "Its fields cannot be read.", "It is left out."))
        return None
    if candidates and old_hash:
        findings.append(
            Finding(
                "weak_signature",
                Severity.REFUSED,
                place,
                "It is signed with SHA-1 or MD5: others can make one that looks the same.",
                "It is left out and the gate refuses it. Issue a new one to this client.",
            )
        )
        return None
    for index in candidates:
        if signed(authorities[index].certificate, certificate):
            return index
    sentence = (
        f"It names {issuer} as its issuer, but that key did not sign it."
        if candidates
        else f"It was issued by {issuer}, which is not adopted here."
    )
    findings.append(Finding("not_signed_by_authority", Severity.REFUSED, place, sentence, "It is left out."))
    return None


def _crls(
    path: Path, authorities: list[AdoptedAuthority], now: datetime, findings: list[Finding]
) -> dict[int, ForeignCrl]:
    """The lists in a file, each for the authority that signed it; of two of one authority, the later."""
    data = read_file(path, MAX_CRL_BYTES)
    lists = [der for label, der in pem_blocks(data, str(path)) if label == "X509 CRL"]  # none in one that is DER
    crls: dict[int, ForeignCrl] = {}
    for number, der in enumerate(lists, 1) if len(lists) > 1 else [(0, data)]:
        where = f"{path}, list {number}" if number else str(path)
        try:
            index, crl = _crl(der, authorities, now, where)
        except BadInput as error:
            if not number or error.code != "other_issuer":
                raise
            findings.append(
                Finding(
                    "crl_of_another",
                    Severity.WARNING,
                    where,
                    "It is the list of an authority that is not adopted here.",
                    "It is left out.",
                )
            )
            continue
        if index not in crls or crls[index].this_update < crl.this_update:
            crls[index] = crl
    for crl in crls.values():
        if crl.stale:
            findings.append(
                Finding(
                    "stale_crl",
                    Severity.WARNING,
                    str(path),
                    f"The CRL was to be replaced by {crl.next_update:%Y-%m-%d}.",
                    "What it lists is revoked here too; newer revocations are not known. Revoke them here.",
                )
            )
    return crls


def _crl(data: bytes, authorities: list[AdoptedAuthority], now: datetime, where: str) -> tuple[int, ForeignCrl]:
    refusal: BadInput | None = None
    for index, authority in enumerate(authorities):
        try:
            return index, read_crl(data, authority.certificate, now, where)
        except BadInput as error:
            refusal = error if refusal is None or error.code != "other_issuer" else refusal
    raise refusal or BadInput("has no authority", where=where)
