"""The loss of one batch: CTC per letter, as full context or as a stream, with what may be added to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from streaming_asr.model import Context
from training.batches import Rows
from training.configuration import ObjectiveOptions, StreamingOptions
from training.imitation import Imitation
from training.model import StreamingCtc


@dataclass(frozen=True, slots=True)
class Targets:
    """What a batch should say: rows of the head one behind the other, how many each utterance has (batch,)."""

    rows: Tensor
    counts: Tensor
    blank: int = 0

    @classmethod
    def of(cls, rows: Rows, device: torch.device, blank: int = 0) -> Targets:
        """The rows of a batch on a device."""
        return cls(torch.from_numpy(rows.rows).to(device), torch.from_numpy(rows.counts).to(device), blank)


def choose_context(options: StreamingOptions, generator: np.random.Generator) -> Context | None:
    """Full context (None) or a random way to stream."""
    if generator.random() >= options.share:
        return None
    weights = np.array([weight for _, _, weight in options.contexts], dtype=np.float64)
    chunk, lookahead, _ = options.contexts[generator.choice(len(weights), p=weights / weights.sum())]
    left = int(generator.choice(options.lefts))
    return Context(chunk, lookahead, None if left < 0 else left, int(generator.choice(options.sinks)))


def mask_features(features: Tensor, options: ObjectiveOptions, generator: np.random.Generator) -> Tensor:
    """SpecAugment (Park et al. 2019) on the convolution output, (batch, frames, channels) -> the same."""
    batch, frames, channels = features.shape
    time_masks = round(options.time_masks * frames / 100)
    times = _spans(batch, frames, time_masks, options.time_width, generator)
    bands = _spans(batch, channels, options.feature_masks, options.feature_width, generator)
    return features * torch.from_numpy(times[:, :, None] & bands[:, None, :]).to(features)


def _spans(batch: int, length: int, count: int, width: int, generator: np.random.Generator) -> np.ndarray:
    kept = np.ones((batch, length), dtype=np.bool_)
    places = np.arange(length)
    for _ in range(count):
        widths = generator.integers(0, min(width, length // 4) + 1, (batch, 1))
        starts = (generator.random((batch, 1)) * (length - widths + 1)).astype(np.int64)
        kept &= (places < starts) | (places >= starts + widths)
    return kept


def ctc(log_probs: Tensor, frames: Tensor, targets: Targets) -> Tensor:
    """The CTC loss per letter of (batch, frames, vocabulary) natural logarithms, a scalar."""
    summed = F.ctc_loss(
        log_probs.transpose(0, 1),
        targets.rows,
        frames,
        targets.counts,
        blank=targets.blank,
        reduction="sum",
        zero_infinity=True,
    )
    return summed / targets.counts.sum()


def divergence(log_probs: Tensor, teacher: Tensor, frames: Tensor) -> Tensor:
    """KL(teacher, student) per real frame of (batch, frames, vocabulary) natural logarithms, a scalar."""
    inside = torch.arange(log_probs.shape[1], device=frames.device) < frames[:, None]
    each = F.kl_div(log_probs, teacher, reduction="none", log_target=True).sum(-1)
    return (each * inside).sum() / inside.sum().clamp(min=1)


def imitation_of(
    model: StreamingCtc,
    imitation: Imitation,
    audio: Tensor,
    clean: Tensor,
    frames: Tensor,
    letters: Targets,
    context: Context | None,
    options: ObjectiveOptions,
    generator: np.random.Generator,
    *,
    weight: float,
    head_alone: bool,
    teach: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, float, float]:
    """The loss to follow, the plain CTC loss per letter, and the unexplained share of the teacher's states.

    `teach` is that of `loss_of`.
    """
    masked = mask_features(model.features(audio), options, generator)
    depth, taught = model.shape.num_hidden_layers, imitation.whisper.layers
    taps = (*range(taught + 1), depth)
    *states, last = model.states(masked, frames, context, taps, held=taught if head_alone else -1)
    unexplained = imitation.loss(states, imitation.targets(clean, masked.shape[1]), frames)
    heard = model.encoder.normed(last.detach() if head_alone and depth == taught else last)
    log_probs = _log(model.lm_head(heard))
    plain = ctc(log_probs, frames, letters)
    loss = plain + weight * unexplained + (teach(log_probs) if teach else 0.0)
    return loss, float(plain.detach()), float(unexplained.detach())


def loss_of(
    model: StreamingCtc,
    audio: Tensor,
    frames: Tensor,
    letters: Targets,
    phones: Targets | None,
    context: Context | None,
    streaming: StreamingOptions,
    options: ObjectiveOptions,
    generator: np.random.Generator,
    teach: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, float]:
    """The loss to follow and the plain CTC loss per letter of the last layer.

    Layers in between are asked for the phones if there are any, for the letters if not. `teach` gives another loss for
    the natural logarithms of the last layer, (batch, frames, vocabulary).
    """
    features = model.features(audio)
    masked = mask_features(features, options, generator)
    taps = (options.intermediate_layer,) if options.intermediate_weight else ()
    depth = model.shape.num_hidden_layers
    skipped = [count for count in range(1, depth + 1) if generator.random() < options.layer_drop]
    outputs = [_log(logits) for logits in model.transform(masked, frames, context, taps, skipped)]
    plain = ctc(outputs[-1], frames, letters)
    loss = plain + (teach(outputs[-1]) if teach else 0.0)
    if taps:
        loss = loss + options.intermediate_weight * ctc(outputs[0], frames, phones or letters)
    if options.consistency:
        loss = loss + _consistency(model, features, outputs[-1], frames, letters, context, options, generator)
    if context is not None and streaming.distillation:
        with torch.no_grad():
            teacher = _log(model.transform(masked, frames)[-1])
        loss = loss + streaming.distillation * divergence(outputs[-1], teacher, frames)
    return loss, float(plain.detach())


def _consistency(
    model: StreamingCtc,
    features: Tensor,
    log_probs: Tensor,
    frames: Tensor,
    letters: Targets,
    context: Context | None,
    options: ObjectiveOptions,
    generator: np.random.Generator,
) -> Tensor:
    """CR-CTC (Yao et al. 2024): a second masked view, its CTC loss and the divergence both ways."""
    other = _log(model.transform(mask_features(features, options, generator), frames, context)[-1])
    both_ways = divergence(log_probs, other.detach(), frames) + divergence(other, log_probs.detach(), frames)
    return ctc(other, frames, letters) + options.consistency * both_ways


def _log(logits: Tensor) -> Tensor:
    return F.log_softmax(logits.float(), dim=-1)
