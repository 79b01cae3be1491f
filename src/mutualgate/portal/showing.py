"""The certificate that a visitor has shown, in words."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from mutualgate.errors import BadInput
from mutualgate.portal.visitor import Visitor
from mutualgate.reading.explain import Explanation, explain_chain
from mutualgate.reading.works import Way


@dataclass(frozen=True)
class Shown:
    """What it is; `usable` if it could be a client's own, and if not, `why_not`. The explanation has the details."""

    fingerprint: str
    headline: str
    works: str
    usable: bool
    why_not: str
    explanation: Explanation | None

    @property
    def not_after(self) -> datetime | None:
        """Its last second, where it can be read."""
        certificate = None if self.explanation is None else self.explanation.certificate
        return None if certificate is None else certificate.not_after

    def values(self) -> dict[str, Any]:
        """For programs."""
        findings = () if self.explanation is None else self.explanation.findings
        return {
            "fingerprint": self.fingerprint,
            "headline": self.headline,
            "works": self.works,
            "usable": self.usable,
            "why_not": self.why_not or None,
            "findings": [
                {"code": one.code, "effect": one.effect.value, "whom": one.whom, "sentence": one.sentence}
                for one in findings
            ],
        }


def fingerprint(der: bytes) -> str:
    """SHA-256 of the certificate, in hexadecimal."""
    return sha256(der).hexdigest()


def shown(visitor: Visitor, now: datetime) -> Shown | None:
    """What `visitor` has shown; None for nothing."""
    if visitor.shown is None:
        return None
    digest = fingerprint(visitor.shown)
    try:
        explanation = explain_chain(visitor.chain, now=now)
    except BadInput as error:
        return Shown(digest, "A certificate that cannot be read.", f"It {error.problem}.", False, "Show another.", None)
    pin = explanation.way(Way.PIN)
    return Shown(
        digest, explanation.headline, explanation.works, pin.open, "" if pin.open else pin.sentence, explanation
    )
