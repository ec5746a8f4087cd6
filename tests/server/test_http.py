"""What is not a websocket: health, readiness, metrics, and the caption page."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import httpx
import pytest
from streaming_asr_client import RefusedError, connect
from streaming_asr_server.application import create_application
from streaming_asr_server.local import local_server
from streaming_asr_server.recognition.scripted import ScriptedRecognition, tone_words
from streaming_asr_server.service import Service
from streaming_asr_server.settings import Settings

from tests.server.speaking import events_of

pytestmark = pytest.mark.anyio


async def test_a_server_is_ready_only_when_its_model_is_warm() -> None:
    loading, warming = threading.Event(), asyncio.Event()

    class Slow(ScriptedRecognition):
        async def warm_up(self) -> None:
            await warming.wait()

    def load() -> Slow:
        assert loading.wait(10)
        return Slow()

    service = Service(Settings(), load=load)
    application = create_application(service)
    async with application.router.lifespan_context(application):
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as http:
            for unblock in (loading.set, warming.set):
                answer = await http.get("/readyz")
                assert (answer.status_code, answer.json()["status"]) == (503, "starting")
                assert (await http.get("/healthz")).status_code == 200
                assert (await http.post("/v1/audio/transcriptions")).status_code == 503
                unblock()
            await service.ready()
            assert (await http.get("/readyz")).json() == {"status": "ready", "models": {"scripted": "ready"}}
            service.drain()
            answer = await http.get("/readyz")
            assert (answer.status_code, answer.json()["status"]) == (503, "draining")


async def test_a_model_that_cannot_be_loaded_ends_the_server(caplog: pytest.LogCaptureFixture) -> None:
    def load() -> ScriptedRecognition:
        raise ValueError("no such model")

    with pytest.raises(ValueError, match="no such model"):
        async with local_server(load):
            pass
    assert "cannot be loaded" in caplog.text


async def test_metrics_count_what_happened() -> None:
    async with local_server(ScriptedRecognition, Settings(max_streams=1)) as server:
        await events_of(server.url, tone_words([17, 18, 0, 0, 0, 19]))
        async with connect(server.url, sample_rate=16_000):
            with pytest.raises(RefusedError):
                await events_of(server.url, tone_words([17]))
            async with httpx.AsyncClient() as http:
                text = (await http.get(f"{server.http}/metrics")).text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    expected = {
        "streaming_asr_streams": 1,
        "streaming_asr_audio_seconds_total": 0.6,
        "streaming_asr_finals_total": 2,
        "streaming_asr_words_total": 3,
        'streaming_asr_streams_opened_total{resumed="no"}': 2,
        'streaming_asr_refused_total{code="overloaded"}': 1,
        'streaming_asr_lag_seconds_count{event="final"}': 2,
    }
    assert {name: pytest.approx(float(values[name])) for name in expected} == expected


async def test_the_page_may_load_nothing_but_itself(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><title>captions</title>")
    async with local_server(ScriptedRecognition, web=tmp_path) as server, httpx.AsyncClient() as http:
        answer = await http.get(f"{server.http}/")
        missing = await http.get(f"{server.http}/../../etc/passwd")
    assert "captions" in answer.text
    assert missing.status_code == 404
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["permissions-policy"].startswith("microphone=(self)")


async def test_pages_of_other_origins_may_load_the_package_and_only_allowed_ones_may_ask() -> None:
    settings = Settings(allow_origin=("https://friend",))
    async with local_server(ScriptedRecognition, settings) as server, httpx.AsyncClient(base_url=server.http) as http:
        package = await http.get("/javascript/index.js", headers={"Origin": "https://stranger"})
        assert package.headers["access-control-allow-origin"] == "*"
        for origin, allowed in (("https://friend", "https://friend"), ("https://stranger", None)):
            answer = await http.post("/v1/tokens", headers={"Origin": origin})
            assert answer.headers.get("access-control-allow-origin") == allowed
            preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            answer = await http.options("/v1/tokens", headers=preflight)
            assert answer.headers.get("access-control-allow-origin") == allowed


async def test_the_server_says_what_it_recognizes() -> None:
    async with local_server(lambda: ScriptedRecognition(language="fr")) as server, httpx.AsyncClient() as http:
        assert (await http.get(f"{server.http}/v1/info")).json() == {
            "model": "scripted",
            "languages": ["fr"],
            "models": [{"name": "scripted", "languages": ["fr"]}],
        }
