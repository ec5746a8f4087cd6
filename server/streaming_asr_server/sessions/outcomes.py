"""What a session reports of a client's messages, and to whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from streaming_asr.events import Event
from streaming_asr.protocol import ProtocolError
from streaming_asr_server.sessions.inbox import Item


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """An event of one channel, and the sample before which no audio is needed by one who has the event.

    The sample is counted at the client's rate.
    """

    event: Event
    acknowledged: int
    channel: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A part of what came of the client's messages: events, or an error that ends the session.

    Attributes:
        cause: what was done. Audio may have several outcomes, and several messages of audio may have one.
        events: in order.
        acknowledged, samples: positions at the client's own rate; `samples` is all that was decoded so far.
        position: seconds of audio that were decoded so far.
        messages: how many messages of audio are done with this outcome.
        channels: how many channels are recognized each for itself; None as long as the audio has not said it.
        rejected: why audio could not be decoded; the session goes on without it.
        error: why the session has ended.
    """

    cause: Item
    events: tuple[SessionEvent, ...] = ()
    acknowledged: int = 0
    samples: int = 0
    position: float = 0.0
    messages: int = 0
    channels: int | None = 1
    rejected: str | None = None
    error: ProtocolError | None = None


class Listener(Protocol):
    """Is notified of what came of a session's messages: one connection at a time."""

    def notify(self, outcome: Outcome) -> None:
        """Take in an outcome; must not raise."""

    async def room(self) -> None:
        """Wait until more can be taken in: that stops a session whose client does not read."""


class Meter(Protocol):
    """Counts what a session does: for metrics, and for the minutes of a key."""

    def audio(self, seconds: float) -> None:
        """So much audio was decoded. Raises ProtocolError "minutes_used_up"."""

    def event(self, event: Event) -> None: ...

    def error(self, error: ProtocolError) -> None: ...


class Spectator(Protocol):
    """Who is told what a session says, whichever connection hears it; must not raise."""

    def event(self, event: Event) -> None: ...

    def ended(self) -> None:
        """The session is over, or has another spectator."""
