"""The figures by which recognizers are compared follow from what was on the screen, and when."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers.bars import drawing
from benchmarks.peers.pictures import Picture, Recording, outcome, word_error_rate
from benchmarks.peers.processes import free_port, running, use

SPOKEN = Recording(bytes(64_000), "GOOD MORNING TO ALL", begins=0.25, ends=1.75)


def test_delays_count_from_where_speech_begins_and_ends() -> None:
    found = outcome(
        SPOKEN,
        [
            Picture(0.1, "", ""),
            Picture(0.75, "", "good"),
            Picture(1.0, "", "good morn"),
            Picture(1.5, "good", "morning to all"),
            Picture(2.25, "Good morning, to everybody.", ""),
            Picture(3.0, "good morning to everybody", ""),
        ],
    )
    assert found.said == "GOOD MORNING TO EVERYBODY"
    assert found.first_word == pytest.approx(0.5)
    assert found.final == pytest.approx(0.5)


def test_a_word_that_grows_is_stable_and_one_that_changes_is_not() -> None:
    pictures = [Picture(1, "", "good morn"), Picture(2, "", "good morning too"), Picture(3, "good mourning to all", "")]
    assert outcome(SPOKEN, pictures).unstable == 2


def test_words_that_vanish_are_unstable() -> None:
    assert outcome(SPOKEN, [Picture(1, "", "good morning to"), Picture(2, "good", "")]).unstable == 2


def test_nothing_shown_is_a_deletion_of_all_words() -> None:
    nothing = outcome(SPOKEN, [Picture(1, "", "")])
    assert (nothing.first_word, nothing.final) == (None, None)
    assert word_error_rate([SPOKEN], [nothing]) == 1.0


def test_a_server_is_measured_with_its_children(tmp_path: Path) -> None:
    port = free_port()
    work = "sum(i * i for i in range(10_000_000))"
    parent = (
        "import socketserver, subprocess, sys; "
        f"child = subprocess.Popen([sys.executable, '-c', '{work}; input()'], stdin=subprocess.PIPE); "
        f"socketserver.TCPServer(('127.0.0.1', {port}), socketserver.BaseRequestHandler).serve_forever()"
    )

    async def measure() -> float:
        async with running((sys.executable, "-c", parent), port=port, log=tmp_path / "log") as pid:
            for _ in range(200):
                if use(pid).cpu > 0.15:
                    break
                await asyncio.sleep(0.05)
            return use(pid).cpu

    assert asyncio.run(measure()) > 0.1


def test_a_server_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    async def start() -> None:
        async with running((sys.executable, "-c", "exit('no model')"), port=free_port(), log=tmp_path / "log"):
            pass

    with pytest.raises(RuntimeError, match="no model"):
        asyncio.run(start())


def test_a_server_counts_as_started_once_its_route_says_that_it_is_ready(tmp_path: Path) -> None:
    port, asked = free_port(), tmp_path / "asked"
    server = f"""
import http.server, pathlib
class Slow(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open({str(asked)!r}, "a") as file:
            file.write(self.path + "\\n")
        self.send_response(200 if len(open({str(asked)!r}).readlines()) >= 3 else 503)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", {port}), Slow).serve_forever()
"""

    async def start() -> list[str]:
        async with running((sys.executable, "-c", server), port=port, log=tmp_path / "log", ready="/readyz"):
            return asked.read_text(encoding="utf-8").split()

    assert asyncio.run(start()) == ["/readyz"] * 3


def test_bars_are_as_long_as_their_figures_and_what_was_not_measured_says_so() -> None:
    rows: list[dict[str, Any]] = [
        {"name": "ours <b>", "cpu": 0.1},
        {"name": "other", "cpu": 0.2},
        {"name": "third", "cpu": None},
    ]
    drawn = drawing(rows, [("cpu", "CPU", 1, "s")])
    widths = [float(width) for width in re.findall(r'width="([0-9.]+)" height="15"', drawn)]
    assert widths[1] == 2 * widths[0]
    assert ("ours &lt;b&gt;" in drawn, "0.2 s" in drawn, drawn.count("not measured")) == (True, True, 1)
