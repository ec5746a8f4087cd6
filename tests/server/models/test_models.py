"""Several models in one server: which one a client means, and what one does to the others."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx
import pytest
from streaming_asr_client import StreamFailedError
from streaming_asr_server.local import local_server
from streaming_asr_server.models.source import ModelSource
from streaming_asr_server.recognition.scripted import ScriptedRecognition, tone_words

from streaming_asr.errors import CheckpointError
from streaming_asr.events import Final
from tests.server.speaking import counted, events_of, raw, until

pytestmark = pytest.mark.anyio

AUDIO = tone_words([17, 5 * 3, 0, 0, 0])


def source(name: str, language: str, **options: Any) -> ModelSource:
    return ModelSource(name=name, load=lambda: ScriptedRecognition(language=language), **options)


def several(**options: Any) -> list[ModelSource]:
    return [source("english", "en"), source("french", "fr", **options)]


async def said(url: str, **options: Any) -> list[str]:
    return [event.text for event in await events_of(url, AUDIO, **options) if isinstance(event, Final)]


async def chosen(url: str, **start: Any) -> str:
    """The model that a stream was given."""
    async with raw(url) as client:
        await client.send({"type": "start", **start})
        started = await client.receive()
        return str(started.get("model", started))


async def test_a_client_names_the_model_or_the_language_or_neither() -> None:
    async with local_server(several()) as server:
        assert await chosen(server.url) == "english"
        assert await chosen(server.url, model="french") == "french"
        assert await chosen(server.url, model="FRENCH", language="fr") == "french"
        assert await chosen(server.url, language="fr") == "french"
        assert await chosen(server.url, language="en", model=None) == "english"


async def test_what_is_not_there_is_refused_with_what_is() -> None:
    async with local_server(several()) as server:
        refused: list[tuple[dict[str, Any], str]] = [
            ({"model": "german"}, "model is 'german'; it must be one of english, french"),
            ({"language": "de"}, r"language is 'de'; it must be one of en \(english\), fr \(french\)"),
            ({"model": "english", "language": "fr"}, "language is 'fr'; this model knows en"),
        ]
        for options, reason in refused:
            with pytest.raises(StreamFailedError, match=reason):
                await events_of(server.url, AUDIO, **options)


async def test_a_model_is_loaded_when_it_is_first_asked_for() -> None:
    loads: list[str] = []

    def load() -> ScriptedRecognition:
        loads.append("french")
        return ScriptedRecognition(language="fr")

    late = ModelSource(name="french", load=load, languages=("fr",), at_start=False)
    async with local_server([source("english", "en"), late]) as server, httpx.AsyncClient() as http:
        states = (await http.get(f"{server.http}/readyz")).json()
        assert states == {"status": "ready", "models": {"english": "ready", "french": "waiting"}}
        together = await asyncio.gather(*(said(server.url, language="fr") for _ in range(3)))
        assert together == [["w17 w15"]] * 3
        assert loads == ["french"]
        assert (await http.get(f"{server.http}/readyz")).json()["models"]["french"] == "ready"


async def test_loading_one_does_not_hold_up_the_streams_of_another() -> None:
    loading = threading.Event()

    def load() -> ScriptedRecognition:
        assert loading.wait(10)
        return ScriptedRecognition(language="fr")

    late = ModelSource(name="french", load=load, languages=("fr",), at_start=False)
    async with local_server([source("english", "en"), late]) as server:
        waiting = asyncio.create_task(said(server.url, model="french"))
        assert await said(server.url, model="english") == ["w17 w15"]
        assert not waiting.done()
        loading.set()
        assert await waiting == ["w17 w15"]


def broken() -> ScriptedRecognition:
    raise CheckpointError("/srv/models/x: model.safetensors is truncated")


async def test_a_model_that_cannot_be_loaded_is_told_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    for at_start in (True, False):
        caplog.clear()
        bad = ModelSource(name="bad", load=broken, at_start=at_start)
        async with local_server([source("english", "en"), bad]) as server, httpx.AsyncClient() as http:
            with pytest.raises(StreamFailedError, match="the model 'bad' cannot be loaded") as refused:
                await events_of(server.url, AUDIO, model="bad")
            assert "/srv" not in str(refused.value)
            assert (await http.get(f"{server.http}/readyz")).json()["models"] == {"english": "ready", "bad": "failed"}
            assert await said(server.url) == ["w17 w15"]
        assert [record.__dict__["reason"] for record in caplog.records if "cannot be loaded" in record.message] == [
            "/srv/models/x: model.safetensors is truncated"
        ]


async def test_a_server_of_which_no_model_can_be_loaded_ends() -> None:
    with pytest.raises(CheckpointError, match="truncated"):
        async with local_server([ModelSource(name=name, load=broken) for name in "ab"]):
            pass


async def test_a_model_takes_as_many_streams_as_it_may() -> None:
    async with local_server(several(max_streams=1)) as server, raw(server.url) as first:
        await first.send({"type": "start", "model": "french"})
        await first.receive("started")
        async with raw(server.url) as second:
            await second.send({"type": "start", "model": "french"})
            messages, code = await second.receive_all()
            assert (messages[-1]["code"], messages[-1]["resumable"], code) == ("overloaded", True, 1013)
        assert await said(server.url, model="english") == ["w17 w15"]
        await first.send({"type": "finish"})
        await first.receive_all()
        await until(lambda: not any(model.streams for model in server.service.models))
        assert await said(server.url, model="french") == ["w17 w15"]


async def test_an_idle_model_is_let_go_and_comes_back() -> None:
    made: list[ScriptedRecognition] = []

    def load() -> ScriptedRecognition:
        made.append(ScriptedRecognition(language="fr"))
        return made[-1]

    passing = ModelSource(name="french", load=load, languages=("fr",), unload_seconds=0.05)
    async with local_server([source("english", "en"), passing]) as server:
        french = server.service.models.find("french")
        async with raw(server.url) as client:
            await client.send({"type": "start", "language": "fr"})
            await client.receive("started")
            await asyncio.sleep(0.2)
            assert french.state == "ready"
            await client.send({"type": "finish"})
            await client.receive_all()
        await until(lambda: french.state == "waiting")
        assert await said(server.url, language="fr") == ["w17 w15"]
        assert len(made) == 2


async def test_metrics_and_info_tell_of_each_model() -> None:
    async with local_server(several()) as server, httpx.AsyncClient() as http:
        info = (await http.get(f"{server.http}/v1/info")).json()
        assert info["models"] == [{"name": "english", "languages": ["en"]}, {"name": "french", "languages": ["fr"]}]
        async with raw(server.url) as client:
            await client.send({"type": "start", "model": "french"})
            await client.receive("started")
            metrics = (await http.get(f"{server.http}/metrics")).text
        for line in ('streams{model="french"} 1', 'streams{model="english"} 0', 'ready{model="french"} 1'):
            assert f"streaming_asr_model_{line}.0" in metrics
        assert counted(server, "streams_opened", resumed="no") == 1
