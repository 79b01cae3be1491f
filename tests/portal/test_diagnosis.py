"""What one handshake showed, in words: the right one, another's, a refused one, none."""

from datetime import timedelta

import pki
import pytest

from mutualgate.gate import reasons
from mutualgate.portal.diagnosis import Diagnosis, Expected, diagnose
from mutualgate.portal.remembered import Remembered
from mutualgate.portal.systems import machine
from mutualgate.portal.visitor import Verdict, Visitor

NOW = pki.NOW
ANN = Expected(7, "ann", NOW + timedelta(days=90))
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/20.1 Safari/605.1.15"
)
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 20_1 like Mac OS X) AppleWebKit/605.1.15 Version/20.1 Safari/604.1"


def ask(
    visitor: Visitor, agent: str = CHROME, expected: Expected = ANN, remembered: Remembered | None = None
) -> Diagnosis:
    return diagnose(visitor, machine({"user-agent": agent}), expected, remembered, NOW)


def codes(found: Diagnosis) -> list[str]:
    return [cause.code for cause in found.causes]


def test_the_right_one_is_good() -> None:
    found = ask(Visitor(Verdict.ADMITTED, "192.0.2.7", client_id=7, client="ann"))
    assert found == Diagnosis(True, "in", "It works. The gate knows you as ann.")


def test_another_client_s_is_not() -> None:
    found = ask(Visitor(Verdict.ADMITTED, "192.0.2.7", client_id=8, client="bob"))
    assert not found.good
    assert "as bob and not as ann" in found.title
    assert "Close all windows" in found.causes[0].fix


@pytest.mark.parametrize("code", [code for code, _, _ in reasons() if code not in ("no_certificate", "wrong_site")])
def test_a_refused_one_says_its_reason(code: str) -> None:
    meaning, fix = next((meaning, fix) for name, meaning, fix in reasons() if name == code)
    found = ask(Visitor(Verdict.REFUSED, "192.0.2.7", reason=code))
    assert not found.good
    assert (found.code, found.title) == (code, "A certificate arrived, and it was refused.")
    assert (found.causes[0].title, found.causes[0].fix) == (meaning, fix)
    assert codes(found)[-1] == "wrong_certificate"
    assert ("clock" in codes(found)) == (code == "not_yet_valid")


def test_a_stranger_is_not_told_the_detail() -> None:
    said = "Serial 7 of Acme was revoked on 3 May."
    stranger = ask(Visitor(Verdict.REFUSED, "192.0.2.7", reason="revoked", detail=said, issuer_known=False))
    known = ask(Visitor(Verdict.REFUSED, "192.0.2.7", reason="revoked", detail=said, issuer_known=True))
    assert said not in str(stranger)
    assert known.causes[0].title == said


def test_none_has_its_causes_for_this_browser() -> None:
    found = ask(Visitor(Verdict.ANONYMOUS, "192.0.2.7"))
    assert (found.title, codes(found)) == ("No certificate arrived.", ["cached", "store", "hidden"])
    assert "chrome://certificate-manager" in found.causes[1].fix
    firefox = ask(Visitor(Verdict.ANONYMOUS, "192.0.2.7"), FIREFOX)
    assert "Authentication Decisions" in firefox.causes[0].fix
    assert "its own store" in firefox.causes[1].fix
    assert "identity preference" in ask(Visitor(Verdict.ANONYMOUS, "192.0.2.7"), SAFARI).causes[0].fix
    assert "recent apps" in ask(Visitor(Verdict.ANONYMOUS, "192.0.2.7"), IPHONE).causes[0].fix
    assert codes(ask(Visitor(Verdict.ANONYMOUS, "192.0.2.7"), "curl/8.0")) == ["no_file"]


def test_an_expired_one_is_named_first_though_no_handshake_shows_it() -> None:
    nothing = Visitor(Verdict.ANONYMOUS, "192.0.2.7")
    over = Expected(7, "ann", NOW - timedelta(days=29))
    assert ask(nothing, expected=over).causes[0].title.startswith("Yours expired on 3 May 2026, and browsers hide")
    was = Remembered(7, NOW - timedelta(days=29), "00")
    assert codes(ask(nothing, expected=Expected(7, "ann", None), remembered=was))[0] == "expired"
    # A newer one was made since: what is remembered is the old one.
    assert "expired" not in codes(ask(nothing, remembered=was))
