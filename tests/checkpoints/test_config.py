"""What a configuration is read as, and what is refused with which reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from streaming_asr.checkpoints.config import ACTIVATIONS, FAMILIES, REFUSED, Config
from streaming_asr.errors import CheckpointError

if TYPE_CHECKING:
    from tests.conftest import TinyModel


@pytest.mark.parametrize("family", FAMILIES)
def test_missing_keys_have_the_defaults_of_the_family(family: str) -> None:
    config = Config.parse({"model_type": family})
    assert (config.width, config.layers, config.heads, config.feed_forward) == (768, 12, 12, 3072)
    assert (config.hop, config.receptive_field) == (320, 400)
    assert config.norm_first is False
    assert config.positional_reach == (45 if family == "data2vec-audio" else 64)
    assert config.convolution_norm == ("layer" if family == "data2vec-audio" else "group")
    assert (config.relative_bias is not None) == (family == "wavlm")


def test_it_reads_what_transformers_writes(tiny_model: TinyModel, family_variant: tuple[str, str]) -> None:
    model = tiny_model(*family_variant)
    config = Config.parse(model.config.to_dict())
    for samples in (1, 50, 333, 1000):
        expected = int(model._get_feat_extract_output_lengths(torch.tensor(samples)))
        assert config.frames(samples) == max(0, expected)


def test_unknown_and_dated_keys_are_ignored() -> None:
    dated: dict[str, Any] = {"gradient_checkpointing": False, "feat_extract_dropout": 0.0, "torch_dtype": "float32"}
    assert Config.parse({"model_type": "wav2vec2", **dated}) == Config.parse({"model_type": "wav2vec2"})


@pytest.mark.parametrize("family", sorted(REFUSED))
def test_other_families_are_refused_with_a_reason(family: str) -> None:
    with pytest.raises(CheckpointError, match=f"{family}.*{REFUSED[family][:20]}"):
        Config.parse({"model_type": family})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "bert"}, "model_type in config.json is 'bert', supported are wav2vec2,"),
        ({"model_type": None}, "model_type in config.json is 'None'"),
        ({"add_adapter": True}, "add_adapter=true are not supported"),
        ({"feat_extract_norm": "batch"}, "feat_extract_norm in config.json is 'batch'"),
        ({"hidden_act": "snake"}, "hidden_act in config.json is 'snake', known are "),
        ({"hidden_size": 100}, "hidden_size 100 is not a multiple of num_attention_heads 12"),
        ({"num_conv_pos_embedding_groups": 7}, "not a multiple of num_conv_pos_embedding_groups 7"),
        ({"conv_kernel": [10, 3]}, "have 7, 2 and 7 entries, they need equally many"),
        ({"conv_stride": [5, 2, 2, 0, 2, 2, 2]}, "conv_stride in config.json is 0"),
        ({"conv_dim": "512"}, "conv_dim in config.json is '512'"),
        ({"num_hidden_layers": -1}, "num_hidden_layers in config.json is -1"),
        ({"num_hidden_layers": True}, "num_hidden_layers in config.json is True"),
        ({"conv_bias": 1}, "conv_bias in config.json is 1, it has to be true or false"),
    ],
)
def test_what_cannot_be_is_refused_by_name_and_value(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        Config.parse({"model_type": "wav2vec2", **changes})


def test_adapters_are_read_only_where_the_network_has_them() -> None:
    adapters = {"model_type": "wav2vec2", "adapter_attn_dim": 16}
    assert Config.parse({**adapters, "do_stable_layer_norm": True}).adapter == 16
    assert Config.parse(adapters).adapter is None
    assert (
        Config.parse({"model_type": "wav2vec2", "adapter_attn_dim": None, "do_stable_layer_norm": True}).adapter is None
    )


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_are_those_of_transformers(name: str) -> None:
    from transformers.activations import ACT2FN

    inputs = torch.linspace(-4, 4, 101, dtype=torch.float64)
    torch.testing.assert_close(ACTIVATIONS[name](inputs), ACT2FN[name](inputs), rtol=0, atol=1e-7)


def test_frames_samples_and_first_outputs_agree() -> None:
    config = Config.parse({"model_type": "wav2vec2", "conv_kernel": [10, 3, 1, 3, 5, 2, 2], "conv_stride": [3] * 7})
    for frames in range(1, 5):
        samples = config.samples(frames)
        assert config.frames(samples) == frames
        assert config.frames(samples - 1) == frames - 1
        assert config.first_outputs(samples) * 3 + 10 - 3 == samples
        assert config.needed_from(frames) == config.first_outputs(samples) * 3
    assert (config.samples(0), config.needed_from(0), config.frames(0)) == (0, 0, 0)
