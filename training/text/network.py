"""The network of the text model in torch; `streaming_asr.text.model` computes the same word by word in numpy.

A word is the sum of its own row and the mean of its pieces' rows. Blocks follow: a short causal convolution, then a
gated linear recurrence, whose state is an average of the past that forgets as the input says (cf. Martin & Cundy 2018,
Bradbury et al. 2017). The heads see the state at a word and the one so many words later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from streaming_asr.text.features import PAUSES

MARKS: Final = 4
CASES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of the network; `lookaheads` heads look 0, 1, … words ahead."""

    words: int = 16_000
    pieces: int = 12_000
    width: int = 64
    memory: int = 96
    blocks: int = 2
    kernel: int = 3
    hidden: int = 48
    lookaheads: int = 4

    def to_dict(self) -> dict[str, int]:
        """The sizes by their names."""
        return asdict(self)


class _Recurrence(torch.autograd.Function):
    """h[t] = keep[t] * h[t-1] + new[t], all (time, batch, memory), in one loop each way."""

    @staticmethod
    def forward(ctx: Any, keep: Tensor, new: Tensor) -> Tensor:
        states = torch.empty_like(new)
        state = torch.zeros_like(new[0])
        for time in range(len(new)):
            torch.addcmul(new[time], keep[time], state, out=states[time])
            state = states[time]
        ctx.save_for_backward(keep, states)
        return states

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        keep, states = ctx.saved_tensors
        total = gradients[0].clone()
        for time in range(len(total) - 2, -1, -1):
            total[time].addcmul_(keep[time + 1], total[time + 1])
        by_keep = torch.zeros_like(keep)
        torch.mul(total[1:], states[:-1], out=by_keep[1:])
        return by_keep, total


class Block(nn.Module):
    """A causal convolution over a few words, a gated recurrence, and what came in."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.kernel = shape.kernel
        self.memory = shape.memory
        self.norm = nn.RMSNorm(shape.width, eps=1e-6)
        self.taps = nn.Parameter(torch.zeros(shape.kernel, shape.width))
        self.inward = nn.Linear(shape.width, 3 * shape.memory)
        self.outward = nn.Linear(shape.memory, shape.width, bias=False)
        with torch.no_grad():
            self.taps[-1] = 1.0
            self.inward.bias.zero_()
            self.inward.bias[: shape.memory] = torch.linspace(0.0, 4.0, shape.memory)

    def forward(self, hidden: Tensor) -> Tensor:
        """(time, batch, width) -> the same."""
        padded = F.pad(self.norm(hidden), (0, 0, 0, 0, self.kernel - 1, 0))
        mixed = sum(padded[tap : tap + len(hidden)] * self.taps[tap] for tap in range(self.kernel))
        forget, new, gate = self.inward(mixed).split(self.memory, dim=-1)
        keep = torch.sigmoid(forget)
        states = _Recurrence.apply(keep, (1 - keep) * new)  # type: ignore[no-untyped-call]
        result: Tensor = hidden + self.outward(states * F.silu(gate))
        return result


class Network(nn.Module):
    """Words and pauses in; marks and cases out, for each look ahead."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.words = nn.Embedding(shape.words, shape.width)
        self.pieces = nn.EmbeddingBag(shape.pieces, shape.width, mode="mean", include_last_offset=True)
        self.pauses = nn.Embedding(PAUSES, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.blocks))
        self.norm = nn.RMSNorm(shape.width, eps=1e-6)
        self.here = nn.Linear(shape.width, shape.lookaheads * shape.hidden)
        self.ahead = nn.ModuleList(
            nn.Linear(shape.width, shape.hidden, bias=False) for _ in range(shape.lookaheads - 1)
        )
        self.going_on = nn.Embedding(PAUSES, shape.hidden)
        self.heads = nn.ModuleList(nn.Linear(shape.hidden, MARKS + CASES) for _ in range(shape.lookaheads))
        for table in (self.words, self.pieces, self.pauses, self.going_on):
            nn.init.normal_(table.weight, std=0.3)

    def forward(
        self, vectors: Tensor, pauses: Tensor, going_on: Tensor, lookaheads: Sequence[int] | None = None
    ) -> list[Tensor]:
        """Logits of marks and cases by look ahead.

        Args:
            vectors: of the words, (time, batch, width), by `embed`.
            pauses: class of the pause before each word, (time, batch).
            going_on: class of the pause behind each word as far as it is known at once, (time, batch).
            lookaheads: which are wanted; all by default.

        Returns:
            Per look ahead (time - look ahead, batch, marks + cases).
        """
        hidden = vectors + self.pauses(pauses)
        for block in self.blocks:
            hidden = block(hidden)
        hidden = self.norm(hidden)
        here = self.here(hidden).split(self.shape.hidden, dim=-1)
        logits = []
        for ahead in range(self.shape.lookaheads) if lookaheads is None else lookaheads:
            if ahead == 0:
                mixed = here[0] + self.going_on(going_on)
            else:
                mixed = here[ahead][:-ahead] + self.ahead[ahead - 1](hidden[ahead:])
            logits.append(self.heads[ahead](F.silu(mixed)))
        return logits

    def embed(self, words: Tensor, pieces: Tensor, offsets: Tensor) -> Tensor:
        """Vectors of some types, (types, width): their rows, and all their pieces' rows with offsets."""
        vectors: Tensor = self.words(words) + self.pieces(pieces, offsets)
        return vectors
