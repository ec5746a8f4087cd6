"""One utterance: its encoder stream, its search, and its words on the audio clock of the stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from streaming_asr.audio.samples import FloatArray, Samples, seconds
from streaming_asr.decoding import Beam, BeamWord, text_of
from streaming_asr.events import Alternative, EndReason, Word
from streaming_asr.model import Chunk, EncoderStream
from streaming_asr.stabilizer import Hypothesis, Stabilizer

_IMPOSSIBLE: Final = -1e4
"""A score that leaves no probability; finite, so that sums with it stay numbers."""


class Utterance:
    """Audio from `start` on, with its own encoder stream and its own search.

    Args:
        start: absolute position of its first sample, at 16 kHz.
        hop: samples per encoder frame.
        lead: samples of silence in front of it, a multiple of the hop.
        clock_start: position on the audio clock of absolute position 0.
        special: columns of the vocabulary that are never text: the special tokens other than blank.
        stream: a fresh encoder stream.
        stabilizer: a fresh stabilizer, or one that holds the committed words of an utterance that is decoded again.
    """

    def __init__(
        self,
        start: int,
        *,
        hop: int,
        lead: int,
        clock_start: int,
        special: Sequence[int],
        stream: EncoderStream,
        stabilizer: Stabilizer,
    ) -> None:
        self.start: Final = start
        self.origin: Final = start - lead
        self.hop: Final = hop
        self.clock_start: Final = clock_start
        self._special: Final = torch.tensor(special, dtype=torch.long)
        self.stream: Final = stream
        self.stabilizer: Final = stabilizer
        self.fed = start
        self.closing: EndReason | None = None
        self.hypothesis = Hypothesis(stabilizer.committed, len(stabilizer.committed))
        self._lookahead = 0
        self._log_probability = 0.0
        self._pad(lead)

    @property
    def decoded(self) -> int:
        """Absolute position up to which the audio is decoded; all that was fed, once the rest is flushed."""
        flushed = self.closing is not None and not self.stream.due
        return self.fed if flushed else self.position(self.stabilizer.frames)

    @property
    def seen(self) -> int:
        """Absolute position up to which the hypothesis has seen the audio, the lookahead included."""
        return self.position(self.stabilizer.frames + self._lookahead)

    @property
    def certainty(self) -> float:
        """The mean log-probability of the best label, blank included, over all frames that were decoded."""
        return self._log_probability / max(1, self.stabilizer.frames)

    def feed(self, samples: Samples) -> None:
        """Take in the samples that follow `fed`."""
        self.stream.feed(samples)
        self.fed += len(samples)

    def close(self, reason: EndReason, *, trail: int = 0) -> None:
        """No more samples will come; the rest is now due, with `trail` samples of silence. The first reason stays."""
        if self.closing is None:
            self.closing = reason
            self._pad(trail)
            self.stream.close()

    def take(self, chunk: Chunk) -> Hypothesis:
        """Decode what one encoder step gave."""
        self._lookahead = len(chunk.lookahead)
        log_probs = self._log_probs(chunk.logits)
        self._log_probability += float(log_probs.max(axis=1, initial=-np.inf).sum())
        self.hypothesis = self.stabilizer.push(log_probs, self._log_probs(chunk.lookahead))
        return self.hypothesis

    def position(self, frame: int) -> int:
        """Absolute position of the first sample of a frame; frames of padding lie where the audio begins or ends."""
        return max(self.start, min(self.origin + frame * self.hop, self.fed))

    def time(self, position: int) -> float:
        """An absolute position on the audio clock, in seconds."""
        return seconds(self.clock_start + position)

    def word(self, word: BeamWord) -> Word:
        """A word on the audio clock."""
        start, end = (self.time(self.position(frame)) for frame in (word.start_frame, word.end_frame))
        return Word(word.text, start, end, self.stabilizer.word_confidence(word), word.joined)

    def words(self, words: Sequence[BeamWord]) -> tuple[Word, ...]:
        return tuple(self.word(word) for word in words)

    def finish(self, limit: int) -> tuple[Alternative, ...]:
        """The utterance as decoded to its end: at most `limit` alternatives, best first; none if nothing was said."""
        beams = self.stabilizer.finish(limit)
        return tuple(self._alternative(beam, beam.words) for beam in beams if beam.words) if beams[0].words else ()

    def cut(self, frame: int) -> tuple[Alternative, ...]:
        """The best beam's words that end by `frame`, as the only alternative."""
        best = self.stabilizer.best()
        kept = [word for word in best.words if word.end_frame <= frame]
        return (self._alternative(best, kept),) if kept else ()

    def _pad(self, samples: int) -> None:
        if samples:
            self.stream.feed(np.zeros(samples, np.float32))

    def _alternative(self, beam: Beam, words: Sequence[BeamWord]) -> Alternative:
        return Alternative(text_of(words), beam.score, self.words(words))

    def _log_probs(self, logits: torch.Tensor) -> FloatArray:
        """(frames, vocabulary) -> natural logarithms of probabilities, of the same shape."""
        text_only = logits.float().cpu().index_fill(1, self._special, _IMPOSSIBLE)
        log_probs: FloatArray = torch.log_softmax(text_only, dim=-1).numpy()
        return log_probs
