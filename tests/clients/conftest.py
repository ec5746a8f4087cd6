"""A server process as anybody starts it, with the embedded model, and a recording of speech for its clients."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from streaming_asr_server.access.authentication import hash_key

from tests.clients.speech import KEY, SECONDS, Recordings, Server

DEMO = Path(__file__).parents[2] / "streaming_asr" / "embedded" / "demo.flac"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    """Two sentences of the bundled recording, at the rates that clients want, as WAV files and as bare samples."""
    folder = tmp_path_factory.mktemp("recordings")
    samples, rate = soundfile.read(DEMO, dtype="int16", stop=round(SECONDS * soundfile.info(DEMO).samplerate))
    waves = {}
    for wanted in (16_000, 24_000):
        resampled = np.asarray(soxr.resample(samples, rate, wanted), np.int16)
        soundfile.write(folder / f"{wanted}.wav", resampled, wanted)
        (folder / f"{wanted}.raw").write_bytes(resampled.tobytes())
        waves[wanted] = resampled
    return Recordings(folder, waves)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`streaming-asr serve` with one API key, on a free port, until the tests are done."""
    keys = tmp_path_factory.mktemp("server") / "keys.toml"
    keys.write_text(f'[[keys]]\nname = "tests"\nsha256 = "{hash_key(KEY)}"\n')
    port, vosk, wyoming = free_port(), free_port(), free_port()
    command = [sys.executable, "-m", "streaming_asr.command_line", "serve", "--port", str(port)]
    command += ["--vosk-port", str(vosk), "--wyoming-port", str(wyoming)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([*command, "--api-key-file", str(keys)], env=environment, stderr=subprocess.PIPE) as process:
        try:
            wait_until_ready(process, port)
            yield Server(f"127.0.0.1:{port}", vosk_port=vosk, wyoming_port=wyoming)
        finally:
            process.terminate()
            process.communicate(timeout=30)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait for a server; fail with its log if it ends."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
        if process.poll() is not None:
            _, log = process.communicate()
            pytest.fail(f"the server ended with {process.returncode}: {log.decode()[-2_000:]}")
    pytest.fail("the server was not ready in time")
