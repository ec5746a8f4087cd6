"""One client whose few bytes decode to very much audio: the others do not notice, and it learns what it did."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress

import pytest
from streaming_asr_server.local import LocalServer, local_server
from streaming_asr_server.recognition.scripted import ScriptedRecognition, tone_words
from streaming_asr_server.settings import Settings
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed

from benchmarks.dense_audio import ATTACKS, dense_flac
from streaming_asr.audio.input import AudioInput
from tests.server.speaking import events_of, finals

pytestmark = pytest.mark.anyio

FLAC = dense_flac(1_500)
"""25 minutes in less than 100 kB."""


async def longest_stall(ended: asyncio.Event) -> float:
    """How long the event loop once did not run, in seconds."""
    longest = 0.0
    while not ended.is_set():
        before = time.perf_counter()
        await asyncio.sleep(0.001)
        longest = max(longest, time.perf_counter() - before)
    return longest


async def run_of_others(server: LocalServer) -> tuple[list[list[tuple[int, str, float, float]]], float]:
    """What some clients are told that speak for a while, and the longest stall meanwhile."""
    ended = asyncio.Event()
    watching = asyncio.create_task(longest_stall(ended))
    audio = tone_words([17, 18, 0, 0, 0, 19] * 3)
    told = await asyncio.gather(*(events_of(server.url, audio, pause=0.05) for _ in range(4)))
    ended.set()
    return [finals(events) for events in told], await watching


def seconds_to_decode() -> float:
    """How long the loop would stand still if it decoded the message itself."""
    began = time.perf_counter()
    AudioInput(encoding="container").push(FLAC)
    return time.perf_counter() - began


async def test_others_notice_nothing_of_a_message_that_decodes_to_very_much() -> None:
    async with local_server(ScriptedRecognition) as server:
        undisturbed, control = await run_of_others(server)
        attacks = [asyncio.create_task(attack(server.url, FLAC)) for attack in ATTACKS.values()]
        disturbed, stall = await run_of_others(server)
        for task in attacks:
            task.cancel()
        await asyncio.gather(*attacks, return_exceptions=True)
    assert disturbed == undisturbed
    assert stall < 3 * control + seconds_to_decode() / 2


@pytest.mark.parametrize("path", ["/v1/listen", "/v1/vosk"])
async def test_what_decodes_to_more_than_a_stream_may_hold_is_an_error_of_the_protocol(path: str) -> None:
    settings = Settings(stream_seconds=5)
    async with local_server(ScriptedRecognition, settings) as server, open_websocket(f"{server.url}{path}") as client:
        await client.send(FLAC)
        said = []
        with suppress(ConnectionClosed):
            async with asyncio.timeout(10):
                while True:
                    said.append(await client.recv())
        assert (client.close_code, "s is the most" in (client.close_reason or "")) == (1008, True)
        if path == "/v1/listen":
            assert json.loads(said[-1])["type"] == "Error"


async def test_others_are_served_while_a_coded_stream_waits_for_the_recognizer() -> None:
    """The slow client's bytes wait as they came, not as samples."""
    recognition = ScriptedRecognition(delay=0.02)
    async with local_server(lambda: recognition) as server:
        attacking = asyncio.create_task(ATTACKS["deepgram"](server.url, FLAC))
        assert finals(await events_of(server.url, tone_words([17, 18]))) == [(0, "w17 w18", 0.0, 0.2)]
        assert server.service.sessions.queued_seconds > 1
        attacking.cancel()
        await asyncio.gather(attacking, return_exceptions=True)
