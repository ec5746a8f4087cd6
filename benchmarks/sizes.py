"""What a second of audio costs at each usual size of network, with the latency that such checkpoints are given.

    python -m benchmarks.sizes [--seconds 10] [--skip-largest]

Networks have random weights: cost does not depend on what they know. One thread, CPU time of this process, the best of
two rounds; the last column is the ratio to the smallest network in float32, which is what to compare. Memory is that of
the weights as they lie in memory.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Mapping
from typing import Any, Final

import torch

from benchmarks.encoder import BASE, XLSR, audio, checkpoint, cost, streaming
from benchmarks.machine import print_machine
from streaming_asr.latency import OFFLINE_MODEL_LATENCY
from streaming_asr.model import Encoder, Precision

XLS_R_1B: Final[Mapping[str, Any]] = {
    **XLSR,
    **{"hidden_size": 1280, "num_hidden_layers": 48, "intermediate_size": 5120},
}
SIZES: Final[Mapping[str, Mapping[str, Any]]] = {
    "base": BASE,
    "large": XLSR,
    "1 billion": XLS_R_1B,
}
PRECISIONS: Final[tuple[Precision, ...]] = ("float32", "int8")


def measure(changes: Mapping[str, Any], precision: Precision, seconds: float) -> float:
    """CPU seconds per second of audio, as a stream with the latency of offline models."""
    encoder = Encoder.from_checkpoint(checkpoint(untrained(changes)), precision=precision)
    gc.collect()
    context = OFFLINE_MODEL_LATENCY.context(encoder.hop)
    run = streaming(lambda: encoder.open(context), audio(seconds))
    return min(cost(run) for _ in range(2)) / seconds


def untrained(changes: Mapping[str, Any]) -> Any:
    """A network with weights of no meaning; transformers' own initialization takes minutes at a billion of them."""
    model = shape(changes).to_empty(device="cpu").eval().requires_grad_(False)
    for weight in (*model.parameters(), *model.buffers()):
        weight.uniform_(-0.05, 0.05)
    return model


def shape(changes: Mapping[str, Any]) -> Any:
    """A network without weights."""
    import transformers

    with torch.device("meta"):
        return transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config(**changes))


def parameters(changes: Mapping[str, Any]) -> int:
    """How many parameters recognition uses."""
    model = shape(changes)
    return sum(weight.numel() for name, weight in model.named_parameters() if "masked_spec_embed" not in name)


def main() -> None:
    """Print one line for each size and precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="audio per round")
    parser.add_argument("--skip-largest", action="store_true", help="the largest needs 9 GB of memory")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print_machine()
    latency = OFFLINE_MODEL_LATENCY
    print(f"chunk {latency.chunk_ms} ms, lookahead {latency.lookahead_ms} ms, left context {latency.left_ms} ms")
    print(f"  {'size':12}{'parameters':>14}{'precision':>12}{'CPU s per s':>14}{'ratio':>8}")
    first = None
    for name, changes in list(SIZES.items())[: 2 if arguments.skip_largest else 3]:
        for precision in PRECISIONS:
            with torch.inference_mode():
                spent = measure(changes, precision, arguments.seconds)
            first = first or spent
            count = f"{parameters(changes) / 1e6:.1f} M"
            print(f"  {name:12}{count:>14}{precision:>12}{spent:14.3f}{spent / first:8.2f}", flush=True)


if __name__ == "__main__":
    main()
