"""What commands may not import: most of a command's time is Python's start, so each loads what it needs and no more.

Which modules, not how long they take: a rule that fails says what to look at, on whatever machine.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from installation import Installation

# What is slow to import, and needed by some commands only.
STORE = {"sqlalchemy", "sqlite3", "mutualgate.store", "mutualgate.model.client"}
CERTIFICATES = {"cryptography", "asn1crypto", "mutualgate.model.certificate"}
CONFIGURATION = {"mutualgate.config", "tree_sitter", "tomllib"}
JUDGE = {"mutualgate._engine", "mutualgate.gate", "msgspec"}
SERVERS = {"uvicorn", "starlette", "jinja2", "mutualgate.portal", "mutualgate.app.runner"}
ALWAYS = {"alembic", "rich", "pydantic", "http.server", "httpx", "email.message", "importlib.metadata._adapters"}
ASYNC = {"asyncio.events", "ssl"}  # SQLAlchemy would import both

EVERYTHING = STORE | CERTIFICATES | CONFIGURATION | JUDGE | SERVERS | ALWAYS | ASYNC

NOT_LOADED = {
    ("--version",): EVERYTHING,
    ("--help",): EVERYTHING,
    ("client", "--help"): EVERYTHING,
    ("partner", "ca", "--help"): EVERYTHING,
    ("systemd-unit",): EVERYTHING,
    ("status",): EVERYTHING,
    ("restart",): EVERYTHING,
    ("upstream", "list"): EVERYTHING,
    ("check",): EVERYTHING - CONFIGURATION - JUDGE,
    ("explain", "{root}"): EVERYTHING - CERTIFICATES - ALWAYS,
    ("client", "list"): EVERYTHING - STORE,
    ("client", "suspend", "nobody"): EVERYTHING - STORE,
    ("audit", "list"): EVERYTHING - STORE,
    ("invite", "anna"): EVERYTHING - STORE - CONFIGURATION,
    ("invitation", "list"): EVERYTHING - STORE,
    ("notices", "list"): EVERYTHING - STORE,
    ("trust", "list"): EVERYTHING - STORE,
    ("pin", "list"): EVERYTHING - STORE,
    ("ca", "list"): EVERYTHING - STORE,
    ("client", "p12", "first-client", "--out", "{out}"): EVERYTHING - STORE - CONFIGURATION - CERTIFICATES
    | {"asn1crypto"},
    ("partner", "list"): EVERYTHING - STORE,
    ("partner", "add", "acme"): EVERYTHING - STORE,
}

# A module of one noun is none of another's business.
NOUNS: dict[tuple[str, ...], set[str]] = {
    ("client", "list"): {"mutualgate.cli.partners", "mutualgate.cli.up", "mutualgate.store.partners"},
    ("audit", "list"): {"mutualgate.cli.clients", "mutualgate.model.partner", "mutualgate.store.credentials"},
    ("partner", "list"): {"mutualgate.cli.clients", "mutualgate.cli.partner_cas", "mutualgate.store.outbox"},
}


@pytest.fixture
def installed(installed: Installation) -> Installation:
    """With a portal, so that links to it can be made."""
    installed.config.write_text(
        installed.config.read_text().replace("routes = [", 'routes = [{ path = "/join", upstream = "portal" }, ')
        + '\n[portal]\nurl = "https://gate.example/join"\n'
    )
    return installed


@pytest.mark.parametrize("words", NOT_LOADED, ids=" ".join)
def test_a_command_loads_what_it_needs(words: tuple[str, ...], installed: Installation) -> None:
    assert not NOT_LOADED[words] & loaded(words, installed.folder.path)


@pytest.mark.parametrize("words", NOUNS, ids=" ".join)
def test_a_command_loads_its_own_noun(words: tuple[str, ...], installed: Installation) -> None:
    assert not NOUNS[words] & loaded(words, installed.folder.path)


def test_who_has_it_run_elsewhere_loads_nothing() -> None:
    program = "import sys\nbefore = set(sys.modules)\nimport mutualgate.cli\nprint(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"mutualgate", "mutualgate.cli", "mutualgate.cli.relay", "_socket", "select"}


def test_what_is_forbidden_exists() -> None:
    # A module that was renamed would never be found loaded.
    program = (
        "import importlib.util, sys\nprint([one for one in sys.argv[1:] if importlib.util.find_spec(one) is None])"
    )
    names = EVERYTHING.union(*NOUNS.values()) - {"pydantic", "httpx"}  # that we do not have
    done = subprocess.run([sys.executable, "-c", program, *sorted(names)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def loaded(words: tuple[str, ...], folder: Path) -> set[str]:
    """The modules that a process has loaded when the command has run."""
    program = (
        "import sys\n"
        "from mutualgate.cli import brief, main\n"
        "brief.end = lambda status: print('', *sys.modules, sep='\\0', file=sys.stderr)\n"
        "main()\n"
    )
    filled = [word.format(root=folder / "root.pem", out=folder / "x.p12") for word in words]
    if not {"--version", "--help", "explain"} & set(words):
        filled += ["--dir", str(folder)]
    done = subprocess.run([sys.executable, "-c", program, *filled], capture_output=True, text=True, check=True)
    return set(done.stderr.strip().split("\0")[1:])
