"""Addresses and methods that are not there are answered in the shape of the interface that a client expects."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from streaming_asr_server.local import local_server
from streaming_asr_server.recognition.scripted import ScriptedRecognition
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import InvalidStatus

pytestmark = pytest.mark.anyio


def code(answer: dict[str, Any]) -> str:
    """The code of an error in any of the three shapes."""
    return str(answer.get("err_code") or answer["error"]["code"]).lower()


@pytest.mark.parametrize(
    ("method", "path", "status", "said", "keys"),
    [
        ("POST", "/v1/chat/completions", 404, "not_found", {"message", "type", "code", "param"}),
        ("GET", "/v1/audio/transcriptions", 405, "method_not_allowed", {"message", "type", "code", "param"}),
        ("POST", "/v1/audio/translations", 404, "not_found", {"message", "type", "code", "param"}),
        ("GET", "/v1/realtime", 426, "upgrade_required", {"message", "type", "code", "param"}),
        ("GET", "/v1/projects", 404, "not_found", {"err_code", "err_msg", "request_id"}),
        ("DELETE", "/v1/listen", 405, "method_not_allowed", {"err_code", "err_msg", "request_id"}),
        ("GET", "/v1/tokens", 405, "method_not_allowed", {"code", "message"}),
        ("GET", "/v1/stream", 426, "upgrade_required", {"code", "message"}),
        ("GET", "/v2/nothing", 404, "not_found", {"code", "message"}),
    ],
)
async def test_what_is_not_there_is_json(method: str, path: str, status: int, said: str, keys: set[str]) -> None:
    async with local_server(ScriptedRecognition) as server, httpx.AsyncClient() as http:
        answer = await http.request(method, f"{server.http}{path}")
    body = answer.json()
    assert (answer.status_code, code(body)) == (status, said)
    assert set(body.get("error", body)) == keys
    assert path in str(body)
    assert ("Allow" in answer.headers) == (status == 405)


async def test_a_websocket_that_is_not_there_is_refused_with_a_reason() -> None:
    async with local_server(ScriptedRecognition) as server:
        for path in ("/v1/nowhere", "/anything"):
            with pytest.raises(InvalidStatus) as refused:
                async with open_websocket(f"{server.url}{path}"):
                    pass
            assert refused.value.response.status_code == 404
            assert path.encode() in (refused.value.response.body or b"")


async def test_pages_that_are_not_there_stay_pages() -> None:
    async with local_server(ScriptedRecognition) as server, httpx.AsyncClient() as http:
        assert (await http.get(f"{server.http}/nothing.html")).status_code == 404
        assert (await http.get(f"{server.http}/")).status_code == 200
