"""Every way in which weights are saved, and what is said of files that are none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from streaming_asr.checkpoints.headers import read_shapes
from streaming_asr.checkpoints.weights import (
    check_shapes,
    encoder_name,
    fold_weight_norm,
    put_adapter,
    read_adapter,
    read_weights,
    weight_files,
)
from streaming_asr.errors import CheckpointError

QUERY = "encoder.layers.0.attention.q_proj.weight"
CONVOLUTION = "encoder.pos_conv_embed.conv"
WHOLE = ("model.safetensors", "pytorch_model.bin")


def tensors(prefix: str = "wav2vec2.") -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        f"{prefix}{QUERY}": torch.randn(4, 4, generator=generator),
        f"{prefix}feature_projection.projection.bias": torch.randn(4, generator=generator),
        f"{'module.' if prefix.startswith('module.') else ''}lm_head.weight": torch.randn(5, 4, generator=generator),
    }


def assert_same(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)


@pytest.mark.parametrize(
    "prefix",
    [
        *("wav2vec2.", "hubert.", "unispeech.", "unispeech_sat.", "wavlm.", "data2vec_audio."),
        *("", "module.wav2vec2.", "module.", "_orig_mod.wavlm."),
    ],
)
def test_prefixes_of_families_and_wrappers_are_taken_off(tmp_path: Path, prefix: str) -> None:
    save_file(tensors(prefix), tmp_path / "model.safetensors")
    assert_same(read_weights([tmp_path / "model.safetensors"]), tensors(""))


def test_a_pickle_gives_what_safetensors_give(tmp_path: Path) -> None:
    torch.save(tensors(), tmp_path / "pytorch_model.bin")
    assert_same(read_weights([tmp_path / "pytorch_model.bin"]), tensors(""))


def test_a_pickle_of_the_old_kind_is_read(tmp_path: Path) -> None:
    torch.save(tensors(), tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    assert_same(read_weights([tmp_path / "pytorch_model.bin"]), tensors(""))


def test_shards_are_put_together(tmp_path: Path) -> None:
    parts = [dict([item]) for item in tensors().items()]
    names = [f"model-{number}.safetensors" for number in range(len(parts))]
    for name, part in zip(names, parts, strict=True):
        save_file(part, tmp_path / name)
    table = {"weight_map": {key: name for name, part in zip(names, parts, strict=True) for key in part}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(table))
    chosen = weight_files(tmp_path, {path.name for path in tmp_path.iterdir()})
    assert chosen == tuple(names)
    assert_same(read_weights([tmp_path / name for name in chosen]), tensors(""))


def test_shards_of_pickles_are_found(tmp_path: Path) -> None:
    table = {"weight_map": {"a": "pytorch_model-1.bin", "b": "pytorch_model-2.bin"}}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(table))
    files = {"pytorch_model.bin.index.json", "pytorch_model-1.bin", "pytorch_model-2.bin"}
    assert weight_files(tmp_path, files) == ("pytorch_model-1.bin", "pytorch_model-2.bin")


def test_safetensors_are_preferred_and_one_file_to_shards(tmp_path: Path) -> None:
    files = {
        "pytorch_model.bin",
        "model.safetensors",
        "model.safetensors.index.json",
        "flax_model.msgpack",
        "tf_model.h5",
    }
    assert weight_files(tmp_path, files) == ("model.safetensors",)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-1.safetensors"}}')
    with pytest.raises(CheckpointError, match=r"names model-1\.safetensors, not among the files"):
        weight_files(tmp_path, {"model.safetensors.index.json"})


@pytest.mark.parametrize("content", ["{}", '{"weight_map": {}}', '{"weight_map": {"a": 1}}'])
def test_an_index_without_a_map_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(CheckpointError, match="weight_map is missing"):
        weight_files(tmp_path, {"model.safetensors.index.json"})


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"flax_model.msgpack"}, r"Flax or TensorFlow only \(flax_model\.msgpack\)"),
        ({"tf_model.h5"}, r"Flax or TensorFlow only \(tf_model\.h5\)"),
        ({"checkpoint_best.pt"}, r"no weights \(checkpoint_best\.pt\); model\.safetensors or pytorch_model\.bin"),
        ({"config.json"}, "no weight file at all"),
    ],
)
def test_weights_of_another_kind_are_refused(tmp_path: Path, files: set[str], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        weight_files(tmp_path, files)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.95])
def test_a_truncated_file_is_named(tmp_path: Path, name: str, share: float) -> None:
    path = tmp_path / name
    torch.save(tensors(), path) if path.suffix == ".bin" else save_file(tensors(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError, match=name):
        read_weights([path])


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("content", [b"<html><body>Not found</body></html>", bytes(1000), b"\xff" * 1000])
def test_a_file_of_another_kind_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name):
        read_weights([tmp_path / name])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model\.safetensors: cannot be read"):
        read_weights([tmp_path / "model.safetensors"])


def test_a_pointer_of_git_lfs_is_recognized(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(CheckpointError, match="git lfs pull"):
        read_weights([tmp_path / "pytorch_model.bin"])


class Trap:
    """A pickle of it runs `write_text` where it is loaded without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.write_text, (self.path, "ran")


def test_a_pickle_never_runs_code(tmp_path: Path) -> None:
    torch.save({"encoder.x": Trap(tmp_path / "trace")}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="holds more than tensors"):
        read_weights([tmp_path / "pytorch_model.bin"])
    assert not (tmp_path / "trace").exists()


def test_a_pickle_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="holds a list; a dictionary of tensors"):
        read_weights([tmp_path / "pytorch_model.bin"])


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    save_file({"text_model.embeddings.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"but text_model\.embeddings\.weight"):
        read_weights([tmp_path / "model.safetensors"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    save_file({name: tensor.to(dtype) for name, tensor in tensors().items()}, tmp_path / "model.safetensors")
    expected = {name: tensor.to(dtype).float() for name, tensor in tensors("").items()}
    assert_same(read_weights([tmp_path / "model.safetensors"]), expected)


@pytest.mark.parametrize(
    "name",
    [
        *("wav2vec2.masked_spec_embed", "quantizer.codevectors", "project_q.weight", "project_hid.bias"),
        *("speaker_proj.weight", "label_embeddings_concat", "classifier.weight"),
        "hubert.encoder.pos_conv_embed.batch_norm.num_batches_tracked",
    ],
)
def test_what_recognition_does_not_use_is_left_out(name: str) -> None:
    assert encoder_name(name) == ""


@pytest.mark.parametrize(
    ("magnitude", "direction"),
    [("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1")],
)
def test_both_spellings_of_weight_norm_are_multiplied_out(magnitude: str, direction: str) -> None:
    layer = torch.nn.Conv1d(6, 6, 5, groups=2)
    normed = torch.nn.utils.parametrizations.weight_norm(layer, dim=2)
    g, v = normed.parametrizations["weight"].original0, normed.parametrizations["weight"].original1
    g.data.uniform_(0.5, 2.0)
    folded = fold_weight_norm({f"{CONVOLUTION}.{magnitude}": g.data, f"{CONVOLUTION}.{direction}": v.data}, "here")
    assert set(folded) == {f"{CONVOLUTION}.weight"}
    torch.testing.assert_close(folded[f"{CONVOLUTION}.weight"], normed.weight.data, rtol=1e-6, atol=1e-7)


def test_a_weight_that_is_plain_already_stays() -> None:
    weight = torch.ones(2, 2, 3)
    assert fold_weight_norm({f"{CONVOLUTION}.weight": weight}, "here")[f"{CONVOLUTION}.weight"] is weight


@pytest.mark.parametrize("name", ["weight_g", "weight_v", "parametrizations.weight.original1"])
def test_half_of_a_weight_norm_is_refused(name: str) -> None:
    with pytest.raises(CheckpointError, match="half of a weight norm"):
        fold_weight_norm({f"{CONVOLUTION}.{name}": torch.ones(1, 1, 3)}, "here")


def test_missing_tensors_and_wrong_shapes_are_named() -> None:
    weights = {"lm_head.weight": torch.zeros(5, 4)}
    with pytest.raises(CheckpointError, match=rf"lacks {QUERY}"):
        check_shapes(weights, {QUERY: (4, 4)}, "here")
    with pytest.raises(CheckpointError, match=r"lm_head\.weight has the shape \(5, 4\); \(5, 8\) follows"):
        check_shapes(weights, {"lm_head.weight": (5, 8)}, "here")


def test_an_adapter_replaces_the_head_whatever_its_size(tmp_path: Path) -> None:
    save_file({"lm_head.weight": torch.ones(9, 4)}, tmp_path / "adapter.fra.safetensors")
    adapter = read_adapter(tmp_path / "adapter.fra.safetensors")
    weights = put_adapter(tensors(""), adapter, {"lm_head.weight"}, "here")
    assert weights["lm_head.weight"].shape == (9, 4)
    torch.testing.assert_close(weights[QUERY], tensors("")[QUERY])


def test_an_adapter_has_to_be_whole_and_nothing_else() -> None:
    adapter = {"lm_head.weight": torch.ones(9, 4), "foreign": torch.ones(1)}
    with pytest.raises(CheckpointError, match=r"lacks lm_head\.bias"):
        put_adapter({}, adapter, {"lm_head.weight", "lm_head.bias"}, "adapter.fra.bin")
    with pytest.raises(CheckpointError, match="holds foreign"):
        put_adapter({}, adapter, {"lm_head.weight"}, "adapter.fra.bin")


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_shapes_are_known_without_reading_the_tensors(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    torch.save(tensors(), path) if path.suffix == ".bin" else save_file(tensors(), path)
    assert read_shapes(path) == {key: tuple(tensor.shape) for key, tensor in tensors().items()}


@pytest.mark.parametrize(
    "content", [b"", b"\x10", bytes(8), b"\x10" + bytes(7) + b"{", b"\xff" * 8, b"\x02" + bytes(7) + b"[]"]
)
def test_a_header_that_is_none_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        read_shapes(tmp_path / "model.safetensors")
