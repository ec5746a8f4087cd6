"""JSON text to messages, every field checked; `docs/protocol.schema.json` describes the same objects."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from streaming_asr.audio.encodings import Encoding
from streaming_asr.audio.samples import SAMPLE_RATE
from streaming_asr.events import (
    Alternative,
    DetectedLanguage,
    EndReason,
    Final,
    Formatted,
    Partial,
    SpeechEnded,
    SpeechStarted,
    Turn,
    TurnEnding,
    TurnResumed,
    Word,
)
from streaming_asr.protocol.faults import ErrorCode, Fault, ProtocolError
from streaming_asr.protocol.fields import Fields, finite_number, read_object
from streaming_asr.protocol.messages import (
    Acknowledged,
    AcknowledgedFinal,
    Audio,
    Caution,
    ClientMessage,
    EndpointRules,
    Failure,
    Finalize,
    Finish,
    Finished,
    Hotwords,
    KeepAlive,
    Limits,
    Resume,
    Resumed,
    ServerMessage,
    Stability,
    Start,
    Started,
    Update,
)

MAXIMUM_HOTWORDS: typing.Final = 1000
MAXIMUM_HOTWORD_LENGTH: typing.Final = 200
MAXIMUM_WEIGHT: typing.Final = 100.0
MAXIMUM_COUNT: typing.Final = 2**53 - 1
"""The greatest integer that every JSON reader takes as it is (RFC 8259, section 6)."""

ENDPOINT_LIMITS: typing.Final[Mapping[str, tuple[float, float, bool]]] = MappingProxyType(
    {
        "trailing_silence_ms": (50, 60_000, True),
        "no_words_ms": (50, 60_000, True),
        "maximum_length_ms": (1_000, 120_000, False),
        "shortest_silence_ms": (50, 60_000, False),
        "longest_silence_ms": (50, 60_000, False),
    }
)
"""By rule: the least and the greatest value, and whether null may switch it off."""


def decode_client(data: str | bytes) -> ClientMessage:
    """What a client sent.

    Raises:
        ProtocolError: it is not a message of the protocol (`bad_message`, `bad_option`).
    """
    if isinstance(data, bytes):
        return Audio(data)
    return _decode(data, _CLIENT_READERS)  # type: ignore[no-any-return]


def decode_server(data: str | bytes) -> ServerMessage:
    """What a server sent; fields that this version does not know are passed over.

    Raises:
        ProtocolError: it is not a message of the protocol.
    """
    if isinstance(data, bytes):
        raise ProtocolError("bad_message", "the server sent a binary message; it must send text only")
    return _decode(data, _SERVER_READERS)  # type: ignore[no-any-return]


def _decode(text: str, readers: Mapping[str, Callable[[Fields], Any]]) -> Any:
    value = read_object(text)
    kind = value.pop("type")
    if kind not in readers:
        raise ProtocolError("bad_message", f"type is {kind[:40]!r}; it must be one of {', '.join(readers)}")
    return readers[kind](Fields(value, kind))


def _read_start(fields: Fields) -> Start:
    start = _read_options(fields, resume=_read_resume(fields))
    fields.nothing_else()
    return start


def _read_options(fields: Fields, resume: Resume | None = None) -> Start:
    hotwords = _read_hotwords(fields)
    return Start(
        encoding=fields.choice("encoding", Encoding, "linear16"),
        sample_rate=fields.integer("sample_rate", SAMPLE_RATE, low=8_000, high=192_000),
        channels=fields.integer("channels", 1, low=1, high=8),
        model=_read_name(fields, "model", 100, "the name of a model or null"),
        language=_read_name(fields, "language", 35, "a language tag or null"),
        hotwords={} if hotwords is None else hotwords,
        endpoint=_read_endpoint(fields) or {},
        partials=fields.boolean("partials", True),
        partial_interval_ms=fields.integer("partial_interval_ms", 0, high=60_000),
        word_times=fields.boolean("word_times", True),
        alternatives=fields.integer("alternatives", 1, low=1, high=10),
        stability=fields.choice("stability", Stability, "medium"),
        formatted=fields.boolean("formatted", True),
        resume=resume,
    )


def _read_name(fields: Fields, key: str, longest: int, wanted: str) -> str | None:
    if key not in fields:
        return None
    value = fields.take(key)
    if value is None or (isinstance(value, str) and len(value) <= longest):
        return value
    raise fields.refused(key, value, wanted)


def _read_resume(fields: Fields) -> Resume | None:
    if "resume" not in fields:
        return None
    inner = Fields(fields.take("resume"), "start.resume")
    session = inner.text("session")
    if not 0 < len(session) <= 200:
        raise inner.refused("session", session, "the session id of `started`")
    resume = Resume(
        session=session,
        acknowledged=inner.integer("acknowledged", high=MAXIMUM_COUNT),
        utterance=inner.integer("utterance", high=MAXIMUM_COUNT),
    )
    inner.nothing_else()
    return resume


def _read_hotwords(fields: Fields) -> Hotwords | None:
    if "hotwords" not in fields:
        return None
    value = fields.take("hotwords")
    if not isinstance(value, dict | list):
        raise fields.refused("hotwords", value, "an object of words and weights, or a list of words")
    if len(value) > MAXIMUM_HOTWORDS:
        raise ProtocolError("bad_option", f"there are {len(value)} hotwords; the most are {MAXIMUM_HOTWORDS}")
    for word in value:
        if not isinstance(word, str) or not 0 < len(word) <= MAXIMUM_HOTWORD_LENGTH:
            raise fields.refused("hotwords", word, f"words of 1 to {MAXIMUM_HOTWORD_LENGTH} characters")
    if isinstance(value, list):
        return tuple(value)
    return {word: _read_weight(word, weight) for word, weight in value.items()}


def _read_weight(word: str, weight: Any) -> float:
    number = finite_number(weight, f"the weight of {word[:40]!r}")
    if abs(number) > MAXIMUM_WEIGHT:
        raise ProtocolError("bad_option", f"the weight of {word[:40]!r} is {number:g}; it must be from -100 to 100")
    return number


def _read_endpoint(fields: Fields) -> EndpointRules | None:
    if "endpoint" not in fields:
        return None
    inner = Fields(fields.take("endpoint"), "endpoint")
    rules: dict[str, float | str | None] = {name: _read_rule(inner, name) for name in ENDPOINT_LIMITS if name in inner}
    if "turn" in inner:
        rules["turn"] = inner.choice("turn", Turn)
    inner.nothing_else()
    return rules


def _read_rule(fields: Fields, name: str) -> float | None:
    low, high, nullable = ENDPOINT_LIMITS[name]
    value = fields.take(name)
    if value is None and nullable:
        return None
    number = finite_number(value, f"endpoint.{name}")
    if not low <= number <= high:
        raise ProtocolError("bad_option", f"endpoint.{name} is {number:g}; it must be from {low} to {high}")
    return number


def _read_update(fields: Fields) -> Update:
    update = Update(hotwords=_read_hotwords(fields), endpoint=_read_endpoint(fields))
    fields.nothing_else()
    return update


def _read_empty(message: ClientMessage) -> Callable[[Fields], ClientMessage]:
    def read(fields: Fields) -> ClientMessage:
        fields.nothing_else()
        return message

    return read


def _read_started(fields: Fields) -> Started:
    limits = Fields(fields.take("limits"), "started.limits")
    return Started(
        session=fields.text("session"),
        model=fields.text("model"),
        first_sample=fields.integer("first_sample"),
        resumed=fields.choice("resumed", Resumed),
        options=_read_options(Fields(fields.take("options"), "started.options")),
        unspellable=_read_strings(fields, "unspellable"),
        limits=Limits(
            idle_seconds=limits.number("idle_seconds"),
            resume_seconds=limits.number("resume_seconds"),
            stream_seconds=limits.number("stream_seconds"),
            message_bytes=limits.integer("message_bytes"),
        ),
    )


def _read_strings(fields: Fields, key: str) -> tuple[str, ...]:
    value = fields.take(key)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise fields.refused(key, value, "a list of strings")
    return tuple(value)


def _read_speech_started(fields: Fields) -> SpeechStarted:
    return SpeechStarted(fields.integer("utterance"), fields.number("time"), fields.number("lag"))


def _read_partial(fields: Fields) -> Partial:
    return Partial(
        utterance=fields.integer("utterance"),
        committed=fields.text("committed"),
        tail=fields.text("tail"),
        words=_read_words(fields),
        start=fields.number("start"),
        end=fields.number("end"),
        lag=fields.number("lag"),
        formatted=_read_formatted(fields),
        joined=fields.boolean("joined", False),
        language=_read_detected(fields),
    )


def _read_final(fields: Fields) -> AcknowledgedFinal:
    final = Final(
        utterance=fields.integer("utterance"),
        text=fields.text("text"),
        words=_read_words(fields),
        start=fields.number("start"),
        end=fields.number("end"),
        confidence=fields.number("confidence"),
        alternatives=tuple(
            Alternative(entry.text("text"), entry.number("score"), _read_words(entry))
            for entry in fields.objects("alternatives")
        ),
        reason=fields.choice("reason", EndReason),
        lag=fields.number("lag"),
        formatted=_read_formatted(fields),
        language=_read_detected(fields),
    )
    return AcknowledgedFinal(final, fields.integer("acknowledged"))


def _read_detected(fields: Fields) -> DetectedLanguage | None:
    if "language" not in fields:
        return None
    inner = Fields(fields.take("language"), "language")
    return DetectedLanguage(inner.text("code"), inner.number("confidence"))


def _read_formatted(fields: Fields) -> Formatted | None:
    if "formatted" not in fields:
        return None
    inner = Fields(fields.take("formatted"), "formatted")
    return Formatted(inner.text("committed"), inner.text("tail"), _read_words(inner), inner.boolean("joined", False))


def _read_words(fields: Fields) -> tuple[Word, ...]:
    return tuple(
        Word(
            entry.text("text"),
            entry.number("start"),
            entry.number("end"),
            entry.number("confidence"),
            entry.boolean("joined", False),
        )
        for entry in fields.objects("words")
    )


def _read_turn_ending(fields: Fields) -> TurnEnding:
    return TurnEnding(
        utterance=fields.integer("utterance"),
        text=fields.text("text"),
        time=fields.number("time"),
        completeness=fields.number("completeness"),
        lag=fields.number("lag"),
        formatted=_read_formatted(fields),
    )


def _read_turn_resumed(fields: Fields) -> TurnResumed:
    return TurnResumed(fields.integer("utterance"), fields.number("time"), fields.number("lag"))


def _read_speech_ended(fields: Fields) -> SpeechEnded:
    return SpeechEnded(
        fields.integer("utterance"), fields.number("time"), fields.choice("reason", EndReason), fields.number("lag")
    )


def _read_failure(fields: Fields) -> Failure:
    return Failure(
        code=fields.choice("code", ErrorCode),
        fault=fields.choice("fault", Fault),
        message=fields.text("message"),
        resumable=fields.boolean("resumable"),
    )


_CLIENT_READERS: typing.Final[Mapping[str, Callable[[Fields], ClientMessage]]] = MappingProxyType(
    {
        "start": _read_start,
        "update": _read_update,
        "finalize": _read_empty(Finalize()),
        "finish": _read_empty(Finish()),
        "keepalive": _read_empty(KeepAlive()),
    }
)

_SERVER_READERS: typing.Final[Mapping[str, Callable[[Fields], ServerMessage]]] = MappingProxyType(
    {
        "started": _read_started,
        "speech_started": _read_speech_started,
        "partial": _read_partial,
        "turn_ending": _read_turn_ending,
        "turn_resumed": _read_turn_resumed,
        "final": _read_final,
        "speech_ended": _read_speech_ended,
        "acknowledged": lambda fields: Acknowledged(fields.integer("samples")),
        "warning": lambda fields: Caution(fields.text("code"), fields.text("message")),
        "error": _read_failure,
        "finished": lambda fields: Finished(fields.integer("samples"), fields.number("duration")),
    }
)
