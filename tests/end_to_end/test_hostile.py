"""The hostile corpus: every row of the table is tried on a running gate and ends as the table says."""

from collections.abc import Iterator

import pytest
from end_to_end.gate import running_gate
from end_to_end.hostile import claims, handshakes, invitations, lists, makers, published, renewals, uploads
from end_to_end.hostile.scene import Scene, furnish, sites
from end_to_end.hostile.table import NEAREST, ROWS, RULES, By, Row, Way
from end_to_end.hostile.typist import typist
from end_to_end.recorder import Recorder
from published import https_publisher

MODULES = (handshakes, claims, lists, uploads, invitations, published, renewals)  # importing them fills the table
AT_LEAST = 60


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, upstream: Recorder) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("hostile")
    with (
        pytest.MonkeyPatch.context() as patch,
        https_publisher(folder, patch) as publisher,
        running_gate(folder / "gate", sites(upstream.url)) as gate,
        typist(gate.folder) as commands,
    ):
        made = Scene(gate, commands, upstream, publisher, folder)
        furnish(made)
        yield made


@pytest.mark.timeout(600)  # the first one waits for the scene, and for Go to compile
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_it_ends_as_the_table_says(row: Row, scene: Scene) -> None:
    absent = makers.missing(row.by)
    if absent:
        pytest.skip(absent)
    assert row.act(scene) == row.expected


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_tried(rule: str) -> None:
    """Those that no certificate can break by itself say what stands for them."""
    rows = [row for row in ROWS if row.rule == rule]
    assert rows, rule
    assert {row.rule for row in rows} <= RULES.keys()


def test_the_corpus_is_large_and_made_by_many() -> None:
    assert len(ROWS) >= AT_LEAST
    assert {row.by for row in ROWS} == set(By)
    assert {row.way for row in ROWS} == set(Way)
    assert set(NEAREST) <= set(RULES)
    assert len({row.id for row in ROWS}) == len(ROWS)
