"""Copies of the server in a real Ray of this machine: whatever happens to them, the transcripts are as undisturbed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from streaming_asr_server.recognition.scripted import ScriptedRecognition
from websockets.asyncio.client import connect as open_websocket

from benchmarks.cluster_drill import Cluster, cluster, drill, said, scripted_speech, undisturbed
from benchmarks.serving import free_port
from tests.server.speaking import Raw, events_of, finals, pcm, raw

pytest.importorskip("ray.serve", reason="needs Ray, the extra 'cluster'")

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster(free_port()) as started:
        yield started


@pytest.fixture(scope="module")
def narrow(running: Cluster) -> Cluster:
    """One copy, in which little may wait."""
    running.deploy(1, ahead_bytes=200_000, message_bytes=100_000, inbox_seconds=0.5)
    asyncio.run(running.until_replaced(1))
    return running


async def test_copies_are_killed_added_drained_and_replaced_and_nobody_who_speaks_loses_a_word(
    running: Cluster,
) -> None:
    outcome = await drill(running, speakers=20)
    assert len(outcome.steps) == 4
    assert outcome.reasons["going_away"] > 0, "who was on a drained copy is told to go elsewhere"
    for person in outcome.speakers:
        assert person.finals
        assert person.finals == await undisturbed(said(person), ScriptedRecognition), f"seed {person.seed}"


async def test_a_sender_that_nothing_holds_back_is_told(narrow: Cluster) -> None:
    async with raw(narrow.url) as client:
        await client.send({"type": "start"})
        sending = asyncio.create_task(flood(client))
        messages, code = await client.receive_all()
        sending.cancel()
    assert (messages[-1]["code"], messages[-1]["resumable"], code) == ("too_fast", True, 1013)


async def test_a_client_of_ours_that_sends_too_fast_loses_nothing(narrow: Cluster) -> None:
    audio = scripted_speech(1)[: 40 * 16_000]
    heard = finals(await events_of(narrow.url, audio))
    assert heard == await undisturbed(audio, ScriptedRecognition)


async def flood(client: Raw) -> None:
    """Speech without pauses, as fast as the socket takes it."""
    while True:
        await client.send(pcm(*[17] * 20))


async def test_a_message_over_the_limit_is_refused_with_1009(narrow: Cluster) -> None:
    async with raw(narrow.url) as client:
        await client.send({"type": "start"})
        await client.receive("started")
        await client.send(bytes(100_001))
        messages, code = await client.receive_all()
    assert (messages[-1]["code"], code) == ("too_big", 1009)


async def test_other_protocols_go_through_it_too(narrow: Cluster) -> None:
    address = f"{narrow.url}/v1/listen?encoding=linear16&sample_rate=16000&interim_results=false"
    async with open_websocket(address, compression=None) as client:
        await client.send(pcm(17, 18, 0, 0, 0, 0))
        await client.send('{"type": "CloseStream"}')
        assert "w17 w18" in "".join([str(message) async for message in client])
