"""Names below which many organisations have theirs, by the list of the machine."""

from pathlib import Path

import pytest

from mutualgate.errors import BadInput
from mutualgate.partners import public_suffixes
from mutualgate.partners.rules import parse

LIST = """// a comment
// ===BEGIN ICANN DOMAINS===
uk
co.uk
*.ck
!www.ck
公司.cn

// ===BEGIN PRIVATE DOMAINS===
github.io
*.w.example
s3.eu-1.cloud.example  // with a remark
"""


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "list.dat").write_text(LIST, encoding="utf-8")
    monkeypatch.setattr(public_suffixes, "LIST", tmp_path / "list.dat")


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize(
    "text",
    [
        *("dns:*.github.io", "dns:*.co.uk", "dns:*.shop.ck", "email:*@github.io", "uri:spiffe://github.io/*"),
        *("dns:*.xn--55qx5d.cn", "dns:*.s3.eu-1.cloud.example"),
        # Above one on the list: names of others are below it, too.
        *("dns:*.eu-1.cloud.example", "dns:*.cloud.example", "dns:*.w.example"),
    ],
)
def test_a_rule_for_all_of_them_is_too_wide(text: str) -> None:
    with pytest.raises(BadInput, match="too wide"):
        parse(text)
    assert parse(text, wide=True).wide


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize(
    "text",
    [
        *("dns:*.acme.github.io", "dns:github.io", "dns:*.www.ck", "dns:*.acme.shop.ck", "dns:*.io.example"),
        "dns:*.acme.x.w.example",
    ],
)
def test_one_organisation_s_are_not(text: str) -> None:
    assert not parse(text).wide


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_without_a_list_that_can_be_read_nothing_is_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "list.dat").write_bytes(content)
    monkeypatch.setattr(public_suffixes, "LIST", tmp_path / "list.dat")
    assert not parse("dns:*.github.io").wide
    assert parse("dns:*.co.uk", wide=True).wide
