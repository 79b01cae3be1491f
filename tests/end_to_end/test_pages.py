"""The sessions that README and the tutorial show are typed as they stand there, and show what the pages say."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from end_to_end.process import Running, free_port, running

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
TUTORIAL = ROOT / "docs" / "tutorial" / "first-page.md"
PORT_IN_PAGES = "8443"
COMMAND_SECONDS = 60


@dataclass
class Session:
    """A gate in an empty folder, and a shell beside it in which `mutualgate` is ours."""

    folder: Path
    port: int
    program: Running
    environment: dict[str, str]
    refusal: str = ""

    @property
    def greeting(self) -> str:
        """What `up` has printed; access lines follow it."""
        end = re.search(r"^  mutualgate invite partner-7.*\n", self.program.text(), re.MULTILINE)
        return self.program.text()[: end.end()] if end else ""

    def type(self, command: str) -> str:
        """Runs a command of a page and returns what is seen."""
        (password,) = re.findall(r"shown only now: (\S+)", self.greeting)
        command = command.replace(PORT_IN_PAGES, str(self.port)).replace("PASSWORD", password)
        # The reference in a page is that of the page's refusal; ours is that of ours.
        command = re.sub(r"(mutualgate explain )[0-9A-Z]{16}", rf"\g<1>{self.refusal}", command)
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        if found := re.search(r'"refusal": "([0-9A-Z]{16})"', done.stdout):
            self.refusal = found[1]
        return done.stdout


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    folder, programs = tmp_path / "here", tmp_path / "bin"
    folder.mkdir()
    programs.mkdir()
    script = programs / "mutualgate"
    script.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT / 'src')!r})\n"
        "from mutualgate.cli import main\nsys.exit(main())\n"
    )
    script.chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "COLUMNS": "80"}
    environment.pop("MUTUALGATE_DIR", None)
    port = free_port()
    flags = f"--listen 127.0.0.1:{port} --plain-listen none --ops-listen none"
    command = ["sh", "-c", f"cd {folder} && exec {script} up {flags}"]
    with running("mutualgate up", command, tmp_path / "up.log", {**environment, "PYTHONUNBUFFERED": "1"}) as program:
        made = Session(folder, port, program, environment)
        program.wait_for(lambda: made.greeting != "")
        yield made


def same(text: str, port: int = 0) -> str:
    """A text without what differs each time: numbers of serials, references, times, ports, passwords."""
    text = text.replace(f"localhost:{port}", f"localhost:{PORT_IN_PAGES}")
    for pattern, word in (
        (r"(shown only now: |first-client\.p12:)\S+", r"\1PASSWORD"),
        (r"\b[0-9A-HJKMNP-TV-Z]{16}\b", "REFERENCE"),
        (r"\b[0-9a-f]{38,40}\b", "SERIAL"),
        (r"\b\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d UTC)?\b", "DATE"),
        (r"\b\d{1,2} [A-Z][a-z]+ \d{4} \d\d:\d\d UTC\b", "DATE"),
    ):
        text = re.sub(pattern, word, text)
    return text.strip()


def test_the_first_screen_is_what_is_seen(session: Session) -> None:
    block = re.search(r"```console\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    commands = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block[1], re.MULTILINE)
    (first, greeting), *others = commands
    assert first == "mutualgate up"
    assert same(session.greeting, session.port) == same(greeting)
    assert len(others) >= 3
    for command, shown in others:
        assert same(session.type(command), session.port) == same(shown), command


def test_the_tutorial_is_what_is_seen(session: Session) -> None:
    text = TUTORIAL.read_text(encoding="utf-8")
    text = text[text.index("## Open the gate") : text.index("## Put your service")]
    fences = re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)
    compared = 0
    for (language, command), (next_language, shown) in zip(fences, [*fences[1:], ("", "")], strict=True):
        if language != "sh" or "/ticks" in command:  # that one never ends
            continue
        seen = session.greeting if command.strip() == "mutualgate up" else session.type(command)
        if next_language in ("text", "json"):
            assert same(seen, session.port) == same(shown), command
            compared += 1
    assert compared >= 6


def test_the_tutorial_s_page_is_the_demo_s(session: Session) -> None:
    """The one output that stands there in part: that of the command that `up` printed."""
    (command,) = re.findall(r"^  (curl .*)$", session.greeting, re.MULTILINE)
    (shown,) = re.findall(r"```text\n(Hello, .*?)```", TUTORIAL.read_text(encoding="utf-8"), re.DOTALL)
    assert same(session.type(command)).startswith(same(shown))
