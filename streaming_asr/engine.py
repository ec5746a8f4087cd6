"""Many streams, one encoder: one thread gathers the sessions that have a chunk due and steps them in one batch.

While a batch is in the model, audio of other streams arrives and becomes due: the busier it gets, the larger the
batches. Nobody waits for a batch to fill.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, Protocol, TypeAlias

from streaming_asr.errors import StreamClosedError
from streaming_asr.events import Event
from streaming_asr.model import Chunk, EncoderStream
from streaming_asr.session import Session

logger = logging.getLogger(__name__)

_REPLAYS: Final = 2
"""How often an utterance is decoded anew after a fault of the model before the fault is its caller's."""

Work: TypeAlias = Callable[[Session], None]
"""What a job does to its session before the engine drives it: `push`, `finalize`, `finish`, or another change."""


class Steps(Protocol):
    """What the engine needs of an encoder."""

    def step(self, streams: Sequence[EncoderStream]) -> list[Chunk]: ...


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """What an engine has done since it started, for metrics: `largest` is the largest batch so far."""

    steps: int = 0
    chunks: int = 0
    largest: int = 0
    faults: int = 0


@dataclass(slots=True, eq=False)
class _Job:
    session: Session
    work: Work
    answer: Future[list[Event]] = field(default_factory=Future)
    started: bool = False


_Due: TypeAlias = tuple[_Job, Sequence[EncoderStream]]
"""A job with the encoder streams of its session that have a chunk due."""


class Engine:
    """Drives sessions with one encoder on one thread of its own.

    Args:
        encoder: steps many encoder streams in one batch.
        maximum_batch: the most streams in one step.
        maximum_jobs: the most jobs of one session that may wait; one more is refused.

    The thread starts with the first job and ends with `close()`.
    """

    def __init__(self, encoder: Steps, *, maximum_batch: int = 64, maximum_jobs: int = 64) -> None:
        self.load = EngineLoad()
        self._encoder = encoder
        self._maximum_batch = maximum_batch
        self._maximum_jobs = maximum_jobs
        self._jobs: dict[Session, deque[_Job]] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """Jobs that are not done."""
        with self._changed:
            return sum(map(len, self._jobs.values()))

    def submit(self, session: Session, work: Work, *, here: bool = False) -> Future[list[Event]]:
        """Do `work` to a session and drive it until its input is used up; the jobs of one session keep their order.

        With `here`, the calling thread does it up to the first chunk, unless a job of the session waits already: most
        small packets make no chunk due, and waking another thread takes longer than such a packet.

        The future gives the events. It fails with what `work` raised (the session is then as `work` left it), or
        with the fault of the model that replaying could not mend. Cancelling it before it starts drops the job.

        Raises:
            StreamClosedError: the engine was closed.
            RuntimeError: more than `maximum_jobs` jobs of this session wait.
        """
        if not here:
            return self._enqueue(_Job(session, work))
        answer: Future[list[Event]] = Future()
        try:
            begun = self.begin(session, work)
        except Exception as error:  # noqa: BLE001 - as in _advance
            answer.set_exception(error)
            return answer
        if isinstance(begun, Future):
            return begun
        answer.set_result(begun)
        return answer

    def begin(self, session: Session, work: Work) -> list[Event] | Future[list[Event]]:
        """As `submit` with `here`, but where no chunk is due the events come at once, and what `work` raises is raised.

        Most packets are such, and a future costs more than what is done for them.
        """
        # Jobs of one stream come from one thread, so a session of which none waits is touched by nobody else.
        if session in self._jobs or self._closed:
            return self._enqueue(_Job(session, work))
        work(session)
        if not session.advance():
            return session.events()
        job = _Job(session, work, started=True)
        job.answer.set_running_or_notify_cancel()
        return self._enqueue(job)

    def _enqueue(self, job: _Job) -> Future[list[Event]]:
        with self._changed:
            if self._closed:
                raise StreamClosedError("the engine was closed; load a new recognizer")
            jobs = self._jobs.setdefault(job.session, deque())
            if len(jobs) >= self._maximum_jobs:
                raise RuntimeError(f"{len(jobs)} jobs of this stream wait already; wait for their answers first")
            jobs.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="streaming-asr engine", daemon=True)
                self._thread.start()
            self._changed.notify()
        return job.answer

    def close(self) -> None:
        """Refuse new jobs, do those that wait, end the thread. A second call does nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while jobs := self._wait():
            due = [(job, streams) for job in jobs if (streams := self._advance(job))]
            if due:
                self._step(self._fitting(due))

    def _fitting(self, due: list[_Due]) -> list[_Due]:
        """Those that fit in one batch; the first in any case."""
        sizes = accumulate(len(streams) for _, streams in due)
        fitting = sum(size <= self._maximum_batch for size in sizes)
        return due[: max(1, fitting)]

    def _wait(self) -> list[_Job]:
        """The first job of every session, those that were stepped longest ago first; none when the engine ends."""
        with self._changed:
            while not self._jobs and not self._closed:
                self._changed.wait()
            return [jobs[0] for jobs in self._jobs.values()]

    def _advance(self, job: _Job) -> Sequence[EncoderStream]:
        """Drive a job up to its next chunks; none when it is done, failed or dropped."""
        try:
            if not job.started:
                if not job.answer.set_running_or_notify_cancel():
                    self._leave(job)
                    return ()
                job.started = True
                job.work(job.session)
            streams = job.session.advance()
        except Exception as error:  # noqa: BLE001 - the fault of one stream must not end the others: it is its caller's
            self._fail(job, error)
            return ()
        if not streams:
            # Asked for first: behind the last job, a session may be touched by another thread at once.
            events = job.session.events()
            self._leave(job)
            job.answer.set_result(events)
        return streams

    def _step(self, due: Sequence[_Due]) -> None:
        """One chunk for each stream in one batch; if that fails, every session is brought as far on its own."""
        batch = [stream for _, streams in due for stream in streams]
        try:
            chunks = iter(self._encoder.step(batch))
        except Exception as error:  # noqa: BLE001 - told to those streams that fail alone too
            logger.warning("a step of %d streams failed and is replayed: %s", len(batch), error)
            self._count(faults=1)
            for job, streams in due:
                self._recover(job, streams[0].frames, error)
            return
        self._count(steps=1, chunks=len(batch), largest=len(batch))
        for job, streams in due:
            self._take(job, [next(chunks) for _ in streams])
        self._rotate(job.session for job, _ in due)

    def _take(self, job: _Job, chunks: Sequence[Chunk]) -> None:
        try:
            job.session.take(chunks)
        except Exception as error:  # noqa: BLE001 - as in _advance
            self._fail(job, error)

    def _recover(self, job: _Job, reached: int, error: Exception) -> None:
        """Decode a session's utterance anew, alone, beyond the frame that the failed step had reached.

        Anew, because a failed step may leave encoder streams half stepped; alone, because the fault may be another's.
        """
        for _ in range(_REPLAYS):
            try:
                job.session.replay()
                replayed = streams = job.session.advance()
                while streams and streams[0] in replayed and streams[0].frames <= reached:
                    job.session.take(self._encoder.step(streams))
                    streams = job.session.advance()
                return
            except Exception as fault:  # noqa: BLE001 - as in _advance
                error = fault
        self._fail(job, error)

    def _fail(self, job: _Job, error: Exception) -> None:
        self._leave(job)
        job.answer.set_exception(error)

    def _leave(self, job: _Job) -> None:
        with self._changed:
            jobs = self._jobs[job.session]
            jobs.popleft()
            if not jobs:
                del self._jobs[job.session]

    def _rotate(self, sessions: Iterable[Session]) -> None:
        """Put sessions behind all others, so that every session is stepped although batches are full."""
        with self._changed:
            for session in sessions:
                if session in self._jobs:
                    self._jobs[session] = self._jobs.pop(session)

    def _count(self, *, steps: int = 0, chunks: int = 0, largest: int = 0, faults: int = 0) -> None:
        load = self.load
        self.load = EngineLoad(
            load.steps + steps, load.chunks + chunks, max(load.largest, largest), load.faults + faults
        )
