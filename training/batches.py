"""Batches of fixed shapes: utterances are sorted into buckets of length, so that few shapes ever occur."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt

from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from training.augment import AugmentOptions, Surroundings, disturb, normalized, spoken_otherwise
from training.corpus import Corpus, Utterance
from training.model import Shape
from training.phones import Phones
from training.posteriors import Posteriors, spoken_at_another_speed
from training.transcripts import ENGLISH, Spelling, least_frames

_FADE: Final = SAMPLE_RATE // 200


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """Bucket lengths in frames of the model, the audio in one batch in seconds, how many utterances are spliced."""

    frames: tuple[int, ...]
    seconds: float
    splice_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Rows:
    """Targets as ctc_loss takes them: the rows of all utterances one behind the other, how many each one has."""

    rows: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]

    @classmethod
    def join(cls, spelled: Sequence[Sequence[int]]) -> Rows:
        """The rows of some utterances."""
        counts = np.array([len(rows) for rows in spelled], dtype=np.int64)
        return cls(np.array([*chain.from_iterable(spelled)], dtype=np.int64), counts)


@dataclass(frozen=True, slots=True)
class Taught:
    """A teacher's natural logarithms (batch, frames, vocabulary), and for how many frames of each there are any."""

    log_probs: npt.NDArray[np.float16]
    frames: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """Normalized audio (batch, samples), frames of each, what is said in letters and, if they are learnt, in phones.

    `clean` is the same audio before it was disturbed, if there is a teacher that hears it; `taught` is what another one
    said of it before.
    """

    step: int
    audio: npt.NDArray[np.float16]
    frames: npt.NDArray[np.int64]
    letters: Rows
    phones: Rows | None = None
    clean: npt.NDArray[np.float16] | None = None
    taught: Taught | None = None

    @property
    def seconds(self) -> float:
        """Audio in the batch, padding included."""
        return self.audio.size / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Source:
    """A corpus and how much of it passes in one epoch (0.5: a random half, 2: everything twice)."""

    corpus: Corpus
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Take:
    """What one row of a batch plays: an utterance of a source, or words of several of them one behind the other."""

    source: int
    pieces: tuple[Utterance, ...]

    @property
    def samples(self) -> int:
        """Audio before it is augmented."""
        return sum(piece.samples for piece in self.pieces)

    @property
    def transcript(self) -> str:
        """What is said in all of it."""
        return " ".join(piece.transcript for piece in self.pieces)


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
    phones: Phones | None = None
    with_clean: bool = False
    posteriors: Posteriors | None = None
    _plans: dict[int, list[tuple[int, tuple[Take, ...]]]] = field(default_factory=dict)

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

    def _plan(self, epoch: int) -> list[tuple[int, tuple[Take, ...]]]:
        if epoch not in self._plans:
            for old in [old for old in self._plans if old != 0]:
                del self._plans[old]
            plan = list(self._make_plan(epoch))
            wanted = len(self._plans[0]) if epoch else len(plan)
            self._plans[epoch] = (plan * 2)[:wanted]
        return self._plans[epoch]

    def _make_plan(self, epoch: int) -> Iterator[tuple[int, tuple[Take, ...]]]:
        generator = np.random.default_rng((self.seed, 0, epoch))
        drawn = [take for take in self._drawn(generator) if self._fits(take)]
        buckets: list[list[Take]] = [[] for _ in self.options.frames]
        for place in generator.permutation(len(drawn)):
            buckets[self._bucket(drawn[place].samples)].append(drawn[place])
        plan: list[tuple[int, tuple[Take, ...]]] = []
        for bucket, members in enumerate(buckets):
            size = self.batch_size(bucket)
            for start in range(0, len(members), size):
                batch = members[start : start + size]
                missing = size - len(batch)
                plan.append((bucket, tuple(batch + [members[i] for i in generator.integers(0, len(members), missing)])))
        for place in generator.permutation(len(plan)):
            yield plan[place]

    def _drawn(self, generator: np.random.Generator) -> Iterator[Take]:
        for number, source in enumerate(self.sources):
            whole, part = divmod(source.share, 1)
            cuttable = [utterance for utterance in source.corpus.utterances if utterance.cuts]
            for utterance in source.corpus.utterances:
                for _ in range(int(whole) + int(generator.random() < part)):
                    if utterance.cuts and generator.random() < self.options.splice_share:
                        others = (cuttable[place] for place in generator.integers(0, len(cuttable), 2))
                        pieces = (some_words(one, generator) for one in (utterance, *others))
                        yield Take(number, tuple(generator.permutation(np.array([*pieces], dtype=object))))
                    else:
                        yield Take(number, (utterance,))

    def _fits(self, take: Take) -> bool:
        """Short enough for the longest bucket, long enough for its letters, at any speed."""
        frames = self.shape.frames(int(take.samples / max(self.augmentation.speed))) - 1
        needed = least_frames(take.transcript)
        return 0 < needed <= frames and self.shape.frames(take.samples) <= self.options.frames[-1]

    def _bucket(self, samples: int) -> int:
        frames = self.shape.frames(samples)
        return min(int(np.searchsorted(self.options.frames, frames)), len(self.options.frames) - 1)

    def batch_size(self, bucket: int) -> int:
        """Utterances per batch of a bucket."""
        length = self.shape.samples(self.options.frames[bucket]) / SAMPLE_RATE
        return max(round(self.options.seconds / length), 1)

    def _collate(self, step: int, frames: int, members: Sequence[Take], generator: np.random.Generator) -> Batch:
        limit = self.shape.samples(frames)
        audio = np.zeros((len(members), limit), dtype=np.float16)
        clean = np.zeros_like(audio)
        lengths = np.zeros(len(members), dtype=np.int64)
        longer = []
        for row, take in enumerate(members):
            samples, undisturbed = self._augmented(take, limit, generator)
            audio[row, : len(samples)] = samples
            clean[row, : len(samples)] = undisturbed
            lengths[row] = self.shape.frames(len(samples))
            longer.append(len(samples) / take.samples)
        said = [take.transcript for take in members]
        letters = Rows.join([self.spelling.encode(one) for one in said])
        phones = Rows.join([self.phones.encode(one) for one in said]) if self.phones else None
        heard = clean if self.with_clean else None
        return Batch(step, audio, lengths, letters, phones, heard, self._taught(members, frames, lengths, longer))

    def _taught(
        self, members: Sequence[Take], frames: int, lengths: npt.NDArray[np.int64], longer: Sequence[float]
    ) -> Taught | None:
        """What the teacher said of whole recordings, at the speed that they have now; of spliced ones nothing."""
        if self.posteriors is None:
            return None
        taught = Taught(
            np.zeros((len(members), frames, self.posteriors.rows.shape[1]), dtype=np.float16), np.zeros_like(lengths)
        )
        for row, take in enumerate(members):
            found = self.posteriors.of(take.pieces[0].name) if len(take.pieces) == 1 else None
            if found is not None:
                count = int(lengths[row])
                taught.log_probs[row, :count] = spoken_at_another_speed(found, self.shape, longer[row], count)
                taught.frames[row] = count
        return taught

    def _augmented(self, take: Take, limit: int, generator: np.random.Generator) -> tuple[Samples, Samples]:
        """Augmented, and before it was disturbed, both normalized; as it was where another speed makes it too long."""
        corpus = self.sources[take.source].corpus
        original = joined([corpus.samples(piece) for piece in take.pieces])
        clean = spoken_otherwise(original, self.augmentation, generator)
        if len(clean) > limit:
            clean = original[:limit]
        samples = disturb(clean, self.augmentation, self.around, generator)
        level = generator.normal(0.0, self.augmentation.level_db)
        return normalized(samples, float(10 ** (level / 20))), normalized(clean)


def some_words(utterance: Utterance, generator: np.random.Generator) -> Utterance:
    """A third to two thirds of the words of an utterance that has been cut, in a row."""
    count = len(utterance.cuts) + 1
    length = max(round(count * generator.uniform(1 / 3, 2 / 3)), 1)
    first = int(generator.integers(0, count - length + 1))
    return utterance.words(first, first + length)


def joined(pieces: Sequence[Samples]) -> Samples:
    """Pieces equally loud one behind the other, (samples,) each, with short fades so that the joints do not click."""
    if len(pieces) == 1:
        return pieces[0]
    rise = np.linspace(0.0, 1.0, _FADE, dtype=np.float32)
    equal = [0.1 * normalized(piece) for piece in pieces]
    for piece in equal:
        length = min(_FADE, len(piece) // 2)
        piece[:length] *= rise[:length]
        piece[len(piece) - length :] *= rise[:length][::-1]
    return np.concatenate(equal)
