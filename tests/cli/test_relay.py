"""What a command says of itself to the process that runs it."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutualgate.cli import relay
from mutualgate.cli.relay import Asked

# Whatever a program can be given: no NUL, and bytes that are no text as Python reads them (PEP 383).
WORDS = st.binary(max_size=12).map(lambda data: os.fsdecode(data.replace(b"\0", b"")))
LISTS = st.lists(WORDS, max_size=5)
VARIABLES = st.dictionaries(*(st.binary(max_size=12).map(lambda data: data.replace(b"\0", b"")) for _ in range(2)))


@given(WORDS, LISTS, LISTS, LISTS, st.lists(st.integers(0, 1 << 20), max_size=5), VARIABLES)
def test_it_arrives_as_it_was(
    program: str,
    words: list[str],
    python: list[str],
    streams: list[str],
    descriptors: list[int],
    environment: dict[bytes, bytes],
) -> None:
    asked = Asked(
        program=program,
        words=words,
        environment=environment,
        python=python,
        streams=streams,
        descriptors=descriptors,
    )
    assert vars(Asked.unpacked(asked.packed())) == vars(asked)


@given(st.binary(max_size=200) | st.lists(st.sampled_from([b"0", b"1", b"2", b"x", b"99", b"-1"])).map(b"\0".join))
def test_what_is_none_is_refused(data: bytes) -> None:
    try:
        Asked.unpacked(data)
    except ValueError:
        pass


@pytest.mark.parametrize("words", [[], ["up"], ["standby"], ["shell"]])
def test_what_stays_is_run_here(words: list[str]) -> None:
    assert relay.relayed(words) is None
