"""Small checkpoint folders, written file by file without transformers: as good as real ones until they are run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file

from streaming_asr.checkpoints.shapes import expected_shapes
from streaming_asr.checkpoints.weights import adapter_names

CONFIG: Final[Mapping[str, Any]] = {
    "architectures": ["Wav2Vec2ForCTC"],
    "model_type": "wav2vec2",
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "conv_dim": [4, 6],
    "conv_kernel": [8, 3],
    "conv_stride": [4, 2],
    "conv_bias": True,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "pad_token_id": 0,
    "vocab_size": 6,
}
VOCABULARY: Final[Mapping[str, int]] = {"<pad>": 0, "<unk>": 1, "|": 2, "a": 3, "b": 4, "c": 5}
ADAPTER_WIDTH: Final = 3


def write_json(folder: Path, **files: Any) -> None:
    """Write JSON files, named without their ending."""
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def random_weights(config: Mapping[str, Any], rows: int, prefix: str = "wav2vec2.") -> dict[str, torch.Tensor]:
    """The tensors that all families share, of the right shapes, named as transformers names them."""
    generator = torch.Generator().manual_seed(7)
    shapes = expected_shapes(config, rows)
    return {
        name if name.startswith("lm_head") else f"{prefix}{name}": torch.randn(shape, generator=generator)
        for name, shape in shapes.items()
    }


def write_checkpoint(folder: Path, **changes: Any) -> Path:
    """A complete folder; `changes` go into `config.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {**CONFIG, **changes}
    write_json(
        folder, config=config, vocab=VOCABULARY, preprocessor_config={"sampling_rate": 16000, "do_normalize": False}
    )
    save_file(random_weights(config, len(VOCABULARY)), folder / "model.safetensors")
    return folder


def write_multilingual(folder: Path, letters: Mapping[str, str]) -> Path:
    """A folder in the layout of MMS: adapter and vocabulary of each language; the first one is the checkpoint's own."""
    own = next(iter(letters))
    write_checkpoint(folder, adapter_attn_dim=ADAPTER_WIDTH)
    vocabularies = {language: {"<pad>": 0, "|": 1, **_numbered(text)} for language, text in letters.items()}
    write_json(folder, vocab=vocabularies, tokenizer_config={"target_lang": own, "pad_token": "<pad>"})
    for number, (language, text) in enumerate(letters.items()):
        save_file(adapter(len(text) + 2, float(number)), folder / f"adapter.{language}.safetensors")
    return folder


def adapter(rows: int, value: float) -> dict[str, torch.Tensor]:
    """The tensors of one language, all of one value so that it can be told apart."""
    names = adapter_names(CONFIG["num_hidden_layers"])
    return {
        name if name.startswith("lm_head") else f"wav2vec2.{name}": torch.full(_adapter_shape(name, rows), value)
        for name in names
    }


def _adapter_shape(name: str, rows: int) -> tuple[int, ...]:
    hidden = CONFIG["hidden_size"]
    shapes = {
        "linear_1.weight": (ADAPTER_WIDTH, hidden),
        "linear_1.bias": (ADAPTER_WIDTH,),
        "linear_2.weight": (hidden, ADAPTER_WIDTH),
        "lm_head.weight": (rows, hidden),
        "lm_head.bias": (rows,),
    }
    return next((shape for ending, shape in shapes.items() if name.endswith(ending)), (hidden,))


def _numbered(letters: str) -> dict[str, int]:
    return {letter: number for number, letter in enumerate(letters, start=2)}


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder, as they would be published."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
