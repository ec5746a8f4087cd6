"""One stream, many readers: who may show, who may read, what late comers and slow ones get."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from streaming_asr_server.access.authentication import ApiKeys, Principal, hash_key
from streaming_asr_server.connection.outbox import Close, Outbox, Send
from streaming_asr_server.local import LocalServer, local_server
from streaming_asr_server.protocols.audience.view import LINES_KEPT, Line, View
from streaming_asr_server.protocols.audience.views import Views, view_name
from streaming_asr_server.recognition.scripted import ScriptedRecognition
from streaming_asr_server.settings import Settings
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import InvalidStatus

from streaming_asr.events import Final, Partial
from tests.server.speaking import Raw, pcm, raw

pytestmark = pytest.mark.anyio

SECRET = "a-secret-of-twenty-two-letters"
WORDS = pcm(17, 25, 0, 0, 0)
"""Heard as one utterance of two words."""


@asynccontextmanager
async def reader(server: LocalServer, view: str, query: str = "") -> AsyncIterator[Raw]:
    async with open_websocket(f"{server.url}/v1/views/{view}{query}", close_timeout=1) as websocket:
        yield Raw(websocket)


async def show(server: LocalServer, key: str | None = None, **body: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(base_url=server.url.replace("ws", "http", 1)) as http:
        return await http.post("/v1/views", json={"secret": SECRET, **body}, headers=headers)


async def started(speaker: Raw, **fields: Any) -> str:
    await speaker.send({"type": "start", **fields})
    return str((await speaker.receive("started"))["session"])


async def test_readers_see_what_is_said_and_late_comers_what_was_said() -> None:
    async with local_server(ScriptedRecognition) as server, raw(server.url) as speaker:
        view = (await show(server)).json()["view"]
        async with reader(server, view) as early:
            assert (await early.receive())["live"] is False
            session = await started(speaker)
            await speaker.send(WORDS)
            await speaker.receive("final")
            assert (await show(server, session=session)).json() == {"view": view, "watching": 1}
            assert (await early.receive())["live"] is True
            said = await early.receive("final")
            assert (said["text"], said["line"], said["at"] > 1.7e9) == ("w17 w25", 0, True)
            async with reader(server, view) as late:
                assert [(await late.receive())["type"] for _ in range(1)] == ["view"]
                assert [line["text"] for line in (await late.receive("lines"))["lines"]] == ["w17 w25"]
                await speaker.send(pcm(30, 30, 0, 0, 0))
                for each in (early, late):
                    assert (await each.receive("partial"))["tail"] == "w30"
                    assert (await each.receive("final"))["line"] == 1
            await speaker.send({"type": "finish"})
            assert (await early.receive("view"))["live"] is False


async def test_a_reader_who_comes_back_gets_what_it_missed() -> None:
    async with local_server(ScriptedRecognition) as server, raw(server.url) as speaker:
        view = (await show(server, session=await started(speaker))).json()["view"]
        await speaker.send(WORDS, WORDS, WORDS)
        async with reader(server, view) as first:
            epoch = (await first.receive())["epoch"]
        for _ in range(3):
            await speaker.receive("final")
        async with reader(server, view, f"?after=1&epoch={epoch}") as back:
            assert [line["line"] for line in (await back.receive("lines"))["lines"]] == [2]
        async with reader(server, view, "?after=1&epoch=another") as elsewhere:
            assert [line["line"] for line in (await elsewhere.receive("lines"))["lines"]] == [0, 1, 2]


async def test_a_stream_that_goes_on_in_another_session_shows_nothing_twice() -> None:
    async with local_server(ScriptedRecognition) as server:
        async with raw(server.url) as speaker:
            session = await started(speaker)
            view = (await show(server, session=session, stream="talk")).json()["view"]
            await speaker.send(WORDS)
            await speaker.receive("final")
        resume = {"session": "unknown here", "acknowledged": 0, "utterance": 0}
        async with raw(server.url) as again, reader(server, view) as audience:
            await show(server, session=await started(again, resume=resume), stream="talk")
            await again.send(WORDS, WORDS, {"type": "finish"})
            messages, _ = await again.receive_all()
            assert sum(message["type"] == "final" for message in messages) == 2
            assert len((await audience.receive("lines"))["lines"]) == 1
            assert (await audience.receive("final"))["line"] == 1


async def test_only_the_owner_of_a_session_shows_it_and_reading_needs_no_key() -> None:
    keys = ApiKeys({hash_key(name): Principal(name=name) for name in ("one", "other")})
    mine = {"Authorization": "Bearer one"}
    async with (
        local_server(ScriptedRecognition, keys=keys) as server,
        raw(server.url, additional_headers=mine) as speaker,
    ):
        session = await started(speaker)
        assert (await show(server, session=session)).status_code == 401
        assert (await show(server, "other", session=session)).status_code == 404
        answer = await show(server, "one", session=session)
        async with reader(server, answer.json()["view"]) as audience:
            assert (await audience.receive())["live"] is True


async def test_a_view_that_is_not_there_is_refused_and_one_that_ends_says_so() -> None:
    async with local_server(ScriptedRecognition) as server:
        with pytest.raises(InvalidStatus) as refused:
            async with reader(server, view_name(SECRET)):
                pass
        assert refused.value.response.status_code == 404
        view = (await show(server)).json()["view"]
        async with reader(server, view) as audience, httpx.AsyncClient() as http:
            address = f"{server.url.replace('ws', 'http', 1)}/v1/views"
            assert (await http.get(f"{address}/{view}")).json() == {"live": False, "watching": 1}
            await http.request("DELETE", address, json={"secret": SECRET})
            assert (await audience.receive_all())[1] == 1000
            assert (await http.get(f"{address}/{view}")).status_code == 404


async def test_readers_are_bounded_and_take_no_place_of_a_stream() -> None:
    settings = Settings(max_streams=1, max_viewers=2)
    async with local_server(ScriptedRecognition, settings) as server:
        view = (await show(server)).json()["view"]
        async with reader(server, view), reader(server, view), raw(server.url) as speaker:
            await started(speaker)
            with pytest.raises(InvalidStatus) as refused:
                async with reader(server, view):
                    pass
            assert refused.value.response.status_code == 503


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"[1]", "must be an object"),
        (b"{", "not JSON"),
        (b'{"secret": "short"}', "22 to 100"),
        (json.dumps({"secret": SECRET, "sesion": "x"}).encode(), "must be an object"),
        (json.dumps({"secret": SECRET, "stream": "x" * 101}).encode(), "100 characters"),
        (b"x" * 5000, "over 4096"),
    ],
)
async def test_a_body_that_cannot_work_is_refused_with_the_reason(body: bytes, reason: str) -> None:
    async with local_server(ScriptedRecognition) as server, httpx.AsyncClient() as http:
        answer = await http.post(f"{server.url.replace('ws', 'http', 1)}/v1/views", content=body)
        assert answer.status_code in (400, 413)
        assert reason in answer.json()["error"]["message"]


def a_final(number: int) -> Final:
    return Final(number, f"line {number}", (), 0.0, 1.0, 1.0, (), "silence", 0.0)


def views(readers: int = 10) -> Views:
    return Views(maximum_readers=readers, now=lambda: 1.0)


async def test_a_reader_who_does_not_read_is_left_and_holds_up_nobody() -> None:
    shown = views()
    view = shown.make(SECRET)
    session = shown.show(view, "session", "stream")
    with shown.reading(view_name(SECRET), after=-1, epoch="") as slow:
        for number in range(300):
            session.event(Partial(number, "", "x", (), 0.0, 1.0, 0.0))
            session.event(a_final(number))
        assert await drained(slow) == [Close(4408, "slow_reader")]
    with shown.reading(view_name(SECRET), after=-1, epoch="") as back:
        lines = [line for message in await drained(back) for line in lines_of(message)]
        assert [line["line"] for line in lines] == list(range(300))


async def test_a_view_keeps_no_more_lines_than_it_may() -> None:
    view = View("name")
    for number in range(LINES_KEPT + 10):
        view.add(Line("stream", number, {"type": "final"}))
    lines = [line["line"] for message in view.backlog(-1) for line in lines_of(message)]
    assert lines == list(range(10, LINES_KEPT + 10))


async def test_views_that_nobody_uses_give_way() -> None:
    shown = views()
    first = shown.make(SECRET)
    shown.show(first, "session", "stream")
    for number in range(200):
        shown.make(f"{SECRET}{number}")
    assert shown.find(view_name(SECRET)) is first


async def drained(outbox: Outbox) -> list[Any]:
    return [await outbox.get() for _ in range(len(outbox))]


def lines_of(message: Send | Close) -> list[dict[str, Any]]:
    if not isinstance(message, Send):
        return []
    lines: list[dict[str, Any]] = json.loads(message.data).get("lines", [])
    return lines


async def test_the_language_of_the_speaker_is_told() -> None:
    async with local_server(ScriptedRecognition) as server, raw(server.url) as speaker:
        view = (await show(server, session=await started(speaker, language="en"))).json()["view"]
        async with reader(server, view) as audience:
            assert (await audience.receive())["language"] == "en"
