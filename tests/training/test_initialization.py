from __future__ import annotations

import numpy as np
import pytest
import torch

from streaming_asr.audio.samples import SAMPLE_RATE
from training.initialization import centres, filter_bank, grow_depth, initialize
from training.model import StreamingCtc


@pytest.mark.parametrize("band", [5, 20, 39])
def test_each_filter_passes_its_band_and_stops_the_others(band: int) -> None:
    response = np.abs(np.fft.rfft(filter_bank(40, 320)[2 * band], n=16000))
    hertz = np.fft.rfftfreq(16000, 1 / SAMPLE_RATE)
    middle, width = centres(40)[band], np.gradient(centres(40))[band]
    reach = max(3 * width, 3 * SAMPLE_RATE / 320)
    assert abs(hertz[response.argmax()] - middle) < max(width, 60)
    assert response[np.abs(hertz - middle) > reach].max() < 0.05 * response.max()


def test_filters_have_unit_output_on_the_speech_they_are_scaled_by(model: StreamingCtc) -> None:
    speech = np.cumsum(np.random.default_rng(0).standard_normal(16000, dtype=np.float32)) / np.float32(50)
    initialize(model, mel=True, blank_bias=-2.0, speech=speech)
    weight = model.state_dict()["feature_extractor.conv_layers.0.conv.weight"]
    heard = torch.nn.functional.conv1d(torch.from_numpy(speech)[None, None], weight, stride=40)
    np.testing.assert_allclose(heard.pow(2).mean(dim=(0, 2)).numpy(), 1.0, rtol=1e-3)
    assert model.lm_head.bias[0] == -2.0


def test_envelopes_average_the_cosine_and_the_sine_of_a_band(model: StreamingCtc) -> None:
    initialize(model, mel=True, blank_bias=0.0, speech=np.ones(16000, np.float32))
    weight = model.state_dict()["feature_extractor.conv_layers.1.conv.weight"]
    assert weight[2, 4:6].sum() == pytest.approx(2.0)
    assert weight[2].sum() == pytest.approx(2.0)


def test_a_deeper_network_starts_as_the_same_function(model: StreamingCtc) -> None:
    from dataclasses import replace

    deeper = StreamingCtc(replace(model.shape, num_hidden_layers=4)).eval()
    deeper.load_state_dict(grow_depth(model.state_dict(), (0, 0, 1, 1)))
    audio, frames = torch.randn(1, 16000), torch.tensor([model.shape.frames(16000)])
    with torch.no_grad():
        assert torch.equal(deeper(audio, frames), model(audio, frames))
