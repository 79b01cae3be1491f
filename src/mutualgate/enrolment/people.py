"""A table of people and programs to invite, CSV (RFC 4180): read strictly, cell by cell, before anything is done.

Cells are data and nothing else: one that begins with `=` is a name that begins with `=`.
"""

import csv
import io
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from mutualgate.clients.service import parse_contact
from mutualgate.counts import counted
from mutualgate.enrolment.letter import mail_address
from mutualgate.errors import BadInput
from mutualgate.model.names import ClientName, Role, shown
from mutualgate.model.names import roles as parse_roles

MAX_ROWS = 1_000_000
MAX_CELL = 1_000
"""Characters: more than any of these can be."""

COLUMNS = ("name", "roles", "contact", "mail")
"""`name` has to be there; `role` is taken for `roles`. Roles in a cell are separated by spaces or semicolons."""

_DELIMITERS = (",", ";", "\t")
"""Comma, and what spreadsheets write where the comma is the decimal point."""


@dataclass(frozen=True, slots=True)
class Person:
    """A row that can be used. `row` is its number as spreadsheets count, empty ones too, the header being the first."""

    row: int
    name: ClientName
    roles: tuple[Role, ...]
    contact: str
    mail: str | None


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that cannot be used, the column to blame (empty for the row as a whole), and why."""

    row: int
    column: str
    problem: str
    code: str


def read_people(data: bytes, where: str) -> tuple[list[Person], list[RefusedRow]]:
    """The rows that can be used and those that cannot.

    Raises `BadInput` for what is no such table as a whole, so that a wrong quote does not turn half of it into a cell.
    """
    rows = _rows(data, where)
    header = next(rows, None)
    if header is None:
        raise BadInput("is empty", where=where, expected=f"a header of {', '.join(COLUMNS)}, and rows")
    columns = _columns(header[1], where)
    people: list[Person] = []
    refused: list[RefusedRow] = []
    seen: dict[str, int] = {}
    for row, cells in rows:
        if row > MAX_ROWS + 1:
            raise BadInput(f"has more than {MAX_ROWS:,} rows", where=where, expected="fewer: split the file")
        if not any(cells):
            continue
        found = _person(row, columns, cells)
        if isinstance(found, RefusedRow):
            refused.append(found)
        elif (first := seen.setdefault(found.name.key, row)) != row:
            problem = f"the client {shown(found.name)} is in row {first} already"
            refused.append(RefusedRow(row, "name", problem, "given_twice"))
        else:
            people.append(found)
    return people, refused


def _rows(data: bytes, where: str) -> Iterator[tuple[int, list[str]]]:
    try:
        text = data.decode("utf-8-sig")  # spreadsheets put a byte order mark in front
    except UnicodeDecodeError as error:
        raise BadInput(
            f"is not UTF-8: byte {error.start + 1} cannot be read", where=where, fix="Save it as 'CSV UTF-8'"
        ) from error
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    row = 0
    try:
        for row, cells in enumerate(reader, 1):
            yield row, cells
    except csv.Error as error:
        raise BadInput(
            f"row {row + 1} cannot be read as CSV: {error}",
            where=where,
            expected="quotes that end, and cells of a sensible size",
            code="bad_csv",
        ) from error


def _columns(header: list[str], where: str) -> list[str]:
    columns = []
    for cell in header:
        word = cell.strip().lower()
        word = "roles" if word == "role" else word
        if word not in COLUMNS:
            raise BadInput(
                f"row 1: {shown(cell)} is no column that is known",
                where=where,
                expected=f"some of {', '.join(COLUMNS)}",
                code="bad_csv",
            )
        if word in columns:
            raise BadInput(f"row 1: the column {word} is there twice", where=where, code="bad_csv")
        columns.append(word)
    if "name" not in columns:
        raise BadInput("row 1: there is no column name", where=where, expected="at least name", code="bad_csv")
    return columns


def _person(row: int, columns: list[str], cells: list[str]) -> Person | RefusedRow:
    if len(cells) != len(columns):
        problem = f"has {counted(len(cells), 'cell')}; expected {len(columns)}, as the header"
        return RefusedRow(row, "", problem, "bad_row")
    values = dict(zip(columns, cells, strict=True))
    for column, cell in values.items():
        if len(cell) > MAX_CELL:
            return RefusedRow(row, column, f"has {len(cell)} characters; expected at most {MAX_CELL}", "bad_cell")
        control = next((character for character in cell if unicodedata.category(character) == "Cc"), None)
        if control is not None:
            return RefusedRow(row, column, f"contains the control character U+{ord(control):04X}", "bad_cell")
    try:
        column = "name"
        name = ClientName(values["name"].strip(" "))
        column = "roles"
        roles = parse_roles(values.get("roles", "").replace(";", " ").split())
        column = "contact"
        contact = parse_contact(values.get("contact", ""))
        column = "mail"
        mail = mail_address(values["mail"]) if values.get("mail", "").strip() else None
    except BadInput as error:
        return RefusedRow(row, column, str(error), error.code)
    return Person(row, name, roles, contact, mail)
