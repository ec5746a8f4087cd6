"""How much audio the encoder takes at a time: what a stream chooses, what a model recommends, and the usual values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from streaming_asr.audio.samples import milliseconds_to_samples
from streaming_asr.errors import OptionError
from streaming_asr.model import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How much audio the encoder takes at a time, in milliseconds; None leaves a value to the model.

    `chunk_ms`: new audio per step. `lookahead_ms`: audio behind the chunk that is looked at, then encoded again.
    `left_ms`: past audio that attention sees. `sink_ms`: audio at the utterance's start that it always sees.
    A frame is decoded between `lookahead_ms` and `chunk_ms + lookahead_ms` after it was pushed.
    """

    chunk_ms: float | None = None
    lookahead_ms: float | None = None
    left_ms: float | None = None
    sink_ms: float | None = None

    def __post_init__(self) -> None:
        for name, lowest in (("chunk_ms", 1), ("lookahead_ms", 0), ("left_ms", 0), ("sink_ms", 0)):
            value = getattr(self, name)
            if value is not None and not lowest <= value < float("inf"):
                raise OptionError(f"{name} is {value}; it must be {lowest} or more milliseconds")

    def over(self, base: Latency) -> Latency:
        """These values, and those of `base` where there is none."""
        mine, others = (
            {name: getattr(values, name) for name in ("chunk_ms", "lookahead_ms", "left_ms", "sink_ms")}
            for values in (self, base)
        )
        return Latency(**{name: others[name] if value is None else value for name, value in mine.items()})

    def context(self, hop: int) -> Context:
        """The same in encoder frames of `hop` samples, rounded to the nearest; a chunk has at least one frame."""
        chunk, lookahead, left, sinks = (
            None if value is None else round(milliseconds_to_samples(value) / hop)
            for value in (self.chunk_ms, self.lookahead_ms, self.left_ms, self.sink_ms)
        )
        return Context(chunk=max(1, chunk or 0), lookahead=lookahead or 0, left=left, sinks=sinks or 0)


OFFLINE_MODEL_LATENCY: Final = Latency(chunk_ms=1_280, lookahead_ms=1_280, left_ms=10_240, sink_ms=160)
"""For checkpoints that were never trained to see little of what comes; they need a long look ahead."""
