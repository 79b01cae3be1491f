"""From the text of mutualgate.toml to a `Config`, or to every problem that it has, each with its place.

Knows the table of settings. Does not know what lies behind a file name: whoever opens the file adds a `Check`.
"""

import difflib
import json
import re
import stat
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from mutualgate.errors import BadInput, sentence

from .kinds import Many, Unfit, found
from .network import PORTAL
from .positions import Place, Position, Positions
from .rules import Draft, Finding, conflicts
from .settings import DEFAULT_SITE, ROOT, Setting, Table, tables
from .shape import (
    AuthorityConfig,
    Config,
    GateConfig,
    GateLimits,
    JwtConfig,
    MailConfig,
    Mode,
    NoticesConfig,
    PortalConfig,
    RegisterConfig,
    RouteConfig,
    RouteLimits,
    SiteConfig,
    SiteLimits,
    Timeouts,
    TracingConfig,
    UpstreamConfig,
    UpstreamEjection,
    UpstreamHealth,
    UpstreamRetries,
    UpstreamTimeouts,
    UpstreamTls,
)

MAX_FILE_BYTES = 1 << 20  # a thousand sites are a tenth of it; a file beyond is some other file

Check = Callable[[Config], Iterable[Finding]]
"""A question that the file alone cannot answer (is the key there, does it match?), asked once it is right in itself."""


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong. `line` and `column` count characters from 1; both are 0 if the file cannot be read."""

    file: str
    line: int
    column: int
    key: str
    problem: str
    expected: str | None = None
    fix: str | None = None
    nearest: str | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        where = f"{place}: {self.key}" if self.key else place
        problem = f'{self.problem}; did you mean "{self.nearest}"?' if self.nearest else self.problem
        return sentence(problem, where, self.expected, self.fix)


def load(path: Path | str, *checks: Check, there: bool = False) -> Config:
    """The configuration in the file `path`, or the defaults where there is no such file.

    If it was `there` already, none and an empty one are errors: nobody who takes it away, or is about to write it anew,
    means that all may be otherwise. Raises `BadInput` with the first problem; `problems` has all of them.
    """
    config, wrong = _read_file(Path(path), checks, there=there)
    return _unless(wrong, config)


def problems(path: Path | str, *checks: Check) -> list[Problem]:
    """Everything that is wrong with the file `path`, in its order; empty if nothing is, or if there is no such file."""
    return _read_file(Path(path), checks)[1]


def parse(text: str, path: Path | str = "mutualgate.toml") -> Config:
    """The configuration that `text` is, as if it stood in the file `path`. Raises `BadInput`."""
    config, wrong = _read(text, Path(path), ())
    return _unless(wrong, config)


def key_of(place: Place) -> str:
    """`sites[0].routes[1].path`; names that are no bare keys of TOML in quotes."""
    key = ""
    for part in place:
        if isinstance(part, int):
            key += f"[{part}]"
        else:
            name = part if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", part) else json.dumps(part[:60])
            key += f".{name}" if key else name
    return key


def _unless(wrong: list[Problem], config: Config | None) -> Config:
    if config is not None:
        return config
    first, more = wrong[0], len(wrong) - 1
    where = f"{first.file}:{first.line}:{first.column}" if first.line else first.file
    fix = [first.fix] if first.fix else []
    if first.nearest:
        fix.append(f'Did you mean "{first.nearest}"?')
    if more:
        fix.append(f"({more} more; `mutualgate check` lists {'them' if more > 1 else 'it'})")
    raise BadInput(
        f"{first.key}: {first.problem}" if first.key else first.problem,
        where=where,
        expected=first.expected,
        fix=" ".join(fix) or None,
        facts={
            "file": first.file,
            "line": first.line,
            "column": first.column,
            "key": first.key,
            "problems": len(wrong),
        },
    )


def _read_file(path: Path, checks: Iterable[Check], *, there: bool = False) -> tuple[Config | None, list[Problem]]:
    def unreadable(problem: str, fix: str | None = None, line: int = 0, column: int = 0) -> tuple[None, list[Problem]]:
        return None, [Problem(str(path), line, column, "", problem, fix=fix)]

    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            return unreadable("is not a file")
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        if path.is_symlink():
            return unreadable("points to a file that does not exist")
        if there:
            return unreadable("the file is gone", "Put it back, or a new one in its place.")
        data = b""
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return unreadable(f"cannot be read: {reason}")
    if there and not data.strip():
        return unreadable("the file is empty", "Write into it what is to hold; for the defaults alone, a comment.")
    if len(data) > MAX_FILE_BYTES:
        return unreadable("is larger than 1 MiB", "Is it the right file?")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", "replace").split("\n")
        return unreadable("is not UTF-8 here", "Save it as UTF-8", len(before), len(before[-1]) + 1)
    return _read(text, path, checks)


def _read(text: str, path: Path, checks: Iterable[Check]) -> tuple[Config | None, list[Problem]]:
    try:
        raw = tomllib.loads(text)
        text.encode()  # half a surrogate pair
    except tomllib.TOMLDecodeError as error:
        return None, [_syntax(error, text, path)]
    except RecursionError:
        return None, [Problem(str(path), 1, 1, "", "is nested too deeply")]
    except ValueError:  # a number of thousands of digits, half a surrogate pair
        return None, [Problem(str(path), 1, 1, "", "holds something that is no TOML")]
    reader = _Reader(path, text)
    try:
        draft = reader.document(raw)
        reader.report(conflicts(draft))
    except RecursionError:  # where something stands is looked for in a tree that is deeper than the values
        return None, [Problem(str(path), 1, 1, "", "is nested too deeply")]
    config = None
    if not reader.problems:
        config = assemble(draft, path)
        for check in checks:
            reader.report(check(config))
    wrong = sorted(
        set(reader.problems), key=lambda problem: (problem.line, problem.column, problem.key, problem.problem)
    )
    return (None if wrong else config), wrong


def _syntax(error: tomllib.TOMLDecodeError, text: str, path: Path) -> Problem:
    message = str(error)
    line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
    if match := re.search(r" \(at line (\d+), column (\d+)\)$", message):
        line, column = int(match[1]), int(match[2])
    message = message.rpartition(" (at ")[0] or message
    # Some of its messages repeat a value, which could be a password that was put in the wrong place.
    message = re.sub(r": .*", "", message, flags=re.DOTALL)
    return Problem(
        str(path), line, column, "", f"{message[0].lower()}{message[1:]}", fix="This is not TOML (https://toml.io)"
    )


class _Reader:
    """Walks the table of settings along a document and keeps what is wrong."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.folder = path.absolute().parent
        self._text = text
        self.problems: list[Problem] = []
        self.absent: set[Place] = set()

    @cached_property
    def positions(self) -> Positions:
        return Positions(self._text)

    def report(self, findings: Iterable[Finding]) -> None:
        """Adds `findings`, placed at their values."""
        for finding in findings:
            self._add(
                finding.place, self.positions.value(finding.place), finding.problem, finding.expected, finding.fix
            )

    def document(self, raw: Mapping[str, Any]) -> Draft:
        """The draft of a whole document; what it leaves out is filled in."""
        if "sites" not in raw:
            raw = {**raw, "sites": [DEFAULT_SITE]}
        draft = self._table(ROOT, raw, ())
        for site_index, site in enumerate(draft.get("sites", ())):
            if ("sites", site_index, "tls_profile") in self.absent:
                site["tls_profile"] = draft.get("gate", {}).get("tls_profile")
            for index, route in enumerate(site.get("routes", ())):
                place: Place = ("sites", site_index, "routes", index)
                for key, outer in (("client_certificate", site), ("max_body_bytes", draft.get("gate", {}))):
                    if (*place, key) in self.absent:
                        route[key] = outer.get(key)
                if (*place, "client_certificate") in self.absent and route.get("upstream") == PORTAL:
                    route["client_certificate"] = Mode.SHOWN
        return draft

    def _table(self, table: Table, raw: Mapping[str, Any], place: Place) -> dict[str, Any]:
        draft: dict[str, Any] = {}
        for key in raw:
            if key not in {s.key for s in table.settings} and key not in {t.key for t in table.tables}:
                self._unknown(table, key, place)
        for setting in table.settings:
            if setting.key in raw:
                self._setting(setting, raw[setting.key], (*place, setting.key), draft)
            elif setting.default is not None:
                draft[setting.key] = default_of(setting, self.folder)
            elif setting.otherwise is not None:
                draft[setting.key] = None
                self.absent.add((*place, setting.key))
            else:
                self._add(place, self.positions.key(place), f"`{setting.key}` is missing", setting.kind.expected, None)
        for inner in table.tables:
            self._inner(inner, raw, (*place, inner.key), draft)
        return draft

    def _inner(self, table: Table, raw: Mapping[str, Any], place: Place, draft: dict[str, Any]) -> None:
        value = raw.get(table.key, [] if table.repeated else {})
        if table.repeated and isinstance(value, list) and all(isinstance(item, dict) for item in value):
            if not value and not table.optional:
                around = self.positions.key(place if table.key in raw else place[:-1])
                self._add(place, around, "there is none", f"at least one {table.heading}", None)
            draft[table.key] = [self._table(table, item, (*place, index)) for index, item in enumerate(value)]
        elif not table.repeated and isinstance(value, dict):
            draft[table.key] = self._table(table, value, place)
        else:
            self._add(place, self.positions.key(place), found(value), f"a table written as {table.heading}", None)

    def _setting(self, setting: Setting, value: object, place: Place, draft: dict[str, Any]) -> None:
        if isinstance(setting.kind, Many) and isinstance(value, list):
            draft[setting.key] = self._many(setting.kind, value, place)
            return
        try:
            draft[setting.key] = setting.kind.read(value, self.folder)
        except Unfit as unfit:
            self._add(place, self.positions.value(place), unfit.problem, setting.kind.expected, unfit.fix)

    def _many(self, kind: Many, value: list[object], place: Place) -> tuple[Any, ...]:
        if len(value) < kind.least:
            self._add(place, self.positions.value(place), "is empty", f"at least {kind.least} {kind.item.name}", None)
        items: list[Any] = []
        for index, item in enumerate(value):
            here = (*place, index)
            try:
                items.append(kind.item.read(item, self.folder))
            except Unfit as unfit:
                items.append(None)
                self._add(here, self.positions.value(here), unfit.problem, kind.item.expected, unfit.fix)
                continue
            if items[-1] in items[:-1]:
                self._add(here, self.positions.value(here), f"{items[-1]} is listed twice", None, None)
                items[-1] = None
        return tuple(items)

    def _unknown(self, table: Table, key: str, place: Place) -> None:
        names = [setting.key for setting in table.settings] + [inner.key for inner in table.tables]
        near = difflib.get_close_matches(key, names, n=1, cutoff=0.6)
        homes = [other.heading for other in tables() if any(setting.key == key for setting in other.settings)]
        fix = None
        if not near:
            fix = f"It belongs under {' or '.join(homes)}" if homes else f"There are: {', '.join(names)}"
        position = self.positions.key((*place, key))
        self.problems.append(
            Problem(
                str(self.path),
                position.line,
                position.column,
                key_of((*place, key)),
                "no such key",
                fix=fix,
                nearest=near[0] if near else None,
            )
        )

    def _add(self, place: Place, at: Position, problem: str, expected: str | None, fix: str | None) -> None:
        self.problems.append(Problem(str(self.path), at.line, at.column, key_of(place), problem, expected, fix))


@cache
def default_of(setting: Setting, folder: Path) -> Any:
    """The default of `setting`, read as a user's value is. There are some sixty, most of what a short file says."""
    return setting.kind.read(tomllib.loads(f"value = {setting.default}")["value"], folder)


def assemble(draft: Draft, path: Path) -> Config:
    """The `Config` of a draft without problems."""
    gate = {
        **draft["gate"],
        "timeouts": Timeouts(**draft["gate"]["timeouts"]),
        "limits": GateLimits(**draft["gate"]["limits"]),
        "jwt": JwtConfig(**draft["gate"]["jwt"]),
    }
    sites = (
        SiteConfig(
            **{
                **site,
                "limits": SiteLimits(**site["limits"]),
                "routes": tuple(
                    RouteConfig(**{**route, "limits": RouteLimits(**route["limits"])}) for route in site["routes"]
                ),
            }
        )
        for site in draft["sites"]
    )
    upstreams = (
        UpstreamConfig(
            **{
                **upstream,
                "tls": UpstreamTls(**upstream["tls"]),
                "timeouts": UpstreamTimeouts(**upstream["timeouts"]),
                "retries": UpstreamRetries(**upstream["retries"]),
                "ejection": UpstreamEjection(**upstream["ejection"]),
                "health": UpstreamHealth(**upstream["health"]),
            }
        )
        for upstream in draft["upstreams"]
    )
    return Config(
        gate=GateConfig(**gate),
        authority=AuthorityConfig(**draft["authority"]),
        portal=PortalConfig(**draft["portal"]),
        mail=MailConfig(**draft["mail"]),
        notices=NoticesConfig(**draft["notices"]),
        register=RegisterConfig(**draft["register"]),
        tracing=TracingConfig(**draft["tracing"]),
        upstreams=tuple(upstreams),
        sites=tuple(sites),
        file=path,
    )
