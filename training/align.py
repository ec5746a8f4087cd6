"""Finds where the words of a corpus begin: `python -m training.align MODEL FOLDER`, so that it can be cut and spliced.

MODEL is a model folder, or what `training.teacher` left, which is there already and takes no time.

The cheapest CTC path through the transcript says about where one word ends and the next begins; the cut is put at
the quietest moment between their letters (cf. Lam et al. 2021, aligned data augmentation).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track

from streaming_asr.audio.samples import SAMPLE_RATE, FloatArray, Samples
from training.augment import normalized
from training.checkpoints import Start, read_config, read_start
from training.corpus import TABLE_FILE, Corpus, Utterance, write_table
from training.model import Shape
from training.posteriors import Posteriors
from training.transcripts import ENGLISH, Spelling, least_frames

_QUIET: Final = SAMPLE_RATE // 50
"""Samples over which loudness is measured, 20 ms."""


def align(log_probs: FloatArray, rows: Sequence[int], blank: int) -> npt.NDArray[np.int64]:
    """The first frame of each row on the best CTC path, (frames, vocabulary) natural logarithms -> (rows,).

    ValueError if there are too few frames for the rows.
    """
    frames, states = len(log_probs), np.full(2 * len(rows) + 1, blank, dtype=np.int64)
    states[1::2] = rows
    skips = np.zeros(len(states), dtype=np.bool_)
    skips[3::2] = states[3::2] != states[1:-2:2]
    emitted = log_probs[:, states]
    best = np.full(len(states), -np.inf)
    best[:2] = emitted[0, :2]
    came = np.zeros((frames, len(states)), dtype=np.int8)
    ways = np.full((3, len(states)), -np.inf)
    for frame in range(1, frames):
        ways[0], ways[1, 1:] = best, best[:-1]
        ways[2, 2:] = np.where(skips[2:], best[:-2], -np.inf)
        came[frame] = ways.argmax(0)
        best = ways.max(0) + emitted[frame]
    state = len(states) - 1 if len(states) == 1 or best[-1] >= best[-2] else len(states) - 2
    if not np.isfinite(best[state]):
        raise ValueError(f"{frames} frames are too few for {len(rows)} letters")
    first = np.zeros(len(states), dtype=np.int64)
    for frame in range(frames - 1, -1, -1):
        first[state] = frame
        state -= int(came[frame, state])
    return first[1::2]


Says = Callable[[Utterance], npt.NDArray[np.floating] | None]
"""What a model says of each frame of an utterance: natural logarithms (frames, vocabulary), or nothing."""


def says_model(start: Start, corpus: Corpus) -> Says:
    """What a network says, as far as it is asked."""
    model = start.model.eval()

    def says(utterance: Utterance) -> FloatArray | None:
        samples = corpus.samples(utterance)
        frames = model.shape.frames(len(samples))
        if frames < 1:
            return None
        with torch.inference_mode():
            logits = model(torch.from_numpy(normalized(samples))[None], torch.tensor([frames]))[0]
        return torch.log_softmax(logits, -1).double().numpy()

    return says


def says_teacher(folder: Path) -> Says:
    """What `training.teacher` left in a folder."""
    posteriors = Posteriors.open(folder)
    return lambda utterance: posteriors.of(utterance.name)


def cuts_between_words(
    samples: Samples, transcript: str, log_probs: npt.NDArray[np.floating], shape: Shape, spelling: Spelling
) -> tuple[int, ...]:
    """The sample before which each word but the first begins; () for one word, or too little audio."""
    rows = spelling.encode(transcript)
    if len(log_probs) < least_frames(rows) or " " not in transcript:
        return ()
    found = align(np.asarray(log_probs, dtype=np.float64), rows, spelling.blank)
    hop = int(np.prod(shape.conv_stride))
    centres = found * hop + shape.samples(1) // 2
    gaps = [place for place, letter in enumerate(transcript) if letter == " "]
    return tuple(quietest(samples, int(centres[gap - 1]), int(centres[gap + 1])) for gap in gaps)


def quietest(samples: Samples, begin: int, end: int) -> int:
    """The middle of the quietest 20 ms between two places."""
    begin = max(min(begin, len(samples) - 2 * _QUIET), 0)
    end = min(max(end, begin + 2 * _QUIET), len(samples))
    energy = np.convolve(samples[begin:end] ** 2, np.ones(_QUIET), mode="valid")
    return begin + int(energy.argmin()) + _QUIET // 2 if len(energy) else begin


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="a model folder, or with --like what a teacher left")
    parser.add_argument("folder", type=Path, help="a corpus folder of training.prepare; its table is written anew")
    parser.add_argument("--like", type=Path, help="a folder with the config.json that the teacher was asked for")
    parser.add_argument("--part", default="train")
    options = parser.parse_args()
    torch.set_num_threads(1)
    corpus = Corpus.open(options.folder)
    if options.like:
        says, shape, spelling = says_teacher(options.model), Shape.parse(read_config(options.like)), ENGLISH
    else:
        start = read_start(options.model)
        says, shape, spelling = says_model(start, corpus), start.model.shape, start.spelling

    def with_cuts(one: Utterance) -> Utterance:
        said = says(one) if one.part == options.part else None
        if said is None:
            return one
        return replace(one, cuts=cuts_between_words(corpus.samples(one), one.transcript, said, shape, spelling))

    table = [with_cuts(one) for one in track(corpus.utterances, description=str(options.folder))]
    write_table(options.folder / TABLE_FILE, table)


if __name__ == "__main__":
    main()
