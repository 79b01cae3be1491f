"""The Public Suffix List of this machine: below which names many organisations have theirs (publicsuffix.org).

Distributions keep it current, and it comes with libpsl, which curl and wget need: so none of 10,000 lines is ours to
keep, nor a package that does. Both of its parts count: registries (`co.uk`), and whoever gives out names (`github.io`).
"""

from functools import cache
from pathlib import Path

LIST = Path("/usr/share/publicsuffix/public_suffix_list.dat")
_MAX_BYTES = 4 << 20


def is_shared(host: str) -> bool:
    """Whether `host` (A-labels, lower case) is on the list, or above a name on it; never where there is no list."""
    rules, above = _read(LIST)
    parent = host.partition(".")[2]
    return host in above or (f"!{host}" not in rules and (host in rules or f"*.{parent}" in rules))


@cache
def _read(file: Path) -> tuple[frozenset[str], frozenset[str]]:
    """The rules, and the names of two labels and more above them."""
    try:
        with file.open(encoding="utf-8") as text:
            lines = text.read(_MAX_BYTES).splitlines()
    except (OSError, ValueError):
        return frozenset(), frozenset()
    rules = {rule for line in lines if line.strip() and not line.startswith("//") and (rule := _ascii(line.split()[0]))}
    above = set()
    for rule in rules:
        name = rule.partition(".")[2]
        while "." in name:
            above.add(name)
            name = name.partition(".")[2]
    return frozenset(rules), frozenset(above)


def _ascii(rule: str) -> str:
    """In A-labels; empty for what has none."""
    try:
        return rule if rule.isascii() else rule.encode("idna").decode()
    except UnicodeError:
        return ""
