"""What an operator can do about somebody who was refused.

For each reason what it mostly is, and a sentence with commands (in backticks) that do something about it. Words in
capitals stand for what is put in where it is known. The reference of the reasons is made of the same table.
"""

import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mutualgate import snapshot
from mutualgate.gate import Judge, Verdict, names_permitted
from mutualgate.model.legible import Legible, legible
from mutualgate.model.partner import Anchor, AnchorState, Partner
from mutualgate.model.refusal import RefusalRecord
from mutualgate.reading.files import UNREADABLE, odd_serials_allowed
from mutualgate.store import Store, Transaction


@dataclass(frozen=True)
class Advice:
    """What a reason mostly is, and what to do about it; `partner` is said instead where a partner's CA signed, and
    `retired` where that CA was retired."""

    cause: str
    deed: str
    partner: str = ""
    retired: str = ""


_OURS = "Give it one of ours: `mutualgate invite CLIENT`."
_PIN = "If you know whose it is, let this very certificate in: `mutualgate approve REFUSAL --client CLIENT`."
_PARTNERS = "Have the partner issue it anew."

ADVICE: Final[Mapping[str, Advice]] = {
    "no_certificate": Advice(
        'A browser that hides an expired certificate, or was told "Cancel"; a program without `--cert`.',
        "Look at the dates of what its client has: `mutualgate client show CLIENT`.",
    ),
    "malformed": Advice(
        "More than 4 certificates or 32 KiB, the root sent along with many others, or a broken file.",
        "Have the client send its certificate and the intermediates only.",
    ),
    "bad_signature": Advice(
        "Another CA with the same name as one that is known here, or SHA-1.",
        "Compare the key of its issuer with the one that you know: somebody may be trying something.",
    ),
    "unknown_issuer": Advice(
        "A client's own certificate, one of another CA, or intermediates that were not sent.",
        f"{_PIN} If it is of a partner's CA: `mutualgate partner ca add PARTNER FILE`. Otherwise give it one of ours: "
        "`mutualgate invite CLIENT`.",
        "Have it send its intermediates, or do it for all: `mutualgate partner intermediate add PARTNER FILE`.",
        "Its CA was retired: have it use one that counts, as by `mutualgate partner ca list PARTNER`, or let that one "
        "count again: `mutualgate partner ca add PARTNER FILE`.",
    ),
    "path_invalid": Advice(
        "A constraint, a length or a critical extension; the sentence names it with the section of RFC 5280. Under a "
        "partner's CA that is not asked for revocations: a certificate that lives too long.",
        f"Have it issued anew. {_OURS}",
        f"{_PARTNERS} If it lives too long for a CA that is not asked for revocations, and you bear it: `mutualgate "
        "partner ca set PARTNER CA --leaf-limit 400d`. If a CA between waits: `mutualgate partner ca list PARTNER`.",
    ),
    "not_yet_valid": Advice(
        "The clock of this machine or of the issuer is wrong.",
        "Compare the clocks: `date -u`.",
    ),
    "expired": Advice(
        "Not renewed. It may also be the authority that has ended: the sentence says which certificate.",
        _OURS,
        f"{_PARTNERS} If it is the CA that has ended: `mutualgate partner ca list PARTNER`.",
    ),
    "not_for_client_auth": Advice(
        "A server's certificate, as public CAs issue them.",
        f"{_OURS} {_PIN}",
        f"{_PARTNERS} {_PIN}",
    ),
    "ca_as_client": Advice(
        "A certificate with CA:TRUE under an authority that is known here.",
        f"{_OURS} {_PIN}",
        f"{_PARTNERS} {_PIN}",
    ),
    "weak_key": Advice(
        "RSA below 2,048 bits, or a curve or kind whose possession the gate cannot check.",
        f"It needs a new key. {_OURS}",
        f"It needs a new key. {_PARTNERS}",
    ),
    "name_not_permitted": Advice(
        "A partner's CA issued a certificate for a name that no rule of the partner's permits: a rule that is missing, "
        "or somebody who tries. The sentence has the name.",
        "If the name is the partner's: `mutualgate partner name add PARTNER NAME`.",
    ),
    "pin_retired": Advice(
        "A pinned certificate or key that was retired, or whose pin has ended.",
        "Let it in again: `mutualgate pin renew PIN`. Or pin the one that the client has now: "
        "`mutualgate pin add CLIENT FILE`.",
    ),
    "revoked": Advice(
        "By you, by name or number, or by its CA; the sentence has the date and the reason.",
        f"If it was an error: {_OURS[0].lower()}{_OURS[1:]} One that is out for the time being is let in again: "
        "`mutualgate client revoke CLIENT --release`.",
        f"Its CA revoked it. {_PARTNERS}",
    ),
    "crl_missing": Advice(
        "A partner's CA whose revocation policy asks for a list, and no list or answer that covers the certificate has "
        "been fetched.",
        "Look at the addresses and the last error, and approve one: `mutualgate partner crl list PARTNER`. Or load the "
        "list from a file: `mutualgate partner crl load PARTNER FILE`.",
    ),
    "crl_expired": Advice(
        "As before, but the list is past its nextUpdate, and the grace that it may have.",
        "Fetch now: `mutualgate partner crl fetch PARTNER`, or load a new one: `mutualgate partner crl load PARTNER "
        "FILE`. If the partner has none, and you bear it: `mutualgate partner ca set PARTNER CA --revocation grace "
        "--grace 48h`.",
    ),
    "not_enrolled": Advice(
        "Signed by an authority that admits only what is listed, or issued after the backup that was restored. Under a "
        "partner's CA: a client that is not on the partner's list, or waits.",
        f"{_OURS} {_PIN}",
        "If it is the partner's: `mutualgate approve REFUSAL`.",
    ),
    "client_suspended": Advice(
        "`mutualgate client suspend`, or `mutualgate partner suspend`: the sentence says which.",
        "Let it in again: `mutualgate client resume CLIENT`.",
        "All of the partner: `mutualgate partner resume PARTNER`. This client: `mutualgate client resume CLIENT`.",
    ),
    "not_granted": Advice(
        "The client has none of the route's roles, or its pin or its partner's CA is for another environment: the "
        "sentence says which.",
        "Give it a role that the route names in mutualgate.toml: `mutualgate client roles CLIENT --add ROLE`.",
    ),
    "wrong_site": Advice(
        "A proxy in between that reuses connections, or somebody who tries.",
        "Nothing, if it is rare: browsers come back by themselves.",
    ),
}
"""By reason, in the order of judgement."""

_OF_A_PLACE: Final = ("not_granted", "wrong_site")
"""Reasons that say nothing about a certificate: the judge, asked about it alone, lets it in."""


@dataclass(frozen=True)
class Remedy:
    """What can be done about one refusal; `deed` has its commands in backticks.

    `today` says how the judge speaks of the certificate now, where that is otherwise than then. `partner` and `ca` are
    set where a partner's CA signed it.
    """

    cause: str
    deed: str
    today: str = ""
    client: str = ""
    partner: str = ""
    ca: int | None = None

    @property
    def sentence(self) -> str:
        """`deed` for a terminal."""
        return self.deed.replace("`", "")


def judged(store: Store, chain: Sequence[bytes]) -> Verdict:
    """What the judge says of `chain` (DER, leaf first) now, whatever site it is shown to."""
    return Judge(snapshot.build_for(store, (), [chain])).decide(chain, int(store.clock().timestamp()))


def voucher(tx: Transaction, chain: Sequence[Legible], now: datetime) -> tuple[Anchor, Partner] | None:
    """The partner's CA above the first of `chain`, and whose it is: of several, as partners may share one, that of the
    partner who may vouch for the name, as the judge has it."""
    from mutualgate.partners.above import vouching
    from mutualgate.partners.names import name_of

    found: tuple[Anchor, Partner] | None = None
    for anchor in vouching(tx, chain, now):
        partner = tx.partners.get(anchor.partner)
        if partner is None:
            continue
        name = name_of(chain[0], partner.profile)
        # Under a CA that is shared, what is not bound to it says nothing (R1).
        counting = {anchor.id} if anchor.shared else {anchor.id, None}
        rules = [(str(one.kind), one.pattern) for one in tx.partners.rules_of(partner.id) if one.anchor in counting]
        if name is not None and names_permitted(rules, [name])[0]:
            return anchor, partner
        found = found or (anchor, partner)
    return found


def remedy(store: Store, record: RefusalRecord) -> Remedy:
    """What can be done now about a refusal, however long ago it was."""
    with store.reading() as tx:
        seen = None if record.fingerprint is None else tx.seen.find(record.fingerprint)
    verdict = judged(store, seen.chain) if seen is not None and seen.chain else None
    with store.reading() as tx:
        return _remedy(tx, record, () if seen is None else seen.chain, verdict, store.clock())


def _remedy(
    tx: Transaction, record: RefusalRecord, chain: Sequence[bytes], verdict: Verdict | None, now: datetime
) -> Remedy:
    client = record.client if verdict is None or verdict.client_id is None else verdict.client_id
    owner = None if client is None else tx.clients.get(client)
    name = "" if owner is None else str(owner.name)
    facts = _of_certificate(tx, chain, now)
    reason, today = record.reason, ""
    if verdict is not None and not (verdict.admitted and reason in _OF_A_PLACE):
        if verdict.admitted:
            return Remedy(
                ADVICE[reason].cause,
                "Nothing more: have it try again.",
                f"it is let in, as the client {name}",
                name,
                facts.partner,
                facts.ca,
            )
        if verdict.reason is not None and verdict.reason != reason:
            reason, today = verdict.reason, f"it is refused for {verdict.reason}: {verdict.detail}"
    advice = ADVICE[reason]
    known = {
        "REFUSAL": record.id,
        "CLIENT": name,
        "PARTNER": facts.partner,
        "CA": "" if facts.ca is None else str(facts.ca),
        "PIN": "" if facts.pin is None else str(facts.pin),
    }
    deed = (facts.retired and advice.retired) or (facts.partner and advice.partner) or advice.deed
    return Remedy(advice.cause, filled(deed, known), today, name, facts.partner, facts.ca)


def filled(deed: str, known: Mapping[str, str]) -> str:
    """With what is known in place of the words in capitals, in the commands alone."""

    def put(command: re.Match[str]) -> str:
        return re.sub(r"\b[A-Z]{2,}\b", lambda word: shlex.quote(known.get(word[0]) or word[0]), command[0])

    return re.sub(r"`[^`]*`", put, deed)


@dataclass(frozen=True)
class _Certificate:
    partner: str = ""
    ca: int | None = None
    pin: int | None = None
    retired: bool = False


def _of_certificate(tx: Transaction, chain: Sequence[bytes], now: datetime) -> _Certificate:
    from mutualgate.model.certificate import spki_fingerprint
    from mutualgate.partners.above import retired

    try:
        with odd_serials_allowed():
            certificates = [legible(one) for one in chain]
            if not certificates:
                return _Certificate()
            leaf = certificates[0]
            spki = spki_fingerprint(leaf.says)
            digests = (hashlib.sha256(chain[0]).digest(), spki)
            pin = next((one.id for one in tx.pins.with_key(spki) if one.digest in digests), None)
            found = voucher(tx, certificates, now)
            out = next(iter(retired(tx, certificates, now)), None) if found is None else None
            was = None if out is None else tx.partners.get(out.partner)
    except UNREADABLE:
        return _Certificate()
    if out is not None and was is not None:
        return _Certificate(str(was.name), out.id, pin, retired=True)
    if found is None:
        return _Certificate(pin=pin)
    anchor, partner = found
    return _Certificate(str(partner.name), anchor.id, pin, anchor.state_at(now) is AnchorState.RETIRED)
