"""A way to a server that can be cut: every connection on it breaks, and no new one is taken until it is mended."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class CutableWay:
    """Forwards TCP from a port of its own to another one on this machine."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._cut = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """What a browser opens."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """Break all connections, and each new one at once."""
        with self._lock:
            self._cut = True
            broken, self._sockets = self._sockets, []
        for each in broken:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let new connections through."""
        with self._lock:
            self._cut = False

    def close(self) -> None:
        """Break everything for good."""
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._join(near)

    def _join(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self._port))
        except OSError:
            near.close()
            return
        with self._lock:
            if self._cut:
                near.close()
                far.close()
                return
            self.connections += 1
            self._sockets += [near, far]
        threading.Thread(target=_forward_both, args=(near, far), daemon=True).start()


def _forward_both(near: socket.socket, far: socket.socket) -> None:
    back = threading.Thread(target=_forward, args=(far, near), daemon=True)
    back.start()
    _forward(near, far)
    back.join()
    near.close()
    far.close()


def _forward(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def cutable(port: int) -> Iterator[CutableWay]:
    """A way to a port, closed in the end."""
    way = CutableWay(port)
    try:
        yield way
    finally:
        way.close()
