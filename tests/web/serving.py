"""Real servers as processes of their own, and what a fake microphone plays."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import soundfile
import soxr

import streaming_asr
from streaming_asr.audio.samples import Samples

DEMO = Path(streaming_asr.__file__).parent / "embedded" / "demo.flac"
MICROPHONE_RATE = 48_000
PATIENCE_SECONDS = 180
"""A machine that is busy with other tests takes its time to load a model."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(*options: str) -> Iterator[str]:
    """`streaming-asr serve` as a process of its own; gives its address once it is ready."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    code = "from streaming_asr.command_line import main; main()"
    command = [sys.executable, "-c", code, "serve", "--port", str(port), "--threads", "1", *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until_ready(process, address)
            yield address
        finally:
            process.kill()


def wait_until_ready(process: subprocess.Popen[bytes], address: str) -> None:
    """Wait until a server would take a stream; fail if it ends instead."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server ended with {process.returncode}"
        try:
            if httpx.get(f"{address}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"the server was not ready after {PATIENCE_SECONDS} s")


@contextmanager
def scripted_serving(*arguments: str, port: int | None = None) -> Iterator[str]:
    """A server whose words are told by the loudness of what it hears; arguments as `scripted_server.py` takes them."""
    port = port or free_port()
    with scripted_process(*arguments, port=port):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def scripted_process(*arguments: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The same, to be sent signals; it is killed in the end."""
    script = Path(__file__).with_name("scripted_server.py")
    command = [sys.executable, str(script), str(port), *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until_ready(process, f"http://127.0.0.1:{port}")
            yield process
        finally:
            process.kill()


def demo(seconds: float | None = None) -> Samples:
    """The bundled recording, or its beginning; shape (samples,) at 16 kHz."""
    samples, rate = soundfile.read(DEMO, dtype="float32")
    stop = None if seconds is None else round(seconds * rate)
    shortened: Samples = samples[:stop]
    return shortened


def as_microphone(samples: Samples, path: Path) -> Path:
    """A file that a fake microphone plays: 48 kHz, mono, 16 bits."""
    louder: Samples = soxr.resample(samples, 16_000, MICROPHONE_RATE).astype(np.float32)
    soundfile.write(path, louder.clip(-1, 1), MICROPHONE_RATE, subtype="PCM_16")
    return path
