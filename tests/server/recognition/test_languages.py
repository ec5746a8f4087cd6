"""One server, one model, a language for each stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from streaming_asr_client import StreamFailedError
from streaming_asr_server.local import local_server
from streaming_asr_server.recognition.interface import Recognition
from streaming_asr_server.recognition.model import ModelRecognition
from websockets.asyncio.client import connect

from streaming_asr import GateOptions, Latency, Recognizer
from streaming_asr.audio.samples import Samples
from streaming_asr.protocol import Start
from tests.conftest import MMS_LETTERS
from tests.server.speaking import events_of, finals

pytestmark = pytest.mark.anyio

OPTIONS = {
    "latency": Latency(chunk_ms=40, lookahead_ms=20, left_ms=100, sink_ms=0),
    "gate": GateOptions(enabled=False),
    "beam_width": 4,
}


class Cold(ModelRecognition):
    """Without the warm-up: tests of words need no even latency."""

    async def warm_up(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture(scope="module")
def recognition(mms: Path) -> Iterator[Recognition]:
    with Recognizer.load(mms, languages=["eng", "fra", "deu"]) as recognizer:
        yield Cold(recognizer, name="many", options=OPTIONS)


def noise(seed: int) -> Samples:
    return np.random.default_rng(seed).normal(0.0, 0.2, 8_000).astype(np.float32)


async def alone(recognition: Recognition, audio: Samples, language: str) -> list[str]:
    stream = recognition.open(Start(language=language))
    events = [*await stream.push(audio), *await stream.finish()]
    return [text for _, text, *_ in finals(events)]


async def test_streams_of_all_languages_at_once_say_what_each_says_alone(recognition: Recognition) -> None:
    codes = [code for code in MMS_LETTERS for _ in range(3)]
    audios = [noise(number) for number in range(len(codes))]
    wire = [np.rint(audio * 32_768).clip(-32_768, 32_767).astype(np.float32) / np.float32(32_768) for audio in audios]
    expected = [await alone(recognition, audio, code) for audio, code in zip(wire, codes, strict=True)]
    async with local_server(lambda: recognition) as server:
        streams = (events_of(server.url, audio, language=code) for audio, code in zip(audios, codes, strict=True))
        together = [[text for _, text, *_ in finals(events)] for events in await asyncio.gather(*streams)]
    assert together == expected
    assert all("".join(texts) for texts in together)


async def test_languages_are_told_as_tags_and_others_are_refused_with_the_list(recognition: Recognition) -> None:
    assert list(recognition.languages) == ["en", "fr", "de"]
    async with local_server(lambda: recognition) as server:
        with pytest.raises(StreamFailedError, match="language is 'es'; it must be one of eng, fra, deu"):
            await events_of(server.url, noise(0), language="es")


async def test_deepgrams_clients_choose_a_language_too(recognition: Recognition) -> None:
    audio = np.rint(noise(4) * 32_768).clip(-32_768, 32_767).astype("<i2")
    expected = await alone(recognition, audio.astype(np.float32) / np.float32(32_768), "fra")
    async with local_server(lambda: recognition) as server:
        query = httpx.QueryParams(language="fr", encoding="linear16", sample_rate=16_000)
        async with connect(f"{server.url}/v1/listen?{query}") as websocket:
            await websocket.send(audio.tobytes())
            await websocket.send(json.dumps({"type": "CloseStream"}))
            answers = [json.loads(message) async for message in websocket]
    said = [answer["channel"]["alternatives"][0]["transcript"] for answer in answers if answer.get("is_final")]
    assert " ".join(said).split() == " ".join(expected).split()
