"""The house is in order: tests mirror the modules, and each reason and setting is documented and exercised."""

import ast
import json
from pathlib import Path

import pytest

from mutualgate.config.settings import tables
from mutualgate.gate import reasons

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "src" / "mutualgate"
TESTS = ROOT / "tests"
VECTORS = TESTS / "vectors"

# Modules without a test file of their own name: which one tests them, and why that one.
ELSEWHERE: dict[str, tuple[str, str]] = {}

# Reasons that no vector can meet.
WITHOUT_VECTOR = {
    "name_not_permitted": "kept for authorities of partners, which are not accepted yet",
    "pin_retired": "kept for pinned certificates, which are not accepted yet",
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
    path = Path(module)
    name = path.parent.name if path.name == "__init__.py" else path.stem
    folder = path.parent.parent if path.name == "__init__.py" else path.parent
    return TESTS / folder / f"test_{name}.py"


@pytest.mark.parametrize("module", modules())
def test_every_module_has_its_test(module: str) -> None:
    if module in ELSEWHERE:
        place, why = ELSEWHERE[module]
        assert not mirror(module).exists(), f"{module} has a test of its own: take it off the list"
        assert (TESTS / place).exists(), f"{module} is to be tested by {place} ({why})"
    else:
        assert mirror(module).exists(), f"{module} has no {mirror(module).relative_to(ROOT)}"


def test_the_exceptions_exist() -> None:
    assert set(ELSEWHERE) <= set(modules())


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


def test_every_setting_is_exercised() -> None:
    """By its name in a test: a setting that nobody sets has never been tried."""
    text = "\n".join(
        path.read_text(encoding="utf-8")
        for path in TESTS.rglob("*.py")
        if path.name not in ("test_tree.py", "test_documents.py")
    )
    missing = [setting.key for table in tables() for setting in table.settings if setting.key not in text]
    assert missing == []
