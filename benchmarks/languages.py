"""A language for each stream: what a step of many languages costs beside a step of one, and what a language holds.

    python -m benchmarks.languages [--streams 16] [--steps 6] [--layers 48] [--device cpu]

The network has the sizes of MMS with one billion parameters and random weights: neither cost nor memory depends on what
it knows. Steps of both kinds alternate, so that both meet the same load; the ratio of the medians is what to compare.
On a CPU it is CPU time that is measured.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from benchmarks.machine import print_machine
from streaming_asr.audio.samples import SAMPLE_RATE
from streaming_asr.checkpoints.shapes import adapter_shapes, expected_shapes
from streaming_asr.model import Context, Encoder, EncoderStream, LanguageLayers

LABELS: Final = 154
"""Labels of an MMS language: many have fewer."""
GOAL: Final = 1.15

MMS: Final[Mapping[str, Any]] = {
    **{"model_type": "wav2vec2", "vocab_size": LABELS, "hidden_size": 1280, "num_hidden_layers": 48},
    **{"num_attention_heads": 16, "intermediate_size": 5120, "adapter_attn_dim": 16},
    **{"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True},
}
CONTEXT: Final = Context(chunk=32, lookahead=0, left=200)


@dataclass(frozen=True, slots=True)
class RandomWeights:
    """The checkpoint of a network, or of one of its languages, as if it had been read from files."""

    config: Mapping[str, Any]
    weights: Mapping[str, torch.Tensor]
    labels: tuple[str, ...] = ("", *(f"<{number}>" for number in range(1, LABELS)))
    blank: int = 0
    normalize: bool = True


def random_weights(config: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]) -> RandomWeights:
    """Small random weights of these shapes."""
    return RandomWeights(config, {name: torch.randn(*shape) * 0.02 for name, shape in shapes.items()})


def network(config: Mapping[str, Any]) -> RandomWeights:
    """All weights of a network: those that all families share, and those of this one."""
    hidden = config["hidden_size"]
    shapes: dict[str, Sequence[int]] = {**expected_shapes(config, LABELS), **adapter_shapes(config, LABELS)}
    norms = [f"feature_extractor.conv_layers.{layer}.layer_norm" for layer in range(7)]
    for name, width in [*((norm, 512) for norm in norms), ("feature_projection.layer_norm", 512)]:
        shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    shapes |= {"encoder.layer_norm.weight": (hidden,), "encoder.layer_norm.bias": (hidden,)}
    shapes |= {"encoder.pos_conv_embed.conv.weight": (hidden, hidden // 16, 128)}
    shapes |= {"encoder.pos_conv_embed.conv.bias": (hidden,)}
    return random_weights(config, shapes)


def held_bytes(language: LanguageLayers) -> int:
    """Memory of the tensors of one language."""
    parts = [part for adapter in language.adapters for part in (adapter.norm, adapter.narrow, adapter.widen)]
    tensors = [tensor for part in [*parts, language.head] for tensor in (part.weight, part.bias)]
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)


def steps(encoder: Encoder, languages: Sequence[LanguageLayers], audio: np.ndarray[Any, Any]) -> Iterator[float]:
    """Seconds of each step of streams in these languages: of CPU time, or of a GPU's own."""
    now = time.process_time if encoder.device.type == "cpu" else time.perf_counter
    streams: list[EncoderStream] = [encoder.open(CONTEXT, language=language) for language in languages]
    for number, stream in enumerate(streams):
        stream.feed(np.roll(audio, 1000 * number))
    while all(stream.due for stream in streams):
        began = now()
        chunks = encoder.step(streams)
        chunks[-1].logits.cpu()  # waits for the device
        yield now() - began


def compare(encoder: Encoder, languages: Sequence[LanguageLayers], count: int) -> tuple[float, float]:
    """Medians of the steps in one language, and in all of them; the first step of each kind warms up."""
    samples = encoder.config.samples((count + 1) * CONTEXT.chunk)
    audio = (np.random.default_rng(0).normal(size=samples) * 0.1).astype(np.float32)
    one = steps(encoder, [languages[0]] * len(languages), audio)
    many = steps(encoder, languages, audio)
    pairs = list(zip(one, many, strict=True))[1:]
    return statistics.median(single for single, _ in pairs), statistics.median(mixed for _, mixed in pairs)


def main() -> None:
    """Print the costs, the memory, and whether the goal is kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--layers", type=int, default=48, help="of 48; cost and memory are the sum over the layers")
    options = parser.parse_args()
    print_machine()
    config = {**MMS, "num_hidden_layers": options.layers}
    encoder = Encoder.from_checkpoint(network(config), device=options.device)
    shapes = adapter_shapes(config, LABELS)
    languages = [encoder.build_language(random_weights(config, shapes)) for _ in range(options.streams)]
    with torch.inference_mode():
        single, mixed = compare(encoder, languages, options.steps)
    seconds = CONTEXT.chunk * encoder.hop / SAMPLE_RATE
    size = f"{options.layers} layers of width {config['hidden_size']}"
    print(f"{size}, {options.streams} streams, {seconds:g} s of audio each")
    print(f"  a step in one language          {1000 * single:9.1f} ms")
    print(f"  a step in {len(languages):3} languages         {1000 * mixed:9.1f} ms")
    print(f"  ratio (goal <= {GOAL})           {mixed / single:9.3f}: {'kept' if mixed / single <= GOAL else 'MISSED'}")
    print(f"  memory of one language          {held_bytes(languages[0]) / 2**20:9.1f} MiB")
    expected = sum(4 * int(np.prod(shape)) for shape in shapes.values())
    print(f"  adapter and head in float32     {expected / 2**20:9.1f} MiB")


if __name__ == "__main__":
    main()
