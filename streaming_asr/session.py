"""One stream as a state machine: audio in, events out; no thread, no clock, no I/O.

A session never calls the model. It goes on until a chunk is due, names the encoder stream that is due, and is given
the chunk: so one caller can step a single session, and an engine can step many of them in one batch.

Every utterance is encoded from its own first sample by an encoder stream of its own. Whatever ends an utterance while
speech goes on (an endpoint rule, `finalize()`) and whatever makes it necessary to decode one again (a fault, a resumed
connection) is therefore one and the same thing: open at a position and feed from the ring buffer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from streaming_asr.audio.detectors import SpeechDetector
from streaming_asr.audio.gate import Closed, Gate, GateEvent, GateOptions, Opened
from streaming_asr.audio.ring_buffer import RingBuffer
from streaming_asr.audio.samples import SAMPLE_RATE, Samples, milliseconds_to_samples, seconds
from streaming_asr.decoding import BeamWord
from streaming_asr.detection import DETECTION_MS, Candidate, Decoding, decide
from streaming_asr.endpointing import Endpoint, Endpointer, EndpointOptions
from streaming_asr.errors import OptionError, StreamClosedError
from streaming_asr.events import Alternative, EndReason, Event
from streaming_asr.model import Chunk, EncoderStream
from streaming_asr.reporting import Reporter
from streaming_asr.stabilizer import Stabilizer
from streaming_asr.text import Formatter
from streaming_asr.turns import TurnWatch
from streaming_asr.utterance import Utterance
from streaming_asr.waiting import Waiting

_RING_SLACK_MS: Final = 5_000
"""What the ring buffer holds beyond the longest utterance and the pre-roll."""

_UNBOUNDED_MS: Final = 120_000
"""Longest utterance that can be replayed after a fault where utterances have no maximum length."""

_PADDING: Final = milliseconds_to_samples(300)
"""Silence around speech that begins with the stream's first sample or is cut off: models expect it there."""

_SAID_TO_BE_OVER: Final = {"finalize": 1.0, "finish": 1.0}
"""Seconds of silence for which the caller's own word counts that an utterance is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """What one stream may choose for itself.

    `agreement_delay_ms`: a word that the best beam ended so long ago is committed although other beams disagree, and
    sooner the less probable they are; None waits until they agree.
    `partial_interval_ms`: at least so much audio between two partials; `partials=False` switches them off.
    `alternatives`: entries of a final's n-best list.
    `minimum_evidence`: letters, each weighted by its word's squared confidence, that an utterance must have before
    any event of it is made. What has less, such as a few letters that a model finds in music, gives no event.
    """

    gate: GateOptions = field(default_factory=GateOptions)
    endpoint: EndpointOptions = field(default_factory=EndpointOptions)
    agreement_delay_ms: float | None = 1_000
    partials: bool = True
    partial_interval_ms: float = 0
    alternatives: int = 1
    minimum_evidence: float = 0.0

    def __post_init__(self) -> None:
        if self.agreement_delay_ms is not None and not self.agreement_delay_ms >= 0:
            raise OptionError(f"agreement_delay_ms is {self.agreement_delay_ms}; it must be 0 or more, or None")
        if not 0 <= self.partial_interval_ms < float("inf"):
            raise OptionError(f"partial_interval_ms is {self.partial_interval_ms}; it must be 0 or more")
        if not 1 <= self.alternatives <= 100:
            raise OptionError(f"alternatives is {self.alternatives}; it must be from 1 to 100")
        if not 0 <= self.minimum_evidence < float("inf"):
            raise OptionError(f"minimum_evidence is {self.minimum_evidence}; it must be 0 or more letters")

    @property
    def hangover_ms(self) -> int:
        """How long the gate waits in silence at most: as the endpoint rule says, or else its own hangover."""
        trailing = self.endpoint.longest_trailing_ms
        return self.gate.hangover_ms if trailing is None else max(self.gate.frame_ms, round(trailing))


class Session:
    """A stream as a state machine: `push`, `finalize` and `finish` put work in, `advance` and `take` do it.

    Args:
        options: this stream's own.
        hop: samples per encoder frame.
        decodings: the languages that every utterance may be in. Of several, the best one is found out for each.
        formatted: whether events have the formatted words.
        detector: judges the gate's frames; None makes the one that the options describe.
        first_sample: position on the audio clock of the first sample that will come.
        first_utterance: number of the first utterance.
    """

    def __init__(
        self,
        options: SessionOptions,
        *,
        hop: int,
        decodings: Sequence[Decoding],
        formatted: bool = True,
        detector: SpeechDetector | None = None,
        first_sample: int = 0,
        first_utterance: int = 0,
    ) -> None:
        self.options = options
        self._hop = hop
        self._decodings = tuple(decodings)
        self._decoding = self._decodings[0]
        self._candidates: Sequence[Candidate] = ()
        self._frame_ms = hop * 1000 / SAMPLE_RATE
        self._endpointer = Endpointer(options.endpoint, frame_ms=self._frame_ms)
        self._turns = self._watch_for(options.endpoint)
        delay = options.agreement_delay_ms
        self._agreement_delay = None if delay is None else round(delay / self._frame_ms)
        self._block = milliseconds_to_samples(options.gate.frame_ms)
        self._gate = Gate(replace(options.gate, hangover_ms=options.hangover_ms), detector)
        longest_ms = options.endpoint.maximum_length_ms or _UNBOUNDED_MS
        slack = milliseconds_to_samples(options.hangover_ms + _RING_SLACK_MS) + options.gate.lookback_samples
        self._ring = RingBuffer(milliseconds_to_samples(longest_ms) + slack)
        self._clock_start = first_sample
        self._waiting = Waiting()
        self._ended = 0
        self._utterance: Utterance | None = None
        self._reporter = Reporter(
            partials=options.partials,
            partial_interval_ms=options.partial_interval_ms,
            minimum_evidence=options.minimum_evidence,
            first_utterance=first_utterance,
            formatter=self._decoding.formatter,
            formatted=formatted,
        )
        self._closed = False

    # What the caller puts in.

    def push(self, samples: Samples) -> None:
        """Take in audio at 16 kHz, shape (samples,), any length."""
        self._refuse_if_closed()
        self._reporter.received += len(samples)
        self._waiting.push(samples)

    def finalize(self) -> None:
        """End the utterance with all audio pushed so far; the stream stays open."""
        self._refuse_if_closed()
        self._waiting.command("finalize")

    def finish(self) -> None:
        """End the stream; all that was pushed is still decoded."""
        self._refuse_if_closed()
        self._waiting.command("finish")
        self._closed = True

    def set_endpoint(self, endpoint: EndpointOptions) -> None:
        """Change the endpoint rules from here on, for the utterance under way too."""
        self._catch_up()
        self.options = replace(self.options, endpoint=endpoint)
        self._turns = self._watch_for(endpoint)
        self._endpointer = Endpointer(endpoint, frame_ms=self._frame_ms)
        self._gate.set_hangover(self.options.hangover_ms)

    @property
    def patience(self) -> int:
        """Samples that must still be pushed, at least, before anything can come of them.

        Until then audio only waits: neither a chunk nor an event can be due, and who brings it may keep it as well.
        """
        return self._waiting.patience

    @property
    def acknowledged(self) -> int:
        """Position on the audio clock before which nothing will be needed again.

        All speech before it is in finals; a new session that starts there goes on without a gap.
        """
        if self._utterance is not None:
            return self._clock_start + self._utterance.start
        return self._clock_start + max(self._ended, self._gate.position - self.options.gate.lookback_samples)

    # What the driver of the model does.

    def advance(self) -> Sequence[EncoderStream]:
        """Go on until the model is needed; returns the encoder streams that are due, none when all input is used.

        There is more than one where the language of the utterance is not yet known.
        """
        if self.patience:
            return ()
        while True:
            utterance = self._utterance
            if self._candidates:
                due = [each.stream for each in self._utterances if each.stream.due]
                if due:
                    return due
                self._decide()
                utterance = self._utterance
            elif utterance is not None and utterance.stream.due:
                return (utterance.stream,)
            if utterance is not None and utterance.closing is not None:
                self._conclude(utterance, utterance.closing)
            elif not self._next():
                self._waiting.used_up(self._least_decisive())
                return ()

    def take(self, chunks: Sequence[Chunk]) -> None:
        """Decode the chunks that the encoder streams named by `advance` have given."""
        for each, chunk in zip(self._utterances, chunks, strict=True):
            each.take(chunk)
        self._decide()
        if self._candidates:
            return
        utterance = self._utterance
        assert utterance is not None, "a chunk came without an utterance"
        self._reporter.step(utterance, speech=self._speech_in(utterance))
        if utterance.closing is not None and not utterance.stream.due:
            return
        stabilizer = utterance.stabilizer
        words, committed = stabilizer.best().words, len(stabilizer.committed)
        trailing = self._adapt(utterance)
        endpoint = self._endpointer.decide(words, frames=stabilizer.frames, committed=committed, trailing_ms=trailing)
        # What ends within the padding has no audio to give on; it would begin again at the same sample.
        if endpoint is not None and utterance.position(endpoint.frame) > utterance.start:
            self._cut(utterance, endpoint)

    def replay(self) -> None:
        """Decode the utterance under way anew from the ring buffer, its encoder stream being lost to a fault.

        What was committed stands. Raises OverwrittenError if its beginning is no longer in the ring buffer.
        """
        lost = self._utterance
        self._waiting.hurry()
        if lost is None:
            return
        held = () if self._candidates else lost.stabilizer.committed
        known = None if self._candidates else self._decoding
        self._open(lost.start, stop=lost.fed, closing=lost.closing, held=held, known=known)

    def events(self) -> list[Event]:
        """The events since the last call, in order."""
        return self._reporter.events()

    # From samples to the encoder.

    def _least_decisive(self) -> int:
        """Samples, at least, of which something can come, now that all input is used."""
        decisive = self._gate.patience
        if self._utterance is not None:
            undecided = self._ring.end - self._utterance.fed
            decisive = min(decisive, *(utterance.stream.missing - undecided for utterance in self._utterances))
            if self._turns is not None:
                decisive = min(decisive, self._turns.patience(self._gate.silence) - undecided)
        return decisive

    def _catch_up(self) -> None:
        """Use the audio that waits, of which nothing comes, before a rule changes by which it might."""
        while self.patience and self._next():
            pass
        self._waiting.hurry()

    def _next(self) -> bool:
        """Use up one block of audio or one command; False when there is none."""
        match self._waiting.next():
            case None:
                return False
            case np.ndarray() as samples:
                self._push_block(samples)
            case "finalize":
                self._close("finalize")
            case "finish":
                self._gate_events(self._gate.finish(), closed_by="finish")
                self._close("finish")
        return True

    def _push_block(self, samples: Samples) -> None:
        """Push samples up to the end of the detector's frame: gate and encoder alternate on that grid for any cut.

        Frames of which only the last can decide something go in together; where turns are followed, that one alone, for
        what it decides hangs on those before it.
        """
        size = self._block - self._ring.end % self._block
        if len(samples) > size:
            decisive = self._ring.end + self._least_decisive()
            frames = -(-decisive // self._block) if self._turns is None else (decisive - 1) // self._block
            size = max(size, frames * self._block - self._ring.end)
        if len(samples) > size:
            self._waiting.put_back(samples[size:])
            samples = samples[:size]
        self._ring.append(samples)
        events = self._gate.push(samples)
        if events or self._gate.open:
            self._gate_events(events)
        if self._turns is not None and self._ring.end % self._block == 0:
            self._watch(self._turns)

    def _watch(self, turns: TurnWatch) -> None:
        """After frames of the gate: tell that the turn ends or goes on, and let the gate wait accordingly."""
        utterance = self._utterance
        if utterance is None or utterance.closing is not None or self._candidates:
            return
        every_frame = self._gate.frame == self._block
        frames = self._gate.decided if every_frame else [(self._gate.position, self._gate.silence)]
        for position, silence in frames:
            match turns.frame(utterance, size=self._block, position=position, silence=silence):
                case "ending":
                    self._reporter.turn_ending(utterance, position - silence, turns.completeness or 0.0)
                case "resumed":
                    self._reporter.turn_resumed(utterance, position)
        self._gate.set_hangover(round(turns.required_ms))

    def _watch_for(self, endpoint: EndpointOptions) -> TurnWatch | None:
        """Follows turns in the language that counts now. Raises OptionError if one of the languages has none."""
        watches = {decoding: _turns(endpoint, decoding.formatter) for decoding in self._decodings}
        return watches[self._decoding]

    def _adapt(self, utterance: Utterance) -> float | None:
        """After a step: let the gate wait as long as the new words ask; returns that in milliseconds, if it follows."""
        if self._turns is None:
            return None
        self._turns.look(utterance, position=self._gate.position, silence=self._gate.silence)
        self._gate.set_hangover(round(self._turns.required_ms))
        return self._turns.required_ms

    def _gate_events(self, events: Sequence[GateEvent], closed_by: EndReason = "silence") -> None:
        for event in events:
            match event:
                case Opened(position):
                    opened = self._open(position, stop=position)
                    self._reporter.speech_started(opened, opened.time(position))
                case Closed(position):
                    self._feed(position)
                    self._close(closed_by)
        if self._gate.open:
            self._feed(self._gate.position)

    def _open(
        self,
        start: int,
        *,
        stop: int,
        closing: EndReason | None = None,
        held: Sequence[BeamWord] = (),
        known: Decoding | None = None,
    ) -> Utterance:
        """Begin to encode at a position, with the audio up to `stop`; with `closing`, that is all of it.

        The utterance is decoded in the language that is `known`, or in all candidates.
        """
        decodings = self._decodings if known is None else (known,)
        opened = [Candidate(decoding, self._utterance_in(decoding, start, held)) for decoding in decodings]
        self._utterance = opened[0].utterance
        self._candidates = opened if len(opened) > 1 else ()
        self._feed(stop)
        if closing is not None:
            self._close(closing)
        return self._utterance

    def _utterance_in(self, decoding: Decoding, start: int, held: Sequence[BeamWord]) -> Utterance:
        """An utterance that begins at a position, in one language."""
        padding = round(_PADDING / self._hop) * self._hop
        return Utterance(
            start,
            hop=self._hop,
            lead=padding if start + self._clock_start == 0 else 0,
            clock_start=self._clock_start,
            special=decoding.special,
            stream=decoding.open_encoder(),
            stabilizer=Stabilizer(decoding.open_search(), agreement_delay=self._agreement_delay, held=held),
        )

    @property
    def _utterances(self) -> Sequence[Utterance]:
        """The utterance under way: in every language that it may be in, or in its own."""
        if self._candidates:
            return [candidate.utterance for candidate in self._candidates]
        return () if self._utterance is None else (self._utterance,)

    def _decide(self) -> None:
        """Go on in one language, as soon as enough of the utterance is decoded, or all of it."""
        if not self._candidates:
            return
        utterance = self._candidates[0].utterance
        over = utterance.closing is not None and not utterance.stream.due
        if not over and utterance.stabilizer.frames * self._frame_ms < DETECTION_MS:
            return
        decision = decide(self._candidates, frame_ms=self._frame_ms)
        self._candidates, self._utterance = (), decision.winner.utterance
        if self._decoding is not decision.winner.decoding:
            self._decoding = decision.winner.decoding
            self._turns = self._watch_for(self.options.endpoint)
        self._reporter.formatter, self._reporter.language = self._decoding.formatter, decision.detected

    def _feed(self, stop: int) -> None:
        """Give the utterance the audio up to a position, if it does not have it yet."""
        if self._utterance is not None and stop > self._utterance.fed:
            samples = self._ring.read(self._utterance.fed, stop)
            for utterance in self._utterances:
                utterance.feed(samples)

    def _close(self, reason: EndReason) -> None:
        cut_off = reason in ("finalize", "finish")
        for utterance in self._utterances:
            utterance.close(reason, trail=max(0, _PADDING - self._gate.silence) if cut_off else 0)

    # From words to events.

    def _cut(self, utterance: Utterance, endpoint: Endpoint) -> None:
        """End the utterance at an endpoint in the midst of speech; what was fed behind it begins the next one."""
        whole = endpoint.frame >= utterance.stabilizer.frames
        alternatives = utterance.finish(self.options.alternatives) if whole else utterance.cut(endpoint.frame)
        self._end(utterance, endpoint.reason, alternatives)
        self._open(utterance.position(endpoint.frame), stop=utterance.fed, closing=utterance.closing)

    def _conclude(self, utterance: Utterance, reason: EndReason) -> None:
        """End the utterance with all its audio; if the gate is still open, the next one begins right behind it."""
        self._end(utterance, reason, utterance.finish(self.options.alternatives))
        self._utterance = None
        self._ended = utterance.fed
        if self._gate.open and reason != "finish":
            self._open(utterance.fed, stop=utterance.fed)

    def _end(self, utterance: Utterance, reason: EndReason, alternatives: Sequence[Alternative]) -> None:
        silence = seconds(self._gate.silence) if reason == "silence" else _SAID_TO_BE_OVER.get(reason, 0.0)
        speech = self._speech_in(utterance)
        self._reporter.utterance_ended(utterance, reason, alternatives, speech=speech, silence=silence)

    def _speech_in(self, utterance: Utterance) -> bool:
        """Whether the gate has found speech in an utterance."""
        return self._gate.silence < utterance.fed - utterance.start

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StreamClosedError("the stream was finished; open a new one")


def _turns(endpoint: EndpointOptions, formatter: Formatter | None) -> TurnWatch | None:
    if endpoint.turn == "fixed":
        return None
    if formatter is None:
        raise OptionError("turn is 'adaptive', which needs a text model; here is none")
    return TurnWatch(endpoint, formatter)
