"""One stream to a server, over as many connections as it takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, TypeAlias

import numpy as np
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State as WebSocketState

from streaming_asr.audio.encodings import INT16_FULL_SCALE, Frames, PcmPiece
from streaming_asr.errors import AudioError, OptionError, StreamClosedError
from streaming_asr.events import Event
from streaming_asr.protocol import (
    ClientEnd,
    ClientStream,
    EndpointRules,
    Failure,
    Finished,
    Hotwords,
    KeepAlive,
    ProtocolError,
    Start,
    Started,
    Update,
    close_is_resumable,
)
from streaming_asr_client.addresses import stream_address
from streaming_asr_client.backoff import Backoff
from streaming_asr_client.errors import ConnectionLostError, RefusedError, StreamFailedError
from streaming_asr_client.event_queue import EventQueue
from streaming_asr_client.opening import open_connection

logger = logging.getLogger(__name__)

_CLOSE_SECONDS: Final = 2.0

Connect: TypeAlias = Callable[[], Awaitable[ClientConnection]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """How a client keeps its connection.

    `held_seconds` of audio may be unacknowledged before `send` waits. `ping_seconds` is the interval of pings, and how
    long an answer may take: a connection that is dead without a word is noticed after twice that. `events` may wait to
    be read before the socket is not read any more.
    """

    api_key: str | None = None
    backoff: Backoff = field(default_factory=Backoff)
    held_seconds: float = 180.0
    open_seconds: float = 10.0
    ping_seconds: float = 10.0
    events: int = 10_000


class connect:  # noqa: N801 - it is used like a function, as in websockets
    """Open a stream: `async with connect(url, sample_rate=48000) as stream`.

    Args:
        url: of the server, `ws://host:8765` or `wss://host`; the path may be left out.
        sample_rate: of what will be sent, 8000 to 192000 samples per second: audio at another rate than declared is
            recognized wrongly, so there is no usual one.
        api_key: if the server asks for one.
        client: how the connection is kept.
        options: fields of `streaming_asr.protocol.Start`: encoding, channels, hotwords, endpoint, …

    Entering it connects once, and raises RefusedError, ConnectionLostError or OptionError if that fails. Leaving it
    closes the connection; without `finish()` before, words that are not final are lost. Leaving it by cancellation or
    an exception does the same. Reconnecting happens inside, in the background.
    """

    def __init__(
        self,
        url: str,
        *,
        sample_rate: int,
        api_key: str | None = None,
        client: ClientOptions | None = None,
        **options: Any,
    ) -> None:
        self._client = client or ClientOptions()
        self._url = stream_address(url)
        key = api_key or self._client.api_key
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._start = _start({"sample_rate": sample_rate, **options})
        self._stream: StreamConnection | None = None

    async def __aenter__(self) -> StreamConnection:
        self._stream = StreamConnection(self._start, self._connect, self._client)
        await self._stream.open()
        return self._stream

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            await self._stream.close()

    async def _connect(self) -> ClientConnection:
        return await open_connection(
            self._url, self._headers, open_seconds=self._client.open_seconds, close_seconds=_CLOSE_SECONDS
        )


class StreamConnection:
    """One stream; iterate over it for events, made by `connect`.

    One task may send while another iterates. All coroutines may be cancelled: `send` has then taken its samples or not
    at all, iteration loses nothing.
    """

    def __init__(self, start: Start, connect: Connect, client: ClientOptions) -> None:
        self._stream = ClientStream(start)
        self._start = start
        self._connect = connect
        self._client = client
        self._queue = EventQueue(maximum=client.events)
        self._held_bytes: Final = round(client.held_seconds * start.sample_rate * start.frame_bytes)
        self._to_send = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self._received = 0
        self._websocket: ClientConnection | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def started(self) -> Started | None:
        """The server's last answer to `start`: session, model, options in effect."""
        return self._stream.started

    @property
    def finished(self) -> Finished | None:
        """The server's last word, once it was said."""
        return self._stream.finished

    @property
    def acknowledged(self) -> int:
        """Samples that never need to be sent again: they are in finals, or were silence."""
        return self._stream.acknowledged

    async def open(self) -> None:
        """Connect for the first time, to a server that is starting too. Raises RefusedError or ConnectionLostError."""
        self._websocket = websocket = await self._first_connection()
        self._task = asyncio.create_task(self._run(websocket), name="streaming-asr client")

    async def send(self, piece: PcmPiece) -> None:
        """Send audio: bytes of the declared encoding, or int16 or float32, shape (samples,) or (samples, channels).

        Waits while too much is unacknowledged. Cancelled, nothing of the piece was sent.

        Raises:
            StreamClosedError: the stream was finished, or has failed: iterating over it says why.
        """
        data = encoded(piece, self._start)
        while self._stream.held_bytes > self._held_bytes and not self._ended:
            self._acknowledged.clear()
            await self._acknowledged.wait()
        self._refuse_if_over()
        self._stream.audio(data)
        self._to_send.set()

    async def update(self, *, hotwords: Hotwords | None = None, endpoint: EndpointRules | None = None) -> None:
        """Change hotwords or endpoint rules from here on."""
        self._refuse_if_over()
        self._stream.update(Update(hotwords=hotwords, endpoint=endpoint))
        self._to_send.set()

    async def finalize(self) -> None:
        """End the utterance here; its final comes as an event."""
        self._refuse_if_over()
        self._stream.finalize()
        self._to_send.set()

    async def finish(self) -> None:
        """No more audio; iterating ends when the server has said everything. A second call does nothing."""
        self._stream.finish()
        self._to_send.set()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events()

    async def _events(self) -> AsyncIterator[Event]:
        while (event := await self._queue.get()) is not None:
            yield event

    async def close(self) -> None:
        """Close the connection and end what runs in the background; a second call does nothing."""
        self._queue.end()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        # A task that is cancelled before its first step never runs: nobody else would close this connection.
        if self._websocket is not None:
            await _hang_up(self._websocket)

    @property
    def _ended(self) -> bool:
        return self._task is None or self._task.done()

    def _refuse_if_over(self) -> None:
        if self._stream.finishing:
            raise StreamClosedError("the stream was finished; open a new one")
        if self._ended:
            raise StreamClosedError("the stream is over; iterate over it to learn why")

    async def _run(self, websocket: ClientConnection) -> None:
        """Keep a connection until the server has finished, or the stream has failed for good."""
        try:
            while not await self._converse(websocket):
                self._websocket = websocket = await self._reconnect()
            self._queue.end()
        except (RefusedError, ConnectionLostError, StreamFailedError, ProtocolError) as error:
            self._queue.end(error)
        finally:
            self._acknowledged.set()

    async def _converse(self, websocket: ClientConnection) -> bool:
        """Use one connection to its end; True if the stream is finished, False if it should be resumed."""
        end = ClientEnd()
        self._stream.connected()
        self._to_send.set()
        helpers = [asyncio.create_task(self._send_all(websocket, end)), asyncio.create_task(self._watch(websocket))]
        try:
            return await self._receive_all(websocket, end)
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            await _hang_up(websocket)

    async def _watch(self, websocket: ClientConnection) -> None:
        """Cut a connection off on which nothing comes any more: neither an answer to a ping nor anything else.

        The answer alone would not do: a ping waits behind all audio that the server has not read yet.
        """
        while True:
            await asyncio.sleep(self._client.ping_seconds)
            received = self._received
            try:
                async with asyncio.timeout(self._client.ping_seconds):
                    await (await websocket.ping())
            except TimeoutError:
                if received == self._received:
                    _cut_off(websocket)
            except ConnectionClosed:
                return

    async def _send_all(self, websocket: ClientConnection, end: ClientEnd) -> None:
        """Send what there is to send; when nothing is for a while, say that we are still there."""
        with suppress(ConnectionClosed):
            while True:
                self._to_send.clear()
                while (message := self._stream.next_message()) is not None:
                    await websocket.send(end.send(message))
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._keepalive_seconds):
                        await self._to_send.wait()
                        continue
                if self._stream.started is not None:
                    await websocket.send(end.send(KeepAlive()))

    @property
    def _keepalive_seconds(self) -> float:
        started = self._stream.started
        return started.limits.idle_seconds / 3 if started else 10.0

    async def _receive_all(self, websocket: ClientConnection, end: ClientEnd) -> bool:
        try:
            async for data in websocket:
                if await self._take(data, end):
                    return True
            code = websocket.close_code
        except ConnectionClosed as error:
            code = error.rcvd.code if error.rcvd else None
        if self._stream.finished is not None:
            return True
        if not close_is_resumable(code):
            raise ConnectionLostError(f"the server closed the connection with code {code} before it had finished")
        return False

    async def _take(self, data: str | bytes, end: ClientEnd) -> bool:
        """Take in one message of the server; True if it was the last word."""
        self._received += 1
        message = end.receive(data)
        if isinstance(message, Failure):
            if message.resumable:
                logger.info("the server ended the connection: %s", message.message, extra={"code": message.code})
                return False
            raise StreamFailedError(message.code, message.fault, message.message)
        events = self._stream.received(message)
        self._acknowledged.set()
        if isinstance(message, Started):
            self._to_send.set()
        await self._queue.put(events)
        return isinstance(message, Finished)

    async def _first_connection(self) -> ClientConnection:
        try:
            return await self._connect()
        except RefusedError as error:
            if error.code != "starting":
                raise
            return await self._reconnect(error.retry_after or 0.0)

    async def _reconnect(self, retry_after: float = 0.0) -> ClientConnection:
        """Connect again, with patience, and not before the server wants it.

        Raises ConnectionLostError or RefusedError in the end.
        """
        backoff = self._client.backoff
        loop = asyncio.get_running_loop()
        deadline = None if backoff.give_up_seconds is None else loop.time() + backoff.give_up_seconds
        for wait in backoff.waits():
            await asyncio.sleep(max(wait, retry_after))
            try:
                return await self._connect()
            except (ConnectionLostError, RefusedError) as error:
                if isinstance(error, RefusedError) and not error.temporary:
                    raise
                if deadline is not None and loop.time() >= deadline:
                    raise ConnectionLostError(f"gave up after {backoff.give_up_seconds:g} s: {error}") from error
                retry_after = (error.retry_after or 0.0) if isinstance(error, RefusedError) else 0.0
        raise AssertionError("waits never end")


async def _hang_up(websocket: ClientConnection) -> None:
    """Close a connection in good order, or, if that does not work out soon, in any."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await websocket.close()
    _cut_off(websocket)


def _cut_off(websocket: ClientConnection) -> None:
    # asyncio's transports fail if they are aborted when they have closed themselves after flushing.
    if websocket.state is not WebSocketState.CLOSED:
        websocket.transport.abort()


def encoded(piece: PcmPiece, start: Start) -> bytes:
    """A piece of audio as bytes of the declared encoding.

    Raises:
        AudioError: an array that cannot be that.
    """
    if isinstance(piece, bytes | bytearray | memoryview):
        return bytes(piece)
    if piece.ndim != 1 + (start.channels > 1) and piece.shape[1:] != (start.channels,):
        raise AudioError(f"audio is an array of shape {piece.shape}; this stream has {start.channels} channels")
    match start.encoding, str(piece.dtype):
        case "linear16", "int16":
            return piece.astype("<i2").tobytes()
        case "linear16", "float32":
            scaled: Frames = np.rint(piece * np.float32(INT16_FULL_SCALE))
            return scaled.clip(-32768, 32767).astype("<i2").tobytes()
        case "float32", "float32":
            return piece.astype("<f4").tobytes()
        case "float32", "int16":
            return (piece / np.float32(INT16_FULL_SCALE)).astype("<f4").tobytes()
    raise AudioError(
        f"audio is an array of {piece.dtype}, the encoding {start.encoding}; send int16 or float32, or bytes"
    )


def _start(options: dict[str, Any]) -> Start:
    try:
        return Start(**options)
    except TypeError as error:
        raise OptionError(f"no such stream: {error}") from error
