"""Wyoming over TCP and over standard input and output."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from streaming_asr.errors import OptionError
from streaming_asr.protocol import ProtocolError
from streaming_asr_server.access.admission import Refusal
from streaming_asr_server.access.authentication import Principal
from streaming_asr_server.adapter.adapter import ProtocolAdapter
from streaming_asr_server.connection.connection import OpeningRefusedError
from streaming_asr_server.connection.serving import connection_rules, serve_transport
from streaming_asr_server.connection.transport import TransportClosedError
from streaming_asr_server.offers import Offer
from streaming_asr_server.protocols.wyoming.codec import DONE, WyomingCodec
from streaming_asr_server.protocols.wyoming.events import EventReader, Program, bare_language, encode
from streaming_asr_server.service import Service

logger = logging.getLogger(__name__)

PRINCIPAL: Final = Principal(name="wyoming")
"""Wyoming has no keys: who may reach the port may use it."""

_READ_BYTES: Final = 64 * 1024
_MORE_CONNECTIONS: Final = 32
"""So many connections, beyond one per stream, may ask for `describe` at the same time."""

_CLOSING_SECONDS: Final = 5.0


class StreamTransport:
    """A pair of asyncio streams as a transport whose messages are pieces of bytes, for one transcription.

    Closing it is only noted, in `close_code`: the streams go on with the next transcription. Bytes that came too early
    stay in the codec's reader for that one.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, codec: WyomingCodec) -> None:
        self._reader = reader
        self._writer = writer
        self._codec = codec
        self._resumed = False
        self._closed = asyncio.Event()
        self.close_code: int | None = None

    async def receive(self, offer: Offer | None = None) -> bytes | None:
        """The next piece, never offered; the first one is empty, so that the codec looks at what its reader holds.

        While the transcript is made, nothing is read: what comes then is for the next transcription.
        """
        if not self._resumed:
            self._resumed = True
            return b""
        if self._codec.finishing:
            await self._closed.wait()
        with suppress(ConnectionError):
            return await self._reader.read(_READ_BYTES) or None
        return None

    async def send(self, data: str | bytes) -> None:
        try:
            self._writer.write(data if isinstance(data, bytes) else data.encode())
            await self._writer.drain()
        except OSError as error:
            raise TransportClosedError("the client has gone") from error

    async def close(self, code: int, reason: str) -> None:
        self.close_code = code
        self._closed.set()


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
            await _half_close(reader, writer)
        finally:
            self._connections -= 1
            await _close(writer)

    async def _transcribe_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        most = self._service.settings.max_streams + _MORE_CONNECTIONS
        if self._connections > most:
            raise Refusal(503, "overloaded", f"all {most} connections are in use", 5)
        unread = EventReader()
        while not (reader.at_eof() and not unread.unread):
            transport = await self._transcribe(reader, writer, unread)
            if transport.close_code != DONE:
                if transport.close_code is not None:
                    await _half_close(reader, writer)
                return

    async def _transcribe(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, unread: EventReader
    ) -> StreamTransport:
        """One transcription, with its place among the streams. Raises Refusal."""
        service = self._service
        codec = WyomingCodec(program(service), unread)
        transport = StreamTransport(reader, writer, codec)
        rules = replace(connection_rules(service.settings), start_seconds=service.settings.idle_seconds)
        async with AsyncExitStack() as place:

            async def admit() -> None:
                """Asked when the stream opens: `describe` is answered by a full server too."""
                try:
                    await place.enter_async_context(service.admission.stream(PRINCIPAL))
                except Refusal as refusal:
                    service.metrics.refused.labels(refusal.code).inc()
                    raise OpeningRefusedError(codec.refuse(refusal.code, str(refusal))) from refusal

            adapter = ProtocolAdapter(codec)
            error = await serve_transport(service, transport, PRINCIPAL, adapter, rules=rules, admit=admit)
        _log(error)
        return transport


def program(service: Service) -> Program:
    """What is told about this server. Raises Refusal while the model is being loaded."""
    try:
        release = version("streaming-asr")
    except PackageNotFoundError:
        release = "0"
    service.check_loaded()
    return Program({model.name: bare_languages(model.languages) for model in service.models}, release)


def bare_languages(tags: Sequence[str]) -> list[str]:
    """What the model recognizes, each language once, without regions and scripts."""
    return list(dict.fromkeys(map(bare_language, tags)))


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

    try:
        async with _listening(service, host, port, connected) as bound:
            logger.info("wyoming", extra={"host": host, "port": bound})
            yield bound
    finally:
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def _listening(
    service: Service, host: str, port: int, connected: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]
) -> AsyncIterator[int]:
    """Take connections until the context ends, from a socket of our own, or from the one that all workers share."""
    if service.ports is None:
        listener = await asyncio.start_server(connected, host, port)
        try:
            yield int(listener.sockets[0].getsockname()[1])
        finally:
            listener.close()
        return
    service.ports.accept(port, lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader(), connected))
    try:
        yield port
    finally:
        await service.ports.stop(port)


async def serve_standard_streams(service: Service) -> None:
    """One connection over standard input and output, to the end of the input. Logs must go elsewhere.

    Raises OptionError where they are files.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    unread = asyncio.StreamReaderProtocol(asyncio.StreamReader())
    try:
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        # A copy, for the transport closes what it is given, and the process still flushes its standard output.
        output = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
        transport, protocol = await loop.connect_write_pipe(lambda: unread, output)
    except ValueError as error:
        raise OptionError("wyoming_stdio needs pipes at standard input and output, not files") from error
    await service.ready()
    await WyomingServer(service).serve(reader, asyncio.StreamWriter(transport, protocol, None, loop))


async def _half_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """End our side and read on for a while: a socket closed with unread input drops what its client has not read."""
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(_CLOSING_SECONDS):
            await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
            while await reader.read(_READ_BYTES):
                pass


async def _close(writer: asyncio.StreamWriter) -> None:
    """Close a connection; one whose client does not read is cut off. Cancelled, it is left to close by itself."""
    writer.close()
    try:
        async with asyncio.timeout(_CLOSING_SECONDS):
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
