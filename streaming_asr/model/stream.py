"""Streams of audio through the encoder: what they have received, where they stand, and when a step is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from streaming_asr.audio.samples import FloatArray
from streaming_asr.errors import AudioError, StreamClosedError
from streaming_asr.model.cache import CacheRow
from streaming_asr.model.context import Context
from streaming_asr.model.features import FeatureEncoder
from streaming_asr.model.language import LanguageLayers
from streaming_asr.model.normalization import Normalization, Statistics, updated
from streaming_asr.model.sample_queue import SampleQueue


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one step says: scores of the labels before softmax, on the device of the encoder."""

    logits: torch.Tensor
    """(frames, labels): the frames of the chunk, for good."""
    lookahead: torch.Tensor
    """(frames, labels): the frames behind it, which the next step computes again with more context."""


@dataclass(frozen=True, slots=True)
class Job:
    """What one stream brings to its next step."""

    step: int
    count: int
    """Real frames among the chunk and its lookahead."""
    last: bool
    """Nothing follows: the input is closed, and this is its last chunk."""
    statistics: Statistics


class StreamEncoder(Protocol):
    """What a stream needs of the encoder that it belongs to."""

    @property
    def features(self) -> FeatureEncoder: ...
    @property
    def dtype(self) -> torch.dtype: ...
    @property
    def empty(self) -> torch.Tensor: ...
    def step(self, streams: Sequence[EncoderStream]) -> list[Chunk]: ...


class EncoderStream:
    """Audio in, and frames out as soon as a chunk and its lookahead are there.

    The same two verbs as every streaming machine here: `push(samples)` and `finish()`. An engine that steps many
    streams at once uses `feed`, `close`, `due` and `Encoder.step` instead. Not to be used by two threads at a time.

    Every frame is computed once, and as lookahead once more per step. What the stream emits equals one masked offline
    pass; with the whole input as its context it equals the offline encoder.
    """

    def __init__(
        self, encoder: StreamEncoder, context: Context, normalization: Normalization, language: LanguageLayers
    ) -> None:
        self.context = context
        self.language = language
        self.closed = False
        self.frames = 0
        """Frames emitted so far."""
        self.dtype = np.dtype(np.float64 if encoder.dtype == torch.float64 else np.float32)
        self.cache_row: CacheRow | None = None
        """This stream's row of the encoder's cache, once it has been stepped."""
        self._encoder = encoder
        self._config = encoder.features.config
        self._normalization = normalization
        self._statistics: Statistics | None = None
        self._queue = SampleQueue(self.dtype)
        self._step = 0
        self._due_at = self._samples_due()

    @property
    def received(self) -> int:
        """Samples fed so far."""
        return self._queue.stop

    @property
    def held(self) -> int:
        """Samples of those that later steps still need."""
        return self._queue.stop - self._queue.start

    @property
    def due(self) -> bool:
        """A step would give frames now."""
        return self.missing <= 0

    @property
    def missing(self) -> int:
        """Samples that must come before a step is due; none or less if one is."""
        return self._due_at - self._queue.stop

    @property
    def done(self) -> bool:
        """The input is closed and all its frames are emitted."""
        return self.closed and not self.due

    def feed(self, samples: FloatArray) -> None:
        """Take samples (samples,) without computing anything.

        Raises AudioError if they are not one-dimensional and finite, StreamClosedError after `close`.
        """
        if self.closed:
            raise StreamClosedError("samples came after the stream was closed; open another stream for them")
        samples = np.asarray(samples)
        if samples.ndim != 1:
            raise AudioError(f"samples have shape {samples.shape}, they have to be (samples,)")
        if not np.isfinite(samples).all():
            raise AudioError("samples contain NaN or infinity, they have to be finite")
        self._queue.append(samples)

    def close(self) -> None:
        """Say that no more samples come: what is left becomes due. A second time does nothing."""
        self.closed = True
        self._due_at = self._samples_due()
        self._release_if_done()

    def push(self, samples: FloatArray) -> torch.Tensor:
        """Feed samples (samples,) and compute what is due: (frames, labels), often of no frames."""
        self.feed(samples)
        return self._drain()

    def finish(self) -> torch.Tensor:
        """Close the stream and compute the rest: (frames, labels)."""
        self.close()
        return self._drain()

    def job(self) -> Job:
        """What the next step will compute; only for the encoder, and only while a step is due."""
        available = self._config.frames(self.received)
        count = min(available - self._step * self.context.chunk, self.context.rows)
        last = self.closed and available <= (self._step + 1) * self.context.chunk
        return Job(self._step, count, last, self._measured(self._step * self.context.chunk + count))

    def samples(self, start: int, stop: int) -> FloatArray:
        """Samples [start, stop) of the stream, as far as they have come; only for the encoder."""
        return self._queue.read(start, stop)

    def advance(self, job: Job) -> None:
        """Note that a step has been computed; only for the encoder."""
        visible = job.step * self.context.chunk + job.count
        self._step += 1
        self._due_at = self._samples_due()
        self._statistics = job.statistics
        self.frames += min(job.count, self.context.chunk)
        self._queue.discard(min(self._config.needed_from(visible), job.statistics.measured))
        self._release_if_done()

    def _samples_due(self) -> int:
        """The samples from the start of the stream that make the next step due."""
        wanted = self._step * self.context.chunk + 1 if self.closed else self.context.visible(self._step)
        return self._config.samples(wanted)

    def _drain(self) -> torch.Tensor:
        chunks = []
        while self.due:
            chunks.append(self._encoder.step([self])[0].logits)
        return torch.cat(chunks) if chunks else self._encoder.empty.new_empty(0, len(self.language.labels))

    def _measured(self, visible: int) -> Statistics:
        """The statistics with which the first `visible` frames are computed, as far as they are new.

        A step that sees all that its context allows measures the samples that its frames are made of. One that sees
        less, which only the end of the input can bring about, measures all that is left, as the offline model does.
        """
        before = self._statistics
        measured = 0 if before is None else before.measured
        if before is not None and self._config.samples(visible) <= measured:
            return before
        stop = self._config.samples(visible) if visible == self.context.visible(self._step) else self.received
        origin = min(measured, self._config.needed_after(measured))
        new = self._encoder.features.measure(self._queue.read(origin, stop), measured, stop, origin)
        return updated(before, new, self._normalization)

    def _release_if_done(self) -> None:
        if self.done and self.cache_row is not None:
            self.cache_row.release()
            self.cache_row = None
