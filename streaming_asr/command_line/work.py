"""The work of `transcribe`: inputs one behind the other, a long one on several cores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from streaming_asr.audio.encodings import Frames
from streaming_asr.audio.sources import FileSource, Source, StandardInput, paced
from streaming_asr.command_line.delivery import Delivery
from streaming_asr.command_line.hints import hint
from streaming_asr.command_line.inputs import STANDARD_INPUT, is_pipe, is_raw, open_input
from streaming_asr.command_line.interruption import Interruption
from streaming_asr.command_line.options import ChoiceOptions, ModelOptions, RawAudioOptions, RecognitionOptions
from streaming_asr.command_line.recognition_loop import show, watched
from streaming_asr.command_line.recognizers import ConfiguredRecognizer, open_recognizer, unspellable
from streaming_asr.command_line.terminals import announce
from streaming_asr.command_line.transcripts import GrowingTranscript, Input
from streaming_asr.command_line.workers import LONG_SECONDS, Workers
from streaming_asr.errors import StreamingAsrError
from streaming_asr.events import Event
from streaming_asr.recognition import stream_events


@dataclass(frozen=True, slots=True)
class Wish:
    """The options of `transcribe`, without those of its output; `workers` processes for a long recording."""

    model: ModelOptions
    recognition: RecognitionOptions
    raw: RawAudioOptions
    choice: ChoiceOptions
    workers: int


@dataclass(slots=True)
class Work:
    """Transcribes inputs; recognizers are loaded when the first input needs them, and closed by `stack`."""

    stack: ExitStack
    wish: Wish
    delivery: Delivery
    interruption: Interruption
    _recognizer: ConfiguredRecognizer | None = field(default=None, init=False)
    _workers: Workers | None = field(default=None, init=False)

    def prepare(self, one: Input) -> None:
        """Load what the input needs; an error here is the end of all of them."""
        wish = self.wish
        if self._goes_to_workers(one):
            if self._workers is None:
                workers = Workers(wish.workers, wish.model, wish.recognition)
                self._workers = self.stack.enter_context(workers)
                tell_unspellable(self._workers.load())
        elif self._recognizer is None:
            self._recognizer = self.stack.enter_context(open_recognizer(wish.model, wish.recognition))
            if wish.model.server is None:
                tell_unspellable(unspellable(self._recognizer, wish.recognition))

    def use(self, recognizer: ConfiguredRecognizer) -> None:
        """Recognize with this one, which is closed by its owner."""
        self._recognizer = recognizer

    def transcribe(self, one: Input) -> None:
        """Transcribe one input; where it is damaged, what was heard before is written before the error goes on."""
        transcript = GrowingTranscript(one)
        with open_input(one.name, self.wish.raw, channel=one.channel, track=self.wish.choice.track_key) as source:
            self.delivery.begin(one.label)
            try:
                with self.delivery.display(one.label, source) as display:
                    asked = self.interruption.until_asked(paced(source) if self.delivery.realtime else source)
                    pieces = watched(asked, source.sample_rate, display, transcript)
                    show(self._events(one, source, pieces), display, transcript)
            except StreamingAsrError:
                if transcript.finals:
                    self.delivery.write(transcript)
                raise
        self.delivery.write(transcript)
        self._tell(source, transcript)

    def _events(self, one: Input, source: Source, pieces: Iterator[Frames]) -> Iterable[Event]:
        if self._workers is not None and self._goes_to_workers(one):
            return self._workers.finals(pieces)
        assert self._recognizer is not None, "prepare() has loaded what the input needs"
        return stream_events(self._recognizer.stream(sample_rate=source.sample_rate, channels=source.channels), pieces)

    def _goes_to_workers(self, one: Input) -> bool:
        """Whether it pays to recognize parts of the input at once; what cannot be opened is told by `transcribe`."""
        if self.wish.workers == 1 or not self.wish.recognition.gate:
            return False
        if one.name == STANDARD_INPUT or is_pipe(one.name) or is_raw(one.name):
            return False
        try:
            with FileSource(one.name, channel=one.channel, track=self.wish.choice.track_key) as source:
                return source.duration is not None and source.duration >= LONG_SECONDS
        except (StreamingAsrError, OSError):
            return False

    def _tell(self, source: Source, transcript: GrowingTranscript) -> None:
        """What is missing, and what to try; one line on standard error."""
        notes = list(source.notes) if isinstance(source, FileSource) else []
        raw = self.wish.raw if isinstance(source, StandardInput) else None
        beginning = source.beginning if isinstance(source, StandardInput) else b""
        advice = hint(transcript.sound, transcript.finals, raw, beginning)
        if (notes or advice) and not self.interruption.asked:
            said = "; ".join([*notes, *([advice] if advice else [])])
            announce(f"streaming-asr: {transcript.input.label}: {said}")


def tell_unspellable(missing: Mapping[str, str]) -> None:
    """Hotwords that the model cannot write are left out; say so."""
    for word, letters in missing.items():
        announce(f"streaming-asr: the hotword {word!r} is left out: the model has no letter for {letters!r}")
