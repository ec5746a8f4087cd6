"""The options that several commands share, in groups, as dataclasses with typer's annotations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, TypeAlias

import typer

from streaming_asr.audio.encodings import Encoding
from streaming_asr.audio.gate import Detector, GateOptions
from streaming_asr.decoding import DEFAULT_WEIGHT
from streaming_asr.endpointing import EndpointOptions
from streaming_asr.errors import OptionError
from streaming_asr.events import Turn

MODEL: Final = "Model"
RECOGNITION: Final = "Recognition"
ENDPOINT: Final = "End of an utterance"
GATE: Final = "Speech gate"
CHOICE: Final = "Choice of audio"
RAW: Final = "Raw audio (for - and for files without a header)"

_RULES: Final = EndpointOptions()
_GATE: Final = GateOptions()

Precision: TypeAlias = Literal["float32", "int8", "bfloat16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """Which recognizer is to be loaded, or which server to be asked."""

    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A wav2vec2 CTC checkpoint: a name on the Hugging Face hub or a folder.",
            show_default="the embedded English model",
            rich_help_panel=MODEL,
        ),
    ] = None
    language: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="What is spoken: fr, pt-BR, or as MMS names it.", rich_help_panel=MODEL),
    ] = None
    revision: Annotated[
        str | None, typer.Option(metavar="REV", help="Branch, tag or commit on the hub.", rich_help_panel=MODEL)
    ] = None
    lm: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help="Language model: an ARPA, .npz or KenLM file, a folder, 'auto' (the model's own, if any) or 'none'.",
            rich_help_panel=MODEL,
        ),
    ] = "auto"
    device: Annotated[
        str, typer.Option(metavar="NAME", help="Where the model runs: cpu, cuda, cuda:1.", rich_help_panel=MODEL)
    ] = "cpu"
    precision: Annotated[
        Precision, typer.Option(help="int8 is faster on a CPU, bfloat16 on a GPU.", rich_help_panel=MODEL)
    ] = "float32"
    server: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Ask a server, ws://…, and load no model here.", rich_help_panel=MODEL),
    ] = None
    api_key: Annotated[
        str | None,
        typer.Option(metavar="KEY", envvar="STREAMING_ASR_API_KEY", help="Key for --server.", rich_help_panel=MODEL),
    ] = None

    text_model: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help="Marks, capitals and figures: a folder, 'english', 'auto' (what suits the model, if any) or 'none'.",
            rich_help_panel=MODEL,
        ),
    ] = "auto"

    def load_arguments(self) -> dict[str, Any]:
        """The keyword arguments of `Recognizer.load`, besides the name."""
        return {
            "language": self.language,
            "revision": self.revision,
            "device": self.device,
            "precision": self.precision,
            "language_model": None if self.lm == "none" else self.lm,
            "text_model": None if self.text_model == "none" else self.text_model,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognitionOptions:
    """How a stream is decoded; what is not given is left to the library, so that defaults stand in one place."""

    hotword: Annotated[
        list[str],
        typer.Option(
            metavar="WORD[:WEIGHT]",
            help="A word or name to listen for; repeat for more. A greater weight pulls more: Streamwell:8.",
            show_default=f"weight {DEFAULT_WEIGHT:g}",
            rich_help_panel=RECOGNITION,
        ),
    ] = field(default_factory=list)
    beam_width: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Hypotheses that are kept.", show_default="50", rich_help_panel=RECOGNITION
        ),
    ] = None
    chunk: Annotated[
        float | None,
        typer.Option(
            min=1,
            metavar="MS",
            help="Audio encoded in one step: shorter shows words sooner, longer is more exact and less work.",
            show_default="what suits the model",
            rich_help_panel=RECOGNITION,
        ),
    ] = None
    lookahead: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="MS",
            help="Audio seen ahead of each step.",
            show_default="what suits the model",
            rich_help_panel=RECOGNITION,
        ),
    ] = None
    left_context: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="MS",
            help="Audio remembered behind each step.",
            show_default="what suits the model",
            rich_help_panel=RECOGNITION,
        ),
    ] = None
    alternatives: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Texts per utterance, best first (--format events).",
            show_default="1",
            rich_help_panel=RECOGNITION,
        ),
    ] = None
    formatted: Annotated[
        bool,
        typer.Option(
            "--formatted/--raw", help="Marks, capitals and figures, or the bare words.", rich_help_panel=RECOGNITION
        ),
    ] = True
    end_silence: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="MS",
            help="Silence after words that ends an utterance; 0: never.",
            show_default=f"{_RULES.trailing_silence_ms:g}",
            rich_help_panel=ENDPOINT,
        ),
    ] = None
    end_no_words: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="MS",
            help="Sound without any word that ends an utterance; 0: never.",
            show_default=f"{_RULES.no_words_ms:g}",
            rich_help_panel=ENDPOINT,
        ),
    ] = None
    end_length: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="MS",
            help="Longest utterance, cut at its best pause; 0: no limit.",
            show_default=f"{_RULES.maximum_length_ms:g}",
            rich_help_panel=ENDPOINT,
        ),
    ] = None
    turn: Annotated[
        Turn | None,
        typer.Option(
            help="adaptive: complete sentences end after a short silence, others after a long one.",
            show_default="fixed",
            rich_help_panel=ENDPOINT,
        ),
    ] = None
    shortest_silence: Annotated[
        float | None,
        typer.Option(min=1, metavar="MS", help="With --turn adaptive.", show_default="400", rich_help_panel=ENDPOINT),
    ] = None
    longest_silence: Annotated[
        float | None,
        typer.Option(min=1, metavar="MS", help="With --turn adaptive.", show_default="1500", rich_help_panel=ENDPOINT),
    ] = None
    gate: Annotated[
        bool, typer.Option(help="Encode only what the voice detector takes for speech.", rich_help_panel=GATE)
    ] = True
    gate_detector: Annotated[
        Detector | None,
        typer.Option(
            help="What tells speech from noise; silero needs the extra 'silero'.",
            show_default=_GATE.detector,
            rich_help_panel=GATE,
        ),
    ] = None
    gate_aggressiveness: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=3,
            metavar="0-3",
            help="How readily sound is taken for noise.",
            show_default=str(_GATE.aggressiveness),
            rich_help_panel=GATE,
        ),
    ] = None
    gate_window: Annotated[
        int | None,
        typer.Option(
            min=10,
            metavar="MS",
            help="Window in which speech must show.",
            show_default=str(_GATE.window_ms),
            rich_help_panel=GATE,
        ),
    ] = None
    gate_share: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="0-1",
            help="Share of that window that opens the gate.",
            show_default=str(_GATE.start_share),
            rich_help_panel=GATE,
        ),
    ] = None
    gate_hangover: Annotated[
        int | None,
        typer.Option(
            min=10,
            metavar="MS",
            help="Silence after which it closes; only with --end-silence 0.",
            show_default=str(_GATE.hangover_ms),
            rich_help_panel=GATE,
        ),
    ] = None
    gate_pre_roll: Annotated[
        int | None,
        typer.Option(
            min=300,
            metavar="MS",
            help="Audio kept from before it opened.",
            show_default=str(_GATE.pre_roll_ms),
            rich_help_panel=GATE,
        ),
    ] = None

    def hotwords(self) -> dict[str, float] | list[str] | None:
        """The hotwords: with their weights if any has one, as a plain list otherwise."""
        return parse_hotwords(self.hotword)

    def endpoint_arguments(self) -> dict[str, Any]:
        """The keyword arguments of `EndpointOptions` that were given."""
        given = {
            "trailing_silence_ms": self.end_silence,
            "no_words_ms": self.end_no_words,
            "maximum_length_ms": self.end_length,
            "turn": self.turn,
            "shortest_silence_ms": self.shortest_silence,
            "longest_silence_ms": self.longest_silence,
        }
        return {name: value or None for name, value in given.items() if value is not None}

    def gate_arguments(self) -> dict[str, Any]:
        """The keyword arguments of `GateOptions` that were given."""
        given = {
            "enabled": None if self.gate else False,
            "detector": self.gate_detector,
            "aggressiveness": self.gate_aggressiveness,
            "window_ms": self.gate_window,
            "start_share": self.gate_share,
            "hangover_ms": self.gate_hangover,
            "pre_roll_ms": self.gate_pre_roll,
        }
        return {name: value for name, value in given.items() if value is not None}

    def latency_arguments(self) -> dict[str, float]:
        """The keyword arguments of `Latency` that were given."""
        given = {"chunk_ms": self.chunk, "lookahead_ms": self.lookahead, "left_ms": self.left_context}
        return {name: value for name, value in given.items() if value is not None}

    def stream_arguments(self) -> dict[str, Any]:
        """The other keyword arguments of `Recognizer.stream` that were given."""
        given = {
            "hotwords": self.hotwords(),
            "beam_width": self.beam_width,
            "alternatives": self.alternatives,
            "formatted": None if self.formatted else False,
        }
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class RawAudioOptions:
    """What bytes without a header are."""

    encoding: Annotated[Encoding, typer.Option(help="How one sample is written.", rich_help_panel=RAW)] = "linear16"
    sample_rate: Annotated[
        int, typer.Option(min=8000, max=192_000, metavar="HZ", help="Samples per second.", rich_help_panel=RAW)
    ] = 16_000
    channels: Annotated[int, typer.Option(min=1, metavar="N", help="Interleaved channels.", rich_help_panel=RAW)] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceOptions:
    """Which of the audio in a file is heard."""

    track: Annotated[
        str | None,
        typer.Option(
            metavar="N|LANG",
            help="Audio track of a film, by its number from 0 or its language.",
            show_default="its default",
            rich_help_panel=CHOICE,
        ),
    ] = None
    channel: Annotated[
        str | None,
        typer.Option(
            metavar="N|each",
            help="The one channel to recognize, from 0, or each for itself, in a transcript of its own.",
            show_default="all, mixed",
            rich_help_panel=CHOICE,
        ),
    ] = None

    @property
    def track_key(self) -> int | str | None:
        """The track as `FileSource` takes it."""
        return int(self.track) if self.track is not None and self.track.isdecimal() else self.track

    @property
    def each_channel(self) -> bool:
        """Whether every channel has a transcript of its own."""
        return self.channel == "each"

    @property
    def one_channel(self) -> int | None:
        """The one channel to recognize; raises OptionError for what is neither a number nor `each`."""
        if self.channel is None or self.each_channel:
            return None
        if not self.channel.isdecimal():
            raise OptionError(f"--channel {self.channel} is no channel; it must be a number from 0, or 'each'")
        return int(self.channel)


def parse_hotwords(words: Sequence[str]) -> dict[str, float] | list[str] | None:
    """`["Streamwell:8", "Ada"]` as `Recognizer.stream` takes it; a list if no word has a weight, None without words.

    Raises:
        OptionError: an empty word, or a weight that is no positive number.
    """
    pairs = [_hotword(word) for word in words]
    if not pairs:
        return None
    if all(weight is None for _, weight in pairs):
        return [word for word, _ in pairs]
    return {word: DEFAULT_WEIGHT if weight is None else weight for word, weight in pairs}


_CLOCK_TIME: Final = re.compile(r"\d{1,2}:\d{2}")
"""`10:30` is a word; `10:30:8` is that word with a weight."""


def _hotword(argument: str) -> tuple[str, float | None]:
    word, colon, weight = argument.rpartition(":")
    if not colon or _CLOCK_TIME.fullmatch(argument):
        word, colon, weight = argument, "", ""
    if not word.strip():
        raise OptionError(f"the hotword '{argument}' has no word; write WORD or WORD:WEIGHT, like Streamwell:8")
    if not colon:
        return word.strip(), None
    try:
        number = float(weight)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise OptionError(f"the hotword '{argument}' has the weight '{weight}'; it must be a positive number, like 8")
    return word.strip(), number
