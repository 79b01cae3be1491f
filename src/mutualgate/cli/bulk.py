"""`mutualgate client import` and `mutualgate client sign --csrs`: hundreds or hundreds of thousands at once.

Both can be killed at any moment and started again: what is done is found, and nothing is done twice.
"""

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mutualgate.cli.files import but, read_file, refuse_dash, replaceable
from mutualgate.cli.options import DEFAULT_DIR, MOST_DAYS, Dir, Json, choice, goes_with
from mutualgate.cli.output import DONE, NO, emit, plain
from mutualgate.cli.waiting import progress
from mutualgate.counts import counted
from mutualgate.errors import BadInput, Conflict, MutualgateError

if TYPE_CHECKING:
    from mutualgate.app import Services
    from mutualgate.enrolment.bulk import Answer, Given
    from mutualgate.enrolment.bulk_invitations import Noted

HEADER = ("name", "link", "code", "second_code", "until")
"""Of the file with the links."""

REQUESTS = (".csr", ".req", ".p10", ".pem", ".der")
"""What names a CSR in a folder; other files are passed over."""

_FORMULA = ("=", "+", "-", "@")
"""A spreadsheet takes a cell that begins so for a formula: in what we write, a quote stands before it."""


def import_(
    file: Annotated[Path, typer.Argument(help="CSV with a header: name, and roles, contact, mail; `-` for stdin.")],
    invite: Annotated[bool, typer.Option("--invite", help="Invite each of them; else they are only added.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="The file for the links, CSV, for you alone; by default beside FILE.")
    ] = None,
    way: Annotated[list[str] | None, typer.Option("--way", help="As for invite; may be repeated.")] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="The links work for so many days.")] = 7,
    valid_for: Annotated[
        int | None,
        typer.Option("--valid-for", min=1, max=MOST_DAYS, help="The certificates will be valid for so many days."),
    ] = None,
    second_factor: Annotated[
        bool, typer.Option("--second-factor", help="Ask each for a second code; it is in the file, too.")
    ] = False,
    approve: Annotated[
        bool, typer.Option("--approve", help="What is handed in waits until an operator approves it.")
    ] = False,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> int:
    """Add the clients in a table, and invite them. Who is there already is left as it is.

    Started again after it was killed, it goes on where it stopped: keep the file with the links.

    Examples:
    mutualgate client import people.csv --invite
    mutualgate client import people.csv --invite --out links.csv --way page --days 14
    """
    from mutualgate.app import Folder, change
    from mutualgate.enrolment.bulk_invitations import BulkInvitations, Done
    from mutualgate.enrolment.people import read_people
    from mutualgate.model.invitation import Way

    goes_with("--invite", invite, "--out", "--way", "--days", "--valid-for", "--second-factor", "--approve")
    if invite and out is None and str(file) == "-":
        raise typer.BadParameter("with a table from standard input, --out names the file for the links")
    ways = [choice(Way, one, "--way") for one in way] if way else list(Way)
    people, refused = read_people(read_file(file), str(file))
    target = out or file.with_name(f"{file.stem}.invitations.csv")
    if invite and target.absolute() == file.absolute():
        raise typer.BadParameter("--out would replace the table itself")
    if invite:
        replaceable(target)
    done: list[Done] = []

    def do(services: "Services") -> None:
        bulk = BulkInvitations(services.store, services.invitations, services.by)
        with progress("inviting" if invite else "adding") as tell:
            if invite:
                links = _Links(target, _base(services))
                with services.store.transaction():  # another run may write links, and does so in one, too
                    noted = links.read()
                parts = bulk.invite(
                    people,
                    noted,
                    links.add,
                    ways=ways,
                    validity=None if valid_for is None else timedelta(days=valid_for),
                    life=timedelta(days=days),
                    second_factor=second_factor,
                    approval=approve,
                )
            else:
                parts = bulk.add(people)
            for part in parts:
                done.extend(part)
                tell(len(done), len(people))

    try:
        _, force = change(Folder(dir), do)
    except MutualgateError as error:
        _say_what_is_done(error, len(done), len(people), f"; keep {target}" if invite else "")
        raise
    counts = {word: sum(one.outcome == word for one in done) for word in ("invited", "before", "added", "there")}
    lines = []
    if invite:
        before = counted(counts["before"], "was invited", "were invited")
        lines.append(f"{counts['invited']} invited, {before} by an earlier run.")
        lines.append(f"{target}: their links. Whoever reads them can use them: send each to its owner, then delete it.")
    else:
        lines.append(f"{counts['added']} added.")
    if counts["there"]:
        was = "was there already and is left as it is", "were there already and are left as they are"
        lines.append(f"{counted(counts['there'], *was)}:")
        lines += [f"  row {one.person.row}: {plain(one.person.name)}" for one in done if one.outcome == "there"]
    if refused:
        lines.append(f"{len(refused)} refused:")
        lines += [f"  row {r.row}{f', {r.column}' if r.column else ''}: {plain(r.problem)}" for r in refused]
    facts: dict[str, Any] = {
        **counts,
        "file": str(target) if invite else None,
        "already_there": [
            {"row": one.person.row, "name": str(one.person.name)} for one in done if one.outcome == "there"
        ],
        "refused": [{"row": r.row, "column": r.column, "code": r.code, "problem": r.problem} for r in refused],
    }
    emit({**facts, **force.facts}, "\n".join(lines), json)
    return NO if refused else DONE


def _say_what_is_done(error: MutualgateError, done: int, of: int, keep: str = "") -> None:
    """Whatever ends one part, those before it stay: of them the error knows nothing."""
    if 0 < done < of:
        error.fix = f"{done:,} of {of:,} are done, and the same command goes on after them{keep}"


def sign_folder(
    folder: Path,
    out: Path | None,
    *,
    days: int | None,
    authority: str | None,
    add: bool,
    roles: Sequence[str],
    force: bool,
    dir: Path,
    json: bool,
) -> int:
    """`mutualgate client sign --csrs`: each file for the client that it is named after."""
    from mutualgate.app import Folder, change
    from mutualgate.authorities.private_files import Draft
    from mutualgate.enrolment.bulk import BulkSigning

    target = out or folder
    files = _requests(folder)
    refuse_dash(target)
    try:
        target.mkdir(exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot be made: {error.strerror}", where=str(target), expected="a folder") from error
    try:
        Draft(target / "any", 0o644).close()
    except OSError as error:
        raise BadInput(
            f"cannot be written: {error.strerror}", where=str(target), expected="a folder for the certificates"
        ) from error
    report = _Report(target, force)

    def do(services: "Services") -> None:
        bulk = BulkSigning(services.store, services.keys, services.policy, services.by)
        lifetime = None if days is None else timedelta(days=days)
        with progress("signing") as tell:
            given = _given(files, report)
            for part in bulk.sign(given, lifetime=lifetime, authority=authority, add=add, roles=roles):
                for answer in part:
                    report.add(answer)
                tell(report.count, len(files))
        os.sync()  # once for all: what a power cut takes, the next run writes again

    try:
        _, in_force = change(Folder(dir), do)
    except MutualgateError as error:
        _say_what_is_done(error, report.count, len(files))
        raise
    lines = [
        f"{target}: {counted(report.signed, 'certificate')} signed, "
        + counted(report.again, "was signed before", "were signed before")
        + (f" ({report.written_again} of these written again)" if report.written_again else "")
        + "."
    ]
    if report.refused:
        lines.append(f"{len(report.refused)} refused:")
        lines += [
            f"  {plain(error)}" if error.where == file else f"  {plain(file)}: {plain(error)}"
            for file, error in report.refused
        ]
    lines.append(f"{in_force.sentence[0].upper()}{in_force.sentence[1:]}.")
    facts = {
        "signed": report.signed,
        "again": report.again,
        "written_again": report.written_again,
        "refused": [{"file": file, "code": error.code, "problem": str(error)} for file, error in report.refused],
    }
    emit({**facts, **in_force.facts}, "\n".join(lines), json)
    return NO if report.refused else DONE


def _requests(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(one.name for one in entries if one.is_file())
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", where=str(folder), expected="a folder of CSRs") from error
    found = [folder / name for name in names if name.lower().endswith(REQUESTS) and not name.startswith(".")]
    if not found:
        raise BadInput("holds no CSR", where=str(folder), expected=f"files whose names end in {', '.join(REQUESTS)}")
    return found


def _given(files: Sequence[Path], report: "_Report") -> Iterator["Given"]:
    from mutualgate.enrolment.bulk import Given
    from mutualgate.reading.bounded import MAX_FILE_BYTES

    for path in files:
        try:
            yield Given(path.stem, read_file(path, MAX_FILE_BYTES), str(path))
        except MutualgateError as error:
            report.count += 1
            report.refuse(str(path), error)


@dataclass
class _Report:
    """What came of each file, and the files that are written."""

    folder: Path
    force: bool
    signed: int = 0
    again: int = 0
    written_again: int = 0
    refused: list[tuple[str, MutualgateError]] = field(default_factory=list)
    """What is signed and not written, too."""
    count: int = 0

    def refuse(self, file: str, error: MutualgateError) -> None:
        self.refused.append((file, error))

    def add(self, answer: "Answer") -> None:
        self.count += 1
        if answer.chain_pem is None:
            self.refuse(answer.given.where, answer.problem or BadInput("cannot be used"))
            return
        self.signed += not answer.again
        self.again += answer.again
        try:
            written = self._write(answer.given.name, answer.chain_pem)
        except MutualgateError as error:
            self.refuse(answer.given.where, but("its certificate is signed", error))
            return
        self.written_again += answer.again and written

    def _write(self, name: str, chain_pem: bytes) -> bool:
        """Writes NAME.crt, whole; leaves one that says the same. Returns whether it wrote."""
        from mutualgate.authorities.private_files import write_whole

        path = self.folder / f"{name}.crt"
        try:
            taken = replaceable(path)
            there = path.read_bytes() if taken and not path.is_symlink() else None
            if there == chain_pem:
                return False
            # The beginning of it, which a power cut left, is ours as well.
            if taken and not self.force:
                if there is None or not chain_pem.startswith(there):
                    raise Conflict(
                        "there is another file of that name",
                        where=str(path),
                        fix="Move it away and start again, or say --force",
                        code="file_exists",
                    )
            write_whole(path, chain_pem, 0o644, durable=False)
        except OSError as error:
            raise BadInput(f"cannot be written: {error.strerror}", where=str(path), expected="a new file") from error
        return True


def _base(services: "Services") -> str:
    """Where links lead; the path alone where no portal is known."""
    from mutualgate.errors import NotFound

    try:
        return services.base_url()
    except NotFound:
        return "/join"


class _Links:
    """The file with the links: a line for each is there, durably, before the invitation is."""

    def __init__(self, path: Path, base: str) -> None:
        self._path = path
        self._base = base

    def read(self) -> Mapping[str, "Noted"]:
        """What earlier runs wrote down, by the key of the name; a line that was cut off is taken away."""
        from mutualgate.authorities.private_files import create_private_file
        from mutualgate.modes import refuse_others

        try:
            with self._path.open("rb") as file:
                refuse_others(os.fstat(file.fileno()), str(self._path))
                data = file.read()
        except FileNotFoundError:
            create_private_file(self._path, (",".join(HEADER) + "\n").encode())
            return {}
        except OSError as error:
            raise BadInput(f"cannot be read: {error.strerror}", where=str(self._path), expected="a file") from error
        whole = data[: data.rfind(b"\n") + 1]
        rows = self._rows(whole)
        if not rows or tuple(rows[0]) != HEADER:
            raise Conflict(
                "there is a file of that name that is no list of links",
                where=str(self._path),
                fix="Name another one with --out",
                code="file_exists",
            )
        if len(whole) < len(data):
            os.truncate(self._path, len(whole))
        return dict(filter(None, map(self._noted, rows[1:])))

    def add(self, new: Sequence["Noted"]) -> None:
        """Writes them down and waits until the disk has them."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        for one in new:
            link = f"{self._base.rstrip('/')}/{one.secrets.token}"
            writer.writerow(
                [_safe(one.name), link, one.secrets.code, one.secrets.factor or "", one.expires.isoformat()]
            )
        self._append(text.getvalue().encode())

    def _append(self, data: bytes) -> None:
        try:
            with self._path.open("ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise BadInput(f"cannot be written: {error.strerror}", where=str(self._path)) from error

    def _rows(self, data: bytes) -> list[list[str]]:
        try:
            return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
        except (csv.Error, UnicodeDecodeError):
            return []

    def _noted(self, row: list[str]) -> tuple[str, "Noted"] | None:
        from datetime import datetime

        from mutualgate.enrolment.bulk_invitations import Noted
        from mutualgate.enrolment.tokens import Secrets
        from mutualgate.model.names import ClientName

        try:
            name, link, code, factor, until = row
            expires = datetime.fromisoformat(until)
            plain_name = name[1:] if _needs_quote(name) else name
            if expires.tzinfo is None:
                return None
            secrets = Secrets(link.rpartition("/")[2], code, factor or None)
            return ClientName(plain_name).key, Noted(plain_name, secrets, expires)
        except (ValueError, MutualgateError):
            return None


def _safe(cell: str) -> str:
    return f"'{cell}" if _needs_quote(cell) else cell


def _needs_quote(cell: str) -> bool:
    """Whether it begins as a formula does, behind any quotes."""
    return cell.lstrip("'").startswith(_FORMULA)
