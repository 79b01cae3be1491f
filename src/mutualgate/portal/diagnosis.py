"""Why a certificate did not arrive, or not the right one: what one handshake showed, in words for its visitor.

Knows the verdict, what was expected, and what each browser does with certificates. Decides nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from mutualgate.gate import reasons
from mutualgate.portal.remembered import Remembered
from mutualgate.portal.systems import Browser, Guide, Machine, System
from mutualgate.portal.visitor import Verdict, Visitor

CLOCK_LEEWAY: Final = timedelta(minutes=2)


@dataclass(frozen=True)
class Cause:
    """Something that it can be, and what to do about it."""

    code: str
    title: str
    fix: str


@dataclass(frozen=True)
class Diagnosis:
    """What the gate saw in this very connection. `good`: it is in, as the client that was invited."""

    good: bool
    code: str
    title: str
    causes: tuple[Cause, ...] = ()


@dataclass(frozen=True)
class Expected:
    """Which certificate ought to arrive: the client's id and name, and until when it is valid, where that is known.

    `instead_of` is the one that it has taken the place of, SHA-256 in hexadecimal; empty if it is the first.
    """

    client_id: int
    client: str
    not_after: datetime | None
    instead_of: str = ""


def diagnose(
    visitor: Visitor, machine: Machine, expected: Expected, remembered: Remembered | None, now: datetime
) -> Diagnosis:
    """What the handshake of `visitor` says about the certificate that is `expected`."""
    if visitor.verdict is Verdict.ADMITTED:
        return _admitted(visitor, machine, expected)
    if visitor.verdict is Verdict.REFUSED:
        return _refused(visitor, machine)
    return _nothing(machine, expected, remembered, now)


def _admitted(visitor: Visitor, machine: Machine, expected: Expected) -> Diagnosis:
    if expected.instead_of and visitor.shown is not None and sha256(visitor.shown).hexdigest() == expected.instead_of:
        return Diagnosis(
            False,
            "old_certificate",
            "The old certificate arrived. It still lets you in, but not for long.",
            (Cause("old_certificate", "Your browser sent the one of before.", _choose_again(machine)),),
        )
    if visitor.client_id == expected.client_id:
        return Diagnosis(True, "in", f"It works. The gate knows you as {visitor.client}.")
    return Diagnosis(
        False,
        "another_client",
        f"The gate knows the certificate that arrived, but as {visitor.client} and not as {expected.client}.",
        (Cause("another_client", "Your browser sent another certificate that you have.", _choose_again(machine)),),
    )


def _refused(visitor: Visitor, machine: Machine) -> Diagnosis:
    meaning, fix = words_of(visitor.reason)
    detail = visitor.detail if visitor.issuer_known else ""
    causes = [Cause(visitor.reason, detail or meaning, fix)]
    if visitor.reason == "not_yet_valid":
        causes.append(_CLOCK)
    causes.append(Cause("wrong_certificate", "Or it is the wrong one of several.", _choose_again(machine)))
    return Diagnosis(False, visitor.reason, "A certificate arrived, and it was refused.", tuple(causes))


def _nothing(machine: Machine, expected: Expected, remembered: Remembered | None, now: datetime) -> Diagnosis:
    causes: list[Cause] = []
    ended = _ended(expected, remembered, now)
    if ended is not None:
        causes.append(
            Cause(
                "expired",
                f"Yours expired on {ended.day} {ended:%B %Y}, and browsers hide a certificate that has expired.",
                "A browser cannot renew it any more: ask whoever invited you for a new invitation.",
            )
        )
    if machine.browser is Browser.PROGRAM:
        causes.append(
            Cause(
                "no_file",
                "The program was not told which certificate to send.",
                "Name certificate and key: curl --cert own.pem --key own.key",
            )
        )
    else:
        causes.append(Cause("cached", "Your browser remembers an earlier choice.", _choose_again(machine)))
        causes.append(Cause("store", "It lies where this browser does not look.", _WHERE.get(machine.guide, _ANYWHERE)))
        causes.append(
            Cause(
                "hidden",
                "Your browser hides it.",
                "Browsers offer none that has expired or is not valid yet. Look at its dates, and at your clock.",
            )
        )
    return Diagnosis(False, "no_certificate", "No certificate arrived.", tuple(causes))


def _ended(expected: Expected, remembered: Remembered | None, now: datetime) -> datetime | None:
    """When what this browser has ended, if it has; a newer one that is expected counts before what was remembered."""
    if expected.not_after is not None:
        return expected.not_after if expected.not_after < now else None
    return remembered.not_after if remembered is not None and remembered.not_after < now else None


_CLOCK = Cause(
    "clock",
    "The clock of the machine that made it may be ahead.",
    "Wait until its first day, or have it made anew with the right time.",
)

_ANYWHERE = "Import the .p12 file once more, where this browser or system keeps certificates with their keys."
_WHERE: Final[dict[Guide | None, str]] = {
    Guide.WINDOWS: "Press Windows+R, type certmgr.msc: it has to be under Personal, Certificates, with a small key.",
    Guide.MACOS: "Open Keychain Access: it has to be under login, My Certificates, with a key below it.",
    Guide.FIREFOX: "Firefox has its own store: Settings, Privacy & Security, View Certificates, Your Certificates.",
    Guide.LINUX: "Open chrome://certificate-manager: it has to be under Your certificates.",
    Guide.IOS: "Open Settings, General, VPN & Device Management: a profile with it has to be there. Use Safari.",
    Guide.ANDROID: "Search the settings for User credentials: it has to be there. Use Chrome.",
}


def _choose_again(machine: Machine) -> str:
    """How this browser is brought to ask once more."""
    if machine.browser is Browser.PROGRAM:
        return "Name the right certificate and key."
    if machine.guide is Guide.FIREFOX:
        return (
            "Test again. If you are not asked: Settings, Privacy & Security, View Certificates, Authentication "
            "Decisions, delete the line of this site."
        )
    if machine.guide is Guide.MACOS and machine.browser is Browser.SAFARI:
        return (
            "Quit Safari with Command-Q and come back. If it sends the same again: in Keychain Access, delete the "
            "identity preference with this site's name."
        )
    if machine.system in (System.IOS, System.ANDROID):
        return "Close the browser in the list of recent apps and come back: you are asked again."
    return "Close all windows of the browser, not only this tab, and come back; or test in a private window."


def words_of(code: str, known: Callable[[], list[tuple[str, str, str]]] = reasons) -> tuple[str, str]:
    """What a reason means, and what to do about it."""
    return next(
        ((meaning, fix) for name, meaning, fix in known() if name == code), ("It is not let in.", "Ask the operator.")
    )
