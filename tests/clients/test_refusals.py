"""A bad key and a full server, as each package tells it to its user."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from streaming_asr_server.access.authentication import ApiKeys, Principal, hash_key
from streaming_asr_server.local import local_server
from streaming_asr_server.recognition.scripted import ScriptedRecognition
from streaming_asr_server.settings import Settings
from websockets.asyncio.client import connect

from tests.clients.environments import CURRENT, FORMER, Environment
from tests.clients.speech import KEY, Recordings, run_json

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

KEYS = ApiKeys({hash_key(KEY): Principal(name="tests")})
HEADERS = {"Authorization": f"Bearer {KEY}"}


async def refused(
    environment: Environment, program: str, key: str, *arguments: str, full: bool
) -> list[dict[str, Any]]:
    """What a program says when its key is bad, or when the only place is taken."""
    async with local_server(ScriptedRecognition, Settings(max_streams=1), keys=KEYS) as server:
        holder = connect(f"{server.url}/v1/realtime", additional_headers=HEADERS)
        if not full:
            return await asyncio.to_thread(run_json, environment, program, f"127.0.0.1:{server.port}", key, *arguments)
        async with holder:
            return await asyncio.to_thread(run_json, environment, program, f"127.0.0.1:{server.port}", key, *arguments)


@pytest.mark.parametrize(("key", "full", "status"), [("bad", False, 401), (KEY, True, 503)])
class TestRefused:
    """By key, whether the server is full, and the status in HTTP."""

    async def test_deepgram_sdk(self, key: str, full: bool, status: int, recordings: Recordings) -> None:
        (said,) = await refused(CURRENT, "deepgram_current.py", key, recordings.wav(16_000), "{}", full=full)
        assert (said["kind"], said["status"]) == ("refused", status)
        if status == 401:
            assert said["body"] == "Websocket initialized with invalid credentials."

    async def test_former_deepgram_sdk(self, key: str, full: bool, status: int, recordings: Recordings) -> None:
        (said,) = await refused(FORMER, "deepgram_former.py", key, recordings.wav(16_000), "{}", full=full)
        assert said["kind"] == "refused"

    @pytest.mark.parametrize(("environment", "program"), [(CURRENT, "openai_current.py"), (FORMER, "openai_former.py")])
    async def test_openai_sdk(
        self, environment: Environment, program: str, key: str, full: bool, status: int, recordings: Recordings
    ) -> None:
        (said,) = await refused(environment, program, key, recordings.raw(24_000), "vad", full=full)
        assert (said["type"], said["status"]) == ("refused", status)
        assert said["class"] == ("AuthenticationError" if status == 401 else "InvalidStatus")

    @pytest.mark.parametrize("kind", ["deepgram", "openai"])
    async def test_pipecat(self, kind: str, key: str, full: bool, status: int, recordings: Recordings) -> None:
        said = await refused(CURRENT, "pipecat_services.py", key, recordings.wav(16_000), kind, "[16000]", full=full)
        errors = [message["message"] for message in said if message["kind"] == "error"]
        assert str(status) in errors[0]

    async def test_livekit(self, key: str, full: bool, status: int, recordings: Recordings) -> None:
        said = await refused(CURRENT, "livekit_service.py", key, recordings.wav(16_000), full=full)
        assert said[0] == {"kind": "error", "name": "APIStatusError", "status": status}
