"""`/v2/listen` on a real socket: the handshake, turns of scripted words, every end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from streaming_asr_server.access.authentication import ApiKeys, Principal, hash_key
from streaming_asr_server.local import local_server
from streaming_asr_server.recognition.scripted import ScriptedRecognition, tone_words
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

pytestmark = pytest.mark.anyio

RAW = "model=flux-general-en&encoding=linear16&sample_rate=16000"
PCM = (tone_words([0, 0, 200, 300, *[0] * 12, 400, *[0] * 12]) * 32767).astype("<i2").tobytes()


@asynccontextmanager
async def listening(query: str = RAW, keys: ApiKeys | None = None, **options: Any) -> AsyncIterator[ClientConnection]:
    async with (
        local_server(ScriptedRecognition, keys=keys) as server,
        connect(f"{server.url}/v2/listen?{query}", **options) as websocket,
    ):
        yield websocket


async def told(websocket: ClientConnection) -> tuple[list[dict[str, Any]], int | None]:
    messages = []
    try:
        while True:
            messages.append(json.loads(await websocket.recv()))
    except ConnectionClosed as closed:
        return messages, closed.rcvd.code if closed.rcvd else None


async def test_turns_come_one_after_the_other_and_the_last_words_are_not_lost() -> None:
    async with listening() as websocket:
        for start in range(0, len(PCM), 3_200):
            await websocket.send(PCM[start : start + 3_200])
        await websocket.send(json.dumps({"type": "CloseStream"}))
        messages, code = await told(websocket)
    assert code == 1000
    assert messages[0]["type"] == "Connected"
    assert [message["sequence_id"] for message in messages] == sorted({message["sequence_id"] for message in messages})
    ends = [message for message in messages if message.get("event") == "EndOfTurn"]
    assert [message["turn_index"] for message in ends] == list(range(len(ends)))
    said = " ".join(message["transcript"] for message in ends).split()
    assert len(said) == 3, "a word for each tone"


async def test_a_turn_can_be_ended_by_force() -> None:
    async with listening() as websocket:
        await websocket.send((tone_words([0, 0, 200, 300]) * 32767).astype("<i2").tobytes())
        await websocket.send(json.dumps({"type": "ForceEndTurn"}))
        async for text in websocket:
            message = json.loads(text)
            if message.get("event") == "EndOfTurn":
                break
    assert message["trigger"] == "manual"
    assert len(message["words"]) == 2


@pytest.mark.parametrize("query", ["encoding=linear16", f"{RAW}&eot_threshold=7", "encoding=amr-wb&sample_rate=16000"])
async def test_what_cannot_be_is_refused_before_the_upgrade(query: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with listening(query):
            pass
    assert refused.value.response.status_code == 400
    assert refused.value.response.headers["dg-error"]


async def test_a_wrong_key_is_refused() -> None:
    keys = ApiKeys({hash_key("good"): Principal(name="ali")})
    with pytest.raises(InvalidStatus) as refused:
        async with listening(keys=keys, additional_headers={"Authorization": "Token bad"}):
            pass
    assert refused.value.response.status_code == 401
    async with listening(keys=keys, additional_headers={"Authorization": "Token good"}) as websocket:
        assert json.loads(await websocket.recv())["type"] == "Connected"
