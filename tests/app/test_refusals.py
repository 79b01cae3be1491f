"""Refusals that are remembered."""

from collections.abc import Iterator
from typing import Any

import pki
import pytest
from installation import Installation

from mutualgate.app.refusals import Refusals
from mutualgate.store import Store


def event(id: str, **more: Any) -> dict[str, Any]:
    what = {"kind": "refused", "at": 1_780_000_000_000, "refusal": id, "reason": "expired", "detail": "It ended."}
    return {**what, **more}


@pytest.fixture
def refusals(installed: Installation) -> Iterator[Refusals]:
    services = installed.services()
    yield services.refusals
    services.close()


def test_what_the_data_plane_told_can_be_looked_up(refusals: Refusals) -> None:
    refusals.keep([event("A" * 16, site="main", path="/hello", peer="192.0.2.1", client=3, fingerprint="ab" * 32)])
    found = refusals.find(f" {'a' * 16}\n")  # as somebody typed it
    assert found is not None
    assert (found.reason, found.detail, found.site, found.path) == ("expired", "It ended.", "main", "/hello")
    assert (found.peer, found.client, found.fingerprint) == ("192.0.2.1", 3, bytes([0xAB]) * 32)
    assert found.at.timestamp() == 1_780_000_000
    assert refusals.find("B" * 16) is None


def test_the_subject_is_read_from_the_certificate(refusals: Refusals) -> None:
    leaf = pki.leaf(pki.ca("root"), "al\x1b[31mice")
    refusals.keep([event("A" * 16, certificate=leaf.der), event("B" * 16, certificate=b"\x30\x03garbage")])
    found = refusals.find("A" * 16)
    assert found is not None
    assert found.subject == "CN=al\\x1b[31mice"
    other = refusals.find("B" * 16)
    assert other is not None
    assert other.subject == ""


def test_one_that_only_the_judge_reads_has_a_subject_too(refusals: Refusals) -> None:
    odd, _ = pki.oddly_spelt(pki.ca("root"), "R&D")
    refusals.keep([event("A" * 16, certificate=odd)])
    assert [one.subject for one in refusals.recent()] == ["CN=R&D"]


def test_a_certificate_of_the_old_recipe_has_a_subject_too(refusals: Refusals) -> None:
    refusals.keep([event("A" * 16, certificate=pki.as_v1(pki.leaf(pki.ca("root"), "old")).der)])
    found = refusals.find("A" * 16)
    assert found is not None
    assert found.subject == "CN=old"


def test_other_events_are_not_kept(refusals: Refusals) -> None:
    refusals.keep([{"kind": "seen", "at": 1, "client": 1}, {"kind": "cut", "at": 1}])
    assert refusals.recent() == []


def test_the_newest_come_first_and_by_reason(refusals: Refusals) -> None:
    refusals.keep([event(letter * 16, reason=reason) for letter, reason in zip("ABC", ["x", "y", "x"], strict=True)])
    assert [one.id[0] for one in refusals.recent()] == ["C", "B", "A"]
    assert [one.id[0] for one in refusals.recent(reason="x", limit=1)] == ["C"]


def test_it_takes_a_store(store: Store) -> None:
    assert Refusals(store).recent() == []
