"""`mutualgate systemd-unit`: the units by which systemd runs the gate."""

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from mutualgate.cli.options import Json
from mutualgate.cli.output import emit
from mutualgate.errors import BadInput

_SERVICE = """\
# /etc/systemd/system/mutualgate.service
[Unit]
Description=mutualgate, a gate that asks for certificates
Documentation=man:systemd.service(5)
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
# Two processes for a moment, when one succeeds the other; only the main one speaks to systemd.
NotifyAccess=main
User={user}
Group={user}
# Within this sandbox no commands can be run for others: mutualgate-standby.service does that.
ExecStart={program} up --no-standby --dir {folder}
ExecReload=/bin/kill -HUP $MAINPID
# `mutualgate restart` starts a new process without turning anybody away; `systemctl restart` does not.
KillMode=mixed
Restart=on-failure
WatchdogSec=60s
TimeoutStartSec=5min
# As long as gate.timeouts.drain, and a little more.
TimeoutStopSec=30s
# A passphrase that systemd keeps: see the documents.
#LoadCredentialEncrypted=mutualgate-passphrase:/etc/mutualgate/passphrase.cred

# Two descriptors for each connection.
LimitNOFILE=262144
{writable}
UMask=0077

{capabilities}
NoNewPrivileges=yes
SecureBits=noroot-locked
ProtectSystem=strict
ProtectHome={home}
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectProc=invisible
ProcSubset=pid
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
{also}"""

_SOCKET = """
# /etc/systemd/system/mutualgate.socket
[Unit]
Description=The sockets of mutualgate

[Socket]
# In place of gate.listen. Sockets without this name stand for the addresses of the settings that they listen at.
FileDescriptorName=tls
Service=mutualgate.service
{streams}Backlog=4096
NoDelay=yes

[Install]
WantedBy=sockets.target
"""

_STANDBY = """\
# /etc/systemd/system/mutualgate-standby.service
[Unit]
Description=Commands of mutualgate at hand
Documentation=man:systemd.service(5)
PartOf=mutualgate.service
After=mutualgate.service

[Service]
User={user}
Group={user}
ExecStart={program} standby --dir {folder}
Restart=on-failure
UMask=0077
# No sandbox: a command sees what whoever calls it sees. Nobody but this user can call one, and with the same rights.

[Install]
WantedBy=mutualgate.service
"""

_LOW_PORTS = """\
# Ports below 1024, and nothing else that root could do.
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE"""
_NO_PORTS = """\
# systemd opens the ports: nothing of what root could do is left.
CapabilityBoundingSet="""

_PLAIN = "[A-Za-z0-9_][A-Za-z0-9_.-]*"
_LONGEST_USER = 31
"""So many a login has room for (utmp(5), UT_NAMESIZE), and systemd asks for no more than that fits."""


def systemd_unit(
    dir: Annotated[Path, typer.Option(help="The folder that the service runs on.")] = Path("/var/lib/mutualgate"),
    user: Annotated[str, typer.Option(help="The user that it runs as.")] = "mutualgate",
    socket: Annotated[
        list[str] | None,
        typer.Option(help="Let systemd listen there, as ListenStream= says it (443, 192.0.2.7:8443); several times."),
    ] = None,
    standby: Annotated[bool, typer.Option("--standby", help="The unit of `mutualgate standby` in its place.")] = False,
    json: Json = False,
) -> None:
    """Print a systemd unit that runs the gate as a user without rights; with --socket, a socket unit after it.

    Examples:
    mutualgate systemd-unit > /etc/systemd/system/mutualgate.service
    mutualgate systemd-unit --standby > /etc/systemd/system/mutualgate-standby.service
    mutualgate systemd-unit --dir /srv/gate --user gate --socket 443
    """
    if standby and socket:
        raise BadInput("only the gate listens", where="--standby --socket", expected="one of the two")
    folder = Path(os.path.abspath(dir))  # systemd takes no path with `..` in it
    text = standby_unit(folder, user) if standby else units(folder, user, socket or [])
    emit({"unit": text}, text.rstrip("\n"), json)


def units(folder: Path, user: str, sockets: list[str]) -> str:
    """The text of the unit, and of the socket unit if systemd is to listen. Raises `BadInput` for what none can say."""
    state = folder.parent == Path("/var/lib") and re.fullmatch(_PLAIN, folder.name) is not None
    service = _SERVICE.format(
        user=_user(user),
        program=_program(),
        folder=_argument(folder),
        writable=f"StateDirectory={folder.name}\nStateDirectoryMode=0700"
        if state
        else f"ReadWritePaths={_word(folder)}",
        capabilities=_NO_PORTS if sockets else _LOW_PORTS,
        home="yes" if state else "read-only",
        also="Also=mutualgate.socket\n" if sockets else "",
    )
    if not sockets:
        return service
    return service + _SOCKET.format(streams="".join(f"ListenStream={_stream(stream)}\n" for stream in sockets))


def standby_unit(folder: Path, user: str) -> str:
    """The text of the unit that has commands at hand. Raises `BadInput` for what none can say."""
    return _STANDBY.format(user=_user(user), program=_program(), folder=_argument(folder))


def _program() -> str:
    return _word(Path(shutil.which(sys.argv[0]) or "/usr/local/bin/mutualgate").absolute())


def _user(name: str) -> str:
    """Of the portable filename character set, as POSIX has it; the number of a user is, too, and systemd takes it."""
    if re.fullmatch(_PLAIN, name) is None or len(name) > _LONGEST_USER:
        raise BadInput(
            f"{name[:64]!r} is no name of a user",
            where="--user",
            expected=f"letters, digits, dots, hyphens and underscores, at most {_LONGEST_USER}, no hyphen or dot first",
        )
    return name


def _stream(text: str) -> str:
    """Where systemd is to listen, in which a percent sign begins a specifier."""
    import ipaddress

    host, _, port = text.rpartition(":")
    try:
        if host and host.startswith("[") and host.endswith("]"):
            ipaddress.IPv6Address(host[1:-1])
        elif host:
            ipaddress.IPv4Address(host)
        fits = re.fullmatch("[0-9]{1,5}", port) is not None and 1 <= int(port) <= 65535 and text.isprintable()
    except ValueError:
        fits = False
    if not fits or " " in text:
        raise BadInput(
            f"{text[:64]!r} is nothing to listen at",
            where="--socket",
            expected="PORT or ADDRESS:PORT: 443, 192.0.2.7:8443, [2001:db8::7]:8443",
        )
    return text.replace("%", "%%")


def _argument(path: Path) -> str:
    """As one word of a command line in a unit file, in which a dollar sign begins a variable, too."""
    return _word(path).replace("$", "$$")


def _word(path: Path) -> str:
    """As one word of a unit file (systemd.syntax(7)), in which a percent sign begins a specifier."""
    text = str(path)
    if not text.isprintable():
        raise BadInput(
            f"{text[:200]!r} has a character that no unit can say",
            where="--dir",
            expected="a path of characters that can be printed",
        )
    text = text.replace("%", "%%")
    if re.fullmatch(r"[\w%./:@+,=~$-]+", text):
        return text
    escaped = text.replace("\\", r"\\").replace('"', r"\"")
    return f'"{escaped}"'
