"""What the package ships: the embedded English model, as others would load it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from streaming_asr.checkpoints.embedded import embedded_folder
from streaming_asr.decoding import Alphabet, load_language_model
from streaming_asr.model import Encoder

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def folder() -> Path:
    return embedded_folder()


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_it_is_small(folder: Path) -> None:
    assert size(folder) <= 45 * MEGABYTE
    assert size(folder / "language_model") <= 10 * MEGABYTE


def test_its_shape_is_made_for_streaming(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert config["num_conv_pos_embeddings"] <= 16
    assert config["do_stable_layer_norm"]
    assert config["feat_extract_norm"] == "layer"
    assert (config["streaming"]["chunk_ms"], config["streaming"]["lookahead_ms"]) == (640, 320)


def test_stock_transformers_gives_the_same_logits(folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    reference = transformers.AutoModelForCTC.from_pretrained(folder, dtype=torch.float32).eval()
    extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(folder)
    samples = np.random.default_rng(0).standard_normal(32_000).astype(np.float32) * 0.1
    inputs = extractor(samples, sampling_rate=16_000, return_tensors="pt").input_values
    with torch.no_grad():
        expected = reference(inputs).logits
    torch.testing.assert_close(Encoder.load(folder)(samples[None]), expected, atol=2e-4, rtol=1e-4)


def test_its_language_model_loads_and_prefers_english(folder: Path) -> None:
    model = load_language_model(folder / "language_model", Alphabet(Encoder.load(folder).labels))

    def score(words: str) -> float:
        total, state = 0.0, model.start()
        for word in words.split():
            gained, state = model.score(state, word)
            total += gained
        return total

    assert score("they went to the house") > score("they want too the hows")
    assert model.vocabulary is not None
    assert len(model.vocabulary) > 40_000
