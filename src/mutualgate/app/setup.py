"""What `up` makes in an empty folder: the authorities, the configuration, and a first client to try it with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mutualgate.app.folder import Folder
from mutualgate.app.services import Services
from mutualgate.authorities.private_files import create_private_file
from mutualgate.config import default_file

FIRST_CLIENT = "first-client"


@dataclass(frozen=True)
class FirstClient:
    """A client to try the gate with. The password is nowhere else."""

    name: str
    p12: Path
    password: str = field(repr=False)


def set_up(services: Services) -> FirstClient | None:
    """Makes what is missing; the first client only together with the authorities.

    Steps that an earlier, interrupted call has done are left as they are. Raises `BadInput` where files cannot be made.
    """
    hierarchy = services.authorities.hierarchy()
    fresh = hierarchy is None
    if hierarchy is None:
        hierarchy = services.authorities.create(services.config.authority.organisation)
    root = services.folder.root
    if not root.exists() or root.read_bytes() != hierarchy.root_pem:
        root.write_bytes(hierarchy.root_pem)
    return _first_client(services) if fresh else None


def write_config(folder: Folder, *, hosts: Sequence[str], upstream: str | None, listen: str | None) -> None:
    """Writes a commented mutualgate.toml, unless there is one."""
    if folder.config.exists():
        return
    given = {} if upstream is None else {"upstream": upstream}
    more = {} if listen is None else {"listen": listen}
    create_private_file(folder.config, default_file(hosts, **given, **more).encode())


def _first_client(services: Services) -> FirstClient:
    client = services.clients.add(FIRST_CLIENT)
    made = services.enrolment.make_p12(str(client.name))
    path = services.folder.clients / f"{FIRST_CLIENT}.p12"
    path.unlink(missing_ok=True)
    create_private_file(path, made.data)
    return FirstClient(str(client.name), path, made.password)
