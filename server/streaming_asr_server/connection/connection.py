"""One client's connection: its messages go to sessions, and what comes of them goes back to the client.

Every wire protocol uses the same connection. A codec is sans I/O: it turns wire messages into instructions, and
outcomes into wire messages. A codec may run several streams at once (channels, tracks): it numbers them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

from streaming_asr.errors import OptionError
from streaming_asr.protocol import ClientMessage, KeepAlive, ProtocolError, Start
from streaming_asr_server.connection.outbox import Outbox, Outgoing, Send
from streaming_asr_server.connection.transport import Transport, TransportClosedError
from streaming_asr_server.sessions.registry import Opened, OpenSession, SessionRegistry
from streaming_asr_server.sessions.session import Listener, Outcome

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ToStream:
    """A message for stream number `stream`: `Start` opens it, `Finish` ends it, the others need it to be open."""

    message: ClientMessage
    stream: int = 0


@dataclass(frozen=True, slots=True)
class ToClient:
    """Messages that are sent at once, without a stream."""

    messages: tuple[Outgoing, ...]


Instruction: TypeAlias = ToStream | ToClient


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
        """What to say when the connection has to end, with a `Close` last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionRules:
    """Timeouts in seconds: of the first message, any message, one write, and the error and close at the end."""

    start_seconds: float = 10.0
    idle_seconds: float = 60.0
    write_seconds: float = 20.0
    closing_seconds: float = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class _SessionListener:
    """Hands the outcomes of one session to a connection."""

    deliver: Callable[[Outcome], None]
    outbox: Outbox

    def notify(self, outcome: Outcome) -> None:
        self.deliver(outcome)

    async def room(self) -> None:
        await self.outbox.room()


class Connection:
    """Runs one open transport to its end. `fail` may be called from outside, once or more: the first call counts."""

    def __init__(
        self,
        transport: Transport,
        codec: Codec,
        *,
        sessions: SessionRegistry,
        open_session: OpenSession,
        rules: ConnectionRules,
    ) -> None:
        self.outbox: Final = Outbox()
        self._transport = transport
        self._codec = codec
        self._sessions = sessions
        self._open_session = open_session
        self._rules = rules
        self._opened: dict[int, tuple[Opened, Listener]] = {}
        self._failure: asyncio.Future[ProtocolError] = asyncio.get_running_loop().create_future()
        self._closing = False

    def fail(self, error: ProtocolError) -> None:
        """End the connection with this error, after what waits to be sent."""
        if not self._failure.done():
            self._failure.set_result(error)

    async def run(self) -> ProtocolError | None:
        """Serve the connection; returns the error that ended it, if one did. Cancelled, it lets go of everything."""
        reader = asyncio.create_task(self._read(), name="connection reader")
        writer = asyncio.create_task(self._write(self._rules.write_seconds), name="connection writer")
        resumable = self._codec.resumable
        try:
            ends: set[asyncio.Future[Any]] = {reader, writer, self._failure}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            error = self._error(reader, writer)
            if error is not None:
                await self._close_with_error(error, reader, writer)
                resumable = resumable and error.kind.resumable
            return error
        finally:
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)
            self.outbox.close()
            self._release_sessions(keep=resumable and not self._finished(writer))

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

    async def _close_with_error(
        self, error: ProtocolError, reader: asyncio.Task[None], writer: asyncio.Task[bool]
    ) -> None:
        """Send what waits, the error and the close; a client that does not read them in time goes without."""
        reader.cancel()
        self._closing = True
        last = self._codec.failed(error)
        if writer.done():
            # A message was given up: those behind it must not come, or the client would not miss what is missing.
            self.outbox.clear()
            writer = asyncio.create_task(self._write(self._rules.closing_seconds), name="connection writer")
        self.outbox.put(last)
        await asyncio.wait({writer}, timeout=self._rules.closing_seconds)
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)

    def _finished(self, writer: asyncio.Task[bool]) -> bool:
        """Whether the codec has closed the connection, and no error came before that."""
        ended = writer.done() and not writer.cancelled() and writer.exception() is None
        return ended and writer.result() and not self._failure.done()

    def _release_sessions(self, *, keep: bool) -> None:
        for opened, listener in self._opened.values():
            if not opened.session.detach(listener):
                continue
            if keep:
                self._sessions.keep(opened.session)
            else:
                self._sessions.discard(opened.session)

    async def _read(self) -> None:
        """Receive messages until the client has gone. Waits while too much audio waits for the recognizer."""
        while True:
            data = await self._receive()
            if data is None:
                return
            for instruction in self._codec.receive(data):
                await self._execute(instruction)

    async def _receive(self) -> str | bytes | None:
        started = bool(self._opened)
        seconds = self._rules.idle_seconds if started else self._rules.start_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._transport.receive()
        except TimeoutError:
            if started:
                raise ProtocolError("idle", f"neither audio nor keepalive came for {seconds:g} s") from None
            raise ProtocolError("start_timeout", f"no start came within {seconds:g} s") from None

    async def _execute(self, instruction: Instruction) -> None:
        match instruction:
            case ToClient(messages):
                self.outbox.put(messages)
            case ToStream(message=Start() as start, stream=number):
                self._open(number, start)
            case ToStream(message=KeepAlive()):
                pass
            case ToStream(message=message, stream=number):
                if number not in self._opened:
                    raise ProtocolError("out_of_order", "there is no open stream for this message")
                await self._opened[number][0].session.take(message)

    def _open(self, number: int, start: Start) -> None:
        """Open or resume a stream; nothing can come between what was missed and what comes from now on."""
        try:
            opened = self._open_session(start)
        except OptionError as error:
            raise ProtocolError("bad_option", str(error)) from error
        listener = _SessionListener(partial(self._deliver, number), self.outbox)
        self._opened[number] = opened, listener
        self.outbox.put(self._codec.opened(number, opened))
        opened.session.attach(listener)

    def _deliver(self, number: int, outcome: Outcome) -> None:
        if outcome.error is not None:
            self.fail(outcome.error)
        elif not self._closing:
            self.outbox.put(self._codec.outcome(number, outcome))

    async def _write(self, patience: float) -> bool:
        """Send what there is to send until the codec closes; False if the client has gone before.

        Raises ProtocolError "slow_reader" when a message cannot be sent for `patience` seconds.
        """
        try:
            while isinstance(message := await self.outbox.get(), Send):
                async with asyncio.timeout(patience):
                    await self._transport.send(message.data)
            async with asyncio.timeout(patience):
                await self._transport.close(message.code, message.reason)
        except TimeoutError:
            raise ProtocolError("slow_reader", f"a message was not read for {patience:g} s") from None
        except TransportClosedError:
            return False
        return True
