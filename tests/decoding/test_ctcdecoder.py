"""The decoder in pyctcdecode's form gives what pyctcdecode gives, and each reads the other's folders."""

from __future__ import annotations

import json
import logging
import math
import multiprocessing
import random
from collections.abc import Callable, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np
import pyctcdecode
import pytest

from streaming_asr.audio.samples import FloatArray
from streaming_asr.decoding import Alphabet, BeamSearchDecoderCTC, NgramLanguageModel, build_ctcdecoder, read_arpa
from streaming_asr.errors import CheckpointError, OptionError

from ..checkpoints.hub_stand_in import HubStandIn
from .conftest import CHARACTERS, HASHES, WORD_PIECES

Make = Callable[[random.Random, int, int], FloatArray]

HOTWORDS = (None, ["abc"], ["ab cab", "AB", "quiz"], ["abq", "f"])


def plain(beams: Any) -> list[Any]:
    """Beams of either side as plain values, without language model states."""
    return [(beam[0], beam[2], float(beam[3]), float(beam[4])) for beam in beams]


def probabilities(logits: FloatArray) -> FloatArray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: FloatArray = powers / powers.sum(axis=1, keepdims=True)
    return result


def settings(chance: random.Random) -> dict[str, Any]:
    return {
        "beam_width": chance.choice([1, 3, 10, 100]),
        "beam_prune_logp": chance.choice([-10.0, -4.0]),
        "token_min_logp": chance.choice([-5.0, -2.0]),
        "hotwords": chance.choice(HOTWORDS),
        "hotword_weight": chance.choice([10.0, 2.5]),
    }


def check(ours: BeamSearchDecoderCTC, theirs: Any, labels: int, random_logits: Make, cases: int) -> None:
    for case in range(cases):
        chance = random.Random(case)
        logits = random_logits(chance, chance.randrange(1, 50), labels)
        if chance.random() < 0.2:
            logits = probabilities(logits.astype(np.float64))
        options = settings(chance)
        assert ours.decode(logits, **options) == theirs.decode(logits, **options), f"case {case}: {options}"
        options["prune_history"] = chance.random() < 0.5
        found, wanted = ours.decode_beams(logits, **options), theirs.decode_beams(logits, **options)
        assert plain(found) == plain(wanted), f"case {case}: {options}"


@pytest.mark.parametrize("labels", [CHARACTERS, WORD_PIECES, HASHES], ids=["characters", "pieces", "hashes"])
def test_it_decodes_as_pyctcdecode_does(labels: Sequence[str], random_logits: Make) -> None:
    theirs = pyctcdecode.build_ctcdecoder(list(labels))
    check(build_ctcdecoder(labels), theirs, len(labels), random_logits, 70)
    theirs.cleanup()


@pytest.mark.lm
@pytest.mark.parametrize("labels", [CHARACTERS, WORD_PIECES], ids=["characters", "pieces"])
@pytest.mark.parametrize("unigrams", [None, ["ab", "fed", "unheard"]], ids=["of the file", "given"])
def test_it_decodes_as_pyctcdecode_does_with_a_language_model(
    labels: Sequence[str], unigrams: list[str] | None, arpa: Path, random_logits: Make
) -> None:
    weights: dict[str, Any] = {"alpha": 0.8, "beta": -0.3, "unk_score_offset": -4.0, "lm_score_boundary": False}
    for options in ({}, weights):
        ours = build_ctcdecoder(labels, str(arpa), unigrams, **options)
        theirs = pyctcdecode.build_ctcdecoder(list(labels), str(arpa), unigrams, **options)
        check(ours, theirs, len(labels), random_logits, 25)
        theirs.cleanup()


@pytest.mark.lm
def test_a_language_models_state_goes_on_where_the_audio_was_cut(arpa: Path, random_logits: Make) -> None:
    ours, theirs = build_ctcdecoder(CHARACTERS, arpa), pyctcdecode.build_ctcdecoder(list(CHARACTERS), str(arpa))
    unlike = 0
    for case in range(15):
        first, second = (random_logits(random.Random(case + part), 25, len(CHARACTERS)) for part in (0, 1000))
        for mine, other in zip(ours.decode_beams(first), theirs.decode_beams(first), strict=True):
            assert mine.last_lm_state == other[1]
        state = ours.decode_beams(first)[0].last_lm_state
        continued = ours.decode_beams(second, lm_start_state=state)
        assert plain(continued) == plain(theirs.decode_beams(second, lm_start_state=state))
        unlike += plain(continued) != plain(ours.decode_beams(second))
    assert unlike > 5
    theirs.cleanup()


@pytest.mark.lm
def test_weights_can_be_replaced_as_in_pyctcdecode(arpa: Path, random_logits: Make) -> None:
    ours, theirs = build_ctcdecoder(CHARACTERS, arpa), pyctcdecode.build_ctcdecoder(list(CHARACTERS), str(arpa))
    for decoder in (ours, theirs):
        decoder.reset_params(alpha=1.4, beta=-2.0, unk_score_offset=-1.0, lm_score_boundary=False)
    check(ours, theirs, len(CHARACTERS), random_logits, 20)
    theirs.cleanup()


def test_an_arpa_file_needs_no_kenlm(arpa: Path, words: Sequence[str], random_logits: Make) -> None:
    ngrams = read_arpa(arpa)
    own = BeamSearchDecoderCTC(Alphabet(CHARACTERS), NgramLanguageModel(ngrams, [*words, "<s>"]))
    built = build_ctcdecoder(CHARACTERS, arpa)
    for case in range(20):
        logits = random_logits(random.Random(case), 30, len(CHARACTERS))
        for one, other in zip(own.decode_beams(logits), built.decode_beams(logits), strict=True):
            assert (one.text, one.text_frames) == (other.text, other.text_frames)
            assert math.isclose(one.lm_score, other.lm_score, rel_tol=1e-5)


@pytest.mark.parametrize("workers", ["none", "threads", "forked", "spawned"])
def test_batches_give_what_single_utterances_give(
    workers: str, arpa: Path, random_logits: Make, caplog: pytest.LogCaptureFixture
) -> None:
    decoder = build_ctcdecoder(CHARACTERS, arpa)
    batch = [random_logits(random.Random(case), 20, len(CHARACTERS)) for case in range(5)]
    makers: dict[str, Callable[[], Any]] = {
        "threads": lambda: ThreadPool(2),
        "forked": lambda: multiprocessing.get_context("fork").Pool(1),
        "spawned": lambda: multiprocessing.get_context("spawn").Pool(1),
    }
    pool = makers[workers]() if workers in makers else None
    try:
        texts = decoder.decode_batch(pool, batch, beam_width=20, hotwords=iter(["abc"]))
        beams = decoder.decode_beams_batch(pool, batch, beam_width=20)
    finally:
        if pool is not None:
            pool.close()
            pool.join()
    assert texts == [decoder.decode(logits, beam_width=20, hotwords=["abc"]) for logits in batch]
    for logits, found in zip(batch, beams, strict=True):
        assert found == [(*beam[:1], *beam[2:]) for beam in decoder.decode_beams(logits, beam_width=20)]
    assert ("left idle" in caplog.text) == (workers == "spawned")


@pytest.mark.lm
def test_each_reads_the_others_folders(arpa: Path, tmp_path: Path, random_logits: Make) -> None:
    theirs = pyctcdecode.build_ctcdecoder(list(CHARACTERS), str(arpa), alpha=0.7, unk_score_offset=-3.0)
    (tmp_path / "theirs").mkdir()
    theirs.save_to_dir(str(tmp_path / "theirs"))
    ours = BeamSearchDecoderCTC.load_from_dir(tmp_path / "theirs")
    check(ours, theirs, len(CHARACTERS), random_logits, 20)
    ours.save_to_dir(tmp_path / "ours")
    again = pyctcdecode.BeamSearchDecoderCTC.load_from_dir(str(tmp_path / "ours"))
    check(ours, again, len(CHARACTERS), random_logits, 20)
    theirs.cleanup()
    again.cleanup()


@pytest.mark.lm
def test_folders_of_transformers_processors_are_read(arpa: Path, tmp_path: Path, random_logits: Make) -> None:
    transformers = pytest.importorskip("transformers")
    (tmp_path / "vocab.json").write_text(json.dumps({label: index for index, label in enumerate(CHARACTERS)}))
    tokenizer = transformers.Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json"))
    theirs = pyctcdecode.build_ctcdecoder(list(CHARACTERS), str(arpa))
    processor = transformers.Wav2Vec2ProcessorWithLM(transformers.Wav2Vec2FeatureExtractor(), tokenizer, theirs)
    processor.save_pretrained(tmp_path / "processor")
    ours = BeamSearchDecoderCTC.load_from_dir(tmp_path / "processor")
    check(ours, theirs, len(CHARACTERS), random_logits, 20)
    for case in range(10):
        logits = random_logits(random.Random(case), 30, len(CHARACTERS))
        assert ours.decode_beams(logits)[0].text == processor.decode(logits).text
    theirs.cleanup()


def test_a_folder_without_a_language_model(tmp_path: Path, random_logits: Make) -> None:
    build_ctcdecoder(HASHES).save_to_dir(tmp_path)
    theirs = pyctcdecode.BeamSearchDecoderCTC.load_from_dir(str(tmp_path))
    check(BeamSearchDecoderCTC.load_from_dir(tmp_path), theirs, len(HASHES), random_logits, 10)
    theirs.cleanup()


def test_only_a_decoders_files_come_from_the_hub(arpa: Path, tmp_path: Path, random_logits: Make) -> None:
    decoder = build_ctcdecoder(CHARACTERS, arpa)
    decoder.save_to_dir(tmp_path / "saved")
    saved = [path for path in (tmp_path / "saved").rglob("*") if path.is_file()]
    files = {str(path.relative_to(tmp_path / "saved")): path.read_bytes() for path in saved}
    with HubStandIn() as hub:
        hub.publish("someone/decoder", {**files, "model.safetensors": b"large"})
        fetched = BeamSearchDecoderCTC.load_from_hf_hub(
            "someone/decoder", cache_dir=tmp_path / "cache", endpoint=hub.url
        )
    assert hub.downloads == set(files)
    logits = random_logits(random.Random(1), 40, len(CHARACTERS))
    assert fetched.decode_beams(logits) == decoder.decode_beams(logits)


def test_what_cannot_be_saved_or_read_is_told(tmp_path: Path, arpa: Path, caplog: pytest.LogCaptureFixture) -> None:
    ngrams = read_arpa(arpa)
    unsaved = BeamSearchDecoderCTC(Alphabet(CHARACTERS), NgramLanguageModel(ngrams, ngrams.words))
    with pytest.raises(OptionError, match="not read from a file"):
        unsaved.save_to_dir(tmp_path)
    with pytest.raises(CheckpointError, match=r"alphabet\.json"):
        BeamSearchDecoderCTC.load_from_dir(tmp_path / "nowhere")
    (tmp_path / "alphabet.json").write_text("[]")
    with pytest.raises(CheckpointError, match="'labels', a list"):
        BeamSearchDecoderCTC.load_from_dir(tmp_path)
    with pytest.raises(CheckpointError):
        build_ctcdecoder(CHARACTERS, tmp_path / "nothing.arpa")


def test_words_of_an_arpa_file_are_those_that_pyctcdecode_finds(tmp_path: Path) -> None:
    marks = ["-2\t<unk>\t0", "-99\t<s>\t-0.3", "-1\t</s>"]
    counts = ["\\data\\", "ngram 1=5", "ngram 2=1", ""]
    sections = ["\\1-grams:", *marks, "-1\tab\t-0.5", "-1\tcd", "", "\\2-grams:", "-1\t<s> ab", "", "\\end\\", ""]
    path = tmp_path / "words.arpa"
    path.write_text("\n".join(counts + sections))
    decoder = build_ctcdecoder(CHARACTERS, path)
    assert decoder.language_model is not None
    assert decoder.language_model.vocabulary is not None
    assert decoder.language_model.vocabulary.words == ["<s>", "ab"]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda decoder: decoder.decode(np.zeros(5)), r"shape \(5,\)"),
        (lambda decoder: decoder.decode(np.zeros((2, 5))), r"shape \(2, 5\)"),
        (lambda decoder: decoder.decode(np.full((2, 12), np.nan)), "NaN"),
        (lambda decoder: decoder.decode(np.zeros((2, 12)), hotwords="abc"), "list of strings"),
        (lambda decoder: decoder.decode(np.zeros((2, 12)), beam_width=0), "beam_width is 0"),
    ],
)
def test_bad_arguments_are_value_errors(call: Callable[[BeamSearchDecoderCTC], Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call(build_ctcdecoder(CHARACTERS))


def test_nothing_said_is_one_empty_reading(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        beams = build_ctcdecoder(CHARACTERS).decode_beams(np.zeros((0, len(CHARACTERS))))
    assert beams == [("", None, [], 0.0, 0.0)]
    assert caplog.messages == []
