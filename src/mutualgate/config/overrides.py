"""What flags of the command line change in a configuration, held to the same rules as the file."""

from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from mutualgate.errors import BadInput

from .kinds import Kind, Unfit
from .messages import FieldRules
from .network import PORTAL, Address, Host, Listener, Service
from .reader import key_of
from .rules import Finding, conflicts
from .settings import GATE
from .shape import Config

FLAGS = {"listen": "--listen", "plain_listen": "--plain-listen", "ops_listen": "--ops-listen", "workers": "--workers",
         "access_log": "--access-log", "key_log": "--key-log", "hosts": "--host", "upstream": "--upstream"}  # fmt: skip


def with_overrides(
    config: Config,
    *,
    listen: str | Iterable[str] | None = None,
    plain_listen: str | Iterable[str] | None = None,
    ops_listen: str | Iterable[str] | None = None,
    workers: int | None = None,
    access_log: str | None = None,
    key_log: str | None = None,
    hosts: Iterable[str] = (),
    upstream: str | None = None,
) -> Config:
    """`config` with what flags say; None leaves a setting as it is.

    Listeners replace those of the file (an empty sequence: none), `hosts` are added to the first site, `upstream` takes
    the place of that of the only route beside the portal's. File names are relative to where the command was given.

    Raises `BadInput`, which names the flag.
    """
    changes: dict[str, Any] = {}
    for key, given in (("listen", listen), ("plain_listen", plain_listen), ("ops_listen", ops_listen)):
        if given is not None:
            texts = [given] if isinstance(given, str) else list(given)
            changes[key] = tuple(dict.fromkeys(_read(Listener(), text, key) for text in texts))
    kinds = {setting.key: setting.kind for setting in GATE.settings}
    for key, value in (("workers", workers), ("access_log", access_log), ("key_log", key_log)):
        if value is not None:
            changes[key] = _read(kinds[key], value, key)
    if changes.get("listen") == ():
        raise BadInput("there is none", where="--listen", expected="at least one address")
    hosts = list(hosts)
    if not changes and not hosts and upstream is None:
        return config
    config = replace(config, gate=replace(config.gate, **changes))
    config = _with_hosts(config, [_read(Host(), host, "hosts") for host in hosts])
    if upstream is not None:
        config = _with_upstream(config, upstream)
    for finding in conflicts(_draft(config)):
        changed = {*changes, *(("hosts",) if hosts else ()), *(("upstream",) if upstream else ())}
        raise BadInput(finding.problem, where=_where(finding, changed), fix=finding.fix)
    return config


def _read(kind: Kind[Any], value: object, key: str) -> Any:
    try:
        return kind.read(value, Path.cwd())
    except Unfit as unfit:
        raise BadInput(unfit.problem, where=FLAGS[key], expected=kind.expected, fix=unfit.fix) from None


def _with_hosts(config: Config, hosts: list[str]) -> Config:
    first, *others = config.sites
    return replace(config, sites=(replace(first, hosts=tuple(dict.fromkeys((*first.hosts, *hosts)))), *others))


def _with_upstream(config: Config, text: str) -> Config:
    upstream = _read(Service(), text, "upstream")
    routes = [route for site in config.sites for route in site.routes if route.upstream not in (PORTAL, None)]
    if len(routes) != 1:
        raise BadInput(f"there are {len(routes) or 'no'} routes in {config.file}, and it does not say which one",
                       where="--upstream", fix="Change the upstream there")  # fmt: skip
    sites = (
        replace(
            site,
            routes=tuple(replace(route, upstream=upstream) if route is routes[0] else route for route in site.routes),
        )
        for site in config.sites
    )
    return replace(config, sites=tuple(sites))


def _where(finding: Finding, changed: set[str]) -> str:
    """The flag that is to blame, if one is; else the setting."""
    key = next((part for part in reversed(finding.place) if isinstance(part, str)), "")
    flag = FLAGS.get(key) if key in changed else None
    if flag is None and len(changed) == 1:
        flag = FLAGS[next(iter(changed))]
    return flag or key_of(finding.place)


def _draft(value: Any) -> Any:
    """A configuration as `rules` reads it."""
    if isinstance(value, Address | FieldRules) or not is_dataclass(value):
        return tuple(_draft(item) for item in value) if isinstance(value, tuple) else value
    if not hasattr(value, "__dict__") or type(value).__name__ == "Upstream":
        return value
    return {item.name: _draft(getattr(value, item.name)) for item in fields(value)}
