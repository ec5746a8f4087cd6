"""A key in `X-API-Key`, which is what gateways and form fields call it, on every address that takes one."""

from __future__ import annotations

import httpx
import pytest
from streaming_asr_server.access.authentication import ApiKeys, Principal, hash_key
from streaming_asr_server.local import local_server
from streaming_asr_server.recognition.scripted import ScriptedRecognition
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

pytestmark = pytest.mark.anyio

KEYS = ApiKeys({hash_key("good"): Principal(name="news")})


@pytest.mark.parametrize("path", ["/v1/stream", "/v1/listen", "/v2/listen?model=flux", "/v1/realtime", "/v1/vosk"])
async def test_a_websocket_takes_its_key_from_x_api_key(path: str) -> None:
    async with local_server(ScriptedRecognition, keys=KEYS) as server:
        async with connect(server.url + path, additional_headers={"X-API-Key": "good"}):
            pass
        with pytest.raises(InvalidStatus) as refused:
            await connect(server.url + path, additional_headers={"X-API-Key": "bad"})
    assert refused.value.response.status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/listen"),
        ("POST", "/v1/audio/transcriptions"),
        ("POST", "/v1/realtime/client_secrets"),
        ("POST", "/v1/tokens"),
        ("GET", "/v1/models"),
    ],
)
async def test_a_request_takes_its_key_from_x_api_key(method: str, path: str) -> None:
    async with local_server(ScriptedRecognition, keys=KEYS) as server, httpx.AsyncClient() as http:
        answers = [
            await http.request(method, server.http + path, headers={"X-API-Key": key}) for key in ("good", "bad")
        ]
    assert answers[0].status_code != 401
    assert answers[1].status_code == 401
