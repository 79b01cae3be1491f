"""Static files, served under a hash of all of them: they never change, so browsers keep them for good."""

import base64
import functools
import hashlib
from importlib import resources
from typing import Final

TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}


@functools.cache
def assets() -> dict[str, tuple[bytes, str]]:
    """Contents and type of each file, by its name: nothing else is ever served, so a name is no path."""
    folder = resources.files("mutualgate.portal") / "static"
    found = {}
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        content_type = TYPES.get(file.name.rpartition(".")[2])
        if content_type and file.is_file():
            found[file.name] = (file.read_bytes(), content_type)
    return found


@functools.cache
def version() -> str:
    """A hash of all of them, so that a script and what it imports always fit together."""
    total = hashlib.sha256()
    for name, (content, _) in assets().items():
        total.update(f"{name} {len(content)}\n".encode() + content)
    return total.hexdigest()[:16]


@functools.cache
def integrity(name: str) -> str:
    """The file's hash, as Subresource Integrity writes it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(assets()[name][0]).digest()).decode()}"


@functools.cache
def icon() -> str:
    """The site's icon, as a data URL."""
    from urllib.parse import quote

    return "data:image/svg+xml," + quote(assets()["mark.svg"][0].decode())
