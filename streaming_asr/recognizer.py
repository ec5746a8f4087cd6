"""`Recognizer`, shared by all streams of a process, and `Stream`, one per source of audio."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from itertools import repeat
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self, TypedDict, Unpack

from streaming_asr.audio.encodings import Encoding, PcmPiece
from streaming_asr.audio.gate import GateOptions
from streaming_asr.audio.input import AudioInput
from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from streaming_asr.audio.sources import Source
from streaming_asr.checkpoints.checkpoint import read_checkpoint
from streaming_asr.checkpoints.tags import language_tag
from streaming_asr.decoding import Hotwords, warm_up_search
from streaming_asr.detection import MAXIMUM_CANDIDATES, Decoding
from streaming_asr.endpointing import EndpointOptions
from streaming_asr.engine import Engine, Work
from streaming_asr.events import Event
from streaming_asr.languages import AUTO, Language, LanguageLoader, Languages
from streaming_asr.latency import OFFLINE_MODEL_LATENCY, Latency
from streaming_asr.model import Encoder, EncoderStream
from streaming_asr.recognition import recognize, transcribe
from streaming_asr.searches import HotwordList, SearchFactory
from streaming_asr.session import Session, SessionOptions
from streaming_asr.sharing import SharedProcessor
from streaming_asr.text import FormatOptions, Formatter, spellings
from streaming_asr.transcript import Transcript

_PIECE: Final = 10 * SAMPLE_RATE
"""The most audio in one job of the engine, so that a long recording pushed at once does not hold up other streams."""

_SMALL_PIECE: Final = SAMPLE_RATE // 2
"""The most audio that the calling thread gates and buffers itself: a packet, but not a recording."""


class StreamOptions(TypedDict, total=False):
    """The options of `Recognizer.stream` that do not describe the audio; a source describes its audio itself."""

    language: str | None
    channel: int | None
    hotwords: HotwordList | None
    beam_width: int
    latency: Latency | None
    gate: GateOptions | None
    endpoint: EndpointOptions | None
    agreement_delay_ms: float | None
    partials: bool
    partial_interval_ms: float
    alternatives: int
    minimum_evidence: float | None
    formatted: FormatOptions | bool


class Recognizer:
    """A model ready to recognize: shared by any number of streams and threads, and never changed.

    Made by `Recognizer.load`. Its streams run on one inference thread, which steps all of them in batches.
    It is a context manager; `close()` ends the thread.
    """

    def __init__(
        self,
        encoder: Encoder,
        languages: Languages,
        *,
        latency: Latency | None = None,
        minimum_evidence: float = 0.0,
        processor: SharedProcessor | None = None,
    ) -> None:
        self.encoder: Final = encoder
        self.languages: Final = languages
        """The languages that streams may name, and what belongs to each."""
        self.latency: Final = (latency or Latency()).over(OFFLINE_MODEL_LATENCY)
        """What suits the model; for one that was trained for streaming, what its configuration recommends."""
        self.minimum_evidence: Final = minimum_evidence
        """Letters, weighted by squared confidence, without which this model's utterances are taken for noise."""
        self.engine: Final = Engine(encoder if processor is None else processor.share(encoder))

    @classmethod
    def load(
        cls,
        name: str | Path | None = None,
        *,
        language: str | None = None,
        languages: Sequence[str] | Literal["all"] | None = None,
        maximum_languages: int = 32,
        load_languages: Literal["now", "when_asked"] = "now",
        revision: str | None = None,
        device: str = "cpu",
        precision: Literal["float32", "int8", "bfloat16"] = "float32",
        language_model: str | Path | Mapping[str, str | Path] | None = "auto",
        text_model: str | Path | Mapping[str, str | Path] | None = "auto",
        processor: SharedProcessor | None = None,
    ) -> Recognizer:
        """Load a wav2vec2 CTC checkpoint.

        Languages are named by ISO 639 or BCP 47 codes ("fra", "fr", "fr-CA"), or as the checkpoint names them.

        Args:
            name: a folder or a hub name; None is the embedded English model.
            language: of a checkpoint of many languages (MMS) the one of streams that name none; None takes the first of
                `languages`, else the checkpoint's own. Of another checkpoint it declares the language, which has to
                agree with what the checkpoint states of itself.
            languages: the languages that streams may name. A list is loaded now; "all" are those that the checkpoint
                has, each loaded when a stream first asks for it; None is the one of `language`.
            maximum_languages: the most that are held beside that of `language`; the least recently used are let go.
            load_languages: "when_asked" loads those of a list as late as "all".
            revision: branch, tag or commit on the hub.
            device: where the encoder runs, "cpu" or "cuda".
            precision: "int8" (CPU) and "bfloat16" trade a little accuracy for speed.
            language_model: a folder of a processor with a language model, an ARPA, .npz or KenLM file; "auto" takes
                the one in the checkpoint's folder `language_model` (of a checkpoint of many languages, in
                `language_model/CODE`), if it can be read (a KenLM binary needs the extra 'lm'); None decodes without.
                A mapping names one for each language; a path alone is for the language of streams that name none.
            text_model: what sets marks, capitals and figures: "english" for the embedded one, a folder of
                `training.text.export`, or None; "auto" takes the one in the checkpoint's folder `text_model` (of a
                checkpoint of many languages, in `text_model/CODE`), and the embedded one for English. A mapping and a
                path alone are as for `language_model`.
            processor: recognizers that are given the same one step in turn, so that they do not get in each other's
                way; None steps whenever there is something to do.

        Raises:
            CheckpointError: the checkpoint cannot be used, or has no such language.
            MissingExtraError: the extra 'recognizer' is not installed, or 'lm' for a KenLM binary asked for by path.
            OptionError: the device is not there, or does not have the precision; or `maximum_languages` is below 1.
        """
        first = language or (languages[0] if languages and languages != "all" else None)
        checkpoint = read_checkpoint(name, language=first, revision=revision)
        encoder = Encoder.from_checkpoint(checkpoint, device=device, precision=precision)
        loader = LanguageLoader(checkpoint, encoder, language_model, text_model)
        loaded = Languages.load(loader, languages, maximum=maximum_languages, now=load_languages == "now")
        warm_up_search(loaded.default.alphabet, loaded.default.language_model)
        return cls(
            encoder,
            loaded,
            latency=Latency(**checkpoint.config.get("streaming", {})),
            minimum_evidence=checkpoint.config.get("minimum_evidence", 0.0),
            processor=processor,
        )

    @property
    def language(self) -> str | None:
        """The language of streams that name none; None if the checkpoint does not say it."""
        return self.languages.default.code

    def stream(
        self,
        *,
        sample_rate: int,
        language: str | None = None,
        encoding: Encoding | None = None,
        channels: int = 1,
        channel: int | None = None,
        hotwords: HotwordList | None = None,
        beam_width: int = 50,
        latency: Latency | None = None,
        gate: GateOptions | None = None,
        endpoint: EndpointOptions | None = None,
        agreement_delay_ms: float | None = 1_000,
        partials: bool = True,
        partial_interval_ms: float = 0,
        alternatives: int = 1,
        minimum_evidence: float | None = None,
        formatted: FormatOptions | bool = True,
        first_sample: int = 0,
        first_utterance: int = 0,
    ) -> Stream:
        """Open a stream; no option of it touches another stream.

        Args:
            sample_rate: of what will be pushed, 8000 to 192000 samples per second. It has no default: audio at another
                rate than declared gives wrong words and no error.
            language: one of the recognizer's `languages`, loaded if it is not yet; None is its `language`. "auto" finds
                it out for each utterance, among those that are loaded, 8 at most: its first seconds are decoded in all
                of them, without partials, then it goes on in the best one, which partials and finals tell.
            encoding: how bytes that are pushed are to be read; None if only arrays will be pushed.
            channels: interleaved channels.
            channel: the one channel to recognize, from 0; None for the mean of all.
            hotwords: words to favour, with or without a weight each.
            beam_width: beams of the search; 1 is the greedy search, without language model and hotwords.
            latency: how much audio is encoded at a time; None takes what suits the model.
            gate: when audio counts as speech.
            endpoint: when an utterance is over.
            agreement_delay_ms: a word that the best beam ended so long ago is committed although other beams
                disagree, and sooner the less probable they are; None waits until they agree.
            partials: whether partials are made.
            partial_interval_ms: at least so much audio between two partials.
            alternatives: entries of a final's n-best list, 1 to 100.
            minimum_evidence: letters, each weighted by its word's squared confidence, that an utterance must have
                before any event of it is made; None leaves it to the model.
            formatted: whether partials and finals come with marks, capitals and figures too, if there is a text model;
                `FormatOptions` say which of them.
            first_sample: position on the audio clock, in samples at 16 kHz, of the first sample, for a stream that
                continues where another was lost.
            first_utterance: number of the first utterance, for the same.

        Raises:
            OptionError: an option has a value that cannot work, or the recognizer does not have the language.
            CheckpointError: the files of the language are missing or broken.
        """
        spoken = self.languages.loaded(MAXIMUM_CANDIDATES) if language == AUTO else (self.languages.get(language),)
        audio = AudioInput(encoding=encoding, sample_rate=sample_rate, channels=channels, channel=channel)
        options = SessionOptions(
            gate=gate or GateOptions(),
            endpoint=endpoint or EndpointOptions(),
            agreement_delay_ms=agreement_delay_ms,
            partials=partials,
            partial_interval_ms=partial_interval_ms,
            alternatives=alternatives,
            minimum_evidence=self.minimum_evidence if minimum_evidence is None else minimum_evidence,
        )
        searches = [SearchFactory(one.alphabet, beam_width, one.language_model, hotwords) for one in spoken]
        formatters = [_formatter(one, formatted, hotwords) for one in spoken]
        session = Session(
            options,
            hop=self.encoder.hop,
            decodings=list(map(self._decoding, spoken, repeat(latency), searches, formatters)),
            formatted=formatted is not False,
            first_sample=first_sample,
            first_utterance=first_utterance,
        )
        return Stream(self.engine, session, audio, searches, formatters)

    def _decoding(
        self, language: Language, latency: Latency | None, search: SearchFactory, formatter: Formatter | None
    ) -> Decoding:
        streams = self._encoder_streams(language, latency)
        return Decoding(_tag(language.code), streams, search.open, language.special, formatter)

    def _encoder_streams(self, language: Language, latency: Latency | None) -> Callable[[], EncoderStream]:
        context = (latency or Latency()).over(self.latency).context(self.encoder.hop)
        return lambda: self.encoder.open(context, language=language.layers)

    def recognize(self, source: Source | str | Path, **options: Unpack[StreamOptions]) -> Iterator[Event]:
        """The events of a source, as they come: a microphone, an open file, or the name of a file.

        Rate and channels are the source's; `options` are those of `stream`. Where the source breaks off with an error
        or Ctrl-C, what was read before is recognized first, and then the error is raised.

        Raises:
            AudioError: there is no such file, or it cannot be read; from the iterator, if it is damaged further on.
            DeviceError: from the iterator, if the microphone stops.
            OptionError: an option has a value that cannot work.
        """
        return recognize(self.stream, source, options)

    def transcribe(self, source: Source | str | Path, **options: Unpack[StreamOptions]) -> Transcript:
        """What a whole recording says, given as an open source or the name of a file; `options` are those of `stream`.

        Raises:
            AudioError: there is no such file, or it cannot be read to its end.
            OptionError: an option has a value that cannot work.
        """
        return transcribe(self.stream, source, {"partials": False, **options})

    def close(self) -> None:
        """End the inference thread, once the work that was handed in is done."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Stream:
    """One source of audio on its way to words; made by `Recognizer.stream`.

    `push`, `finalize` and `finish` wait for the model and return the events; `submit` does not wait. One stream is for
    one thread; many streams may be used from many threads at once.
    """

    def __init__(
        self,
        engine: Engine,
        session: Session,
        audio: AudioInput,
        searches: Sequence[SearchFactory],
        formatters: Sequence[Formatter | None],
    ) -> None:
        self._engine = engine
        self._session = session
        self._audio = audio
        self._searches = searches
        self._formatters = formatters

    def push(self, piece: PcmPiece) -> list[Event]:
        """Push one piece of audio: float32 or int16, shape (samples,) or (samples, channels), or bytes.

        Raises:
            AudioError: the piece is not the audio that was declared; nothing of it was taken in.
            StreamClosedError: the stream was finished.
        """
        begun = self.begin(piece)
        if not isinstance(begun, tuple):
            return begun
        return [event for answer in begun for event in answer.result()]

    def begin(self, piece: PcmPiece) -> list[Event] | tuple[Future[list[Event]], ...]:
        """Push one piece of audio without waiting: its events where no chunk is due, else the answers of `submit`."""
        samples = self._audio.push(piece)
        if len(samples) > _SMALL_PIECE:
            cuts = range(0, len(samples), _PIECE)
            return tuple(self._submit(_pushing(samples[cut : cut + _PIECE])) for cut in cuts)
        begun = self._engine.begin(self._session, _pushing(samples))
        return (begun,) if isinstance(begun, Future) else begun

    def submit(self, piece: PcmPiece) -> list[Future[list[Event]]]:
        """Push one piece of audio without waiting; the answers come in order, one for each ten seconds or part."""
        samples = self._audio.push(piece)
        if len(samples) <= _SMALL_PIECE:
            return [self._engine.submit(self._session, _pushing(samples), here=True)]
        cuts = range(0, max(len(samples), 1), _PIECE)
        return [self._submit(_pushing(samples[cut : cut + _PIECE])) for cut in cuts]

    def finalize(self) -> list[Event]:
        """End the utterance now, with all audio so far; the stream stays open."""
        return self.submit_finalize().result()

    def submit_finalize(self) -> Future[list[Event]]:
        """`finalize` without waiting."""
        return self._submit(Session.finalize)

    def finish(self) -> list[Event]:
        """End the stream; everything that was pushed is decoded. It cannot be used afterwards."""
        return self.submit_finish().result()

    def submit_finish(self) -> Future[list[Event]]:
        """`finish` without waiting."""
        rest = self._audio.finish()

        def work(session: Session) -> None:
            session.push(rest)
            session.finish()

        return self._submit(work)

    @property
    def hotwords(self) -> Hotwords:
        """The hotwords in force: which were taken, and which cannot be spelled in the model's alphabet.

        Where the language is "auto", in the alphabet that spells most of them.
        """
        return min((one.hotwords for one in self._searches), key=lambda hotwords: len(hotwords.unspellable))

    def set_hotwords(self, hotwords: HotwordList | None) -> Hotwords:
        """Change the hotwords, from here on in the audio; says which were taken and which cannot be spelled."""
        changes = [one.change(hotwords) for one in self._searches]

        def work(session: Session) -> None:
            for change in changes:
                change(session)
            for formatter in self._formatters:
                if formatter is not None:
                    formatter.spellings = spellings(hotwords or ())

        self._submit(work).result()
        return self.hotwords

    def set_endpoint(self, endpoint: EndpointOptions) -> None:
        """Change the endpoint rules, from here on in the audio."""
        self._submit(lambda session: session.set_endpoint(endpoint)).result()

    @property
    def patience(self) -> int:
        """Samples at 16 kHz, at least, that must be pushed before a chunk or an event can be due.

        Who gathers packets may keep as many: whatever comes of them comes with the packet behind.
        """
        return self._session.patience

    @property
    def acknowledged(self) -> int:
        """Position on the audio clock, in samples at 16 kHz, before which no audio will be needed again."""
        return self._session.acknowledged

    def _submit(self, work: Work) -> Future[list[Event]]:
        return self._engine.submit(self._session, work)


def _tag(code: str | None) -> str | None:
    """A code as a BCP 47 tag, as clients read it."""
    return None if code is None else language_tag(code) or code


def _formatter(language: Language, formatted: FormatOptions | bool, hotwords: HotwordList | None) -> Formatter | None:
    if language.text_model is None:
        return None
    options = (
        formatted if isinstance(formatted, FormatOptions) else FormatOptions(punctuate=formatted, numbers=formatted)
    )
    return Formatter(language.text_model, options, spellings=spellings(hotwords or ()))


def _pushing(samples: Samples) -> Callable[[Session], None]:
    return lambda session: session.push(samples)
