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
WIDTHS = (320, 768)
"""CSS pixels: a window of 1,280 at 400 %, which is the smallest telephones' as well, and a tablet held upright."""


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
    """What is seriously wrong with the page as it is now, closed parts opened; in narrower windows as well."""
    page.evaluate("for (const d of document.querySelectorAll('details')) { d.removeAttribute('name'); d.open = true; }")
    page.evaluate(_source())  # by the debugger: the page's own policy would let no such script in
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['impact']} {one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]}"
        for one in found["violations"]
        if one["impact"] in SERIOUS
    ] + _sideways(page)


def _sideways(page: "Page") -> list[str]:
    """What has to be pushed sideways to be read, as the window is and at other widths (WCAG 2.2, 1.4.10)."""
    usual, found = page.viewport_size, []
    assert usual is not None
    for width in (usual["width"], *WIDTHS):
        page.set_viewport_size({"width": width, "height": usual["height"]})
        wide = page.evaluate("""() => [document.documentElement, ...document.querySelectorAll(".card")]
            .filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.outerHTML.slice(0, 200))""")
        found += [f"wider than there is room at {width} pixels: {one}" for one in wide]
    page.set_viewport_size(usual)
    return found
