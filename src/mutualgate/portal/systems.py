"""Which system and browser a visitor has, from what it says of itself, and what is best there.

A guess: a wrong one costs a click, because every page offers the others. Nothing is allowed or refused by it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mutualgate.authorities.p12 import Encoding, encoding_for
from mutualgate.model.invitation import Way

# Asks Chromium and its kin for the version, which their User-Agent no longer tells (User-Agent Client Hints).
ACCEPT_CH: Final = "Sec-CH-UA-Platform-Version"


class System(StrEnum):
    """What a visitor's machine runs."""

    WINDOWS = "windows"
    MACOS = "macos"
    IOS = "ios"
    ANDROID = "android"
    LINUX = "linux"
    OTHER = "other"

    @property
    def called(self) -> str:
        """`macOS`, as its maker writes it."""
        return _CALLED[self]


_CALLED: Final = {
    System.WINDOWS: "Windows",
    System.MACOS: "macOS",
    System.IOS: "iPhone or iPad",
    System.ANDROID: "Android",
    System.LINUX: "Linux",
    System.OTHER: "your system",
}


class Browser(StrEnum):
    """What a visitor looks with."""

    CHROME = "chrome"
    """Chrome and all that is built like it: Edge, Opera, Brave, Chromium."""
    FIREFOX = "firefox"
    SAFARI = "safari"
    PROGRAM = "program"
    """curl and its kin, which take a key from a file."""
    OTHER = "other"


class Guide(StrEnum):
    """A page of instructions: where certificates are kept there, and how one gets in."""

    WINDOWS = "windows"
    MACOS = "macos"
    FIREFOX = "firefox"
    LINUX = "linux"
    IOS = "ios"
    ANDROID = "android"
    CURL = "curl"
    JAVA = "java"
    DOTNET = "dotnet"

    @property
    def called(self) -> str:
        """What it is for, in words."""
        return _GUIDES[self]


_GUIDES: Final = {
    Guide.WINDOWS: "Chrome or Edge on Windows",
    Guide.MACOS: "Safari, Chrome or Edge on a Mac",
    Guide.FIREFOX: "Firefox on a computer",
    Guide.LINUX: "Chrome or Chromium on Linux",
    Guide.IOS: "iPhone and iPad",
    Guide.ANDROID: "Android",
    Guide.CURL: "curl and scripts",
    Guide.JAVA: "Java",
    Guide.DOTNET: ".NET",
}


@dataclass(frozen=True)
class Machine:
    """What a visitor sits at. `version` is the system's, where it is told."""

    system: System
    browser: Browser
    version: str = ""

    @property
    def guide(self) -> Guide | None:
        """Its instructions. On a telephone every browser uses the system's store; elsewhere Firefox has its own."""
        if self.browser is Browser.PROGRAM:
            return Guide.CURL
        if self.system in (System.IOS, System.ANDROID):
            return Guide(self.system.value)
        if self.browser is Browser.FIREFOX:
            return Guide.FIREFOX
        return None if self.system is System.OTHER else Guide(self.system.value)

    @property
    def guides(self) -> list[Guide]:
        """All instructions, those for this machine first."""
        first = [] if self.guide is None else [self.guide]
        return list(dict.fromkeys([*first, *Guide]))

    @property
    def encoding(self) -> Encoding:
        """The .p12 that opens here."""
        guide = self.guide
        if guide is Guide.ANDROID and re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){0,3}", self.version):
            return encoding_for(f"android-{self.version}")
        return encoding_for(None if guide is None else _TARGETS[guide])

    def fits(self, way: Way) -> bool:
        """Whether a way can be gone on this machine at all."""
        if way is Way.APPLE:
            return self.system in (System.MACOS, System.IOS, System.OTHER)
        if way is Way.WINDOWS:
            return self.system in (System.WINDOWS, System.OTHER)
        return way is not Way.COMMAND or self.system not in (System.IOS, System.ANDROID)

    def ways(self, allowed: Sequence[Way], *, shown: bool) -> list[Way]:
        """The ways of `allowed`, the best for this machine first; `shown` if it has shown a certificate of its own."""
        order = [Way.OWN] if shown else []
        if self.browser is Browser.PROGRAM:
            order += [Way.COMMAND, Way.CSR]
        elif self.guide in (Guide.IOS, Guide.MACOS):
            order += [Way.APPLE, Way.PAGE]
        elif self.guide is Guide.WINDOWS:
            order += [Way.PAGE, Way.WINDOWS]
        else:
            order += [Way.PAGE]
        order += [Way.COMMAND] if self.system is System.LINUX else []
        order += [Way.PAGE, Way.CSR, Way.OWN, Way.APPLE, Way.WINDOWS, Way.COMMAND]
        return [way for way in dict.fromkeys(order) if way in allowed]


# What a .p12 is for, in the words of `encoding_for`.
_TARGETS: Final = {
    Guide.WINDOWS: "windows",
    Guide.MACOS: "macos",
    Guide.FIREFOX: "firefox",
    Guide.LINUX: "chromium",
    Guide.IOS: "ios",
    Guide.ANDROID: "android",
    Guide.CURL: "curl",
    Guide.JAVA: "java",
    Guide.DOTNET: "windows",
}

_PLATFORMS: Final = {
    "windows": System.WINDOWS,
    "macos": System.MACOS,
    "ios": System.IOS,
    "android": System.ANDROID,
    "linux": System.LINUX,
    "chrome os": System.LINUX,
    "chromium os": System.LINUX,
}

_PROGRAMS: Final = ("curl/", "wget/", "httpie/", "python", "go-http-client", "java/", "okhttp", "powershell", "libwww")


def machine(fields: Mapping[str, str]) -> Machine:
    """The machine of a request with `fields`, names in lower case."""
    agent = fields.get("user-agent", "")[:512]
    hint = _PLATFORMS.get(fields.get("sec-ch-ua-platform", "").strip('"').lower())
    return Machine(hint or _system(agent), _browser(agent), _version(fields, agent))


def _system(agent: str) -> System:
    if re.search("iPhone|iPad|iPod", agent):
        return System.IOS
    for word, system in (
        ("Android", System.ANDROID),
        ("Windows", System.WINDOWS),
        ("Macintosh", System.MACOS),
        ("Mac OS X", System.MACOS),
        ("Linux", System.LINUX),
        ("CrOS", System.LINUX),
        ("X11", System.LINUX),
    ):
        if word in agent:
            return system
    return System.OTHER


def _browser(agent: str) -> Browser:
    lower = agent.lower()
    if lower.startswith(_PROGRAMS):
        return Browser.PROGRAM
    if "Firefox/" in agent or "FxiOS/" in agent:
        return Browser.FIREFOX
    if re.search("Chrome/|Chromium/|CriOS/|Edg", agent):
        return Browser.CHROME
    return Browser.SAFARI if "Safari/" in agent else Browser.OTHER


def _version(fields: Mapping[str, str], agent: str) -> str:
    told = fields.get("sec-ch-ua-platform-version", "").strip('"')
    if told:
        return told[:32]
    match = re.search(r"Android ([0-9.]{1,12})[;)]", agent)
    # "Android 10; K" is what every Chrome says nowadays, whatever it runs on.
    return match[1] if match and "Android 10; K" not in agent else ""
