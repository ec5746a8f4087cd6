"""The query of Deepgram's `/v1/listen`: what we take from it, what we leave, and what we must refuse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from streaming_asr.audio.input import InputEncoding
from streaming_asr.text import FormatOptions
from streaming_asr_server.adapter.interface import HOTWORD_WEIGHT, AudioFormat, OpenStream

MAXIMUM_BOOST: Final = 2.5
"""A keyword's weight is its boost times that of a keyterm, at most this many times."""

MAXIMUM_TERMS: Final = 500
MINIMUM_SILENCE_MS: Final = 300
"""Shorter pauses are inside sentences, where an end would cost words. Deepgram's 10 ms and LiveKit's 25 become this."""

OWN_MODELS: Final = ("nova", "enhanced", "base", "whisper", "flux", "general")
"""How the names of Deepgram's own models begin."""

AUTO: Final = "auto"
"""The language of streams whose language is to be found out."""

_ANY_LANGUAGE: Final = "multi"
MINIMUM_UTTERANCE_GAP_MS: Final = 1_000
MAXIMUM_CHANNELS: Final = 8
_OPUS_CHANNELS: Final = 2

_ENCODINGS: Final[Mapping[str, InputEncoding]] = {
    "linear16": "linear16",
    "linear32": "float32",
    "mulaw": "mulaw",
    "alaw": "alaw",
    "opus": "opus",
    "ogg-opus": "container",
    "flac": "container",
}
_RATED: Final = ("linear16", "float32", "mulaw", "alaw")
_USED: Final = frozenset(
    (
        "model",
        "language",
        "detect_language",
        "encoding",
        "sample_rate",
        "channels",
        "multichannel",
        "interim_results",
        "endpointing",
        "utterance_end_ms",
        "vad_events",
        "keywords",
        "keyterm",
        "alternatives",
        "punctuate",
        "smart_format",
        "numerals",
        "paragraphs",
        "utterances",
    )
)
_HARMLESS: Final = frozenset(("tag", "extra", "version", "mip_opt_out", "no_delay", "token", "access_token"))
"""These change no transcript, so nobody needs to be told that they were left alone."""


class UnusableQueryError(ValueError):
    """The handshake cannot be accepted; `status` is the HTTP status, the message goes into the `dg-error` header."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status: Final = status


@dataclass(frozen=True, slots=True)
class Listen:
    """What one connection asked for."""

    audio: AudioFormat
    interim: bool = False
    endpoints: bool = True
    """Whether `speech_final` is ever true: `endpointing=false` turns it off."""
    silence_ms: int | None = None
    utterance_end_ms: int | None = None
    vad_events: bool = False
    model: str | None = None
    """As the client wrote it; then the name of the server's model."""
    language: str | None = None
    alternatives: int = 1
    keywords: Mapping[str, float] = field(default_factory=dict)
    keyterms: tuple[str, ...] = ()
    formatted: FormatOptions | Literal[False] = False
    """What is done to words for those who read."""
    paragraphs: bool = False
    utterances: bool = False
    ignored: tuple[str, ...] = ()
    """Names of parameters that changed nothing, sorted."""

    def hotwords(self, keyterms: Iterable[str]) -> dict[str, float]:
        """Keywords with their boosts, and these keyterms."""
        return {**self.keywords, **dict.fromkeys(keyterms, HOTWORD_WEIGHT)}

    def open(self) -> OpenStream:
        """The stream to be opened."""
        return OpenStream(
            audio=self.audio,
            hotwords=self.hotwords(self.keyterms),
            silence_ms=self.silence_ms,
            model=self.model,
            language=self.language,
            alternatives=self.alternatives,
            partials=self.interim or self.utterance_end_ms is not None,
            formatted=self.formatted,
            prompt=self.utterance_end_ms is not None,  # it may be over without an event
        )


def parse(query: Iterable[tuple[str, str]]) -> Listen:
    """The options in a query, as decoded pairs.

    Raises:
        UnusableQueryError: the audio cannot be understood as declared; nothing else is refused.
    """
    pairs = [(name, value) for name, value in query if value != ""]
    first = dict(reversed(pairs))
    silence_ms, endpoints = _endpointing(first.get("endpointing"))
    gap = _whole(first.get("utterance_end_ms"))
    return Listen(
        audio=audio_format(first),
        interim=_true(first.get("interim_results")),
        endpoints=endpoints,
        silence_ms=silence_ms,
        utterance_end_ms=max(gap, MINIMUM_UTTERANCE_GAP_MS) if gap else None,
        vad_events=_true(first.get("vad_events")),
        model=first.get("model"),
        language=AUTO if _true(first.get("detect_language")) else _language(first.get("language")),
        alternatives=min(max(_whole(first.get("alternatives")) or 1, 1), 10),
        keywords=_keywords(value for name, value in pairs if name == "keywords"),
        keyterms=tuple(dict.fromkeys(v.strip() for n, v in pairs if n == "keyterm" and v.strip()))[:MAXIMUM_TERMS],
        formatted=_formatted(first),
        paragraphs=_true(first.get("paragraphs")) or _true(first.get("smart_format")),
        utterances=_true(first.get("utterances")),
        ignored=tuple(sorted({name for name, value in pairs if name not in _USED | _HARMLESS and not _off(value)})),
    )


def _formatted(first: Mapping[str, str]) -> FormatOptions | Literal[False]:
    smart = _true(first.get("smart_format"))
    # Paragraphs are made of sentences, which need marks.
    punctuate = smart or _true(first.get("punctuate")) or _true(first.get("paragraphs"))
    numbers = smart or _true(first.get("numerals"))
    return FormatOptions(punctuate=punctuate, numbers=numbers) if punctuate or numbers else False


def audio_format(first: Mapping[str, str]) -> AudioFormat:
    """The audio that a query declares. Raises UnusableQueryError."""
    separate = _true(first.get("multichannel"))
    channels = _channels(first.get("channels"))
    name = first.get("encoding")
    if name is None:
        return AudioFormat("container", channels=channels, separate=separate)
    encoding = _ENCODINGS.get(name.lower())
    if encoding is None:
        raise UnusableQueryError(
            f"encoding is {name!r}; this server takes {', '.join(_ENCODINGS)}, or a container without it"
        )
    if encoding not in _RATED:
        return AudioFormat(encoding, 48_000, min(channels, _OPUS_CHANNELS), separate)
    rate = _whole(first.get("sample_rate"))
    if rate is None or not 8_000 <= rate <= 192_000:
        raise UnusableQueryError(
            f"sample_rate is {first.get('sample_rate')!r}; encoding={name} needs one from 8000 to 192000 Hz"
        )
    return AudioFormat(encoding, rate, channels, separate)


def _channels(text: str | None) -> int:
    channels = 1 if text is None else _whole(text)
    if channels is None or not 1 <= channels <= MAXIMUM_CHANNELS:
        raise UnusableQueryError(f"channels is {text!r}; it must be from 1 to {MAXIMUM_CHANNELS}")
    return channels


def _language(tag: str | None) -> str | None:
    """The main part of a tag; regions make no difference to a model. "multi" is found out."""
    main = None if tag is None else tag.lower().replace("_", "-").split("-")[0]
    return AUTO if main == _ANY_LANGUAGE else main


def _endpointing(text: str | None) -> tuple[int | None, bool]:
    """Silence in milliseconds or the server's own, and whether silence ends speech at all."""
    if text is None or text.lower() == "true":
        return None, True
    if text.lower() == "false":
        return None, False
    milliseconds = _whole(text)
    return (None if milliseconds is None else max(milliseconds, MINIMUM_SILENCE_MS)), True


def _keywords(entries: Iterable[str]) -> dict[str, float]:
    """`word:boost` -> weight; a negative boost would suppress a word, which we cannot, so the word is left out."""
    taken: dict[str, float] = {}
    for entry in entries:
        word, _, boost = entry.rpartition(":")
        factor = number(boost)
        if not word or factor is None:
            word, factor = entry, 1.0
        if word.strip() and factor > 0 and len(taken) < MAXIMUM_TERMS:
            taken[word.strip()] = HOTWORD_WEIGHT * min(factor, MAXIMUM_BOOST)
    return taken


def _true(text: str | None) -> bool:
    return text is not None and text.lower() in ("true", "1", "yes", "on")


def _off(text: str) -> bool:
    return text.lower() in ("false", "0", "no", "off")


def _whole(text: str | None) -> int | None:
    value = number(text)
    return None if value is None else int(value)


def number(text: str | None) -> float | None:
    """A finite number, or None: parameters that cannot be read are left alone, as unknown ones are."""
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and abs(value) < 1e9 else None
