"""Runs the application on uvicorn: flow control on the sockets, and an end without broken streams."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from types import FrameType
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request
from websockets.protocol import State

from streaming_asr_server.frames import FrameBorders, plain_message
from streaming_asr_server.offers import Offer, Offers
from streaming_asr_server.ports import SharedPorts, check_tls, listen
from streaming_asr_server.service import Service
from streaming_asr_server.settings import Settings

logger = logging.getLogger(__name__)

_BUFFER_BYTES: Final = 32 * 1024
"""Read from a socket at once at most; 256 KiB made anew for each read, as asyncio does, cost more than a packet."""

_SMALL_MESSAGE: Final = 16 * 1024
"""Bytes of the largest message that is looked for before the parser of `websockets` sees it."""

_LINGER_SECONDS: Final = 5.0
_CLOSING_SECONDS: Final = 8.0


class FlowControlledWebSocket(WebSocketsSansIOProtocol, asyncio.BufferedProtocol):
    """A websocket that offers what comes on the spot, and whose keepalive allows for flow control.

    A small binary message is offered before the parser of `websockets` sees it, which takes many times as long, for all
    that a frame may be. From the first that is not taken to the end of what came with it, all is the parser's.

    The pong of a client that is held back waits behind audio that is not read yet: such a client is not dropped. A
    client that does not read is cut off some seconds after its application has ended: otherwise it would hold its
    socket and unsent bytes for ever.
    """

    received_at = 0.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._offers: Final = Offers()
        self._buffer: memoryview | None = None
        self._borders: FrameBorders | None = None
        self._longest: Final = min(_SMALL_MESSAGE, self.config.ws_max_size)

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            extensions: Any = self.scope["extensions"]
            extensions[Offers.KEY] = self._offers

    def send_receive_event_to_app(self) -> None:
        """Offer a message before it is queued for a task that would have to wake for it."""
        if self._taken():
            self.frames = []
        else:
            super().send_receive_event_to_app()

    def _taken(self) -> bool:
        offer = self._open_offer()
        if offer is None or len(self.frames) != 1:
            return False
        data = bytes(self.frames[0])
        if self.curr_msg_data_type == "bytes":
            return offer(data)
        try:
            return offer(data.decode())
        except UnicodeDecodeError:
            return False

    def _open_offer(self) -> Offer | None:
        """Who may take a message now, if none waits that came before it."""
        return None if self.close_sent or not self.queue.empty() else self._offers.offer

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._buffer is None:
            self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        assert self._buffer is not None, "a buffer is asked for before it is filled"
        self.data_received(bytes(self._buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        self.received_at = self.loop.time()
        if self._borders is None:
            # The first bytes are the request of the handshake, as the parser of HTTP read it, and no more.
            super().data_received(data)
            self._borders = FrameBorders()
            return
        if self._borders.here and self.conn.state is State.OPEN and not (data := self._not_taken(data)):
            return
        self._borders.follow(data)
        super().data_received(data)

    def _not_taken(self, data: bytes) -> bytes:
        """Offer the plain messages that data begins with; returns what is left for the parser."""
        at = 0
        while (offer := self._open_offer()) is not None:
            message = plain_message(data, at, self._longest)
            if message is None or self.frames or not offer(message[0]):
                break
            at = message[1]
        return data[at:]

    def keepalive_timeout(self) -> None:
        if not self.read_paused and self.received_at <= self.ping_sent_at:
            super().keepalive_timeout()
            return
        self.pong_timer = None
        self.pending_ping_payload = None
        self.schedule_ping()

    async def send(self, message: Any) -> None:
        await super().send(message)
        # A refusal in HTTP is an answer too; uvicorn would log each as an application that failed to give one.
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        self.loop.call_later(_LINGER_SECONDS, self._cut_off)

    def _cut_off(self) -> None:
        # asyncio's transports fail if they are aborted when they have closed themselves after flushing.
        if not self.disconnected:
            self.transport.abort()


class PortServer(uvicorn.Server):
    """A server of uvicorn that may share its port with other workers."""

    def __init__(self, config: uvicorn.Config, ports: SharedPorts | None) -> None:
        super().__init__(config)
        self._ports = ports

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup([] if self._ports is not None else sockets)
        if self._ports is not None:
            self._ports.accept(self.config.port, self._protocol, self.config.ssl)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._ports is not None:
            await self._ports.stop(self.config.port)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.BaseProtocol:
        """As uvicorn makes one for a connection that it has accepted itself."""
        make: Any = self.config.http_protocol_class
        protocol: asyncio.BaseProtocol = make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol


class DrainingServer(PortServer):
    """On the first signal, takes no new streams and waits for those that are open; then ends them with "going_away"."""

    def __init__(self, config: uvicorn.Config, service: Service, *, grace_seconds: float) -> None:
        super().__init__(config, service.ports)
        self._service = service
        self._grace_seconds = grace_seconds
        self._deadline: float | None = None
        self._warned = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A second signal does not wait any longer."""
        if self._deadline is not None:
            logger.warning("open streams are ended now", extra={"streams": self._service.streams})
            super().handle_exit(sig, frame)
            return
        # Set first: a second signal may come while this handler writes its line.
        self._deadline = time.monotonic() + self._grace_seconds
        self._captured_signals.append(sig)
        self._service.drain()
        if not self._service.idle:
            message = "waiting for open streams; a second signal ends them"
            extra = {"streams": self._service.streams, "seconds": self._grace_seconds}
            logger.warning(message, extra=extra)

    async def on_tick(self, counter: int) -> bool:
        if await super().on_tick(counter) or self._service.failure is not None or self._service.exit_requested:
            return True
        if self._deadline is None:
            return False
        if not self._warned:
            self._warned = True
            self._service.warn_connections()
        return self._service.idle or time.monotonic() >= self._deadline

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        """End the open streams with a reason, before uvicorn closes what is left of the connections."""
        self._service.drain()
        self._service.close_connections()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING_SECONDS):
                await self._service.until_idle()
        await super().shutdown(sockets)


def uvicorn_config(application: Starlette, settings: Settings) -> uvicorn.Config:
    """How the application is run; its logs go where the process's logs go."""
    return uvicorn.Config(
        application,
        host=settings.host,
        port=settings.port,
        ws=FlowControlledWebSocket,
        ws_max_size=settings.message_bytes,
        ws_ping_interval=settings.ping_seconds,
        ws_ping_timeout=settings.ping_seconds,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=10,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        log_config=None,
        access_log=False,
        server_header=False,
    )


@contextmanager
def reloading_on_hangup(service: Service) -> Iterator[None]:
    """SIGHUP loads those models anew whose files have changed, where there is such a signal and it comes here."""
    number = getattr(signal, "SIGHUP", None)
    loop = asyncio.get_running_loop()
    if number is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    loop.add_signal_handler(number, service.reload_changed)
    try:
        yield
    finally:
        loop.remove_signal_handler(number)


def run(application: Starlette, service: Service, settings: Settings) -> None:
    """Serve until a signal comes.

    Raises:
        OptionError: the address cannot be listened on, or the files of TLS cannot be used.
        Exception: what kept the recognizer from being loaded.
    """
    check_tls(settings.tls_cert, settings.tls_key)
    listeners = listen(settings.host, settings.port)
    server = DrainingServer(uvicorn_config(application, settings), service, grace_seconds=settings.grace_seconds)
    try:
        server.run(sockets=listeners)
    finally:
        for listener in listeners:
            listener.close()
    if service.failure is not None:
        raise service.failure


def freeze_loaded() -> None:
    """Hide all that is loaded from the garbage collector, which would stop the event loop for 200 ms to look at it."""
    gc.collect()
    gc.freeze()
