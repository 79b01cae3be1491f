"""The settings as people read them: the reference page, and the commented file that `up` writes on its first run."""

import json
import textwrap
from collections.abc import Sequence

from .settings import (
    AUTHORITY,
    DEFAULT_HOSTS,
    GATE,
    GATE_LIMITS,
    MAIL,
    NOTICES,
    PORTAL,
    PORTAL_PATH,
    ROUTES,
    SITES,
    TIMEOUTS,
    Setting,
    Table,
    tables,
)

WIDTH = 118


def reference() -> str:
    """docs/reference/settings.md."""
    lines = [
        "# Settings",
        "",
        "<!-- Generated from the table of settings (src/mutualgate/config/settings.py); a test compares the two. -->",
        "",
        "`mutualgate.toml` lies in the folder (`--dir`). It is [TOML](https://toml.io), and all in it is optional:",
        "where it says nothing, the default holds; without the file, one site `main` for `localhost`, `127.0.0.1` and",
        "`::1` serves the demo, and under `/join` the portal. It is read again when it changes and on SIGHUP. A file",
        "with an error changes nothing: `mutualgate check` says what is wrong and where. A key that does not exist is",
        "an error, and so are settings that contradict each other.",
        "",
        "| kind of value | how it is written |",
        "| --- | --- |",
        '| duration | a number and one of `ms`, `s`, `m`, `h`, `d`, in quotes: `"30s"` |',
        '| size | a number and one of `B`, `KiB`, `MiB`, `GiB`, `TiB`, in quotes: `"8 KiB"`; or a number of bytes |',
        '| rate | a number and `/s`, `/m` or `/h`, perhaps with what may come at once: `"50/s"`, `"50/s burst 200"`; '
        "without `burst`: what comes in a second, at least 1 |",
        '| address | IP address and port: `"127.0.0.1:8443"`, `"[::1]:8443"`; `localhost` is `127.0.0.1` |',
        "| host | a DNS name or an IP address, without port; other letters than ASCII become A-labels; no wildcards |",
        '| server | `"http://host:port"`, `"https://host:port"` or `"unix:/path/of/a/socket"`; for what is no HTTP '
        '`"tcp://host:port"`, `"tls://host:port"`, `"postgresql://host:port"`, `"tcp+unix:/path"` or '
        '`"postgresql+unix:/path"` |',
        '| upstream | as a server; or the name of one of `[[upstreams]]`, `"demo"` or `"portal"` |',
        "| path | whole segments of letters, digits and `- . _ ~`, no `/` at the end: they have one spelling only |",
        "| file | a name, relative to the folder of `mutualgate.toml` |",
        "",
    ]
    for table in tables():
        lines += _section(table)
    lines += [
        "## Contradictions",
        "",
        "These are errors, wherever they stand in the file:",
        "",
        "- two listeners on one address and port, or one on all addresses beside another on the same port;",
        "- two sites of one name, a host in two sites, a path twice in a site, an item twice in an array;",
        "- an IP address as a host of another site than the first;",
        "- `certificate` without `key`, or `key` without `certificate`;",
        '- `roles` or `clients` where `client_certificate` is not `"required"`: they would keep nobody out;',
        "- `client_certificate`, `roles`, `clients`, `request_headers` or another path at a route to the portal;",
        "- neither `upstream` nor `redirect` at a route, or both; what belongs to a redirect without one;",
        "- `strip_prefix` that is not `path` or a path above it, or beside `replace_prefix`;",
        "- header rules for a name that only the gate writes;",
        '- `on_refusal = "alert"` at a site with a route that does not require a certificate, as those to the portal;',
        "- two upstreams of one name, or one named `demo` or `portal`; a route to a name that none has;",
        "- a server with `https://` or `tls://` where `ca_file` of `[upstreams.tls]` does not say whom to trust;",
        "- an item of `drain` that is none of `servers`;",
        "- servers of one upstream that do not all speak HTTP, or all the same other thing; `h2` or a check by `http`",
        "  where that is no HTTP;",
        '- `send_proxy` with `protocol = "h2"`: another client goes on with such a connection;',
        '- `ca_hints = "auto"` at a site with the portal, which has to see certificates that are not known yet;',
        "- an upstream that is a listener of the gate itself;",
        "- `tcp://`, `tls://` or `postgresql://` beside another route of the site, with another path than `/`, with",
        '  `on_refusal = "page"`, without a required certificate, or with anything that changes headers or paths;',
        "- `server` of `[mail]` without `sender`, `username` without `password_file` or the other way round, a",
        "  password in the clear to another machine;",
        "- `to` of `[notices]` without a mail server, `webhook` without `secret_file` or the other way round.",
        "",
        "A route may ask for less than its site, but only by saying so in its own `client_certificate`.",
        "",
        "## The file that `mutualgate up` writes",
        "",
        "```toml",
        default_file().rstrip("\n"),
        "```",
        "",
    ]
    return "\n".join(lines)


def default_file(
    hosts: Sequence[str] = DEFAULT_HOSTS, upstream: str = "demo", listen: str | Sequence[str] = "127.0.0.1:8443"
) -> str:
    """A commented mutualgate.toml with one site. Settings that have a default stand in it as comments."""
    listens = [listen] if isinstance(listen, str) else list(listen)
    parts = [
        _comment("Settings of mutualgate. What is commented out shows the default. Check changes with "
                 "`mutualgate check`; a running gate takes them when the file is saved, and keeps the old ones if "
                 "there is an error."),
        _block(GATE, {"listen": _toml(listens)}),
        _block(TIMEOUTS, {}),
        _block(GATE_LIMITS, {}),
        _block(AUTHORITY, {}),
        _block(PORTAL, {}),
        _block(MAIL, {}),
        _block(NOTICES, {}),
        _block(SITES, {"name": _toml("main"), "hosts": _toml(list(hosts))}),
        _block(ROUTES, {"path": _toml("/"), "upstream": _toml(upstream)}),
        _comment("The pages on which clients come in. Without this route there are none.")
        + f'[[{ROUTES.path}]]\npath = {_toml(PORTAL_PATH)}\nupstream = "portal"\n',
    ]  # fmt: skip
    return "\n".join(parts)


def _section(table: Table) -> list[str]:
    lines = [
        f"## `{table.heading}`",
        "",
        table.help,
        "",
        "| setting | kind | default | meaning | example |",
        "| --- | --- | --- | --- | --- |",
    ]
    for setting in table.settings:
        default = f"`{setting.default}`" if setting.default is not None else setting.otherwise or "must be given"
        cells = [
            f"`{setting.key}`",
            setting.kind.name,
            default,
            f"{setting.help} Takes {setting.kind.expected}.",
            f"`{setting.example}`",
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return [*lines, ""]


def _block(table: Table, given: dict[str, str]) -> str:
    """A table of the file: its heading, and each setting under its help, commented out unless it is given."""
    lines = [_comment(table.help).rstrip("\n"), table.heading]
    for setting in table.settings:
        lines += ["", _comment(setting.help).rstrip("\n"), _line(setting, given.get(setting.key))]
    return "\n".join(lines) + "\n"


def _line(setting: Setting, given: str | None) -> str:
    if given is not None:
        return f"{setting.key} = {given}"
    if setting.default is not None:
        return f"# {setting.key} = {setting.default}"
    return f"# {setting.key} = {setting.example}    # an example; without it: {setting.otherwise}"


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in textwrap.wrap(text, WIDTH - 2))


def _toml(value: str | list[str]) -> str:
    # A basic string of TOML escapes as JSON does, but for DEL, which JSON leaves bare.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
