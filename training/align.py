"""Finds where the words of a corpus begin: `python -m training.align MODEL FOLDER`, so that it can be cut and spliced.

The cheapest CTC path through the transcript says about where one word ends and the next begins; the cut is put at
the quietest moment between their letters (cf. Lam et al. 2021, aligned data augmentation).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track

from streaming_asr.audio.samples import SAMPLE_RATE, FloatArray, Samples
from training.augment import normalized
from training.checkpoints import Start, read_start
from training.corpus import TABLE_FILE, Corpus, write_table
from training.transcripts import least_frames

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


def cuts_between_words(samples: Samples, transcript: str, start: Start) -> tuple[int, ...]:
    """The sample before which each word but the first begins; () for one word, or too little audio."""
    rows = start.spelling.encode(transcript)
    shape = start.model.shape
    frames = torch.tensor([shape.frames(len(samples))])
    if frames.item() < least_frames(rows) or " " not in transcript:
        return ()
    with torch.inference_mode():
        logits = start.model(torch.from_numpy(normalized(samples))[None], frames)[0]
    found = align(torch.log_softmax(logits, -1).double().numpy(), rows, start.spelling.blank)
    hop = int(np.prod(shape.conv_stride))
    centres = found * hop + shape.samples(1) // 2
    gaps = [place for place, letter in enumerate(transcript) if letter == " "]
    return tuple(quietest(samples, int(centres[gap - 1]), int(centres[gap + 1])) for gap in gaps)


def quietest(samples: Samples, begin: int, end: int) -> int:
    """The middle of the quietest 20 ms between two places."""
    begin, end = max(begin, 0), min(max(end, begin + 2 * _QUIET), len(samples))
    energy = np.convolve(samples[begin:end] ** 2, np.ones(_QUIET), mode="valid")
    return begin + int(energy.argmin()) + _QUIET // 2 if len(energy) else begin


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a Hugging Face folder or name of a model that spells like the transcripts")
    parser.add_argument("folder", type=Path, help="a corpus folder of training.prepare; its table is written anew")
    parser.add_argument("--part", default="train")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start, corpus = read_start(options.model), Corpus.open(options.folder)
    start.model.eval()
    table = [
        replace(one, cuts=cuts_between_words(corpus.samples(one), one.transcript, start))
        if one.part == options.part
        else one
        for one in track(corpus.utterances, description=str(options.folder))
    ]
    write_table(options.folder / TABLE_FILE, table)


if __name__ == "__main__":
    main()
