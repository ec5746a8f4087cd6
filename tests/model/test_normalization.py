"""Running statistics: exact while they accumulate, slow once they are frozen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from streaming_asr.audio.samples import FloatArray
from streaming_asr.errors import OptionError
from streaming_asr.model import Context, Encoder, Normalization
from streaming_asr.model.normalization import Moments, Statistics, updated

if TYPE_CHECKING:
    from tests.conftest import AsCheckpoint, TinyModel


def vectors(count: int, seed: int = 0) -> FloatArray:
    mixed: FloatArray = np.random.default_rng(seed).normal(1, 2, (count, 3)) @ np.array(
        [[1, 0.5, 0], [0, 1, 0], [1, 0, 3]]
    )
    return mixed


def measured(samples: FloatArray) -> Statistics:
    return Statistics(Moments.of(samples[:, None]), None)


def test_moments_are_mean_and_covariance() -> None:
    moments = Moments.of(vectors(50))
    np.testing.assert_allclose(moments.mean, vectors(50).mean(0))
    np.testing.assert_allclose(moments.covariance, np.cov(vectors(50).T, bias=True))


@pytest.mark.parametrize("cut", [1, 20, 49])
def test_merged_moments_are_those_of_all_vectors(cut: int) -> None:
    whole = Moments.of(vectors(50))
    merged = Moments.of(vectors(50)[:cut]).merged(Moments.of(vectors(50)[cut:]), None)
    assert merged.count == 50
    np.testing.assert_allclose(merged.mean, whole.mean, atol=1e-12)
    np.testing.assert_allclose(merged.covariance, whole.covariance, atol=1e-12)


def test_moments_of_quiet_audio_on_a_large_offset_keep_their_digits() -> None:
    audio = (1000.0 + np.random.default_rng(0).normal(0, 1e-3, 50_000))[:, None]
    assert Moments.of(audio).covariance[0, 0] == pytest.approx(1e-6, rel=0.02)


def test_cumulative_statistics_end_where_the_offline_ones_are() -> None:
    samples = np.random.default_rng(0).normal(0.3, 0.1, 900) * np.linspace(0, 1, 900)
    statistics = None
    for piece in np.split(samples, [1, 10, 400]):
        statistics = updated(statistics, measured(piece), Normalization.cumulative())
    assert statistics is not None
    assert statistics.measured == 900
    assert statistics.mean == pytest.approx(samples.mean(), abs=1e-12)
    assert statistics.deviation == pytest.approx(math.sqrt(samples.var() + 1e-7), abs=1e-12)


def test_frozen_statistics_follow_slowly_after_the_first_chunks() -> None:
    normalization = Normalization(freeze_after=300, time_constant=10_000)
    statistics = None
    for _ in range(3):
        statistics = updated(statistics, measured(np.full(100, 1.0)), normalization)
    assert statistics is not None
    assert statistics.mean == 1.0
    louder = updated(statistics, measured(np.full(100, 2.0)), normalization)
    assert louder.mean == pytest.approx(2.0 - math.exp(-0.01))
    for _ in range(200):
        louder = updated(louder, measured(np.full(100, 2.0)), normalization)
    assert 2.0 - louder.mean == pytest.approx(math.exp(-2.01))


def test_milliseconds_become_samples() -> None:
    assert Normalization.frozen(after_ms=500, time_constant_ms=2000) == Normalization(8000, 32_000)
    assert Normalization.cumulative().freeze_after is None


@pytest.mark.parametrize(("freeze_after", "time_constant"), [(0, 1), (-5, 1), (1, 0)])
def test_impossible_times_are_refused(freeze_after: int, time_constant: int) -> None:
    with pytest.raises(OptionError, match="has to be at least 1"):
        Normalization(freeze_after, time_constant)


@pytest.mark.parametrize("variant", ["group", "layer"])
def test_both_ways_agree_until_the_freeze_and_differ_behind_it(
    tiny_model: TinyModel, as_checkpoint: AsCheckpoint, variant: str
) -> None:
    encoder = Encoder.from_checkpoint(as_checkpoint(tiny_model("wav2vec2", variant)), precision="float64")
    samples = np.random.default_rng(0).normal(0, 0.1, 3000) * np.linspace(0.1, 3, 3000)
    context = Context(chunk=10)
    first = encoder.config.samples(10)
    found = []
    for normalization in (Normalization.cumulative(), Normalization(freeze_after=first + 1)):
        stream = encoder.open(context, normalization=normalization)
        found.append(stream.push(samples))
    np.testing.assert_array_equal(found[0][:20].numpy(), found[1][:20].numpy())
    assert float((found[0][20:] - found[1][20:]).abs().max()) > 1e-3


def test_covariance_of_raw_frames_gives_the_group_norm(tiny_model: TinyModel, as_checkpoint: AsCheckpoint) -> None:
    """A convolution with many more taps than channels, on loud audio far from zero."""
    model = tiny_model("wav2vec2", "group-pre", conv_kernel=(40, 3, 2), conv_stride=(4, 2, 2)).double()
    encoder = Encoder.from_checkpoint(as_checkpoint(model, normalize=False), precision="float64")
    import torch

    loud = torch.randn(1, 1500, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 50 + 300
    torch.testing.assert_close(encoder(loud), model(loud).logits, rtol=0, atol=1e-10)
