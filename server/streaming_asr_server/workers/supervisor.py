"""Starts workers, starts those again that die, passes signals on to them, and ends with one exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Final

from prometheus_client.multiprocess import mark_process_dead

from streaming_asr.errors import OptionError
from streaming_asr_server.access.ledger.interface import LedgerError
from streaming_asr_server.access.ledger.opening import open_ledger
from streaming_asr_server.workers.board import Board
from streaming_asr_server.workers.plan import PLAN_VARIABLE, READY, Listeners, Plan, work
from streaming_asr_server.workers.restarts import Restarts

logger = logging.getLogger(__name__)

METRICS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client looks for it when it is imported: then its counters live in files that all workers read."""

PRELOADING: Final = "streaming_asr_server.workers.preloading"
"""This module, imported by the process that workers are forked from, loads the plan that the variable names."""

_RELOAD: Final = getattr(signal, "SIGHUP", None)
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, *([] if _RELOAD is None else [_RELOAD]))
_KILL_SECONDS: Final = 25.0
"""A worker that has not ended so long after its grace is killed."""


@dataclass(slots=True, eq=False)
class Slot:
    """A worker of this index, whichever process it is now; `start_at` is when the next one begins."""

    index: int
    restarts: Restarts = field(default_factory=Restarts)
    process: BaseProcess | None = None
    control: Connection | None = None
    ready_at: float | None = None
    start_at: float | None = 0.0
    failure: str | None = None


class Supervisor:
    """Keeps the workers of a plan running until a signal comes.

    The first SIGTERM or SIGINT lets all of them drain, a second one ends their streams. SIGHUP goes on to the workers,
    which load anew what has changed. `announce` is called when the first worker takes streams.
    """

    def __init__(self, plan: Plan, listeners: Listeners, announce: Callable[[], None]) -> None:
        self._plan: Final = plan
        self._listeners: Final = listeners
        self._announce: Final = announce
        self._board: Final = Board.create(plan.board, plan.settings.workers)
        self._slots: Final = [Slot(index) for index in range(plan.settings.workers)]
        self._context: ForkServerContext | SpawnContext = get_context("spawn")
        self._variables: Final = {METRICS_VARIABLE: str(plan.folder)}
        if plan.shared_weights:
            self._context = get_context("forkserver")
            plan.file.write_bytes(pickle.dumps(plan))
            self._variables[PLAN_VARIABLE] = str(plan.file)
            self._context.set_forkserver_preload([PRELOADING])
        self._signals: list[int] = []
        self._kill_at: float | None = None
        self._announced = False
        self._failure: str | None = None

    def run(self) -> None:
        """Supervise to the end, which is that of the signal that came.

        Raises:
            OptionError: the workers cannot be started, or die at once, again and again.
        """
        with self._catching_signals() as wakeup:
            try:
                while self._kill_at is None or any(slot.process for slot in self._slots):
                    self._start_those_due()
                    self._wait(wakeup)
            finally:
                self._kill()
        if self._failure is not None:
            raise OptionError(self._failure)
        signal.raise_signal(self._signals[0])

    @contextmanager
    def _catching_signals(self) -> Iterator[socket.socket]:
        """A socket on which something arrives with each signal, so that waiting ends."""
        reader, writer = socket.socketpair()
        for end in (reader, writer):
            end.setblocking(False)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        handlers = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        try:
            yield reader
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before)
            reader.close()
            writer.close()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == _RELOAD:
            # One that is not ready yet loads the new files anyway, and would end of the signal.
            self._send(number, [slot for slot in self._slots if slot.ready_at is not None])
            return
        self._signals.append(number)
        self._stop()

    def _stop(self) -> None:
        """Pass the end on to all workers: as SIGTERM, whichever signal came."""
        if self._kill_at is None:
            self._kill_at = time.monotonic() + self._plan.settings.grace_seconds + _KILL_SECONDS
        for slot in self._slots:
            slot.start_at = None
        self._send(signal.SIGTERM, self._slots)

    def _send(self, number: int, slots: Iterable[Slot]) -> None:
        for slot in slots:
            if slot.process is not None and slot.process.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(slot.process.pid, number)

    def _start_those_due(self) -> None:
        for slot in self._slots:
            if slot.start_at is not None and slot.start_at <= time.monotonic():
                self._start(slot)

    def _start(self, slot: Slot) -> None:
        ours, theirs = self._context.Pipe()
        arguments = (self._plan, slot.index, self._listeners, theirs)
        process = self._context.Process(target=work, args=arguments, name=f"worker {slot.index}")
        slot.ready_at = slot.start_at = slot.failure = None
        try:
            with _environment(self._variables):
                process.start()
        except (EOFError, OSError) as error:
            ours.close()
            self._retry(slot, f"no process for it: {error or type(error).__name__}")
            return
        finally:
            theirs.close()
        slot.process, slot.control = process, ours
        logger.info("worker started", extra={"worker": slot.index, "pid": process.pid})
        if self._kill_at is not None:
            # The signal came while it was being started.
            self._stop()

    def _wait(self, wakeup: socket.socket) -> None:
        """Wait until something has happened, and deal with it."""
        processes = {slot.process.sentinel: slot for slot in self._slots if slot.process is not None}
        controls = {slot.control: slot for slot in self._slots if slot.control is not None}
        happened = connection.wait([*processes, *controls, wakeup], self._patience())
        if wakeup in happened:
            with suppress(BlockingIOError):
                wakeup.recv(4096)
        for each in happened:
            if isinstance(each, Connection) and each in controls:
                self._listen(controls[each])
        for each in happened:
            if isinstance(each, int) and each in processes:
                self._bury(processes[each])
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._kill()

    def _patience(self) -> float | None:
        moments = [slot.start_at for slot in self._slots if slot.start_at is not None]
        if self._kill_at is not None:
            moments.append(self._kill_at)
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _listen(self, slot: Slot) -> None:
        """Take what a worker says; at the end of its pipe, close it."""
        assert slot.control is not None, "a worker without a pipe spoke"
        try:
            said = slot.control.recv()
        except (EOFError, OSError):
            slot.control.close()
            slot.control = None
            return
        if said != READY:
            slot.failure = said
            return
        slot.ready_at = time.monotonic()
        if not self._announced:
            self._announced = True
            self._announce()

    def _bury(self, slot: Slot) -> None:
        """A worker has ended: forget what it held, and start another one, unless that is of no use."""
        assert slot.process is not None, "no worker to bury"
        while slot.control is not None:
            self._listen(slot)
        process, slot.process = slot.process, None
        process.join()
        self._forget(slot.index, process.pid)
        if self._kill_at is not None:
            return
        self._retry(slot, _fate(process.exitcode))

    def _retry(self, slot: Slot, fate: str) -> None:
        """A worker ended like this, or did not come to be: when is the next one started?"""
        ready = 0.0 if slot.ready_at is None else time.monotonic() - slot.ready_at
        slot.ready_at = None
        delay = slot.restarts.delay(ready_seconds=ready)
        extra = {"worker": slot.index, "end": fate, "reason": slot.failure, "again_in_seconds": delay}
        logger.error("a worker has ended", extra=extra)
        served = any(other.ready_at is not None for other in self._slots)
        if slot.failure is not None and not self._announced:
            self._give_up(slot.failure)
        elif slot.restarts.hopeless and not served:
            times = slot.restarts.in_a_row
            self._give_up(
                slot.failure
                or f"worker {slot.index} ended {times} times in a row right after its start ({fate}), and no other "
                "runs; the log says why, or 'streaming-asr serve --workers 1' does"
            )
        else:
            slot.start_at = time.monotonic() + delay

    def _give_up(self, reason: str) -> None:
        self._failure = reason
        self._stop()

    def _forget(self, index: int, pid: int | None) -> None:
        """What a dead worker held is free at once, not only when its lease ends."""
        self._board.put(index, None)
        mark_process_dead(pid, str(self._plan.folder))
        name = self._plan.worker_name(index)
        threading.Thread(target=_forget_in_ledger, args=(self._plan.ledger, name), daemon=True).start()

    def _kill(self) -> None:
        for slot in self._slots:
            if slot.process is not None:
                logger.error("a worker did not end and is killed", extra={"worker": slot.index})
                slot.process.kill()
                self._bury(slot)


@contextmanager
def shared_folder() -> Iterator[Path]:
    """A folder for what the workers share while they run."""
    folder = Path(tempfile.mkdtemp(prefix="streaming-asr-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_ledger(home: str) -> None:
    """Raises MissingExtraError, OptionError if the ledger cannot be used by several workers now."""
    if home == "memory":
        raise OptionError("ledger is 'memory'; workers share no memory: it must be a file, or redis://HOST")

    async def use() -> None:
        ledger = open_ledger(home, worker="")
        try:
            await ledger.add_seconds(0, {"": 0.0})
        finally:
            await ledger.close()

    try:
        asyncio.run(use())
    except LedgerError as error:
        raise OptionError(f"ledger cannot be used: {error}") from error


def _forget_in_ledger(home: str, worker: str) -> None:
    async def forget() -> None:
        ledger = open_ledger(home, worker="")
        try:
            await ledger.forget(worker)
        finally:
            await ledger.close()

    # Without that, its lease ends some seconds later.
    with suppress(LedgerError, OptionError):
        asyncio.run(forget())


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """What a new process finds in its environment beside ours."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def _fate(code: int | None) -> str:
    if code is not None and code < 0:
        with suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"
