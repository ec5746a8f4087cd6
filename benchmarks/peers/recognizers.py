"""The recognizers that are compared, each as a process and a way to speak to it."""

from __future__ import annotations

import asyncio
import json
import sys
import typing
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from streaming_asr_client import connect
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket

from streaming_asr import Final, Partial

PROGRAMS: typing.Final = Path(__file__).parent / "programs"

Show = Callable[[str, str], None]
"""Takes what is on the screen whenever it may have changed: the settled text, the tail."""


class Recognize(Protocol):
    """Speaks one recording to the server at an address and shows what comes back; ends when all has come."""

    async def __call__(self, url: str, pieces: AsyncIterator[bytes], show: Show) -> None: ...


@dataclass(frozen=True, slots=True)
class Peer:
    """A recognizer: its name, its server's command for a port, its address, and how one speaks to it.

    `resumes`: whether its client goes on by itself after a dropped connection.
    `ready`: the route that answers 200 once the model is loaded, if it listens before.
    `accurate`: whether its words mean anything (random weights are measured for their cost).
    """

    name: str
    command: Callable[[int], Sequence[str]]
    recognize: Recognize
    path: str = ""
    ready: str = ""
    resumes: bool = False
    accurate: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)


def ours(name: str, *options: str, accurate: bool = True) -> Peer:
    """This project's server with some options, spoken to by its own client."""

    def command(port: int) -> Sequence[str]:
        return (sys.executable, "-m", "streaming_asr.command_line", "serve", "--port", str(port), *options)

    return Peer(name, command, _native, ready="/readyz", resumes=True, accurate=accurate)


def whisperlivekit(name: str, python: Path, model: Path) -> Peer:
    """WhisperLiveKit with faster-whisper, local agreement, and its own voice activity controller."""

    def command(port: int) -> Sequence[str]:
        backend = ("--backend", "faster-whisper", "--backend-policy", "localagreement", "--model_dir", str(model))
        server = (str(python), "-m", "whisperlivekit.basic_server", "--port", str(port))
        return (*server, *backend, "--pcm-input", "--language", "en")

    return Peer(name, command, _whisperlivekit, path="/asr", environment={"HF_HUB_OFFLINE": "1"})


def pocketsphinx(name: str, python: Path) -> Peer:
    """Pocketsphinx with its own model and endpointer, behind a socket of a few lines."""

    def command(port: int) -> Sequence[str]:
        return (str(python), str(PROGRAMS / "pocketsphinx_server.py"), str(port))

    return Peer(name, command, _lines)


async def _native(url: str, pieces: AsyncIterator[bytes], show: Show) -> None:
    finals: list[str] = []
    async with connect(url, sample_rate=16_000) as stream:

        async def send() -> None:
            async for piece in pieces:
                await stream.send(np.frombuffer(piece, dtype="<i2"))
            await stream.finish()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send())
            async for event in stream:
                match event:
                    case Partial(committed=committed, tail=tail):
                        show(" ".join([*finals, committed]), tail)
                    case Final(text=text):
                        finals.append(text)
                        show(" ".join(finals), "")


async def _whisperlivekit(url: str, pieces: AsyncIterator[bytes], show: Show) -> None:
    """Every message holds all lines so far and what is behind them; an empty message ends the audio."""
    async with open_websocket(url, max_size=None, ping_interval=None) as socket, asyncio.TaskGroup() as tasks:
        tasks.create_task(_send_all(socket, pieces))
        async for message in socket:
            state: Mapping[str, Any] = json.loads(message)
            if state.get("type") == "ready_to_stop":
                break
            if "lines" in state:
                settled = " ".join(str(line["text"]) for line in state["lines"] if line.get("text"))
                show(settled, str(state.get("buffer_transcription") or ""))


async def _lines(url: str, pieces: AsyncIterator[bytes], show: Show) -> None:
    """JSON lines `[settled, tail]` against audio over TCP."""
    host, _, port = url.removeprefix("ws://").partition("/")[0].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))

    async def send() -> None:
        async for piece in pieces:
            writer.write(piece)
            await writer.drain()
        writer.write_eof()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send())
        async for line in reader:
            settled, tail = json.loads(line)
            show(settled, tail)
    writer.close()


async def _send_all(socket: ClientConnection, pieces: AsyncIterator[bytes]) -> None:
    async for piece in pieces:
        await socket.send(piece)
    await socket.send(b"")
