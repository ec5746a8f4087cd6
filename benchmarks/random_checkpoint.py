"""Checkpoints of known sizes with random weights: for cost alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

SHAPES: Final[Mapping[str, Mapping[str, Any]]] = {
    "base": {},
    "large": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "feat_extract_norm": "layer",
        "do_stable_layer_norm": True,
        "conv_bias": True,
    },
}
"""As wav2vec2-base, and as XLSR-300M."""


def random_checkpoint(size: str, parent: Path) -> None:
    """Write a wav2vec2 checkpoint of a known size with random weights into a folder of its name."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    folder = parent / size
    Wav2Vec2ForCTC(Wav2Vec2Config(vocab_size=32, **SHAPES[size])).save_pretrained(folder)
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'"]
    (folder / "vocab.json").write_text(json.dumps({letter: number for number, letter in enumerate(letters)}))
