"""Where everything of one installation lies. Knows names and permissions, not what is in the files."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mutualgate.clock import system_clock
from mutualgate.errors import BadInput, Corrupt

_SOCKET_PATH_BYTES = 107  # sockaddr_un.sun_path on Linux, without the terminating NUL
_NAME_BYTES = 16  # of a socket in the folder, with the slash before it


@dataclass(frozen=True)
class Folder:
    """One installation: what `--dir` names."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "mutualgate.toml"

    @property
    def store(self) -> Path:
        return self.path / "store.sqlite3"

    @property
    def root(self) -> Path:
        """The root certificate, PEM: what clients trust."""
        return self.path / "root.pem"

    @property
    def keys(self) -> Path:
        return self.path / "keys"

    @property
    def clients(self) -> Path:
        """Key files that `up` made for its first client."""
        return self.path / "clients"

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def control(self) -> Path:
        return self.run / "control.sock"

    @property
    def lock(self) -> Path:
        """Held by the process that runs the gate."""
        return self.run / "lock"

    @contextmanager
    def sockets(self) -> Iterator[Path]:
        """The absolute path of a folder for the sockets of this process's own services while the block runs, short
        enough for everybody to open them. Two processes may run for a moment, when one succeeds the other."""
        path = self.run.absolute() / str(os.getpid())
        if len(os.fsencode(path)) + _NAME_BYTES <= _SOCKET_PATH_BYTES:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        else:
            path = Path(tempfile.mkdtemp(prefix="mutualgate-"))  # closed to others, as `run` is
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def forget_sockets(self) -> None:
        """Takes away what processes that were killed have left, where no other process runs."""
        for left in self.run.iterdir():
            if left.name.isdigit():
                shutil.rmtree(left, ignore_errors=True)

    def forget_drafts(self) -> None:
        """Takes away what was half written when a process was killed."""
        from mutualgate.authorities.private_files import forget_drafts

        for folder in (self.path, self.keys, self.clients):
            forget_drafts(folder, system_clock().timestamp())

    def exists(self) -> bool:
        """Whether an installation was set up here. Raises `BadInput` where nobody can tell."""
        try:
            return self.store.exists()
        except OSError as error:
            raise BadInput(
                f"cannot be looked into: {error.strerror}", where=str(self.path), expected="a folder of this user"
            ) from error

    def create(self) -> None:
        """Makes the folders, closed to other users.

        Raises `BadInput` where that is not possible.
        """
        for folder in (self.path, self.keys, self.clients, self.run):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise BadInput(
                    f"cannot be created: {error.strerror}",
                    where=str(folder),
                    expected="a folder that this user may write to",
                ) from error

    def require(self) -> None:
        """Raises `BadInput` unless an installation was set up here."""
        if not self.exists():
            raise BadInput(
                "there is no mutualgate installation",
                where=str(self.path),
                expected="the folder of one (--dir or MUTUALGATE_DIR)",
                fix="`mutualgate up` or `mutualgate ca adopt` sets one up.",
            )

    def refuse_empty_store(self) -> None:
        """Raises `Corrupt` for a store without a byte beside what only comes after it: a copy that was cut short.

        A first start that was killed may leave such a file too, alone, and the next one goes on with it.
        """
        with suppress(OSError):  # whoever opens it says what is wrong
            if self.store.stat().st_size == 0 and (self.root.exists() or any(self.keys.iterdir())):
                raise Corrupt(
                    "the store is empty, and something was set up here",
                    where=str(self.store),
                    fix="Put back a copy of the store. Or remove the file: the next start then makes a new root, which "
                    "nobody trusts yet.",
                )

    def control_address(self) -> "SocketAddress":
        """The control socket's address, however long the folder's path is."""
        return SocketAddress(self.control)


class SocketAddress:
    """A unix socket's path that fits the kernel's limit: a long one is reached through a descriptor of its folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) <= _SOCKET_PATH_BYTES:
            return str(self._path)
        self._descriptor = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._descriptor}/{self._path.name}"

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
