"""`mutualgate up`: sets up what is missing and runs the gate."""

import logging
import os
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mutualgate.cli import opened
from mutualgate.cli.options import DEFAULT_DIR, Dir, Json
from mutualgate.cli.output import emit, has_reader
from mutualgate.errors import MutualgateError, Unavailable

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

    from mutualgate.app import Services
    from mutualgate.app.given import Given
    from mutualgate.app.handover import Predecessor
    from mutualgate.app.runner import Runner
    from mutualgate.config import Config, Upstream

log = logging.getLogger("mutualgate")

_CANNOT_LISTEN = "cannot listen on "
"""How the data plane begins what it says of an address (`rust/gate/src/listener.rs`)."""
_ANOTHER = "Stop what listens there, or choose another address: {flag}, or `{setting}` in mutualgate.toml."


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
    key_log: Annotated[
        str | None, typer.Option(help="A file for the secrets of all connections, to read recorded traffic.")
    ] = None,
    standby: Annotated[
        bool, typer.Option(help="Keep a process beside the gate that has commands at hand: `mutualgate standby`.")
    ] = True,
    dir: Dir = DEFAULT_DIR,
    json: Json = False,
) -> None:
    """Open the gate. In an empty folder it first makes a CA, a server certificate and a client to try it with.

    Flags hold for this run; --upstream, --listen and --host are written to mutualgate.toml when there is none yet.
    With --json the first line on standard output is one JSON object, once the gate is open; access lines follow it.
    SIGHUP: read mutualgate.toml again and open the access log anew. SIGTERM, Ctrl-C: finish what is under way, end.
    SIGUSR2, or `mutualgate restart`: start again without turning anybody away.

    Examples:
    mutualgate up
    mutualgate up --upstream http://127.0.0.1:8080 --host gate.example.com --listen 0.0.0.0:8443
    """
    import asyncio

    from mutualgate.app import Folder, Services
    from mutualgate.app.claim import claimed
    from mutualgate.app.given import from_systemd
    from mutualgate.app.handover import Predecessor
    from mutualgate.app.setup import machine_hosts, set_up, write_config
    from mutualgate.cli.logs import log_to_stderr
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
            key_log=key_log,
            hosts=host or (),
            upstream=upstream,
        )

    log_to_stderr()
    _keep_name()
    predecessor = Predecessor.of(os.environ)
    services = Services(folder, overrides=overrides)
    try:
        given = predecessor.given if predecessor else from_systemd(os.environ)
        held = predecessor.claim if predecessor else None
        with claimed(folder, held) as claim:
            services.has_claim = True
            if predecessor is None:
                folder.forget_sockets()
                folder.forget_drafts()
                # First runs only: later ones find the file, and flags change what it says for one run.
                write_config(folder, hosts=machine_hosts(host or ()), upstream=upstream, listen=listen or None)
            set_up(services)

            with folder.sockets() as sockets:
                asyncio.run(_run(services, sockets, given, claim, predecessor, standby=standby, as_json=json))
    except BaseException as error:
        if predecessor is not None:
            known = isinstance(error, MutualgateError)
            predecessor.failed(str(error) if known else f"{type(error).__name__}: {error}")
        raise
    finally:
        services.close()


def _keep_name() -> None:
    """By which `ps` and `pkill` know it: after a restart it would be the interpreter's."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text("mutualgate")


async def _run(
    services: "Services",
    sockets: Path,
    given: "list[Given]",
    claim: int,
    predecessor: "Predecessor | None",
    *,
    standby: bool,
    as_json: bool,
) -> None:
    import asyncio

    from mutualgate import serving
    from mutualgate.app.given import OPS
    from mutualgate.app.runner import Runner
    from mutualgate.app.settings import BUILT_IN
    from mutualgate.app.setup import first_client
    from mutualgate.cli.beside import kept

    runner = Runner(services, sockets, given=given, claim=claim, predecessor=predecessor)
    if predecessor is not None:
        await predecessor.prepared()
    async with AsyncExitStack() as stack:
        for own, make in _built_in(services).items():
            # One that no route leads to may get a route while the gate runs: then it is made.
            made = make() if own in runner.config.destinations else serving.later(make)
            await stack.enter_async_context(serving.serving(made, serving.unix_socket(sockets / BUILT_IN[own])))
        for address, listener in _ops_sockets(runner):
            from mutualgate.ops.running import status_of
            from mutualgate.ops.service import application as ops

            watched = ops(lambda: status_of(runner), keys=runner.token_keys)
            runner.succession.hold(OPS, address, listener.dup())
            close = await stack.enter_async_context(serving.serving(watched, listener))
            runner.succession.when_done(close)  # from then on the other process knows how the gate is
        try:
            runner.start()
        except Unavailable as error:
            if error.problem.startswith(_CANNOT_LISTEN):
                error.fix = _ANOTHER.format(flag="--listen, --plain-listen", setting="[gate] listen")
            raise

        async def ready() -> None:
            if standby:
                await stack.enter_async_context(kept(services.folder.path))
            if predecessor is not None:
                log.info("took over from process %d", predecessor.pid)
                return  # what was said at the start has been said
            url = opened.url_of(runner)
            # Its password is shown only now: where nobody reads, it is made at another start.
            first = await asyncio.to_thread(first_client, services) if has_reader() else None
            lost = ""
            if first is not None:
                await runner.sync()
                another = f"mutualgate client p12 {first.name} --out FILE"
                lost = f"{first.p12} is written, and nobody has seen its password. Another: {another}"
            if as_json:
                emit(opened.facts(services, runner, url, first), "", as_json, one_line=True, lost=lost)
            else:
                emit({}, opened.text(services, runner, url, first), as_json, lost=lost)

        await runner.run(ready)


def _built_in(services: "Services") -> "dict[Upstream, Callable[[], ASGIApp]]":
    """The gate's own services."""
    from mutualgate.config import DEMO, PORTAL

    def demo() -> "ASGIApp":
        from mutualgate.demo.service import application

        return application()

    def portal() -> "ASGIApp":
        from mutualgate.portal.application import application

        return application(services)

    return {DEMO: demo, PORTAL: portal}


def _ops_sockets(runner: "Runner") -> "Iterator[tuple[str, socket.socket]]":
    """Those of the ops listeners, and the addresses that they stand for."""
    given = {one.wanted: one.listener for one in runner.ops.open}
    for text in runner.ops.addresses:
        if text in given:
            yield text, given[text]
        else:
            host, _, port = text.rpartition(":")
            yield text, _ops_socket(host.strip("[]"), int(port))


def _ops_socket(host: str, port: int) -> "socket.socket":
    from mutualgate.serving import tcp_socket

    try:
        return tcp_socket(host, port)
    except Unavailable as error:
        fix = _ANOTHER.format(flag="--ops-listen", setting="[gate] ops_listen")
        raise Unavailable(error.problem, where=error.where, fix=fix) from error


def _listeners(given: str | None) -> str | list[str] | None:
    return [] if given in ("none", "") else given
