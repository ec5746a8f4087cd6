"""Trains the text model: `python -m training.text.train prepared/text runs/text`, on one core, a function of its seed."""

from __future__ import annotations

import argparse
import math
import time as clock
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.text.data import IGNORED, Batch, Lexicon, batches
from training.text.network import MARKS, Network, Shape
from training.text.noise import Pauses

CASE_WEIGHT: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and how fast to learn; a sequence has `time` words."""

    steps: int = 4400
    size: int = 32
    time: int = 96
    rate: float = 4e-3
    warm_up: int = 200
    seed: int = 1

    def rate_at(self, step: int) -> float:
        """The learning rate: up in a line, then down to nothing along a cosine."""
        if step < self.warm_up:
            return self.rate * (step + 1) / self.warm_up
        return self.rate * 0.5 * (1 + math.cos(math.pi * (step - self.warm_up) / (self.steps - self.warm_up)))


def loss_of(network: Network, batch: Batch) -> Tensor:
    """The mean over look aheads of the cross entropy of marks and of cases."""
    vectors = network.embed(batch.words, batch.pieces, batch.offsets)[batch.places]
    logits = network(vectors, batch.pauses, batch.going_on)
    total = torch.zeros(())
    for one in logits:
        marks, cases = batch.marks[: len(one)].flatten(), batch.cases[: len(one)].flatten()
        total = total + F.cross_entropy(one[..., :MARKS].flatten(0, 1), marks, ignore_index=IGNORED)
        total = total + CASE_WEIGHT * F.cross_entropy(one[..., MARKS:].flatten(0, 1), cases, ignore_index=IGNORED)
    return total / len(logits)


def train(network: Network, lexicon: Lexicon, rows: np.ndarray, pauses: Pauses, plan: Plan) -> Network:  # type: ignore[type-arg]
    """Learns; prints the loss as it goes."""
    decayed = [one for one in network.parameters() if one.ndim > 1]
    others = [one for one in network.parameters() if one.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}], betas=(0.9, 0.98)
    )
    generator = np.random.default_rng(plan.seed)
    began, recent = clock.monotonic(), 0.0
    stream = batches(rows, lexicon, pauses, time=plan.time, size=plan.size, steps=plan.steps, generator=generator)
    for step, batch in enumerate(stream):
        for group in optimizer.param_groups:
            group["lr"] = plan.rate_at(step)
        loss = loss_of(network, batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        recent += loss.item()
        if (step + 1) % 50 == 0:
            print(f"step {step + 1}: loss {recent / 50:.4f}, {clock.monotonic() - began:.0f} s", flush=True)
            recent = 0.0
    return network


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prepared", type=Path, help="the folder of training.text.prepare, with pauses.json")
    parser.add_argument("target", type=Path, help="a folder for network.pt")
    parser.add_argument("--steps", type=int, default=Plan().steps)
    options = parser.parse_args()
    torch.set_num_threads(1)
    plan, shape = Plan(steps=options.steps), Shape()
    torch.manual_seed(plan.seed)
    lexicon = Lexicon.read(options.prepared / "types.json", shape)
    rows = np.load(options.prepared / "train.npy")
    network = train(Network(shape), lexicon, rows, Pauses.read(options.prepared / "pauses.json"), plan)
    options.target.mkdir(parents=True, exist_ok=True)
    torch.save({"shape": shape.to_dict(), "weights": network.state_dict()}, options.target / "network.pt")


if __name__ == "__main__":
    main()
