"""Writes what the reference pages take from the code: `python scripts/reference.py`, or `--check` to write nothing.

A page says with `<!-- generated: NAME -->` and `<!-- end -->` where a table of the code goes; what is around stays as
it was written. `docs/reference/settings.md` is the table of settings as a whole. tests/test_documents.py asks this
module whether all is current, so that a page cannot fall behind.
"""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mutualgate.app.remedies import Advice

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "reference"
GATE = ROOT / "rust" / "gate" / "src"

_BLOCK = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def pages() -> dict[Path, str]:
    """Every reference page as it has to be."""
    from mutualgate.config import reference

    made = {PAGES / "settings.md": reference()}
    for page in sorted(PAGES.glob("*.md")):
        if page.name != "settings.md":
            made[page] = _filled(page)
    return made


def _filled(page: Path) -> str:
    def block(match: re.Match[str]) -> str:
        make = BLOCKS.get(match[2])
        if make is None:
            raise SystemExit(f"{page}: no table is called {match[2]!r}; there are {', '.join(sorted(BLOCKS))}")
        return f"{match[1]}\n{make().strip()}\n\n{match[3]}"

    return _BLOCK.sub(block, page.read_text(encoding="utf-8"))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(header)} |", f"| {' | '.join('---' for _ in header)} |"]
    lines += [f"| {' | '.join(row)} |".replace("\n", " ") for row in rows]
    return "\n".join(lines)


# The judge's reasons, and the gate's own failures.


def reasons() -> str:
    """Code, status, meaning and fix of every reason, in the order of judgement."""
    from mutualgate.gate import reasons as catalogue

    rows = [(f"`{code}`", "421" if code == "wrong_site" else "403", meaning, fix) for code, meaning, fix in catalogue()]
    return table(("reason", "status", "what it means", "what the client can do"), rows)


def _of_partners(one: "Advice") -> str:
    return f"{one.partner} Or {one.retired[0].lower()}{one.retired[1:]}" if one.retired else one.partner


def remedies() -> str:
    """What operators are told about every reason, in the order of judgement; with numbers that a command takes."""
    from mutualgate.app.remedies import ADVICE, filled

    numbers = {"CA": "3", "PIN": "7", "REFUSAL": "7K3M9QW2XT5B8N4C"}
    rows = [
        (f"`{code}`", one.cause, filled(one.deed, numbers), filled(_of_partners(one), numbers) or "the same")
        for code, one in ADVICE.items()
    ]
    return table(("reason", "what it mostly is", "what to do", "where a partner's CA signed it"), rows)


@dataclass(frozen=True)
class Failure:
    """A failure that has nothing to do with certificates, from rust/gate/src/problem.rs."""

    code: str
    status: str
    title: str
    fix: str


_STATUSES = {
    "BAD_REQUEST": "400",
    "NOT_FOUND": "404",
    "METHOD_NOT_ALLOWED": "405",
    "REQUEST_TIMEOUT": "408",
    "PAYLOAD_TOO_LARGE": "413",
    "URI_TOO_LONG": "414",
    "MISDIRECTED_REQUEST": "421",
    "TOO_MANY_REQUESTS": "429",
    "REQUEST_HEADER_FIELDS_TOO_LARGE": "431",
    "NOT_IMPLEMENTED": "501",
    "BAD_GATEWAY": "502",
    "SERVICE_UNAVAILABLE": "503",
    "GATEWAY_TIMEOUT": "504",
    "HTTP_VERSION_NOT_SUPPORTED": "505",
}
_TEXT = r'"((?:[^"\\]|\\.)*)"'


def failures() -> list[Failure]:
    """All of them, in the order of the source."""
    source = (GATE / "problem.rs").read_text(encoding="utf-8")
    body = source[source.index("\nproblems! {") :]
    found = re.findall(rf"= ([A-Z_]+),\s*{_TEXT},\s*{_TEXT},\s*{_TEXT};", body[: body.index("\n}")])
    return [Failure(code, _STATUSES[status], _text(title), _text(fix)) for status, code, title, fix in found]


def _text(literal: str) -> str:
    return re.sub(r"\\(.)", r"\1", literal)


def failures_table() -> str:
    """For the page of reasons."""
    rows = [(f"`{one.code}`", one.status, one.title, one.fix) for one in failures()]
    return table(("code", "status", "what it means", "what to do"), rows)


# Header fields.


@dataclass(frozen=True)
class Name:
    """A name of a header field that clients may not send, from rust/gate/src/identity/names.rs."""

    pattern: str
    kind: str
    used_by: str


def names() -> list[Name]:
    """The catalogue, in its order."""
    source = (GATE / "identity" / "names.rs").read_text(encoding="utf-8")
    body = source[source.index("pub static NAMES") :]
    found = re.findall(rf"\b(ours|hop|identity)\(\s*{_TEXT},\s*{_TEXT},?\s*\)", body[: body.index("\n];")])
    return [Name(pattern, kind, used_by) for kind, pattern, used_by in found]


def _names(kind: str) -> Callable[[], str]:
    def made() -> str:
        rows = [(f"`{name.pattern}`", name.used_by) for name in names() if name.kind == kind]
        return table(("name", "used by"), rows)

    return made


def written() -> list[str]:
    """The names that the gate writes to say who asks, from rust/gate/src/identity.rs and its dialects."""
    sources = [GATE / "identity.rs", *sorted((GATE / "identity").glob("*.rs"))]
    apart = ("names.rs", "tests.rs", "forwarded.rs")  # what others write, and where a request comes from
    names = r'"((?:client-cert|mutualgate|ssl|proxy|x-forwarded)[a-z_-]*)"'
    found = []
    for source in sources:
        if source.name not in apart:
            text = source.read_text(encoding="utf-8").partition("#[cfg(test)]")[0]
            found += re.findall(names, text)
    return list(dict.fromkeys(found))


# Metrics.


def metrics() -> str:
    """The table of metrics."""
    from mutualgate.ops.metrics import METRICS

    rows = []
    for metric in METRICS:
        labels = "; ".join(f"`{label}`: {meaning}" for label, meaning in metric.labels.items())
        rows.append((f"`{metric.name}`", metric.type, metric.help, labels or "none"))
    return table(("metric", "type", "meaning", "labels"), rows)


def labels(enum: str) -> list[tuple[str, str]]:
    """The values of a label and what each means, from rust/gate/src/counters.rs."""
    source = (GATE / "counters.rs").read_text(encoding="utf-8")
    start = source.index(f"\n    {enum} {{")
    body = source[start : source.index("\n    }", start)]
    found = re.findall(r'((?:\s*///[^\n]*\n)+)\s*\w+ = "([a-z_]+)"', body)
    return [(label, " ".join(re.findall(r"/// ?(.*)", doc))) for doc, label in found]


def _labels(enum: str, header: str) -> Callable[[], str]:
    return lambda: table((header, "meaning"), [(f"`{label}`", meaning) for label, meaning in labels(enum)])


# Commands.


def commands() -> str:
    """Every command with its arguments, options and examples."""
    return "\n\n".join(_command(path, command) for path, command in leaves())


def leaves() -> Iterator[tuple[str, Any]]:
    """Each command that does something, with the words that call it."""
    from mutualgate.cli.commands import app
    from mutualgate.cli.group import built

    yield from _leaves("mutualgate", built(app))


def _leaves(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, one in inner.items():
        yield from _leaves(f"{path} {name}", one)


def _command(path: str, command: Any) -> str:
    text, _, examples = (command.help or "").replace("\b", "").partition("Example")
    lines = [f"## `{path}`", "", " ".join(text.split())]
    shown = [line.strip() for line in examples.partition(":")[2].splitlines() if line.strip()]
    if shown:
        lines += ["", "```sh", *shown, "```"]
    context = command.context_class(command, info_name=path)
    rows = [row for parameter in command.params if (row := _parameter(parameter, context))]
    if rows:
        lines += ["", table(("parameter", "meaning", "default"), rows)]
    return "\n".join(lines)


def _parameter(parameter: Any, context: Any) -> tuple[str, str, str] | None:
    if parameter.name in ("help", "json", "dir", "install_completion", "show_completion"):
        return None  # the same everywhere: said once, at the top of the page
    if getattr(parameter, "hidden", False):
        return None
    if parameter.param_type_name == "argument":
        name = parameter.name.upper()
    else:
        shown, _ = parameter.get_help_record(context)
        name = re.sub(r"list\[(\w+)\]|(\w+) range", r"\1\2", shown.strip())
    meaning = " ".join((parameter.help or "").split())
    if getattr(parameter, "multiple", False) and "several" not in meaning:
        meaning += " May be given several times."
    return f"`{name}`", meaning, _default(parameter)


def _default(parameter: Any) -> str:
    if parameter.required:
        return "must be given"
    value = parameter.default
    if value is None or value is False or value == "" or value == [] or value == () or callable(value):
        return ""
    if "UNSET" in repr(value):
        return ""
    return f"`{value}`"


BLOCKS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "reasons": reasons,
    "remedies": remedies,
    "failures": failures_table,
    "names-ours": _names("ours"),
    "names-hop": _names("hop"),
    "names-identity": _names("identity"),
    "metrics": metrics,
    "handshakes": _labels("Handshake", "`end`"),
    "upstream-errors": _labels("UpstreamError", "`error`"),
}


def main(arguments: Sequence[str]) -> int:
    """Writes the pages, or says which are not current."""
    stale = [page for page, text in pages().items() if not page.exists() or page.read_text(encoding="utf-8") != text]
    for page in stale:
        print(page.relative_to(ROOT))
        if "--check" not in arguments:
            page.write_text(pages()[page], encoding="utf-8")
    return int(bool(stale) and "--check" in arguments)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "src"))
    sys.exit(main(sys.argv[1:]))
