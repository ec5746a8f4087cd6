"""Workers with a real model: it lies in memory once, and each of them recognizes with it."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from streaming_asr_client import connect

from streaming_asr.audio.input import AudioInput
from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from streaming_asr.audio.sources import FileSource
from streaming_asr.command_line.demo import RECORDING
from streaming_asr.events import Final
from streaming_asr.recognizer import Recognizer
from tests.server.test_chaos import free_port
from tests.server.workers.servers import PATIENCE, wait

pytestmark = pytest.mark.timeout(900)


def test_workers_share_the_pages_of_one_model_and_say_what_it_says_alone(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    options = ["--port", str(port), "--workers", "2", "--threads", "1", "--ledger", str(tmp_path / "ledger")]
    command = [sys.executable, "-m", "streaming_asr.command_line", "serve", *options]
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
    try:
        wait(lambda: process.poll() is not None or count(log, "ready") == 2)
        assert process.poll() is None, log.read_text()
        audio = recording()
        assert asyncio.run(words_of_all(port, audio, 4)) == [alone(audio)] * 4
        for pid in workers(log):
            own = anonymous_pages(pid)
            assert own["Pss_Anon"] < 0.7 * own["Anonymous"], "each worker has a model of its own"
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()


def recording() -> Samples:
    """The first six seconds of the embedded recording."""
    with FileSource(RECORDING) as source:
        audio = AudioInput(sample_rate=source.sample_rate, channels=source.channels)
        pieces = [audio.push(piece) for piece in source]
    return np.concatenate(pieces)[: 6 * SAMPLE_RATE]


async def words_of_all(port: int, audio: Samples, streams: int) -> list[list[str]]:
    return await asyncio.gather(*(words(port, audio) for _ in range(streams)))


async def words(port: int, audio: Samples) -> list[str]:
    async with connect(f"ws://127.0.0.1:{port}", sample_rate=SAMPLE_RATE) as stream:
        await stream.send(audio)
        await stream.finish()
        return [event.text async for event in stream if isinstance(event, Final)]


def alone(audio: Samples) -> list[str]:
    heard = (audio * 32767).astype("<i2")
    stream = Recognizer.load().stream(sample_rate=SAMPLE_RATE)
    return [event.text for event in [*stream.push(heard), *stream.finish()] if isinstance(event, Final)]


def count(log: Path, message: str) -> int:
    return log.read_text().count(f'"message": "{message}"')


def workers(log: Path) -> list[int]:
    lines = [json.loads(line) for line in log.read_text().splitlines() if '"worker started"' in line]
    return [line["pid"] for line in lines]


def anonymous_pages(pid: int) -> dict[str, int]:
    """What /proc says of a process's memory, in KiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(value.split()[0]) for name, value in (line.split(":", 1) for line in lines)}
