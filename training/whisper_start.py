"""A WavLM that begins with Whisper's layers: `python -m training.whisper_start WHISPER_FOLDER TARGET --shape ...`.

The transformer layers of both are the same (layer norm first, GELU). What Whisper adds to each frame once, its
sinusoids, becomes WavLM's bias by distance: the part of each head's scores that comes from two positions alone, as a
function of their distance. WavLM has one table for all layers, so the heads of each layer are put in the order in which
they fit it best, and each head's gate scales its row. Whisper has 20 ms frames, this model 40 ms: attention over every
second frame mixes almost the same. The convolutions begin as a mel filter bank, or come from another model folder
(`--front`) with frames of 20 or 40 ms, and then learn to stand for Whisper's. Layers beyond Whisper's are fresh.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from streaming_asr.audio.samples import SAMPLE_RATE
from training.augment import normalized
from training.checkpoints import read_start, write_model
from training.corpus import Corpus
from training.front import fit_front
from training.imitation import LEVEL, Imitation
from training.initialization import initialize
from training.model import Shape, StreamingCtc, buckets_of
from training.schedule import Schedule
from training.whisper import WhisperEncoder, download

REACH: Final = 240
"""The bias is fitted to distances of up to that many frames of Whisper."""
_ROUNDS: Final = 8
_FRESH: Final = 0.1
"""Layers above Whisper's begin by adding little to what these say."""


def positional_scores(teacher: WhisperEncoder, layer: int, deviation: float) -> Tensor:
    """What two positions alone add to the scores of each head, by distance: (heads, 2 * REACH + 1).

    `deviation` is the standard deviation over the channels of a frame, by which the layer norm divides.
    """
    weights, name = teacher.weights, f"layer_{layer}/self_attention/"
    size = teacher.width // teacher.heads
    positions = teacher.positions - teacher.positions.mean(0)
    positions = positions * weights[name + "layer_norm/gamma"] / deviation
    query, key, _ = weights[name + "linear_0/weight"].chunk(3)
    queries, keys = ((positions @ one.t()).view(len(positions), teacher.heads, size) for one in (query, key))
    middle = torch.arange(REACH, len(positions) - REACH, 4)
    places = middle[:, None] + torch.arange(-REACH, REACH + 1)
    scores: Tensor = torch.einsum("ihc,idhc->hd", queries[middle], keys[places]) / len(middle) / size**0.5
    return scores - scores.mean(1, keepdim=True)


def shared_rows(scores: Sequence[Tensor]) -> tuple[Tensor, list[list[int]], Tensor]:
    """One table for all layers: its rows (heads, distances), the order of each layer's heads, and their scales.

    The rows are fitted in turn with the orders and scales, beginning with the first layer's.
    """
    near = torch.exp(-torch.linspace(-REACH, REACH, 2 * REACH + 1).abs() / (REACH / 4)).sqrt()
    weighted = [one * near for one in scores]
    rows = weighted[0]
    for _ in range(_ROUNDS):
        orders = [_order(rows, one) for one in weighted]
        sorted_ones = torch.stack([one[order] for one, order in zip(weighted, orders, strict=True)])
        scales = ((sorted_ones * rows).sum(2) / rows.square().sum(1)).clamp(min=0.0)
        rows = (sorted_ones * scales[:, :, None]).sum(0) / scales.square().sum(0)[:, None].clamp(min=1e-6)
    return rows / near, orders, scales


def _order(rows: Tensor, scores: Tensor) -> list[int]:
    """Which head of a layer belongs to each row."""
    products = rows @ scores.t()
    gains = (products.clamp(min=0.0).square() / rows.square().sum(1)[:, None]).numpy()
    best = max(permutations(range(len(scores))), key=lambda order: float(gains[range(len(order)), order].sum()))
    return list(best)


def bias_table(rows: Tensor, shape: Shape, step: int = 2) -> Tensor:
    """The rows as a table by bucket, (buckets, heads), for frames that stand `step` of Whisper's apart."""
    distances = torch.arange(-2 * shape.farthest, 2 * shape.farthest + 1)
    nearest = (distances * step).clamp(-REACH, REACH) + REACH
    values = rows[:, nearest]
    places = buckets_of(distances, shape.buckets, shape.farthest)
    sums = torch.zeros(shape.buckets, len(rows)).index_add_(0, places, values.t())
    counts = torch.bincount(places, minlength=shape.buckets).clamp(min=1)
    return sums / counts[:, None]


def deviations(teacher: WhisperEncoder, audio: Tensor) -> list[float]:
    """The mean standard deviation over the channels of the frames before each layer, on some audio (batch, samples)."""
    return [float(state.std(-1).mean()) for state in teacher.states(audio)[:-1]]


def without_positions(teacher: WhisperEncoder, audio: Tensor) -> float:
    """The same before the first layer when the mean of all positions stands for each."""
    return float((teacher.convolved(audio) + teacher.positions.mean(0)).std(-1).mean())


def layer_weights(teacher: WhisperEncoder, layer: int, order: Sequence[int]) -> dict[str, Tensor]:
    """One layer in the names of transformers, its heads in another order."""
    weights, name = teacher.weights, f"layer_{layer}/"
    rows = head_rows(order, teacher.width // teacher.heads)
    biases = weights[name + "self_attention/linear_0/bias"].chunk(3)
    matrices = weights[name + "self_attention/linear_0/weight"].chunk(3)
    found = {
        "attention.out_proj.weight": weights[name + "self_attention/linear_1/weight"][:, rows],
        "attention.out_proj.bias": weights[name + "self_attention/linear_1/bias"],
    }
    for part, matrix, bias in zip(("q_proj", "k_proj", "v_proj"), matrices, biases, strict=True):
        found |= {f"attention.{part}.weight": matrix[rows], f"attention.{part}.bias": bias[rows]}
    for ours, theirs in (("layer_norm", "self_attention/layer_norm"), ("final_layer_norm", "ffn/layer_norm")):
        found |= {f"{ours}.weight": weights[f"{name}{theirs}/gamma"], f"{ours}.bias": weights[f"{name}{theirs}/beta"]}
    for ours, theirs in (("intermediate_dense", "ffn/linear_0"), ("output_dense", "ffn/linear_1")):
        found |= {f"feed_forward.{ours}.{one}": weights[f"{name}{theirs}/{one}"] for one in ("weight", "bias")}
    return {f"encoder.layers.{layer}.{key}": value for key, value in found.items()}


def head_rows(order: Sequence[int], size: int) -> Tensor:
    """The channels of heads in an order."""
    return (torch.tensor(order)[:, None] * size + torch.arange(size)).flatten()


def gate_constant(scale: Tensor) -> Tensor:
    """WavLM's constant for which a gate with a zero product lets that much through: (heads,) -> (1, heads, 1, 1)."""
    return (4.0 * (scale - 1.5)).view(1, -1, 1, 1)


def begin(
    teacher: WhisperEncoder, front: StreamingCtc | None, config: Mapping[str, Any], audio: Tensor
) -> StreamingCtc:
    """A network with Whisper's layers at half of their frame rate, behind the convolutions of another one if given.

    `audio` (batch, samples) is speech at the level that the teacher hears.
    """
    shape = Shape.parse(config)
    model = StreamingCtc(shape)
    spreads = deviations(teacher, audio)
    scores = [positional_scores(teacher, number, spread) for number, spread in enumerate(spreads)]
    rows, orders, scales = shared_rows(scores)
    if front is None:
        initialize(model, mel=True, blank_bias=0.0, speech=(audio.flatten().numpy() / LEVEL).astype(np.float32))
    found = dict(model.state_dict())
    for layer, order in enumerate(orders):
        name = f"encoder.layers.{layer}."
        found |= layer_weights(teacher, layer, order)
        found[name + "attention.gru_rel_pos_const"] = gate_constant(scales[layer])
        found[name + "attention.gru_rel_pos_linear.weight"].zero_()
        found[name + "attention.gru_rel_pos_linear.bias"].zero_()
    for name in ("layer_norm", "final_layer_norm"):
        found[f"encoder.layers.0.{name}.weight"] = (
            found[f"encoder.layers.0.{name}.weight"] * without_positions(teacher, audio) / spreads[0]
        )
    for layer in range(len(orders), shape.num_hidden_layers):
        for name in ("attention.out_proj", "feed_forward.output_dense"):
            found[f"encoder.layers.{layer}.{name}.weight"] *= _FRESH
    found["encoder.layers.0.attention.rel_attn_embed.weight"] = bias_table(rows, shape)
    found["encoder.layer_norm.weight"] = teacher.weights["layer_norm/gamma"]
    found["encoder.layer_norm.bias"] = teacher.weights["layer_norm/beta"]
    found |= slower_front(front.state_dict(), shape) if front is not None else {}
    found["encoder.pos_conv_embed.conv.weight"] *= 0.01
    found["encoder.pos_conv_embed.conv.bias"].zero_()
    found["lm_head.bias"] = torch.zeros_like(found["lm_head.bias"])
    model.load_state_dict(found)
    return model


def slower_front(weights: Mapping[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """Convolutions and projection for twice the stride in the last one, whose kernel gets zeros on both sides."""
    last = f"feature_extractor.conv_layers.{len(shape.conv_kernel) - 1}.conv.weight"
    kept = {name: one for name, one in weights.items() if name.startswith("feature_")}
    missing = shape.conv_kernel[-1] - kept[last].shape[2]
    kept[last] = torch.nn.functional.pad(kept[last], (missing // 2, missing - missing // 2))
    return kept


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("whisper", type=Path, help="where the package of the registry goes")
    parser.add_argument("target", type=Path)
    parser.add_argument("--shape", type=Path, required=True, help="a folder with a config.json, and how it spells")
    parser.add_argument("--front", type=Path, help="a model folder whose convolutions are taken")
    parser.add_argument("--corpus", type=Path, required=True, help="a folder of training.prepare")
    parser.add_argument("--minutes", type=float, default=6.0, help="how long the convolutions learn Whisper's front")
    options = parser.parse_args()
    teacher = WhisperEncoder.read(download(options.whisper))
    config = json.loads((options.shape / "config.json").read_text(encoding="utf-8"))
    corpus = Corpus.open(options.corpus)
    some = torch.from_numpy(LEVEL * normalized(corpus.audio[: 60 * SAMPLE_RATE].astype(np.float32)))[None]
    with torch.no_grad():
        front = read_start(options.front).model if options.front else None
        model = begin(teacher, front, config, some.view(6, -1))
    options.target.mkdir(parents=True, exist_ok=True)
    if options.minutes:
        imitation = Imitation.prepare(options.whisper, model.shape, corpus, options.target)
        fit_front(model, imitation, corpus, Schedule.of_minutes(options.minutes))
    write_model(options.target, model.state_dict(), config, options.shape)


if __name__ == "__main__":
    main()
