"""Who gets in, how many, for how long."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import httpx
import pytest
from streaming_asr_client import ClientOptions, RefusedError, StreamFailedError, connect
from streaming_asr_server.access.authentication import ApiKeys, Principal, hash_key
from streaming_asr_server.local import local_server
from streaming_asr_server.recognition.scripted import ScriptedRecognition, tone_words
from streaming_asr_server.settings import Settings
from websockets.exceptions import InvalidStatus

from tests.server.speaking import counted, events_of, finals, pcm, raw

pytestmark = pytest.mark.anyio

KEYS = ApiKeys(
    {
        hash_key("open-sesame"): Principal(name="ali", streams=1, minutes=0.02),
        hash_key("free"): Principal(name="free"),
    }
)


async def test_a_full_server_says_so_before_the_upgrade_and_takes_streams_again_when_one_ends() -> None:
    async with local_server(ScriptedRecognition, Settings(max_streams=2)) as server:
        async with AsyncExitStack() as streams:
            for _ in range(2):
                await streams.enter_async_context(connect(server.url, sample_rate=16_000))
            with pytest.raises(RefusedError) as refused:
                await events_of(server.url, tone_words([17]))
            assert (refused.value.status, refused.value.code) == (503, "overloaded")
            assert refused.value.retry_after is not None
            async with httpx.AsyncClient() as http:
                answer = await http.get(f"{server.http}/readyz")
            assert (answer.status_code, answer.json()) == (503, {"status": "full", "models": {"scripted": "ready"}})
        await asyncio.sleep(0.1)
        assert finals(await events_of(server.url, tone_words([17]))) == [(0, "w17", 0.0, 0.1)]


@pytest.mark.parametrize(
    "options",
    [
        {"additional_headers": {"Authorization": "Bearer free"}},
        {"additional_headers": {"Authorization": "Token free"}},
        {"subprotocols": ["streaming-asr.v1", "token.free"]},
    ],
)
async def test_a_key_may_be_shown_in_a_header_or_a_subprotocol(options: dict[str, object]) -> None:
    async with local_server(ScriptedRecognition, keys=KEYS) as server, raw(server.url, **options) as client:
        await client.send({"type": "start"}, {"type": "finish"})
        _, code = await client.receive_all()
        assert code == 1000
        if "subprotocols" in options:
            assert client.websocket.subprotocol == "streaming-asr.v1", "the key is not sent back"


async def test_a_key_may_be_shown_in_the_query() -> None:
    async with local_server(ScriptedRecognition, keys=KEYS) as server:
        url = f"{server.url}/v1/stream?token=free"
        assert finals(await events_of(url, tone_words([17]))) == [(0, "w17", 0.0, 0.1)]


@pytest.mark.parametrize("key", [None, "wrong", "", "ali"])
async def test_without_a_good_key_nobody_gets_in(key: str | None) -> None:
    async with local_server(ScriptedRecognition, keys=KEYS) as server:
        with pytest.raises(RefusedError) as refused:
            await events_of(server.url, tone_words([17]), api_key=key)
        async with httpx.AsyncClient() as http:
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            for path in ("/v1/tokens", "/v1/audio/transcriptions"):
                assert (await http.post(f"{server.http}{path}", headers=headers)).status_code == 401
    assert (refused.value.status, refused.value.code) == (401, "unauthorized")


async def test_a_browser_token_opens_one_connection() -> None:
    async with local_server(ScriptedRecognition, keys=KEYS) as server:
        async with httpx.AsyncClient() as http:
            answer = await http.post(f"{server.http}/v1/tokens", headers={"Authorization": "Bearer free"})
            token = answer.json()["token"]
            again = await http.post(f"{server.http}/v1/tokens", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()["expires_in"], again.status_code) == (200, 60, 401)
        options = {"subprotocols": ["streaming-asr.v1", f"token.{token}"]}
        async with raw(server.url, **options) as client:
            await client.send({"type": "start"}, {"type": "finish"})
            await client.receive("finished")
        with pytest.raises(InvalidStatus) as refused:
            async with raw(server.url, **options):
                pass
    assert refused.value.response.status_code == 401


async def test_a_key_has_its_own_number_of_streams() -> None:
    async with (
        local_server(ScriptedRecognition, keys=KEYS) as server,
        connect(server.url, sample_rate=16_000, api_key="open-sesame"),
    ):
        with pytest.raises(RefusedError) as refused:
            await events_of(server.url, tone_words([17]), api_key="open-sesame")
        await events_of(server.url, tone_words([17]), api_key="free")
    assert (refused.value.status, refused.value.code) == (429, "too_many_streams")


async def test_when_a_keys_minutes_are_used_up_all_words_so_far_are_said_before_the_end() -> None:
    async with local_server(ScriptedRecognition, keys=KEYS) as server:
        options = {"additional_headers": {"Authorization": "Bearer open-sesame"}}
        async with raw(server.url, **options) as client:
            await client.send({"type": "start"}, pcm(*[17] * 20))
            heard, code = await client.receive_all()
        assert [message["text"] for message in heard if message["type"] == "final"] == [" ".join(["w17"] * 15)]
        assert (heard[-1]["code"], code) == ("minutes_used_up", 4429)
        with pytest.raises(RefusedError) as refused:
            await events_of(server.url, tone_words([17]), api_key="open-sesame")
    assert (refused.value.status, refused.value.code) == (429, "minutes_used_up")


async def test_a_stream_has_a_longest_length() -> None:
    async with local_server(ScriptedRecognition, Settings(stream_seconds=1)) as server:
        with pytest.raises(StreamFailedError) as failed:
            await events_of(server.url, tone_words([17] * 30))
    assert failed.value.code == "too_long"


@pytest.mark.parametrize(
    ("origin", "allowed", "welcome"),
    [
        (None, (), True),
        ("http://127.0.0.1:{port}", (), True),
        ("https://evil.example", (), False),
        ("https://good.example", ("https://good.example",), True),
        ("https://any.example", ("*",), True),
        ("null", (), False),
    ],
)
async def test_pages_of_other_origins_may_connect_only_if_they_were_allowed(
    origin: str | None, allowed: tuple[str, ...], welcome: bool
) -> None:
    async with local_server(ScriptedRecognition, Settings(allow_origin=allowed)) as server:
        headers = {"Origin": origin.format(port=server.port)} if origin else {}
        assert await status(server.url, headers) == (101 if welcome else 403)


async def status(url: str, headers: dict[str, str]) -> int:
    """The HTTP status with which a server answers a connection."""
    try:
        async with raw(url, additional_headers=headers) as client:
            await client.send({"type": "start"})
            await client.receive("started")
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


async def test_a_stalled_recognizer_ends_in_an_error_and_a_metric() -> None:
    recognition = ScriptedRecognition(delay=3_600)
    settings = Settings(stall_seconds=0.2)
    async with local_server(lambda: recognition, settings) as server, raw(server.url) as client:
        await client.send({"type": "start"}, pcm(17))
        heard, code = await client.receive_all()
        assert (heard[-1]["code"], heard[-1]["fault"], heard[-1]["resumable"], code) == (
            "stalled",
            "server",
            True,
            4500,
        )
        assert counted(server, "errors", code="stalled", fault="server") == 1
        assert len(server.service.sessions) == 0


async def test_a_fault_of_the_recognizer_is_survived_by_going_on_with_a_new_session() -> None:
    recognition = ScriptedRecognition()
    client = ClientOptions()
    async with (
        local_server(lambda: recognition) as server,
        connect(server.url, sample_rate=16_000, client=client) as stream,
    ):
        await stream.send(tone_words([17, 18, 0, 0, 0, 19]))
        async for event in stream:
            if type(event).__name__ == "SpeechEnded":
                break
        recognition.streams[0].finished = True
        await stream.send(tone_words([20]))
        await stream.finish()
        rest = [event async for event in stream]
        assert finals(rest) == [(1, "w19 w20", 0.5, 0.7)]
        assert counted(server, "errors", code="internal", fault="server") == 1


async def test_a_refusal_is_no_error_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    async with local_server(ScriptedRecognition, keys=KEYS) as server:
        with pytest.raises(RefusedError):
            await events_of(server.url, tone_words([17]))
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
