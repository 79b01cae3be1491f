"""The ways in that an invitation may allow, as they are offered."""

from dataclasses import dataclass
from typing import Final

from mutualgate.model.invitation import Way

WAYS: Final = {
    Way.PAGE: "a key made in the page",
    Way.OWN: "a certificate that it has",
    Way.CSR: "a CSR",
    Way.APPLE: "an Apple profile",
    Way.WINDOWS: "a script for Windows",
    Way.COMMAND: "a command for Linux and servers",
}
"""What each way is called to operators."""


@dataclass(frozen=True)
class Choice:
    """One way in, as it is offered. `page` is the last part of its address."""

    way: Way
    page: str
    title: str
    text: str
    action: str


CHOICES: Final[dict[Way, Choice]] = {
    choice.way: choice
    for choice in (
        Choice(
            Way.PAGE,
            "page",
            "Make a key in this browser",
            "This page makes your key and never sends it anywhere. You get a file to import, and its password.",
            "Make my key",
        ),
        Choice(
            Way.APPLE,
            "apple",
            "Install a profile on this Apple device",
            "The device makes its own key and keeps it. You allow the profile in the settings; there is no password.",
            "Get the profile",
        ),
        Choice(
            Way.WINDOWS,
            "windows",
            "Let Windows make the key",
            "A script that you can read asks Windows for a key, in the TPM chip where there is one. It never leaves.",
            "Get the script",
        ),
        Choice(
            Way.COMMAND,
            "linux",
            "Use a command line",
            "For Linux, servers and programs: one command makes the key, fetches the certificate and can renew it.",
            "Show the command",
        ),
        Choice(
            Way.CSR,
            "csr",
            "Send a request for a key that you have (CSR)",
            "You made a key with a tool or device of your own. Paste the request; you get the certificate.",
            "Send a request",
        ),
        Choice(
            Way.OWN,
            "own",
            "Use a certificate that you have already",
            "Self-signed or from any authority. Opening this link with it proves that it is yours.",
            "Use my own",
        ),
    )
}
