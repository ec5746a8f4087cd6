"""What of a network belongs to one language: an adapter behind every layer (MMS), and the head that scores its labels.

Streams of different languages share every other operation. Where a batch holds several languages, the adapters and
heads of its rows are gathered and applied in one batched matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import torch
import torch.nn.functional as F

from streaming_asr.checkpoints.config import Config
from streaming_asr.model.parameters import FloatLinear, LayerNorm, Weights

ADAPTER_EPSILON: Final = 1e-5


class BatchLanguages(Protocol):
    """The languages of the rows of one batch."""

    def adapt(self, layer: int, rows: torch.Tensor) -> torch.Tensor:
        """Apply the adapters of one layer: (batch, rows, width) -> (batch, rows, width)."""

    def score(self, rows: torch.Tensor) -> torch.Tensor:
        """Apply the heads: (batch, rows, width) -> (batch, rows, labels), with as many labels as the longest has."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """The small language-specific layer of MMS (Pratap et al. 2023, section 4.1), in floating point."""

    norm: LayerNorm
    narrow: FloatLinear
    widen: FloatLinear

    @classmethod
    def build(cls, config: Config, width: int, weights: Weights) -> Adapter:
        """Take the adapter of one layer out of the weights of a language ("encoder.layers.N.adapter_layer")."""
        first, second = weights["linear_1"], weights["linear_2"]
        return cls(
            norm=weights.norm("norm", config.width, ADAPTER_EPSILON),
            narrow=FloatLinear(first.tensor("weight", width, config.width), first.tensor("bias", width)),
            widen=FloatLinear(second.tensor("weight", config.width, width), second.tensor("bias", config.width)),
        )

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """(..., width) -> (..., width)."""
        return rows + self.widen(F.relu(self.narrow(self.norm(rows))))


@dataclass(frozen=True, slots=True, eq=False)
class LanguageLayers:
    """One language of a network; batches whose rows are all of it use it as it is."""

    labels: tuple[str, ...]
    """One per column of the scores; blank is "", the word delimiter is " "."""
    blank: int
    adapters: tuple[Adapter, ...]
    """One per layer; none where the network has no adapters."""
    head: FloatLinear

    @classmethod
    def build(cls, config: Config, labels: tuple[str, ...], blank: int, weights: Weights) -> LanguageLayers:
        """Take what belongs to a language out of its weights. Raises CheckpointError if a part is missing."""
        layers, head = weights["encoder"]["layers"], weights["lm_head"]
        width, adapted = config.adapter, range(config.layers if config.adapter else 0)
        return cls(
            labels=labels,
            blank=blank,
            adapters=tuple(Adapter.build(config, width or 0, layers[f"{i}.adapter_layer"]) for i in adapted),
            # The head stays in floating point: it is small, and its scores are what everything behind it compares.
            head=FloatLinear(head.tensor("weight", len(labels), config.width), head.tensor("bias", len(labels))),
        )

    def adapt(self, layer: int, rows: torch.Tensor) -> torch.Tensor:
        """(batch, rows, width) -> (batch, rows, width)."""
        return self.adapters[layer](rows) if self.adapters else rows

    def score(self, rows: torch.Tensor) -> torch.Tensor:
        """(batch, rows, width) -> (batch, rows, labels)."""
        return self.head(rows)


@dataclass(frozen=True, slots=True)
class MixedLanguages:
    """The language of each row of a batch that holds more than one."""

    languages: tuple[LanguageLayers, ...]

    def adapt(self, layer: int, rows: torch.Tensor) -> torch.Tensor:
        """(batch, rows, width) -> (batch, rows, width)."""
        adapters = [language.adapters[layer] for language in self.languages if language.adapters]
        if not adapters:
            return rows
        normed = _norm(rows, [adapter.norm for adapter in adapters])
        narrowed = F.relu(_product(normed, [adapter.narrow for adapter in adapters]))
        return rows + _product(narrowed, [adapter.widen for adapter in adapters])

    def score(self, rows: torch.Tensor) -> torch.Tensor:
        """(batch, rows, width) -> (batch, rows, labels); behind the labels of a shorter head stand zeros."""
        most = max(len(language.labels) for language in self.languages)
        return _product(rows, [_padded(language.head, most) for language in self.languages])


def batch_languages(languages: Sequence[LanguageLayers]) -> BatchLanguages:
    """The languages of a batch, row by row."""
    first = languages[0]
    return first if all(language is first for language in languages) else MixedLanguages(tuple(languages))


def _norm(rows: torch.Tensor, norms: Sequence[LayerNorm]) -> torch.Tensor:
    """Each row of the batch under its own norm: (batch, rows, width) -> (batch, rows, width)."""
    normed = F.layer_norm(rows, (norms[0].width,), None, None, norms[0].epsilon)
    scale, shift = _stack([norm.weight for norm in norms]), _stack([norm.bias for norm in norms])
    return torch.addcmul(shift[:, None], normed, scale[:, None])


def _product(rows: torch.Tensor, maps: Sequence[FloatLinear]) -> torch.Tensor:
    """Each row of the batch under its own affine map: (batch, rows, inputs) -> (batch, rows, outputs)."""
    weight, bias = _stack([one.weight for one in maps]), _stack([one.bias for one in maps])
    return torch.baddbmm(bias[:, None], rows, weight.transpose(1, 2))


def _stack(tensors: Sequence[torch.Tensor | None]) -> torch.Tensor:
    return torch.stack([tensor for tensor in tensors if tensor is not None])


def _padded(head: FloatLinear, outputs: int) -> FloatLinear:
    more = outputs - len(head.weight)
    bias = None if head.bias is None else F.pad(head.bias, (0, more))
    return FloatLinear(F.pad(head.weight, (0, 0, 0, more)), bias)
