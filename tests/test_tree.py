"""The house is in order: tests mirror the modules, and each reason and setting is documented and exercised."""

import ast
import configparser
import json
import re
from pathlib import Path

import pytest

from mutualgate.config.settings import tables
from mutualgate.gate import reasons

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "src" / "mutualgate"
TESTS = ROOT / "tests"
VECTORS = TESTS / "vectors"

# What has no test file of its own name: what tests it, and why. A package ends in `/`.
ELSEWHERE: dict[str, tuple[str, str]] = {
    "cli/": (
        "end_to_end/gate.py",
        "the end-to-end tests run the commands as a program, with what they print and return",
    ),
    "priority.py": ("end_to_end/test_restart.py", "the threads of a running gate, and of its successor"),
    "errors.py": ("config/test_reader.py", "the sentences that users read are asserted where they arise"),
    "app/answering.py": ("app/test_control.py", "asked over a real socket, as commands ask"),
    "app/chores.py": ("app/test_runner.py", "done by a running gate, and asserted by what comes of them"),
    "app/in_force.py": ("app/test_runner.py", "as app/chores.py"),
    "apache/report.py": ("apache/test_import.py", "a step from httpd's text to ours: what comes out counts"),
    "apache/names.py": ("apache/test_export.py", "the names are asserted in the configuration, and by a running httpd"),
    "authorities/hosting.py": ("authorities/test_service.py", "a part of the service that lives in its transaction"),
    "authorities/issuing.py": ("authorities/test_service.py", "as authorities/hosting.py"),
    "authorities/keyring.py": ("authorities/test_service.py", "as authorities/hosting.py"),
    "authorities/lists.py": ("authorities/test_service.py", "as authorities/hosting.py"),
    "authorities/overview.py": ("authorities/test_service.py", "as authorities/hosting.py"),
    "authorities/pbmac1.py": ("authorities/test_p12.py", "the files that have it are opened there"),
    "authorities/taking_over.py": ("authorities/test_service.py", "as authorities/hosting.py"),
    "clients/revoking.py": ("clients/test_service.py", "a part of the service that lives in its transaction"),
    "demo/handshake.py": ("demo/test_service.py", "the page that comes out is asserted as a browser and curl get it"),
    "demo/page.py": ("demo/test_service.py", "as demo/handshake.py"),
    "enrolment/handed_in.py": ("enrolment/test_invitations.py", "as enrolment/opening.py"),
    "enrolment/opening.py": ("enrolment/test_invitations.py", "the rules of the service, apart for their length"),
    "enrolment/invitation_use.py": ("enrolment/test_invitations.py", "what is made there is used there"),
    "enrolment/outcome.py": ("enrolment/test_invitations.py", "as enrolment/invitation_use.py"),
    "enrolment/own.py": ("enrolment/test_invitations.py", "as enrolment/opening.py"),
    "enrolment/signing.py": ("enrolment/test_service.py", "a part of the services that lives in their transactions"),
    "reading/meant.py": ("reading/test_explain.py", "what is explained is what is meant"),
    "reading/about.py": ("reading/test_explain.py", "a certificate is explained as a whole"),
    "reading/works.py": ("reading/test_explain.py", "as reading/about.py"),
    "reading/crl.py": ("authorities/test_crl.py", "asserted of lists of authorities that are adopted"),
    "notices/http_post.py": ("notices/test_webhook.py", "what can go wrong is asserted where it arises"),
    "notices/failure.py": ("notices/test_mail.py", "why a letter was not sent is asserted where it arises"),
    "model/letter.py": ("store/test_outbox.py", "a letter's state comes of what the store holds"),
    "enrolling/kept.py": ("enrolling/test_steps.py", "what a run leaves in the folder, and what the next makes of it"),
    "enrolling/outputs.py": ("enrolling/test_steps.py", "as enrolling/kept.py"),
    "enrolling/transport.py": ("enrolling/test_steps.py", "whom it trusts is asserted over real TLS"),
    "authorities/exchange.py": ("portal/test_scep.py", "what devices encrypt for, as they see it"),
    "portal/scep_messages.py": ("portal/test_scep.py", "messages are made and read by openssl and by another library"),
    "portal/machines.py": ("portal/test_linux.py", "what the ways for machines share"),
    "model/certificate.py": ("enrolment/test_service.py", "facts are read from certificates that were issued"),
    "model/credential.py": ("store/test_credentials.py", "a credential's state comes of what the store holds"),
    "portal/answers.py": ("portal/test_application.py", "what is sent is asserted as it arrives"),
    "portal/asked.py": ("portal/test_application.py", "as portal/answers.py"),
    "portal/assets.py": ("portal/test_application.py", "as portal/answers.py"),
    "portal/desk.py": ("portal/test_application.py", "as portal/answers.py"),
    "portal/helping.py": ("portal/test_me.py", "both are pages for who was not invited"),
    "portal/showing.py": ("portal/test_joining.py", "what was shown is asserted where it is asked about"),
    "portal/problems.py": ("portal/test_application.py", "as portal/answers.py"),
    "portal/operator_clients.py": ("portal/test_operator.py", "what an operator sees and does"),
    "portal/operator_invitations.py": ("portal/test_operator.py", "as portal/operator_clients.py"),
    "portal/operator_keys.py": ("portal/test_operator.py", "as portal/operator_clients.py"),
    "portal/operator_pins.py": ("portal/test_operator.py", "as portal/operator_clients.py"),
    "portal/operator_refusals.py": ("portal/test_operator.py", "as portal/operator_clients.py"),
    "portal/operator_changes.py": ("portal/test_trying.py", "beside what a change would do"),
    "partners/bounds.py": (
        "enrolment/test_partner_invitations.py",
        "who is invited and what becomes of it is asserted by the judge's verdict",
    ),
    "partners/key_set_fetch.py": ("partners/test_key_sets.py", "what is fetched, and what operators say of it"),
    "partners/sharing.py": ("partners/test_anchors.py", "as partners/proofs.py"),
    "partners/proofs.py": ("partners/test_anchors.py", "what proves a claim is asserted where it is claimed"),
    "partners/terms.py": ("partners/test_anchors.py", "as partners/proofs.py"),
    "partners/finding.py": ("partners/test_service.py", "a name that means nobody is asserted in the service's calls"),
    "portal/operator_partners.py": ("portal/test_partner.py", "beside what partners may do themselves"),
    "portal/proving.py": ("portal/test_partner.py", "beside the claims that it proves"),
    "portal/offices.py": ("portal/test_partner.py", "asked as a partner and as an operator"),
    "portal/csr.py": ("portal/test_joining.py", "from the link to the first good handshake it is one walk"),
    "portal/own.py": ("portal/test_joining.py", "as portal/csr.py"),
    "portal/arriving.py": ("portal/test_joining.py", "as portal/csr.py"),
    "portal/invited.py": ("portal/test_joining.py", "what people and programs get of an invitation is asserted there"),
    "snapshot/sites.py": ("snapshot/test_builder.py", "sites are records of the snapshot that is built"),
    "store/audit.py": ("audit/test_chain.py", "the log is tested by what writes it"),
    "store/authorities.py": ("authorities/test_service.py", "its rows are asserted through the service"),
    "store/invitations.py": ("enrolment/test_invitations.py", "its rows are asserted through the service"),
    "store/select.py": ("store/test_store.py", "how the store opens and asks"),
    "store/settings.py": ("store/test_store.py", "as store/select.py"),
    "store/sqlite.py": ("store/test_store.py", "as store/select.py"),
}

# Reasons that no vector can meet.
WITHOUT_VECTOR = {
    "wrong_site": "the gate sees that SNI and Host disagree: tests/end_to_end/test_sites.py",
}


def modules() -> list[str]:
    """Every module that decides something, as `package/module.py`."""
    found = sorted(SOURCES.rglob("*.py"))
    return [str(path.relative_to(SOURCES)) for path in found if "migrations" not in path.parts and has_logic(path)]


def has_logic(path: Path) -> bool:
    """Whether a function in it has more than one statement, or one that branches: else there is nothing to be wrong."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = [one for one in node.body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
            if len(body) > 1 or any(
                isinstance(one, ast.If | ast.For | ast.While | ast.Match | ast.Try) for one in body
            ):
                return True
    return False


def mirror(module: str) -> Path:
    """The test file of a module; `import_`, which cannot be called `import`, has the test of that name."""
    path = Path(module)
    inside = path.parent if path.name == "__init__.py" else path.with_suffix("")
    return TESTS / inside.parent / f"test_{inside.name.removesuffix('_')}.py"


def elsewhere(module: str) -> str | None:
    """The exception that holds for a module."""
    package = f"{Path(module).parts[0]}/"
    return next((key for key in (module, package) if key in ELSEWHERE), None)


@pytest.mark.parametrize("module", modules())
def test_every_module_has_its_test(module: str) -> None:
    if mirror(module).exists():
        assert module not in ELSEWHERE, f"{module} has a test of its own: take it off the list"
        return
    exception = elsewhere(module)
    assert exception is not None, f"{module} has no {mirror(module).relative_to(ROOT)}"
    place, why = ELSEWHERE[exception]
    assert (TESTS / place).exists(), f"{module} is to be tested by {place} ({why})"


def test_the_exceptions_are_needed() -> None:
    needed = {elsewhere(module) for module in modules() if not mirror(module).exists()}
    assert set(ELSEWHERE) <= needed


def test_every_unit_test_mirrors_a_module() -> None:
    """A test file whose module was renamed or removed is found."""
    packages = [path for path in TESTS.iterdir() if path.is_dir() and (SOURCES / path.name / "__init__.py").exists()]
    known = {mirror(str(path.relative_to(SOURCES))) for path in SOURCES.rglob("*.py")}
    extra = sorted(
        str(path.relative_to(TESTS)) for package in packages for path in package.glob("test_*.py") if path not in known
    )
    assert [path for path in extra if path not in WITHOUT_MODULE] == []


# Tests of a package as a whole.
WITHOUT_MODULE: dict[str, str] = {
    "app/test_consistency.py": "what the judge is told, after any changes by any service",
    "cli/test_startup.py": "what a command may not import",
    "cli/test_crash.py": "invitations, CSRs and renewals in one run, killed in the middle",
    "portal/test_keys.py": "the page's script, in node",
    "store/test_crash.py": "the store as a whole, killed at any moment",
}


@pytest.mark.parametrize("code", [code for code, _, _ in reasons()])
def test_every_reason_is_met_by_a_vector_and_just_missed_by_another(code: str) -> None:
    if code in WITHOUT_VECTOR:
        assert not (VECTORS / f"{code}.json").exists(), "there is a vector: take the reason off the list"
        return
    vectors = json.loads((VECTORS / f"{code}.json").read_text(encoding="utf-8"))
    verdicts = {(vector["verdict"], vector["reason"]) for vector in vectors}
    assert ("refused", code) in verdicts
    assert ("admitted", None) in verdicts


def test_reasons_without_a_vector_are_reasons() -> None:
    assert set(WITHOUT_VECTOR) <= {code for code, _, _ in reasons()}


def test_every_setting_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    for table in tables():
        section = page.partition(f"\n## `{table.heading}`\n")[2].partition("\n## ")[0]
        for setting in table.settings:
            assert f"\n| `{setting.key}` |" in section, f"{table.heading} {setting.key}"


# Settings that no test sets.
NEVER_SET = {"drain": "that what is under way is finished is tested with the default: end_to_end/test_reload.py"}


def test_every_setting_is_exercised() -> None:
    """By its name in a test: a setting that nobody sets has never been tried."""
    others = [path for path in TESTS.rglob("*.py") if path.name not in ("test_tree.py", "test_documents.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in others)
    missing = {setting.key for table in tables() for setting in table.settings if setting.key not in text}
    assert missing - set(NEVER_SET) == set()


def test_the_architecture_names_every_layer() -> None:
    contract = configparser.ConfigParser()
    contract.read(ROOT / ".importlinter")
    layers = [
        {name.strip() for name in line.split("|")}
        for line in contract["importlinter:contract:layers"]["layers"].split("\n")
        if line
    ]
    drawn: list[set[str]] = []
    (drawing,) = re.findall(r"```\n(cli .*?)```", (ROOT / "ARCHITECTURE.md").read_text(), re.DOTALL)
    for line in drawing.splitlines():
        names = {name.strip() for name in re.split(r"  +[^|]", line.lstrip(" |") + "   .")[0].split("|")}
        if line.startswith(" "):
            drawn[-1] |= names if line.lstrip().startswith("|") else set()
        else:
            drawn.append(names)
    assert drawn == layers


def test_every_fuzz_target_is_built_told_of_and_has_its_seeds_replayed() -> None:
    fuzz = ROOT / "rust" / "fuzz"
    replayed = "".join((ROOT / "rust" / crate / "tests" / "seeds.rs").read_text() for crate in ("gate", "judge"))
    built = re.findall(r'^path = "fuzz_targets/(.*).rs"', (fuzz / "Cargo.toml").read_text(), re.MULTILINE)
    assert sorted(built) == sorted(path.stem for path in fuzz.glob("fuzz_targets/*.rs"))
    for target in built:
        assert any((fuzz / "seeds" / target).iterdir()), target
        assert f'("{target}"' in replayed, target
        assert f"`{target}`" in (ROOT / "CONTRIBUTING.md").read_text(), target


@pytest.mark.parametrize("crate", ["gate", "judge"])
def test_every_file_of_integration_tests_is_in_a_program(crate: str) -> None:
    """Cargo finds them by itself no more: one that is nowhere would never run."""
    folder = ROOT / "rust" / crate
    named = set(re.findall(r"^mod (\w+);$", (folder / "tests" / "all.rs").read_text(), re.MULTILINE))
    named |= set(re.findall(r'^\[\[test\]\]\nname = "(\w+)"$', (folder / "Cargo.toml").read_text(), re.MULTILINE))
    assert {path.stem for path in (folder / "tests").glob("*.rs")} <= named


def test_only_the_store_may_know_sql() -> None:
    contract = configparser.ConfigParser()
    contract.read(ROOT / ".importlinter")
    held = set(contract["importlinter:contract:sql"]["source_modules"].split())
    packages = {f"mutualgate.{one.name}" for one in SOURCES.iterdir() if (one / "__init__.py").exists()}
    assert packages - held == {"mutualgate.store", "mutualgate.model", "mutualgate.config"}


def test_what_mypy_is_to_overlook_is_named_and_says_why() -> None:
    silent = re.compile(r"# type: ignore(?!\[[a-z-]+\]  # \w)")
    files = [path for folder in (SOURCES, TESTS) for path in folder.rglob("*.py") if path != Path(__file__)]
    files += [path for folder in ("bench", "bench/subjects", "scripts") for path in (ROOT / folder).glob("*.py")]
    assert [
        f"{path}: {line.strip()}" for path in files for line in path.read_text().splitlines() if silent.search(line)
    ] == []


def test_names_in_commands_that_people_copy_are_words_of_a_shell() -> None:
    """A partner's administrator chooses names, and an operator pastes what an error suggests."""
    bare = re.compile(r"mutualgate [a-z][^\"]*\{(?:\w+\.)*client\.name\}")
    found = [
        f"{path}: {line}"
        for path in SOURCES.rglob("*.py")
        for line in path.read_text().splitlines()
        if bare.search(line)
    ]
    assert found == []
