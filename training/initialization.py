"""Where weights start: a mel filter bank in the first two convolutions, deeper networks from shallow ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from streaming_asr.audio.samples import SAMPLE_RATE, FloatArray, Samples
from training.model import ConvLayer, StreamingCtc

LOWEST_HERTZ: Final = 100.0
HIGHEST_HERTZ: Final = 7400.0
NORM_GAIN: Final = 2.0


def initialize(model: StreamingCtc, *, mel: bool, blank_bias: float, speech: Samples) -> None:
    """Puts a filter bank into the first two convolutions, if asked for, and makes blanks rare at the start.

    `speech` is some minutes of normalized audio, shape (samples,), by which the filters are scaled.
    """
    with torch.no_grad():
        if mel:
            first, second = model.feature_extractor.conv_layers[0], model.feature_extractor.conv_layers[1]
            if not isinstance(first, ConvLayer) or not isinstance(second, ConvLayer):
                raise TypeError("the first two layers must be convolutions")
            fill_filters(first, speech)
            fill_envelopes(second, first.conv.out_channels // 2)
        model.lm_head.bias.zero_()
        model.lm_head.bias[0] = blank_bias


def centres(bands: int) -> FloatArray:
    """The middle frequencies of mel bands in Hz, (bands,)."""
    low, high = (1127.0 * np.log1p(hertz / 700.0) for hertz in (LOWEST_HERTZ, HIGHEST_HERTZ))
    return np.asarray(700.0 * np.expm1(np.linspace(low, high, bands) / 1127.0))


def filter_bank(bands: int, kernel: int) -> FloatArray:
    """A cosine and a sine per band under a Hann window no longer than `kernel`, (2 * bands, kernel).

    Wide bands get short windows, so that the filters overlap about as mel bands do.
    """
    middles = centres(bands)
    widths = np.gradient(middles)
    time = (np.arange(kernel) - (kernel - 1) / 2) / SAMPLE_RATE
    filters = np.zeros((2 * bands, kernel))
    for band, (middle, width) in enumerate(zip(middles, widths, strict=True)):
        length = min(2.0 / width, kernel / SAMPLE_RATE)
        window = np.where(np.abs(time) <= length / 2, 0.5 + 0.5 * np.cos(2 * np.pi * time / length), 0.0)
        filters[2 * band] = window * np.cos(2 * np.pi * middle * time)
        filters[2 * band + 1] = window * np.sin(2 * np.pi * middle * time)
    return filters


def fill_filters(layer: ConvLayer, speech: Samples) -> None:
    """The filter bank in a first convolution, each filter with unit output on `speech`, or the treble would drown."""
    outputs, _, kernel = layer.conv.weight.shape
    filters = torch.from_numpy(filter_bank(outputs // 2, kernel)).float()[:, None, :]
    heard = torch.nn.functional.conv1d(torch.from_numpy(speech)[None, None], filters, stride=layer.conv.stride)
    layer.conv.weight[: len(filters)] = filters / heard.pow(2).mean(dim=(0, 2)).sqrt().clamp(min=1e-5)[:, None, None]
    _reset(layer)
    norm = getattr(layer, "layer_norm", None)
    if norm is not None:
        norm.weight.fill_(NORM_GAIN)


def fill_envelopes(layer: ConvLayer, bands: int) -> None:
    """The first outputs of a second convolution average the rectified cosine and sine of a band over the kernel."""
    weight = layer.conv.weight
    count = min(bands, weight.shape[0])
    weight[:count] = 0.0
    for band in range(count):
        weight[band, 2 * band : 2 * band + 2] = 1.0 / weight.shape[2]
    _reset(layer)


def _reset(layer: ConvLayer) -> None:
    if layer.conv.bias is not None:
        layer.conv.bias.zero_()


def grow_depth(weights: Mapping[str, Tensor], origins: Sequence[int]) -> dict[str, Tensor]:
    """A deeper network that computes the same: a repeated origin adds nothing until it is trained.

    `origins` names, for each layer of the new network, the layer that it is copied from; the second and later
    copies of a layer get zero output projections (identity residual blocks; cf. Chen et al. 2016, Net2Net). Only
    networks with layer norm first have this property.
    """
    grown = {name: value for name, value in weights.items() if not name.startswith("encoder.layers.")}
    for index, origin in enumerate(origins):
        prefix = f"encoder.layers.{origin}."
        is_copy = origin in origins[:index]
        for name, value in weights.items():
            if name.startswith(prefix):
                silent = is_copy and name.removeprefix(prefix).startswith(("attention.out", "feed_forward.output"))
                target = f"encoder.layers.{index}." + name.removeprefix(prefix)
                grown[target] = value.new_zeros(value.shape) if silent else value.clone()
    return grown
