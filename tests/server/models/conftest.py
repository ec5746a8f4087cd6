"""Three models made by transformers: one each for Italian and Spanish, and one for three languages on a hub."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import soundfile
from safetensors.torch import save_file

from streaming_asr.audio.samples import Samples
from tests.checkpoints.hub_stand_in import HubSettings, HubStandIn
from tests.conftest import TinyModel

DEMO: Final = Path(__file__).parents[3] / "streaming_asr" / "embedded" / "demo.flac"
MANY: Final = "facebook/mms-tiny"
LETTERS: Final[Mapping[str, str]] = {"eng": "abcdefgh", "fra": "abcdéàçê", "deu": "abcäöüß"}
SHAPE: Final[Mapping[str, Any]] = {"conv_kernel": (10, 8, 8), "conv_stride": (5, 8, 8)}
"""Frames of 20 ms, as those of real models."""


def write_settings(folder: Path, vocabulary: Mapping[str, Any], **tokenizer: str) -> None:
    """The small files of a checkpoint."""
    for name, content in {
        "vocab": vocabulary,
        "tokenizer_config": {"pad_token": "<pad>", **tokenizer},
        "preprocessor_config": {"do_normalize": False},
    }.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def write_single(model: TinyModel, folder: Path, letters: str, seed: int) -> Path:
    """A checkpoint of one language."""
    model("wav2vec2", "layer", seed=seed, vocab_size=len(letters) + 2, **SHAPE).save_pretrained(folder)
    write_settings(folder, numbered(letters))
    return folder


def write_many(model: TinyModel, folder: Path) -> Path:
    """A checkpoint of many languages: of each an adapter, a head and letters of its own."""
    model("wav2vec2", "adapter", vocab_size=10, **SHAPE).save_pretrained(folder)
    for seed, (code, letters) in enumerate(LETTERS.items()):
        spoken = model("wav2vec2", "adapter", seed=20 + seed, vocab_size=len(letters) + 2, **SHAPE).state_dict()
        own = {name: tensor for name, tensor in spoken.items() if "adapter_layer" in name or "lm_head" in name}
        save_file(own, folder / f"adapter.{code}.safetensors")
    write_settings(folder, {code: numbered(letters) for code, letters in LETTERS.items()}, target_lang="eng")
    return folder


def numbered(letters: str) -> dict[str, int]:
    return {token: row for row, token in enumerate(["<pad>", "|", *letters])}


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the checkpoints are; `many` is published on the hub as `MANY` too."""

    italian: Path
    spanish: Path
    many: Path


@pytest.fixture(scope="session")
def folders(tiny_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    root = tmp_path_factory.mktemp("models")
    return Folders(
        write_single(tiny_model, root / "italian", "abcdefìò", seed=5),
        write_single(tiny_model, root / "spanish", "abcdñóú", seed=6),
        write_many(tiny_model, root / "many"),
    )


@pytest.fixture
def hub(folders: Folders, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubStandIn]:
    """A hub that has the checkpoint of many languages."""
    import huggingface_hub

    huggingface_hub.close_session()
    with HubStandIn() as stand_in:
        HubSettings(monkeypatch, tmp_path / "cache").endpoint(stand_in.url)
        stand_in.publish(MANY, {path.name: path.read_bytes() for path in folders.many.iterdir()})
        yield stand_in
    huggingface_hub.close_session()


@pytest.fixture(scope="session")
def speech() -> Samples:
    """Two seconds of speech at 16 kHz, as 16 bits can say it; shape (samples,)."""
    samples, rate = soundfile.read(DEMO, dtype="int16", stop=32_000)
    assert rate == 16_000
    return np.asarray(samples, np.float32) / np.float32(32_768)
