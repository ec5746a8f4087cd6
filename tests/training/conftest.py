"""A network small enough for tests and a corpus of tones, each letter a pitch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from training.augment import AugmentOptions
from training.batches import BatchOptions
from training.configuration import (
    Configuration,
    ModelOptions,
    ObjectiveOptions,
    OptimizerOptions,
    RunOptions,
    SourceOptions,
    StreamingOptions,
)
from training.corpus import Corpus, CorpusWriter
from training.model import Shape, StreamingCtc

from .small_whisper import arrays, packed

PITCHES = {"A": 400.0, "B": 900.0, "C": 1600.0, " ": 0.0}
LETTER_SECONDS = 0.12
BATCHES = BatchOptions(frames=(16, 24, 32), seconds=6.0)


def sung(text: str) -> Samples:
    """A text as tones with short gaps, shape (samples,)."""
    time = np.arange(round(LETTER_SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    fade = np.hanning(len(time))
    tones = [0.5 * fade * np.sin(2 * np.pi * PITCHES[letter] * time) for letter in text]
    return np.asarray(np.concatenate(tones), dtype=np.float32)


@pytest.fixture(scope="session")
def shape() -> Shape:
    """40 ms frames, two layers of width 32."""
    return Shape(
        conv_dim=(16, 16, 24),
        conv_kernel=(320, 16, 4),
        conv_stride=(40, 8, 2),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        vocab_size=32,
    )


@pytest.fixture
def whisper_folder(tmp_path: Path) -> Path:
    """A folder with the weights of a small Whisper, as `training.whisper.download` leaves it."""
    (tmp_path / "whisper").mkdir()
    (tmp_path / "whisper" / "model.bin").write_bytes(packed(arrays()))
    return tmp_path / "whisper"


@pytest.fixture
def model(shape: Shape) -> StreamingCtc:
    """Random weights from a fixed seed, with norms and biases that do something."""
    torch.manual_seed(3)
    network = StreamingCtc(shape)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0.1, 0.1) if parameter.dim() == 1 else None
    return network.eval()


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 sung utterances of 4 to 7 letters."""
    folder = tmp_path_factory.mktemp("corpus")
    writer = CorpusWriter(folder)
    generator = np.random.default_rng(0)
    for number in range(24):
        text = "".join(generator.choice(list("ABC"), generator.integers(4, 8)))
        padded = np.concatenate([np.zeros(1600, np.float32), sung(text), np.zeros(1600, np.float32)])
        part = "dev" if number >= 20 else "train"
        writer.add(padded, name=f"u{number}", collection="sung", speaker="s", part=part, transcript=text)
    writer.close()
    return folder


@pytest.fixture
def corpus(corpus_folder: Path) -> Corpus:
    """The sung corpus."""
    return Corpus.open(corpus_folder)


@pytest.fixture
def configuration(tmp_path: Path, corpus_folder: Path, shape: Shape) -> Configuration:
    """A run of eight steps over the sung corpus with every loss there is but phones."""
    (tmp_path / "shape").mkdir()
    sizes = {name: getattr(shape, name) for name in Shape.__dataclass_fields__}
    extra = {"model_type": "wav2vec2", "feat_extract_norm": "layer", "do_stable_layer_norm": True}
    (tmp_path / "shape" / "config.json").write_text(json.dumps(sizes | extra))
    return Configuration(
        model=ModelOptions(shape=str(tmp_path / "shape"), mel=True),
        sources=(SourceOptions(str(corpus_folder)),),
        batches=BATCHES,
        run=RunOptions(str(tmp_path / "run"), steps=8, bfloat16=False, log_every=1),
        augmentation=AugmentOptions.none(),
        streaming=StreamingOptions(contexts=((8, 4, 1), (4, 0, 1)), lefts=(8, -1), sinks=(0, 2), distillation=0.5),
        objective=ObjectiveOptions(intermediate_layer=1, intermediate_weight=0.3),
        optimizer=OptimizerOptions(peak=3e-3, warmup=2, average_every=1),
    )
