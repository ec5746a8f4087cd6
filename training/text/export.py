"""Writes a trained text model as it is shipped: `python -m training.text.export prepared/text runs/text FOLDER`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from streaming_asr.text.model import WEIGHTS_FILE, packed, restored, save
from training.text.data import Lexicon
from training.text.network import Network, Shape


def read_network(run: Path) -> Network:
    """The network that `training.text.train` has left in a folder."""
    saved = torch.load(run / "network.pt", weights_only=True)
    network = Network(Shape(**saved["shape"]))
    network.load_state_dict(saved["weights"])
    return network.eval()


def read_shipped(folder: Path) -> Network:
    """The network of a folder that `save` wrote."""
    with np.load(folder / WEIGHTS_FILE) as file:
        return from_arrays({name: file[name] for name in file.files})


def to_arrays(network: Network) -> dict[str, npt.NDArray[Any]]:
    """The weights by the names that `streaming_asr.text.model` knows, packed."""
    shape, state = network.shape, network.state_dict()
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, parts in _parts(shape).items():
        tensors = [state[part] for part in parts]
        whole = torch.stack(tensors) if name in _STACKED else tensors[0]
        if name in ("here", "here_bias"):
            whole = whole.view(shape.lookaheads, shape.hidden, *whole.shape[1:])
        arrays |= packed(name, whole.numpy(), as_bytes=name in _TABLES)
    return arrays


def from_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> Network:
    """The network of a shipped model, with the weights as they were rounded."""
    values = {name: torch.from_numpy(restored(name, arrays)) for name in arrays if not name.endswith("_scale")}
    (words, width), memory = values["words"].shape, values["block0_outward"].shape[1]
    shape = Shape(
        words=words,
        pieces=len(values["pieces"]),
        width=width,
        memory=memory,
        blocks=sum(name.endswith("_gain") for name in values),
        kernel=len(values["block0_taps"]),
        hidden=values["here"].shape[1],
        lookaheads=len(values["here"]),
    )
    state: dict[str, torch.Tensor] = {}
    for name, parts in _parts(shape).items():
        whole = values[name].flatten(0, 1) if name in ("here", "here_bias") else values[name]
        state |= dict(zip(parts, whole if name in _STACKED else [whole], strict=True))
    network = Network(shape)
    network.load_state_dict(state)
    return network.eval()


_TABLES: Final = ("words", "pieces")
_STACKED: Final = ("ahead", "heads", "head_biases")


def _parts(shape: Shape) -> dict[str, list[str]]:
    """The names of the network's tensors by those of the shipped arrays."""
    lookaheads = range(shape.lookaheads)
    parts = {name: [f"{name}.weight"] for name in ("words", "pieces", "pauses", "going_on", "here")}
    parts |= {
        "gain": ["norm.weight"],
        "here_bias": ["here.bias"],
        "ahead": [f"ahead.{one}.weight" for one in lookaheads[:-1]],
        "heads": [f"heads.{one}.weight" for one in lookaheads],
        "head_biases": [f"heads.{one}.bias" for one in lookaheads],
    }
    own = {"gain": "norm.weight", "taps": "taps", "inward": "inward.weight", "bias": "inward.bias"}
    for number in range(shape.blocks):
        for name, here in (own | {"outward": "outward.weight"}).items():
            parts[f"block{number}_{name}"] = [f"blocks.{number}.{here}"]
    return parts


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
