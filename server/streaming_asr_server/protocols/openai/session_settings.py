"""The settings of an OpenAI Realtime transcription session, in both of its shapes: nested (GA) and flat (beta)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from streaming_asr_server.adapter.interface import HOTWORD_WEIGHT, AudioFormat, OpenStream, Turns
from streaming_asr_server.protocols.openai.messages import Dialect

MAXIMUM_KEYWORDS: Final = 500
PCM_RATE: Final = 24_000
LOGPROBS: Final = "item.input_audio_transcription.logprobs"

AudioKind: TypeAlias = Literal["pcm16", "g711_ulaw", "g711_alaw"]

_GA_FORMATS: Final[Mapping[str, AudioKind]] = {
    "audio/pcm": "pcm16",
    "audio/pcmu": "g711_ulaw",
    "audio/pcma": "g711_alaw",
}
_FORMATS: Final[Mapping[AudioKind, AudioFormat]] = {
    "pcm16": AudioFormat("linear16", PCM_RATE),
    "g711_ulaw": AudioFormat("mulaw", 8_000),
    "g711_alaw": AudioFormat("alaw", 8_000),
}
_SAMPLE_BYTES: Final[Mapping[AudioKind, int]] = {"pcm16": 2, "g711_ulaw": 1, "g711_alaw": 1}
_SERVER_VAD: Final[Mapping[str, Any]] = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
}
_EAGERNESS: Final[Mapping[str, Turns]] = {
    "low": Turns(600, 8_000),
    "medium": Turns(300, 4_000),
    "auto": Turns(300, 4_000),
    "high": Turns(200, 2_000),
}
"""How long a silence ends an utterance, by its sense.

The API reference of OpenAI Realtime (`turn_detection.eagerness`) gives the longest ones; it does not tell the shortest.
"""

_SEMANTIC_SILENCE_MS: Final = {"low": 1_500, "medium": 700, "auto": 700, "high": 400}
"""The same for languages without a text model, where nobody knows the sense."""

_MINIMUM_SILENCE_MS: Final = 200


class InvalidSettingError(ValueError):
    """A setting has a value that cannot work; `param` is its path."""

    def __init__(self, message: str, param: str) -> None:
        super().__init__(message)
        self.param: Final = param


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What a session was told; mappings are kept as the client wrote them, to be shown again."""

    audio: AudioKind = "pcm16"
    transcription: Mapping[str, Any] | None = None
    turn_detection: Mapping[str, Any] | None = None
    """None: the client commits."""
    noise_reduction: Mapping[str, Any] | None = None
    include: tuple[str, ...] | None = None

    @classmethod
    def default(cls, model: str) -> SessionSettings:
        """Before the client has said anything: 24 kHz, the server decides where an utterance ends."""
        return cls(transcription={"model": model}, turn_detection=dict(_SERVER_VAD))

    @property
    def logprobs(self) -> bool:
        """Whether the client wants to see confidences."""
        return LOGPROBS in (self.include or ())

    def seconds(self, size: int) -> float:
        """The length of so many bytes of audio."""
        return size / (_SAMPLE_BYTES[self.audio] * _FORMATS[self.audio].sample_rate)

    @property
    def silence_ms(self) -> int | None:
        """How much silence ends an utterance, whatever its sense; None is the server's own rule.

        That holds where the client commits, so that utterances stay bounded.
        """
        match self.turn_detection:
            case {"type": "server_vad", "silence_duration_ms": silence}:
                return max(int(silence), _MINIMUM_SILENCE_MS)
            case {"type": "semantic_vad", "eagerness": eagerness}:
                return _SEMANTIC_SILENCE_MS[eagerness]
            case _:
                return None

    @property
    def turns(self) -> Turns | None:
        """Between which silences the sense decides, if the client wants that."""
        match self.turn_detection:
            case {"type": "semantic_vad", "eagerness": eagerness}:
                return _EAGERNESS[eagerness]
            case _:
                return None

    @property
    def language(self) -> str | None:
        """The language that is spoken, as a code of two or three letters, if the client says so."""
        return ((self.transcription or {}).get("language") or "").lower().split("-")[0] or None

    def hotwords(self) -> dict[str, float]:
        """Keywords, and the prompt where it is by definition a list of them (whisper-1)."""
        told = self.transcription or {}
        terms = list(told.get("keywords") or ())
        if told.get("model") == "whisper-1":
            terms += (told.get("prompt") or "").split(",")
        return dict.fromkeys([term.strip() for term in terms if term.strip()][:MAXIMUM_KEYWORDS], HOTWORD_WEIGHT)

    @property
    def model(self) -> str | None:
        """The model as the client wrote it."""
        return (self.transcription or {}).get("model") or None

    def open(self, model: str | None = None, *, follows_sense: bool) -> OpenStream:
        """The stream to be opened, with the name of the server's model that is meant.

        `follows_sense`: there is a text model for its language.
        """
        return OpenStream(
            audio=_FORMATS[self.audio],
            hotwords=self.hotwords(),
            silence_ms=self.silence_ms,
            turns=self.turns if follows_sense else None,
            model=model,
            language=self.language,
        )

    def updated(self, session: Mapping[str, Any]) -> SessionSettings:
        """These settings with the fields of an update, nested or flat: only what is there changes, null clears.

        Raises:
            InvalidSettingError: a value cannot work; nothing changes.
        """
        if session.get("type", "transcription") != "transcription":
            message = f"session.type is {session['type']!r}; this server only has 'transcription' sessions."
            raise InvalidSettingError(message, "session.type")
        settings = self
        for name, path, value in _changes(session):
            settings = replace(settings, **{name: _READERS[name](value, getattr(settings, name), path)})
        return settings

    def json(self, dialect: Dialect, *, session_id: str, expires_at: int) -> dict[str, Any]:
        """The session object of a dialect."""
        shared = {"id": session_id, "object": "realtime.transcription_session", "expires_at": expires_at}
        include = None if self.include is None else list(self.include)
        if dialect == "ga":
            audio = {
                "format": _ga_format(self.audio),
                "transcription": self.transcription,
                "noise_reduction": self.noise_reduction,
                "turn_detection": self.turn_detection,
            }
            return {**shared, "type": "transcription", "audio": {"input": audio}, "include": include}
        return {
            **shared,
            "input_audio_format": self.audio,
            "input_audio_transcription": self.transcription,
            "input_audio_noise_reduction": self.noise_reduction,
            "turn_detection": self.turn_detection,
            "include": include,
            "modalities": ["text"],
            "client_secret": None,
        }


def _changes(session: Mapping[str, Any]) -> list[tuple[str, str, object]]:
    """The settings that an update names: (field of `SessionSettings`, path in the message, value)."""
    audio = _object({} if session.get("audio") is None else session["audio"], "session.audio")
    nested = _object({} if audio.get("input") is None else audio["input"], "session.audio.input")
    flat = {"include": "include", "turn_detection": "turn_detection", "input_audio_format": "audio"}
    flat |= {"input_audio_transcription": "transcription", "input_audio_noise_reduction": "noise_reduction"}
    inner = {"format": "audio", "transcription": "transcription", "turn_detection": "turn_detection"}
    inner |= {"noise_reduction": "noise_reduction"}
    changes = [(name, f"session.{key}", session[key]) for key, name in flat.items() if key in session]
    return changes + [(name, f"session.audio.input.{key}", nested[key]) for key, name in inner.items() if key in nested]


def _read_format(value: object, before: AudioKind, path: str) -> AudioKind:
    kind = value.get("type") if isinstance(value, Mapping) else value
    rate = value.get("rate") if isinstance(value, Mapping) else None
    if kind is None or kind == "none":
        return before
    for known in _FORMATS:
        if kind == known or _GA_FORMATS.get(str(kind)) == known:
            if known == "pcm16" and rate not in (None, PCM_RATE):
                raise InvalidSettingError(f"{path}.rate is {rate!r}; audio/pcm is 24000 Hz.", f"{path}.rate")
            return known
    raise InvalidSettingError(f"{path} is {kind!r}; it must be one of {[*_GA_FORMATS, *_FORMATS]}.", path)


def _read_transcription(value: object, before: Mapping[str, Any] | None, path: str) -> Mapping[str, Any] | None:
    if value is None:
        return None
    told = {**(before or {}), **_object(value, path)}
    for name in ("model", "language", "prompt"):
        if not isinstance(told.get(name), str | None):
            raise InvalidSettingError(f"{path}.{name} is {told[name]!r}; it must be a string.", f"{path}.{name}")
    keywords = told.get("keywords")
    if keywords is not None and not (isinstance(keywords, list) and all(isinstance(word, str) for word in keywords)):
        raise InvalidSettingError(f"{path}.keywords must be a list of strings.", f"{path}.keywords")
    return told


def _read_turn_detection(value: object, before: Mapping[str, Any] | None, path: str) -> Mapping[str, Any] | None:
    if value is None:
        return None
    told = _object(value, path)
    match told.get("type", "server_vad"):
        case "server_vad":
            return _server_vad({**_SERVER_VAD, **{k: v for k, v in told.items() if v is not None}}, path)
        case "semantic_vad":
            eagerness = told.get("eagerness") or "auto"
            if not isinstance(eagerness, str) or eagerness not in _EAGERNESS:
                message = f"{path}.eagerness is {eagerness!r}; it must be one of {list(_EAGERNESS)}."
                raise InvalidSettingError(message, f"{path}.eagerness")
            return {**told, "type": "semantic_vad", "eagerness": eagerness}
        case kind:
            message = f"{path}.type is {kind!r}; it must be 'server_vad' or 'semantic_vad', or turn_detection null."
            raise InvalidSettingError(message, f"{path}.type")


def _server_vad(detection: dict[str, Any], path: str) -> dict[str, Any]:
    for name, highest in (("threshold", 1), ("prefix_padding_ms", 10_000), ("silence_duration_ms", 10_000)):
        value = detection[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= highest:
            message = f"{path}.{name} is {value!r}; it must be a number from 0 to {highest}."
            raise InvalidSettingError(message, f"{path}.{name}")
    return detection


def _read_noise_reduction(value: object, before: Mapping[str, Any] | None, path: str) -> Mapping[str, Any] | None:
    return None if value is None else {**(before or {}), **_object(value, path)}


def _read_include(value: object, before: tuple[str, ...] | None, path: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InvalidSettingError(f"{path} is {value!r}; it must be a list of strings.", path)
    return tuple(value)


_READERS: Final[Mapping[str, Any]] = {
    "audio": _read_format,
    "transcription": _read_transcription,
    "turn_detection": _read_turn_detection,
    "noise_reduction": _read_noise_reduction,
    "include": _read_include,
}


def _object(value: object, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidSettingError(f"{path} is {value!r}; it must be an object.", path)
    return value


def _ga_format(audio: AudioKind) -> dict[str, Any]:
    name = next(name for name, kind in _GA_FORMATS.items() if kind == audio)
    return {"type": name, "rate": PCM_RATE} if audio == "pcm16" else {"type": name}
