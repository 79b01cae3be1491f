"""The text of a configuration -> its directives: lines, quotes, variables, conditions, files."""

from pathlib import Path

import pytest
from apache.hosts import Nothing

from mutualgate.apache import syntax
from mutualgate.apache.syntax import Files, parse, read_text, split
from mutualgate.errors import BadInput


def lines(text: str) -> list[str]:
    return [directive.text for directive in parse(text, "site.conf", Nothing())[0]]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("a  b\tc ", ["a", "b", "c"]),
        ("a 'b c' \"d e\"f", ["a", "b c", "d e", "f"]),
        (r'a "b \"c\" \\ \d"', ["a", r'b "c" \ \d']),
        (r"a 'b \" \'c'", ["a", r"b \" 'c"]),
        ('a "b', ["a", "b"]),
        ("a ''", ["a", ""]),
        ('a"b c"', ['a"b', 'c"']),
    ],
)
def test_words_are_told_apart_as_httpd_does(row: str, words: list[str]) -> None:
    assert split(row) == words


def test_lines_are_continued_by_one_backslash() -> None:
    assert lines("A 1 \\\n2\\\n3\r\nB 1\\\\\nC\n  # D \\\nE\nF\n") == ["A 1 23", "B 1\\\\", "C", "F"]


def test_variables_are_put_in_from_where_they_are_defined() -> None:
    assert lines("A ${x}\nDefine x 1\nA ${x}${y} %{x}\nUndefine x\nUndefine y\nA ${x}") == [
        "A ${x}",
        "A 1${y} %{x}",
        "A ${x}",
    ]


@pytest.mark.parametrize(
    ("question", "holds"),
    [
        ("IfDefine here", True),
        ("IfDefine !here", False),
        ("IfDefine !there", True),
        ("IfModule ssl_module", True),
        ("IfModule !ssl_module", False),
        ("IfFile /etc/x", True),
        ("IfVersion 2.4.71", True),
        ("IfVersion 2.4.1", False),
        ("IfVersion == 2.4.71", True),
        ("IfVersion < 2.4.71", False),
        ("IfVersion <= 2.4.71", True),
        ("IfVersion > 2.4.71", False),
        ("IfVersion > 2.4.70", True),
        ("IfVersion >= 2.4.71", True),
        ("IfVersion >= 2.5", False),
        ("IfVersion !> 2.5", True),
        ("IfVersion !< 3", False),
        ("IfVersion ~ ^2.4", True),
        ("IfVersion >= two", True),
    ],
)
def test_a_condition_holds_as_on_the_httpd_of_today(question: str, holds: bool) -> None:
    end = f"</{question.split()[0]}>"
    text = f"Define here\n<{question}>\nDefine inside 1\nA\n<B>\n</B>\n{end}\nC ${{inside}}"
    found, notes = parse(text, "site.conf", Nothing())
    assert [one.text for one in found] == (["A", "<B>", "C 1"] if holds else ["C ${inside}"])
    assert [one.text for one in notes.skipped] == ([] if holds else [f"<{question}>"])


def test_what_is_asked_about_d_stays_a_section_where_it_may_hold() -> None:
    """Whether httpd is started with -D, no file says: what is not defined may be."""
    (section, after), notes = parse("<IfDefine x>\nDefine y 1\nA ${y}\n</IfDefine>\nB ${y}", "site.conf", Nothing())
    assert [child.text for child in section.children] == ["A 1"]
    assert (section.section, after.text, notes.skipped[0].text) == (True, "B ${y}", "<IfDefine x>")
    (inner,), notes = parse("<IfDefine !x>\nA\n</IfDefine>", "site.conf", Nothing())
    assert (inner.text, [one.text for one in notes.kept]) == ("A", ["<IfDefine !x>"])
    for known in ("<IfDefine x>", "<IfDefine !y>"):
        text = f"Define x\n<IfDefine !y>\nDefine y\n</IfDefine>\n{known}\nA\n</IfDefine>"
        assert parse(text, "site.conf", Nothing())[1].kept == []


def test_a_condition_is_asked_before_what_is_inside_defines_anything() -> None:
    assert lines("<IfDefine !x>\nDefine x 1\nA ${x}\n</IfDefine>\nB ${x}") == ["A 1", "B 1"]


def test_an_empty_condition_is_not_reported() -> None:
    assert parse("<IfDefine x>\n# nothing\n</IfDefine>", "site.conf", Nothing())[1].skipped == []


def test_sections_end_whatever_the_case() -> None:
    (outer,), _ = parse("<Location /a>\n<Limit GET>\nA\n</LIMIT >\n</location>", "site.conf", Nothing())
    assert [child.text for child in outer.children[0].children] == ["A"]
    assert (outer.section, outer.children[0].children[0].section, outer.children[0].place.line) == (True, False, 2)


def test_files_are_included_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "conf" / "deep").mkdir(parents=True)
    for name in ("b.conf", "a.conf", "c.txt", "deep/d.conf"):
        (tmp_path / "conf" / name).write_text(f"File {name}\n")
    files = Files(tmp_path)

    def included(pattern: str) -> list[str]:
        return [directive.arg(0) for directive in parse(f"Include {pattern}", "site.conf", files)[0]]

    assert included("conf/*.conf") == ["a.conf", "b.conf"]
    assert included("conf") == ["a.conf", "b.conf", "c.txt", "deep/d.conf"]
    assert included(f"{tmp_path}/conf/c.txt") == ["c.txt"]
    assert included("conf/*") == ["a.conf", "b.conf", "c.txt"]


def test_only_a_file_that_has_to_be_there_is_missed() -> None:
    notes = parse("Include none.conf\nIncludeOptional other.conf", "site.conf", Nothing())[1]
    assert [(directive.text, why) for directive, why in notes.unread] == [
        ("Include none.conf", "there is no none.conf")
    ]


def test_files_and_lines_have_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syntax, "MAX_FILE_BYTES", 10)
    (tmp_path / "a").write_bytes(b"x" * 10)
    assert read_text(tmp_path / "a") == "x" * 10
    (tmp_path / "a").write_bytes(b"x" * 11)
    with pytest.raises(BadInput, match="larger than"):
        read_text(tmp_path / "a")
    monkeypatch.setattr(syntax, "MAX_LINE", 20)
    assert lines("x" * 20) == ["x" * 20]
    with pytest.raises(BadInput, match="too long"):
        lines("x" * 12 + "\\\n" + "y" * 12)
    monkeypatch.setattr(syntax, "MAX_LINES", 3)
    assert lines("a\nb\nc") == ["a", "b", "c"]
    with pytest.raises(BadInput, match="more lines"):
        lines("a\nb\nc\nd")


def test_what_variables_put_in_is_bounded() -> None:
    ten = "\n".join(f"Define v{n + 1} {'${v' + str(n) + '}' * 1}{'${v' + str(n) + '}'}" for n in range(30))
    (found,) = lines(f"Define v0 xxxxxxxxxx\n{ten}\nA ${{v30}}")
    assert len(found) <= syntax.MAX_LINE * 4
