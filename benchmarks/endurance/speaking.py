"""One who speaks for hours, and compares what comes back with what a recognizer makes of the same audio undisturbed."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from streaming_asr_client import Backoff, ClientOptions, connect
from streaming_asr_server.recognition.interface import Recognition
from streaming_asr_server.recognition.scripted import tone_words

from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from streaming_asr.events import Event, Final
from streaming_asr.protocol import Start

PIECE = SAMPLE_RATE // 2
_PATIENT = ClientOptions(backoff=Backoff(first=0.05, longest=0.5, give_up_seconds=300), open_seconds=30)


@dataclass(slots=True)
class Tally:
    """What speakers have said, what came back, and where it was not what it should be."""

    audio_seconds: float = 0.0
    longest_stream: float = 0.0
    finals: int = 0
    words: int = 0
    wrong: list[str] = field(default_factory=list)


def words_and_pauses(seed: int) -> Iterator[Samples]:
    """Audio for the scripted recognizer without an end, half a second at a time: (8000,) each."""
    rng = random.Random(seed)
    numbers: list[int] = []
    while True:
        while len(numbers) < 5:
            numbers += [rng.randint(11, 900) for _ in range(rng.randint(1, 40))] + [0] * rng.randint(3, 20)
        yield tone_words(numbers[:5])
        del numbers[:5]


async def speak(
    url: str,
    name: str,
    audio: Iterator[Samples],
    reference: Recognition,
    tally: Tally,
    over: asyncio.Event,
    *,
    seconds: float,
    pace: float = 0.0,
    api_key: str | None = None,
) -> None:
    """Speak so many seconds of audio, or until it is over, `pace` seconds for a piece; every final is compared."""
    undisturbed = reference.open(Start(partials=False))
    expected: deque[Final] = deque()
    said = 0.0
    async with connect(url, sample_rate=16_000, client=_PATIENT, api_key=api_key, partials=False) as stream:

        async def send() -> None:
            nonlocal said
            for piece in audio:
                if over.is_set() or said >= seconds:
                    break
                expected.extend(_finals(await undisturbed.push(piece)))
                await stream.send(piece)
                said += len(piece) / SAMPLE_RATE
                tally.audio_seconds += len(piece) / SAMPLE_RATE
                await asyncio.sleep(pace)
            expected.extend(_finals(await undisturbed.finish()))
            await stream.finish()

        sending = asyncio.create_task(send())
        async for event in stream:
            if isinstance(event, Final):
                tally.finals += 1
                tally.words += len(event.words)
                _compare(name, expected.popleft() if expected else None, event, tally)
        await sending
    tally.wrong += [f"{name}: final {final.utterance} at {final.start:.1f} s did not come" for final in expected]
    tally.longest_stream = max(tally.longest_stream, said)


def _finals(events: list[Event]) -> list[Final]:
    return [event for event in events if isinstance(event, Final)]


def _compare(name: str, expected: Final | None, came: Final, tally: Tally) -> None:
    if expected is None:
        tally.wrong.append(f"{name}: final {came.utterance} at {came.start:.1f} s came and nothing was expected")
        return
    pairs = [(final.utterance, final.text, final.start, final.end) for final in (expected, came)]
    if pairs[0] != pairs[1]:
        tally.wrong.append(f"{name}: {pairs[1]} came instead of {pairs[0]}"[:400])
