"""The cookie says who a browser was, only if we wrote it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutualgate.portal.remembered import COOKIE, Remembered, kept_key, make_key, read, write
from mutualgate.store import Store

KEY = bytes(range(32))
ANN = Remembered(7, datetime(2027, 5, 3, 12, 0, tzinfo=UTC), "00112233445566ff")


def cookie(key: bytes = KEY, who: Remembered = ANN) -> str:
    return write(key, who, "/join/").partition(";")[0]


def test_what_was_written_is_read_again() -> None:
    assert read(KEY, cookie()) == ANN
    assert read(KEY, f"other=1; {cookie()}; more=2") == ANN


def test_it_is_for_our_pages_alone_and_for_no_script() -> None:
    attributes = write(KEY, ANN, "/join/").split("; ")[1:]
    assert {"Path=/join/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=34560000"} == set(attributes)


def test_it_names_nobody() -> None:
    assert cookie().partition("=")[2].split(".")[:3] == ["7", "1809345600", "00112233445566ff"]


@pytest.mark.parametrize("place", range(len(cookie().partition("=")[2])))
def test_a_character_changed_makes_it_none(place: int) -> None:
    value = cookie().partition("=")[2]
    other = "8" if value[place] != "8" else "9"
    assert read(KEY, f"{COOKIE}={value[:place]}{other}{value[place + 1 :]}") is None


def test_another_key_s_cookie_is_none() -> None:
    assert read(bytes(32), cookie()) is None


@given(st.text())
def test_no_field_breaks_it(text: str) -> None:
    assert read(KEY, text) is None
    assert read(KEY, f"{COOKIE}={text}") is None


def test_the_key_is_made_once_and_kept(store: Store) -> None:
    assert kept_key(store) is None
    key = make_key(store)
    assert len(key) == 32
    assert kept_key(store) == make_key(store) == key
