"""Trains the text model: `python -m training.text.train prepared/text runs/text`.

It takes one core, and is a function of its seed. `--start FOLDER` begins with the weights of a model that was exported.
"""

from __future__ import annotations

import argparse
import json
import time as clock
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from streaming_asr.text.model import CONFIG_FILE
from training.text.data import IGNORED, Batch, Lexicon, batches
from training.text.export import read_shipped
from training.text.network import MARKS, Network, Shape
from training.text.noise import Ints, Pauses

CASE_WEIGHT: Final = 0.5
REPORT: Final = 100
"""Steps between two lines and two saved states."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and how fast to learn; a sequence has `time` words.

    The rate is constant but for the first and the last steps, so that a longer run goes on from a shorter one. It falls
    to zero over the last `cool_down` steps.
    """

    steps: int = 3000
    size: int = 32
    time: int = 96
    rate: float = 4e-3
    warm_up: int = 200
    cool_down: int = 300
    seed: int = 1

    def rate_at(self, step: int) -> float:
        """The learning rate: up in a line, then constant, down to nothing in a line."""
        return self.rate * min(1.0, (step + 1) / self.warm_up, (self.steps - step) / self.cool_down)


def loss_of(network: Network, batch: Batch, lookaheads: Sequence[int]) -> Tensor:
    """The mean over some look aheads of the cross entropy of marks and of cases."""
    vectors = network.embed(batch.words, batch.pieces, batch.offsets)[batch.places]
    logits = network(vectors, batch.pauses, batch.going_on, lookaheads)
    total = torch.zeros(())
    for one in logits:
        marks, cases = batch.marks[: len(one)].flatten(), batch.cases[: len(one)].flatten()
        total = total + F.cross_entropy(one[..., :MARKS].flatten(0, 1), marks, ignore_index=IGNORED)
        total = total + CASE_WEIGHT * F.cross_entropy(one[..., MARKS:].flatten(0, 1), cases, ignore_index=IGNORED)
    return total / len(logits)


class Run:
    """A network that learns, and all that the next step depends on."""

    def __init__(self, network: Network, plan: Plan) -> None:
        decayed = [one for one in network.parameters() if one.ndim > 1]
        others = [one for one in network.parameters() if one.ndim <= 1]
        self.network = network
        self.plan = plan
        self.step = 0
        self.generator = np.random.default_rng(plan.seed)
        self._optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}], betas=(0.9, 0.98)
        )

    def learn(self, batch: Batch) -> float:
        """One step; gives the loss before it."""
        for group in self._optimizer.param_groups:
            group["lr"] = self.plan.rate_at(self.step)
        # Turns need no look ahead; of the others one at a time is enough.
        longest = self.network.shape.lookaheads - 1
        loss = loss_of(self.network, batch, (0, 1 + self.step % longest))
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()
        self.step += 1
        return loss.item()

    def save(self, folder: Path) -> None:
        """Keep the run, so that it can go on; an older one stays until this one is whole."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            "shape": self.network.shape.to_dict(),
            "weights": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "generator": json.dumps(self.generator.bit_generator.state),
            "step": self.step,
        }
        torch.save(state, folder / "network.new")
        (folder / "network.new").replace(folder / "network.pt")

    def restore(self, folder: Path) -> None:
        """Go on where `save` was called last."""
        state = torch.load(folder / "network.pt", weights_only=True)
        self.network.load_state_dict(state["weights"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.generator.bit_generator.state = json.loads(state["generator"])
        self.step = state["step"]


def train(run: Run, lexicon: Lexicon, rows: Ints, pauses: Pauses, folder: Path) -> None:
    """Learns to the end of the plan; prints the loss as it goes, and saves the run now and then."""
    plan, recent = run.plan, 0.0
    began = clock.process_time()
    left = plan.steps - run.step
    for batch in batches(rows, lexicon, pauses, time=plan.time, size=plan.size, steps=left, generator=run.generator):
        recent += run.learn(batch)
        if run.step % REPORT == 0:
            print(f"step {run.step}: loss {recent / REPORT:.4f}, {clock.process_time() - began:.0f} s", flush=True)
            recent = 0.0
            run.save(folder)
    run.save(folder)


def begin(plan: Plan, lexicon: Lexicon, shape: Shape, start: Path | None) -> Run:
    """A run from random weights, or from those of an exported model with the same words."""
    torch.manual_seed(plan.seed)
    if start is None:
        return Run(Network(shape), plan)
    words = json.loads((start / CONFIG_FILE).read_text(encoding="utf-8"))["words"]
    if tuple(words) != lexicon.listed:
        raise SystemExit(f"{start} was trained with other words than those prepared; train without --start")
    return Run(read_shipped(start).train(), plan)


def main() -> None:
    """The command line."""
    usual = Plan()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prepared", type=Path, help="the folder of training.text.prepare, with pauses.json")
    parser.add_argument("target", type=Path, help="a folder for network.pt; a run that is there goes on")
    parser.add_argument("--start", type=Path, help="the folder of an exported model to begin with")
    parser.add_argument("--steps", type=int, default=usual.steps)
    parser.add_argument("--size", type=int, default=usual.size, help="sequences in a step")
    parser.add_argument("--rate", type=float, default=usual.rate)
    parser.add_argument("--cool-down", type=int, default=usual.cool_down, help="last steps, with a falling rate")
    parser.add_argument("--seed", type=int, default=usual.seed)
    options = parser.parse_args()
    torch.set_num_threads(1)
    plan = Plan(
        steps=options.steps, size=options.size, rate=options.rate, cool_down=options.cool_down, seed=options.seed
    )
    lexicon = Lexicon.read(options.prepared, Shape())
    run = begin(plan, lexicon, Shape(), options.start)
    if (options.target / "network.pt").exists():
        run.restore(options.target)
    rows = np.load(options.prepared / "train.npy")
    train(run, lexicon, rows, Pauses.read(options.prepared / "pauses.json"), options.target)


if __name__ == "__main__":
    main()
