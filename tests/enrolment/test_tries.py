"""Wrong tries: counted by peer, forgotten in time, in a memory of a fixed size."""

from datetime import timedelta

import pki
import pytest

from mutualgate.enrolment.tries import WrongTries
from mutualgate.errors import Unavailable


def stopped(tries: WrongTries, peer: str, after: timedelta = timedelta(0)) -> bool:
    try:
        tries.check(peer, pki.NOW + after)
    except Unavailable as error:
        return error.code == "too_many_tries"
    return False


@pytest.mark.parametrize(
    ("guesser", "same", "other"),
    [
        ("192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8"),
        ("2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1"),
        ("unix", "unix", "192.0.2.7"),
    ],
)
def test_a_subscriber_is_stopped_and_not_its_neighbour(guesser: str, same: str, other: str) -> None:
    tries = WrongTries(most=3)
    for _ in range(3):
        assert not stopped(tries, guesser)
        tries.wrong(guesser, pki.NOW)
    assert stopped(tries, guesser)
    assert stopped(tries, same)
    assert not stopped(tries, other)


def test_it_is_told_how_long_to_wait_and_let_in_then() -> None:
    tries = WrongTries(most=2, window=timedelta(minutes=10))
    tries.wrong("192.0.2.7", pki.NOW)
    tries.wrong("192.0.2.7", pki.NOW + timedelta(minutes=4))
    with pytest.raises(Unavailable, match="in 5 minutes") as wait:
        tries.check("192.0.2.7", pki.NOW + timedelta(minutes=5))
    assert wait.value.facts["seconds"] == 300
    assert not stopped(tries, "192.0.2.7", timedelta(minutes=10))
    tries.wrong("192.0.2.7", pki.NOW + timedelta(minutes=10))
    assert stopped(tries, "192.0.2.7", timedelta(minutes=11))


def test_nobody_waits_for_a_clock_that_was_set_back() -> None:
    tries = WrongTries(most=2)
    for _ in range(2):
        tries.wrong("192.0.2.7", pki.NOW + timedelta(days=1))
    assert not stopped(tries, "192.0.2.7")


def test_the_memory_is_bounded() -> None:
    tries = WrongTries(most=1, peers=100)
    for number in range(1_000):
        tries.wrong(f"10.0.{number // 250}.{number % 250}", pki.NOW)
    assert len(tries) == 100
    assert stopped(tries, "10.0.3.249")
    assert not stopped(tries, "10.0.0.1")


def test_what_a_peer_calls_itself_is_not_repeated_unseen() -> None:
    tries = WrongTries(most=1)
    tries.wrong("\x1b[31m" * 100, pki.NOW)
    with pytest.raises(Unavailable) as error:
        tries.check("\x1b[31m" * 100, pki.NOW)
    assert "\x1b" not in str(error.value)
