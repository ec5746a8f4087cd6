"""Many streams at once: each hears what it would hear alone."""

from __future__ import annotations

import asyncio
import random

import pytest
from streaming_asr_server.local import local_server
from streaming_asr_server.recognition.scripted import ScriptedRecognition, tone_words

from tests.server.speaking import events_of, finals, sentences

pytestmark = pytest.mark.anyio


async def test_thirty_two_streams_at_once_say_what_each_says_alone() -> None:
    audios = [tone_words(sentences(random.Random(seed))) for seed in range(32)]
    async with local_server(ScriptedRecognition) as server:
        alone = [finals(await events_of(server.url, audio)) for audio in audios]
        together = await asyncio.gather(
            *(events_of(server.url, audio, packets=random.Random(seed)) for seed, audio in enumerate(audios))
        )
    assert [finals(events) for events in together] == alone
    assert len({str(words) for words in alone}) == 32
