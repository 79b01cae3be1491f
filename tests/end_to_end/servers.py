"""Small servers behind the gate, of a test's own: each connection in a thread, and all of it ends with the test."""

import contextlib
import socket
import threading
from typing import Self

SECONDS = 20


class Server:
    """Listens on a free port within a `with`. What it does with each connection, `meet` says."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self.port = int(self._listener.getsockname()[1])
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}"

    def meet(self, peer: socket.socket) -> None:
        """Talks with one who connected; the connection is closed afterwards, and an OSError or EOFError is its end."""
        raise NotImplementedError

    def cut(self) -> None:
        """Ends all that is open."""
        for peer in list(self._open):
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        # A blocked accept does not notice a close; a shutdown it does.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(SECONDS)
        self._listener.close()
        self.cut()
        for thread in self._threads[1:]:
            thread.join(SECONDS)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                thread = threading.Thread(target=self._meet, args=(peer,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _meet(self, peer: socket.socket) -> None:
        self._open.add(peer)
        try:
            with peer, contextlib.suppress(OSError, EOFError):
                self.meet(peer)
        finally:
            self._open.discard(peer)
