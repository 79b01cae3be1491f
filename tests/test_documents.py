"""The documents say what the code does: tables are current, links lead somewhere, commands and settings exist."""

import importlib.util
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

from mutualgate.cli.commands import app
from mutualgate.cli.group import built
from mutualgate.config import parse
from mutualgate.config.settings import tables
from mutualgate.errors import BadInput
from mutualgate.gate import reasons
from mutualgate.ops.metrics import METRICS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SITE_PAGES = sorted(DOCS.rglob("*.md"))
PAGES = [*SITE_PAGES, *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"))]


def _reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


reference = _reference()


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@dataclass(frozen=True)
class Fence:
    """A block of code in a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def fences(*languages: str) -> list[Fence]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(r"^( *)```(\w*)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL):
            if match[2] in languages:
                found.append(Fence(page, text.count("\n", 0, match.start()) + 1, match[2], match[3]))
    return found


# Tables


@pytest.mark.parametrize("page", reference.pages(), ids=lambda page: page.name)
def test_what_the_code_says_is_in_the_page(page: Path) -> None:
    expected = reference.pages()[page]
    assert page.read_text(encoding="utf-8") == expected, "write it again: python scripts/reference.py"


def test_every_table_has_a_place() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in SITE_PAGES)
    assert {name for name in reference.BLOCKS if f"<!-- generated: {name} -->" not in text} == set()


def page(name: str) -> str:
    return (DOCS / "reference" / name).read_text(encoding="utf-8")


def test_every_reason_has_a_row_for_the_client_and_one_for_the_operator() -> None:
    for code, _, _ in reasons():
        assert page("reasons.md").count(f"\n| `{code}` |") == 2, code


def test_every_failure_has_a_row() -> None:
    codes = re.findall(
        r'^    [A-Z_]+ = [A-Z_]+, "([a-z_]+)"', (reference.GATE / "problem.rs").read_text(), re.MULTILINE
    )
    assert codes == [failure.code for failure in reference.failures()]
    assert len(codes) > 5
    for code in codes:
        assert f"\n| `{code}` |" in page("reasons.md"), code


def test_every_metric_has_a_row() -> None:
    for metric in METRICS:
        assert f"\n| `{metric.name}` |" in page("metrics.md"), metric.name


def test_metrics_that_pages_name_exist() -> None:
    known = {metric.name for metric in METRICS}
    for one in PAGES:
        # Without a star or a dash behind: those are patterns, and names of files.
        for name in re.findall(r"\bmutualgate_[a-z_]+[a-z]\b(?![*_-])", one.read_text(encoding="utf-8")):
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            assert base in known, f"{name_of(one)} names {name}"


def test_every_name_that_clients_may_not_send_has_a_row() -> None:
    source = (reference.GATE / "identity" / "names.rs").read_text(encoding="utf-8")
    names = reference.names()
    body = source[source.index("pub static NAMES") : source.index("\n];")]
    assert len(names) == len(re.findall(r"\b(?:ours|hop|identity)\(", body)) > 100
    for name in names:
        assert f"\n| `{name.pattern}` |" in page("headers.md"), name.pattern


def test_every_field_that_the_gate_writes_has_a_row() -> None:
    written = reference.written()
    assert len(written) > 40
    rows = page("headers.md").lower()
    for name in written:
        assert re.search(rf"\n\| `{name}(_n)?` \|", rows), name


def test_every_setting_has_a_row() -> None:
    for table in tables():
        section = page("settings.md").partition(f"## `{table.heading}`\n")[2].partition("\n## ")[0]
        for setting in table.settings:
            assert f"| `{setting.key}` |" in section, setting.key


# Links


def anchors(target: Path) -> set[str]:
    """What headings can be linked to, as Python-Markdown names them."""
    found: set[str] = set()
    text = re.sub(r"```.*?```", "", target.read_text(encoding="utf-8"), flags=re.DOTALL)
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower()
        slug = re.sub(r"[-\s]+", "-", plain)
        found.add(slug)
    return found


def links() -> Iterator[tuple[Path, str]]:
    for one in PAGES:
        text = re.sub(r"```.*?```", "", one.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if not re.match(r"https?:|mailto:", target):
                yield one, target


def test_links_lead_somewhere() -> None:
    wrong = []
    for one, target in links():
        path, _, anchor = target.partition("#")
        file = (one.parent / path).resolve() if path else one
        if not file.exists() or (anchor and anchor not in anchors(file)):
            wrong.append(f"{name_of(one)}: {target}")
        if DOCS in one.parents and DOCS not in file.parents:
            wrong.append(f"{name_of(one)}: {target} leaves the site")
    assert wrong == []


def test_the_site_has_every_page_once() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r": ([\w/-]+\.md)$", text, re.MULTILINE)
    assert sorted(listed) == [str(page.relative_to(DOCS)) for page in SITE_PAGES]


# Commands


@dataclass(frozen=True)
class Line:
    """A command line of ours in a page. In a sentence, it may be the name of a command alone."""

    page: str
    text: str
    in_sentence: bool

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def command_lines() -> list[Line]:
    found = set()
    for one in PAGES:
        text = one.read_text(encoding="utf-8")
        outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        found |= {Line(name_of(one), code, True) for code in re.findall(r"`(mutualgate [^`]+)`", outside)}
        for line in re.sub(r"\\\n\s*", " ", text).splitlines():
            bare = _without_what_stands_before(line.strip())
            words = bare.split()
            if len(words) > 1 and words[0] == "mutualgate" and (words[1] in _words() or words[1].startswith("--")):
                found.add(Line(name_of(one), bare, False))
    return sorted(found, key=str)


def _without_what_stands_before(line: str) -> str:
    """A prompt, another user, variables of the environment, the folder of the program."""
    line = re.sub(r"^systemd-run .*? (?=/)", "", line)
    return re.sub(r"^(\$ |sudo -u \w+ |(\w+=\S+ )+)?(/usr/local/bin/)?", "", line)


def _words() -> set[str]:
    return set(built(app).commands)


def parse_command(text: str, in_sentence: bool = False) -> None:
    """Raises what the parser of the real command has against a line; nothing is run."""
    words = shlex.split(re.sub(r"\s+([#<>|&]|2>).*$", "", text))[1:]
    command: Any = built(app)
    if words[0].startswith("--"):
        assert words[0] in {option for parameter in command.params for option in parameter.opts}
        return
    context: Any = command.make_context("mutualgate", words)
    while hasattr(command, "commands"):
        name, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
        if not words and in_sentence:
            return
        context = command.make_context(name, words, parent=context)


@pytest.mark.parametrize("line", command_lines(), ids=str)
def test_commands_are_understood(line: Line) -> None:
    try:
        parse_command(line.text, line.in_sentence)
    except Exception as error:
        pytest.fail(f"{line}: {type(error).__name__}: {error}")


@pytest.mark.parametrize(
    "wrong",
    ["mutualgate client add", "mutualgate client add x --rol y", "mutualgate clients list", "mutualgate up now"],
)
def test_a_wrong_command_is_not(wrong: str) -> None:
    """Else the test above would prove nothing."""
    with pytest.raises(Exception, match=r"."):
        parse_command(wrong)
    assert len(command_lines()) > 60


def test_the_first_screen_names_targets_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for one in PAGES:
        for target in re.findall(r"(?:^|`|\s)make ([a-z]+)(?=`|\s+#|$)", one.read_text(encoding="utf-8"), re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{name_of(one)}: make {target}"


# Settings, and other blocks of code


@pytest.mark.parametrize("fence", fences("toml"), ids=str)
def test_configurations_are_right(fence: Fence, tmp_path: Path) -> None:
    text = fence.text
    if "[[sites]]" not in text and "[[sites.routes]]" in text:
        text = f'[[sites]]\nname = "main"\nhosts = ["localhost"]\n{text}'
    try:
        parse(text)
    except BadInput as error:
        pytest.fail(f"{fence}: {error}")


def test_settings_that_pages_name_exist() -> None:
    keys = {setting.key for table in tables() for setting in table.settings}
    headings = {table.heading.strip("[]") for table in tables()}
    headings |= {f"{table.heading.strip('[]')}.{setting.key}" for table in tables() for setting in table.settings}
    for one in PAGES:
        text = re.sub(r"```.*?```", "", one.read_text(encoding="utf-8"), flags=re.DOTALL)
        for key in re.findall(r"`([a-z_0-9]+) = [^`]*`", text):
            assert key in keys, f"{name_of(one)}: {key}"
        for dotted in re.findall(r"`((?:gate|authority|sites)\.[a-z_.]+)`", text):
            assert dotted in headings, f"{name_of(one)}: {dotted}"


@pytest.mark.parametrize("fence", fences("json"), ids=str)
def test_json_is_json(fence: Fence) -> None:
    value = json.loads(fence.text)
    if "reason" in value:
        meant = {code: (meaning, fix) for code, meaning, fix in reasons()}
        assert value["fix"] == meant[value["reason"]][1]
        assert value["type"] == f"urn:mutualgate:reason:{value['reason']}"
        assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{16}", value["refusal"])


@pytest.mark.parametrize("fence", fences("python"), ids=str)
def test_python_is_python(fence: Fence) -> None:
    compile(fence.text, str(fence), "exec")


@pytest.mark.parametrize("fence", fences("sh"), ids=str)
def test_a_shell_reads_what_is_to_be_typed(fence: Fence) -> None:
    done = subprocess.run(["sh", "-n"], input=fence.text, capture_output=True, text=True)
    assert done.returncode == 0, f"{fence}: {done.stderr}"


@pytest.mark.parametrize("fence", fences("xml"), ids=str)
def test_xml_is_xml(fence: Fence) -> None:
    ElementTree.fromstring(f"<page>{fence.text}</page>")


def test_no_page_names_a_machine() -> None:
    for one in PAGES:
        text = one.read_text(encoding="utf-8")
        for word in ("/work/", "/root/", "/tmp/", "/home/"):
            assert word not in text, f"{name_of(one)}: {word}"
