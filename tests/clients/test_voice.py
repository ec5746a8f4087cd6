"""Vosk, Wyoming and Twilio against a real server: the same words as the native protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soxr
from streaming_asr_client import connect as connect_native
from streaming_asr_server.access.authentication import ApiKeys, Principal, hash_key
from streaming_asr_server.local import local_server
from streaming_asr_server.protocols.twilio.signature import signature
from streaming_asr_server.recognition.scripted import ScriptedRecognition
from streaming_asr_server.settings import Settings
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streaming_asr.audio.encodings import mulaw_table
from streaming_asr.events import Final
from tests.clients.environments import VOICE
from tests.clients.speech import KEY, Recordings, Server, readable, run_json, run_program, texts
from tests.clients.test_packages import EXAMPLES, spoken
from tests.server.test_chaos import free_port

pytestmark = pytest.mark.timeout(180)

KEYS = ApiKeys({hash_key(KEY): Principal(name="tests")})


def native(server: Server, recordings: Recordings) -> list[str]:
    return texts(server.native(recordings, 16_000))


# Vosk.


def test_vosks_own_client(server: Server, recordings: Recordings) -> None:
    url = f"ws://127.0.0.1:{server.vosk_port}/?token={KEY}"
    *results, summary = run_json(VOICE, "vosk_transcriber.py", url, recordings.raw(16_000))
    assert spoken([result["text"] for result in results]) == native(server, recordings)
    assert summary["text"].splitlines() == native(server, recordings)
    words = [word for result in results for word in result.get("result", [])]
    assert [word["start"] for word in words] == sorted(word["start"] for word in words)
    assert all(0 <= word["conf"] <= 1 for word in words)


def test_a_vosk_client_in_lock_step_sees_partials_before_finals(server: Server, recordings: Recordings) -> None:
    audio = recordings.waves[16_000].tobytes()
    replies = asyncio.run(lock_step(f"ws://{server.address}/v1/vosk?token={KEY}", audio))
    assert len(replies) == -(-len(audio) // 6_400) + 1, "one reply for each message"
    assert spoken([reply.get("text", "") for reply in replies]) == native(server, recordings)
    first = next(number for number, reply in enumerate(replies) if reply.get("partial"))
    assert first < next(number for number, reply in enumerate(replies) if reply.get("text"))


async def lock_step(url: str, audio: bytes) -> list[dict[str, Any]]:
    async with connect(url) as websocket:
        await websocket.send('{ "config" : { "sample_rate" : 16000.0 } }')
        replies = []
        for start in range(0, len(audio), 6_400):
            await websocket.send(audio[start : start + 6_400])
            replies.append(json.loads(await websocket.recv()))
        await websocket.send('{"eof" : 1}')
        replies.append(json.loads(await websocket.recv()))
        with pytest.raises(ConnectionClosed):
            await websocket.recv()
        assert websocket.close_code == 1000
    return replies


@pytest.mark.anyio
@pytest.mark.parametrize(("key", "full", "status"), [("bad", False, 401), (KEY, True, 503)])
async def test_vosks_client_is_refused(key: str, full: bool, status: int, recordings: Recordings) -> None:
    async with local_server(ScriptedRecognition, Settings(max_streams=1), keys=KEYS) as server:
        url = f"{server.url}/v1/vosk?token="
        async with AsyncExitStack() as others:
            if full:
                await others.enter_async_context(connect(url + KEY))
            arguments = (VOICE, "vosk_transcriber.py", url + key, recordings.raw(16_000))
            assert await asyncio.to_thread(run_json, *arguments) == [{"kind": "refused", "status": status}]


# Wyoming.


def test_wyomings_client(server: Server, recordings: Recordings) -> None:
    request = json.dumps({"language": "en", "transcript_names": ["Ada"], "transcript_terms": ["dimmer"]})
    uri = f"tcp://127.0.0.1:{server.wyoming_port}"
    info, *events = run_json(VOICE, "wyoming_client.py", uri, recordings.wav(16_000), request)
    assert info == {"kind": "info", "programs": ["streaming-asr"], "languages": ["en"]}
    assert events[-1] == {
        "kind": "transcript",
        "text": " ".join(readable(server.native(recordings, 16_000))),
        "language": "en",
    }
    assert [event["kind"] for event in events[:2]] == ["transcript-start", "transcript-chunk"]
    assert "".join(event["text"] for event in events if event["kind"] == "transcript-chunk") == events[-1]["text"]


def test_wyomings_http_gateway(server: Server, recordings: Recordings) -> None:
    audio = open_bytes(recordings.wav(16_000))
    with gateway(server.wyoming_port) as url:
        with urllib.request.urlopen(f"{url}/api/info", timeout=20) as answer:
            assert json.load(answer)["asr"][0]["models"][0]["languages"] == ["en"]
        with urllib.request.urlopen(recognition(url, audio), timeout=60) as answer:
            assert json.load(answer)["text"] == " ".join(readable(server.native(recordings, 16_000)))


def recognition(url: str, wav: bytes) -> urllib.request.Request:
    address = f"{url}/api/speech-to-text?language=en&transcript_names=Ada"
    return urllib.request.Request(address, wav, {"Content-Type": "audio/wav"})


@contextmanager
def gateway(wyoming_port: int) -> Iterator[str]:
    """`python -m wyoming.http.asr_server`, as it comes."""
    if not VOICE.ready:
        pytest.skip("the environment 'voice' is not there; make it: python tests/clients/environments.py")
    port = free_port()
    command = [str(VOICE.python), "-m", "wyoming.http.asr_server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--uri", f"tcp://127.0.0.1:{wyoming_port}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until_open(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def until_open(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail("the gateway was not ready in time")


def open_bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


@pytest.mark.anyio
async def test_wyomings_client_and_gateway_at_a_full_server(recordings: Recordings) -> None:
    port = free_port()
    settings = Settings(max_streams=1, wyoming_port=port)
    async with local_server(ScriptedRecognition, settings) as server, connect(f"{server.url}/v1/vosk"):
        arguments = (VOICE, "wyoming_client.py", f"tcp://127.0.0.1:{port}", recordings.wav(16_000), "{}")
        info, error = await asyncio.to_thread(run_json, *arguments)
        assert info["kind"] == "info"
        assert (error["kind"], error["code"]) == ("error", "overloaded")
        assert await asyncio.to_thread(status_of_gateway, port, recordings.wav(16_000)) == 500


def status_of_gateway(port: int, wav: str) -> int:
    with gateway(port) as url:
        try:
            with urllib.request.urlopen(recognition(url, open_bytes(wav)), timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code


def test_wyoming_over_standard_streams(server: Server, recordings: Recordings) -> None:
    serve = [sys.executable, "-m", "streaming_asr.command_line", "serve", "--port", "0", "--wyoming-stdio"]
    first, second, end = run_json(VOICE, "wyoming_program.py", recordings.wav(16_000), *serve)
    assert first["text"] == second["text"] == " ".join(readable(server.native(recordings, 16_000)))
    assert end == {"kind": "ended", "code": 0}


# Twilio: there is no client package, so the test plays Twilio; the signature is that of Twilio's own package.


def test_twilios_signature() -> None:
    url = "wss://asr.example/v1/twilio"
    assert run_program(VOICE, "twilio_signature.py", "token", url) == [signature("token", url)]


def test_both_tracks_of_a_call(server: Server, recordings: Recordings) -> None:
    audio = mulaw(recordings.waves[16_000])
    messages, finals = asyncio.run(call(server, audio))
    for track in ("inbound", "outbound"):
        mine = [message for message in messages if message.get("track") == track]
        assert [message["text"] for message in mine if message["type"] == "final"] == finals
        kinds = [message["type"] for message in mine]
        assert kinds.index("partial") < kinds.index("final")
    assert (messages[0]["type"], messages[-1]["type"]) == ("call_started", "call_ended")
    assert messages[-1]["duration"] == pytest.approx(len(audio) / 8_000)


def mulaw(wave: npt.NDArray[np.int16]) -> bytes:
    """At 8 kHz, each sample by the nearest value of the table."""
    samples = soxr.resample(wave.astype(np.float32) / 32_768, 16_000, 8_000)
    table = mulaw_table()
    order = np.argsort(table, kind="stable")
    edges = (table[order][1:] + table[order][:-1]) / 2
    return bytes(order[np.searchsorted(edges, samples)].astype(np.uint8).tobytes())


async def call(server: Server, audio: bytes) -> tuple[list[dict[str, Any]], list[str]]:
    """What those who listen are told of a call with this audio on both tracks, and what the native protocol says."""
    headers = {"Authorization": f"Bearer {KEY}"}
    listening = connect(f"ws://{server.address}/v1/twilio/CA1/events", additional_headers=headers)
    async with listening as listener, connect(f"ws://{server.address}/v1/twilio", additional_headers=headers) as twilio:
        heard = asyncio.create_task(hear_out(listener))
        for message in twilio_messages(audio):
            await twilio.send(message)
        with pytest.raises(ConnectionClosed):
            await twilio.recv()
        assert twilio.close_code == 1000
        messages = await heard
    async with connect_native(f"ws://{server.address}", api_key=KEY, encoding="mulaw", sample_rate=8_000) as stream:
        for start in range(0, len(audio), 1_600):
            await stream.send(audio[start : start + 1_600])
        await stream.finish()
        finals = [event.text async for event in stream if isinstance(event, Final)]
    return messages, finals


def twilio_messages(audio: bytes) -> Iterator[str]:
    yield '{"event":"connected","protocol":"Call","version":"1.0.0"}'
    form = {"encoding": "audio/x-mulaw", "sampleRate": 8_000, "channels": 1}
    start = {"streamSid": "MZ1", "callSid": "CA1", "tracks": ["inbound", "outbound"], "mediaFormat": form}
    yield json.dumps({"event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": start})
    for number, at in enumerate(range(0, len(audio), 160)):
        for track in ("inbound", "outbound"):
            payload = base64.b64encode(audio[at : at + 160]).decode()
            media = {"track": track, "chunk": str(number), "timestamp": str(at // 8), "payload": payload}
            yield json.dumps({"event": "media", "sequenceNumber": "2", "streamSid": "MZ1", "media": media})
    yield '{"event":"stop","streamSid":"MZ1","stop":{"callSid":"CA1"}}'


async def hear_out(websocket: Any) -> list[dict[str, Any]]:
    return [json.loads(message) async for message in websocket]


@pytest.mark.anyio
@pytest.mark.parametrize(("token", "full", "status"), [("another", False, 403), ("token", True, 503)])
async def test_twilio_is_refused_before_the_upgrade(token: str, full: bool, status: int) -> None:
    settings = Settings(max_streams=1, twilio_auth_token="token")
    async with local_server(ScriptedRecognition, settings) as server:
        url = f"{server.url}/v1/twilio"
        async with AsyncExitStack() as others:
            if full:
                await others.enter_async_context(connect(f"{server.url}/v1/vosk"))
            with pytest.raises(InvalidStatus) as refused:
                await connect(url, additional_headers={"X-Twilio-Signature": signature(token, url)})
    assert refused.value.response.status_code == status


# The examples.


def example(name: str, *arguments: str) -> list[str]:
    """One that needs no package beyond those of this project."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ},
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    return done.stdout.splitlines()


def test_the_example_for_vosk(server: Server, recordings: Recordings) -> None:
    lines = example("vosk_client.py", recordings.wav(16_000), f"ws://127.0.0.1:{server.vosk_port}/?token={KEY}")
    assert spoken(lines) == native(server, recordings)


def test_the_example_for_wyoming(server: Server, recordings: Recordings) -> None:
    uri = f"tcp://127.0.0.1:{server.wyoming_port}"
    lines = run_program(VOICE, EXAMPLES / "wyoming_client.py", recordings.wav(16_000), uri)
    assert lines == [" ".join(readable(server.native(recordings, 16_000)))]


def test_the_example_for_twilio(server: Server, recordings: Recordings) -> None:
    command = [sys.executable, "-u", str(EXAMPLES / "twilio_events.py"), "CA1", f"ws://{server.address}", KEY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        lines = asyncio.run(overheard(server, mulaw(recordings.waves[16_000]), process))
        output, _ = process.communicate(timeout=60)
    assert {line.partition(":")[0] for line in lines + output.splitlines()} == {"inbound", "outbound"}
    assert process.returncode == 0


async def overheard(server: Server, audio: bytes, listener: subprocess.Popen[str]) -> list[str]:
    """A call that goes on until its listener has printed something; one who comes late hears what was final."""
    assert listener.stdout is not None
    headers = {"Authorization": f"Bearer {KEY}"}
    async with connect(f"ws://{server.address}/v1/twilio", additional_headers=headers) as twilio:
        *messages, stop = twilio_messages(audio)
        for message in messages:
            await twilio.send(message)
        lines = [await asyncio.to_thread(listener.stdout.readline)]
        await twilio.send(stop)
        await twilio.wait_closed()
    return lines
