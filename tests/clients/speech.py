"""What the native protocol makes of the recording, and what programs with other packages print."""

from __future__ import annotations

import asyncio
import json
import subprocess
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from streaming_asr_client import connect

from streaming_asr.events import Final
from streaming_asr.protocol import EndpointRules
from tests.clients.environments import Environment

KEY: typing.Final = "a-key-for-tests"
SECONDS: typing.Final = 7.6
"""So long is the recording."""

PROGRAMS: typing.Final = Path(__file__).parent / "programs"
_PIECE: typing.Final = 4_800


@dataclass(frozen=True, slots=True)
class Recordings:
    """One recording at several rates; `waves` are int16 samples, shape (samples,)."""

    folder: Path
    waves: Mapping[int, npt.NDArray[np.int16]]

    def wav(self, rate: int) -> str:
        return str(self.folder / f"{rate}.wav")

    def raw(self, rate: int) -> str:
        return str(self.folder / f"{rate}.raw")


@dataclass(frozen=True, slots=True)
class Server:
    """A server process; `known` keeps what the native protocol made of the recording."""

    address: str
    vosk_port: int
    wyoming_port: int
    known: dict[str, list[Final]] = field(default_factory=dict)

    def native(
        self,
        recordings: Recordings,
        rate: int,
        *,
        pauses: Sequence[int] = (),
        silence_ms: int | None = None,
        endpoint: EndpointRules | None = None,
    ) -> list[Final]:
        """The finals of the native protocol; `pauses` are samples at which the utterance is finalized."""
        rules = endpoint or ({} if silence_ms is None else {"trailing_silence_ms": silence_ms})
        name = f"{rate} {list(pauses)} {rules}"
        if name not in self.known:
            self.known[name] = asyncio.run(self._native(recordings.waves[rate], rate, pauses, rules))
        return self.known[name]

    async def _native(
        self, wave: npt.NDArray[np.int16], rate: int, pauses: Sequence[int], endpoint: EndpointRules
    ) -> list[Final]:
        url = f"ws://{self.address}"
        async with connect(url, api_key=KEY, encoding="linear16", sample_rate=rate, endpoint=endpoint) as stream:

            async def send() -> None:
                start = 0
                for stop in (*pauses, len(wave)):
                    for begin in range(start, stop, _PIECE):
                        await stream.send(wave[begin : min(begin + _PIECE, stop)])
                    if stop in pauses:
                        await stream.finalize()
                    start = stop
                await stream.finish()

            sending = asyncio.create_task(send())
            finals = [event async for event in stream if isinstance(event, Final)]
            await sending
        return finals


def texts(finals: Sequence[Final]) -> list[str]:
    return [final.text for final in finals]


def readable(finals: Sequence[Final]) -> list[str]:
    """As one reads them: with marks, capitals and figures."""
    return [final.readable.text for final in finals]


def bare(said: Sequence[str]) -> list[str]:
    """Texts without capitals and marks, for packages that ask for some of them."""
    return [" ".join(word.strip(".,?!").lower() for word in text.split()) for text in said]


def pauses_behind(finals: Sequence[Final], rate: int) -> list[int]:
    """A sample 300 ms behind each final; on a grid on which every rate has whole samples."""
    grid = rate // 10
    return [round((final.end + 0.3) * rate / grid) * grid for final in finals]


def run_program(environment: Environment, program: Path | str, *arguments: str, seconds: float = 120) -> list[str]:
    """The lines that a program prints, run in an environment; it must end well."""
    if not environment.ready:
        pytest.skip(f"the environment {environment.name!r} is not there; make it: python tests/clients/environments.py")
    command = [str(environment.python), str(PROGRAMS / program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, f"{program} ended with {done.returncode}: {done.stderr[-3_000:]}"
    return done.stdout.splitlines()


def run_json(environment: Environment, program: str, *arguments: str) -> list[dict[str, Any]]:
    """The JSON objects that a program prints, one per line."""
    return [json.loads(line) for line in run_program(environment, program, *arguments)]
