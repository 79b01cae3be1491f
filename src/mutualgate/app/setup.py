"""What `up` makes in an empty folder: the authorities, the configuration, and a first client to try it with."""

import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mutualgate.app.folder import Folder
from mutualgate.app.services import Services
from mutualgate.authorities.private_files import create_private_file, replace_file
from mutualgate.config import DEMO, Address, default_file, parse

if TYPE_CHECKING:
    from mutualgate.authorities.overview import Hierarchy

FIRST_CLIENT = "first-client"
GATE_ADDRESS = Address("127.0.0.1", 8443)

# A machine may be called what no certificate can name (RFC 9525 6.3): it is left out then.
_HOST_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*")


@dataclass(frozen=True)
class FirstClient:
    """A client to try the gate with. The password is nowhere else."""

    name: str
    p12: Path
    password: str = field(repr=False)


def set_up(services: Services) -> None:
    """Makes what is missing before a gate can open.

    Steps that an earlier, interrupted call has done are left as they are. Raises `BadInput` where files cannot be made.
    """
    hierarchy = services.authorities.hierarchy()
    if hierarchy is None:
        hierarchy = services.authorities.create(services.config.authority.organisation)
    write_root(services, hierarchy)


def first_client(services: Services) -> FirstClient | None:
    """Makes a client to try the gate with, where there never was one.

    Once the gate is open, because the password is told then or never. Raises `BadInput` where its file cannot be made.
    """
    with services.store.reading() as tx:
        if any(tx.clients.counts().values()):
            return None
    client = services.clients.add(FIRST_CLIENT)
    made = services.enrolment.make_p12(str(client.name))
    path = services.folder.clients / f"{FIRST_CLIENT}.p12"
    path.unlink(missing_ok=True)
    create_private_file(path, made.data)
    return FirstClient(str(client.name), path, made.password)


def write_root(services: Services, hierarchy: "Hierarchy") -> None:
    """Keeps root.pem as it has to be: what people trust the gate's certificate by. Raises `BadInput`."""
    root, kept = services.folder.root, None
    with suppress(OSError):
        kept = root.read_bytes()
    if kept != hierarchy.root_pem:
        replace_file(root, hierarchy.root_pem, 0o644)


def write_config(folder: Folder, *, hosts: Sequence[str], upstream: str | None, listen: Sequence[str] | None) -> None:
    """Writes a commented mutualgate.toml, unless there is one. Raises `BadInput` for what cannot stand in it."""
    if folder.config.exists():
        return
    text = default_file(hosts, upstream or str(DEMO), listen or str(GATE_ADDRESS))
    parse(text, folder.config)
    create_private_file(folder.config, text.encode())


def machine_hosts(more: Sequence[str]) -> list[str]:
    """What the first site answers to: this machine under each of its names, and `more`."""
    name = socket.gethostname().lower()
    own = [name] if _HOST_NAME.fullmatch(name) else []
    return list(dict.fromkeys([*more, "localhost", "127.0.0.1", "::1", *own]))
