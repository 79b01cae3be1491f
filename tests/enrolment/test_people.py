"""A table of people: what is read, what is refused, and where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutualgate.enrolment.people import MAX_CELL, Person, RefusedRow, read_people
from mutualgate.errors import BadInput


def read(text: str | bytes) -> tuple[list[Person], list[RefusedRow]]:
    return read_people(text if isinstance(text, bytes) else text.encode(), "people.csv")


def test_a_table_is_read() -> None:
    people, refused = read(
        'name,roles,contact,mail\r\nanna,staff; admin,Anna A.,anna@example.com\r\n\r\n"Bert, the 2nd",,,\r\n'
    )
    assert refused == []
    assert [(one.row, one.name, one.roles, one.contact, one.mail) for one in people] == [
        (2, "anna", ("admin", "staff"), "Anna A.", "anna@example.com"),
        (4, "Bert, the 2nd", (), "", None),
    ]


def test_a_column_that_is_not_known_is_no_table_of_people() -> None:
    """What it says would be left out without a word: an address to which no link is sent, a role that nobody has."""
    with pytest.raises(BadInput, match="'e-mail' is no column that is known"):
        read("name,e-mail\nanna,anna@example.com\n")


def test_a_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mutualgate.enrolment.people.MAX_ROWS", 2)
    assert len(read("name\na\nb\n")[0]) == 2
    with pytest.raises(BadInput, match="more than 2 rows"):
        read("name\na\nb\nc\n")


@pytest.mark.parametrize(
    "text",
    ["role;name\nstaff;anna\n", "\ufeffName,Roles\nanna,staff\n", "name\troles\nanna\tstaff", "roles,name\nstaff,anna"],
)
def test_what_spreadsheets_write_is_read(text: str) -> None:
    people, refused = read(text)
    assert ([one.name for one in people], [one.roles for one in people], refused) == (["anna"], [("staff",)], [])


@pytest.mark.parametrize(
    ("row", "column", "code"),
    [
        (",staff,,", "name", "bad_name"),
        ("a/b,,,", "name", "bad_name"),
        ("../x,,,", "name", "bad_name"),
        ("-rf,,,", "name", "bad_name"),
        ("a" * 65 + ",,,", "name", "bad_name"),
        ("a\u202eb,,,", "name", "bad_name"),
        ("a\x1b[31m,,,", "name", "bad_cell"),
        ("a\0b,,,", "name", "bad_cell"),
        ('"a\nb",,,', "name", "bad_cell"),
        ("anna,a=b,,", "roles", "bad_role"),
        ('anna,"a,b",,', "roles", "bad_role"),
        ("anna,,\x07,", "contact", "bad_cell"),
        ("anna,," + "x" * 400 + ",", "contact", "bad_input"),
        ("anna,," + "x" * (MAX_CELL + 1) + ",", "contact", "bad_cell"),
        ("anna,,,nobody", "mail", "bad_mail_address"),
        ('anna,,,"a@b.example\r\nBcc: c@d.example"', "mail", "bad_cell"),
        ("anna,,", "", "bad_row"),
        ("anna,,,,", "", "bad_row"),
        ("anna", "", "bad_row"),
    ],
)
def test_a_cell_that_cannot_be_is_named_and_the_others_go_on(row: str, column: str, code: str) -> None:
    people, refused = read(f"name,roles,contact,mail\nzoe,,,\n{row}\nbert,,,\n")
    assert [(one.row, one.name) for one in people] == [(2, "zoe"), (4, "bert")]  # as spreadsheets count
    (one,) = refused
    assert (one.row, one.column, one.code) == (3, column, code)
    assert "\x1b" not in one.problem
    assert "\n" not in one.problem


def test_a_quote_that_does_not_end_is_named_by_the_row_where_it_begins() -> None:
    with pytest.raises(BadInput, match=r"row 3 cannot be read as CSV"):
        read('name\nanna\n"bert\ncarl\ndora\n')


def test_a_name_that_is_there_twice_is_refused_the_second_time() -> None:
    people, refused = read("name\nanna\nbert\nANNA\n")
    assert [one.row for one in people] == [2, 3]
    assert [(one.row, one.column, one.code) for one in refused] == [(4, "name", "given_twice")]
    assert "row 2" in refused[0].problem


def test_what_begins_as_a_formula_is_a_name() -> None:
    people, refused = read('name\n"=HYPERLINK(1)"\n@SUM(A1)\n+1\n')
    assert refused == []
    assert [one.name for one in people] == ["=HYPERLINK(1)", "@SUM(A1)", "+1"]


@pytest.mark.parametrize(
    "table",
    [
        b"",
        b"\n",
        b"who\nanna\n",
        b"name,name\nanna,bert\n",
        b"name,role,roles\na,b,c\n",
        b"roles\nstaff\n",
        b"name\n\xff\xfe\n",
        "näme\nanna\n".encode("utf-16"),
        b'name\n"anna\nbert\n',
        b'name\n"an"na\n',
        b"name\n" + b"x" * 200_000 + b"\n",
        b"\x00" * 100,
    ],
    ids=range(12),
)
def test_what_is_no_table_is_refused_as_a_whole(table: bytes) -> None:
    with pytest.raises(BadInput) as refused:
        read(table)
    assert str(refused.value).startswith("people.csv: ")
    assert len(str(refused.value)) < 500


@given(
    st.binary(max_size=200) | st.text(max_size=200).map(lambda text: ("name,mail\n" + text).encode(errors="replace"))
)
def test_anything_is_read_or_refused(data: bytes) -> None:
    try:
        people, _ = read(data)
    except BadInput:
        return
    assert all(one.name for one in people)
