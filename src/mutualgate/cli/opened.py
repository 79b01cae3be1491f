"""What `mutualgate up` says once the gate is open: what to try next, in words and as facts."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mutualgate.cli.output import plain

if TYPE_CHECKING:
    from mutualgate.app import Services
    from mutualgate.app.runner import Runner
    from mutualgate.app.setup import FirstClient


def url_of(runner: "Runner") -> str:
    """The address of the first site, as clients name it."""
    hosts = runner.config.sites[0].hosts
    host = "localhost" if "localhost" in hosts else hosts[0]
    port = runner.listening[0].rpartition(":")[2]
    return f"https://{f'[{host}]' if ':' in host else host}" + ("" if port == "443" else f":{port}")


def facts(services: "Services", runner: "Runner", url: str, first: "FirstClient | None") -> dict[str, Any]:
    """For programs. Only a first start has a first client, and only it shows a password."""
    found: dict[str, Any] = {
        "ready": True,
        "url": url,
        "listening": runner.listening,
        "root": str(services.folder.root),
        "configuration": str(runner.config.file),
    }
    if first is not None:
        found["first_client"] = {"name": first.name, "p12": str(first.p12), "password": first.password}
        found["key_passphrase"] = services.keys.passphrase.source
        found["curl"] = _curl(_root(services, runner), first, _page(runner, url))
    return found


def text(services: "Services", runner: "Runner", url: str, first: "FirstClient | None") -> str:
    """For people."""
    from mutualgate.config import PORTAL

    folder = services.folder
    behind = ", ".join(str(upstream) for upstream in runner.config.destinations)
    lines = [f"The gate is open: {url}", f"  behind it: {behind}", f"  settings: {plain(runner.config.file)}"]
    where = f" --dir {shlex.quote(str(folder.path))}"
    if first is None:
        lines.append(f"  clients: mutualgate client list{where}")
        return "\n".join(lines)
    page, root = _page(runner, url), _root(services, runner)
    trust = "" if root is None else f"trust {plain(root)} as an authority for web sites, "
    lines += [
        f"  keys are encrypted with the passphrase from {plain(services.keys.passphrase.source)}",
        "",
        f"A first client, {first.name}, can come in. Its password is shown only now: {first.password}",
        "",
        "Try it:",
        f"  {_curl(root, first, page)}",
        "In a browser:",
        f"  import {plain(first.p12)} as a personal certificate (with that password),",
        f"  {trust}then open {page}",
    ]
    if PORTAL in runner.config.destinations:
        lines += ["More clients, each by a link that works once:", f"  mutualgate invite partner-7{where}"]
    else:
        lines += [
            "More clients:",
            f"  mutualgate client add partner-7{where}",
            f"  mutualgate client p12 partner-7 --out partner-7.p12{where}",
        ]
    return "\n".join(lines)


def _page(runner: "Runner", url: str) -> str:
    from mutualgate.config import DEMO

    return f"{url}/hello" if DEMO in runner.config.destinations else f"{url}/"


def _root(services: "Services", runner: "Runner") -> Path | None:
    """What has to be trusted; nothing of ours where the site has a certificate of its own."""
    return services.folder.root if runner.config.sites[0].certificate is None else None


def _curl(root: Path | None, first: "FirstClient", page: str) -> str:
    """A command for a shell. curl takes what follows a colon for the password, unless a backslash is before it."""
    file = str(first.p12).replace("\\", "\\\\").replace(":", "\\:")
    trust = [] if root is None else ["--cacert", str(root)]
    return shlex.join(["curl", *trust, "--cert-type", "P12", "--cert", f"{file}:{first.password}", page])
