"""The server with the embedded model: what a stream says over the wire is what the recognizer says itself."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from streaming_asr_client import RemoteRecognizer
from streaming_asr_server.local import local_server
from streaming_asr_server.recognition.interface import Recognition, RecognitionStream
from streaming_asr_server.recognition.model import ModelRecognition
from streaming_asr_server.settings import Settings

from streaming_asr.audio.samples import Samples
from streaming_asr.audio.sources import FileSource
from streaming_asr.events import Event, Partial
from streaming_asr.protocol import Start, Update
from streaming_asr.recognizer import Recognizer
from tests.server.proxy import bad_network
from tests.server.speaking import events_of, finals

pytestmark = pytest.mark.anyio


class Cold(ModelRecognition):
    """Without the warm-up: tests of words need no even latency."""

    async def warm_up(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture(scope="module")
def recognizer() -> Iterator[Recognizer]:
    with Recognizer.load(language_model=None) as recognizer:
        yield recognizer


@pytest.fixture(scope="module")
def recognition(recognizer: Recognizer) -> Recognition:
    return Cold(recognizer, name="english", options={"beam_width": 8})


@pytest.fixture(scope="module")
def speech() -> Samples:
    """Twelve seconds of the embedded recording at 16 kHz."""
    from streaming_asr.command_line.demo import RECORDING

    with FileSource(RECORDING) as source:
        audio: Samples = np.concatenate([piece[:, 0] for piece in source])
        return audio[: 12 * 16_000]


async def said(recognition: Recognition, audio: Samples) -> list[Event]:
    """What the recognizer says without a server, to the samples that the wire carries."""
    stream = recognition.open(Start())
    wire = (np.rint(audio * np.float32(32_768)).clip(-32_768, 32_767) / np.float32(32_768)).astype(np.float32)
    return [*await stream.push(wire), *await stream.finish()]


async def test_the_wire_changes_no_word_and_no_time(recognition: Recognition, speech: Samples) -> None:
    alone = await said(recognition, speech)
    async with local_server(lambda: recognition) as server:
        events = await events_of(server.url, speech, packets=random.Random(1))
    assert finals(events) == finals(alone)
    assert len(finals(alone)) >= 2
    committed = [event.committed for event in events if isinstance(event, Partial) and event.utterance == 0]
    assert all(after.startswith(before) for before, after in pairwise(committed))


async def test_thirty_two_streams_at_once_say_what_each_says_alone(recognition: Recognition, speech: Samples) -> None:
    rng = random.Random(7)
    cuts = [rng.randint(0, 8 * 16_000) for _ in range(32)]
    audios = [speech[cut : cut + 3 * 16_000] for cut in cuts]
    alone = [finals(await said(recognition, audio)) for audio in audios]
    async with local_server(lambda: recognition, Settings(max_streams=32)) as server:
        together = await asyncio.gather(*(events_of(server.url, audio) for audio in audios))
    texts = [[(number, text) for number, text, *_ in finals(events)] for events in together]
    assert texts == [[(number, text) for number, text, *_ in expected] for expected in alone]
    assert len({str(text) for text in texts}) > 16


@pytest.mark.parametrize("resume_seconds", [30.0, 0.0])
async def test_a_dropped_connection_loses_and_doubles_no_word(
    recognition: Recognition, speech: Samples, resume_seconds: float
) -> None:
    alone = [text for _, text, *_ in finals(await said(recognition, speech))]
    budgets = [150_000, 100_000, 60_000]
    async with (
        local_server(lambda: recognition, Settings(resume_seconds=resume_seconds)) as server,
        bad_network(lambda: server.port, seed=3, budget=lambda: budgets.pop() if budgets else None) as network,
    ):
        events = await events_of(network.url, speech, pause=0.005)
        assert network.connections > 1
    assert " ".join(text for _, text, *_ in finals(events)) == " ".join(alone)


async def test_a_remote_stream_is_used_like_a_local_one(recognition: Recognition, speech: Samples) -> None:
    def use(url: str) -> list[Event]:
        with RemoteRecognizer(url) as remote:
            stream = remote.stream(sample_rate=16_000)
            events = [event for start in range(0, len(speech), 3_200) for event in stream.push(speech[start:][:3_200])]
            return events + stream.finish()

    async with local_server(lambda: recognition) as server:
        events = await asyncio.to_thread(use, server.url)
    assert finals(events) == finals(await said(recognition, speech))


async def test_updates_reach_the_recognizer(recognition: Recognition) -> None:
    stream: RecognitionStream = recognition.open(Start(hotwords=("naïve",)))
    assert list(stream.unspellable) == ["naïve"]
    await stream.update(Update(hotwords={"hello": 5.0}, endpoint={"trailing_silence_ms": 300}))
    assert list(stream.unspellable) == []
    assert stream.endpoint["trailing_silence_ms"] == 300
    assert stream.endpoint["maximum_length_ms"] == 20_000
    await stream.finish()


async def test_load_is_told(recognition: Recognition, speech: Samples) -> None:
    before = recognition.load
    await said(recognition, speech[:32_000])
    assert recognition.load.chunks > before.chunks
    assert recognition.load.waiting == 0
