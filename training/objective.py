"""The loss of one batch: CTC per letter, as full context or as a stream, with what may be added to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.batches import Batch
from training.configuration import ObjectiveOptions, StreamingOptions
from training.masks import Chunking
from training.model import StreamingCtc


@dataclass(frozen=True, slots=True)
class Targets:
    """What a batch should spell: frames (batch,), letters one behind the other, letters of each (batch,)."""

    frames: Tensor
    letters: Tensor
    lengths: Tensor
    blank: int = 0


def choose_chunking(options: StreamingOptions, generator: np.random.Generator) -> Chunking | None:
    """Full context (None) or a random way to stream."""
    if generator.random() >= options.share:
        return None
    weights = np.array([weight for _, _, weight in options.contexts], dtype=np.float64)
    chunk, lookahead, _ = options.contexts[generator.choice(len(weights), p=weights / weights.sum())]
    left = int(generator.choice(options.lefts))
    return Chunking(chunk, lookahead, None if left < 0 else left, int(generator.choice(options.sinks)))


def mask_features(features: Tensor, options: ObjectiveOptions, generator: np.random.Generator) -> Tensor:
    """SpecAugment (Park et al. 2019) on the convolution output, (batch, frames, channels) -> the same."""
    batch, frames, channels = features.shape
    times = _spans(batch, frames, options.time_masks, options.time_width, generator)
    bands = _spans(batch, channels, options.feature_masks, options.feature_width, generator)
    return features * torch.from_numpy(times[:, :, None] & bands[:, None, :]).to(features)


def _spans(batch: int, length: int, count: int, width: int, generator: np.random.Generator) -> np.ndarray:  # type: ignore[type-arg]
    kept = np.ones((batch, length), dtype=np.bool_)
    places = np.arange(length)
    for _ in range(count):
        widths = generator.integers(0, min(width, length // 4) + 1, (batch, 1))
        starts = (generator.random((batch, 1)) * (length - widths + 1)).astype(np.int64)
        kept &= (places < starts) | (places >= starts + widths)
    return kept


def targets_of(batch: Batch, device: torch.device, blank: int = 0) -> Targets:
    """The spelled side of a batch as tensors."""
    frames, letters, lengths = (
        torch.from_numpy(array).to(device) for array in (batch.frames, batch.targets, batch.letters)
    )
    return Targets(frames, letters, lengths, blank)


def ctc(log_probs: Tensor, targets: Targets) -> Tensor:
    """The CTC loss per letter of (batch, frames, vocabulary) natural logarithms, a scalar."""
    summed = F.ctc_loss(
        log_probs.transpose(0, 1),
        targets.letters,
        targets.frames,
        targets.lengths,
        blank=targets.blank,
        reduction="sum",
        zero_infinity=True,
    )
    return summed / targets.lengths.sum()


def divergence(log_probs: Tensor, teacher: Tensor, frames: Tensor) -> Tensor:
    """KL(teacher, student) per real frame of (batch, frames, vocabulary) natural logarithms, a scalar."""
    inside = torch.arange(log_probs.shape[1], device=frames.device) < frames[:, None]
    each = F.kl_div(log_probs, teacher, reduction="none", log_target=True).sum(-1)
    return (each * inside).sum() / inside.sum()


def loss_of(
    model: StreamingCtc,
    audio: Tensor,
    targets: Targets,
    chunking: Chunking | None,
    streaming: StreamingOptions,
    options: ObjectiveOptions,
    generator: np.random.Generator,
) -> tuple[Tensor, float]:
    """The loss to follow and the plain CTC loss per letter of the last layer."""
    features = model.features(audio)
    masked = mask_features(features, options, generator)
    taps = (options.intermediate_layer,) if options.intermediate_weight else ()
    outputs = [_log(logits) for logits in model.transform(masked, targets.frames, chunking, taps)]
    plain = ctc(outputs[-1], targets)
    loss = plain
    if taps:
        loss = loss + options.intermediate_weight * ctc(outputs[0], targets)
    if options.consistency:
        loss = loss + _consistency(model, features, outputs[-1], targets, chunking, options, generator)
    if chunking is not None and streaming.distillation:
        with torch.no_grad():
            teacher = _log(model.transform(masked, targets.frames)[-1])
        loss = loss + streaming.distillation * divergence(outputs[-1], teacher, targets.frames)
    return loss, float(plain.detach())


def _consistency(
    model: StreamingCtc,
    features: Tensor,
    log_probs: Tensor,
    targets: Targets,
    chunking: Chunking | None,
    options: ObjectiveOptions,
    generator: np.random.Generator,
) -> Tensor:
    """CR-CTC (Yao et al. 2024): a second masked view, its CTC loss and the divergence both ways."""
    other = _log(model.transform(mask_features(features, options, generator), targets.frames, chunking)[-1])
    both_ways = divergence(log_probs, other.detach(), targets.frames) + divergence(
        other, log_probs.detach(), targets.frames
    )
    return ctc(other, targets) + options.consistency * both_ways


def _log(logits: Tensor) -> Tensor:
    return F.log_softmax(logits.float(), dim=-1)
