"""`/v1/listen` on a real socket: the handshake, every form of audio, every end."""

from __future__ import annotations

import asyncio
import io
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from streaming_asr_server.access.authentication import ApiKeys, Principal, hash_key
from streaming_asr_server.local import local_server
from streaming_asr_server.protocols.deepgram import route as deepgram_route
from streaming_asr_server.recognition.scripted import ScriptedRecognition, tone_words
from streaming_asr_server.settings import Settings
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from streaming_asr.audio.samples import Samples

pytestmark = pytest.mark.anyio

KEYS = ApiKeys({hash_key("good"): Principal(name="ali")})
RAW = "encoding=linear16&sample_rate=16000"
SAID = [0, 0, 200, 300, 0, 0, 0, 400]


def linear16(samples: Samples) -> bytes:
    return (samples * 32767).astype("<i2").tobytes()


PCM = linear16(tone_words(SAID))


@asynccontextmanager
async def listening(
    query: str = RAW, *, keys: ApiKeys | None = None, settings: Settings | None = None, **options: Any
) -> AsyncIterator[ClientConnection]:
    async with (
        local_server(ScriptedRecognition, settings, keys=keys) as server,
        connect(f"{server.url}/v1/listen?{query}", **options) as websocket,
    ):
        yield websocket


async def say(websocket: ClientConnection, *messages: str | bytes) -> None:
    for message in messages:
        await websocket.send(json.dumps({"type": message}) if isinstance(message, str) else message)


async def hear_out(websocket: ClientConnection) -> tuple[list[dict[str, Any]], int | None, str]:
    """All messages up to the close, its code and its reason."""
    messages = []
    try:
        async with asyncio.timeout(10):
            while True:
                messages.append(json.loads(await websocket.recv()))
    except ConnectionClosed:
        return messages, websocket.close_code, websocket.close_reason or ""


def transcripts(messages: Sequence[dict[str, Any]], channel: int = 0) -> list[str]:
    """What the finals of a channel say."""
    results = [message for message in messages if message["type"] == "Results" and message["is_final"]]
    return [
        result["channel"]["alternatives"][0]["transcript"]
        for result in results
        if result["channel_index"][0] == channel
    ]


async def test_a_stream_from_the_handshake_to_the_summary() -> None:
    async with listening(f"{RAW}&interim_results=true&vad_events=true&redact=pci") as websocket:
        assert websocket.response is not None
        request_id = websocket.response.headers["dg-request-id"]
        assert websocket.response.headers["dg-model-name"] == "scripted"
        assert websocket.response.headers["x-ignored-parameters"] == "redact"
        await say(websocket, PCM, "CloseStream")
        messages, code, _ = await hear_out(websocket)
    assert transcripts(messages) == ["w200 w300", "w400"]
    kinds = [message["type"] for message in messages]
    assert kinds[0] == "SpeechStarted"
    assert kinds.index("Results") < kinds.index("Metadata") == len(kinds) - 1
    assert {
        message.get("request_id") or message["metadata"]["request_id"]
        for message in messages
        if "channel_index" in message or "sha256" in message
    } == {request_id}
    assert (messages[-1]["duration"], code) == (0.8, 1000)


@pytest.mark.parametrize("size", [1, 7, 640, 100_000])
async def test_packets_of_any_size_make_no_difference(size: int) -> None:
    pcm = PCM[:6_400] if size < 7 else PCM
    async with listening() as websocket:
        await say(websocket, *(pcm[start : start + size] for start in range(0, len(pcm), size)), "CloseStream")
        messages, _, _ = await hear_out(websocket)
    assert transcripts(messages) == ([] if size < 7 else ["w200 w300", "w400"])
    assert messages[-1]["duration"] == len(pcm) / 32_000


async def test_finalize_is_always_answered_and_the_stream_goes_on() -> None:
    async with listening() as websocket:
        await say(websocket, "Finalize", PCM[:12_800], "Finalize", "Finalize", PCM[12_800:], "Finalize")
        messages = [json.loads(await websocket.recv()) for _ in range(4)]
        assert [message["from_finalize"] for message in messages] == [True] * 4
        assert transcripts(messages) == ["", "w200 w300", "", "w400"]
        await say(websocket, "CloseStream")
        last, code, _ = await hear_out(websocket)
    assert [message["type"] for message in last] == ["Metadata"]
    assert code == 1000


def container(kind: str, samples: Samples) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format=kind, subtype="PCM_16")
    return file.getvalue()


def opus_packets(samples: Samples) -> list[bytes]:
    encoder: Any = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 16_000, "mono", "s16"
    encoder.time_base, encoder.bit_rate = Fraction(1, 16_000), 64_000
    encoder.open()
    packets: list[bytes] = []
    for start in range(0, len(samples) - encoder.frame_size + 1, encoder.frame_size):
        piece = np.frombuffer(linear16(samples[start : start + encoder.frame_size]), "<i2")[None]
        frame = av.AudioFrame.from_ndarray(piece, format="s16", layout="mono")
        frame.sample_rate, frame.pts = 16_000, start
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets + [bytes(packet) for packet in encoder.encode(None)]


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
@pytest.mark.parametrize("query", ["model=nova-3", RAW])
async def test_a_file_in_pieces_is_heard_even_if_raw_audio_was_declared(kind: str, query: str) -> None:
    data = container(kind, tone_words(SAID))
    async with listening(query) as websocket:
        await say(websocket, *(data[start : start + 500] for start in range(0, len(data), 500)), "CloseStream")
        messages, code, _ = await hear_out(websocket)
    assert transcripts(messages) == ["w200 w300", "w400"]
    assert (messages[-1]["duration"], code) == (0.8, 1000)


def muxed(kind: str, samples: Samples) -> bytes:
    """Opus in a container, as a browser records it."""
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream("libopus", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.frombuffer(linear16(samples), "<i2")[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48_000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def check_sine(messages: Sequence[dict[str, Any]]) -> None:
    assert messages[-1]["duration"] == pytest.approx(1.0, abs=0.05)
    heard = [int(word[1:]) for word in " ".join(transcripts(messages)).split()]
    assert len(heard) >= 9
    assert np.median(heard) == pytest.approx(318, rel=0.1), "the mean of a sine is 2/pi of its height"


async def test_bare_opus_packets_are_heard() -> None:
    async with listening("encoding=opus&sample_rate=48000") as websocket:
        tone = np.sin(np.arange(16_000) * 0.3).astype(np.float32) * np.float32(0.5)
        await say(websocket, *opus_packets(tone), "CloseStream")
        messages, code, _ = await hear_out(websocket)
    assert code == 1000
    check_sine(messages)


@pytest.mark.parametrize(
    ("kind", "query"), [("ogg", "encoding=ogg-opus"), ("webm", "model=nova-3"), ("ogg", "channels=1")]
)
async def test_opus_in_containers_is_heard(kind: str, query: str) -> None:
    data = muxed(kind, np.sin(np.arange(48_000) * 0.1).astype(np.float32) * np.float32(0.5))
    async with listening(query) as websocket:
        await say(websocket, *(data[start : start + 99] for start in range(0, len(data), 99)), "CloseStream")
        messages, code, _ = await hear_out(websocket)
    assert code == 1000
    check_sine(messages)


@pytest.mark.parametrize(
    ("query", "message"),
    [("encoding=opus&sample_rate=48000", b"\xff" * 40), ("model=x", b"no container at all"), (f"{RAW}", b"")],
)
async def test_audio_that_cannot_be_decoded_ends_with_1008(query: str, message: bytes) -> None:
    query = query.replace("linear16", "linear32") if not message else query
    async with listening(query) as websocket:
        await say(websocket, message or np.full(4, np.nan, "<f4").tobytes(), PCM)
        messages, code, reason = await hear_out(websocket)
    assert code == 1008
    assert reason.startswith("DATA-0000")
    assert messages[-1]["type"] == "Error"


@pytest.mark.parametrize("end", [b"", b'{"type": "CloseStream"}'])
async def test_clients_that_end_in_binary_get_their_last_words(end: bytes) -> None:
    async with listening(RAW) as websocket:
        await say(websocket, PCM, end)
        messages, code, _ = await hear_out(websocket)
    assert (transcripts(messages)[-1], messages[-1]["type"], code) == ("w400", "Metadata", 1000)


async def test_channels_are_recognized_apart() -> None:
    left, right = tone_words(SAID), tone_words([500, 600, 0, 0, 0, 0, 700, 0])
    both = linear16(np.stack([left, right], axis=1).reshape(-1))
    async with listening(f"{RAW}&channels=2&multichannel=true") as websocket:
        await say(websocket, both, json.loads('"Finalize"'), "CloseStream")
        messages, _, _ = await hear_out(websocket)
    assert [text for text in transcripts(messages) if text] == ["w200 w300", "w400"]
    assert [text for text in transcripts(messages, 1) if text] == ["w500 w600", "w700"]
    assert {tuple(message["channel_index"]) for message in messages if message["type"] == "Results"} == {(0, 2), (1, 2)}
    assert (messages[-1]["channels"], messages[-1]["duration"]) == (2, 0.8)


async def test_channels_of_a_file_are_recognized_apart() -> None:
    stereo = np.stack([tone_words([500, 0, 0, 0]), tone_words([0, 600, 0, 0])], axis=1)
    file = io.BytesIO()
    soundfile.write(file, stereo, 16_000, format="WAV", subtype="PCM_16")
    async with listening("multichannel=true") as websocket:
        await say(websocket, file.getvalue()[:30], file.getvalue()[30:], "CloseStream")
        messages, _, _ = await hear_out(websocket)
    assert (transcripts(messages), transcripts(messages, 1)) == (["w500"], ["w600"])


async def test_channels_are_mixed_unless_they_are_to_be_apart() -> None:
    both = linear16(np.repeat(tone_words(SAID), 2))
    async with listening(f"{RAW}&channels=2") as websocket:
        await say(websocket, both, "CloseStream")
        messages, _, _ = await hear_out(websocket)
    assert transcripts(messages) == ["w200 w300", "w400"]


@pytest.mark.parametrize(
    "options",
    [
        {"additional_headers": {"Authorization": "Token good"}},
        {"additional_headers": {"Authorization": "Bearer good"}},
        {"additional_headers": {"authorization": "token good"}},
        {"subprotocols": [Subprotocol("token"), Subprotocol("good")]},
        {"subprotocols": [Subprotocol("bearer"), Subprotocol("good")]},
    ],
)
async def test_every_form_of_the_key_opens(options: dict[str, Any]) -> None:
    async with listening(keys=KEYS, **options) as websocket:
        await say(websocket, "CloseStream")
        _, code, _ = await hear_out(websocket)
        assert code == 1000
        assert websocket.subprotocol == (options["subprotocols"][0] if "subprotocols" in options else None)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Token bad"}, {"Authorization": "good"}])
async def test_a_bad_key_is_refused_before_the_upgrade(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with listening(keys=KEYS, additional_headers=headers):
            pass
    response = refused.value.response
    assert response.status_code == 401
    assert "API key" in response.headers["dg-error"]
    assert response.headers["dg-request-id"]


@pytest.mark.parametrize(
    ("query", "named"), [("encoding=linear16", "sample_rate"), ("encoding=g729", "g729"), (f"{RAW}&language=fr", "fr")]
)
async def test_what_cannot_be_done_is_refused_with_the_reason(query: str, named: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with listening(query):
            pass
    assert refused.value.response.status_code == 400
    assert named in refused.value.response.headers["dg-error"]


@pytest.mark.parametrize("query", [f"{RAW}&language=en-US", f"{RAW}&language=multi&frob=1&diarize=true"])
async def test_nothing_else_fails_the_handshake(query: str) -> None:
    async with listening(query) as websocket:
        await say(websocket, PCM, "CloseStream")
        assert transcripts((await hear_out(websocket))[0]) == ["w200 w300", "w400"]


async def test_a_full_server_says_503_and_when_to_come_again() -> None:
    settings = Settings(max_streams=1)
    async with local_server(ScriptedRecognition, settings) as server, connect(f"{server.url}/v1/listen?{RAW}"):
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{server.url}/v1/listen?{RAW}")
    assert refused.value.response.status_code == 503
    assert int(refused.value.response.headers["Retry-After"]) > 0
    assert "in use" in refused.value.response.headers["dg-error"]


async def test_silence_of_the_client_ends_with_1011_and_keepalive_prevents_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepgram_route, "IDLE_SECONDS", 0.4)
    async with listening() as websocket:
        for _ in range(4):
            await asyncio.sleep(0.2)
            await say(websocket, "KeepAlive")
        messages, code, reason = await hear_out(websocket)
    assert messages == []
    assert code == 1011
    assert "did not receive audio data" in reason


async def test_keyterms_reach_the_recognizer() -> None:
    recognition = ScriptedRecognition()
    async with (
        local_server(lambda: recognition) as server,
        connect(f"{server.url}/v1/listen?{RAW}&keyterm=two+words&keywords=snap:2") as websocket,
    ):
        await say(websocket, PCM)
        await websocket.send('{"type":"Configure","keyterms":["r2d2"]}')
        assert json.loads(await websocket.recv())["keyterms"] == ["r2d2"]
        await say(websocket, "CloseStream")
        await hear_out(websocket)
    assert list(recognition.streams[-1].unspellable) == ["r2d2"]


async def test_a_client_that_goes_away_leaves_nothing_behind() -> None:
    async with local_server(ScriptedRecognition, Settings(max_streams=1)) as server:
        for _ in range(3):
            async with connect(f"{server.url}/v1/listen?{RAW}") as websocket:
                await say(websocket, PCM)
            async with asyncio.timeout(5):
                while server.service.admission.streams or len(server.service.sessions):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)


async def test_any_sequence_of_messages_ends_in_the_summary() -> None:
    """Twenty connections that say anything at all, with a fixed seed."""
    words: list[str | bytes] = [
        "KeepAlive",
        "Finalize",
        "nonsense",
        b"\0",
        PCM[:3_201],
        PCM[:6_400],
        linear16(tone_words([77])),
    ]
    async with local_server(ScriptedRecognition) as server:
        for seed in range(20):
            rng = random.Random(seed)
            said = rng.choices(words, k=rng.randint(0, 25))
            query = rng.choice([RAW, f"{RAW}&channels=2&multichannel=true", f"{RAW}&interim_results=true"])
            async with connect(f"{server.url}/v1/listen?{query}") as websocket:
                await say(websocket, *said, "CloseStream", *rng.choices(words, k=2))
                messages, code, _ = await hear_out(websocket)
            assert (messages[-1]["type"], code) == ("Metadata", 1000)
            channels = messages[-1]["channels"]
            answers = sum(message.get("from_finalize", False) for message in messages)
            assert said.count("Finalize") <= answers <= said.count("Finalize") * channels
            assert sum(message["type"] == "Error" for message in messages) == said.count("nonsense")
