"""The endurance benchmark sees what is lost, and keeps what it did."""

from __future__ import annotations

import asyncio
import json
import random
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send
from streaming_asr_server.application import create_application
from streaming_asr_server.local import local_server
from streaming_asr_server.recognition.scripted import ScriptedRecognition, ScriptedStream

from benchmarks.endurance.__main__ import lost, main, next_seed
from benchmarks.endurance.fuzz import PROTOCOLS, ErrorLog, Fuzzed, frames_of, fuzz_asgi, fuzz_for
from benchmarks.endurance.memory import slope
from benchmarks.endurance.network import cutting_network
from benchmarks.endurance.speaking import Tally, speak, words_and_pauses

pytestmark = pytest.mark.anyio


async def spoken(reference: ScriptedRecognition) -> tuple[Tally, int]:
    """Twenty seconds of words over a network that cuts, compared with what a recognizer makes of them."""
    tally, over = Tally(), asyncio.Event()
    async with local_server(ScriptedRecognition) as server, cutting_network(server.port, lambda: 150_000) as network:
        await speak(network.url, "here", words_and_pauses(1), reference, tally, over, seconds=20)
        return tally, network.cuts


async def test_cuts_change_nothing_of_what_is_said() -> None:
    tally, cuts = await spoken(ScriptedRecognition())
    assert (tally.audio_seconds, tally.wrong) == (20, [])
    assert tally.finals > 2
    assert cuts > 2


async def test_what_was_not_said_is_seen() -> None:
    class Late(ScriptedRecognition):
        """Its clock begins a second late."""

        def open(self, *arguments: Any, **options: Any) -> ScriptedStream:
            return super().open(*arguments, **{**options, "first_sample": 16_000})

    tally, _ = await spoken(Late())
    assert len(tally.wrong) == tally.finals > 2
    assert lost({"tally": {"wrong": tally.wrong}}) == tally.wrong


@pytest.mark.parametrize("name", PROTOCOLS)
async def test_nonsense_is_answered_in_the_words_of_its_protocol(name: str) -> None:
    fuzzed, log = Fuzzed(), ErrorLog()
    async with local_server(ScriptedRecognition) as server:
        application = create_application(server.service)
        await fuzz_for(60, 300, fuzzed, lambda seed: fuzz_asgi(application, PROTOCOLS[name], seed, log))
    assert fuzzed.failures == []
    assert fuzzed.frames >= 300


async def test_an_application_that_fails_is_seen() -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise KeyError("of its own")

    _, problem = await fuzz_asgi(failing, PROTOCOLS["native"], 3, ErrorLog())
    assert problem == "/v1/stream seed 3: raised KeyError('of its own')"


def test_a_seed_makes_the_same_case_again() -> None:
    for protocol in PROTOCOLS.values():
        assert frames_of(random.Random("7"), protocol) == frames_of(random.Random("7"), protocol)


def test_memory_that_grows_has_a_slope_and_the_beginning_does_not_count() -> None:
    assert slope([(hour / 10, 100 + (50 if hour < 2 else 0) + 3 * hour / 10) for hour in range(20)]) == pytest.approx(3)
    assert slope([(hour, 100.0) for hour in range(20)]) == pytest.approx(0)
    assert slope([(0.0, 1.0)]) == 0


def test_runs_add_up_and_go_on_with_the_next_seed(tmp_path: Path) -> None:
    tally = {"audio_seconds": 3_600, "longest_stream": 1_800, "finals": 9, "words": 90, "wrong": []}
    streams = {"tally": tally, "cuts": 5, "kills": 0, "server_slope": 0.01, "server_memory": 250.0}
    fuzzed = {"frames": 500, "connections": 7, "seed": 7, "failures": ["x"]}
    outage = {"tally": tally, "times": 4, "refusals": ["ledger_unavailable"]}
    state = {
        "cuts": [streams, streams],
        "kills": [{**streams, "kills": 10}],
        "fuzz": [
            {"protocols": {"native": fuzzed}, "slope": 0.4},
            {"protocols": {"native": {**fuzzed, "frames": 100}}, "slope": 9.0},
        ],
        "disk": [outage],
    }
    assert (next_seed(state, "cuts"), next_seed(state, "fuzz"), next_seed(state, "clock")) == (2, 7, 0)
    page, kept = tmp_path / "page.md", tmp_path / "state.json"
    page.write_text("before\n<!-- results -->\nold\n<!-- end of results -->\nafter\n", "utf-8")
    kept.write_text(json.dumps(state), "utf-8")
    assert main(["--state", str(kept), "--write", str(page)]) == 0
    written = page.read_text("utf-8")
    assert written.startswith("before\n")
    assert written.endswith("after\n")
    assert "old" not in written
    assert "2.0 h of audio, the longest stream 0.50 h, 180 words, 10 cuts | 0 | 250 MiB, +0.01 MiB" in written
    assert "10 SIGKILLs" in written
    assert "600 damaged and disordered frames in 14 connections | 2 |" in written
    assert "| all protocols | | | +0.4 MiB per million frames |" in written


def test_words_and_pauses_do_not_end() -> None:
    assert [len(piece) for piece in islice(words_and_pauses(3), 100)] == [8_000] * 100
