"""Every finding that the code can make is made in a test."""

import re
from pathlib import Path

import mutualgate.authorities

CODE = re.compile(
    r'(?:Finding|found\.note|found\.warning|found\.refused|self\.note|self\.refused|self\.warning)\(\s*"(\w+)"'
)


def test_every_finding_is_tested() -> None:
    source = "".join(path.read_text() for path in Path(mutualgate.authorities.__path__[0]).glob("*.py"))
    here = Path(__file__).parent
    tests = "".join(path.read_text() for path in here.glob("test_*.py"))
    codes = set(CODE.findall(source))
    assert len(codes) > 20
    assert {code for code in codes if f'"{code}"' not in tests} == set()
