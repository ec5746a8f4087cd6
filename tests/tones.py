"""A model that recognizes tones: each letter has a frequency, so that tests say what is spoken and know what is right.

`ToneEncoder` stands where a wav2vec2 encoder stands: frames of a fixed hop, chunks, lookahead, many streams a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch

from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from streaming_asr.model import Chunk, Context, EncoderStream

HOP = 320
LETTERS = "abcdefgh"
LABELS = ("", " ", *LETTERS)
_LOWEST, _STEP = 300, 200


def tone(letter: str, frames: int) -> Samples:
    """So many frames of a letter's tone; a space is silence."""
    times = np.arange(frames * HOP) / SAMPLE_RATE
    if letter == " ":
        return np.zeros(len(times), np.float32)
    frequency = _LOWEST + _STEP * LETTERS.index(letter)
    return np.asarray(0.3 * np.sin(2 * np.pi * frequency * times), np.float32)


def spoken(text: str, *, letter_frames: int = 4, gap_frames: int = 6) -> Samples:
    """A text in tones: letters right behind each other, words with silence between them."""
    pieces = [tone(letter, gap_frames if letter == " " else letter_frames) for letter in text]
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)


def silence(frames: int) -> Samples:
    """So many frames of digital silence."""
    return np.zeros(frames * HOP, np.float32)


class LoudDetector:
    """Calls every frame speech that is not silent."""

    frame_samples = HOP

    def is_speech(self, frame: Samples) -> bool:
        return bool(np.abs(frame).max() > 0.01)


class ToneStream:
    """Frames of the tones that were fed, a chunk at a time."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.frames = 0
        self._samples: Samples = np.zeros(0, np.float32)
        self._closed = False

    @property
    def missing(self) -> int:
        wanted = 1 if self._closed else self.context.chunk + self.context.lookahead
        return wanted * HOP - len(self._samples)

    @property
    def due(self) -> bool:
        return self.missing <= 0

    def feed(self, samples: Samples) -> None:
        self._samples = np.concatenate([self._samples, samples])

    def close(self) -> None:
        self._closed = True

    def step(self) -> Chunk:
        """The next chunk, and what can be seen behind it."""
        rows = _logits(self._samples[: (self.context.chunk + self.context.lookahead) * HOP])
        count = min(self.context.chunk, len(rows))
        self._samples = self._samples[count * HOP :]
        self.frames += count
        return Chunk(logits=rows[:count], lookahead=rows[count:])


class ToneEncoder:
    """Steps tone streams; `faults` is how many of the next steps fail."""

    hop = HOP

    def __init__(self) -> None:
        self.faults = 0
        self.batches: list[int] = []

    def open(self, context: Context) -> EncoderStream:
        return cast(EncoderStream, ToneStream(context))

    def step(self, streams: Sequence[EncoderStream]) -> list[Chunk]:
        self.batches.append(len(streams))
        if self.faults:
            self.faults -= 1
            raise RuntimeError("the accelerator has gone")
        return [cast(ToneStream, stream).step() for stream in streams]


def _logits(samples: Samples) -> torch.Tensor:
    """(samples,) -> (frames, vocabulary): the letter where a frame's tone begins or goes on, a space in silence.

    A letter that goes on is one CTC token, since its repeats collapse; silence is one space, then blanks.
    """
    frames = samples[: len(samples) // HOP * HOP].reshape(-1, HOP)
    times = np.arange(HOP) / SAMPLE_RATE
    frequencies = _LOWEST + _STEP * np.arange(len(LETTERS))
    waves = np.exp(-2j * np.pi * np.outer(times, frequencies))
    strengths = np.abs(frames @ waves) / HOP
    logits = np.full((len(frames), len(LABELS)), -12.0)
    loud = np.abs(frames).max(axis=1, initial=0) > 0.01
    logits[loud, 2 + strengths[loud].argmax(axis=1)] = 0.0
    logits[~loud, 1] = 0.0
    return torch.from_numpy(logits)
