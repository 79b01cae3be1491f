"""An HTTP server of a test's own: the standard library's, with the test's handler, until the block ends."""

import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Handler(http.server.BaseHTTPRequestHandler):
    """What a handler begins with: it writes nothing, and whoever has had enough may go away."""

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            pass

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def handling(handler: type[Handler], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serves on a free port, which it gives; by https with `tls`."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
