"""Resume without loss: the clock on which both ends agree, and what a client remembers of its stream."""

from __future__ import annotations

import typing
from collections import deque
from dataclasses import dataclass, replace
from math import gcd

from streaming_asr.audio.samples import SAMPLE_RATE
from streaming_asr.events import Event, Final, Partial, SpeechEnded, SpeechStarted, TurnEnding, TurnResumed
from streaming_asr.protocol.faults import ProtocolError
from streaming_asr.protocol.messages import (
    Acknowledged,
    AcknowledgedFinal,
    Audio,
    ClientMessage,
    Finalize,
    Finish,
    Finished,
    Resume,
    ServerMessage,
    Start,
    Started,
    Update,
)

PIECE_BYTES: typing.Final = 1 << 15
"""The most that is sent in one message when there is a backlog."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Positions at a client's `sample_rate` and on the library's clock, at the points where both meet exactly."""

    sample_rate: int

    def to_client(self, samples: int) -> int:
        """The last meeting point at or before a position on the 16 kHz clock, at the client's rate."""
        common = gcd(self.sample_rate, SAMPLE_RATE)
        return samples // (SAMPLE_RATE // common) * (self.sample_rate // common)

    def from_client(self, samples: int) -> int | None:
        """A meeting point at the client's rate, on the 16 kHz clock; None if the clocks do not meet there."""
        common = gcd(self.sample_rate, SAMPLE_RATE)
        steps, rest = divmod(samples, self.sample_rate // common)
        return None if rest else steps * (SAMPLE_RATE // common)


def updated(start: Start, update: Update) -> Start:
    """The options after an update; endpoint rules that it does not name stay as they are."""
    return replace(
        start,
        hotwords=start.hotwords if update.hotwords is None else update.hotwords,
        endpoint={**start.endpoint, **(update.endpoint or {})},
    )


class ClientStream:
    """What a client remembers of one stream, over all its connections: unacknowledged audio, and what it has heard.

    The application's side is `audio`, `update`, `finalize`, `finish`; the connection's side is `connected`,
    `next_message` and `received`. Memory is the audio since the last acknowledgement, `held_bytes`.
    """

    def __init__(self, start: Start) -> None:
        self._start = start
        self._frame_bytes: typing.Final = start.frame_bytes
        self._held = bytearray()
        self._held_from = 0
        self._sent = 0
        self._controls: deque[tuple[int, Update | Finalize | Finish]] = deque()
        self._controls_sent = 0
        self._introduced = False
        self._answered = False
        self._session: str | None = None
        self._acknowledged = 0
        self._utterance = 0
        self._speaking = -1
        self._unended: Final | None = None
        self.started: Started | None = None
        self.finished: Finished | None = None

    @property
    def acknowledged(self) -> int:
        """Samples before which no audio need be sent again."""
        return self._acknowledged

    @property
    def held_bytes(self) -> int:
        """Bytes that would have to be sent again after a drop."""
        return len(self._held)

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the present connection has not been given."""
        return self._end - self._sent

    @property
    def finishing(self) -> bool:
        """Whether `finish` was called."""
        return any(isinstance(message, Finish) for _, message in self._controls)

    @property
    def _end(self) -> int:
        return self._held_from + len(self._held)

    def audio(self, data: bytes) -> None:
        """Take in bytes of the declared encoding, cut anywhere."""
        self._held += data

    def update(self, update: Update) -> None:
        """Change hotwords or endpoint rules from here on."""
        self._controls.append((self._end, update))

    def finalize(self) -> None:
        """End the utterance here."""
        if not self._controls or self._controls[-1] != (self._end, Finalize()):
            self._controls.append((self._end, Finalize()))

    def finish(self) -> None:
        """No more audio."""
        if not self.finishing:
            self._controls.append((self._end, Finish()))

    def connected(self) -> None:
        """A new connection is there: the next message is `start`."""
        self._introduced = False
        self._answered = False
        self._sent, self._controls_sent = self._held_from, 0

    def next_message(self) -> ClientMessage | None:
        """The next message for the connection, or None if there is nothing to send yet."""
        if not self._introduced:
            self._introduced = True
            return replace(self._start, resume=self._resume())
        if self._session is not None and not self._answered:
            return None
        return self._next_piece()

    def received(self, message: ServerMessage) -> list[Event]:
        """Take in what the server said; returns what is news for the application."""
        match message:
            case Started():
                return self._go_on(message)
            case Acknowledged(samples):
                self._acknowledge(samples)
            case AcknowledgedFinal(final, acknowledged):
                self._acknowledge(acknowledged)
                return self._event(final)
            case Finished():
                self.finished = message
            case SpeechStarted() | Partial() | SpeechEnded():
                return self._event(message)
        return []

    def _resume(self) -> Resume | None:
        if self._session is None:
            return None
        return Resume(session=self._session, acknowledged=self._acknowledged, utterance=self._utterance)

    def _next_piece(self) -> ClientMessage | None:
        if self._controls_sent < len(self._controls):
            position, message = self._controls[self._controls_sent]
            if position <= self._sent:
                self._controls_sent += 1
                return message
            return self._next_audio(position)
        return self._next_audio(self._end) if self._sent < self._end else None

    def _next_audio(self, stop: int) -> Audio:
        start = self._sent - self._held_from
        stop = min(stop - self._held_from, start + PIECE_BYTES)
        self._sent = self._held_from + stop
        return Audio(bytes(memoryview(self._held)[start:stop]))

    def _go_on(self, started: Started) -> list[Event]:
        """Send from where the server wants it; what was said at or after that place is said again."""
        resumed, self._answered = self._session is not None, True
        self._session, self.started = started.session, started
        if not resumed:
            return []
        first = started.first_sample * self._frame_bytes
        if not self._held_from <= first <= self._end:
            raise ProtocolError(
                "out_of_order", f"the server wants audio from sample {started.first_sample} on; there is none"
            )
        self._sent = first
        self._controls_sent = sum(position < first for position, _ in self._controls)
        return self._make_up_for_lost_end()

    def _make_up_for_lost_end(self) -> list[Event]:
        """A final whose `speech_ended` was lost is over all the same; no server says so again."""
        final, self._unended = self._unended, None
        return [] if final is None else [SpeechEnded(final.utterance, final.end, final.reason, final.lag)]

    def _acknowledge(self, samples: int) -> None:
        if samples <= self._acknowledged:
            return
        self._acknowledged = samples
        position = min(samples * self._frame_bytes, self._sent)
        if position > self._held_from:
            del self._held[: position - self._held_from]
            self._held_from = position
        while self._controls_sent and self._controls[0][0] < position and not isinstance(self._controls[0][1], Finish):
            self._settle(self._controls.popleft()[1])
            self._controls_sent -= 1

    def _settle(self, message: Update | Finalize | Finish) -> None:
        """A change before the acknowledged sample is part of the options with which one would start there."""
        if isinstance(message, Update):
            self._start = updated(self._start, message)

    def _event(self, event: Event) -> list[Event]:
        """Pass on what the application has not had yet."""
        number = event.utterance
        match event:
            case SpeechStarted() if number > self._speaking:
                self._speaking = number
            case Partial() | TurnEnding() | TurnResumed() if number >= self._utterance:
                pass
            case Final() if number >= self._utterance:
                self._utterance, self._unended = number + 1, event
            case SpeechEnded() if number >= self._utterance or self._unended is not None:
                self._utterance, self._unended = number + 1, None
            case _:
                return []
        return [event]
