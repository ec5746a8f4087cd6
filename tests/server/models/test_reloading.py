"""A model is loaded anew while streams are open: they end on the old one, new ones are on the new one."""

from __future__ import annotations

import os
import signal
from typing import Any

import httpx
import pytest
from streaming_asr_server.access.authentication import ApiKeys, Principal, hash_key
from streaming_asr_server.local import LocalServer, local_server
from streaming_asr_server.models.source import ModelSource
from streaming_asr_server.recognition.scripted import ScriptedRecognition
from streaming_asr_server.settings import Settings

from streaming_asr.errors import CheckpointError
from tests.server.speaking import Raw, counted, pcm, raw, until

pytestmark = pytest.mark.anyio

KEYS = ApiKeys({hash_key("may"): Principal(name="ours", reload=True), hash_key("other"): Principal(name="theirs")})


class Versions:
    """A model whose files change: `version` is what is there now, `made` are the recognizers of all loads."""

    def __init__(self) -> None:
        self.version: int | None = 1
        self.made: list[Closing] = []

    def load(self) -> ScriptedRecognition:
        if self.version is None:
            raise CheckpointError("/srv/x: model.safetensors is truncated")
        self.made.append(Closing())
        return self.made[-1]

    def source(self, name: str) -> ModelSource:
        return ModelSource(name=name, load=self.load, fingerprint=lambda: self.version)


class Closing(ScriptedRecognition):
    """Tells whether it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True


async def begun(client: Raw, model: str) -> None:
    await client.send({"type": "start", "model": model}, pcm(200, 300))
    await client.receive("partial")


async def text(client: Raw) -> str:
    await client.send(pcm(400), {"type": "finish"})
    return str((await client.receive("final"))["text"])


async def reload(server: LocalServer, name: str, key: str = "may") -> httpx.Response:
    async with httpx.AsyncClient() as http:
        return await http.post(
            f"{server.http}/v1/models/{name}/reload", headers={"Authorization": f"Bearer {key}"}, timeout=20
        )


def opening(server: LocalServer, key: str = "may") -> Any:
    return raw(server.url, additional_headers={"Authorization": f"Bearer {key}"})


async def test_open_streams_end_on_the_old_model_and_new_ones_begin_on_the_new_one() -> None:
    a, b = Versions(), Versions()
    async with local_server([a.source("a"), b.source("b")], keys=KEYS) as server:
        async with opening(server) as old, opening(server) as other:
            await begun(old, "a")
            await begun(other, "b")
            answer = await reload(server, "a")
            assert (answer.status_code, answer.json()) == (200, {"model": "a", "state": "ready"})
            async with opening(server) as new:
                await begun(new, "a")
                assert [len(one.streams) for one in a.made] == [1, 1]
                assert not a.made[0].closed
                assert await text(new) == "w200 w300 w400"
            assert await text(old) == "w200 w300 w400"
            assert await text(other) == "w200 w300 w400"
        await until(lambda: a.made[0].closed)
        assert [one.closed for one in (*a.made, *b.made)] == [True, False, False]


async def test_a_model_that_cannot_be_loaded_again_goes_on_as_it_was() -> None:
    a = Versions()
    async with local_server([a.source("a")], keys=KEYS) as server, opening(server) as client:
        await begun(client, "a")
        a.version = None
        answer = await reload(server, "a")
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "reload_failed")
        assert "/srv" not in answer.text
        assert await text(client) == "w200 w300 w400"
        async with opening(server) as later:
            await begun(later, "a")
            assert await text(later) == "w200 w300 w400"


async def test_reloading_takes_a_key_that_may_and_a_model_that_is_there() -> None:
    a = Versions()
    async with local_server([a.source("a")], keys=KEYS) as server:
        assert (await reload(server, "a", key="wrong")).status_code == 401
        assert (await reload(server, "a", key="other")).status_code == 403
        answer = await reload(server, "c")
        assert (answer.status_code, answer.json()["error"]["message"]) == (404, "model is 'c'; it must be one of a")
        assert len(a.made) == 1
        assert counted(server, "refused", code="forbidden") == 1
    async with local_server([a.source("a")]) as server:
        assert (await reload(server, "a")).status_code == 403, "without keys anybody could"


@pytest.mark.parametrize("several", [Settings(workers=2), Settings(cluster=True)], ids=["workers", "cluster"])
async def test_one_of_several_processes_does_not_reload_alone(several: Settings) -> None:
    a = Versions()
    async with local_server([a.source("a")], several, keys=KEYS) as server:
        answer = await reload(server, "a")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "one_of_several")
        assert len(a.made) == 1


async def test_a_hangup_reloads_what_has_changed() -> None:
    a, b = Versions(), Versions()
    async with local_server([a.source("a"), b.source("b")]) as server:
        async with raw(server.url) as client:
            await begun(client, "a")
            a.version = 2
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: len(a.made) == 2)
            assert await text(client) == "w200 w300 w400"
        await until(lambda: a.made[0].closed)
        assert len(b.made) == 1
