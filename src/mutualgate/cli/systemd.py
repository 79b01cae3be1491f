"""`mutualgate systemd-unit`: the units by which systemd runs the gate."""

import shlex
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
    text = standby_unit(dir.absolute(), user) if standby else units(dir.absolute(), user, socket or [])
    emit({"unit": text}, text.rstrip("\n"), json)


def units(folder: Path, user: str, sockets: list[str]) -> str:
    """The text of the unit, and of the socket unit if systemd is to listen."""
    state = folder.parent == Path("/var/lib")
    service = _SERVICE.format(
        user=user,
        program=_program(),
        folder=_word(folder),
        writable=f"StateDirectory={folder.name}\nStateDirectoryMode=0700"
        if state
        else f"ReadWritePaths={_word(folder)}",
        capabilities=_NO_PORTS if sockets else _LOW_PORTS,
        home="yes" if state else "read-only",
        also="Also=mutualgate.socket\n" if sockets else "",
    )
    if not sockets:
        return service
    return service + _SOCKET.format(streams="".join(f"ListenStream={stream}\n" for stream in sockets))


def standby_unit(folder: Path, user: str) -> str:
    """The text of the unit that has commands at hand."""
    return _STANDBY.format(user=user, program=_program(), folder=_word(folder))


def _program() -> str:
    return _word(Path(shutil.which(sys.argv[0]) or "/usr/local/bin/mutualgate").absolute())


def _word(path: Path) -> str:
    """As one word of a unit file, in which a percent sign begins a specifier."""
    return shlex.quote(str(path)).replace("%", "%%")
