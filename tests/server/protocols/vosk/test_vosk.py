"""Vosk's protocol, driven by scripted events, and on a real socket: one reply for each binary message, in order."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streaming_asr_server.access.authentication import ApiKeys, Principal, hash_key
from streaming_asr_server.adapter.interface import (
    Action,
    AudioFormat,
    CodecFailure,
    EndStream,
    EndUtterance,
    OpenStream,
    PushAudio,
    UpdateHotwords,
)
from streaming_asr_server.connection.outbox import Close, Send
from streaming_asr_server.local import local_server
from streaming_asr_server.protocols.vosk.codec import VoskCodec, VoskDefaults
from streaming_asr_server.recognition.scripted import ScriptedRecognition, tone_words
from streaming_asr_server.settings import Settings
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streaming_asr.audio.samples import Samples
from streaming_asr.events import Alternative, Final, Partial, SpeechEnded, Word
from tests.server.test_chaos import free_port

PIECE = b"\0\0"


def words(text: str, start: float = 0.5) -> tuple[Word, ...]:
    return tuple(Word(word, start + 0.3 * n, start + 0.3 * n + 0.2, 0.9) for n, word in enumerate(text.split()))


def partial(text: str) -> Partial:
    return Partial(0, "", text, words(text), 0.5, 1.0, 0.0)


def final(text: str, start: float = 0.5) -> Final:
    spoken = words(text, start)
    both = (Alternative(text, -1.5, spoken), Alternative("other", -2.0, words("other", start)))
    return Final(0, text, spoken, start, spoken[-1].end, 0.9, both, "silence", 0.0)


def sent(actions: Sequence[Action]) -> list[dict[str, Any]]:
    return [json.loads(action.data) for action in actions if isinstance(action, Send)]


def opened(**config: Any) -> VoskCodec:
    """A connection on which audio has come already."""
    codec = VoskCodec()
    assert codec.receive(json.dumps({"config": config})) == []
    assert isinstance(codec.receive(PIECE)[0], OpenStream)
    return codec


def test_each_piece_has_one_reply_the_final_where_an_utterance_ended() -> None:
    codec = opened()
    assert sent(codec.audio_recognized(1, 0.1)) == [{"partial": ""}]
    assert codec.event(0, partial("one")) == []
    assert sent(codec.audio_recognized(1, 0.2)) == [{"partial": "one"}]
    codec.event(0, final("one two"))
    codec.event(0, SpeechEnded(0, 1.0, "silence", 0.0))
    (reply,) = sent(codec.audio_recognized(1, 0.3))
    assert reply == {
        "result": [
            {"conf": 0.9, "start": 0.5, "end": 0.7, "word": "one"},
            {"conf": 0.9, "start": 0.8, "end": 1.0, "word": "two"},
        ],
        "text": "one two",
    }
    assert sent(codec.audio_recognized(1, 0.4)) == [{"partial": ""}], "after a final the next partial begins empty"


def test_two_finals_of_one_piece_are_told_in_the_next_two_replies() -> None:
    codec = opened(words=False)
    codec.event(0, final("one"))
    codec.event(0, final("two"))
    codec.event(0, partial("three"))
    assert [sent(codec.audio_recognized(1, 0.1)) for _ in range(3)] == [
        [{"text": "one"}],
        [{"text": "two"}],
        [{"partial": "three"}],
    ]


def test_pieces_that_were_recognized_at_once_have_a_reply_each() -> None:
    codec = opened(words=0)
    codec.event(0, final("one"))
    codec.event(0, partial("two"))
    assert sent(codec.audio_recognized(3, 0.1)) == [{"text": "one"}, {"partial": "two"}, {"partial": "two"}]


def test_eof_is_answered_with_all_that_is_left_then_the_close() -> None:
    codec = opened()
    assert codec.receive('{"eof" : 1}') == [EndStream()]
    codec.event(0, final("one"))
    codec.event(0, final("two", 2.0))
    *replies, close = codec.finished(3.0)
    (reply,) = sent(replies)
    assert reply["text"] == "one two"
    assert [word["start"] for word in reply["result"]] == [0.5, 2.0]
    assert close == Close(1000)
    assert codec.receive(PIECE) == codec.receive("nonsense") == [], "nothing is heard after it"


def test_an_empty_final_has_no_words() -> None:
    codec = opened()
    assert sent(codec.utterance_ended(None, 1.0)) == [{"text": ""}]
    assert sent(opened(max_alternatives=2).finished(1.0)) == [{"alternatives": [{"text": "", "confidence": 1.0}]}]


def test_reset_is_answered_and_the_stream_goes_on() -> None:
    codec = opened(words=False)
    assert codec.receive('{"reset":true}') == [EndUtterance()]
    codec.event(0, final("one"))
    assert sent(codec.utterance_ended(None, 1.0)) == [{"text": "one"}]
    assert codec.receive(PIECE) == [PushAudio(PIECE)]


@pytest.mark.parametrize("end", ['{"eof" : 1}', '{"reset" : 1}'])
def test_a_flush_before_any_audio_is_answered_too(end: str) -> None:
    first, second = VoskCodec().receive(end)
    assert isinstance(first, OpenStream)
    assert isinstance(second, EndStream | EndUtterance)


def test_alternatives_have_scores_and_words_without_confidence() -> None:
    codec = opened(max_alternatives=2)
    codec.event(0, final("one"))
    (reply,) = sent(codec.audio_recognized(1, 0.1))
    assert reply == {
        "alternatives": [
            {"confidence": -1.5, "result": [{"end": 0.7, "start": 0.5, "word": "one"}], "text": "one"},
            {"confidence": -2.0, "result": [{"end": 0.7, "start": 0.5, "word": "other"}], "text": "other"},
        ]
    }


@pytest.mark.parametrize(
    ("config", "audio"),
    [({}, 8_000), ({"sample_rate": 16_000.0}, 16_000), ({"sample_rate": "44100"}, 44_100), ({"frob": [1]}, 8_000)],
)
def test_the_rate_is_that_of_the_config_or_the_default(config: dict[str, Any], audio: int) -> None:
    codec = VoskCodec()
    codec.receive(json.dumps({"config": config}))
    assert codec.receive(PIECE) == [
        OpenStream(audio=AudioFormat("linear16", audio), formatted=False, prompt=True),
        PushAudio(PIECE),
    ]


def test_the_default_rate_is_an_option() -> None:
    (first, _) = VoskCodec(VoskDefaults(sample_rate=16_000)).receive(PIECE)
    assert first == OpenStream(audio=AudioFormat("linear16", 16_000), formatted=False, prompt=True)


def test_phrases_are_hotwords_from_the_start_and_later() -> None:
    codec = VoskCodec()
    codec.receive('{"config": {"phrase_list": ["one two", " three ", 7, "[unk]"], "model": "big", "words": 1}}')
    (first, _) = codec.receive(PIECE)
    assert isinstance(first, OpenStream)
    assert dict(first.hotwords) == {"one two": 10.0, "three": 10.0}
    assert codec.receive('{"config": {"phrase_list": ["four"], "sample_rate": 9000}}') == [
        UpdateHotwords({"four": 10.0})
    ]
    assert codec.receive('{"config": {"words": false}}') == []


@pytest.mark.parametrize("text", ["", "nonsense", '{"eof" :', '{"config": {"sample_rate": 0}}'])
def test_what_cannot_be_meant_for_it_ends_the_connection_with_a_reason(text: str) -> None:
    codec = opened()
    (close,) = codec.receive(text)
    assert isinstance(close, Close)
    assert close.code == 1007
    assert close.reason


@pytest.mark.parametrize("text", ["{}", "[]", "7", '{"config": 1}', '{"hello": "you"}'])
def test_other_json_is_dropped(text: str) -> None:
    assert opened().receive(text) == []


@pytest.mark.parametrize(("kind", "code"), [("audio", 1007), ("request", 1008), ("shutdown", 1012), ("server", 1011)])
def test_a_failure_is_a_close_with_a_reason(kind: Any, code: int) -> None:
    assert opened().failed(CodecFailure(kind, "why")) == [Close(code, "why")]


CLIENT_MESSAGES = st.one_of(
    st.binary(max_size=8),
    st.text(max_size=8),
    st.sampled_from(['{"eof":1}', '{"reset":1}', '{"config":{}}', '{"config":{"words":0,"max_alternatives":3}}']),
    st.dictionaries(
        st.sampled_from(["sample_rate", "phrase_list", "words", "max_alternatives"]),
        st.integers() | st.none() | st.floats() | st.lists(st.text(max_size=3), max_size=3),
    ).map(lambda config: json.dumps({"config": config})),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(CLIENT_MESSAGES, max_size=12))
def test_any_sequence_of_messages_leaves_the_codec_in_a_documented_state(raw: list[str | bytes]) -> None:
    codec, is_open, closed = VoskCodec(), False, False
    for message in raw:
        actions = codec.receive(message)
        assert not closed or actions == []
        for action in actions:
            assert isinstance(action, OpenStream) is not is_open or isinstance(action, Close) or is_open
            assert is_open or isinstance(action, OpenStream | Close)
            is_open = is_open or isinstance(action, OpenStream)
            closed = closed or isinstance(action, EndStream | Close)


# On a real socket.

KEYS = ApiKeys({hash_key("good"): Principal(name="ali")})
SAID = [0, 0, 200, 300, 0, 0, 0, 400, 0, 0, 0, 0]
CONFIG = '{ "config" : { "sample_rate" : 16000 } }'


def linear16(samples: Samples) -> bytes:
    return (samples * 32767).astype("<i2").tobytes()


PCM = linear16(tone_words(SAID))


@asynccontextmanager
async def talking(path: str = "/v1/vosk", **options: Any) -> AsyncIterator[ClientConnection]:
    async with local_server(ScriptedRecognition) as server, connect(f"{server.url}{path}", **options) as websocket:
        yield websocket


async def lock_step(websocket: ClientConnection, audio: bytes, size: int) -> list[dict[str, Any]]:
    """Send and receive in turns, as Vosk's own clients do; the last reply is that to `eof`."""
    replies = []
    async with asyncio.timeout(10):
        for start in range(0, len(audio), size):
            await websocket.send(audio[start : start + size])
            replies.append(json.loads(await websocket.recv()))
        await websocket.send('{"eof" : 1}')
        replies.append(json.loads(await websocket.recv()))
        with pytest.raises(ConnectionClosed):
            await websocket.recv()
    assert websocket.close_code == 1000
    return replies


@pytest.mark.anyio
@pytest.mark.parametrize("size", [320, 3_200, 100_000])
async def test_lock_step_with_pieces_of_any_size(size: int) -> None:
    async with talking() as websocket:
        await websocket.send(CONFIG)
        replies = await lock_step(websocket, PCM, size)
    assert len(replies) == -(-len(PCM) // size) + 1
    assert [reply["text"] for reply in replies if reply.get("text")] == ["w200 w300", "w400"]
    if size < len(PCM):
        partials = [reply["partial"] for reply in replies if "partial" in reply]
        assert {"", "w200", "w200 w300", "w400"} <= set(partials)


@pytest.mark.anyio
async def test_a_client_that_does_not_wait_gets_as_many_replies() -> None:
    async with talking() as websocket, asyncio.timeout(10):
        await websocket.send(CONFIG)
        for start in range(0, len(PCM), 1_600):
            await websocket.send(PCM[start : start + 1_600])
        await websocket.send(b"")
        await websocket.send('{"reset" : 1}')
        count = len(PCM) // 1_600 + 2
        replies = [json.loads(await websocket.recv()) for _ in range(count)]
        await websocket.send('{"eof":1}')
        assert json.loads(await websocket.recv()) == {"text": ""}
    assert [reply["text"] for reply in replies if reply.get("text")] == ["w200 w300", "w400"]


@pytest.mark.anyio
async def test_a_wav_file_may_be_sent_as_it_is() -> None:
    header = b"RIFF" + (36 + len(PCM)).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    header += b"\1\0\1\0" + (16_000).to_bytes(4, "little") + (32_000).to_bytes(4, "little") + b"\2\0\x10\0"
    file = header + b"data" + len(PCM).to_bytes(4, "little") + PCM
    assert len(file) == 44 + len(PCM)
    async with talking() as websocket:
        await websocket.send(CONFIG)
        replies = await lock_step(websocket, file, 3_200)
    assert len(replies) == -(-len(file) // 3_200) + 1
    assert [reply["text"] for reply in replies if reply.get("text")] == ["w200 w300", "w400"]


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["", "/", "/any/path?and=query"])
async def test_on_its_own_port_any_path_will_do(path: str) -> None:
    port = free_port()
    async with (
        local_server(ScriptedRecognition, Settings(vosk_port=port, vosk_sample_rate=16_000)),
        connect(f"ws://127.0.0.1:{port}{path}") as websocket,
    ):
        replies = await lock_step(websocket, PCM, 3_200)
    assert [reply["text"] for reply in replies if reply.get("text")] == ["w200 w300", "w400"]


@pytest.mark.anyio
async def test_a_server_with_keys_wants_one_in_the_address_or_a_header() -> None:
    async with local_server(ScriptedRecognition, keys=KEYS) as server:
        url = f"{server.url}/v1/vosk"
        for address, headers in ((f"{url}?token=good", {}), (url, {"Authorization": "Bearer good"})):
            async with connect(address, additional_headers=headers) as websocket:
                await websocket.send(CONFIG)
                assert len(await lock_step(websocket, PCM, 100_000)) == 2
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{url}?token=bad")
    assert refused.value.response.status_code == 401


@pytest.mark.anyio
async def test_a_full_server_refuses_before_the_upgrade_and_has_room_when_a_client_has_gone() -> None:
    port = free_port()
    settings = Settings(max_streams=1, vosk_port=port)
    async with local_server(ScriptedRecognition, settings) as server:
        async with connect(f"ws://127.0.0.1:{port}"):
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"{server.url}/v1/vosk")
        assert refused.value.response.status_code == 503
        async with asyncio.timeout(5):
            while server.service.admission.streams:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@pytest.mark.anyio
async def test_a_port_that_is_taken_ends_the_server_with_the_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(vosk_port=taken.getsockname()[1])
        async with local_server(ScriptedRecognition, settings) as server:
            assert "cannot be used" in str(server.service.failure)


@pytest.mark.anyio
async def test_a_server_that_stops_closes_its_port_with_1012_and_is_gone() -> None:
    port = free_port()
    settings = Settings(vosk_port=port, grace_seconds=0.1)
    async with local_server(ScriptedRecognition, settings):
        websocket = await connect(f"ws://127.0.0.1:{port}")
        await websocket.send(PCM)
        await websocket.recv()
    await asyncio.wait_for(websocket.wait_closed(), 5)
    assert websocket.close_code == 1012
    with pytest.raises(OSError, match=r"refused|failed"):
        await connect(f"ws://127.0.0.1:{port}")
