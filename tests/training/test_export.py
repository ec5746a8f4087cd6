from __future__ import annotations

import json
from pathlib import Path

import torch

from training.checkpoints import read_weights, write_model
from training.export import LATENCY, export
from training.model import StreamingCtc


def save(folder: Path, model: StreamingCtc) -> Path:
    write_model(folder, model.state_dict(), {"model_type": "wav2vec2", "hidden_size": 32}, None)
    (folder / "vocab.json").write_text("{}")
    return folder


def test_the_mean_of_two_models_is_exported_with_how_to_stream_it(tmp_path: Path, model: StreamingCtc) -> None:
    one = save(tmp_path / "one", model)
    with torch.no_grad():
        model.lm_head.bias.add_(2.0)
    other = save(tmp_path / "other", model)
    export([one, other], tmp_path / "target")
    torch.testing.assert_close(read_weights(tmp_path / "target")["lm_head.bias"], model.lm_head.bias.detach() - 1.0)
    assert json.loads((tmp_path / "target" / "config.json").read_text())["streaming"] == LATENCY
    assert (tmp_path / "target" / "vocab.json").exists()


def test_a_target_keeps_its_tokenizer_and_its_own_options(tmp_path: Path, model: StreamingCtc) -> None:
    target = save(tmp_path / "target", model)
    (target / "vocab.json").write_text('{"a": 0}')
    own = {"streaming": {"chunk_ms": 320}, "hidden_size": 16, "model_type": "wav2vec2"}
    (target / "config.json").write_text(json.dumps(own))
    export([save(tmp_path / "new", model)], target, precision=torch.float16)
    config = json.loads((target / "config.json").read_text())
    assert config == {"streaming": {"chunk_ms": 320}, "hidden_size": 32, "model_type": "wav2vec2"}
    assert (target / "vocab.json").read_text() == '{"a": 0}'


def test_half_precision_halves_the_file(tmp_path: Path, model: StreamingCtc) -> None:
    export([save(tmp_path / "new", model)], tmp_path / "half", precision=torch.float16)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("new", "half")]
    assert 0.45 * sizes[0] < sizes[1] < 0.65 * sizes[0]
