"""`streaming-asr serve` as a process: what it logs, and TLS."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from websockets.asyncio.client import connect as open_websocket

from tests.server.speaking import Raw, pcm
from tests.server.test_chaos import SCRIPT, free_port, until_open

pytestmark = pytest.mark.anyio


async def test_logs_are_json_and_hold_neither_tokens_nor_words() -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPT), str(port), "1", "--logs", stderr=asyncio.subprocess.PIPE
    )
    await until_open(port)
    async with open_websocket(f"ws://127.0.0.1:{port}/v1/stream?token=secret-key") as websocket:
        client = Raw(websocket)
        await client.send({"type": "start", "hotwords": ["private"]}, pcm(17, 18), {"type": "finish"})
        await client.receive("finished")
    async with open_websocket(f"ws://127.0.0.1:{port}/v1/stream?token=secret-key") as websocket:
        await websocket.send("nonsense")
        await websocket.wait_closed()
    process.send_signal(signal.SIGTERM)
    _, errors = await asyncio.wait_for(process.communicate(), 15)
    lines = errors.decode().splitlines()
    entries = [json.loads(line) for line in lines]
    assert {"ready", "connection ended", "connection failed"} <= {entry["message"] for entry in entries}
    assert any(entry.get("code") == "bad_message" for entry in entries)
    for secret in ("secret-key", "w17", "private"):
        assert secret not in errors.decode()


async def test_a_signal_says_what_is_waited_for_and_a_second_one_ends_it() -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPT), str(port), "60", "--logs", stderr=asyncio.subprocess.PIPE
    )
    await until_open(port)
    async with open_websocket(f"ws://127.0.0.1:{port}/v1/stream") as websocket:
        client = Raw(websocket)
        await client.send({"type": "start"})
        await client.receive("started")
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        async with asyncio.timeout(10):
            while (entry := json.loads(await process.stderr.readline()))["level"] != "warning":
                pass
        assert entry["message"] == "waiting for open streams; a second signal ends them"
        assert (entry["streams"], entry["seconds"]) == (1, 60)
        process.send_signal(signal.SIGINT)
        messages, _ = await client.receive_all()
        assert messages[-1]["code"] == "going_away"
    await asyncio.wait_for(process.communicate(), 20)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
async def test_tls(tmp_path: Path) -> None:
    certificate, key, port = tmp_path / "cert.pem", tmp_path / "key.pem", free_port()
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "1", "-nodes"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", *subject, *files]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPT), str(port), "1", "--tls", str(certificate), str(key)
    )
    try:
        context = await asyncio.to_thread(ssl.create_default_context, cafile=str(certificate))
        await until_open(port, context)
        async with open_websocket(f"wss://localhost:{port}/v1/stream", ssl=context) as websocket:
            client = Raw(websocket)
            await client.send({"type": "start"}, pcm(17), {"type": "finish"})
            assert (await client.receive("final"))["text"] == "w17"
    finally:
        process.terminate()
        await process.wait()


async def test_a_client_is_told_at_once_that_the_server_is_about_to_stop() -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(sys.executable, str(SCRIPT), str(port), "1")
    await until_open(port)
    async with open_websocket(f"ws://127.0.0.1:{port}/v1/stream") as websocket:
        client = Raw(websocket)
        await client.send({"type": "start"}, pcm(17))
        await client.receive("started")
        process.send_signal(signal.SIGTERM)
        assert (await client.receive("warning"))["code"] == "draining"
        await client.send(pcm(18), {"type": "finish"})
        assert (await client.receive("final"))["text"] == "w17 w18"
        await client.receive("finished")
    await asyncio.wait_for(process.wait(), 15)


def test_what_would_hold_up_the_first_streams_is_done_before_them() -> None:
    """Imports of codecs, and the garbage collector's look at everything that is loaded."""
    program = """
import gc, sys
from streaming_asr_server.running import freeze_loaded
from streaming_asr_server.sessions.decoding import load_codecs
load_codecs()
freeze_loaded()
print("av" in sys.modules, "soxr" in sys.modules, gc.get_freeze_count() > 10 * len(gc.get_objects()))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "True"]
