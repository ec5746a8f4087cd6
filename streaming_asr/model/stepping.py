"""One step of many streams as one batch: front end, position embedding, transformer, each over all streams at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F

from streaming_asr.model.attention import AttentionView
from streaming_asr.model.cache import CacheLayout, StreamCache, additive
from streaming_asr.model.context import Context
from streaming_asr.model.features import Carries, FeatureEncoder
from streaming_asr.model.language import batch_languages
from streaming_asr.model.stream import EncoderStream, Job
from streaming_asr.model.transformer import Transformer

PADDING_MULTIPLE: Final = 16
"""Short chunks are padded to a multiple of this: each new shape costs a matrix library preparations of its own."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One stream in a batch; `row` is its row of the batch's cache."""

    stream: EncoderStream
    job: Job
    row: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Streams of one context at their next steps; those at their first step come last in `entries`.

    Rows are the frames of the chunk and its lookahead. Streams with fewer frames are padded, and masks hide the padding
    from all others. Without a cache every stream is at its first and last step.
    """

    context: Context
    entries: Sequence[Entry]
    cache: StreamCache | None

    @property
    def height(self) -> int:
        """Rows computed for each stream."""
        most = max(entry.job.count for entry in self.entries)
        if most > self.context.chunk:
            return self.context.rows
        return min(self.context.chunk, -(-most // PADDING_MULTIPLE) * PADDING_MULTIPLE)

    def run(self, features: FeatureEncoder, transformer: Transformer) -> torch.Tensor:
        """Score the labels: (batch, rows, labels). The cache is updated in place."""
        reach = transformer.positional.reach
        continued = [entry for entry in self.entries if entry.job.step > 0]
        started = self.entries[len(continued) :]
        parts = [self._continued(features, continued)] if continued else []
        parts += [self._started(features, started, reach)] if started else []
        frames = torch.cat(parts) if len(parts) > 1 else parts[0]
        if self.cache is not None and self.height == self.context.rows:
            self.cache.frames[self._rows(self.entries)] = frames[:, self.context.chunk :]
        view = self._view(frames, distances=transformer.distances is not None)
        rings = None if self.cache is None else self.cache.rings
        languages = batch_languages([entry.stream.language for entry in self.entries])
        return transformer(frames, languages, self._valid(reach, frames.device), view, rings)

    def _started(self, features: FeatureEncoder, entries: Sequence[Entry], reach: int) -> torch.Tensor:
        """The frames of streams at their first step, behind zeros: (streams, reach + height, width)."""
        frames = self._features(features, entries, 0, self.height, None)
        return F.pad(frames, (0, 0, reach, 0))

    def _continued(self, features: FeatureEncoder, entries: Sequence[Entry]) -> torch.Tensor:
        """The frames of streams at later steps, behind the cached ones: (streams, reach + height, width)."""
        assert self.cache is not None
        rows = self._rows(entries)
        cached = self.cache.frames[rows]
        new = self.height - self.context.lookahead
        if new <= 0:
            return cached[:, : cached.shape[1] + new]
        carries = tuple(carry[rows] for carry in self.cache.carries)
        return torch.cat((cached, self._features(features, entries, self.context.lookahead, new, carries)), dim=1)

    def _features(
        self, features: FeatureEncoder, entries: Sequence[Entry], ahead: int, new: int, carries: Carries | None
    ) -> torch.Tensor:
        """`new` frames of each stream, `ahead` frames behind the start of its chunk: (streams, new, width)."""
        config = features.config
        starts = [entry.job.step * self.context.chunk + ahead for entry in entries]
        length = config.samples(starts[0] + new) - config.needed_from(starts[0])
        samples = np.zeros((len(entries), length), entries[0].stream.dtype)
        for line, entry, start in zip(samples, entries, starts, strict=True):
            first = config.needed_from(start)
            found = entry.stream.samples(first, first + length)
            line[: len(found)] = found
        statistics = [entry.job.statistics for entry in entries]
        tensor = torch.from_numpy(samples).to(features.device)
        frames, after = features.run(tensor, statistics, starts[0], new, carries)
        if self.cache is not None:
            for kept, carry in zip(self.cache.carries, after, strict=True):
                kept[self._rows(entries)] = carry
        return frames

    def _rows(self, entries: Sequence[Entry]) -> torch.Tensor:
        assert self.cache is not None
        return torch.tensor([entry.row for entry in entries], device=self.cache.frames.device)

    def _valid(self, reach: int, device: torch.device) -> torch.Tensor | None:
        """Where the frames of the batch are real: (batch, reach + height), None if all are."""
        first = torch.tensor([entry.job.step * self.context.chunk for entry in self.entries])[:, None]
        count = torch.tensor([entry.job.count for entry in self.entries])[:, None]
        frame = torch.arange(-reach, self.height)
        valid = (frame + first >= 0) & (frame < count)
        return None if bool(valid.all()) else valid.to(device)

    def _view(self, frames: torch.Tensor, distances: bool) -> AttentionView | None:
        counts = [entry.job.count for entry in self.entries]
        if self.cache is not None:
            rows, steps = [entry.row for entry in self.entries], [entry.job.step for entry in self.entries]
            return self.cache.view(rows, steps, counts, self.height, distances)
        counted = torch.arange(self.height) < torch.tensor(counts)[:, None]
        return AttentionView(additive(counted, frames.dtype, frames.device))


Group: TypeAlias = tuple[Context, CacheLayout | None]
"""What the streams of one batch have in common; no layout means that this is their first and last step."""


def grouped(streams: Sequence[EncoderStream]) -> dict[Group, list[tuple[int, Job]]]:
    """Which streams can be one batch: their numbers and jobs, those at their first step last."""
    groups: dict[Group, list[tuple[int, Job]]] = {}
    for number, stream in enumerate(streams):
        job = stream.job()
        layout = None if job.last and job.step == 0 else CacheLayout.of(stream.context, job.step)
        groups.setdefault((stream.context, layout), []).append((number, job))
    return {group: sorted(members, key=lambda member: member[1].step == 0) for group, members in groups.items()}
