"""Says what a certificate is, in words: what will work with it and what not, why, and which ways it opens.

For uploads of any form and for chains as a handshake brought them. Judges nothing and admits nobody: whether it lets
somebody in, the judge decides. Names no client and no partner, so that it can be shown to whoever sent the certificate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from mutualgate.errors import BadInput
from mutualgate.model.legible import Legible
from mutualgate.reading.about import Facts, issuer_text
from mutualgate.reading.containers import MAX_CERTIFICATES, MAX_UPLOAD_BYTES, Contents, open_upload
from mutualgate.reading.files import legible_at, odd_serials_allowed, subject_text
from mutualgate.reading.meant import chain_of, meant
from mutualgate.reading.weak_keys import examine, key_fingerprint, key_words
from mutualgate.reading.works import Finding, Opening, Way, findings_of, summed_up, ways_of, weak


@dataclass(frozen=True)
class Described:
    """A certificate's facts, every text fit to be shown. `fingerprint` and `spki` are SHA-256, hexadecimal."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    serial: str
    not_before: datetime
    not_after: datetime
    key: str
    fingerprint: str
    spki: str
    headline: str


@dataclass(frozen=True)
class Explanation:
    """All of it. `headline` is the first sentence; `works` the second; `certificate` is None for a CSR.

    `chain` is what came with it, nearest issuer first; `extra` counts certificates that have nothing to do with it.
    `der` and `chain_der` are for whoever records a pin.
    """

    form: str
    headline: str
    works: str
    certificate: Described | None
    chain: tuple[Described, ...]
    extra: int
    findings: tuple[Finding, ...]
    ways: tuple[Opening, ...]
    der: bytes
    chain_der: tuple[bytes, ...]

    def way(self, way: Way) -> Opening:
        """What is said about one way."""
        return next(one for one in self.ways if one.way is way)


def explain(data: bytes | bytearray, where: str, *, now: datetime) -> Explanation:
    """Explains an upload: PEM, DER, PKCS#7, or a .p12 without key and password. `where` names it in errors.

    BadInput when there is no certificate or CSR in it. Code `private_key_given` when a private key is: a bytearray is
    overwritten then, so whoever takes uploads hands in one (see `containers.open_upload`).
    """
    contents = open_upload(data, where)
    if contents.request is not None:
        return _explain_request(contents)
    leaf, chain, extra = meant(contents.certificates)
    return _explain(contents.form, leaf, chain, extra, now)


def explain_chain(ders: Sequence[bytes], *, now: datetime) -> Explanation:
    """Explains a chain as a handshake brought it: DER, leaf first. BadInput when it is not one."""
    where = "the certificate of this connection"
    if not ders or len(ders) > MAX_CERTIFICATES or sum(map(len, ders)) > MAX_UPLOAD_BYTES:
        raise BadInput("is no chain of certificates", where=where, expected=f"1 to {MAX_CERTIFICATES} certificates")
    with odd_serials_allowed():
        leaf, *others = [legible_at(der, where) for der in ders]
    chain = chain_of(leaf, others)
    return _explain("handshake", leaf, chain, len(others) - len(chain), now)


def _described(facts: Facts) -> Described:
    certificate = facts.certificate
    with odd_serials_allowed():
        number = certificate.serial_number
    return Described(
        subject=subject_text(certificate),
        issuer=issuer_text(certificate),
        names=facts.names,
        serial=f"{'-' * (number < 0)}{abs(number):x}",
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        key="unreadable" if facts.key is None else key_words(facts.key),
        fingerprint=sha256(facts.legible.der).hexdigest(),
        spki="" if facts.key is None else key_fingerprint(facts.key).hex(),
        headline=facts.headline,
    )


def _explain(form: str, leaf: Legible, chain: list[Legible], extra: int, now: datetime) -> Explanation:
    facts = Facts(leaf)
    above = [Facts(one) for one in chain]
    findings = tuple(findings_of(facts, above, extra, now))
    return Explanation(
        form=form,
        headline=facts.headline[0].upper() + facts.headline[1:] + ".",
        works=summed_up(findings),
        certificate=_described(facts),
        chain=tuple(_described(one) for one in above),
        extra=extra,
        findings=findings,
        ways=ways_of(facts, now),
        der=leaf.der,
        chain_der=tuple(one.der for one in chain),
    )


def _explain_request(contents: Contents) -> Explanation:
    request = contents.request
    assert request is not None  # noqa: S101 - the caller looked
    key, weakness = examine(request)
    kind = "an unreadable key" if key is None else key_words(key)
    findings = () if weakness is None else (weak(weakness),)
    return Explanation(
        form=contents.form,
        headline=f"A request for a certificate (CSR), {kind}, for {subject_text(request)}.",
        works="It is no certificate yet: have it signed." if weakness is None else summed_up(findings),
        certificate=None,
        chain=(),
        extra=0,
        findings=findings,
        ways=(
            Opening(Way.PIN, False, "There is no certificate yet that could be pinned."),
            Opening(Way.PARTNER, False, "There is no certificate yet."),
            Opening(Way.OURS, weakness is None, "Our authority signs it." if weakness is None else weakness.sentence),
        ),
        der=b"",
        chain_der=(),
    )
