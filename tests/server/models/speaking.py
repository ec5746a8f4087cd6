"""Clients of several protocols that say one recording in a language and give the words that come back."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
import soundfile
from streaming_asr_server.local import LocalServer
from streaming_asr_server.protocols.wyoming.events import EventReader, encode
from websockets.asyncio.client import connect

from streaming_asr.audio.samples import Samples
from streaming_asr.events import Final
from tests.server.speaking import events_of


def linear16(audio: Samples) -> bytes:
    return np.rint(audio * 32_768).clip(-32_768, 32_767).astype("<i2").tobytes()


async def by_python(server: LocalServer, audio: Samples, **options: Any) -> list[str]:
    """The project's own client."""
    events = await events_of(server.url, audio, **options)
    return [event.text for event in events if isinstance(event, Final)]


async def by_deepgram(server: LocalServer, audio: Samples, **query: str) -> list[str]:
    """As Deepgram's clients speak."""
    address = httpx.QueryParams(**query, encoding="linear16", sample_rate=16_000)
    async with connect(f"{server.url}/v1/listen?{address}") as websocket:
        for piece in pieces(linear16(audio)):
            await websocket.send(piece)
        await websocket.send(json.dumps({"type": "CloseStream"}))
        answers = [json.loads(message) async for message in websocket]
    said = [answer["channel"]["alternatives"][0]["transcript"] for answer in answers if answer.get("is_final")]
    return [text for text in said if text]


async def by_openai(server: LocalServer, audio: Samples, **form: str) -> list[str]:
    """A recorded file, as OpenAI's clients send it."""
    file = io.BytesIO()
    soundfile.write(file, audio, 16_000, format="WAV", subtype="PCM_16")
    async with httpx.AsyncClient(timeout=60) as http:
        files, fields = {"file": ("talk.wav", file.getvalue())}, {**form, "response_format": "verbose_json"}
        answer = await http.post(f"{server.http}/v1/audio/transcriptions", data=fields, files=files)
    return [segment["text"] for segment in answer.json()["segments"]]


async def by_wyoming(port: int, audio: Samples, **request: str) -> str:
    """As Home Assistant speaks; the whole text."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sound = {"rate": 16_000, "width": 2, "channels": 1}
    writer.write(encode("transcribe", **request) + encode("audio-start", **sound))
    for piece in pieces(linear16(audio)):
        body = json.dumps(sound).encode()
        header = {"type": "audio-chunk", "data_length": len(body), "payload_length": len(piece)}
        writer.write(json.dumps(header).encode() + b"\n" + body + piece)
    writer.write(encode("audio-stop"))
    events = EventReader()
    try:
        while True:
            while (event := events.next()) is not None:
                if event.type in ("transcript", "error"):
                    return str(event.data["text"])
            events.push(await asyncio.wait_for(reader.read(65_536), 60))
    finally:
        writer.close()


async def by_vosk(server: LocalServer, audio: Samples, path: str = "") -> list[str]:
    """As Vosk's clients speak."""
    said = []
    async with connect(f"{server.url}/v1/vosk{path}") as websocket:
        await websocket.send(json.dumps({"config": {"sample_rate": 16_000}}))
        for piece in pieces(linear16(audio)):
            await websocket.send(piece)
            said.append(json.loads(await websocket.recv()).get("text", ""))
        await websocket.send(json.dumps({"eof": 1}))
        said.append(json.loads(await websocket.recv()).get("text", ""))
    return [text for text in said if text]


def pieces(data: bytes) -> Sequence[bytes]:
    return [data[start : start + 6_400] for start in range(0, len(data), 6_400)]
