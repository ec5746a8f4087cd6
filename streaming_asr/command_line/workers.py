"""A long recording on several cores: cut where nobody speaks, each part recognized by a process of its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Self

import numpy as np

from streaming_asr.audio.encodings import Frames
from streaming_asr.audio.gate import Gate, GateOptions
from streaming_asr.audio.samples import SAMPLE_RATE, Samples, milliseconds_to_samples
from streaming_asr.command_line.options import ModelOptions, RecognitionOptions
from streaming_asr.command_line.recognizers import open_recognizer, unspellable
from streaming_asr.errors import StreamingAsrError
from streaming_asr.events import Final

LONG_SECONDS: typing.Final = 90.0
"""A recording of fewer seconds is done before further processes have loaded their models."""
MOST_WORKERS: typing.Final = 8
"""Each holds a model of its own."""
PART_SECONDS: typing.Final = 30.0
"""A part is at least so long."""
LEAD_IN_SECONDS: typing.Final = 4.0
"""Silence in front of a part, from which its gate learns the background: it looks back three seconds."""
SHORTEST_PAUSE_MS: typing.Final = 1_500
"""Silence without which no part ends: the utterance before it is final then."""


def usable_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a recording, shape (samples,) at 16 kHz; `first` is the position of its first sample."""

    samples: Samples
    first: int


class Cutter:
    """Cuts a recording into parts that have the words that the whole has.

    A part ends in a pause so long that every utterance in it is over, and the next begins with what was left of that
    pause. A recording without such pauses is one part.
    """

    def __init__(self, gate: GateOptions, *, pause_ms: float = SHORTEST_PAUSE_MS) -> None:
        self._gate: typing.Final = Gate(gate)
        self._pause: typing.Final = milliseconds_to_samples(pause_ms)
        self._kept: list[Samples] = []
        self._first = 0
        self._length = 0

    def push(self, samples: Samples) -> Iterator[Part]:
        """Take in samples; gives the part that is complete, if there is one."""
        self._gate.push(samples)
        self._kept.append(samples)
        self._length += len(samples)
        if not self._gate.open and self._gate.silence >= self._pause and self._length >= PART_SECONDS * SAMPLE_RATE:
            whole = np.concatenate(self._kept)
            yield Part(whole, self._first)
            # Behind the hangover of the speech before, which the gate of the next part must not hear.
            lead_in = min(round(LEAD_IN_SECONDS * SAMPLE_RATE), self._gate.silence - milliseconds_to_samples(200))
            self._first += self._length - lead_in
            self._kept, self._length = [whole[-lead_in:]], lead_in

    def finish(self) -> Iterator[Part]:
        """The last part."""
        yield Part(np.concatenate([np.empty(0, np.float32), *self._kept]), self._first)


class Workers:
    """Processes, each with a recognizer of its own, which is loaded when it starts. A context manager."""

    def __init__(self, count: int, model: ModelOptions, recognition: RecognitionOptions) -> None:
        self._count: typing.Final = count
        self._model: typing.Final = model
        self._recognition: typing.Final = recognition
        self._processes: list[multiprocessing.process.BaseProcess] = []
        self._connections: list[Connection] = []

    def load(self) -> dict[str, str]:
        """Wait until all have loaded their model; returns the hotwords that it cannot write.

        Raises:
            StreamingAsrError: the model cannot be loaded.
        """
        missing: dict[str, str] = {}
        for connection in self._connections:
            missing = _received(connection)
        return missing

    def finals(self, pieces: Iterable[Frames]) -> Iterator[Final]:
        """The finals of a recording, pieces of shape (samples, 1) at 16 kHz, in order as soon as they are there.

        Raises:
            StreamingAsrError: what went wrong in a worker, or in the source, and then what came before has been given.
        """
        utterances = 0
        for finals in self._recognized(self._parts(pieces)):
            for final in finals:
                yield replace(final, utterance=utterances)
                utterances += 1

    def _parts(self, pieces: Iterable[Frames]) -> Iterator[Part]:
        """The parts of all that can be read; an error of the source is raised behind them."""
        end_silence = self._recognition.end_silence or 0.0
        gate = GateOptions(**self._recognition.gate_arguments())
        pause = max(SHORTEST_PAUSE_MS, end_silence + gate.hangover_ms)
        cutter = Cutter(gate, pause_ms=pause)
        failure: StreamingAsrError | None = None
        try:
            for piece in pieces:
                yield from cutter.push(piece[:, 0])
        except StreamingAsrError as error:
            failure = error
        yield from cutter.finish()
        if failure is not None:
            raise failure

    def _recognized(self, parts: Iterable[Part]) -> Iterator[list[Final]]:
        """What each part says, in their order; parts are read as workers become idle."""
        idle, running = list(self._connections), dict[Connection, int]()
        done: dict[int, list[Final]] = {}
        given = 0
        failure: StreamingAsrError | None = None
        numbered = enumerate(parts)
        while True:
            try:
                number, part = next(numbered)
            except StopIteration:
                break
            except StreamingAsrError as error:
                failure = error
                break
            while not idle:
                idle += self._answered(running, done)
            connection = idle.pop()
            connection.send(part)
            running[connection] = number
            while given in done:
                yield done.pop(given)
                given += 1
        while running:
            self._answered(running, done)
        yield from (done[number] for number in sorted(done))
        if failure is not None:
            raise failure

    def _answered(self, running: dict[Connection, int], done: dict[int, list[Final]]) -> list[Connection]:
        """Wait for a worker; those that have answered."""
        ready = wait(list(running))
        answered = [connection for connection in running if connection in ready]
        for connection in answered:
            done[running.pop(connection)] = _received(connection)
        return answered

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        for _ in range(self._count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, self._model, self._recognition), daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)
            self._connections.append(ours)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            if error is not None:
                process.kill()
            process.join()


def _received(connection: Connection) -> Any:
    """What a worker answers; raises the error that it answers with."""
    try:
        answer = connection.recv()
    except EOFError as error:
        raise StreamingAsrError("a process that recognized a part of the recording has ended") from error
    if isinstance(answer, Exception):
        raise answer
    return answer


def _work(connection: Connection, model: ModelOptions, recognition: RecognitionOptions) -> None:
    """What a worker does until the connection ends: parts in, finals out."""
    # Signals are for the process that reads the recording; it ends the connection.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    with contextlib.suppress(EOFError, BrokenPipeError):
        try:
            _recognize_parts(connection, model, recognition)
        except StreamingAsrError as error:
            connection.send(error)


def _recognize_parts(connection: Connection, model: ModelOptions, recognition: RecognitionOptions) -> None:
    import torch

    # One core each: a second thread would be in the way of another worker.
    torch.set_num_threads(1)
    with open_recognizer(model, recognition) as configured:
        connection.send(unspellable(configured, recognition))
        while True:
            part: Part = connection.recv()
            options = {**configured.arguments, "partials": False, "first_sample": part.first}
            stream = configured.recognizer.stream(sample_rate=SAMPLE_RATE, **options)
            events = [*stream.push(part.samples), *stream.finish()]
            connection.send([event for event in events if isinstance(event, Final) and event.text])
