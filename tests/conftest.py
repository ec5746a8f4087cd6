"""Small random checkpoints of every family and norm variant, made with transformers itself.

transformers is the reference of these tests: its models are built from tiny configurations, given lively random
weights, and their logits are what the encoder has to reproduce.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
import torch
from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")  # tests say what is right, not how fast: a busy machine is no failure

FAMILY_VARIANTS: Final = (
    ("wav2vec2", "group"),
    ("wav2vec2", "layer"),
    ("wav2vec2", "layer-post"),
    ("wav2vec2", "group-pre"),
    ("wav2vec2", "unusual"),
    ("wav2vec2", "adapter"),
    ("hubert", "group"),
    ("hubert", "layer"),
    ("hubert", "batch-norm"),
    ("hubert", "no-projection-norm"),
    ("unispeech", "group"),
    ("unispeech", "layer"),
    ("unispeech-sat", "group"),
    ("unispeech-sat", "layer"),
    ("wavlm", "group"),
    ("wavlm", "layer"),
    ("data2vec-audio", "layer"),
    ("data2vec-audio", "unusual"),
)
"""Every (family, variant) that `tiny_model` knows."""

BASE: Final[dict[str, Any]] = {
    "vocab_size": 12,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_dim": (16, 16, 24),
    "conv_kernel": (10, 3, 2),
    "conv_stride": (5, 2, 2),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}

VARIANTS: Final[dict[str, dict[str, Any]]] = {
    "group": {"feat_extract_norm": "group", "conv_bias": False, "do_stable_layer_norm": False},
    "layer": {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True},
    "layer-post": {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": False},
    "group-pre": {"feat_extract_norm": "group", "conv_bias": True, "do_stable_layer_norm": True},
    "unusual": {
        "feat_extract_norm": "layer",
        "conv_bias": False,
        "do_stable_layer_norm": True,
        "conv_dim": (8, 12, 20),
        "conv_kernel": (7, 3, 4),
        "conv_stride": (3, 4, 1),
        "num_conv_pos_embeddings": 5,
        "hidden_act": "relu",
        "feat_extract_activation": "gelu_new",
        "layer_norm_eps": 1e-3,
    },
    "adapter": {
        "feat_extract_norm": "layer",
        "conv_bias": True,
        "do_stable_layer_norm": True,
        "adapter_attn_dim": 6,
    },
    "batch-norm": {"feat_extract_norm": "group", "conv_pos_batch_norm": True},
    "no-projection-norm": {"feat_extract_norm": "group", "feat_proj_layer_norm": False},
}

DATA2VEC: Final[dict[str, Any]] = {"num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 5}
"""data2vec counts its positional layers where the others count the taps of their one layer."""

CLASSES: Final = {
    "wav2vec2": ("Wav2Vec2Config", "Wav2Vec2ForCTC"),
    "hubert": ("HubertConfig", "HubertForCTC"),
    "unispeech": ("UniSpeechConfig", "UniSpeechForCTC"),
    "unispeech-sat": ("UniSpeechSatConfig", "UniSpeechSatForCTC"),
    "wavlm": ("WavLMConfig", "WavLMForCTC"),
    "data2vec-audio": ("Data2VecAudioConfig", "Data2VecAudioForCTC"),
}

TinyModel: TypeAlias = Callable[..., Any]
"""(family, variant="group", seed=0, **configuration) -> a transformers model in evaluation mode."""


@dataclass(frozen=True, slots=True)
class PlainCheckpoint:
    """What the encoder needs of a checkpoint, field by field as the reader of checkpoint files gives it."""

    config: Mapping[str, Any]
    weights: Mapping[str, torch.Tensor]
    labels: tuple[str, ...]
    blank: int
    normalize: bool
    sampling_rate: int = 16_000
    name: str = "tiny"
    folder: Path = Path()
    language: str | None = None


AsCheckpoint: TypeAlias = Callable[..., PlainCheckpoint]
"""(transformers model, normalize=True) -> its weights as the reader of checkpoint files gives them."""


def _configuration(family: str, variant: str, changes: Mapping[str, Any]) -> Any:
    import transformers

    values = {**BASE, **VARIANTS[variant], **changes}
    if family == "data2vec-audio":
        values = {**values, **DATA2VEC, **changes, "do_stable_layer_norm": False}
        values.pop("feat_extract_norm")
    if family == "wavlm":
        values = {"num_buckets": 16, "max_bucket_distance": 20, **values}
    return getattr(transformers, CLASSES[family][0])(**values)


def _enliven(model: torch.nn.Module) -> None:
    """Random norms, biases and statistics: with the initial ones and zeros a forgotten term would go unseen."""
    for parameter in model.parameters():
        if parameter.dim() < 2:
            parameter.data.add_(torch.randn_like(parameter) * 0.3)
        else:
            parameter.data.add_(torch.randn_like(parameter) * 0.1)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0.0, 0.5)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0)


def _tiny_model(family: str, variant: str = "group", seed: int = 0, **changes: Any) -> Any:
    import transformers

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = getattr(transformers, CLASSES[family][1])(_configuration(family, variant, changes))
        _enliven(model)
    return model.eval().requires_grad_(False)


def _folded(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights with the weight norm of the positional convolution multiplied out (per tap, Salimans 2016)."""
    marker = ".parametrizations.weight.original0"
    for key in [key for key in weights if key.endswith(marker)]:
        stem = key.removesuffix(marker)
        scale, direction = weights.pop(key), weights.pop(f"{stem}.parametrizations.weight.original1")
        weights[f"{stem}.weight"] = scale * direction / direction.norm(dim=(0, 1), keepdim=True)
    return weights


def _as_checkpoint(model: Any, normalize: bool = True) -> PlainCheckpoint:
    prefix = f"{model.base_model_prefix}."
    weights = {key.removeprefix(prefix): value.clone() for key, value in model.state_dict().items()}
    labels = ("", "<s>", "</s>", " ", *(chr(ord("a") + letter) for letter in range(model.config.vocab_size - 4)))
    return PlainCheckpoint(model.config.to_dict(), _folded(weights), labels, blank=0, normalize=normalize)


@pytest.fixture(scope="session")
def tiny_model() -> TinyModel:
    """Builds small random transformers models: `tiny_model("wavlm", "layer", seed=3, hidden_size=48)`."""
    return _tiny_model


@pytest.fixture(scope="session")
def as_checkpoint() -> AsCheckpoint:
    """Turns a transformers model into the checkpoint that the encoder is built from."""
    return _as_checkpoint


MMS_LETTERS: Final[Mapping[str, str]] = {"eng": "abcdefgh", "fra": "abcdéàçê", "deu": "abcäöüß"}


@pytest.fixture(scope="session")
def mms(tiny_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the layout of MMS: a network, and of each language an adapter, a head and letters of its own."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("mms")
    tiny_model("wav2vec2", "adapter", vocab_size=10).save_pretrained(folder)
    vocabularies = {}
    for seed, (code, letters) in enumerate(MMS_LETTERS.items()):
        vocabularies[code] = {token: row for row, token in enumerate(["<pad>", "|", *letters])}
        spoken = tiny_model("wav2vec2", "adapter", seed=20 + seed, vocab_size=len(letters) + 2).state_dict()
        own = {name: tensor for name, tensor in spoken.items() if "adapter_layer" in name or "lm_head" in name}
        save_file(own, folder / f"adapter.{code}.safetensors")
    for name, content in {
        "vocab.json": vocabularies,
        "tokenizer_config.json": {"target_lang": "eng", "pad_token": "<pad>"},
        "preprocessor_config.json": {"do_normalize": False},
    }.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture(params=FAMILY_VARIANTS, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def family_variant(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Each supported family with each of its norm variants."""
    pair: tuple[str, str] = request.param
    return pair
