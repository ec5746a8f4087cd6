"""Nonsense in every protocol: frames that are damaged, out of order, of the wrong kind; none may break a server.

Each case is a connection, made from its seed: right messages of the protocol, some of them damaged, in any order. What
may come of it is an answer and a close in the protocol's own words; what may not is an error of the server's own
("internal", 1011), a record of an error in its log, or a connection that does not end.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.types import ASGIApp, Message

_HANG_SECONDS: Final = 60.0
_FRAMES: Final = 200
"""At most, of one connection."""

_AUDIO: Final = bytes(range(256)) * 25

_WORDS: Final = ("type", "start", "", "a" * 3_000, "\x00", "ü", "linear16", "en", "1e400", "null", "-1")

_NATIVE: Final = (
    {"type": "start", "sample_rate": 16000, "encoding": "linear16", "hotwords": {"a": 3}},
    {"type": "update", "hotwords": ["b"]},
    {"type": "finalize"},
    {"type": "keepalive"},
    {"type": "finish"},
    {"type": "start", "resume": {"session": "x", "acknowledged": 0, "utterance": 0}},
)
_DEEPGRAM: Final = (
    {"type": "KeepAlive"},
    {"type": "Finalize"},
    {"type": "CloseStream"},
    {"type": "Configure", "features": {}},
)
_FLUX: Final = (
    {"type": "Configure", "thresholds": {"eot_threshold": 0.7}, "keyterms": ["a"]},
    {"type": "CloseStream"},
)
_OPENAI: Final = (
    {"type": "transcription_session.update", "session": {"input_audio_format": "pcm16", "turn_detection": None}},
    {
        "type": "session.update",
        "session": {"type": "transcription", "audio": {"input": {"format": {"type": "audio/pcm"}}}},
    },
    {"type": "input_audio_buffer.append", "audio": "AAAAAAAAAAAAAAAA"},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
)
_TWILIO: Final = (
    {"event": "connected", "protocol": "Call", "version": "1.0.0"},
    {
        "event": "start",
        "streamSid": "MZ1",
        "sequenceNumber": "1",
        "start": {
            "streamSid": "MZ1",
            "callSid": "CA1",
            "accountSid": "AC1",
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        },
    },
    {
        "event": "media",
        "streamSid": "MZ1",
        "media": {"track": "inbound", "chunk": "1", "timestamp": "5", "payload": "////"},
    },
    {"event": "dtmf", "streamSid": "MZ1", "dtmf": {"digit": "1"}},
    {"event": "stop", "streamSid": "MZ1", "stop": {"callSid": "CA1"}},
)
_VOSK: Final = ({"config": {"sample_rate": 16000, "words": 1, "phrase_list": ["a"]}}, {"eof": 1}, {"reset": 1})


@dataclass(frozen=True, slots=True)
class Protocol:
    """Where a protocol is spoken, and messages of it; `opening` are those that a stream begins with."""

    path: str
    messages: tuple[Mapping[str, Any], ...]
    query: str = ""
    opening: int = 0


PROTOCOLS: Final[Mapping[str, Protocol]] = {
    "native": Protocol("/v1/stream", _NATIVE, opening=1),
    "Deepgram": Protocol("/v1/listen", _DEEPGRAM, "encoding=linear16&sample_rate=16000"),
    "Flux": Protocol("/v2/listen", _FLUX, "model=flux-general-en&encoding=linear16&sample_rate=16000"),
    "OpenAI": Protocol("/v1/realtime", _OPENAI, "intent=transcription", opening=1),
    "Twilio": Protocol("/v1/twilio", _TWILIO, opening=2),
    "Vosk": Protocol("/v1/vosk", _VOSK, opening=1),
}
WYOMING: Final = (
    {"type": "describe"},
    {"type": "transcribe", "data": {"language": "en"}},
    {"type": "audio-start", "data": {"rate": 16000, "width": 2, "channels": 1}},
    {"type": "audio-chunk", "data": {"rate": 16000, "width": 2, "channels": 1}},
    {"type": "audio-stop"},
)


@dataclass(slots=True)
class Fuzzed:
    """Frames and connections so far, the next seed, and what should not have been."""

    frames: int = 0
    connections: int = 0
    seed: int = 0
    failures: list[str] = field(default_factory=list)


class ErrorLog(logging.Handler):
    """Notes errors that the server logs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(f"{record.getMessage()} {record.exc_info[1]!r}" if record.exc_info else record.getMessage())


def frames_of(rng: random.Random, protocol: Protocol) -> list[str | bytes]:
    """One connection's messages."""
    opening = protocol.messages[: protocol.opening] if rng.random() < 0.8 else ()
    frames: list[str | bytes] = [json.dumps(message) for message in opening]
    for _ in range(rng.randint(1, _FRAMES)):
        kind = rng.random()
        if kind < 0.5:
            frames.append(_audio(rng))
        else:
            text = json.dumps(
                _changed(rng, rng.choice(protocol.messages)) if kind < 0.8 else rng.choice(protocol.messages)
            )
            frames.append(_damaged(rng, text) if kind > 0.97 else text)
    return frames


def _audio(rng: random.Random) -> bytes:
    size = rng.choice((0, 1, 2, 3, 320, 641, 3_200, 6_400))
    return rng.randbytes(size) if rng.random() < 0.5 else _AUDIO[:size]


def _changed(rng: random.Random, message: Any) -> Any:
    """A message in which one value, at any depth, is another, gone, or of another name."""
    if isinstance(message, Mapping) and message:
        name = rng.choice(list(message))
        changed = dict(message)
        way = rng.random()
        if way < 0.15:
            del changed[name]
        elif way < 0.3:
            changed[rng.choice(_WORDS)] = changed.pop(name)
        else:
            changed[name] = _changed(rng, changed[name])
        return changed
    if isinstance(message, list) and message and rng.random() < 0.5:
        return [_changed(rng, entry) for entry in message]
    return rng.choice((None, True, 0, -1, 10**30, 1.5, float("nan"), [], {}, [[]], {"a": {"b": []}}, *_WORDS))


def _damaged(rng: random.Random, text: str) -> str:
    at = rng.randint(0, len(text))
    return rng.choice((text[:at], text[at:], text[:at] + "\x00" + text[at:], "[" * 5_000, text * 2, ""))


async def fuzz_asgi(application: ASGIApp, protocol: Protocol, seed: int, log: ErrorLog) -> tuple[int, str | None]:
    """One connection of this seed; how many frames were taken, and what should not have been, if anything."""
    rng = random.Random(f"{protocol.path} {seed}")
    frames = frames_of(rng, protocol)
    waiting: list[Message] = [{"type": "websocket.connect"}]
    waiting += [{"type": "websocket.receive", "text" if isinstance(frame, str) else "bytes": frame} for frame in frames]
    total, sent, closed = len(waiting), [], asyncio.Event()

    async def receive() -> Message:
        if waiting and not closed.is_set():
            await asyncio.sleep(0)
            return waiting.pop(0)
        if rng.random() < 0.5:
            await asyncio.sleep(0.01)
        return {"type": "websocket.disconnect", "code": 1006}

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"] == "websocket.close":
            closed.set()

    log.seen.clear()
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "path": protocol.path,
        "raw_path": protocol.path.encode(),
        "query_string": protocol.query.encode(),
        "headers": [(b"host", b"fuzz.example")],
        "subprotocols": [],
        "scheme": "ws",
        "server": ("fuzz.example", 80),
        "client": ("127.0.0.1", 1),
        "root_path": "",
        "extensions": {"websocket.http.response": {}},
    }
    problem = None
    try:
        async with asyncio.timeout(_HANG_SECONDS):
            await application(scope, receive, send)
    except TimeoutError:
        problem = f"did not end within {_HANG_SECONDS:g} s"
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        problem = f"raised {error!r}"
    internal = [message for message in sent if message.get("code") in (1011, 4500) or '"internal"' in str(message)]
    problem = (
        problem or (f"answered {internal[0]}" if internal else None) or (f"logged {log.seen[0]}" if log.seen else None)
    )
    return total - len(waiting), problem and f"{protocol.path} seed {seed}: {problem}"[:500]


async def fuzz_wyoming(port: int, seed: int, log: ErrorLog) -> tuple[int, str | None]:
    """One connection over TCP: events of Wyoming, some damaged."""
    rng = random.Random(f"wyoming {seed}")
    log.seen.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    reading, frames = asyncio.create_task(reader.read()), 0
    try:
        async with asyncio.timeout(_HANG_SECONDS):
            for _ in range(rng.randint(1, _FRAMES)):
                event = rng.choice(WYOMING)
                line = json.dumps(_changed(rng, event) if rng.random() < 0.2 else event)
                payload = _audio(rng) if event["type"] == "audio-chunk" else b""
                if payload and line.endswith("}"):
                    line = f'{line[:-1]}, "payload_length": {len(payload)}}}'
                writer.write((_damaged(rng, line) if rng.random() < 0.02 else line).encode() + b"\n" + payload)
                await writer.drain()
                frames += 1
            writer.write_eof()
            await asyncio.wait({reading})
    except ConnectionError:
        pass
    except TimeoutError:
        return frames, f"wyoming seed {seed}: did not end within {_HANG_SECONDS:g} s"
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        writer.transport.abort()
    return frames, f"wyoming seed {seed}: logged {log.seen[0]}"[:500] if log.seen else None


async def fuzz_for(seconds: float, frames: int, fuzzed: Fuzzed, one: Callable[[int], Any]) -> None:
    """Connection after connection, until so many frames in all or so many seconds from now."""
    deadline = time.monotonic() + seconds
    while fuzzed.frames < frames and time.monotonic() < deadline:
        taken, problem = await one(fuzzed.seed)
        fuzzed.frames += taken
        fuzzed.connections += 1
        fuzzed.seed += 1
        if problem is not None:
            fuzzed.failures.append(problem)
