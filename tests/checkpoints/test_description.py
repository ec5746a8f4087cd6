"""What is told of a checkpoint without loading it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from streaming_asr.checkpoints.description import describe
from streaming_asr.errors import CheckpointError
from tests.checkpoints.checkpoint_folders import CONFIG, random_weights, write_checkpoint, write_multilingual


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "tiny")


def test_the_embedded_model_is_described() -> None:
    description = describe()
    assert (description.name, description.family, description.refusal) == ("english", "wavlm", None)
    assert description.streams
    assert description.vocabulary == 32
    assert description.size > 1_000_000


def test_a_folder_is_described(tiny: Path) -> None:
    description = describe(tiny)
    assert (description.hop, description.frame_ms, description.vocabulary) == (8, 0.5, 6)
    assert description.parameters == sum(tensor.numel() for tensor in random_weights(CONFIG, 6).values())
    assert description.size == (tiny / "model.safetensors").stat().st_size
    assert (description.languages, description.language_model, description.refusal) == ((), False, None)


def test_a_pickle_is_described_like_safetensors(tiny: Path) -> None:
    expected = describe(tiny)
    torch.save(load_file(tiny / "model.safetensors"), tiny / "pytorch_model.bin")
    (tiny / "model.safetensors").unlink()
    assert (describe(tiny).parameters, describe(tiny).refusal) == (expected.parameters, None)


def test_what_pretraining_left_behind_is_not_counted(tiny: Path) -> None:
    before = describe(tiny).parameters
    save_file({**random_weights(CONFIG, 6), "quantizer.codevectors": torch.ones(99)}, tiny / "model.safetensors")
    assert describe(tiny).parameters == before


def test_languages_are_listed(tmp_path: Path) -> None:
    folder = write_multilingual(tmp_path / "many", {"eng": "abc", "deu": "abß"})
    assert describe(folder).languages == ("deu", "eng")
    assert describe(folder).refusal is None


def test_a_language_model_is_noticed(tiny: Path) -> None:
    (tiny / "language_model").mkdir()
    assert describe(tiny).language_model


@pytest.mark.parametrize(
    ("name", "content", "refusal"),
    [
        ("config.json", None, "config.json"),
        ("config.json", b"{", "config.json: is truncated"),
        ("vocab.json", None, "vocab.json"),
        ("preprocessor_config.json", b"[]", "preprocessor_config.json: holds a JSON list"),
        ("model.safetensors", None, "holds no weights"),
        ("model.safetensors", b"none", "model.safetensors: is truncated"),
    ],
)
def test_a_broken_checkpoint_says_why_it_is_refused(tiny: Path, name: str, content: bytes | None, refusal: str) -> None:
    if content is None:
        (tiny / name).unlink()
    else:
        (tiny / name).write_bytes(content)
    description = describe(tiny)
    assert refusal in (description.refusal or "")
    assert not description.streams


@pytest.mark.parametrize("family", ["wav2vec2-conformer", "sew", "whisper"])
def test_a_family_that_is_not_supported_is_described_all_the_same(tmp_path: Path, family: str) -> None:
    description = describe(write_checkpoint(tmp_path / "tiny", model_type=family))
    assert (description.family, description.hop, description.streams) == (family, 8, False)
    assert family in (description.refusal or "")


def test_a_checkpoint_without_a_head_says_so(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny", architectures=["HubertModel"])
    weights = {name: tensor for name, tensor in random_weights(CONFIG, 6).items() if not name.startswith("lm_head")}
    save_file(weights, folder / "model.safetensors")
    assert "is a HubertModel, without a CTC head" in (describe(folder).refusal or "")


def test_what_is_not_there_cannot_be_described(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        describe(tmp_path / "nothing")


def test_the_cache_can_be_asked_before_anything_else_was_loaded(tmp_path: Path) -> None:
    script = "from streaming_asr.checkpoints.description import cached_models; print(cached_models())"
    environment = {**os.environ, "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("()\n", "")
