"""A teacher that need not stream: `python -m training.teacher CORPUS TARGET --whisper FOLDER --like SHAPE`.

It is the frozen encoder of Whisper base, with its positions, and two fresh layers on top that learn letters with CTC.
The states of the encoder are computed once. What it then says of each frame of the part train is written for
`training.train` (`[teaching] folder = TARGET`).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from streaming_asr.audio.samples import SAMPLE_RATE
from training.augment import normalized
from training.checkpoints import read_config
from training.corpus import Corpus, Utterance
from training.evaluation_sets import KINDS
from training.imitation import LEVEL, frames_of
from training.model import Shape
from training.objective import Targets, ctc
from training.posteriors import PLACES_FILE, ROWS_FILE
from training.schedule import Schedule
from training.transcripts import ENGLISH, least_frames
from training.whisper import BASE, HOP, WhisperEncoder, download

_WIDTH: Final = 384
_HEADS: Final = 6
_KERNEL: Final = 15
_DROPOUT: Final = 0.1
_HIDDEN_STATES: Final = 0.15
"""The share of the states' values that are hidden in training."""
_MASK: Final = 24
"""One mask per 60 of Whisper's frames hides up to that many of them."""
_FLOOR: Final = -16.0
_LONGEST_SECONDS: Final = 16.5


class Block(nn.Module):
    """Attention, a gated convolution over neighbouring frames, feed-forward; each behind a norm, with residuals."""

    def __init__(self, width: int = _WIDTH) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.queries_keys_values, self.mixed = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.gated, self.convolved = nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.neighbours = nn.Conv1d(width, width, _KERNEL, padding=_KERNEL // 2, groups=width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(self, hidden: Tensor, inside: Tensor) -> Tensor:
        """(batch, frames, width) and which frames are real, (batch, frames) -> (batch, frames, width)."""
        batch, frames, width = hidden.shape
        projected = self.queries_keys_values(self.norms[0](hidden))
        query, key, value = projected.view(batch, frames, 3, _HEADS, width // _HEADS).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=inside[:, None, None, :])
        hidden = hidden + self.dropout(self.mixed(mixed.transpose(1, 2).reshape(batch, frames, width)))
        gated = F.glu(self.gated(self.norms[1](hidden))) * inside[:, :, None]
        near = self.neighbours(gated.transpose(1, 2)).transpose(1, 2)
        hidden = hidden + self.dropout(self.convolved(F.silu(self.norms[2](near))))
        inner = self.dropout(F.gelu(self.wide(self.norms[3](hidden))))
        outputs: Tensor = hidden + self.dropout(self.narrow(inner))
        return outputs


class Letters(nn.Module):
    """Whisper's states to letters, one frame for every second one of Whisper's."""

    def __init__(self, inputs: int, vocabulary: int, layers: int = 2) -> None:
        super().__init__()
        self.front = nn.Linear(3 * inputs, _WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(layers))
        self.norm = nn.LayerNorm(_WIDTH)
        self.head = nn.Linear(_WIDTH, vocabulary)

    def forward(self, states: Tensor, frames: Tensor) -> Tensor:
        """(batch, 2 * longest + 1, inputs), frames of each (batch,) -> natural logarithms (batch, longest, vocabulary).

        Each frame reads three of Whisper's, the middle one is its own.
        """
        longest = (states.shape[1] - 1) // 2
        parts = [states[:, first : first + 2 * longest : 2] for first in range(3)]
        hidden = F.gelu(self.front(torch.cat(parts, dim=-1)))
        inside = torch.arange(longest) < frames[:, None]
        for block in self.blocks:
            hidden = block(hidden, inside)
        return F.log_softmax(self.head(self.norm(hidden)).float(), dim=-1)


@dataclass(frozen=True)
class States:
    """The last states of the encoder for some utterances, (all frames, width), those of each from its start on."""

    rows: npt.NDArray[np.float16]
    utterances: Sequence[Utterance]
    starts: npt.NDArray[np.int64]
    shape: Shape

    @classmethod
    def compute(cls, whisper: WhisperEncoder, corpus: Corpus, shape: Shape, cache: Path) -> States:
        """Computes them, or opens what an earlier call left in the cache. Raises ValueError for another corpus's."""
        limit = _LONGEST_SECONDS * SAMPLE_RATE
        utterances = [one for one in corpus.utterances if shape.samples(1) <= one.samples <= limit]
        counts = np.array([one.samples // HOP for one in utterances])
        starts = np.concatenate([[0], np.cumsum(counts)])
        if not cache.exists():
            unfinished = cache.with_suffix(".new")
            rows = np.lib.format.open_memmap(unfinished, "w+", np.float16, (int(starts[-1]), whisper.width))
            order = np.argsort(counts)
            for some in track(np.array_split(order, max(len(order) // 16, 1)), "states"):
                states = _encoded(whisper, [corpus.samples(utterances[one]) for one in some])
                for one, found in zip(some, states, strict=True):
                    rows[starts[one] : starts[one + 1]] = found[: counts[one]]
            rows.flush()
            unfinished.replace(cache)
        kept = np.load(cache, mmap_mode="r")
        needed = int(starts[-1]), whisper.width
        if kept.shape != needed:
            raise ValueError(f"{cache} holds {kept.shape} states, this corpus has {needed}: remove it")
        return cls(kept, utterances, starts, shape)

    def frames(self, one: int) -> int:
        """How many frames of the student an utterance has."""
        return max(self.shape.frames(self.utterances[one].samples), 1)

    def batch(self, some: Sequence[int]) -> tuple[Tensor, Tensor]:
        """What `Letters` reads of some utterances."""
        longest = max(self.frames(one) for one in some)
        first = frames_of(self.shape)[0] - 1
        states = np.zeros((len(some), 2 * longest + 1, self.rows.shape[1]), dtype=np.float32)
        for row, one in enumerate(some):
            found = self.rows[self.starts[one] + first : self.starts[one + 1]][: 2 * longest + 1]
            states[row, : len(found)] = found
        return torch.from_numpy(states), torch.tensor([self.frames(one) for one in some])

    def of_part(self, part: str) -> list[int]:
        """The utterances of a part that are long enough for their letters, the shortest first."""
        fitting = (
            number
            for number, one in enumerate(self.utterances)
            if one.part == part and 0 < least_frames(one.transcript) <= self.frames(number)
        )
        return sorted(fitting, key=self.frames)


def _encoded(whisper: WhisperEncoder, recordings: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float16]:
    audio = np.zeros((len(recordings), max(map(len, recordings)) // HOP * HOP + HOP), dtype=np.float32)
    for row, samples in enumerate(recordings):
        audio[row, : len(samples)] = LEVEL * normalized(samples)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        last = whisper.states(torch.from_numpy(audio))[-1]
    return np.asarray(whisper.read_by_next(whisper.layers, last.float()).numpy(), dtype=np.float16)


def learn(states: States, schedule: Schedule, *, peak: float = 1e-3, seconds: float = 40.0, seed: int = 0) -> Letters:
    """Trains the layers on top as long as the schedule says."""
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    network = Letters(states.rows.shape[1], len(ENGLISH.labels))
    optimizer = torch.optim.AdamW(network.parameters(), peak, betas=(0.9, 0.98), weight_decay=0.02)
    said = time.monotonic()
    for step, some in enumerate(_batches(states, seconds, generator)):
        if schedule.progress(step) >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step, peak, warmup=200)
        inputs, frames = states.batch(some)
        hidden = F.dropout(masked(inputs, frames, generator), _HIDDEN_STATES)
        with torch.autocast("cpu", torch.bfloat16):
            log_probs = network(hidden, frames)
        spelled = [ENGLISH.encode(states.utterances[one].transcript) for one in some]
        rows = torch.tensor([letter for letters in spelled for letter in letters])
        loss = ctc(log_probs, frames, Targets(rows, torch.tensor([len(one) for one in spelled]), ENGLISH.blank))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if time.monotonic() - said > 120:
            said = time.monotonic()
            Console().print(f"{100 * schedule.progress(step):.0f} %, {judged(network, states)}")
    return network.eval()


def _batches(states: States, seconds: float, generator: np.random.Generator) -> Iterator[list[int]]:
    """Utterances of like lengths with that much audio, in random order, without end."""
    spoken = states.of_part("train")
    while True:
        order = sorted(spoken, key=lambda one: states.frames(one) + int(generator.integers(0, 16)))
        batches: list[list[int]] = [[]]
        for one in order:
            batches[-1].append(one)
            if sum(states.utterances[other].duration for other in batches[-1]) > seconds:
                batches.append([])
        for place in generator.permutation(len(batches)):
            if batches[place]:
                yield batches[place]


def masked(states: Tensor, frames: Tensor, generator: np.random.Generator) -> Tensor:
    """Stretches of Whisper's frames hidden, (batch, frames, width) -> the same."""
    states = states.clone()
    for row, count in enumerate(frames.tolist()):
        for _ in range(max(2 * count // 60, 1)):
            width = int(generator.integers(0, _MASK))
            begin = int(generator.integers(0, max(2 * count - width, 1)))
            states[row, begin : begin + width] = 0.0
    return states


def said_of(network: Letters, states: States, some: Sequence[int]) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """The natural logarithms for each of some utterances, (frames, vocabulary)."""
    network.eval()
    for begin in range(0, len(some), 16):
        members = some[begin : begin + 16]
        inputs, frames = states.batch(members)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            log_probs = network(inputs, frames)
        for row, one in enumerate(members):
            yield one, log_probs[row, : int(frames[row])].numpy()
    network.train()


def judged(network: Letters, states: States, limit: int = 40) -> str:
    """Letter errors on unheard speakers, by kind."""
    import jiwer

    kinds: dict[str, list[int]] = {}
    for one in states.of_part("dev"):
        kinds.setdefault(KINDS.get(states.utterances[one].collection, "other"), []).append(one)
    rates = {}
    for kind, members in kinds.items():
        some = members[:: max(len(members) // limit, 1)]
        heard = {one: ENGLISH.decode(rows.argmax(-1).tolist()) for one, rows in said_of(network, states, some)}
        rates[kind] = jiwer.cer([states.utterances[one].transcript for one in heard], list(heard.values()))
    return ", ".join(f"{kind} {100 * rate:.1f} %" for kind, rate in rates.items()) + " letter errors"


def write(network: Letters, states: States, target: Path) -> None:
    """What the teacher says of the part train."""
    some = states.of_part("train")
    total = sum(states.frames(one) for one in some)
    rows = np.lib.format.open_memmap(target / ROWS_FILE, "w+", np.float16, (total, len(ENGLISH.labels)))
    lines, place = [], 0
    for one, found in said_of(network, states, some):
        rows[place : place + len(found)] = found.clip(min=_FLOOR)
        lines.append(f"{states.utterances[one].name}\t{place}\t{place + len(found)}\n")
        place += len(found)
    rows.flush()
    (target / PLACES_FILE).write_text("".join(lines), encoding="utf-8")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path, help="a folder of training.prepare")
    parser.add_argument("target", type=Path)
    parser.add_argument("--whisper", type=Path, required=True, help="where the packages of the registry go")
    parser.add_argument("--like", type=Path, required=True, help="a folder with the config.json of the student")
    parser.add_argument("--minutes", type=float, default=20.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.target.mkdir(parents=True, exist_ok=True)
    shape = Shape.parse(read_config(options.like))
    whisper = WhisperEncoder.read(download(options.whisper, BASE))
    states = States.compute(whisper, Corpus.open(options.corpus), shape, options.target / "states.npy")
    network = learn(states, Schedule.of_minutes(options.minutes))
    Console().print(judged(network, states))
    write(network, states, options.target)


if __name__ == "__main__":
    main()
