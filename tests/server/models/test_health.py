"""Whether the models of a server answer, as a cluster asks every second: each is noticed, and none changed."""

from __future__ import annotations

import asyncio

import pytest
from streaming_asr_server.local import local_server
from streaming_asr_server.models.source import ModelSource
from streaming_asr_server.models.table import Models
from streaming_asr_server.recognition.model import ModelRecognition
from streaming_asr_server.recognition.scripted import ScriptedRecognition

from streaming_asr import Recognizer
from tests.server.speaking import raw
from tests.test_engine import Blocker, session_of
from tests.tones import ToneEncoder

pytestmark = pytest.mark.anyio


async def test_a_model_whose_thread_hangs_is_noticed_behind_one_that_is_well() -> None:
    recognizer, blocker = Recognizer.load(), Blocker()
    ill = ModelSource(name="ill", load=lambda: ModelRecognition(recognizer, name="ill"))
    models = Models([ModelSource(name="well", load=ScriptedRecognition), ill])
    await models.start()
    await models.hear_silence()
    recognizer.engine.submit(session_of(ToneEncoder()), blocker)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await models.hear_silence()
    blocker.go.set()
    await models.hear_silence()
    await models.close()


async def test_a_model_that_nobody_uses_is_let_go_though_it_is_asked_for_its_health() -> None:
    models = Models([ModelSource(load=ScriptedRecognition, unload_seconds=0.2)])
    await models.start()
    async with asyncio.timeout(10):
        while models.default.state == "ready":
            await models.hear_silence()
            await asyncio.sleep(0.01)
    await models.hear_silence()
    assert models.default.state == "waiting", "the question does not load it"


async def test_the_question_takes_no_place_of_a_stream() -> None:
    slow = ModelSource(load=lambda: ScriptedRecognition(delay=2.0), max_streams=1)
    async with local_server([slow]) as server:
        asking = asyncio.create_task(server.service.models.hear_silence())
        await asyncio.sleep(0.1)
        assert server.service.models.default.streams == 0
        async with raw(server.url) as client:
            await client.send({"type": "start"})
            assert (await client.receive())["type"] == "started"
            assert not asking.done()
        await asking
