"""A visitor's machine is guessed from what it says, and the best way there comes first."""

import pytest

from mutualgate.authorities.p12 import Encoding
from mutualgate.model.invitation import Way
from mutualgate.portal.systems import Browser, Guide, Machine, System, machine

WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
)
EDGE = f"{WINDOWS} Edg/156.0.0.0"
SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/20.1 Safari/605.1.15"
)
FIREFOX = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:153.0) Gecko/20100101 Firefox/153.0"
LINUX = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 20_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/20.1 Mobile/15E148 Safari/604.1"
)
ANDROID = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Mobile Safari/537.36"
)
ANDROID_FIREFOX = "Mozilla/5.0 (Android 16; Mobile; rv:153.0) Gecko/153.0 Firefox/153.0"


@pytest.mark.parametrize(
    ("agent", "system", "browser", "guide", "encoding"),
    [
        (WINDOWS, System.WINDOWS, Browser.CHROME, Guide.WINDOWS, Encoding.MODERN),
        (EDGE, System.WINDOWS, Browser.CHROME, Guide.WINDOWS, Encoding.MODERN),
        (SAFARI, System.MACOS, Browser.SAFARI, Guide.MACOS, Encoding.COMPAT),
        (FIREFOX, System.MACOS, Browser.FIREFOX, Guide.FIREFOX, Encoding.MODERN),
        (LINUX, System.LINUX, Browser.CHROME, Guide.LINUX, Encoding.COMPAT),
        (IPHONE, System.IOS, Browser.SAFARI, Guide.IOS, Encoding.COMPAT),
        # What every Chrome says nowadays, whatever it runs on.
        (ANDROID, System.ANDROID, Browser.CHROME, Guide.ANDROID, Encoding.COMPAT),
        (ANDROID_FIREFOX, System.ANDROID, Browser.FIREFOX, Guide.ANDROID, Encoding.MODERN),
        ("curl/8.11.0", System.OTHER, Browser.PROGRAM, Guide.CURL, Encoding.MODERN),
        ("", System.OTHER, Browser.OTHER, None, Encoding.COMPAT),
        ("x" * 100_000, System.OTHER, Browser.OTHER, None, Encoding.COMPAT),
    ],
)
def test_what_a_browser_says_of_itself(
    agent: str, system: System, browser: Browser, guide: Guide | None, encoding: Encoding
) -> None:
    found = machine({"user-agent": agent})
    assert (found.system, found.browser, found.guide, found.encoding) == (system, browser, guide, encoding)


def test_hints_say_what_the_user_agent_no_longer_does() -> None:
    hints = {"user-agent": ANDROID, "sec-ch-ua-platform": '"Android"'}
    assert machine({**hints, "sec-ch-ua-platform-version": '"13.0.0"'}).encoding is Encoding.COMPAT
    assert machine({**hints, "sec-ch-ua-platform-version": '"16.0.0"'}).encoding is Encoding.MODERN
    assert machine({**hints, "sec-ch-ua-platform-version": '"; drop"'}).encoding is Encoding.COMPAT
    assert machine({"user-agent": LINUX, "sec-ch-ua-platform": '"Chrome OS"'}).system is System.LINUX


@pytest.mark.parametrize(
    ("agent", "best"),
    [
        (WINDOWS, Way.PAGE), (SAFARI, Way.APPLE), (IPHONE, Way.APPLE), (FIREFOX, Way.PAGE), (LINUX, Way.PAGE),
        (ANDROID, Way.PAGE), ("curl/8.11.0", Way.COMMAND), ("", Way.PAGE),
    ],
)  # fmt: skip
def test_the_best_way_comes_first_and_none_is_kept_back(agent: str, best: Way) -> None:
    mine = machine({"user-agent": agent})
    ways = mine.ways(tuple(Way), shown=False)
    assert ways[0] is best
    assert set(ways) == set(Way)
    assert mine.ways(tuple(Way), shown=True)[0] is Way.OWN
    assert mine.ways((Way.CSR, Way.OWN), shown=False) == [Way.CSR, Way.OWN]
    assert mine.ways((Way.CSR,), shown=True) == [Way.CSR]


def test_a_way_that_cannot_be_gone_here_is_known() -> None:
    linux, phone = machine({"user-agent": LINUX}), machine({"user-agent": IPHONE})
    assert [way for way in Way if not linux.fits(way)] == [Way.APPLE, Way.WINDOWS]
    assert [way for way in Way if not phone.fits(way)] == [Way.WINDOWS, Way.COMMAND]
    assert all(Machine(System.OTHER, Browser.OTHER).fits(way) for way in Way)
