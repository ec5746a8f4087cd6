"""Encoder: how near to transformers, and what streaming costs beside transformers' offline pass and a sliding window.

Run it as `python -m benchmarks.encoder [--quick]`. Networks have random weights: neither cost nor rounding depends on
what they know. Costs are CPU time of one thread on the same audio, alternating between the ways so that all of them
meet the same load, best of some rounds; the ratios are what to compare.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import torch

from benchmarks.machine import print_machine
from benchmarks.sliding_window import SlidingWindow
from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from streaming_asr.checkpoints.weights import encoder_name, fold_weight_norm
from streaming_asr.model import Context, Encoder, Precision

CHUNK_MS: Final = 640
LEFT_MS: Final = 4000

SMALL: Final[Mapping[str, Any]] = {
    "vocab_size": 32,
    "hidden_size": 192,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 768,
    "conv_dim": [128] * 7,
}
LAYER_NORM: Final = {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True}
BASE: Final[Mapping[str, Any]] = {"vocab_size": 32}
XLSR: Final[Mapping[str, Any]] = {
    **{"vocab_size": 32, "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16},
    **{"intermediate_size": 4096, **LAYER_NORM},
}
FAMILIES: Final[Mapping[str, tuple[str, str, Mapping[str, Any]]]] = {
    "wav2vec2, group norm": ("Wav2Vec2Config", "Wav2Vec2ForCTC", {}),
    "wav2vec2, layer norm": ("Wav2Vec2Config", "Wav2Vec2ForCTC", LAYER_NORM),
    "wav2vec2, MMS adapters": ("Wav2Vec2Config", "Wav2Vec2ForCTC", {**LAYER_NORM, "adapter_attn_dim": 16}),
    "hubert": ("HubertConfig", "HubertForCTC", {}),
    "hubert, batch norm": ("HubertConfig", "HubertForCTC", {"conv_pos_batch_norm": True}),
    "unispeech": ("UniSpeechConfig", "UniSpeechForCTC", LAYER_NORM),
    "unispeech-sat": ("UniSpeechSatConfig", "UniSpeechSatForCTC", {}),
    "wavlm, group norm": ("WavLMConfig", "WavLMForCTC", {}),
    "wavlm, layer norm": ("WavLMConfig", "WavLMForCTC", LAYER_NORM),
    "data2vec-audio": ("Data2VecAudioConfig", "Data2VecAudioForCTC", {}),
}


@dataclass(frozen=True, slots=True)
class RandomCheckpoint:
    """The weights of a transformers model, as if they had been read from files."""

    config: Mapping[str, Any]
    weights: Mapping[str, torch.Tensor]
    labels: tuple[str, ...]
    blank: int = 0
    normalize: bool = True


def random_model(config: str, model: str, changes: Mapping[str, Any]) -> Any:
    """A transformers model with random weights, the same in every run."""
    import transformers

    torch.manual_seed(0)
    return getattr(transformers, model)(getattr(transformers, config)(**changes)).eval().requires_grad_(False)


def checkpoint(model: Any) -> RandomCheckpoint:
    """The checkpoint of a transformers model."""
    named = {encoder_name(name): tensor for name, tensor in model.state_dict().items() if encoder_name(name)}
    labels = ("", *(f"<{number}>" for number in range(1, model.config.vocab_size)))
    return RandomCheckpoint(model.config.to_dict(), fold_weight_norm(named, "a random model"), labels)


def audio(seconds: float) -> Samples:
    """Noise whose loudness comes and goes as that of speech does."""
    count = round(seconds * SAMPLE_RATE)
    loudness = 0.05 + 0.1 * np.abs(np.sin(np.arange(count) * (2 * np.pi * 2.5 / SAMPLE_RATE)))
    noise: Samples = (np.random.default_rng(0).normal(size=count) * loudness).astype(np.float32)
    return noise


def normalized(samples: Samples) -> torch.Tensor:
    """What the feature extractors of the checkpoints make of a recording: (1, samples), double precision."""
    doubles = samples.astype(np.float64)
    return torch.from_numpy((doubles - doubles.mean()) / np.sqrt(doubles.var() + 1e-7))[None]


def compare_families(seconds: float) -> None:
    """Print the largest difference from transformers' logits per family, offline and streamed as one chunk."""
    samples = audio(seconds)
    print(f"largest difference from transformers' logits, {seconds:g} s of audio")
    print(f"  {'family':26}{'float32':>12}{'float64':>12}{'one chunk, float64':>22}{'spread of logits':>20}")
    for name, (config, kind, changes) in FAMILIES.items():
        sizes = {**SMALL, **({"conv_pos_kernel_size": 19} if name == "data2vec-audio" else {})}
        model = random_model(config, kind, {**sizes, **changes})
        single, reference = difference(model, samples, "float32")
        double, _ = difference(model.double(), samples, "float64")
        stream = Encoder.from_checkpoint(checkpoint(model), precision="float64").open(Context.whole())
        streamed = torch.cat((stream.push(samples), stream.finish()))
        chunk = float((streamed - model(normalized(samples)).logits[0]).abs().max())
        print(f"  {name:26}{single:12.1e}{double:12.1e}{chunk:22.1e}{float(reference.std()):20.2f}", flush=True)
    print()


def difference(model: Any, samples: Samples, precision: Precision) -> tuple[float, torch.Tensor]:
    """The largest difference of the encoder from the model, and the model's logits."""
    encoder = Encoder.from_checkpoint(checkpoint(model), precision=precision)
    reference = torch.as_tensor(model(normalized(samples).to(encoder.dtype)).logits)
    return float((encoder(samples[None]) - reference).abs().max()), reference


def cost(work: Callable[[], object]) -> float:
    """CPU seconds of this process for one run."""
    start = time.process_time()
    work()
    return time.process_time() - start


class FrameStream(Protocol):
    """A way to stream: samples in, scores of frames out."""

    def push(self, samples: Samples) -> torch.Tensor: ...
    def finish(self) -> torch.Tensor: ...


def streaming(open_stream: Callable[[], FrameStream], samples: Samples) -> Callable[[], None]:
    """A run of samples through a stream in packets of 100 ms."""

    def run() -> None:
        stream = open_stream()
        for packet in np.array_split(samples, len(samples) // (SAMPLE_RATE // 10)):
            stream.push(packet)
        stream.finish()

    return run


def compare_costs(name: str, changes: Mapping[str, Any], seconds: float, rounds: int) -> None:
    """Print what each way of encoding costs, as a ratio to transformers' offline pass."""
    model = random_model("Wav2Vec2Config", "Wav2Vec2ForCTC", changes)
    samples, read = audio(seconds), checkpoint(model)
    wave = normalized(samples).float()
    single = Encoder.from_checkpoint(read)
    eighth = Encoder.from_checkpoint(read, precision="int8")
    frame_ms = single.hop * 1000 / SAMPLE_RATE
    context = Context(chunk=round(CHUNK_MS / frame_ms), left=round(LEFT_MS / frame_ms))
    ways: dict[str, Callable[[], object]] = {
        "transformers, offline": lambda: model(wave).logits,
        "offline, float32": lambda: single(samples[None]),
        "offline, int8": lambda: eighth(samples[None]),
        "stream, float32": streaming(lambda: single.open(context), samples),
        "stream, int8": streaming(lambda: eighth.open(context), samples),
        "sliding window, float32": streaming(lambda: SlidingWindow(single, context), samples),
    }
    with torch.inference_mode():
        costs = {way: [cost(run)] for way, run in ways.items()}
        for _ in range(rounds - 1):
            # The sliding window is by far the dearest; one round of it tells enough.
            for way in [way for way in ways if not way.startswith("sliding")]:
                costs[way].append(cost(ways[way]))
    report(name, seconds, {way: min(found) for way, found in costs.items()})


def report(name: str, seconds: float, best: Mapping[str, float]) -> None:
    """Print the table of one network and whether it keeps what is promised."""
    print(f"{name}: {seconds:g} s of audio, chunk {CHUNK_MS} ms, no lookahead, left context {LEFT_MS} ms")
    for way, value in best.items():
        ratio = value / best["transformers, offline"]
        print(f"  {way:26}{value / seconds:8.3f} CPU s per s {ratio:8.2f} of transformers offline")
    single = best["stream, float32"] / best["transformers, offline"]
    eighth = best["stream, int8"] / best["transformers, offline"]
    saved = best["sliding window, float32"] / best["stream, float32"]
    print(f"  stream float32 {single:.2f} (goal <= 1.2): {verdict(single <= 1.2)}")
    print(f"  stream int8    {eighth:.2f} (goal <= 0.6): {verdict(eighth <= 0.6)}")
    print(f"  sliding window {saved:.1f} times the stream (goal >= 4): {verdict(saved >= 4)}\n", flush=True)


def verdict(kept: bool) -> str:
    """One word for a table."""
    return "kept" if kept else "MISSED"


def main() -> None:
    """Run all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less audio and one round: a look, not a measurement")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print_machine()
    with torch.inference_mode():
        compare_families(3 if arguments.quick else 10)
    for name, changes in (("base size, 95 M", BASE), ("XLSR size, 315 M", XLSR)):
        compare_costs(name, changes, seconds=15 if arguments.quick else 60, rounds=1 if arguments.quick else 3)
        gc.collect()  # hundreds of MiB of weights, which the next network needs


if __name__ == "__main__":
    main()
