"""The table of hostile handshakes and uploads: which rule, what is tried, made by whom, on which way, how it ends.

A row is a function that tries it on the scene and returns how it ended; the decorator holds the other columns. Knows
no certificate and no gate.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from end_to_end.hostile.scene import Scene


class By(StrEnum):
    """Whose code made what is shown."""

    OPENSSL = "openssl"
    KEYTOOL = "keytool"
    GO = "go"
    OURS = "pyca"


class Way(StrEnum):
    """How it comes in."""

    HANDSHAKE = "handshake"
    UPLOAD = "upload"
    CSR = "csr"
    INVITATION = "invitation"
    CRL = "crl"
    JWKS = "jwks"
    HTTP = "http"


RULES = {
    "R1": "a partner's CA speaks for that partner's names alone",
    "R2": "a CA is known by its key, never by its name",
    "R3": "a pin compares the whole certificate or the whole key",
    "R4": "a pin never becomes an issuer",
    "R5": "one key belongs to one partner",
    "R6": "a public root is nobody's own CA, and without a name rule nothing is admitted",
    "R7": "who brings a certificate proves that it holds the key",
    "R8": "a CA is accepted until its own end",
    "R9": "the issuing CA is registered, and what may stand below it is bounded",
    "R10": "helper certificates help only, and are never fetched",
    "R11": "only approved addresses are fetched, and never those inside",
    "R12": "that revocation could not be checked is not passed over",
    "R13": "a list counts only if its CA signed it and it is whole",
    "R14": "who is revoked or removed is out at once",
    "R15": "weak keys and hashes are refused wherever they stand in a chain",
    "R16": "extended key usages are nested",
    "R17": "a client's certificate is no CA's, and X.509 v1 issues nothing",
    "R18": "names are compared as DER and shown without control characters",
    "R19": "no header that a client sends says who it is",
    "R20": "the handshake names no CA",
    "R21": "a CA that retired admits nobody, and the one after it takes over",
    "R22": "what one partner brings changes nothing for another",
    "R23": "what is for testing is not for production",
    "R24": "work is bounded before the first signature is checked",
    "R25": "a name in a shared CA is compared whole, and its partner can be suspended",
    "R26": "a pin ends",
    "R27": "what comes in by itself only adds, waits, touches nobody else, and lifts no suspension",
    "R28": "what is not valid yet says so",
}
"""R1 to R28: what each is about."""

NEAREST = {
    "R20": "a rule of the handshake: what the gate sends is looked at",
}
"""Rules that no certificate can break by itself, and what is tried in their place."""


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    rule: str
    what: str
    by: By
    way: Way
    expected: str
    act: Callable[["Scene"], str]

    @property
    def id(self) -> str:
        return f"{self.rule}: {self.what} ({self.by})"


ROWS: list[Row] = []


def row(
    rule: str, what: str, *, by: By, way: Way, expected: str
) -> Callable[[Callable[["Scene"], str]], Callable[["Scene"], str]]:
    """Adds a function to the table."""

    def add(act: Callable[["Scene"], str]) -> Callable[["Scene"], str]:
        ROWS.append(Row(rule, what, by, way, expected, act))
        return act

    return add
