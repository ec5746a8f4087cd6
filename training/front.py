"""The convolutions of a network learn to stand for Whisper's log-mel front: its first state, from undisturbed speech.

Layer norms hide the scale of a state from the layers, but not from the sums behind them, so both are compared: the
state as the first layer reads it, and as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor, nn

from streaming_asr.audio.samples import SAMPLE_RATE
from training.augment import normalized
from training.corpus import Corpus, Utterance
from training.imitation import Imitation
from training.model import StreamingCtc
from training.schedule import Schedule

_WINDOW: Final = 4 * SAMPLE_RATE
_ROWS: Final = 8
_AS_IT_IS: Final = 2.0
"""What the state as it is counts beside the state as it is read."""


def fit_front(
    model: StreamingCtc,
    imitation: Imitation,
    corpus: Corpus,
    schedule: Schedule,
    *,
    peak: float = 1e-3,
) -> float:
    """Trains convolutions and projection as long as the schedule says; gives the share of the state left unexplained.

    The share is of the state as it is, on recordings of the part dev.
    """
    weights = [one for name, one in model.named_parameters() if name.startswith("feature_")]
    optimizer = torch.optim.AdamW(weights, peak, betas=(0.9, 0.98))
    heard, unheard = (_long(corpus, part) for part in ("train", "dev"))
    generator = np.random.default_rng(0)
    step = 0
    while schedule.progress(step) < 1:
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step, peak, warmup=50)
        loss, _ = unexplained(model, imitation, _windows(corpus, heard, generator))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(weights, 5.0)
        optimizer.step()
        step += 1
    with torch.no_grad():
        left = float(
            unexplained(model, imitation, _windows(corpus, unheard, np.random.default_rng(1), rows=4 * _ROWS))[1]
        )
    Console().print(f"convolutions: {step} steps, {100 * left:.0f} % of Whisper's first state unexplained")
    return left


def unexplained(model: StreamingCtc, imitation: Imitation, audio: Tensor) -> tuple[Tensor, Tensor]:
    """The loss for normalized audio (batch, samples), and the unexplained share of the state as it is."""
    frames = model.shape.frames(audio.shape[1])
    with torch.no_grad():
        target, read = imitation.first(audio, frames)
    with torch.autocast("cpu", torch.bfloat16):
        ours = model.feature_projection(model.features(audio)).float()
    share = F.mse_loss(ours, target) / target.var(1).mean()
    as_read = F.mse_loss(imitation.whisper.read_by_next(0, ours), read) / imitation.variances[0]
    return as_read + _AS_IT_IS * share, share.detach()


def _long(corpus: Corpus, part: str) -> list[Utterance]:
    found = [one for one in corpus.part(part).utterances if one.samples > _WINDOW]
    if not found:
        raise ValueError(f"no recording of the part {part} is longer than {_WINDOW / SAMPLE_RATE:g} s")
    return found


def _windows(corpus: Corpus, some: Sequence[Utterance], generator: np.random.Generator, rows: int = _ROWS) -> Tensor:
    found = np.zeros((rows, _WINDOW), dtype=np.float32)
    for row, place in enumerate(generator.integers(0, len(some), rows)):
        samples = normalized(corpus.samples(some[place]))
        begin = int(generator.integers(0, len(samples) - _WINDOW + 1))
        found[row] = samples[begin : begin + _WINDOW]
    return torch.from_numpy(found)
