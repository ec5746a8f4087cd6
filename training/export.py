"""Puts a trained model where it is shipped: `python -m training.export RUN_FOLDER TARGET [--language-model FOLDER]`.

Several model folders are averaged weight by weight. The configuration says how the model wants to be streamed; the
weights are float32, or float16 with `--half`.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch

from training.checkpoints import average, read_config, read_weights, write_model

LATENCY: Final = {"chunk_ms": 640, "lookahead_ms": 320, "left_ms": 6400, "sink_ms": 320}
"""What the models here were trained for, in milliseconds; a stream may choose otherwise."""


def export(
    models: Sequence[Path], target: Path, *, language_model: Path | None = None, precision: torch.dtype = torch.float32
) -> None:
    """Writes the mean of some model folders, and the language model beside it if there is one.

    A target that exists already keeps its tokenizer and what only its configuration says.
    """
    exists = (target / "config.json").exists()
    kept = read_config(target) if exists else {"streaming": LATENCY}
    config: dict[str, Any] = kept | read_config(models[0])
    weights = average([read_weights(folder) for folder in models])
    write_model(target, weights, config, None if exists else models[0], precision=precision)
    if language_model is not None:
        shutil.copytree(language_model, target / "language_model", dirs_exist_ok=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="+", help="model folders of one run, averaged if several")
    parser.add_argument("target", type=Path)
    parser.add_argument("--language-model", type=Path, help="a folder of training.language_model")
    parser.add_argument("--half", action="store_true", help="float16 weights")
    options = parser.parse_args()
    precision = torch.float16 if options.half else torch.float32
    export(options.models, options.target, language_model=options.language_model, precision=precision)


if __name__ == "__main__":
    main()
