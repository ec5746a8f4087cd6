"""Wyoming's events on the wire: a line of JSON, then data as JSON, then a payload; and the events of a server.

Source: the package wyoming 1.10.2, `event.py`, `asr.py`, `info.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

MAXIMUM_HEADER_BYTES: Final = 64 * 1024
MAXIMUM_DATA_BYTES: Final = 256 * 1024
MAXIMUM_PAYLOAD_BYTES: Final = 1 << 20


class FramingError(ValueError):
    """What came is not an event, or a part of it is too long: nothing behind it can be read."""


@dataclass(frozen=True, slots=True)
class WireEvent:
    """One event; `data` is that of the header and that behind it, merged."""

    type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class _Header:
    type: str
    data: Mapping[str, Any]
    data_bytes: int
    payload_bytes: int


class EventReader:
    """Bytes, cut anywhere, to events."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._header: _Header | None = None

    def push(self, piece: bytes) -> None:
        """Take in some bytes; `next` gives what they complete."""
        self._waiting += piece

    @property
    def unread(self) -> int:
        """Bytes that have come and were not read."""
        return len(self._waiting)

    def next(self) -> WireEvent | None:
        """The next event that is complete. Raises FramingError."""
        if self._header is None:
            self._header = self._read_header()
        header = self._header
        if header is None or len(self._waiting) < header.data_bytes + header.payload_bytes:
            return None
        self._header = None
        data = self._take(header.data_bytes)
        payload = self._take(header.payload_bytes)
        return WireEvent(header.type, {**header.data, **_object(data or b"{}", "the data")}, payload)

    def _read_header(self) -> _Header | None:
        end = self._waiting.find(b"\n", 0, MAXIMUM_HEADER_BYTES + 1)
        if end < 0:
            if len(self._waiting) > MAXIMUM_HEADER_BYTES:
                raise FramingError(f"a header is over {MAXIMUM_HEADER_BYTES} bytes long")
            return None
        return _header(self._take(end + 1))

    def _take(self, count: int) -> bytes:
        taken = bytes(self._waiting[:count])
        del self._waiting[:count]
        return taken


def _header(line: bytes) -> _Header:
    fields = _object(line, "a header")
    kind, data = fields.get("type"), fields.get("data")
    if not isinstance(kind, str):
        raise FramingError(f"the type of an event is {kind!r:.40}; it must be a string")
    return _Header(
        kind,
        data if isinstance(data, dict) else {},
        _length(fields, "data_length", MAXIMUM_DATA_BYTES),
        _length(fields, "payload_length", MAXIMUM_PAYLOAD_BYTES),
    )


def _length(fields: Mapping[str, Any], name: str, most: int) -> int:
    value = fields.get(name)
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value <= most:
        raise FramingError(f"{name} is {value!r:.40}; it must be from 0 to {most}")
    return value


def _object(text: bytes, name: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FramingError(f"{name} is not JSON") from error
    if not isinstance(value, dict):
        raise FramingError(f"{name} is not a JSON object")
    return value


def encode(kind: str, **data: Any) -> bytes:
    """An event without a payload, its data behind the header as the package writes it; None is left out."""
    fields = {name: value for name, value in data.items() if value is not None}
    if not fields:
        return json.dumps({"type": kind}).encode() + b"\n"
    body = json.dumps(fields, allow_nan=False).encode()
    return json.dumps({"type": kind, "data_length": len(body)}).encode() + b"\n" + body


@dataclass(frozen=True, slots=True)
class Program:
    """What is told about this server: each model, the usual one first, with its languages.

    These are bare codes ("en"), and clients may hide a model without any.
    """

    models: Mapping[str, Sequence[str]]
    version: str

    def languages(self, model: str | None) -> Sequence[str]:
        """Those of a model, or of the usual one."""
        return self.models.get(model or "", next(iter(self.models.values())))

    def info(self) -> bytes:
        """The answer to `describe`."""
        artifact = {"attribution": {"name": "streaming-asr", "url": ""}, "installed": True, "version": self.version}
        models = [
            {"name": name, "description": f"wav2vec2 CTC: {name}", "languages": list(languages), **artifact}
            for name, languages in self.models.items()
        ]
        program = {
            "name": "streaming-asr",
            "description": "Streaming speech recognition with wav2vec2",
            "models": models,
            "supports_transcript_streaming": True,
            "requires_external_vad": True,
            "prefers_auto_gain_enabled": False,
            "prefers_noise_reduction_enabled": False,
            **artifact,
        }
        nothing: Mapping[str, Any] = {kind: [] for kind in ("tts", "handle", "intent", "wake", "mic", "snd")}
        return encode("info", asr=[program], **nothing)


def bare_language(tag: str) -> str:
    """ "en" of "en-GB" and of "en_GB"."""
    return tag.replace("_", "-").split("-")[0].lower()
