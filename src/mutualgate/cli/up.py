"""`mutualgate up`: sets up what is missing and runs the gate."""

import asyncio
import logging
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mutualgate.cli.options import DEFAULT_DIR, Dir, Json
from mutualgate.cli.output import emit

if TYPE_CHECKING:
    from mutualgate.app import Services
    from mutualgate.app.runner import Runner
    from mutualgate.app.setup import FirstClient
    from mutualgate.config import Config


def up(
    upstream: Annotated[
        str | None, typer.Option(help="The service to protect: http://host:port or unix:/path. Without it, a demo.")
    ] = None,
    listen: Annotated[list[str] | None, typer.Option(help="Where to listen, ADDRESS:PORT; several times.")] = None,
    host: Annotated[list[str] | None, typer.Option(help="A further host name of the site; several times.")] = None,
    plain_listen: Annotated[
        str | None, typer.Option(help="Where plain HTTP redirects and serves root and CRLs; `none` for nowhere.")
    ] = None,
    ops_listen: Annotated[
        str | None, typer.Option(help="Where metrics and health are served; `none` for nowhere.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Threads that serve; 0 for one on each core.")] = None,
    access_log: Annotated[str | None, typer.Option(help="A file, `-` for stdout, empty for none.")] = None,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Open the gate. In an empty folder it first makes a CA, a server certificate and a client to try it with.

    Flags hold for this run and, the first time, are written to mutualgate.toml.

    Examples:
    mutualgate up
    mutualgate up --upstream http://127.0.0.1:8080 --host gate.example.com --listen 0.0.0.0:8443
    """
    from mutualgate.app import Folder, Services
    from mutualgate.app.setup import machine_hosts, set_up, write_config
    from mutualgate.config import with_overrides

    folder = Folder(dir)
    folder.create()

    def overrides(config: "Config") -> "Config":
        return with_overrides(
            config,
            listen=listen or None,
            plain_listen=_listeners(plain_listen),
            ops_listen=_listeners(ops_listen),
            workers=workers,
            access_log=access_log,
            hosts=host or (),
            upstream=upstream,
        )

    # First runs only: later ones find the file, and flags change what it says for one run.
    write_config(folder, hosts=machine_hosts(host or ()), upstream=upstream, listen=listen or None)
    services = Services(folder, overrides=overrides)
    try:
        first = set_up(services)
        _log_to_stderr()
        asyncio.run(_run(services, first, as_json=json))
    finally:
        services.close()


async def _run(services: "Services", first: "FirstClient | None", *, as_json: bool) -> None:
    from mutualgate import serving
    from mutualgate.app.runner import Runner
    from mutualgate.config import DEMO

    runner = Runner(services)
    async with AsyncExitStack() as stack:
        if DEMO in runner.config.upstreams:
            from mutualgate.demo.service import application as demo

            await stack.enter_async_context(serving.serving(demo(), serving.unix_socket(services.folder.demo)))
        for address in runner.config.gate.ops_listen:
            from mutualgate.ops.running import status_of
            from mutualgate.ops.service import application as ops

            listener = serving.tcp_socket(address.host, address.port)
            await stack.enter_async_context(serving.serving(ops(lambda: status_of(runner)), listener))
        runner.start()

        async def ready() -> None:
            emit(_facts(services, runner, first), _text(services, runner, first), as_json)

        await runner.run(ready)


def _facts(services: "Services", runner: "Runner", first: "FirstClient | None") -> dict[str, Any]:
    facts: dict[str, Any] = {
        "ready": True,
        "url": _url(runner),
        "listening": runner.listening,
        "root": str(services.folder.root),
        "configuration": str(runner.config.file),
    }
    if first is not None:
        facts["first_client"] = {"name": first.name, "p12": str(first.p12), "password": first.password}
        facts["key_passphrase"] = services.keys.passphrase.source
    return facts


def _text(services: "Services", runner: "Runner", first: "FirstClient | None") -> str:
    folder, url = services.folder, _url(runner)
    behind = ", ".join(str(upstream) for upstream in runner.config.upstreams)
    lines = [f"The gate is open: {url}", f"  behind it: {behind}", f"  settings: {runner.config.file}"]
    if first is None:
        lines.append(f"  clients: mutualgate client list --dir {folder.path}")
        return "\n".join(lines)
    page = f"{url}/hello" if behind == "demo" else f"{url}/"
    lines += [
        f"  keys are encrypted with the passphrase from {services.keys.passphrase.source}",
        "",
        f"A first client, {first.name}, can come in. Its password is shown only now: {first.password}",
        "",
        "Try it:",
        f"  curl --cacert {folder.root} --cert-type P12 --cert {first.p12}:{first.password} {page}",
        "In a browser:",
        f"  import {first.p12} as a personal certificate (with that password),",
        f"  trust {folder.root} as an authority for web sites, then open {page}",
        "More clients:",
        f"  mutualgate client add partner-7 --dir {folder.path}",
        f"  mutualgate client p12 partner-7 --out partner-7.p12 --dir {folder.path}",
    ]
    return "\n".join(lines)


def _url(runner: "Runner") -> str:
    site = runner.config.sites[0]
    host = "localhost" if "localhost" in site.hosts else site.hosts[0]
    port = runner.listening[0].rpartition(":")[2]
    return f"https://{host}" + ("" if port == "443" else f":{port}")


def _listeners(given: str | None) -> str | list[str] | None:
    return [] if given in ("none", "") else given


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger("mutualgate")
    root.addHandler(handler)
    root.setLevel(logging.INFO)
