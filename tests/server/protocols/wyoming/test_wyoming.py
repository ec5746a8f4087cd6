"""Wyoming, driven by scripted events, and on a real socket: the flow of Home Assistant."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streaming_asr_server.access.authentication import ApiKeys, Principal, hash_key
from streaming_asr_server.adapter.interface import Action, AudioFormat, CodecFailure, EndStream, OpenStream, PushAudio
from streaming_asr_server.connection.outbox import Close, Send
from streaming_asr_server.local import LocalServer, local_server
from streaming_asr_server.protocols.wyoming.codec import DONE, WyomingCodec, to_linear16
from streaming_asr_server.protocols.wyoming.events import (
    MAXIMUM_HEADER_BYTES,
    EventReader,
    FramingError,
    Program,
    WireEvent,
    bare_language,
    encode,
)
from streaming_asr_server.protocols.wyoming.server import bare_languages
from streaming_asr_server.recognition.scripted import ScriptedRecognition, tone_words
from streaming_asr_server.settings import Settings
from websockets.asyncio.client import connect

from streaming_asr.events import Final, Partial, Word
from tests.server.speaking import until
from tests.server.test_chaos import free_port

PROGRAM = Program({"embedded": ["en"]}, "1.0")
FORMAT = {"rate": 16_000, "width": 2, "channels": 1}


def wire(kind: str, data: dict[str, Any] | None = None, payload: bytes = b"") -> bytes:
    """An event as the package writes it."""
    body = json.dumps(data).encode() if data else b""
    header: dict[str, Any] = {"type": kind, "version": "1.10.2"}
    header |= {"data_length": len(body)} if body else {}
    header |= {"payload_length": len(payload)} if payload else {}
    return json.dumps(header).encode() + b"\n" + body + payload


def events(data: bytes) -> list[WireEvent]:
    reader, found = EventReader(), []
    reader.push(data)
    while (event := reader.next()) is not None:
        found.append(event)
    assert reader.unread == 0
    return found


def told(actions: Sequence[Action]) -> list[tuple[str, dict[str, Any]]]:
    sent = b"".join(action.data for action in actions if isinstance(action, Send) and isinstance(action.data, bytes))
    return [(event.type, dict(event.data)) for event in events(sent)]


def codec(*messages: bytes) -> WyomingCodec:
    made = WyomingCodec(PROGRAM, EventReader())
    for message in messages:
        made.receive(message)
    return made


def partial(committed: str, tail: str = "") -> Partial:
    return Partial(0, committed, tail, (), 0.0, 1.0, 0.0)


def final(text: str) -> Final:
    return Final(0, text, (Word(text, 0.0, 1.0, 0.9),), 0.0, 1.0, 0.9, (), "silence", 0.0)


# The frames.


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.builds(
            WireEvent,
            st.text(min_size=1, max_size=5),
            st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=2),
            st.binary(max_size=6),
        ),
        max_size=4,
    ),
    st.lists(st.integers(1, 20), min_size=1, max_size=20),
)
def test_events_are_the_same_however_their_bytes_are_cut(sent: list[WireEvent], sizes: list[int]) -> None:
    data = b"".join(wire(event.type, dict(event.data), event.payload) for event in sent)
    reader, heard, start, number = EventReader(), [], 0, 0
    while start < len(data):
        size = sizes[number % len(sizes)]
        reader.push(data[start : start + size])
        start, number = start + size, number + 1
        while (event := reader.next()) is not None:
            heard.append(event)
    assert heard == sent


def test_data_behind_the_header_is_merged_over_that_in_it() -> None:
    body = b'{"b": 2}'
    header = {"type": "x", "data": {"a": 1, "b": 1}, "data_length": len(body)}
    assert events(json.dumps(header).encode() + b"\n" + body) == [WireEvent("x", {"a": 1, "b": 2})]
    assert events(b'{"type":"describe"}\n') == [WireEvent("describe")]


@pytest.mark.parametrize(
    "data",
    [
        b"\n",
        b"GET / HTTP/1.1\r\n",
        b"[]\n",
        b'{"data": {}}\n',
        b'{"type": "x", "data_length": -1}\n',
        b'{"type": "x", "data_length": 1e9}\n',
        b'{"type": "x", "payload_length": 99999999}\n',
        b'{"type": "x", "payload_length": true}\n',
        b'{"type": "x", "data_length": 2}\n[]',
        b"x" * (MAXIMUM_HEADER_BYTES + 1),
        b"[" * 60_000 + b"\n",
    ],
)
def test_what_is_no_event_or_too_long_cannot_be_read(data: bytes) -> None:
    reader = EventReader()
    reader.push(data)
    with pytest.raises(FramingError):
        reader.next()
    (error, message), *_ = told(codec().receive(data))
    assert (error, message["code"]) == ("error", "bad_event")


def test_what_is_written_can_be_read_whatever_was_said() -> None:
    said = 'zwei\nZeilen "und" ein halbes Paar: \ud800'
    assert events(encode("transcript", text=said, language=None)) == [WireEvent("transcript", {"text": said})]


# The flow.


def test_describe_is_answered_with_the_model_and_its_languages() -> None:
    ((kind, info),) = told(codec().receive(wire("describe")))
    assert kind == "info"
    (program,) = info["asr"]
    assert program["supports_transcript_streaming"]
    assert program["requires_external_vad"]
    assert [(model["name"], model["languages"]) for model in program["models"]] == [("embedded", ["en"])]
    assert all(entry["attribution"].keys() == {"name", "url"} for entry in (program, *program["models"]))


def test_ping_is_answered_and_unknown_events_are_not() -> None:
    made = codec()
    assert told(made.receive(wire("ping", {"text": "hello"}))) == [("pong", {"text": "hello"})]
    assert told(made.receive(wire("ping", {"text": [float("nan")]}))) == [("pong", {})]
    for kind in ("select-program", "synthesize", "run-pipeline", ""):
        assert made.receive(wire(kind, {"name": "x"}, b"payload")) == []


def test_an_utterance_from_the_request_to_the_transcript() -> None:
    made = codec(wire("transcribe", {"language": "en-GB"}))
    assert made.receive(wire("audio-start", FORMAT)) == [
        OpenStream(audio=AudioFormat("linear16", 16_000, 1), language="en-GB")
    ]
    assert made.receive(wire("audio-chunk", FORMAT, b"\1\2")) == [PushAudio(b"\1\2")]
    assert made.event(0, partial("", "turn")) == [], "what may change is not told"
    assert told(made.event(0, partial("turn", "on the"))) == [
        ("transcript-start", {"language": "en"}),
        ("transcript-chunk", {"text": "turn"}),
    ]
    assert told(made.event(0, final("turn on the light"))) == [("transcript-chunk", {"text": " on the light"})]
    assert told(made.event(0, partial("in"))) == [("transcript-chunk", {"text": " in"})]
    assert made.receive(wire("audio-stop")) == [EndStream()]
    assert told(made.event(0, final("in the kitchen"))) == [("transcript-chunk", {"text": " the kitchen"})]
    *messages, close = made.finished(3.0)
    assert told(messages) == [
        ("transcript", {"text": "turn on the light in the kitchen", "language": "en"}),
        ("transcript-stop", {}),
    ]
    assert close == Close(DONE)


def test_silence_is_an_empty_transcript() -> None:
    for made in (codec(wire("audio-start", FORMAT)), codec()):
        actions = made.receive(wire("audio-stop"))
        actions = made.finished(0.0) if actions == [EndStream()] else actions
        assert told(actions)[1] == ("transcript", {"text": "", "language": "en"})
        assert actions[-1] == Close(DONE)


def test_what_comes_behind_the_audio_is_for_the_next_transcription() -> None:
    reader = EventReader()
    first = WyomingCodec(PROGRAM, reader)
    first.receive(wire("audio-start", FORMAT) + wire("audio-stop") + wire("describe") + wire("ping"))
    assert first.receive(wire("describe")) == []
    first.finished(0.0)
    assert [kind for kind, _ in told(WyomingCodec(PROGRAM, reader).receive(b""))] == ["info", "pong", "info"]


def test_names_and_terms_are_hotwords_and_names_count_more() -> None:
    request = {"transcript_names": ["Ada", "Bob "], "transcript_terms": ["Bob", "dimmer", 7, ""], "context": {}}
    (opened,) = codec(wire("transcribe", request)).receive(wire("audio-start", FORMAT))
    assert isinstance(opened, OpenStream)
    assert dict(opened.hotwords) == {"Ada": 10.0, "Bob": 10.0, "dimmer": 5.0}


def test_a_chunk_without_a_start_begins_too() -> None:
    opened, audio = codec().receive(wire("audio-chunk", {"rate": 8_000, "width": 2, "channels": 2}, b"\1\2\3\4"))
    assert opened == OpenStream(audio=AudioFormat("linear16", 8_000, 2))
    assert audio == PushAudio(b"\1\2\3\4")


@pytest.mark.parametrize(
    "data",
    [{}, {**FORMAT, "rate": 1}, {**FORMAT, "channels": 0}, {**FORMAT, "width": 5}, {**FORMAT, "rate": "16000"}],
)
def test_audio_of_a_form_that_cannot_be_is_an_error(data: dict[str, Any]) -> None:
    *_, message, close = codec().receive(wire("audio-chunk", data, b"\1\2"))
    assert told([message])[0][1]["code"] == "bad_audio"
    assert isinstance(close, Close)
    assert close.code != DONE


def test_audio_that_changes_its_rate_is_an_error() -> None:
    made = codec(wire("audio-start", FORMAT))
    assert told(made.receive(wire("audio-chunk", {**FORMAT, "rate": 8_000}, b"\1\2")))[0][0] == "error"


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_samples_of_any_width_become_two_bytes(width: int) -> None:
    values = np.array([-32_768, -256, 0, 256, 32_512])
    if width == 1:
        given = (values // 256 + 128).astype(np.uint8).tobytes()
    else:
        given = b"".join(int(value * 256 ** (width - 2)).to_bytes(width, "little", signed=True) for value in values)
    assert np.frombuffer(to_linear16(given, width), "<i2").tolist() == values.tolist()


def test_a_failure_is_an_error_event_and_a_client_that_waits_is_closed_without() -> None:
    started = codec(wire("audio-start", FORMAT))
    message, close = started.failed(CodecFailure("server", "it broke"))
    assert told([message]) == [("error", {"text": "it broke", "code": "server"})]
    assert close == Close(1011, "it broke")
    assert codec().failed(CodecFailure("idle", "")) == [Close(1001)]


@pytest.mark.parametrize(("tag", "bare"), [("en", "en"), ("en-GB", "en"), ("pt_BR", "pt"), ("FR", "fr")])
def test_languages_are_bare_codes(tag: str, bare: str) -> None:
    assert bare_language(tag) == bare


def test_each_language_is_told_once() -> None:
    assert bare_languages(["en"]) == ["en"]
    assert bare_languages(["fr-CA", "fr", "uz-Cyrl"]) == ["fr", "uz"]
    assert bare_languages([]) == []


KINDS = ("describe", "ping", "transcribe", "audio-start", "audio-chunk", "audio-stop", "other")
EVENTS = st.builds(
    wire,
    st.sampled_from(KINDS),
    st.sampled_from([FORMAT, FORMAT, {}, {"rate": None}, {"language": 7, "transcript_names": "x"}]),
    st.binary(max_size=4),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENTS | st.binary(max_size=3), max_size=10))
def test_any_sequence_of_events_leaves_the_codec_in_a_documented_state(raw: list[bytes]) -> None:
    made, opened, over = codec(), False, False
    for piece in raw:
        actions = made.receive(piece)
        assert not over or actions == []
        for action in actions:
            assert isinstance(action, Send | Close | OpenStream) or opened
            opened = opened or isinstance(action, OpenStream)
            over = over or isinstance(action, EndStream | Close)
        assert made.finishing == over


# On a real socket.

SAID = [0, 0, 200, 300, 0, 0, 0, 400]


def pcm(*numbers: int) -> bytes:
    return (tone_words(numbers) * 32767).astype("<i2").tobytes()


def utterance(*numbers: int, size: int = 3_200, **request: Any) -> bytes:
    """What Home Assistant sends for one command."""
    audio = pcm(*(numbers or SAID))
    chunks = [wire("audio-chunk", FORMAT, audio[start : start + size]) for start in range(0, len(audio), size)]
    return b"".join([wire("transcribe", request), wire("audio-start", FORMAT), *chunks, wire("audio-stop")])


class Talk:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._events = EventReader()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def receive(self) -> tuple[str, dict[str, Any]] | None:
        """The next event; None when the server has closed."""
        async with asyncio.timeout(10):
            while (event := self._events.next()) is None:
                piece = await self.reader.read(1_000)
                if not piece:
                    return None
                self._events.push(piece)
        return event.type, dict(event.data)

    async def hear_transcript(self) -> str:
        while (event := await self.receive()) is not None:
            if event[0] == "transcript":
                return str(event[1]["text"])
        raise AssertionError("the server closed without a transcript")


@asynccontextmanager
async def talking(port: int) -> AsyncIterator[Talk]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Talk(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def serving(
    recognition: ScriptedRecognition | None = None, **options: Any
) -> AsyncIterator[tuple[LocalServer, int]]:
    port = free_port()
    chosen = recognition or ScriptedRecognition()
    async with local_server(lambda: chosen, Settings(wyoming_port=port, **options)) as server:
        yield server, port


@pytest.mark.anyio
async def test_one_connection_has_one_transcript_after_the_other() -> None:
    async with serving() as (server, port), talking(port) as talk:
        await talk.send(utterance() + utterance(500))
        assert await talk.receive() == ("transcript-start", {"language": "en"})
        assert await talk.receive() == ("transcript-chunk", {"text": "w200"})
        assert await talk.hear_transcript() == "w200 w300 w400"
        assert await talk.receive() == ("transcript-stop", {})
        assert await talk.hear_transcript() == "w500"
        await talk.send(wire("ping"))
        assert await talk.receive() == ("transcript-stop", {})
        assert await talk.receive() == ("pong", {})
        assert server.service.admission.streams == 0, "who waits holds no place"


@pytest.mark.anyio
@pytest.mark.parametrize("size", [2, 999, 100_000])
async def test_packets_of_any_size_make_no_difference(size: int) -> None:
    data = utterance(size=6_400) if size > 2 else utterance(0, 200, size=6_400)
    async with serving() as (_, port), talking(port) as talk:
        for start in range(0, len(data), size):
            await talk.send(data[start : start + size])
        assert await talk.hear_transcript() == ("w200 w300 w400" if size > 2 else "w200")


@pytest.mark.anyio
async def test_a_client_that_only_writes_no_more_gets_its_transcript_and_the_end() -> None:
    async with serving() as (_, port), talking(port) as talk:
        await talk.send(utterance())
        talk.writer.write_eof()
        assert await talk.hear_transcript() == "w200 w300 w400"
        assert await talk.receive() == ("transcript-stop", {})
        assert await talk.receive() is None


@pytest.mark.anyio
async def test_a_full_server_still_describes_itself_and_refuses_with_an_error() -> None:
    async with serving(max_streams=1) as (server, port), talking(port) as talk:
        async with connect(f"{server.url}/v1/vosk"):
            await until(lambda: server.service.admission.full)
            await talk.send(wire("describe"))
            described = await talk.receive()
            assert described is not None
            assert described[0] == "info"
            await talk.send(utterance(*SAID * 20))
            refused = await talk.receive()
            assert refused is not None
            assert (refused[0], refused[1]["code"]) == ("error", "overloaded")
            assert await talk.receive() is None
        await until(lambda: not server.service.admission.full)
        async with talking(port) as again:
            await again.send(utterance())
            assert await again.hear_transcript() == "w200 w300 w400"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("data", "code"),
    [(b"GET / HTTP/1.1\r\n\r\n", "bad_event"), (utterance(language="fr"), "request"), (b'{"type":7}\n', "bad_event")],
)
async def test_what_cannot_be_done_is_an_error_and_the_end(data: bytes, code: str) -> None:
    async with serving() as (_, port), talking(port) as talk:
        await talk.send(data)
        event = await talk.receive()
        assert event is not None
        assert (event[0], event[1]["code"]) == ("error", code)
        talk.writer.write_eof()
        assert await talk.receive() is None


@pytest.mark.anyio
async def test_a_server_with_keys_has_none_on_this_port_and_says_nothing_to_the_idle() -> None:
    port = free_port()
    keys = ApiKeys({hash_key("good"): Principal(name="ali")})
    settings = Settings(wyoming_port=port, idle_seconds=0.3)
    async with local_server(ScriptedRecognition, settings, keys=keys), talking(port) as talk:
        await talk.send(utterance())
        assert await talk.hear_transcript() == "w200 w300 w400"
        assert await talk.receive() == ("transcript-stop", {})
        assert await talk.receive() is None


@pytest.mark.anyio
async def test_names_reach_the_recognizer_and_a_client_that_goes_leaves_nothing_behind() -> None:
    recognition = ScriptedRecognition()
    async with serving(recognition) as (server, port):
        async with talking(port) as talk:
            await talk.send(utterance(transcript_names=["r2d2"])[:-20])
            await until(lambda: bool(recognition.streams))
        assert list(recognition.streams[-1].unspellable) == ["r2d2"]
        await until(lambda: not server.service.admission.streams and not len(server.service.sessions))


@pytest.mark.anyio
async def test_a_server_that_stops_ends_its_connections() -> None:
    async with serving(grace_seconds=0.1) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(utterance()[:-20])
        await writer.drain()
    assert b"error" in await asyncio.wait_for(reader.read(), 10)
    writer.close()
