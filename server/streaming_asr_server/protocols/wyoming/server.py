"""Wyoming over TCP and over standard input and output, on the server's own pump."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from starlette.types import Message
from starlette.websockets import WebSocket

from streaming_asr.protocol import ProtocolError
from streaming_asr_server.access.admission import Refusal
from streaming_asr_server.access.authentication import Principal
from streaming_asr_server.adapter.adapter import Bridge
from streaming_asr_server.connection.connection import Instruction, PumpRules, Reply, Tell
from streaming_asr_server.connection.serving import serve_codec
from streaming_asr_server.protocols.wyoming.codec import DONE, WyomingCodec
from streaming_asr_server.protocols.wyoming.events import EventReader, Program, bare_language, encode
from streaming_asr_server.service import Service
from streaming_asr_server.settings import Settings

logger = logging.getLogger(__name__)

PRINCIPAL: Final = Principal(name="wyoming")
"""Wyoming has no keys: who may reach the port may use it."""

_READ_BYTES: Final = 64 * 1024
_MORE_CONNECTIONS: Final = 32
"""So many connections, beyond one per stream, may ask for `describe` at the same time."""

_FAREWELL_SECONDS: Final = 5.0
_EMBEDDED_LANGUAGE: Final = "en"


class StreamSocket:
    """A pair of asyncio streams as the ASGI interface of a websocket whose messages are pieces of bytes.

    It lives for one transcription; bytes that came too early stay in the codec's reader for the next one.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, codec: WyomingCodec) -> None:
        self._reader = reader
        self._writer = writer
        self._codec = codec
        self._greeted = False
        self._looked = False
        self._closed = asyncio.Event()
        self.close_code: int | None = None

    async def receive(self) -> Message:
        """The next piece. While the transcript is made, nothing is read: what comes then is for the next one."""
        if not self._greeted:
            self._greeted = True
            return {"type": "websocket.connect"}
        if not self._looked:
            self._looked = True
            return {"type": "websocket.receive", "bytes": b""}
        if self._codec.finishing:
            await self._closed.wait()
        with suppress(ConnectionError):
            piece = await self._reader.read(_READ_BYTES)
            if piece:
                return {"type": "websocket.receive", "bytes": piece}
        return {"type": "websocket.disconnect", "code": 1000}

    async def send(self, message: Message) -> None:
        """Write what the codec says; the close is only noted. Raises OSError if the other end has gone."""
        if message["type"] == "websocket.send":
            self._writer.write(message["bytes"])
            await self._writer.drain()
        elif message["type"] == "websocket.close":
            self.close_code = message["code"]
            self._closed.set()


class AdmittedBridge(Bridge):
    """A bridge that asks for a place when it opens its stream, so that `describe` is answered by a full server too.

    `admit` raises Refusal, which is told to the client and ends the connection.
    """

    def __init__(self, codec: WyomingCodec, admit: Callable[[], None]) -> None:
        super().__init__(codec)
        self._wyoming = codec
        self._admit = admit
        self._admitted = False

    def receive(self, data: str | bytes) -> Sequence[Instruction]:
        instructions = super().receive(data)
        if not self._admitted and any(isinstance(instruction, Tell) for instruction in instructions):
            self._admitted = True
            try:
                self._admit()
            except Refusal as refusal:
                return [Reply(tuple(self._wyoming.refuse(refusal.code, str(refusal))))]
        return instructions


class WyomingServer:
    """Serves connections, each with one transcription after the other."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end. Cancelled, it lets go of everything."""
        self._connections += 1
        try:
            await self._transcribe_all(reader, writer)
        except Refusal as refusal:
            self._service.metrics.refused.labels(refusal.code).inc()
            writer.write(encode("error", text=str(refusal), code=refusal.code))
            await _part(reader, writer)
        finally:
            self._connections -= 1
            await _close(writer)

    async def _transcribe_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        most = self._service.settings.max_streams + _MORE_CONNECTIONS
        if self._connections > most:
            raise Refusal(503, "overloaded", f"all {most} connections are in use", 5)
        unread = EventReader()
        while not (reader.at_eof() and not unread.unread):
            socket = await self._transcribe(reader, writer, unread)
            if socket.close_code != DONE:
                if socket.close_code is not None:
                    await _part(reader, writer)
                return

    async def _transcribe(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, unread: EventReader
    ) -> StreamSocket:
        """One transcription, with its place among the streams. Raises Refusal."""
        service = self._service
        codec = WyomingCodec(program(service), unread)
        socket = StreamSocket(reader, writer, codec)
        scope = {"type": "websocket", "path": "/wyoming", "headers": [], "query_string": b""}
        idle = service.settings.idle_seconds
        with ExitStack() as place:
            error = await serve_codec(
                service,
                WebSocket(scope, socket.receive, socket.send),
                PRINCIPAL,
                AdmittedBridge(codec, lambda: place.enter_context(_place(service))),
                rules=PumpRules(start_seconds=idle, idle_seconds=idle, write_seconds=service.settings.write_seconds),
            )
        _log(error)
        return socket


@contextmanager
def _place(service: Service) -> Iterator[None]:
    """Hold a place for one stream. Raises Refusal."""
    try:
        with service.admission.stream(PRINCIPAL):
            yield
    except Refusal as refusal:
        service.metrics.refused.labels(refusal.code).inc()
        raise


def program(service: Service) -> Program:
    """What is told about this server. Raises Refusal while the model is being loaded."""
    try:
        release = version("streaming-asr")
    except PackageNotFoundError:
        release = "0"
    return Program(service.recognition.name, languages(service.settings), release)


def languages(settings: Settings) -> list[str]:
    """What the model recognizes, as far as the options say it; the embedded model is English."""
    if settings.language is not None:
        return [bare_language(settings.language)]
    return [_EMBEDDED_LANGUAGE] if settings.model is None else []


@asynccontextmanager
async def wyoming_tcp(service: Service, host: str, port: int) -> AsyncIterator[int]:
    """Listen until the context ends; gives the port. Raises OSError if it is taken."""
    server = WyomingServer(service)
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a connection is served by a task"
        tasks.add(task)
        try:
            await server.serve(reader, writer)
        except asyncio.CancelledError:
            logger.info("connection cut off", extra={"path": "/wyoming"})
        finally:
            tasks.discard(task)

    listener = await asyncio.start_server(connected, host, port)
    bound = int(listener.sockets[0].getsockname()[1])
    logger.info("wyoming", extra={"host": host, "port": bound})
    try:
        yield bound
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def serve_standard_streams(service: Service) -> None:
    """One connection over standard input and output, to the end of the input. Logs must go elsewhere."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    unread = asyncio.StreamReaderProtocol(asyncio.StreamReader())
    transport, protocol = await loop.connect_write_pipe(lambda: unread, sys.stdout)
    await service.ready()
    await WyomingServer(service).serve(reader, asyncio.StreamWriter(transport, protocol, None, loop))


async def _part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Let a client that still writes read the last words: a socket closed with unread input would take them back."""
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(_FAREWELL_SECONDS):
            await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
            while await reader.read(_READ_BYTES):
                pass


async def _close(writer: asyncio.StreamWriter) -> None:
    """Close a connection; one whose client does not read is cut off. Cancelled, it is left to close by itself."""
    writer.close()
    try:
        async with asyncio.timeout(_FAREWELL_SECONDS):
            await writer.wait_closed()
    except TimeoutError:
        writer.transport.abort()
    except ConnectionError:
        logger.debug("a connection ended before it was closed")


def _log(error: ProtocolError | None) -> None:
    extra = {"path": "/wyoming", "key": PRINCIPAL.name}
    if error is None:
        logger.info("connection ended", extra=extra)
    else:
        logger.warning("connection failed", extra={**extra, "code": error.code, "reason": str(error)})
