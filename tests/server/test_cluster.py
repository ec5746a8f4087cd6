"""Copies of the server in a real Ray of this machine: whatever happens to them, the transcripts are as undisturbed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import httpx
import pytest
from streaming_asr_client import RefusedError, StreamFailedError, connect
from streaming_asr_server.access.authentication import hash_key
from streaming_asr_server.loading import model_sources
from streaming_asr_server.recognition.scripted import ScriptedRecognition
from streaming_asr_server.settings import read_settings
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import InvalidStatus

from benchmarks.cluster import embedded_speech
from benchmarks.cluster_drill import (
    MODEL,
    SCRIPTED,
    Cluster,
    Speaker,
    cluster,
    drill,
    said,
    scripted_speech,
    undisturbed,
)
from benchmarks.serving import free_port
from tests.conftest import TinyModel
from tests.server.copies import HEADER, NAMED
from tests.server.models.conftest import write_single
from tests.server.proxy import bad_network
from tests.server.redis_server import RedisServer, running_redis
from tests.server.speaking import Raw, events_of, finals, pcm, raw, until

pytest.importorskip("ray.serve", reason="needs Ray, the extra 'cluster'")

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster(free_port()) as started:
        yield started


def deployed(running: Cluster, import_path: str, replicas: int, **arguments: Any) -> Cluster:
    running.import_path = import_path
    asyncio.run(running.replace(replicas, **arguments))
    return running


@pytest.fixture(scope="module")
def narrow(running: Cluster) -> Cluster:
    """One copy, in which little may wait."""
    return deployed(running, SCRIPTED, 1, ahead_bytes=200_000, message_bytes=100_000, inbox_seconds=0.5)


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


@pytest.fixture(scope="module")
def models(tiny_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The embedded model; one with random weights; one that nobody asks for before its time, and that is let go."""
    italian = write_single(tiny_model, tmp_path_factory.mktemp("italian"), "abcdefìò", seed=5)
    return {
        "english": {},
        "italian": {"model": str(italian), "language": "ita"},
        "passing": {"model": str(italian), "language": "spa", "load": "first_use", "unload_seconds": 3.0},
    }


@pytest.fixture(scope="module")
def several(running: Cluster, models: dict[str, dict[str, Any]]) -> Cluster:
    """Two copies, each with all models."""
    return deployed(running, MODEL, 2, models=models, replica_cpus=1)


async def test_streams_of_two_models_are_as_undisturbed_though_one_of_two_copies_is_killed(
    several: Cluster, models: dict[str, dict[str, Any]]
) -> None:
    wanted: list[dict[str, str]] = [{"model": "english"}, {"model": "italian"}, {"language": "it"}, {}]
    people = [Speaker(seed, embedded_speech, options) for seed, options in enumerate(wanted)]
    over = asyncio.Event()
    speaking = [asyncio.create_task(person.speak(several.url, over)) for person in people]
    await asyncio.sleep(5)
    await kill(several, several.processes()[0])
    await asyncio.sleep(3)
    over.set()
    await asyncio.gather(*speaking)
    assert [set(person.models) for person in people] == [{"english"}, {"italian"}, {"italian"}, {"english"}]
    sources = model_sources(read_settings({"models": models}, environment={}), 1)
    for person in people:
        assert person.finals
        assert person.finals == await undisturbed(said(person), sources, **person.options), person.options


async def test_what_no_model_has_is_refused_with_what_there_is(several: Cluster) -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"model": "french"}, "must be one of english, italian, passing"),
        ({"language": "fr"}, r"must be one of en \(english\), it \(italian\), es \(passing\)"),
    ]
    for options, reason in refused:
        with pytest.raises(StreamFailedError, match=reason):
            await events_of(several.url, embedded_speech(0)[:1_600], **options)


async def test_a_model_is_loaded_when_a_stream_asks_for_it_and_let_go_though_ray_asks_for_its_health(
    several: Cluster,
) -> None:
    async def states() -> set[str]:
        """Of the passing model, at whichever copies answer."""
        async with httpx.AsyncClient() as http:
            pages = [await http.get(f"http://127.0.0.1:{several.port}/readyz") for _ in range(10)]
        return {page.json()["models"]["passing"] for page in pages}

    await events_of(several.url, embedded_speech(0)[:32_000], model="passing")
    assert "ready" in await states()
    await eventually(states, {"waiting"})


async def eventually(answer: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    """Ask until the answer is the wanted one, half a minute at most."""
    async with asyncio.timeout(30):
        while await answer() != wanted:  # noqa: ASYNC110 - a test watches from outside
            await asyncio.sleep(0.2)


async def kill(running: Cluster, copy: int) -> None:
    """And wait until another one has taken its place."""
    os.kill(copy, signal.SIGKILL)
    await running.until(lambda states: states == {"RUNNING": 2} and copy not in running.processes())


KEYS: Final[dict[str, dict[str, float]]] = {
    "open": {},
    "one": {"streams": 1},
    "two": {"streams": 2},
    "short": {"minutes": 0.1},
}


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def counted(running: Cluster, redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """Two copies with their ledger in Redis, and keys."""
    file = tmp_path_factory.mktemp("keys") / "keys.toml"
    tables = [
        "\n".join(
            ["[[keys]]", f'name = "{name}"', f'sha256 = "{hash_key(name)}"', *(f"{k} = {v}" for k, v in limits.items())]
        )
        for name, limits in KEYS.items()
    ]
    file.write_text("\n".join(tables), "utf-8")
    return deployed(running, NAMED, 2, ledger=redis.url, api_key_file=str(file))


@asynccontextmanager
async def stream(running: Cluster, key: str, copy: int | None = None) -> AsyncIterator[tuple[Raw, int]]:
    """A stream that has started, and its copy; at that one, if it is named: Ray chooses, so it is tried until it is."""
    for _ in range(100):
        async with AsyncExitStack() as stack:
            try:
                client = await stack.enter_async_context(raw(running.url, additional_headers={"X-API-Key": key}))
            except InvalidStatus as refused:
                if refused.response.status_code != 429:
                    raise
                await asyncio.sleep(0.05)  # the place of the attempt before is free in a moment
                continue
            response = client.websocket.response
            assert response is not None
            found = int(response.headers[HEADER])
            if copy in (None, found):
                await client.send({"type": "start"})
                await client.receive("started")
                yield client, found
                return
    raise AssertionError(f"no connection reached the copy {copy}")


async def answers(running: Cluster, key: str) -> set[tuple[int, str]]:
    """Status and code with which both copies answer a key: as many attempts as it takes to have asked both."""
    found: dict[int, tuple[int, str]] = {}
    for _ in range(100):
        try:
            async with raw(running.url, additional_headers={"X-API-Key": key}) as client:
                response, code = client.websocket.response, ""
        except InvalidStatus as refused:
            response, code = refused.response, json.loads(refused.response.body or b"")["error"]["code"]
        assert response is not None
        found[int(response.headers[HEADER])] = response.status_code, code
        if len(found) == 2:
            return set(found.values())
    raise AssertionError(f"only {list(found)} answered")


async def admitted(running: Cluster, key: str) -> bool:
    """Whether a stream of this key is let in."""
    try:
        async with connect(running.url, sample_rate=16_000, api_key=key):
            return True
    except RefusedError as error:
        if not error.temporary:
            raise
        return False


async def test_a_key_has_its_number_of_streams_over_all_copies(counted: Cluster) -> None:
    here, there = counted.processes()
    async with stream(counted, "two", here):
        async with stream(counted, "two", there):
            assert await answers(counted, "two") == {(429, "too_many_streams")}
            async with stream(counted, "open", here), stream(counted, "open", there):
                pass
        await eventually(lambda: admitted(counted, "two"), True)


async def test_a_key_has_its_minutes_over_all_copies(counted: Cluster) -> None:
    here, there = counted.processes()
    async with stream(counted, "short", here) as (client, _):
        await client.send(pcm(*[17] * 40), {"type": "finish"})
        messages, _ = await client.receive_all()
        assert messages[-1]["type"] == "finished"
    await asyncio.sleep(2)
    async with stream(counted, "short", there) as (client, _):
        await client.send(pcm(*[17] * 40))
        messages, _ = await client.receive_all()
        assert messages[-1]["code"] == "minutes_used_up"
    await eventually(lambda: answers(counted, "short"), {(429, "minutes_used_up")})


async def token(running: Cluster) -> tuple[str, int]:
    """A token, and the copy that gave it out."""
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"http://127.0.0.1:{running.port}/v1/tokens", headers={"X-API-Key": "open"})
    return answer.json()["token"], int(answer.headers[HEADER])


async def test_a_token_of_one_copy_opens_one_stream_at_another_and_none_at_any_after_it(counted: Cluster) -> None:
    async with asyncio.timeout(60):
        while True:
            given, source = await token(counted)
            async with stream(counted, given) as (_, user):
                pass
            assert await answers(counted, given) == {(401, "unauthorized")}
            if user != source:
                return


async def test_of_many_who_use_a_token_at_once_one_alone_is_let_in(counted: Cluster) -> None:
    given, _ = await token(counted)

    async def enter() -> int:
        try:
            async with raw(counted.url, additional_headers={"X-API-Key": given}):
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code

    assert sorted(await asyncio.gather(*(enter() for _ in range(12)))) == [101] + [401] * 11


async def test_streams_that_are_cut_off_go_on_at_other_copies_without_a_lost_or_doubled_word(counted: Cluster) -> None:
    people = [Speaker(seed, scripted_speech, {"api_key": "open"}) for seed in range(6)]
    over = asyncio.Event()
    async with bad_network(lambda: counted.port, seed=1) as network:
        speaking = [asyncio.create_task(person.speak(network.url, over)) for person in people]
        for _ in range(4):
            await asyncio.sleep(2)
            network.break_all()
        await asyncio.sleep(2)
        over.set()
        await asyncio.gather(*speaking)
    assert any(len(person.models) > 1 for person in people), "somebody has changed the copy"
    for person in people:
        assert person.finals == await undisturbed(said(person), ScriptedRecognition), f"seed {person.seed}"
    # Whoever was left behind learns from the ledger that its session goes on elsewhere, long before `resume_seconds`.
    await eventually(lambda: sessions(counted), 0.0)


async def sessions(running: Cluster) -> float:
    """How many sessions there are, at whichever copies answer."""
    found = 0.0
    async with httpx.AsyncClient() as http:
        for _ in range(10):
            page = (await http.get(f"http://127.0.0.1:{running.port}/metrics")).text
            (line,) = (line for line in page.splitlines() if line.startswith("streaming_asr_sessions "))
            found += float(line.split()[1])
    return found


async def test_the_only_stream_of_a_key_goes_on_elsewhere_when_its_copy_is_killed(counted: Cluster) -> None:
    person, over = Speaker(7, scripted_speech, {"api_key": "one"}), asyncio.Event()
    speaking = asyncio.create_task(person.speak(counted.url, over))
    await until(lambda: bool(person.models), patience=20)
    await kill(counted, int(person.models[0]))
    await until(lambda: len(person.models) > 1, patience=60)
    over.set()
    await speaking
    assert person.finals == await undisturbed(said(person), ScriptedRecognition)


async def test_while_redis_is_away_streams_go_on_and_new_ones_with_limits_are_told_and_then_all_is_as_before(
    counted: Cluster, redis: RedisServer
) -> None:
    here, there = counted.processes()
    async with AsyncExitStack() as stack:
        clients = [(await stack.enter_async_context(stream(counted, "two", copy)))[0] for copy in (here, there)]
        redis.stop()
        try:
            assert await answers(counted, "one") == {(503, "ledger_unavailable")}
            assert await answers(counted, "no such key or token") == {(503, "ledger_unavailable")}
            for client in clients:
                await client.send(pcm(17, 18, 0, 0, 0))
                assert (await client.receive("final"))["text"] == "w17 w18"
            async with stream(counted, "open", here), stream(counted, "open", there):
                pass
        finally:
            redis.start()
        await eventually(lambda: admitted(counted, "one"), True)
        await asyncio.sleep(3)
        assert await answers(counted, "two") == {(429, "too_many_streams")}, "they are counted again"
        assert await answers(counted, "no such key or token") == {(401, "unauthorized")}
        for client in clients:
            await client.send(pcm(19, 0, 0, 0), {"type": "finish"})
            assert (await client.receive("final"))["text"] == "w19"
