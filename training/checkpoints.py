"""Hugging Face folders in and out: wav2vec2 weights by their names without prefix, weight norm folded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from streaming_asr.checkpoints.checkpoint import read_checkpoint
from training.initialization import grow_depth
from training.model import Shape, StreamingCtc
from training.transcripts import Spelling

_PREFIXES = ("wav2vec2.", "hubert.", "wavlm.")
_POSITIONAL = "encoder.pos_conv_embed.conv"
_SPELLINGS = ((".parametrizations.weight.original0", ".parametrizations.weight.original1"), (".weight_g", ".weight_v"))


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a model folder."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Every weight in float32, without the family prefix and with the weight norm folded."""
    weights: dict[str, Tensor] = {}
    for name, value in load_file(folder / "model.safetensors").items():
        for prefix in _PREFIXES:
            name = name.removeprefix(prefix)
        weights[name] = value.float()
    return fold_weight_norm(weights)


def fold_weight_norm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The positional convolution as one plain weight, whichever way its weight norm is spelled."""
    folded = dict(weights)
    for gain, direction in _SPELLINGS:
        if _POSITIONAL + gain in folded:
            scale, vector = folded.pop(_POSITIONAL + gain), folded.pop(_POSITIONAL + direction)
            folded[_POSITIONAL + ".weight"] = scale * vector / vector.norm(dim=(0, 1), keepdim=True)
    return folded


def unfold_weight_norm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `fold_weight_norm`, as transformers 5 spells it."""
    spelled = dict(weights)
    weight = spelled.pop(_POSITIONAL + ".weight")
    spelled[_POSITIONAL + _SPELLINGS[0][0]] = weight.norm(dim=(0, 1), keepdim=True)
    spelled[_POSITIONAL + _SPELLINGS[0][1]] = weight
    return spelled


@dataclass(frozen=True, slots=True)
class Start:
    """A trainable model, its config.json, how it spells, and the folder that its files came from."""

    model: StreamingCtc
    config: dict[str, Any]
    spelling: Spelling
    folder: Path


def read_start(name: str | Path, layers: tuple[int, ...] | None = None) -> Start:
    """A folder or a hub name as a trainable model; `layers` says what each layer starts from (see `grow_depth`)."""
    checkpoint = read_checkpoint(name)
    config, weights = dict(checkpoint.config), dict(checkpoint.weights)
    shape = Shape.parse(config)
    if layers is not None:
        weights = grow_depth(weights, layers)
        shape = replace(shape, num_hidden_layers=len(layers))
        config["num_hidden_layers"] = len(layers)
    model = StreamingCtc(shape)
    model.load_state_dict({name: weights[name] for name in model.state_dict()})
    return Start(model, config, Spelling(checkpoint.labels, checkpoint.blank), checkpoint.folder)


def write_model(
    folder: Path,
    weights: Mapping[str, Tensor],
    config: Mapping[str, Any],
    source: Path | None,
    *,
    precision: torch.dtype = torch.float32,
) -> None:
    """A folder that stock transformers loads; tokenizer and front end files are copied from `source`."""
    folder.mkdir(parents=True, exist_ok=True)
    prefix = f"{config['model_type']}."
    kept = {name: value for name, value in weights.items() if not name.startswith("phone_head.")}
    whole = unfold_weight_norm({name: value.detach().cpu().float() for name, value in kept.items()})
    named = {
        name if name.startswith("lm_head") else prefix + name: value.to(precision).contiguous().clone()
        for name, value in whole.items()
    }
    save_file(named, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    (folder / "config.json").write_text(json.dumps(dict(config), indent=2, sort_keys=True) + "\n", encoding="utf-8")
    for name in ("vocab.json", "preprocessor_config.json", "tokenizer_config.json"):
        if source is not None and (source / name).exists():
            (folder / name).write_bytes((source / name).read_bytes())


def average(checkpoints: list[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each weight over some checkpoints."""
    return {name: torch.stack([one[name].float() for one in checkpoints]).mean(0) for name in checkpoints[0]}
