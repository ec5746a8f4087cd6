"""`/v1/realtime` on a real socket: dialects, keys, secrets, commits."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from streaming_asr_server.access.authentication import ApiKeys, Principal, hash_key
from streaming_asr_server.local import LocalServer, local_server
from streaming_asr_server.recognition.scripted import ScriptedRecognition, tone_words
from streaming_asr_server.settings import Settings
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

pytestmark = pytest.mark.anyio

KEYS = ApiKeys({hash_key("good"): Principal(name="ali")})
BETA = {"OpenAI-Beta": "realtime=v1"}
GOOD = {"Authorization": "Bearer good"}
SAID = [0, 0, 200, 300, 0, 0, 0, 400]


def pcm(*numbers: int) -> bytes:
    """24 kHz linear16: the positive parts of the tones, so that resampling leaves their heights alone."""
    return (abs(tone_words(numbers, sample_rate=24_000)) * 32767).astype("<i2").tobytes()


@asynccontextmanager
async def session(path: str = "?intent=transcription", **options: Any) -> AsyncIterator[ClientConnection]:
    async with local_server(ScriptedRecognition) as server, connect(f"{server.url}/v1/realtime{path}", **options) as ws:
        yield ws


async def say(websocket: ClientConnection, kind: str, **fields: Any) -> None:
    await websocket.send(json.dumps({"type": kind, **fields}))


async def append(websocket: ClientConnection, audio: bytes, size: int = 4_800) -> None:
    for start in range(0, len(audio), size):
        data = base64.b64encode(audio[start : start + size]).decode()
        await say(websocket, "input_audio_buffer.append", audio=data)


async def hear(websocket: ClientConnection, *last: str) -> list[dict[str, Any]]:
    """Messages up to the first one of these types."""
    messages: list[dict[str, Any]] = []
    async with asyncio.timeout(10):
        while not messages or messages[-1]["type"] not in last:
            messages.append(json.loads(await websocket.recv()))
    return messages


COMPLETED = "conversation.item.input_audio_transcription.completed"


async def test_the_server_decides_where_utterances_end() -> None:
    async with session() as websocket:
        (created,) = await hear(websocket, "session.created")
        assert created["session"]["audio"]["input"]["turn_detection"]["type"] == "server_vad"
        await append(websocket, pcm(*SAID))
        first = await hear(websocket, COMPLETED)
        await say(websocket, "input_audio_buffer.commit")
        second = await hear(websocket, COMPLETED)
    assert first[0]["type"] == "input_audio_buffer.speech_started"
    assert first[0]["audio_start_ms"] == 200
    assert [message["transcript"] for message in (first[-1], second[-1])] == ["w200 w300", "w400"]
    assert "".join(message.get("delta", "") for message in first) == "w200 w300"
    assert second[-2]["previous_item_id"] == first[-1]["item_id"]


async def test_the_client_commits() -> None:
    async with session() as websocket:
        await hear(websocket, "session.created")
        update = {"type": "transcription", "audio": {"input": {"turn_detection": None}}}
        await say(websocket, "session.update", session=update)
        (updated,) = await hear(websocket, "session.updated")
        assert updated["session"]["audio"]["input"]["turn_detection"] is None
        await append(websocket, pcm(*SAID))
        await say(websocket, "input_audio_buffer.commit")
        messages = await hear(websocket, COMPLETED)
        await say(websocket, "input_audio_buffer.commit")
        (error,) = await hear(websocket, "error")
        await append(websocket, pcm(500))
        await say(websocket, "input_audio_buffer.commit")
        assert (await hear(websocket, COMPLETED))[-1]["transcript"] == "w500"
    assert messages[-1]["transcript"] == "w200 w300 w400"
    assert messages[-1]["usage"] == {"type": "duration", "seconds": 0.8}
    assert not any("speech" in message["type"] for message in messages)
    assert error["error"]["code"] == "input_audio_buffer_commit_empty"


async def test_the_beta_dialect_is_chosen_by_a_header() -> None:
    async with session("?model=whatever&intent=transcription", additional_headers=BETA) as websocket:
        (created,) = await hear(websocket, "transcription_session.created")
        assert created["session"]["input_audio_format"] == "pcm16"
        await say(websocket, "transcription_session.update", session={"input_audio_format": "g711_ulaw"})
        (updated,) = await hear(websocket, "transcription_session.updated")
        assert updated["session"]["input_audio_format"] == "g711_ulaw"
        await append(websocket, b"\x90" * 1_600 + b"\xff" * 8_000)
        messages = await hear(websocket, COMPLETED)
    assert "conversation.item.created" in [message["type"] for message in messages]
    assert messages[-1]["transcript"]


@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("good", {"additional_headers": GOOD}),
        ("good", {"additional_headers": {"X-API-Key": "good"}}),
        ("good", {"subprotocols": [Subprotocol("realtime"), Subprotocol("openai-insecure-api-key.good")]}),
        ("good", {"subprotocols": [Subprotocol("realtime"), Subprotocol("realtime-token.good")]}),
        ("bad", {"additional_headers": {"Authorization": "Bearer bad"}}),
        ("bad", {}),
    ],
)
async def test_keys(key: str, options: dict[str, Any]) -> None:
    async with local_server(ScriptedRecognition, keys=KEYS) as server:
        if key == "good":
            async with connect(f"{server.url}/v1/realtime", **options) as websocket:
                await hear(websocket, "session.created")
                assert websocket.subprotocol == ("realtime" if "subprotocols" in options else None)
            return
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{server.url}/v1/realtime", **options)
    assert refused.value.response.status_code == 401
    assert json.loads(bytes(refused.value.response.body))["error"]["code"] == "invalid_api_key"


async def buy(server: LocalServer, path: str, body: Any = None, headers: Any = None) -> httpx.Response:
    async with httpx.AsyncClient() as http:
        return await http.post(f"{server.http}/v1/realtime/{path}", json=body, headers=headers or GOOD)


async def test_a_client_secret_opens_sessions_with_its_settings_until_it_expires() -> None:
    async with local_server(ScriptedRecognition, keys=KEYS) as server:
        session = {"type": "transcription", "audio": {"input": {"turn_detection": None}}}
        bought = await buy(server, "client_secrets", {"session": session, "expires_after": {"seconds": 30}})
        assert bought.status_code == 200
        secret = bought.json()
        assert secret["session"]["audio"]["input"]["turn_detection"] is None
        assert secret["expires_at"] == pytest.approx(server.service.now() + 30, abs=5)
        headers = {"Authorization": f"Bearer {secret['value']}"}
        for _ in range(2):
            async with connect(f"{server.url}/v1/realtime", additional_headers=headers) as websocket:
                (created,) = await hear(websocket, "session.created")
                assert created["session"]["audio"]["input"]["turn_detection"] is None
        now = server.service.now
        server.service.now = lambda: now() + 31
        with pytest.raises(InvalidStatus):
            await connect(f"{server.url}/v1/realtime", additional_headers=headers)


async def test_the_beta_route_sells_a_session_with_its_secret() -> None:
    async with local_server(ScriptedRecognition, keys=KEYS) as server:
        bought = (await buy(server, "transcription_sessions", {"input_audio_format": "g711_alaw"})).json()
        assert bought["input_audio_format"] == "g711_alaw"
        headers = {"Authorization": f"Bearer {bought['client_secret']['value']}", **BETA}
        async with connect(f"{server.url}/v1/realtime", additional_headers=headers) as websocket:
            (created,) = await hear(websocket, "transcription_session.created")
            assert created["session"]["input_audio_format"] == "g711_alaw"


@pytest.mark.parametrize("path", ["client_secrets", "transcription_sessions"])
async def test_secrets_are_sold_for_a_key_only(path: str) -> None:
    async with local_server(ScriptedRecognition, keys=KEYS) as server:
        secret = (await buy(server, "client_secrets")).json()["value"]
        for headers in ({"Authorization": f"Bearer {secret}"}, {"Authorization": "Bearer bad"}):
            refused = await buy(server, path, {}, headers)
            assert refused.status_code == 401
            assert refused.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"expires_after": {"seconds": 5}}, "5"),
        ({"expires_after": {"seconds": "x"}}, "'x'"),
        ({"expires_after": 3}, "expires_after"),
        ({"session": {"type": "realtime"}}, "realtime"),
        ([], "the body"),
    ],
)
async def test_a_wrong_wish_is_refused_with_the_reason(body: Any, named: str) -> None:
    async with local_server(ScriptedRecognition) as server:
        refused = await buy(server, "client_secrets", body)
    assert refused.status_code == 400
    assert named in refused.json()["error"]["message"]


async def test_a_full_server_says_503_in_openais_words() -> None:
    async with (
        local_server(ScriptedRecognition, Settings(max_streams=1)) as server,
        connect(f"{server.url}/v1/realtime"),
    ):
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{server.url}/v1/realtime")
    assert refused.value.response.status_code == 503
    assert json.loads(bytes(refused.value.response.body))["error"]["type"] == "server_error"


async def test_a_language_that_the_model_does_not_know_ends_the_session_with_an_error() -> None:
    async with session() as websocket:
        await hear(websocket, "session.created")
        transcription = {"model": "m", "language": "fr"}
        await say(websocket, "session.update", session={"audio": {"input": {"transcription": transcription}}})
        await append(websocket, pcm(200))
        *_, error = await hear(websocket, "error")
        await websocket.wait_closed()
        assert "'fr'" in error["error"]["message"]
        assert websocket.close_code == 1008


async def test_a_server_that_stops_says_so() -> None:
    async with local_server(ScriptedRecognition) as server, connect(f"{server.url}/v1/realtime") as websocket:
        await hear(websocket, "session.created")
        server.service.close_connections()
        (error,) = await hear(websocket, "error")
        await websocket.wait_closed()
        assert error["error"]["code"] == "server_shutdown"
        assert websocket.close_code == 1012


async def test_any_sequence_of_events_leaves_a_session_that_works() -> None:
    """Twenty sessions that say anything at all, with a fixed seed; then each is asked for one more item."""
    nonsense: list[str | bytes] = ["", "[]", b"\xff", '{"type":"response.create"}']
    async with local_server(ScriptedRecognition) as server:
        for seed in range(20):
            rng = random.Random(seed)
            async with connect(f"{server.url}/v1/realtime") as websocket:
                cleared = 1
                for _ in range(rng.randint(0, 20)):
                    match rng.randrange(6):
                        case 0:
                            await say(websocket, "input_audio_buffer.commit")
                        case 1:
                            await say(websocket, "input_audio_buffer.clear")
                            cleared += 1
                        case 2:
                            detection = rng.choice([None, {"type": "server_vad"}, {"type": "semantic_vad"}, 7])
                            await say(websocket, "session.update", session={"turn_detection": detection})
                        case 3:
                            await websocket.send(rng.choice(nonsense))
                        case _:
                            await append(websocket, pcm(*rng.choices([0, 200, 900], k=rng.randint(1, 6))))
                await say(websocket, "input_audio_buffer.clear")
                for _ in range(cleared):
                    await hear(websocket, "input_audio_buffer.cleared")
                await say(websocket, "session.update", session={"turn_detection": None})
                await append(websocket, pcm(0, 300, 0))
                await say(websocket, "input_audio_buffer.commit")
                last = (await hear(websocket, COMPLETED))[-1]
            assert last["transcript"] == "w300"
