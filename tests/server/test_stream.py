"""`/v1/stream` from end to end: a real socket, the real client, a recognizer that hears tones."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from streaming_asr_client import StreamFailedError, connect
from streaming_asr_server.local import local_server
from streaming_asr_server.recognition.scripted import ScriptedRecognition, tone_words
from streaming_asr_server.settings import Settings

from streaming_asr.events import Final, Partial, SpeechEnded, SpeechStarted
from tests.server.speaking import FAST, counted, events_of, finals, raw, sentences

pytestmark = pytest.mark.anyio

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "protocol.schema.json").read_text())
PCM = (tone_words([17, 18, 0, 0, 0]) * 32767).astype("<i2").tobytes()


async def test_audio_goes_up_and_words_come_down() -> None:
    async with local_server(ScriptedRecognition) as server:
        events = await events_of(server.url, tone_words([0, 17, 18, 0, 0, 0, 19]))
    kinds = [type(event) for event in events if not isinstance(event, Partial)]
    assert kinds == [SpeechStarted, Final, SpeechEnded] * 2
    assert finals(events) == [(0, "w17 w18", 0.1, 0.3), (1, "w19", 0.6, 0.7)]


async def test_packets_cut_anywhere_make_no_difference() -> None:
    async with local_server(ScriptedRecognition) as server:
        for seed in range(5):
            rng = random.Random(seed)
            audio = tone_words(sentences(rng))
            whole = await events_of(server.url, audio)
            assert finals(await events_of(server.url, audio, packets=rng)) == finals(whole)


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
async def test_other_rates_have_the_same_words_on_the_same_clock(rate: int) -> None:
    async with local_server(ScriptedRecognition) as server:
        audio = abs(tone_words([0, 17, 17, 17, 0, 0, 0, 0], sample_rate=rate))
        events = await events_of(server.url, audio, sample_rate=rate, encoding="float32")
    (final,) = [event for event in events if isinstance(event, Final)]
    assert final.start == pytest.approx(0.1, abs=0.11)
    assert "w17" in final.text.split()


async def test_every_message_of_the_server_fits_the_schema() -> None:
    schema = Draft202012Validator({**SCHEMA, "oneOf": [{"$ref": "#/$defs/server_message"}]})
    async with local_server(ScriptedRecognition) as server, raw(server.url) as client:
        start = {"type": "start", "hotwords": {"x1": 3}, "alternatives": 2}
        await client.send(start, PCM, {"type": "update", "hotwords": ["x2"]}, {"type": "finish"})
        messages, code = await client.receive_all()
    for message in messages:
        schema.validate(message)
    kinds = [message["type"] for message in messages]
    assert code == 1000
    assert {kinds[0], kinds[-1], "speech_started", "partial", "final", "speech_ended", "warning"} <= set(kinds)
    assert (kinds[0], kinds[-1]) == ("started", "finished")
    assert messages[0]["unspellable"] == ["x1"]
    assert messages[0]["options"]["endpoint"]["maximum_length_ms"] == 20_000
    assert messages[-1]["samples"] == len(PCM) // 2


async def test_audio_sent_before_the_answer_is_kept() -> None:
    async with local_server(ScriptedRecognition) as server, raw(server.url) as client:
        await client.send({"type": "start"}, PCM, {"type": "finish"})
        messages, _ = await client.receive_all()
    assert [message["text"] for message in messages if message["type"] == "final"] == ["w17 w18"]


async def test_finalize_ends_the_utterance_and_the_stream_stays_open() -> None:
    async with local_server(ScriptedRecognition) as server, connect(server.url, sample_rate=16_000) as stream:
        await stream.send(tone_words([17]))
        await stream.finalize()
        async for event in stream:
            if isinstance(event, SpeechEnded):
                assert event.reason == "finalize"
                break
        await stream.send(tone_words([18]))
        await stream.finish()
        assert [event.text async for event in stream if isinstance(event, Final)] == ["w18"]


async def test_options_are_obeyed() -> None:
    async with local_server(ScriptedRecognition) as server:
        events = await events_of(server.url, tone_words([17]), partials=False, word_times=False)
        (final,) = [event for event in events if isinstance(event, Final)]
        assert not any(isinstance(event, Partial) for event in events)
        assert (final.words, final.alternatives) == ((), ())
        events = await events_of(server.url, tone_words([17]), alternatives=2)
        (final,) = [event for event in events if isinstance(event, Final)]
        assert [entry.text for entry in final.alternatives] == ["w17"]


async def test_new_endpoint_rules_hold_from_their_place_on() -> None:
    async with local_server(ScriptedRecognition) as server, connect(server.url, sample_rate=16_000) as stream:
        await stream.send(tone_words([17] * 12))
        await stream.update(endpoint={"maximum_length_ms": 1_500})
        await stream.send(tone_words([18] * 12))
        await stream.finish()
        texts = [event.text async for event in stream if isinstance(event, Final)]
    assert [len(text.split()) for text in texts] == [15, 9]


async def test_a_wrong_option_is_the_clients_fault_and_is_explained() -> None:
    async with local_server(ScriptedRecognition) as server:
        with pytest.raises(StreamFailedError, match="language is 'fr'; this model knows en") as failed:
            await events_of(server.url, tone_words([17]), language="fr")
    assert (failed.value.code, failed.value.fault) == ("bad_option", "client")


@pytest.mark.parametrize(
    ("messages", "code", "close"),
    [
        ([b"1234"], "out_of_order", 4400),
        ([{"type": "finalize"}], "out_of_order", 4400),
        ([{"type": "start"}, {"type": "start"}], "out_of_order", 4400),
        (["hello"], "bad_message", 4400),
        ([{"type": "start", "rate": 1}], "bad_message", 4400),
        ([{"type": "start"}, b"RIFF" + bytes(5_000)], "bad_audio", 4400),
        ([{"type": "start", "encoding": "float32"}, b"\xff" * 4_000], "bad_audio", 4400),
        ([{"type": "start"}, {"type": "finish", "x": "y" * 300_000}], "too_big", 1009),
        ([{"type": "start", "resume": {"session": "x", "acknowledged": 441, "utterance": 0}, "sample_rate": 44_099}],
         "bad_option", 4400),
    ],
)  # fmt: skip
async def test_a_broken_client_is_told_what_it_did(
    messages: list[dict[str, object] | bytes | str], code: str, close: int
) -> None:
    async with local_server(ScriptedRecognition) as server:
        other = asyncio.create_task(events_of(server.url, tone_words([17, 18]), pause=0.01))
        async with raw(server.url) as client:
            await client.send(*messages)
            heard, closed = await client.receive_all()
        assert finals(await other) == [(0, "w17 w18", 0.0, 0.2)], "no other stream notices"
        assert len(server.service.sessions) == 0
    assert (heard[-1]["code"], heard[-1]["fault"], closed) == (code, "client", close)


async def test_a_message_over_the_websocket_limit_closes_with_1009() -> None:
    settings = Settings(message_bytes=50_000)
    async with local_server(ScriptedRecognition, settings) as server, raw(server.url) as client:
        await client.send({"type": "start"}, bytes(60_000))
        _, closed = await client.receive_all()
    assert closed == 1009


async def test_broken_frames_hurt_nobody_else() -> None:
    async with local_server(ScriptedRecognition) as server:
        for seed in range(20):
            rng = random.Random(seed)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            request = "GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            request += "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            writer.write(request.encode() + rng.randbytes(rng.randint(1, 200)))
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 15)
            writer.close()
        assert finals(await events_of(server.url, tone_words([17]))) == [(0, "w17", 0.0, 0.1)]
        assert server.service.idle


async def test_no_start_and_no_word_are_not_waited_for_for_ever() -> None:
    settings = Settings(start_seconds=0.1, idle_seconds=0.2)
    async with local_server(ScriptedRecognition, settings) as server:
        async with raw(server.url) as client:
            heard, closed = await client.receive_all()
        assert (heard[-1]["code"], heard[-1]["resumable"], closed) == ("start_timeout", True, 4408)
        async with raw(server.url) as client:
            await client.send({"type": "start"})
            heard, closed = await client.receive_all()
        assert (heard[-1]["code"], heard[-1]["resumable"], closed) == ("idle", True, 4408)
        async with connect(server.url, sample_rate=16_000, client=FAST) as stream:
            await asyncio.sleep(0.5)
            await stream.finish()
            assert [event async for event in stream] == []
        assert counted(server, "streams_opened", resumed="session") == 0, "the client kept it alive"
