"""Deepgram's conversational transcription (`/v2/listen`, Flux) as a codec.

A turn begins with its first word. While it lasts, every change of its transcript is an `Update`; where the speaker
seems to be done, an `EagerEndOfTurn` (if the client asked for it), which `TurnResumed` takes back; then `EndOfTurn`.
An utterance that is cut because it is too long does not end a turn: the next one goes on with it.

| state   | audio      | ForceEndTurn | Configure         | CloseStream    | other text |
|---------|------------|--------------|-------------------|----------------|------------|
| open    | recognized | flushed      | applied, answered | flush, closing | `Warning`  |
| closing | dropped    | dropped      | dropped           | dropped        | dropped    |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from streaming_asr import events
from streaming_asr.events import Event, Formatted, Partial, TurnEnding, TurnResumed, Word
from streaming_asr_server.adapter.interface import (
    Action,
    CodecFailure,
    EndStream,
    EndUtterance,
    Outgoing,
    PushAudio,
    UpdateHotwords,
    UpdateTurns,
    close_with,
)
from streaming_asr_server.connection.outbox import Close, Send
from streaming_asr_server.protocols.deepgram import flux_messages
from streaming_asr_server.protocols.deepgram.flux_messages import (
    ConfigureFlux,
    FluxMessage,
    ForceEndTurn,
    Trigger,
    TurnEvent,
    TurnState,
    Writer,
)
from streaming_asr_server.protocols.deepgram.flux_options import FluxListen, weighted
from streaming_asr_server.protocols.deepgram.messages import CloseStream, Unreadable
from streaming_asr_server.protocols.deepgram.options import MAXIMUM_TERMS

_CLOSE_CODES: Final = {"audio": 1008, "request": 1008, "idle": 1011, "limit": 1008, "shutdown": 1012, "server": 1011}
_ERROR_CODES: Final = {"audio": "UNDECODABLE_AUDIO", "idle": "TIMEOUT", "server": "INTERNAL_SERVER_ERROR"}


@dataclass(slots=True)
class _Turn:
    """The turn under way; `before` are the utterances of it that are over."""

    before: tuple[Formatted, ...] = ()
    shown: Formatted | None = None
    start: float = 0.0
    end: float = 0.0
    confidence: float = 0.0
    ending: bool = False
    """A `TurnEnding` holds."""
    eager: bool = False
    """The client was told so."""

    @property
    def transcript(self) -> str:
        return " ".join(part.text for part in self._parts())

    @property
    def words(self) -> Sequence[Word]:
        return [word for part in self._parts() for word in part.words]

    def _parts(self) -> Sequence[Formatted]:
        return [*self.before, *([self.shown] if self.shown else [])]


class FluxCodec:
    """One connection of a Flux client; see `ForeignCodec` for how it is driven."""

    def __init__(self, listen: FluxListen, request_id: str) -> None:
        self._listen: Final = listen
        self._write: Final = Writer(request_id)
        self._thresholds = listen.thresholds
        self._keyterms = listen.keyterms
        self._turn: _Turn | None = None
        self._index = 0
        self._open = False
        self._closing = False

    def greeting(self) -> Sequence[Outgoing]:
        """`Connected`."""
        return [Send(self._write.connected())]

    def receive(self, raw: str | bytes) -> Sequence[Action]:
        """See the table of the module. Recognition begins with the first message that needs it."""
        if self._closing:
            return []
        actions = self._understood(flux_messages.read(raw))
        if self._open or not actions or isinstance(actions[0], Send):
            return actions
        self._open = True
        return [self._listen.open(), *actions]

    def _understood(self, message: PushAudio | FluxMessage) -> Sequence[Action]:
        match message:
            case PushAudio(data=data):
                return [message] if data else []
            case ForceEndTurn():
                return [EndUtterance(None)]
            case CloseStream():
                self._closing = True
                return [EndStream()]
            case ConfigureFlux():
                return self._configure(message)
            case Unreadable(problem=problem):
                return [Send(self._write.warning("UNPARSABLE_CLIENT_MESSAGE", problem))]

    def _configure(self, wanted: ConfigureFlux) -> Sequence[Action]:
        try:
            thresholds = self._thresholds.changed(wanted.thresholds)
        except ValueError as error:
            return [Send(self._write.not_configured("INVALID_THRESHOLD", str(error)))]
        if wanted.keyterms is not None and len(wanted.keyterms) > MAXIMUM_TERMS:
            problem = f"{len(wanted.keyterms)} keyterms were sent; at most {MAXIMUM_TERMS} are taken"
            return [Send(self._write.not_configured("KEYTERM_LIMIT_EXCEEDED", problem))]
        self._thresholds = thresholds
        actions: list[Action] = [UpdateTurns(thresholds.turns())] if self._listen.adaptive else []
        if wanted.keyterms is not None:
            self._keyterms = wanted.keyterms
            actions.append(UpdateHotwords(weighted(wanted.keyterms)))
        return [*actions, Send(self._write.configured(thresholds.told(), self._keyterms))]

    def channels_known(self, channels: int) -> None:
        """Flux mixes all channels."""

    def event(self, channel: int, event: Event) -> Sequence[Outgoing]:
        """Recognition said something."""
        match event:
            case Partial(start=start, end=end) if event.words:
                return self._heard(event.readable, start, end)
            case TurnEnding():
                return self._ending(event)
            case TurnResumed(time=time):
                return self._resumed(time)
            case events.Final():
                return self._final(event)
        return []

    def _heard(self, shown: Formatted, start: float, end: float) -> Sequence[Outgoing]:
        begins = self._turn is None
        turn = self._turn = self._turn or _Turn(start=start)
        turn.shown, turn.end = shown, max(turn.end, end)
        text = self._told("StartOfTurn" if begins else "Update", turn)
        return [Send(text) if begins else Send(text, replaces=0)]

    def _ending(self, ending: TurnEnding) -> Sequence[Outgoing]:
        turn = self._turn
        if turn is None:
            return []
        turn.confidence, turn.ending = ending.completeness, True
        asked = self._thresholds.eager
        if asked is None or ending.completeness < asked or turn.eager:
            return []
        turn.eager = True
        return [Send(self._told("EagerEndOfTurn", turn))]

    def _resumed(self, time: float) -> Sequence[Outgoing]:
        turn = self._turn
        if turn is None:
            return []
        told, turn.ending, turn.eager, turn.confidence = turn.eager, False, False, 0.0
        turn.end = max(turn.end, time)
        return [Send(self._told("TurnResumed", turn))] if told else []

    def _final(self, final: events.Final) -> Sequence[Outgoing]:
        messages: list[Outgoing] = []
        if self._turn is None:
            messages += self._heard(final.readable, final.start, final.end)
        turn = self._turn
        assert turn is not None, "a turn begins with its first word"
        turn.shown, turn.end = final.readable, max(turn.end, final.end)
        if final.reason == "maximum_length":
            turn.before, turn.shown = (*turn.before, final.readable), None
            return messages
        return [*messages, *self._end(turn, "manual" if final.reason in ("finalize", "finish") else None)]

    def _end(self, turn: _Turn, trigger: Trigger | None) -> Sequence[Outgoing]:
        """A turn that ended by silence ended by its sense if it was told as ending, else by the timeout."""
        cause: Trigger = trigger or ("model" if turn.ending else "timeout")
        text = self._told("EndOfTurn", turn, cause)
        self._turn, self._index = None, self._index + 1
        return [Send(text)]

    def _told(self, event: TurnEvent, turn: _Turn, trigger: Trigger | None = None) -> str:
        state = TurnState(self._index, turn.start, turn.end, turn.transcript, turn.words, turn.confidence)
        return self._write.turn(event, state, trigger)

    def audio_recognized(self, pieces: int, position: float) -> Sequence[Outgoing]:
        """Nothing follows from silence alone."""
        return []

    def utterance_ended(self, channel: int | None, position: float) -> Sequence[Outgoing]:
        """A turn whose last utterance was cut, and behind which nothing was said, ends here too."""
        return self._end(self._turn, "manual") if self._turn is not None else []

    def finished(self, position: float) -> Sequence[Outgoing]:
        """The end of a turn that is left, then the close."""
        rest = self._end(self._turn, "manual") if self._turn is not None else []
        return [*rest, Close(1000)]

    def failed(self, failure: CodecFailure) -> Sequence[Outgoing]:
        """Every failure ends the connection, with a code that says whose fault it is."""
        self._closing = True
        text = self._write.error(_ERROR_CODES.get(failure.kind, failure.kind.upper()), failure.message)
        return [Send(text), close_with(_CLOSE_CODES[failure.kind], failure.message)]
