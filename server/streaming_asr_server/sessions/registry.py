"""Finds the session that a connection goes on with, and keeps those whose connection was lost, for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from streaming_asr.protocol import Clock, ProtocolError, Resume, Resumed
from streaming_asr_server.recognition.interface import StreamOpener
from streaming_asr_server.sessions.messages import OpenSession
from streaming_asr_server.sessions.outcomes import Meter, SessionEvent
from streaming_asr_server.sessions.session import ServerSession, SessionRules

SessionOpener: TypeAlias = Callable[[OpenSession], Awaitable["Opened"]]
"""What a connection is given to open its session with; raises OptionError or ProtocolError."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A session for a connection; `first_sample` is what it wants next, `missed` what the client may not have heard."""

    session: ServerSession
    first_sample: int
    resumed: Resumed
    missed: tuple[SessionEvent, ...] = ()


class SessionRegistry:
    """All sessions of a server.

    A session whose connection is lost waits `resume_seconds` for another; at most `maximum_waiting` wait, the one that
    has waited longest has to go first. `taken` is called with the name and owner of a session that goes on here and
    was begun elsewhere.
    """

    def __init__(
        self,
        recognition: StreamOpener,
        *,
        rules: SessionRules,
        resume_seconds: float = 30.0,
        maximum_waiting: int = 64,
        taken: Callable[[str, str], None] = lambda session, owner: None,
    ) -> None:
        self.resume_seconds: Final = resume_seconds
        self._recognition = recognition
        self._rules = rules
        self._maximum_waiting = maximum_waiting
        self._taken = taken
        self._sessions: dict[str, ServerSession] = {}
        self._waiting: dict[str, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[ServerSession]:
        return iter(self._sessions.values())

    @property
    def queued_seconds(self) -> float:
        """Audio of all sessions that waits for the recognizer."""
        return sum(session.queued_seconds for session in self)

    def open(self, wanted: OpenSession, *, owner: str, meter: Meter) -> Opened:
        """The session that is asked for: a new one, one that waits here, or one that another server began."""
        start, resume = wanted.start, wanted.start.resume
        if resume is None:
            return Opened(self._new(wanted, owner, meter), 0, "no")
        session = self._sessions.get(resume.session)
        if session is not None and session.owner == owner:
            if session.remembers(resume.utterance) and session.same_audio(start):
                self._stop_waiting(session)
                return Opened(session, session.received, "session", session.missed(resume.utterance))
            self.discard(session)
        elif session is None:
            self._taken(resume.session, owner)
        return Opened(self._new(wanted, owner, meter, resume), resume.acknowledged, "position")

    def find(self, name: str, *, owner: str) -> ServerSession | None:
        """A session of this owner."""
        session = self._sessions.get(name)
        return session if session is not None and session.owner == owner else None

    def keep(self, session: ServerSession) -> None:
        """Keep a session whose connection was lost."""
        if not session.alive or self.resume_seconds <= 0:
            self.discard(session)
            return
        while len(self._waiting) >= self._maximum_waiting:
            self.discard(self._sessions[next(iter(self._waiting))])
        loop = asyncio.get_running_loop()
        self._waiting[session.id] = loop.call_later(self.resume_seconds, self.discard, session)

    def give_up(self, names: Iterable[str]) -> None:
        """Forget sessions that go on elsewhere; those with a connection stay, for their client may have come back."""
        for name in names:
            if name in self._waiting:
                self.discard(self._sessions[name])

    def discard(self, session: ServerSession) -> None:
        """Forget a session and end its worker in the background."""
        self._stop_waiting(session)
        if self._sessions.pop(session.id, None) is not None:
            task = asyncio.get_running_loop().create_task(session.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Discard all sessions and wait for their workers."""
        for session in list(self._sessions.values()):
            self.discard(session)
        await asyncio.gather(*self._closing)

    def _new(self, wanted: OpenSession, owner: str, meter: Meter, resume: Resume | None = None) -> ServerSession:
        first_sample = resume.acknowledged if resume else 0
        first_utterance = resume.utterance if resume else 0
        position = Clock(wanted.start.sample_rate).from_client(first_sample)
        if position is None:
            raise ProtocolError("bad_option", f"resume.acknowledged is {first_sample}; that was never acknowledged")
        session = ServerSession(
            partial(
                self._recognition.open,
                formatted=wanted.formatted,
                first_sample=position,
                first_utterance=first_utterance,
            ),
            wanted,
            owner=owner,
            meter=meter,
            rules=self._rules,
            first_sample=first_sample,
            first_utterance=first_utterance,
        )
        self._sessions[session.id] = session
        return session

    def _stop_waiting(self, session: ServerSession) -> None:
        timer = self._waiting.pop(session.id, None)
        if timer is not None:
            timer.cancel()
