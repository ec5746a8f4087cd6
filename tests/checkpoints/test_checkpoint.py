"""Checkpoint folders of every make, read whole; and one clear error for each way in which they can be wrong."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from streaming_asr.checkpoints.checkpoint import Checkpoint, read_checkpoint, read_language
from streaming_asr.checkpoints.description import describe
from streaming_asr.checkpoints.embedded import embedded_folder
from streaming_asr.checkpoints.weights import adapter_names
from streaming_asr.errors import CheckpointError
from streaming_asr.model.encoder import Encoder
from tests.checkpoints.checkpoint_folders import (
    CONFIG,
    VOCABULARY,
    random_weights,
    write_checkpoint,
    write_json,
    write_multilingual,
)

LETTERS = {"eng": "abc", "fra": "abcé", "deu": "abß"}
TinyModel = Callable[..., Any]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "tiny")


@pytest.fixture
def many(tmp_path: Path) -> Path:
    return write_multilingual(tmp_path / "many", LETTERS)


def assert_same_weights(found: Checkpoint, expected: Checkpoint) -> None:
    assert set(found.weights) == set(expected.weights)
    assert all(found.weights[name].equal(tensor) for name, tensor in expected.weights.items())


def test_a_folder_gives_all_that_a_recognizer_needs(tiny: Path) -> None:
    checkpoint = read_checkpoint(tiny)
    assert checkpoint.config == CONFIG
    assert checkpoint.weights["lm_head.weight"].shape == (6, 8)
    assert checkpoint.labels == ("", "⁇", " ", "a", "b", "c")
    assert (checkpoint.blank, checkpoint.special) == (0, (1,))
    assert (checkpoint.normalize, checkpoint.sampling_rate) == (False, 16_000)
    assert (checkpoint.name, checkpoint.folder, checkpoint.language) == (str(tiny), tiny, None)


def test_a_folder_may_be_named_by_a_string(tiny: Path) -> None:
    assert_same_weights(read_checkpoint(str(tiny)), read_checkpoint(tiny))


@pytest.mark.parametrize("name", [None, "english"])
def test_the_embedded_model_needs_no_name(name: str | None) -> None:
    checkpoint = read_checkpoint(name)
    assert (checkpoint.name, checkpoint.folder) == ("english", embedded_folder())
    assert set("abcdefghijklmnopqrstuvwxyz' ") <= set(checkpoint.labels)


# What the files may look like


def test_processor_files_of_the_newer_kind_are_read(tiny: Path) -> None:
    (tiny / "preprocessor_config.json").unlink()
    write_json(tiny, processor_config={"feature_extractor": {"sampling_rate": 16000, "do_normalize": False}})
    assert read_checkpoint(tiny).normalize is False


def test_a_front_end_that_is_not_described_normalizes(tiny: Path) -> None:
    (tiny / "preprocessor_config.json").unlink()
    assert read_checkpoint(tiny).normalize is True


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(tiny: Path, dtype: torch.dtype) -> None:
    weights = {name: tensor.to(dtype) for name, tensor in load_file(tiny / "model.safetensors").items()}
    save_file(weights, tiny / "model.safetensors")
    assert {tensor.dtype for tensor in read_checkpoint(tiny).weights.values()} == {torch.float32}


def test_tensors_of_pretraining_are_left_out(tiny: Path) -> None:
    extra = ("wav2vec2.masked_spec_embed", "quantizer.codevectors", "project_q.weight", "project_hid.weight")
    expected = read_checkpoint(tiny)
    save_file({**random_weights(CONFIG, 6), **{name: torch.ones(2) for name in extra}}, tiny / "model.safetensors")
    assert_same_weights(read_checkpoint(tiny), expected)


def test_the_tokenizer_may_be_longer_than_the_head(tiny: Path) -> None:
    write_json(tiny, vocab={**json.loads((tiny / "vocab.json").read_text()), "<s>": 6, "</s>": 7})
    assert len(read_checkpoint(tiny).labels) == 6


def test_blank_is_the_pad_token_not_the_configured_id(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_checkpoint(tmp_path / "tiny", pad_token_id=0)
    write_json(folder, vocab={"a": 0, "b": 1, "|": 2, "[UNK]": 3, "c": 4, "[PAD]": 5})
    with caplog.at_level(logging.WARNING):
        assert read_checkpoint(folder).blank == 5
    assert "pad_token_id 0" in caplog.text


def test_unknown_keys_of_old_configurations_do_no_harm(tmp_path: Path) -> None:
    old = {"gradient_checkpointing": True, "torch_dtype": "float16", "output_hidden_size": None}
    assert read_checkpoint(write_checkpoint(tmp_path / "tiny", **old)).config["gradient_checkpointing"] is True


# Many languages


@pytest.mark.parametrize(("language", "number"), [("eng", 0.0), ("fra", 1.0), ("deu", 2.0)])
def test_a_language_brings_its_adapter_its_head_and_its_vocabulary(many: Path, language: str, number: float) -> None:
    checkpoint = read_checkpoint(many, language=language)
    assert checkpoint.language == language
    assert checkpoint.labels == ("", " ", *LETTERS[language])
    assert checkpoint.weights["lm_head.weight"].shape == (2 + len(LETTERS[language]), 8)
    assert bool((checkpoint.weights["encoder.layers.1.adapter_layer.linear_1.weight"] == number).all())


def test_without_a_language_the_checkpoints_own_is_taken(many: Path) -> None:
    assert read_checkpoint(many).language == "eng"


def test_adapters_may_be_pickles(many: Path) -> None:
    torch.save(load_file(many / "adapter.fra.safetensors"), many / "adapter.fra.bin")
    expected = read_checkpoint(many, language="fra")
    (many / "adapter.fra.safetensors").unlink()
    assert_same_weights(read_checkpoint(many, language="fra"), expected)


def test_the_own_language_may_lie_in_the_main_weights(many: Path) -> None:
    main = {**load_file(many / "model.safetensors"), **load_file(many / "adapter.eng.safetensors")}
    expected = read_checkpoint(many)
    save_file(main, many / "model.safetensors")
    (many / "adapter.eng.safetensors").unlink()
    assert_same_weights(read_checkpoint(many), expected)


def test_an_unknown_language_is_answered_with_those_near_it(many: Path) -> None:
    with pytest.raises(CheckpointError, match="has no language 'frr'; near it are fra"):
        read_checkpoint(many, language="frr")
    with pytest.raises(CheckpointError, match="has no language 'xyz'; one of deu, eng, fra"):
        read_checkpoint(many, language="xyz")


def test_a_language_has_to_be_named_where_none_is_the_checkpoints_own(many: Path) -> None:
    write_json(many, tokenizer_config={"pad_token": "<pad>"})
    with pytest.raises(CheckpointError, match="say which language to load, one of deu, eng, fra"):
        read_checkpoint(many)


def test_a_language_without_its_adapter_is_named(many: Path) -> None:
    (many / "adapter.fra.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"adapter\.fra\.safetensors is missing"):
        read_checkpoint(many, language="fra")


def test_an_incomplete_adapter_is_named(many: Path) -> None:
    adapter = load_file(many / "adapter.fra.safetensors")
    del adapter["wav2vec2.encoder.layers.1.adapter_layer.norm.bias"]
    save_file(adapter, many / "adapter.fra.safetensors")
    with pytest.raises(CheckpointError, match=r"adapter\.fra\.safetensors: lacks encoder\.layers\.1"):
        read_checkpoint(many, language="fra")


def test_a_language_may_be_named_by_any_of_its_codes(many: Path) -> None:
    for code in ("fra", "fr", "fr-CA"):
        assert read_checkpoint(many, language=code).language == "fra"


def test_every_language_can_be_read_beside_the_first(many: Path) -> None:
    first = read_checkpoint(many, language="fra")
    assert first.languages == ("deu", "eng", "fra")
    for code, letters in LETTERS.items():
        part, alone = read_language(first, code), read_checkpoint(many, language=code)
        assert (part.language, part.labels, part.blank, part.special) == (code, alone.labels, 0, alone.special)
        assert part.labels == ("", " ", *letters)
        assert all(alone.weights[name].equal(tensor) for name, tensor in part.weights.items())
        assert set(part.weights) == set(adapter_names(2))


def test_the_own_language_can_be_read_although_it_has_no_file_and_another_was_read_first(many: Path) -> None:
    main = {**load_file(many / "model.safetensors"), **load_file(many / "adapter.eng.safetensors")}
    save_file(main, many / "model.safetensors")
    (many / "adapter.eng.safetensors").unlink()
    part = read_language(read_checkpoint(many, language="fra"), "en")
    assert part.language == "eng"
    assert bool((part.weights["encoder.layers.1.adapter_layer.linear_1.weight"] == 0.0).all())


def test_a_language_that_cannot_be_read_leaves_the_others_alone(many: Path) -> None:
    checkpoint = read_checkpoint(many)
    whole = (many / "adapter.fra.safetensors").read_bytes()
    (many / "adapter.fra.safetensors").write_bytes(whole[:100])
    with pytest.raises(CheckpointError, match=r"adapter\.fra\.safetensors: is truncated"):
        read_language(checkpoint, "fra")
    foreign = load_file(many / "adapter.deu.safetensors")
    foreign["wav2vec2.encoder.layers.0.adapter_layer.linear_1.weight"] = torch.zeros(5, 8)
    save_file(foreign, many / "adapter.fra.safetensors")
    with pytest.raises(CheckpointError, match=r"adapter\.fra\.safetensors: .*linear_1\.weight has the shape \(5, 8\)"):
        read_language(checkpoint, "fra")
    (many / "adapter.fra.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"adapter\.fra\.safetensors"):
        read_language(checkpoint, "fra")
    assert read_language(checkpoint, "deu").language == "deu"


# The language of a checkpoint of one


def test_the_language_of_a_checkpoint_of_one_can_be_declared(tiny: Path) -> None:
    assert read_checkpoint(tiny, language="fra").language == "fr"
    with pytest.raises(CheckpointError, match="'klingon' is no language code"):
        read_checkpoint(tiny, language="klingon")


def test_a_checkpoint_states_its_language_in_its_readme(tiny: Path) -> None:
    (tiny / "README.md").write_text("---\nlanguage: sw\ntags:\n- speech\n---\n# A model\n")
    assert read_checkpoint(tiny).language == "sw"
    assert describe(tiny).languages == ("sw",)
    assert read_checkpoint(tiny, language="swa").language == "sw"
    with pytest.raises(CheckpointError, match="recognizes sw, not 'fr'"):
        read_checkpoint(tiny, language="fr")


def test_a_readme_of_several_languages_leaves_the_choice(tiny: Path) -> None:
    (tiny / "README.md").write_text("---\nlanguage:\n- es\n- gl\n---\n")
    assert read_checkpoint(tiny).language is None
    assert read_checkpoint(tiny, language="gl").language == "gl"


@pytest.mark.parametrize("readme", ["no metadata", "---\nlanguage: [\n---\n", "---\nlanguage: 7\n---\n", "\x00---"])
def test_a_readme_that_says_nothing_useful_is_no_error(tiny: Path, readme: str) -> None:
    (tiny / "README.md").write_text(readme)
    assert read_checkpoint(tiny).language is None


def test_the_name_of_a_checkpoint_hints_at_its_language(tmp_path: Path) -> None:
    assert read_checkpoint(write_checkpoint(tmp_path / "wav2vec2-large-xlsr-53-french")).language == "fr"
    assert read_checkpoint(write_checkpoint(tmp_path / "voxpopuli-ft-de"), language="nl").language == "nl"


def test_the_configuration_may_name_the_language(tmp_path: Path) -> None:
    assert read_checkpoint(write_checkpoint(tmp_path / "tiny", language="cy")).language == "cy"


def test_the_embedded_model_is_english_and_no_other() -> None:
    assert read_checkpoint().language == "en"
    assert read_checkpoint(language="en").language == "en"
    with pytest.raises(CheckpointError, match="english: recognizes en, not 'fr'"):
        read_checkpoint(language="fr")


# What can be wrong


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no such folder; give a folder, a hub name"):
        read_checkpoint(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["", "french", "./models/tiny", "a/b/c"])
def test_a_string_that_names_nothing_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"no such folder|config\.json"):
        read_checkpoint(name)


def test_a_file_is_no_checkpoint(tiny: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model\.safetensors: is a file; the folder"):
        read_checkpoint(tiny / "model.safetensors")


def test_a_folder_has_no_revisions(tiny: Path) -> None:
    with pytest.raises(CheckpointError, match="only hub models have revisions; leave out 'main'"):
        read_checkpoint(tiny, revision="main")


@pytest.mark.parametrize("name", ["config.json", "vocab.json", "model.safetensors"])
def test_a_missing_file_is_named(tiny: Path, name: str) -> None:
    (tiny / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        read_checkpoint(tiny)


@pytest.mark.parametrize("name", ["config.json", "vocab.json", "preprocessor_config.json", "model.safetensors"])
def test_a_truncated_file_is_named(tiny: Path, name: str) -> None:
    content = (tiny / name).read_bytes()
    (tiny / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=f"{name}: is truncated"):
        read_checkpoint(tiny)


@pytest.mark.parametrize("shape", [(), (6,), (0, 8), (6, 8, 1)])
def test_a_head_that_is_no_matrix_is_named(tiny: Path, shape: tuple[int, ...]) -> None:
    weights = {**random_weights(CONFIG, 6), "lm_head.weight": torch.zeros(shape)}
    save_file(weights, tiny / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"lm_head\.weight has the shape"):
        read_checkpoint(tiny)
    assert "lm_head.weight has the shape" in (describe(tiny).refusal or "")


@pytest.mark.parametrize(
    "architecture", ["Wav2Vec2ForPreTraining", "Wav2Vec2Model", "Wav2Vec2ForSequenceClassification"]
)
def test_a_checkpoint_without_a_head_is_refused(tmp_path: Path, architecture: str) -> None:
    folder = write_checkpoint(tmp_path / "tiny", architectures=[architecture])
    weights = {name: tensor for name, tensor in random_weights(CONFIG, 6).items() if not name.startswith("lm_head")}
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=f"is a {architecture}, without a CTC head"):
        read_checkpoint(folder)


def test_a_head_counts_more_than_what_the_configuration_calls_the_model(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny", architectures=["Wav2Vec2ForPreTraining"])
    assert read_checkpoint(folder).labels[3] == "a"


@pytest.mark.parametrize(("name", "kind"), [("flax_model.msgpack", "Flax"), ("tf_model.h5", "TensorFlow")])
def test_weights_of_other_frameworks_are_refused(tiny: Path, name: str, kind: str) -> None:
    (tiny / "model.safetensors").rename(tiny / name)
    with pytest.raises(CheckpointError, match=rf"has weights for .*{kind}.* \({name}\); convert them to PyTorch"):
        read_checkpoint(tiny)


@pytest.mark.parametrize(
    "family", ["wav2vec2-conformer", "wav2vec2-bert", "sew", "sew-d", "whisper", "speech-encoder-decoder"]
)
def test_families_without_an_implementation_are_refused(tmp_path: Path, family: str) -> None:
    with pytest.raises(CheckpointError, match=family):
        read_checkpoint(write_checkpoint(tmp_path / "tiny", model_type=family))


def test_weights_of_another_shape_are_named(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny")
    write_json(folder, config={**CONFIG, "intermediate_size": 24})
    with pytest.raises(CheckpointError, match=r"intermediate_dense\.weight has the shape \(12, 8\); \(24, 8\) follows"):
        read_checkpoint(folder)


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny")
    write_json(folder, config={**CONFIG, "num_hidden_layers": 3})
    with pytest.raises(CheckpointError, match=r"lacks encoder\.layers\.2\..* and \d+ more tensors"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampling_rate": 8000}, "sampling_rate is 8000; only models of 16000 Hz"),
        ({"do_normalize": "yes"}, "do_normalize is 'yes'; true or false"),
    ],
)
def test_a_front_end_that_cannot_be_served_is_refused(tiny: Path, options: dict[str, Any], message: str) -> None:
    write_json(tiny, preprocessor_config=options)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(tiny)


# Checkpoints that transformers saves, through the encoder


def assert_encoder_equals(model: Any, folder: Path) -> None:
    """The encoder that is read from a folder gives the model's logits."""
    waveform = torch.randn(2, 1500, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(Encoder.load(folder)(waveform), model(waveform).logits, rtol=1e-4, atol=1e-4)


def saved(model: Any, folder: Path) -> Path:
    """The folder as `save_pretrained` leaves it, with a vocabulary and without normalization."""
    model.save_pretrained(folder)
    tokens = ["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefghijklmnopqrstuvwxyz"]
    vocabulary = {token: row for row, token in enumerate(tokens[: model.config.vocab_size])}
    write_json(folder, vocab=vocabulary, preprocessor_config={"do_normalize": False})
    return folder


def test_what_transformers_saves_is_read_in_every_family(
    tiny_model: TinyModel, family_variant: tuple[str, str], tmp_path: Path
) -> None:
    model = tiny_model(*family_variant)
    assert_encoder_equals(model, saved(model, tmp_path))


@pytest.mark.parametrize("wrapper", ["wav2vec2.", "", "module.wav2vec2."])
def test_pickles_are_read_with_and_without_prefixes(tiny_model: TinyModel, tmp_path: Path, wrapper: str) -> None:
    model = tiny_model("wav2vec2", "layer")
    folder = saved(model, tmp_path)
    (folder / "model.safetensors").unlink()
    outer = "module." if wrapper.startswith("module.") else ""
    renamed = {
        wrapper + name.removeprefix("wav2vec2.") if name.startswith("wav2vec2.") else outer + name: tensor
        for name, tensor in model.state_dict().items()
    }
    torch.save(renamed, folder / "pytorch_model.bin")
    assert_encoder_equals(model, folder)


def test_the_older_spelling_of_weight_norm_is_read(tiny_model: TinyModel, tmp_path: Path) -> None:
    model = tiny_model("wav2vec2", "group")
    folder = saved(model, tmp_path)
    weights = load_file(folder / "model.safetensors")
    for old, new in (("original0", "weight_g"), ("original1", "weight_v")):
        layer = "wav2vec2.encoder.pos_conv_embed.conv"
        weights[f"{layer}.{new}"] = weights.pop(f"{layer}.parametrizations.weight.{old}")
    save_file(weights, folder / "model.safetensors")
    assert_encoder_equals(model, folder)


def test_shards_of_transformers_are_read(tiny_model: TinyModel, tmp_path: Path) -> None:
    model = tiny_model("wavlm", "layer")
    folder = saved(model, tmp_path)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="40KB")
    assert (folder / "model.safetensors.index.json").exists()
    assert_encoder_equals(model, folder)


def test_the_files_of_a_processor_of_transformers_are_read(tiny_model: TinyModel, tmp_path: Path) -> None:
    from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2Processor

    folder = saved(tiny_model("wav2vec2", "layer", vocab_size=12), tmp_path / "model")
    shutil.copy(folder / "vocab.json", tmp_path / "tokens.json")
    for name in ("vocab.json", "preprocessor_config.json"):
        (folder / name).unlink()
    tokenizer = Wav2Vec2CTCTokenizer(str(tmp_path / "tokens.json"), pad_token="<pad>", unk_token="<unk>")
    Wav2Vec2Processor(Wav2Vec2FeatureExtractor(do_normalize=False), tokenizer).save_pretrained(folder)
    checkpoint = read_checkpoint(folder)
    assert checkpoint.labels == ("", "<s>", "</s>", "⁇", " ", *"abcdefg")
    assert (checkpoint.special, checkpoint.normalize) == ((1, 2, 3), False)


def test_a_language_gives_what_transformers_gives(tiny_model: TinyModel, tmp_path: Path) -> None:
    from transformers import Wav2Vec2ForCTC

    folder = saved(tiny_model("wav2vec2", "adapter"), tmp_path)
    write_json(folder, vocab={"eng": dict(VOCABULARY), "fra": {**VOCABULARY, "é": 6, "à": 7, "ç": 8}})
    write_json(folder, tokenizer_config={"target_lang": "eng"})
    french = tiny_model("wav2vec2", "adapter", seed=5, vocab_size=9)
    adapters = ("adapter_layer", "lm_head")
    chosen = {name: tensor for name, tensor in french.state_dict().items() if any(part in name for part in adapters)}
    save_file(chosen, folder / "adapter.fra.safetensors")
    model = Wav2Vec2ForCTC.from_pretrained(folder, target_lang="fra", ignore_mismatched_sizes=True).eval()
    waveform = torch.randn(1, 1500, generator=torch.Generator().manual_seed(3))
    encoder = Encoder.load(folder, language="fra")
    assert encoder.labels[6:] == ("é", "à", "ç")
    torch.testing.assert_close(encoder(waveform), model(waveform).logits.detach(), rtol=1e-4, atol=1e-4)


def test_weights_in_double_precision_stay_exact(tiny_model: TinyModel, tmp_path: Path) -> None:
    model = tiny_model("wav2vec2", "group").double()
    encoder = Encoder.load(saved(model, tmp_path), precision="float64")
    waveform = torch.randn(1, 1500, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(encoder(waveform), model(waveform).logits, rtol=1e-10, atol=1e-10)
