from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from streaming_asr.checkpoints.checkpoint import read_checkpoint
from streaming_asr.model import Context, Encoder
from training.augment import normalized
from training.checkpoints import average, fold_weight_norm, read_start, unfold_weight_norm, write_model
from training.model import Shape, StreamingCtc
from training.transcripts import ENGLISH, VOCABULARY

SAMPLES = 40_000


def config_of(shape: Shape) -> dict[str, object]:
    family = "wavlm" if shape.buckets else "wav2vec2"
    positions = {"num_buckets": shape.buckets, "max_bucket_distance": shape.farthest} if shape.buckets else {}
    return positions | {
        "model_type": family,
        "architectures": ["WavLMForCTC" if shape.buckets else "Wav2Vec2ForCTC"],
        **{name: getattr(shape, name) for name in ("hidden_size", "intermediate_size", "vocab_size", "conv_bias")},
        **{name: list(getattr(shape, name)) for name in ("conv_dim", "conv_kernel", "conv_stride")},
        "num_hidden_layers": shape.num_hidden_layers,
        "num_attention_heads": shape.num_attention_heads,
        "num_conv_pos_embeddings": shape.num_conv_pos_embeddings,
        "num_conv_pos_embedding_groups": shape.num_conv_pos_embedding_groups,
        "num_feat_extract_layers": len(shape.conv_dim),
        "feat_extract_norm": "group" if shape.group_norm else "layer",
        "do_stable_layer_norm": shape.pre_norm,
        "pad_token_id": 0,
    }


def save(folder: Path, model: StreamingCtc) -> Path:
    write_model(folder, model.state_dict(), config_of(model.shape), None)
    front_end = {"sampling_rate": 16000, "do_normalize": True, "return_attention_mask": True}
    (folder / "preprocessor_config.json").write_text(json.dumps(front_end))
    (folder / "vocab.json").write_text(json.dumps({label: row for row, label in enumerate(VOCABULARY)}))
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(special | {"word_delimiter_token": "|"}))
    return folder


@pytest.fixture
def samples() -> np.ndarray:
    return normalized(np.random.default_rng(0).standard_normal(SAMPLES).astype(np.float32))


@pytest.mark.parametrize(("group_norm", "pre_norm"), [(False, True), (True, False)])
def test_full_context_equals_transformers(tmp_path: Path, shape: Shape, group_norm: bool, pre_norm: bool) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = StreamingCtc(replace(shape, group_norm=group_norm, pre_norm=pre_norm, conv_bias=not group_norm)).eval()
    reference = transformers.Wav2Vec2ForCTC.from_pretrained(save(tmp_path, model)).eval()
    audio = torch.randn(2, 20_000)
    with torch.no_grad():
        ours = model(audio, torch.full((2,), model.shape.frames(20_000)))
        torch.testing.assert_close(ours, reference(audio).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "context", [Context(8), Context(8, 4), Context(5, 7), Context(8, 3, left=10), Context(6, 2, left=7, sinks=3)]
)
def test_training_masks_equal_what_the_encoder_streams(
    tmp_path: Path,
    model: StreamingCtc,
    samples: np.ndarray,
    context: Context,
) -> None:
    folder = save(tmp_path, model)
    front_end = {"sampling_rate": 16000, "do_normalize": False, "return_attention_mask": True}
    (folder / "preprocessor_config.json").write_text(json.dumps(front_end))
    encoder = Encoder.load(folder, precision="float64")
    stream = encoder.open(context)
    streamed = torch.cat([stream.push(samples[:7000]), stream.push(samples[7000:]), stream.finish()])

    double = StreamingCtc(model.shape).double().eval()
    double.load_state_dict({name: value.double() for name, value in read_checkpoint(folder).weights.items()})
    frames = torch.tensor([double.shape.frames(SAMPLES)])
    with torch.no_grad():
        masked = double(torch.from_numpy(samples).double()[None], frames, context)[0]

    assert masked.shape == streamed.shape
    torch.testing.assert_close(masked, streamed, atol=1e-10, rtol=1e-8)


@pytest.fixture
def relative(shape: Shape) -> StreamingCtc:
    """A network with WavLM's relative positions, whose gates let different things through."""
    torch.manual_seed(4)
    model = StreamingCtc(replace(shape, buckets=32, farthest=80)).eval()
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, 0.5, 1.0) if "rel_" in name else None
    return model


def test_relative_positions_equal_those_of_transformers(tmp_path: Path, relative: StreamingCtc) -> None:
    transformers = pytest.importorskip("transformers")
    reference = transformers.WavLMForCTC.from_pretrained(save(tmp_path, relative)).eval()
    audio = torch.randn(2, 40_000)
    with torch.no_grad():
        ours = relative(audio, torch.full((2,), relative.shape.frames(40_000)))
        torch.testing.assert_close(ours, reference(audio).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("context", [Context(8), Context(5, 7), Context(6, 2, left=7, sinks=3)])
def test_relative_positions_in_chunks_equal_what_the_encoder_streams(
    tmp_path: Path,
    relative: StreamingCtc,
    samples: np.ndarray,
    context: Context,
) -> None:
    test_training_masks_equal_what_the_encoder_streams(tmp_path, relative, samples, context)


def test_padding_of_a_batch_changes_nothing(model: StreamingCtc) -> None:
    audio = torch.zeros(2, 20_000)
    audio[0], audio[1, :12_000] = torch.randn(20_000), torch.randn(12_000)
    frames = torch.tensor([model.shape.frames(20_000), model.shape.frames(12_000)])
    with torch.no_grad():
        for context in (None, Context(8, 4)):
            alone = model(audio[1:, :12_000], frames[1:], context)[0]
            together = model(audio, frames, context)[1, : frames[1]]
            torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_weights_survive_a_folder(tmp_path: Path, model: StreamingCtc) -> None:
    start = read_start(save(tmp_path, model))
    assert start.config["hidden_size"] == model.shape.hidden_size
    for name, value in model.state_dict().items():
        torch.testing.assert_close(start.model.state_dict()[name], value, msg=name)
    assert start.spelling.encode("A B") == ENGLISH.encode("A B")
    assert "wav2vec2.encoder.pos_conv_embed.conv.parametrizations.weight.original0" in load_file(
        tmp_path / "model.safetensors"
    )


def test_weight_norm_folds_and_unfolds(model: StreamingCtc) -> None:
    weights = model.state_dict()
    folded = fold_weight_norm(unfold_weight_norm(weights))
    name = "encoder.pos_conv_embed.conv.weight"
    torch.testing.assert_close(folded[name], weights[name])


def test_checkpoints_are_averaged_weight_by_weight() -> None:
    mean = average([{"a": torch.tensor([1.0, 3.0])}, {"a": torch.tensor([3.0, 5.0])}])
    assert mean["a"].tolist() == [2.0, 4.0]


def test_samples_and_frames_agree(shape: Shape) -> None:
    for frames in (1, 2, 17):
        assert shape.frames(shape.samples(frames)) == frames
        assert shape.frames(shape.samples(frames) - 1) == frames - 1


def test_a_skipped_layer_is_as_if_it_were_not_there(shape: Shape, model: StreamingCtc) -> None:
    without = StreamingCtc(replace(shape, num_hidden_layers=1)).eval()
    upper = "encoder.layers.1."
    kept = {name: value for name, value in model.state_dict().items() if not name.startswith("encoder.layers.")}
    kept |= {
        name.replace(upper, "encoder.layers.0."): value
        for name, value in model.state_dict().items()
        if name.startswith(upper)
    }
    without.load_state_dict(kept)
    features, lengths = torch.randn(2, 20, shape.conv_dim[-1]), torch.tensor([20, 14])
    (skipped,) = model.transform(features, lengths, skipped=(1,))
    assert torch.equal(skipped, without.transform(features, lengths)[0])


def test_a_middle_layer_may_have_a_head_of_its_own(model: StreamingCtc) -> None:
    features, lengths = torch.randn(1, 20, model.shape.conv_dim[-1]), torch.tensor([20])
    letters, last = model.transform(features, lengths, taps=(1,))
    model.learn_phones(7)
    phones, again = model.transform(features, lengths, taps=(1,))
    assert (letters.shape[-1], phones.shape[-1]) == (model.shape.vocab_size, 7)
    assert torch.equal(last, again)
