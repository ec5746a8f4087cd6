"""Law 2, offline: the encoder equals transformers for every family, and a stream without limits equals the encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from streaming_asr.errors import CheckpointError, OptionError
from streaming_asr.model import Context, Encoder, Normalization

if TYPE_CHECKING:
    from tests.conftest import AsCheckpoint, TinyModel


def noise(batch: int, samples: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    loudness = torch.linspace(0.05, 0.5, samples)
    return torch.randn(batch, samples, generator=generator) * loudness + 0.1


def normalized(waveform: torch.Tensor) -> torch.Tensor:
    """What the checkpoints' feature extractors do: zero mean, unit variance per recording."""
    doubles = waveform.double()
    variance = doubles.var(1, unbiased=False, keepdim=True)
    return (doubles - doubles.mean(1, keepdim=True)) / torch.sqrt(variance + 1e-7)


def reference(model: Any, waveform: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(model(waveform).logits)


def test_it_equals_transformers_in_double_precision(
    tiny_model: TinyModel, as_checkpoint: AsCheckpoint, family_variant: tuple[str, str]
) -> None:
    model = tiny_model(*family_variant, seed=1).double()
    waveform = noise(2, 1500)
    for normalize, audio in ((True, normalized(waveform)), (False, waveform.double())):
        encoder = Encoder.from_checkpoint(as_checkpoint(model, normalize=normalize), precision="float64")
        torch.testing.assert_close(encoder(waveform), reference(model, audio), rtol=0, atol=1e-10)


def test_it_equals_transformers_in_single_precision(
    tiny_model: TinyModel, as_checkpoint: AsCheckpoint, family_variant: tuple[str, str]
) -> None:
    model = tiny_model(*family_variant, seed=2)
    waveform = noise(2, 1500)
    encoder = Encoder.from_checkpoint(as_checkpoint(model))
    torch.testing.assert_close(encoder(waveform), reference(model, normalized(waveform).float()), rtol=0, atol=1e-4)


def test_a_stream_without_limits_equals_it(
    tiny_model: TinyModel, as_checkpoint: AsCheckpoint, family_variant: tuple[str, str]
) -> None:
    encoder = Encoder.from_checkpoint(as_checkpoint(tiny_model(*family_variant)), precision="float64")
    waveform = noise(1, 1503)
    offline = encoder(waveform)[0]
    for context in (Context.whole(), Context(chunk=10_000), Context(chunk=10_000, lookahead=7, left=3)):
        for normalization in (Normalization.cumulative(), Normalization.frozen(after_ms=1)):
            stream = encoder.open(context, normalization=normalization)
            parts = [stream.push(piece) for piece in np.split(waveform[0].numpy(), [1, 700, 702])]
            torch.testing.assert_close(torch.cat((*parts, stream.finish())), offline, rtol=0, atol=1e-10)


def test_long_recordings_are_computed_in_blocks_without_a_trace(
    tiny_model: TinyModel, as_checkpoint: AsCheckpoint
) -> None:
    for family, variant in (("wav2vec2", "group"), ("wav2vec2", "unusual")):
        model = tiny_model(family, variant).double()
        encoder = Encoder.from_checkpoint(as_checkpoint(model, normalize=False), precision="float64")
        waveform = noise(1, encoder.config.samples(600) + 3).double()
        torch.testing.assert_close(encoder(waveform), reference(model, waveform), rtol=0, atol=1e-10)


def test_frames_and_samples_are_those_of_the_usual_front_end(
    tiny_model: TinyModel, as_checkpoint: AsCheckpoint
) -> None:
    usual = {"conv_dim": [4] * 7, "conv_kernel": [10, 3, 3, 3, 3, 2, 2], "conv_stride": [5, 2, 2, 2, 2, 2, 2]}
    encoder = Encoder.from_checkpoint(as_checkpoint(tiny_model("wav2vec2", "layer", **usual)))
    assert (encoder.hop, encoder.receptive_field) == (320, 400)
    assert [encoder.config.frames(samples) for samples in (0, 399, 400, 719, 720)] == [0, 0, 1, 1, 2]
    assert encoder(noise(3, 720)).shape == (3, 2, 12)


def test_a_recording_shorter_than_a_frame_has_no_frames(tiny_model: TinyModel, as_checkpoint: AsCheckpoint) -> None:
    encoder = Encoder.from_checkpoint(as_checkpoint(tiny_model("wav2vec2")))
    assert encoder(noise(2, encoder.receptive_field - 1)).shape == (2, 0, 12)
    assert encoder.open(Context(4)).finish().shape == (0, 12)


def test_it_knows_its_labels_and_its_blank(tiny_model: TinyModel, as_checkpoint: AsCheckpoint) -> None:
    checkpoint = as_checkpoint(tiny_model("wav2vec2"))
    encoder = Encoder.from_checkpoint(checkpoint)
    assert (encoder.labels, encoder.blank) == (checkpoint.labels, 0)


def test_a_missing_or_misshapen_weight_is_named(tiny_model: TinyModel, as_checkpoint: AsCheckpoint) -> None:
    checkpoint = as_checkpoint(tiny_model("wav2vec2"))
    name = "encoder.layers.1.feed_forward.output_dense.weight"
    weights = dict(checkpoint.weights)
    found = weights.pop(name)
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        Encoder.from_checkpoint(type(checkpoint)(checkpoint.config, weights, checkpoint.labels, 0, True))
    weights[name] = found[:, 1:]
    with pytest.raises(CheckpointError, match=r"has shape \(32, 47\), its configuration asks for \(32, 48\)"):
        Encoder.from_checkpoint(type(checkpoint)(checkpoint.config, weights, checkpoint.labels, 0, True))


def test_precisions_that_cannot_be_had_are_refused(tiny_model: TinyModel, as_checkpoint: AsCheckpoint) -> None:
    checkpoint = as_checkpoint(tiny_model("wav2vec2"))
    with pytest.raises(OptionError, match="int8 runs on the CPU only"):
        Encoder.from_checkpoint(checkpoint, device="meta", precision="int8")
    with pytest.raises(OptionError, match="precision is 'int4'"):
        Encoder.from_checkpoint(checkpoint, precision="int4")  # type: ignore[arg-type]


def test_a_waveform_has_a_batch_dimension(tiny_model: TinyModel, as_checkpoint: AsCheckpoint) -> None:
    encoder = Encoder.from_checkpoint(as_checkpoint(tiny_model("wav2vec2")))
    with pytest.raises(OptionError, match=r"has shape \(500,\), it has to be \(batch, samples\)"):
        encoder(noise(1, 500)[0])


@pytest.mark.parametrize(("precision", "tolerance"), [("int8", 0.12), ("bfloat16", 0.12)])
def test_low_precisions_stay_near(
    tiny_model: TinyModel,
    as_checkpoint: AsCheckpoint,
    family_variant: tuple[str, str],
    precision: Any,
    tolerance: float,
) -> None:
    checkpoint = as_checkpoint(tiny_model(*family_variant))
    waveform = noise(2, 1500)
    exact = Encoder.from_checkpoint(checkpoint)(waveform)
    encoder = Encoder.from_checkpoint(checkpoint, precision=precision)
    near = encoder(waveform)
    assert near.dtype == torch.float32
    assert float((near - exact).norm() / exact.norm()) < tolerance
    assert not torch.equal(near, exact)
    context = Context(chunk=7, lookahead=40, left=None)
    streamed = []
    for source in (encoder, Encoder.from_checkpoint(checkpoint)):
        stream = source.open(context)
        streamed.append(torch.cat((stream.push(waveform[0].numpy()), stream.finish())))
    assert streamed[0].dtype == torch.float32
    assert float((streamed[0] - streamed[1]).norm() / streamed[1].norm()) < tolerance


def test_half_precision_weights_are_cast(tiny_model: TinyModel, as_checkpoint: AsCheckpoint) -> None:
    checkpoint = as_checkpoint(tiny_model("hubert", "layer").half())
    assert Encoder.from_checkpoint(checkpoint)(noise(1, 500)).dtype == torch.float32
