"""One websocket, one codec: feeds what a client says to sessions, and what comes of it back to the client.

Every wire protocol uses the same pump. A codec is sans I/O: it turns wire messages into instructions, and outcomes into
wire messages. A codec may run several streams at once (channels, tracks): it numbers them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

from starlette.websockets import WebSocket, WebSocketDisconnect

from streaming_asr.errors import OptionError
from streaming_asr.protocol import ClientMessage, KeepAlive, ProtocolError, Start
from streaming_asr_server.connection.outbox import Outbox, Outgoing, Send
from streaming_asr_server.sessions.registry import Opened, OpenSession, Sessions
from streaming_asr_server.sessions.session import Listener, Outcome

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tell:
    """Give this to stream number `stream`: `Start` opens it, `Finish` ends it, the others need it to be open."""

    message: ClientMessage
    stream: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer at once, without a stream."""

    messages: tuple[Outgoing, ...]


Instruction: TypeAlias = Tell | Reply


class Codec(Protocol):
    """Translates between one wire protocol and the library; no I/O, no clock."""

    @property
    def resumable(self) -> bool:
        """Whether a session waits for its client when the connection is lost."""

    def receive(self, data: str | bytes) -> Sequence[Instruction]:
        """What a message of the client means. Raises ProtocolError."""

    def opened(self, stream: int, opened: Opened) -> Sequence[Outgoing]:
        """What to say when a stream has been opened."""

    def outcome(self, stream: int, outcome: Outcome) -> Sequence[Outgoing]:
        """What to say when one of a stream's messages was dealt with; called for each, also if nothing came of it."""

    def failed(self, error: ProtocolError) -> Sequence[Outgoing]:
        """What to say when the connection has to end, with a HangUp last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PumpRules:
    """Timeouts in seconds: the first message, any message, one write, and the farewell to a client that is slow."""

    start_seconds: float = 10.0
    idle_seconds: float = 60.0
    write_seconds: float = 20.0
    farewell_seconds: float = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class _Ear:
    """Hears one session for a pump."""

    tell: Callable[[Outcome], None]
    outbox: Outbox

    def hear(self, outcome: Outcome) -> None:
        self.tell(outcome)

    async def room(self) -> None:
        await self.outbox.room()


class Pump:
    """Runs one accepted websocket to its end. `fail` may be called from outside, once or more: the first one counts."""

    def __init__(
        self, websocket: WebSocket, codec: Codec, *, sessions: Sessions, open_session: OpenSession, rules: PumpRules
    ) -> None:
        self.outbox: Final = Outbox()
        self._websocket = websocket
        self._codec = codec
        self._sessions = sessions
        self._open_session = open_session
        self._rules = rules
        self._opened: dict[int, tuple[Opened, Listener]] = {}
        self._failure: asyncio.Future[ProtocolError] = asyncio.get_running_loop().create_future()
        self._parting = False

    def fail(self, error: ProtocolError) -> None:
        """End the connection with this error, after what waits to be sent."""
        if not self._failure.done():
            self._failure.set_result(error)

    async def run(self) -> ProtocolError | None:
        """Serve the connection; returns the error that ended it, if one did. Cancelled, it lets go of everything."""
        reader = asyncio.create_task(self._read(), name="websocket reader")
        writer = asyncio.create_task(self._write(self._rules.write_seconds), name="websocket writer")
        resumable = self._codec.resumable
        try:
            ends: set[asyncio.Future[Any]] = {reader, writer, self._failure}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            error = self._error(reader, writer)
            if error is not None:
                await self._say_farewell(error, reader, writer)
                resumable = resumable and error.kind.resumable
            return error
        finally:
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)
            self.outbox.close()
            self._let_go(park=resumable and not self._finished(writer))

    def _error(self, reader: asyncio.Task[None], writer: asyncio.Task[bool]) -> ProtocolError | None:
        """Why the connection ends; None if the client has gone or all was said."""
        tasks: tuple[asyncio.Task[Any], ...] = (writer, reader)
        for task in tasks:
            if task.done() and (error := task.exception()) is not None:
                if not isinstance(error, ProtocolError):
                    logger.error("a connection failed", exc_info=error)
                    return ProtocolError("internal", "the server failed")
                return error
        return self._failure.result() if self._failure.done() else None

    async def _say_farewell(self, error: ProtocolError, reader: asyncio.Task[None], writer: asyncio.Task[bool]) -> None:
        """Send what waits, the error and the close; a client that does not read them in time goes without."""
        reader.cancel()
        self._parting = True
        last_words = self._codec.failed(error)
        if writer.done():
            # A message was given up: those behind it must not come, or the client would not miss what is missing.
            self.outbox.clear()
            writer = asyncio.create_task(self._write(self._rules.farewell_seconds), name="websocket writer")
        self.outbox.put(last_words)
        await asyncio.wait({writer}, timeout=self._rules.farewell_seconds)
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)

    def _finished(self, writer: asyncio.Task[bool]) -> bool:
        """Whether the last word to the client was a good-bye, and no error came before it."""
        ended = writer.done() and not writer.cancelled() and writer.exception() is None
        return ended and writer.result() and not self._failure.done()

    def _let_go(self, *, park: bool) -> None:
        for opened, listener in self._opened.values():
            if not opened.session.detach(listener):
                continue
            if park:
                self._sessions.park(opened.session)
            else:
                self._sessions.discard(opened.session)

    async def _read(self) -> None:
        """Take in what the client says until it goes. Waits while too much waits for the recognizer."""
        while True:
            data = await self._receive()
            if data is None:
                return
            for instruction in self._codec.receive(data):
                await self._follow(instruction)

    async def _receive(self) -> str | bytes | None:
        started = bool(self._opened)
        seconds = self._rules.idle_seconds if started else self._rules.start_seconds
        try:
            async with asyncio.timeout(seconds):
                message = await self._websocket.receive()
        except TimeoutError:
            if started:
                raise ProtocolError("idle", f"neither audio nor keepalive came for {seconds:g} s") from None
            raise ProtocolError("start_timeout", f"no start came within {seconds:g} s") from None
        if message["type"] == "websocket.disconnect":
            return None
        text: str | None = message.get("text")
        return text if text is not None else bytes(message["bytes"])

    async def _follow(self, instruction: Instruction) -> None:
        match instruction:
            case Reply(messages):
                self.outbox.put(messages)
            case Tell(message=Start() as start, stream=number):
                self._open(number, start)
            case Tell(message=KeepAlive()):
                pass
            case Tell(message=message, stream=number):
                if number not in self._opened:
                    raise ProtocolError("out_of_order", "there is no open stream for this message")
                await self._opened[number][0].session.take(message)

    def _open(self, number: int, start: Start) -> None:
        """Open or resume a stream; nothing can come between what was missed and what comes from now on."""
        try:
            opened = self._open_session(start)
        except OptionError as error:
            raise ProtocolError("bad_option", str(error)) from error
        listener = _Ear(partial(self._hear, number), self.outbox)
        self._opened[number] = opened, listener
        self.outbox.put(self._codec.opened(number, opened))
        opened.session.attach(listener)

    def _hear(self, number: int, outcome: Outcome) -> None:
        if outcome.error is not None:
            self.fail(outcome.error)
        elif not self._parting:
            self.outbox.put(self._codec.outcome(number, outcome))

    async def _write(self, patience: float) -> bool:
        """Send what there is to send until the codec hangs up; False if the client has gone before.

        Raises ProtocolError "slow_reader" when a message cannot be sent for `patience` seconds.
        """
        try:
            while isinstance(message := await self.outbox.get(), Send):
                async with asyncio.timeout(patience):
                    await self._send(message.data)
            async with asyncio.timeout(patience):
                await self._websocket.close(message.code, message.reason)
        except TimeoutError:
            raise ProtocolError("slow_reader", f"a message was not read for {patience:g} s") from None
        except WebSocketDisconnect:
            return False
        return True

    async def _send(self, data: str | bytes) -> None:
        if isinstance(data, str):
            await self._websocket.send_text(data)
        else:
            await self._websocket.send_bytes(data)
