"""Sockets to listen on, and how several workers share them: who has least to do takes the next connection."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from streaming_asr.errors import OptionError

logger = logging.getLogger(__name__)

_AGAIN_SECONDS: Final = 0.2
"""After a fault of the system, such as too many open files."""

ProtocolFactory: TypeAlias = Callable[[], asyncio.BaseProtocol]


class SharedPorts:
    """Accepts connections from sockets that other workers accept from too.

    `listeners` are those of each port. `patience` gives the seconds for which a connection that waits is left to others
    before this worker takes it: 0 for the one that has least to do. So a worker that stands still delays nobody.
    """

    def __init__(
        self, listeners: Mapping[int, Sequence[socket.socket]], *, index: int, patience: Callable[[], float]
    ) -> None:
        self.index: Final = index
        self._listeners: Final = listeners
        self._patience: Final = patience
        self._accepting: dict[int, list[asyncio.Task[None]]] = {}
        self._transports: set[asyncio.BaseTransport] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        for each in listeners.values():
            for listener in each:
                listener.setblocking(False)

    @property
    def connections(self) -> int:
        """How many of the connections that were taken are open."""
        self._transports = {transport for transport in self._transports if not transport.is_closing()}
        return len(self._transports) + len(self._connecting)

    def accept(self, port: int, make: ProtocolFactory, tls: ssl.SSLContext | None = None) -> None:
        """Take connections to a port from now on."""
        tasks = [asyncio.create_task(self._accept(each, make, tls), name="accept") for each in self._listeners[port]]
        self._accepting.setdefault(port, []).extend(tasks)

    async def stop(self, port: int) -> None:
        """Take no more; what has been taken goes on."""
        tasks = self._accepting.pop(port, [])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, listener: socket.socket, make: ProtocolFactory, tls: ssl.SSLContext | None) -> None:
        while True:
            await _readable(listener)
            if patience := self._patience():
                await asyncio.sleep(patience)
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, ConnectionError):
                continue
            except OSError as error:
                logger.warning("a connection cannot be accepted", extra={"reason": str(error)})
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            self._take(connection, make, tls)

    def _take(self, connection: socket.socket, make: ProtocolFactory, tls: ssl.SSLContext | None) -> None:
        """In the background: a client may take its time for the handshake of TLS."""
        connection.setblocking(False)
        task = asyncio.create_task(self._connect(connection, make, tls), name="connect")
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, connection: socket.socket, make: ProtocolFactory, tls: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.connect_accepted_socket(make, connection, ssl=tls)
        except (OSError, ssl.SSLError) as error:
            logger.debug("a connection ended before it began", extra={"reason": str(error)})
            connection.close()
            return
        self._transports.add(transport)


async def _readable(listener: socket.socket) -> None:
    """Wait until there is a connection to accept, for whoever is first. Cancelling it leaves nothing behind."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(listener, wake)
    try:
        await ready
    finally:
        loop.remove_reader(listener)


def listen(host: str, port: int, *, option: str = "--port") -> list[socket.socket]:
    """Sockets that listen on every address of a host; `option` is what chooses the port. Raises OptionError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise OptionError(f"host is {host!r}; it must be a name or an address of this machine ({error})") from error
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    listeners: list[socket.socket] = []
    try:
        for family, address in addresses[:1] if port == 0 else addresses:
            listeners.append(socket.create_server(address[:2], family=family))
    except OSError as error:
        for listener in listeners:
            listener.close()
        raise OptionError(_not_listening(host, port, option, error)) from error
    return listeners


def _not_listening(host: str, port: int, option: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use; stop what uses it, or choose another with {option}"
    if error.errno == errno.EACCES:
        return f"port {port} of {host} is not allowed to this user; choose one over 1023 with {option}"
    return f"{host}:{port} cannot be listened on: {error.strerror or error}; host must be an address of this machine"


def check_tls(certificate: Path | None, key: Path | None) -> None:
    """Raises OptionError if the certificate and its key cannot be used; both or neither are given."""
    if certificate is None or key is None:
        return
    for name, file in (("tls_cert", certificate), ("tls_key", key)):
        try:
            file.read_bytes()
        except OSError as error:
            raise OptionError(f"{name} {file} cannot be read: {error.strerror}") from error
    try:
        # Without a password given here, a protected key would be asked for on the terminal.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, ValueError) as error:
        raise OptionError(
            f"tls_cert {certificate} and tls_key {key} do not belong together ({error}); tls_cert "
            "must be a certificate chain, tls_key its private key without a password, both PEM"
        ) from error
