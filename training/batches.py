"""Batches of fixed shapes: utterances are sorted into buckets of length, so that few shapes ever occur."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise

import numpy as np
import numpy.typing as npt

from streaming_asr.audio import SAMPLE_RATE, Samples
from training.augment import AugmentOptions, Surroundings, augment, normalized
from training.corpus import Corpus, Utterance
from training.model import Shape
from training.transcripts import ENGLISH, Spelling


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """Bucket lengths in frames of the model and the audio in one batch in seconds."""

    frames: tuple[int, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Batch:
    """Normalized audio (batch, samples), frames of each, spelled targets one behind the other, letters of each."""

    step: int
    audio: npt.NDArray[np.float16]
    frames: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    letters: npt.NDArray[np.int64]

    @property
    def seconds(self) -> float:
        """Audio in the batch, padding included."""
        return self.audio.size / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Source:
    """A corpus and how much of it passes in one epoch (0.5: a random half, 2: everything twice)."""

    corpus: Corpus
    share: float = 1.0


@dataclass(frozen=True)
class BatchMaker:
    """Makes the batch of any step from the seed and the number of the step alone, so that a run can be resumed."""

    sources: Sequence[Source]
    shape: Shape
    options: BatchOptions
    augmentation: AugmentOptions
    around: Surroundings
    seed: int
    spelling: Spelling = ENGLISH
    _plans: dict[int, list[tuple[int, tuple[tuple[int, Utterance], ...]]]] = field(default_factory=dict)

    def batch(self, step: int) -> Batch:
        """The batch of a step."""
        epoch, index = divmod(step, self.epoch_length)
        bucket, members = self._plan(epoch)[index]
        generator = np.random.default_rng((self.seed, 1, step))
        return self._collate(step, self.options.frames[bucket], members, generator)

    @property
    def epoch_length(self) -> int:
        """Batches in one epoch; later epochs are cut or repeated to the length of the first."""
        return len(self._plan(0))

    def _plan(self, epoch: int) -> list[tuple[int, tuple[tuple[int, Utterance], ...]]]:
        if epoch not in self._plans:
            for old in [old for old in self._plans if old != 0]:
                del self._plans[old]
            plan = list(self._make_plan(epoch))
            wanted = len(self._plans[0]) if epoch else len(plan)
            self._plans[epoch] = (plan * 2)[:wanted]
        return self._plans[epoch]

    def _make_plan(self, epoch: int) -> Iterator[tuple[int, tuple[tuple[int, Utterance], ...]]]:
        generator = np.random.default_rng((self.seed, 0, epoch))
        drawn = [pair for pair in self._drawn(generator) if self._fits(pair[1])]
        buckets: list[list[tuple[int, Utterance]]] = [[] for _ in self.options.frames]
        for place in generator.permutation(len(drawn)):
            buckets[self._bucket(drawn[place][1].samples)].append(drawn[place])
        plan: list[tuple[int, tuple[tuple[int, Utterance], ...]]] = []
        for bucket, members in enumerate(buckets):
            size = self.batch_size(bucket)
            for start in range(0, len(members), size):
                batch = members[start : start + size]
                missing = size - len(batch)
                plan.append((bucket, tuple(batch + [members[i] for i in generator.integers(0, len(members), missing)])))
        for place in generator.permutation(len(plan)):
            yield plan[place]

    def _drawn(self, generator: np.random.Generator) -> Iterator[tuple[int, Utterance]]:
        for number, source in enumerate(self.sources):
            whole, part = divmod(source.share, 1)
            for utterance in source.corpus.utterances:
                for _ in range(int(whole) + int(generator.random() < part)):
                    yield number, utterance

    def _fits(self, utterance: Utterance) -> bool:
        """Short enough for the longest bucket, long enough for its letters, at any speed."""
        frames = self.shape.frames(int(utterance.samples / max(self.augmentation.speed))) - 1
        text = utterance.transcript
        needed = len(text) + sum(one == other for one, other in pairwise(text))
        return 0 < needed <= frames and self.shape.frames(utterance.samples) <= self.options.frames[-1]

    def _bucket(self, samples: int) -> int:
        frames = self.shape.frames(samples)
        return min(int(np.searchsorted(self.options.frames, frames)), len(self.options.frames) - 1)

    def batch_size(self, bucket: int) -> int:
        """Utterances per batch of a bucket."""
        length = self.shape.samples(self.options.frames[bucket]) / SAMPLE_RATE
        return max(round(self.options.seconds / length), 1)

    def _collate(
        self, step: int, frames: int, members: Sequence[tuple[int, Utterance]], generator: np.random.Generator
    ) -> Batch:
        limit = self.shape.samples(frames)
        audio = np.zeros((len(members), limit), dtype=np.float16)
        lengths = np.zeros(len(members), dtype=np.int64)
        for row, (number, utterance) in enumerate(members):
            samples = self._augmented(self.sources[number].corpus, utterance, limit, generator)
            audio[row, : len(samples)] = samples
            lengths[row] = self.shape.frames(len(samples))
        spelled = [self.spelling.encode(utterance.transcript) for _, utterance in members]
        letters = np.array([len(rows) for rows in spelled], dtype=np.int64)
        return Batch(step, audio, lengths, np.array([*chain.from_iterable(spelled)], dtype=np.int64), letters)

    def _augmented(self, corpus: Corpus, utterance: Utterance, limit: int, generator: np.random.Generator) -> Samples:
        """Augmented, within the bucket, normalized; a version that became too long is made at most that long."""
        original = corpus.samples(utterance)
        samples = augment(original, self.augmentation, self.around, generator)
        if len(samples) > limit:
            samples = original[:limit]
        level = generator.normal(0.0, self.augmentation.level_db)
        return normalized(samples, float(10 ** (level / 20)))
