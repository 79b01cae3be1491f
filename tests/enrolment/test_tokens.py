"""What opens an invitation: made at random, typed by people, kept as a hash."""

import math

from mutualgate.authorities.alphabet import ALPHABET
from mutualgate.enrolment import tokens


def test_each_is_new_and_long_enough() -> None:
    assert len({tokens.make_token() for _ in range(200)}) == 200
    assert len({tokens.make_code() for _ in range(200)}) == 200
    assert math.log2(len(ALPHABET)) * tokens.CODE_CHARACTERS > 69
    assert len(tokens.make_factor().replace(" ", "")) == 8


def test_a_token_and_a_code_are_told_apart() -> None:
    token, code = tokens.make_token(), tokens.make_code()
    read = tokens.read(f" {token}\n")
    assert read == tokens.Key(tokens.hash_token(token), None)
    assert tokens.read(code) == tokens.Key(None, tokens.hash_code(code.replace("-", "")))


def test_what_is_neither_is_nothing() -> None:
    for text in ("", "a" * 42, "a" * 44, "0" * 12, "abc", "a" * 10_000, "\u0430" * 12):
        assert tokens.read(text) is None, text


def test_equal_factors_of_two_invitations_have_different_hashes() -> None:
    one, other = tokens.hash_token("a"), tokens.hash_token("b")
    assert tokens.hash_factor("1234 5678", one) == tokens.hash_factor("12345678", one)
    assert tokens.hash_factor("12345678", one) != tokens.hash_factor("12345678", other)
    assert tokens.hash_factor("12345678", one) != tokens.hash_factor("12345679", one)


def test_no_secret_is_in_what_is_printed() -> None:
    made = tokens.Secrets.make(second_factor=True)
    assert made.token not in repr(made)
    assert made.code not in repr(made)
    assert made.factor is not None
    assert made.factor not in repr(made)
