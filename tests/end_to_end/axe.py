"""axe-core, which finds what hinders people: fetched from npm, held by its checksum."""

import functools
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

PACKAGE = "axe-core@4.14.1"
SHA256 = "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745"
SERIOUS = ("serious", "critical")
FETCH_SECONDS = 60


@functools.cache
def missing() -> str | None:
    """Why axe cannot be had here, if it cannot."""
    if shutil.which("npm") is None:
        return "not installed: npm (scripts/install-test-packages.sh)"
    try:
        _source()
    except (subprocess.SubprocessError, OSError) as error:
        return f"{PACKAGE} cannot be fetched: {error}"
    return None


@functools.cache
def _source() -> str:
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", "--pack-destination", folder, PACKAGE]
        subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=FETCH_SECONDS)
        (archive,) = Path(folder).glob("*.tgz")
        content = archive.read_bytes()
        assert hashlib.sha256(content).hexdigest() == SHA256, f"{PACKAGE} is not what it was"
        with tarfile.open(archive) as files:
            file = files.extractfile("package/axe.min.js")
            assert file is not None
            return file.read().decode()


def problems(page: "Page") -> list[str]:
    """What is seriously wrong with the page as it is now, closed parts opened."""
    page.evaluate("for (const d of document.querySelectorAll('details')) { d.removeAttribute('name'); d.open = true; }")
    page.evaluate(_source())  # by the debugger: the page's own policy would let no such script in
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['impact']} {one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]}"
        for one in found["violations"]
        if one["impact"] in SERIOUS
    ]
