"""Clients of every protocol that send a few bytes which decode to very much audio, again and again.

python -m benchmarks.dense_audio ws://127.0.0.1:8765 WYOMING_PORT SECONDS_OF_AUDIO
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial

import numpy as np
import soundfile
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed

from streaming_asr.audio.samples import SAMPLE_RATE

MESSAGE_BYTES = 700_000
"""Of a message before it is written as base64, so that every protocol takes it."""


def dense_flac(seconds: float) -> bytes:
    """Digital silence as FLAC: about 50 bytes per second."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros(round(seconds * SAMPLE_RATE), np.int16), SAMPLE_RATE, format="FLAC")
    return file.getvalue()


async def _send(websocket: ClientConnection, *messages: str | bytes) -> None:
    """Send, and read what comes until the server closes."""
    with suppress(ConnectionClosed):
        for message in messages:
            await websocket.send(message)
        async for _ in websocket:
            pass


async def attack_deepgram(url: str, flac: bytes) -> None:
    async with open_websocket(f"{url}/v1/listen", close_timeout=1) as websocket:
        await _send(websocket, flac)


async def attack_openai(url: str, flac: bytes) -> None:
    append = {"type": "input_audio_buffer.append", "audio": base64.b64encode(flac).decode()}
    async with open_websocket(f"{url}/v1/realtime", close_timeout=1) as websocket:
        await _send(websocket, json.dumps(append))


async def attack_vosk(url: str, flac: bytes) -> None:
    async with open_websocket(f"{url}/v1/vosk", close_timeout=1) as websocket:
        await _send(websocket, flac)


async def attack_twilio(url: str, flac: bytes) -> None:
    start = {"event": "start", "streamSid": "MZ1", "start": {"streamSid": "MZ1", "callSid": "CA1"}}
    media = {"event": "media", "media": {"payload": base64.b64encode(flac).decode()}}
    async with open_websocket(f"{url}/v1/twilio", close_timeout=1) as websocket:
        await _send(websocket, json.dumps(start), json.dumps(media))


ATTACKS: Mapping[str, Callable[[str, bytes], Coroutine[None, None, None]]] = {
    "deepgram": attack_deepgram,
    "openai": attack_openai,
    "vosk": attack_vosk,
    "twilio": attack_twilio,
}


async def attack_wyoming(port: int, flac: bytes) -> None:
    """Wyoming over TCP; it takes samples only, so the file is noise to it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    format_ = {"rate": 16_000, "width": 2, "channels": 1}
    writer.write(json.dumps({"type": "audio-start", "data": format_}).encode() + b"\n")
    chunk = {"type": "audio-chunk", "data": format_, "payload_length": len(flac)}
    writer.write(json.dumps(chunk).encode() + b"\n" + flac)
    try:
        while await reader.read(4_096):
            pass
    finally:
        writer.close()


async def again_and_again(attack: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await attack()
        except OSError as error:
            print(f"an attack could not connect: {error}", file=sys.stderr, flush=True)
        await asyncio.sleep(0.1)


async def attack_all(url: str, wyoming_port: int, flac: bytes) -> None:
    """One client per protocol, for ever."""
    attacks = [partial(attack, url, flac) for attack in ATTACKS.values()]
    attacks.append(partial(attack_wyoming, wyoming_port, flac))
    await asyncio.gather(*map(again_and_again, attacks))


def main() -> None:
    # What they take from the server's cores is not what is measured.
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.nice(10)
    url, wyoming_port, seconds = sys.argv[1:]
    flac = dense_flac(float(seconds))
    print(f"the message: {len(flac)} bytes, {float(seconds):.0f} s of audio", flush=True)
    asyncio.run(attack_all(url, int(wyoming_port), flac))


if __name__ == "__main__":
    main()
