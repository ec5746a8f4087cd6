"""What a stream without memory costs: each step encodes its left context, chunk and lookahead anew.

Every frame is computed several times, and what a window does not contain is unknown to it. Inside the window the
network sees both sides of every frame as it was trained to.
"""

from __future__ import annotations

import torch

from streaming_asr.audio.samples import Samples
from streaming_asr.model import Context, Encoder
from streaming_asr.model.sample_queue import SampleQueue


class SlidingWindow:
    """A stream of frames by overlapping windows, each normalized by itself; sinks are not supported."""

    def __init__(self, encoder: Encoder, context: Context) -> None:
        self._encoder = encoder
        self._context = context
        self._queue = SampleQueue("float32")
        self._step = 0

    def push(self, samples: Samples) -> torch.Tensor:
        """Take samples (samples,) and encode the windows that are whole: (frames, labels)."""
        self._queue.append(samples)
        chunks = []
        while self._encoder.config.frames(self._queue.stop) >= self._context.visible(self._step):
            chunks.append(self._window(self._encoder.config.samples(self._context.visible(self._step))))
        return torch.cat(chunks) if chunks else self._encoder.empty

    def finish(self) -> torch.Tensor:
        """Encode what is left: (frames, labels)."""
        chunks = []
        while self._encoder.config.frames(self._queue.stop) > self._step * self._context.chunk:
            chunks.append(self._window(self._queue.stop))
        return torch.cat(chunks) if chunks else self._encoder.empty

    def _window(self, stop: int) -> torch.Tensor:
        """The frames of the next chunk, from a window that ends with sample `stop`."""
        chunk = self._step * self._context.chunk
        first = 0 if self._context.left is None else max(0, chunk - self._context.left)
        scores = self._encoder(self._queue.read(first * self._encoder.hop, stop)[None])[0]
        self._queue.discard(first * self._encoder.hop)
        self._step += 1
        return scores[chunk - first :][: self._context.chunk]
