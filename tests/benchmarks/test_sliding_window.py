"""The sliding window, which the encoder's streams are compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from benchmarks.sliding_window import SlidingWindow
from streaming_asr.audio.samples import Samples
from streaming_asr.model import Context, Encoder

if TYPE_CHECKING:
    from tests.conftest import AsCheckpoint, TinyModel


@pytest.fixture
def encoder(tiny_model: TinyModel, as_checkpoint: AsCheckpoint) -> Encoder:
    return Encoder.from_checkpoint(as_checkpoint(tiny_model("wav2vec2", "group")))


def noise(samples: int) -> Samples:
    return np.random.default_rng(0).normal(0.05, 0.2, samples).astype(np.float32)


def test_a_window_over_everything_equals_the_encoder(encoder: Encoder) -> None:
    samples = noise(1203)
    stream = SlidingWindow(encoder, Context.whole())
    assert len(stream.push(samples)) == 0
    torch.testing.assert_close(stream.finish(), encoder(samples[None])[0])


def test_each_window_is_encoded_by_itself_however_the_audio_is_cut(encoder: Encoder) -> None:
    context = Context(chunk=5, lookahead=3, left=7)
    samples = noise(encoder.config.samples(30))
    stream = SlidingWindow(encoder, context)
    found = torch.cat((stream.push(samples), stream.finish()))
    window = samples[8 * encoder.hop : encoder.config.samples(23)]
    torch.testing.assert_close(found[15:20], encoder(window[None])[0, 7:12])
    assert len(found) == 30
    pieces = SlidingWindow(encoder, context)
    parts = [pieces.push(piece) for piece in np.array_split(samples, 50)]
    torch.testing.assert_close(torch.cat([*parts, pieces.finish()]), found)
