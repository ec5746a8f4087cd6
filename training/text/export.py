"""Writes a trained text model as it is shipped: `python -m training.text.export prepared/text runs/text FOLDER`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch

from streaming_asr.text.model import packed, save
from training.text.data import Lexicon
from training.text.network import Network, Shape


def read_network(run: Path) -> Network:
    """The network that `training.text.train` has left in a folder."""
    saved = torch.load(run / "network.pt", weights_only=True)
    network = Network(Shape(**saved["shape"]))
    network.load_state_dict(saved["weights"])
    return network.eval()


def to_arrays(network: Network) -> dict[str, npt.NDArray[Any]]:
    """The weights by the names that `streaming_asr.text.model` knows, packed."""
    shape, state = network.shape, network.state_dict()
    lookaheads = range(shape.lookaheads)
    plain: dict[str, torch.Tensor] = {
        "pauses": state["pauses.weight"],
        "going_on": state["going_on.weight"],
        "gain": state["norm.weight"],
        "here": state["here.weight"].view(shape.lookaheads, shape.hidden, shape.width),
        "here_bias": state["here.bias"].view(shape.lookaheads, shape.hidden),
        "ahead": torch.stack([state[f"ahead.{one}.weight"] for one in lookaheads[:-1]]),
        "heads": torch.stack([state[f"heads.{one}.weight"] for one in lookaheads]),
        "head_biases": torch.stack([state[f"heads.{one}.bias"] for one in lookaheads]),
    }
    names = {"gain": "norm.weight", "taps": "taps", "inward": "inward.weight", "bias": "inward.bias"}
    for number in range(shape.blocks):
        for name, here in (names | {"outward": "outward.weight"}).items():
            plain[f"block{number}_{name}"] = state[f"blocks.{number}.{here}"]
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, tensor in plain.items():
        arrays |= packed(name, tensor.numpy(), as_bytes=False)
    arrays |= packed("words", state["words.weight"].numpy(), as_bytes=True)
    return arrays | packed("pieces", state["pieces.weight"].numpy(), as_bytes=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--language", default="en")
    options = parser.parse_args()
    network = read_network(options.run)
    words = Lexicon.read(options.prepared, network.shape).listed
    spellings = json.loads((options.prepared / "spellings.json").read_text(encoding="utf-8"))
    save(
        options.folder,
        to_arrays(network),
        language=options.language,
        words=words,
        spellings=spellings,
        blocks=network.shape.blocks,
    )
    print({path.name: path.stat().st_size for path in sorted(options.folder.iterdir())})


if __name__ == "__main__":
    main()
