"""One client's connection: its messages go to sessions, and what comes of them goes back to the client.

Every wire protocol uses the same connection. A codec is sans I/O: it turns wire messages into instructions, and
outcomes into wire messages. A connection has one session, which may recognize several channels.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from streaming_asr.errors import OptionError, StreamingAsrError
from streaming_asr.protocol import ProtocolError
from streaming_asr_server.connection.outbox import Outbox, Outgoing, Send
from streaming_asr_server.connection.transport import Transport, TransportClosedError
from streaming_asr_server.sessions.messages import OpenSession, SessionMessage
from streaming_asr_server.sessions.outcomes import Outcome
from streaming_asr_server.sessions.registry import Opened, SessionOpener, SessionRegistry
from streaming_asr_server.sessions.session import ServerSession

logger = logging.getLogger(__name__)

_SMALL_MESSAGE: Final = 16 * 1024
"""Bytes of the largest message that is taken on the spot, by the callback of the socket."""

_OPEN_ALREADY: Final = "the stream is open already"


@dataclass(frozen=True, slots=True)
class ToSession:
    """A message for the session: `OpenSession` opens it, the others need it to be open."""

    message: OpenSession | SessionMessage


@dataclass(frozen=True, slots=True)
class ToClient:
    """Messages that are sent at once, without the session."""

    messages: tuple[Outgoing, ...]


Instruction: TypeAlias = ToSession | ToClient


class OpeningRefusedError(StreamingAsrError):
    """A session cannot be opened; `messages` say so to the client, and close the connection."""

    def __init__(self, messages: Sequence[Outgoing]) -> None:
        super().__init__("the session was refused")
        self.messages: Final = messages


class Codec(Protocol):
    """Translates between one wire protocol and the library; no I/O, no clock."""

    @property
    def resumable(self) -> bool:
        """Whether a session waits for its client when the connection is lost."""

    def receive(self, data: str | bytes) -> Sequence[Instruction]:
        """What a message of the client means. Raises ProtocolError."""

    def opened(self, opened: Opened) -> Sequence[Outgoing]:
        """What to send when the session has been opened."""

    def outcome(self, outcome: Outcome) -> Sequence[Outgoing]:
        """What to send when a message was dealt with, or a part of it; called also if nothing came of it."""

    def failed(self, error: ProtocolError) -> Sequence[Outgoing]:
        """What to send when the connection has to end, with a `Close` last."""


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
        open_session: SessionOpener,
        rules: ConnectionRules,
    ) -> None:
        self.outbox: Final = Outbox()
        self._transport = transport
        self._codec = codec
        self._sessions = sessions
        self._open_session = open_session
        self._rules = rules
        self._session: ServerSession | None = None
        self._listener: Final = _SessionListener(self._deliver, self.outbox)
        self._loop: Final = asyncio.get_running_loop()
        self._failure: asyncio.Future[ProtocolError] = self._loop.create_future()
        self._closing = False
        self._heard_at = 0.0

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
        session = self._session
        if session is None or not session.detach(self._listener):
            return
        if keep:
            self._sessions.keep(session)
        else:
            self._sessions.discard(session)

    async def _read(self) -> None:
        """Receive messages until the client has gone. Waits while too much audio waits for the recognizer."""
        while True:
            data = await self._receive()
            if data is None:
                return
            try:
                for instruction in self._codec.receive(data):
                    await self._execute(instruction)
            except OpeningRefusedError as refused:
                # What came with it is for nobody.
                self.outbox.put(refused.messages)

    async def _receive(self) -> str | bytes | None:
        """The next message that has to be waited for, or that could not be taken on the spot."""
        started = self._session is not None
        seconds = self._rules.idle_seconds if started else self._rules.start_seconds
        self._heard_at, waited_from = self._loop.time(), -1.0
        while waited_from < self._heard_at:
            waited_from = self._heard_at
            with suppress(TimeoutError):
                async with asyncio.timeout_at(waited_from + seconds):
                    return await self._transport.receive(self._taken)
        if started:
            raise ProtocolError("idle", f"neither audio nor keepalive came for {seconds:g} s")
        raise ProtocolError("start_timeout", f"no start came within {seconds:g} s")

    def _taken(self, data: str | bytes) -> bool:
        """Take a small message on the spot, if nothing has to be waited for: most audio comes in such."""
        session = self._session
        if session is None or len(data) > _SMALL_MESSAGE or not session.has_room or self._failure.done():
            return False
        self._heard_at = self._loop.time()
        try:
            for instruction in self._codec.receive(data):
                self._execute_now(instruction, session)
        except ProtocolError as error:
            self.fail(error)
        except Exception:
            logger.exception("a connection failed")
            self.fail(ProtocolError("internal", "the server failed"))
        return True

    def _execute_now(self, instruction: Instruction, session: ServerSession) -> None:
        match instruction:
            case ToClient(messages):
                self.outbox.put(messages)
            case ToSession(message):
                if isinstance(message, OpenSession):
                    raise ProtocolError("out_of_order", _OPEN_ALREADY)
                session.take_now(message, listener=self._listener)

    async def _execute(self, instruction: Instruction) -> None:
        match instruction:
            case ToClient(messages):
                self.outbox.put(messages)
            case ToSession(message):
                await self._to_session(message)

    async def _to_session(self, message: OpenSession | SessionMessage) -> None:
        if isinstance(message, OpenSession):
            await self._open(message)
        elif self._session is None:
            raise ProtocolError("out_of_order", "there is no open stream for this message")
        else:
            await self._session.take(message, listener=self._listener)

    async def _open(self, wanted: OpenSession) -> None:
        """Open or resume the session, once its model is there.

        Nothing can come between what was missed and what comes from now on.
        """
        if self._session is not None:
            raise ProtocolError("out_of_order", _OPEN_ALREADY)
        try:
            opened = await self._open_session(wanted)
        except OptionError as error:
            raise ProtocolError("bad_option", str(error)) from error
        self._session = opened.session
        self.outbox.put(self._codec.opened(opened))
        opened.session.attach(self._listener)

    def _deliver(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self.fail(outcome.error)
        elif not self._closing:
            self.outbox.put(self._codec.outcome(outcome))

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
