"""Dense targets: the states of Whisper's layers, which a network with the same layers but without positions imitates.

What a state says of the position alone, its mean over many recordings, is taken out of the targets, for the network
has no absolute positions. States are compared as the layer above reads them, behind its norm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from streaming_asr.audio.samples import SAMPLE_RATE
from training.augment import normalized
from training.corpus import Corpus
from training.model import Shape
from training.whisper import HOP, WhisperEncoder, download

LEVEL: Final = 0.08
"""Whisper hears normalized audio at this root mean square; its spectrum is not scaled to unit variance."""
_WINDOW: Final = 16 * SAMPLE_RATE
_MEANS: Final = "whisper-means.pt"


@dataclass(frozen=True, slots=True)
class Imitation:
    """A frozen teacher and what is usual in its states: means by position (frames, width) and variances, per state."""

    whisper: WhisperEncoder
    means: tuple[Tensor, ...]
    variances: tuple[float, ...]
    offset: int
    every: int

    @classmethod
    def prepare(cls, folder: Path, shape: Shape, corpus: Corpus, cache: Path) -> Imitation:
        """Reads (first downloads) the teacher; its means are measured once, on windows of a corpus."""
        whisper = WhisperEncoder.read(download(folder))
        offset, every = frames_of(shape)
        if not (cache / _MEANS).exists():
            torch.save(measured(whisper, corpus, offset, every), cache / _MEANS)
        means, variances = torch.load(cache / _MEANS, weights_only=True)
        return cls(whisper, tuple(means), tuple(variances), offset, every)

    def targets(self, clean: Tensor, frames: int) -> list[Tensor]:
        """What each state should be, (batch, frames, width) each, for normalized audio (batch, samples)."""
        with torch.no_grad():
            states = self.whisper.states(LEVEL * clean, self.offset, self.every)
        places = torch.arange(frames)
        return [
            self.whisper.read_by_next(number, state[:, :frames] - mean[places.clamp(max=len(mean) - 1)] + mean.mean(0))
            for number, (state, mean) in enumerate(zip(states, self.means, strict=True))
        ]

    def first(self, clean: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """What the state before the first layer should be, as it is and as that layer reads it, for the same audio."""
        with torch.no_grad():
            state = self.whisper.first(LEVEL * clean)[:, self.offset :: self.every][:, :frames]
        mean = self.means[0]
        state = state - mean[torch.arange(frames).clamp(max=len(mean) - 1)] + mean.mean(0)
        return state, self.whisper.read_by_next(0, state)

    def loss(self, states: Sequence[Tensor], targets: Sequence[Tensor], lengths: Tensor) -> Tensor:
        """The unexplained share of the targets' variance, the mean over the states and all real frames, a scalar."""
        inside = (torch.arange(states[0].shape[1], device=lengths.device) < lengths[:, None])[:, :, None]
        shares = [
            ((self.whisper.read_by_next(number, state) - target).square() * inside).sum() / (variance * target.shape[2])
            for number, (state, target, variance) in enumerate(zip(states, targets, self.variances, strict=True))
        ]
        return torch.stack(shares).sum() / (len(shares) * lengths.sum())


def frames_of(shape: Shape) -> tuple[int, int]:
    """Which frame of the teacher stands for the first one of a network, and how many of its frames make one."""
    stride = int(np.prod(shape.conv_stride))
    if stride % HOP:
        raise ValueError(f"frames of {stride} samples are no multiple of Whisper's {HOP}")
    return round(shape.samples(1) / 2 / HOP), stride // HOP


def measured(
    whisper: WhisperEncoder, corpus: Corpus, offset: int, every: int, windows: int = 96, rows: int = 8
) -> tuple[list[Tensor], list[float]]:
    """The mean of each state by position, (frames, width), and its variance around that, over windows of speech.

    The windows come from all audio of the corpus, whatever its part: nothing but these means is taken from it.
    """
    generator = np.random.default_rng(0)
    sums = [torch.zeros(1)] * (whisper.layers + 1)
    spreads = [0.0] * (whisper.layers + 1)
    for _ in range(windows // rows):
        starts = generator.integers(0, len(corpus.audio) - _WINDOW, rows)
        audio = np.stack([normalized(corpus.audio[start : start + _WINDOW].astype(np.float32)) for start in starts])
        with torch.no_grad():
            states = whisper.states(LEVEL * torch.from_numpy(audio), offset, every)
        read = [whisper.read_by_next(number, state) for number, state in enumerate(states)]
        sums = [old + state.sum(0) for state, old in zip(states, sums, strict=True)]
        spreads = [old + float(one.var(0).mean()) for one, old in zip(read, spreads, strict=True)]
    batches = windows // rows
    return [one / (batches * rows) for one in sums], [one / batches for one in spreads]
