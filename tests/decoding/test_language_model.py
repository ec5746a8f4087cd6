from __future__ import annotations

import gzip
import json
import logging
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streaming_asr.audio.samples import FloatArray
from streaming_asr.decoding import Alphabet, BeamSearch, LanguageModelOptions, load_language_model, read_arpa
from streaming_asr.errors import CheckpointError, MissingExtraError, OptionError

LOWER = Alphabet(["", " ", *"abcdef"])
UPPER = Alphabet(["", " ", *"ABCDEF"])

WriteArpa = Callable[[Path, Iterable[str]], Path]


def rows(text: str, other: str, alphabet: Alphabet) -> FloatArray:
    """Log-probabilities (frames, vocabulary), half for each of two texts; "_" is blank."""
    shares = np.full((len(text), len(alphabet.labels)), 1e-12)
    for line in (text, other):
        for frame, character in enumerate(line):
            shares[frame, alphabet.labels.index(character.replace("_", ""))] += 0.5
    result: FloatArray = np.log(shares)
    return result


def best(alphabet: Alphabet, model: Any, log_probs: FloatArray) -> str:
    search = BeamSearch(alphabet, language_model=model)
    search.push(log_probs)
    return search.finish()[0].text


def save_with_processor(folder: Path, write_arpa: WriteArpa, words: Iterable[str], **attributes: Any) -> Path:
    """The files of a Wav2Vec2ProcessorWithLM."""
    (folder / "language_model").mkdir(parents=True)
    write_arpa(folder / "language_model" / "5gram.arpa", words)
    (folder / "language_model" / "attrs.json").write_text(json.dumps(attributes))
    (folder / "language_model" / "unigrams.txt").write_text("\n".join(words), encoding="utf-8")
    (folder / "alphabet.json").write_text(json.dumps({"labels": list(LOWER.labels), "is_bpe": False}))
    return folder


@pytest.fixture(params=["ours", pytest.param("kenlm", marks=pytest.mark.lm)])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What reads ARPA files: KenLM, or ours where KenLM is not installed."""
    if request.param == "ours":
        monkeypatch.setitem(sys.modules, "kenlm", None)
    return str(request.param)


@pytest.mark.usefixtures("reader")
def test_an_arpa_file_brings_its_words(tmp_path: Path, write_arpa: WriteArpa) -> None:
    model = load_language_model(write_arpa(tmp_path / "a.arpa", ["bad", "cab", "fée"]), LOWER)
    assert model.vocabulary is not None
    assert all(word in model.vocabulary for word in ("bad", "cab", "fée"))
    assert "<s>" not in model.vocabulary
    assert len(model.vocabulary) == 3
    assert model.options == LanguageModelOptions()
    assert best(LOWER, model, rows("bad", "bed", LOWER)) == "bad"
    assert best(LOWER, model, rows("cab", "ccb", LOWER)) == "cab"


@pytest.mark.usefixtures("reader")
def test_an_arpa_file_is_known_by_its_content(tmp_path: Path, write_arpa: WriteArpa) -> None:
    model = load_language_model(write_arpa(tmp_path / "a.bin", ["bad", "f\u00e9\u00a0e"]), LOWER)
    assert model.vocabulary is not None
    assert "f\u00e9\u00a0e" in model.vocabulary


@pytest.mark.usefixtures("reader")
def test_a_processor_folder_brings_words_and_weights(tmp_path: Path, write_arpa: WriteArpa) -> None:
    attributes = {"alpha": 0.9, "beta": 0.1, "unk_score_offset": -7.0, "score_boundary": False}
    folder = save_with_processor(tmp_path / "processor", write_arpa, ["bad", "cab"], **attributes)
    for path in (folder, folder / "language_model"):
        model = load_language_model(path, LOWER)
        assert model.options == LanguageModelOptions(**attributes)  # type: ignore[arg-type]
        assert load_language_model(path, LOWER, alpha=0.2).options.alpha == 0.2
        assert best(LOWER, model, rows("cab", "ccb", LOWER)) == "cab"


@pytest.mark.usefixtures("reader")
def test_words_can_be_given_as_a_file(tmp_path: Path, write_arpa: WriteArpa) -> None:
    listed = tmp_path / "words.txt"
    listed.write_text("bad\ncab\n", encoding="utf-8")
    model = load_language_model(write_arpa(tmp_path / "a.arpa", ["bad", "bed", "cab"]), LOWER, unigrams=listed)
    assert model.vocabulary is not None
    assert len(model.vocabulary) == 2


@pytest.mark.lm
def test_a_model_that_does_not_list_its_words_is_used_with_a_warning(
    tmp_path: Path, write_arpa: WriteArpa, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only KenLM's own tools write its binaries, so an ARPA file that is not known as one stands for them.
    monkeypatch.setattr("streaming_asr.decoding.language_model_files.is_arpa", lambda path: False)
    model = load_language_model(write_arpa(tmp_path / "a.bin", ["bad", "cab"]), LOWER)
    assert model.vocabulary is None
    assert "does not list its words" in caplog.text
    assert best(LOWER, model, rows("bad", "bed", LOWER)) == "bad"


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(
    ("alphabet", "words", "case", "said", "other"),
    [
        (UPPER, ["bad", "cab"], "lower", "BAD", "BED"),
        (LOWER, ["BAD", "CAB"], "upper", "bad", "bed"),
    ],
)
def test_words_in_the_other_case_are_matched_and_a_log_line_says_so(
    tmp_path: Path,
    write_arpa: WriteArpa,
    caplog: pytest.LogCaptureFixture,
    alphabet: Alphabet,
    words: list[str],
    case: str,
    said: str,
    other: str,
) -> None:
    path = write_arpa(tmp_path / "a.arpa", words)
    model = load_language_model(path, alphabet)
    assert model.case == case
    assert f"are {case} case" in caplog.text
    assert best(alphabet, model, rows(said, other, alphabet)) == said
    deaf = load_language_model(path, alphabet, case="as is")
    spoken, unknown = deaf.score_partial(said), model.score_partial(said)
    assert (spoken, unknown) == (-10.0, 0.0)


@pytest.mark.usefixtures("reader")
def test_words_in_the_alphabets_case_are_left_alone_without_a_word(
    tmp_path: Path, write_arpa: WriteArpa, caplog: pytest.LogCaptureFixture
) -> None:
    assert load_language_model(write_arpa(tmp_path / "a.arpa", ["BAD"]), UPPER).case == "as is"
    assert caplog.text == ""


@pytest.mark.usefixtures("reader")
def test_a_model_of_another_alphabet_is_warned_of(
    tmp_path: Path, write_arpa: WriteArpa, caplog: pytest.LogCaptureFixture
) -> None:
    load_language_model(write_arpa(tmp_path / "a.arpa", ["привет", "мир", "bad"]), LOWER)
    assert "can spell only 33 %" in caplog.text


@pytest.mark.usefixtures("reader")
def test_files_that_cannot_be_used_are_named(tmp_path: Path, write_arpa: WriteArpa) -> None:
    with pytest.raises(CheckpointError, match="there is no language model at"):
        load_language_model(tmp_path / "nothing", LOWER)
    with pytest.raises(CheckpointError, match="found: none"):
        load_language_model(tmp_path, LOWER)
    broken = tmp_path / "broken.arpa"
    broken.write_text("\\data\\\nngram 1=oops\n")
    with pytest.raises(CheckpointError, match=r"broken\.arpa is not an? .* read: "):
        load_language_model(broken, LOWER)
    folder = save_with_processor(tmp_path / "processor", write_arpa, ["bad"], alpha="much")
    with pytest.raises(OptionError, match="alpha of the language model is 'much'"):
        load_language_model(folder, LOWER)
    (folder / "language_model" / "attrs.json").write_text("[1")
    with pytest.raises(CheckpointError, match=r"attrs\.json cannot be read"):
        load_language_model(folder, LOWER)
    with pytest.raises(CheckpointError, match="words of the language model cannot be read"):
        load_language_model(write_arpa(tmp_path / "a.arpa", ["bad"]), LOWER, unigrams=tmp_path / "none.txt")


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"made by hand\n\n"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_model_of_single_words_is_read_whatever_stands_before_it(tmp_path: Path, before: bytes, packed: bool) -> None:
    text = "\\data\\\nngram 1=4\n\n\\1-grams:\n-2 <unk>\n-1 <s>\n-1 </s>\n-0.5 cab\n\n\\end\\\n"
    content = before + text.encode()
    path = tmp_path / "words.arpa"
    path.write_bytes(gzip.compress(content) if packed else content)
    model = load_language_model(path, LOWER)
    assert model.vocabulary is not None
    assert model.vocabulary.words == ["cab"]
    assert best(LOWER, model, rows("cab", "ccb", LOWER)) == "cab"


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("beside", ["words.binary", "words.npz"])
def test_an_arpa_file_may_lie_beside_its_binary(
    tmp_path: Path, write_arpa: WriteArpa, reader: str, beside: str
) -> None:
    arpa = write_arpa(tmp_path / "words.arpa", ["cab", "bad"])
    binary = tmp_path / beside
    if beside.endswith(".npz"):
        read_arpa(arpa).save(binary)
    else:
        binary.write_bytes(b"mmap lm http://kheafield.com/code format version 5\n\0")
    if reader == "kenlm" and beside == "words.binary":
        with pytest.raises(CheckpointError, match=r"words\.binary is not a language model that KenLM can read"):
            load_language_model(tmp_path, LOWER)
        return
    model = load_language_model(tmp_path, LOWER)
    assert model.file == (arpa if beside == "words.binary" else binary)
    assert model.vocabulary is not None
    assert model.vocabulary.words == ["bad", "cab"]


def test_several_files_of_one_kind_are_named(tmp_path: Path, write_arpa: WriteArpa) -> None:
    for name in ("one.arpa", "two.arpa"):
        write_arpa(tmp_path / name, ["cab"])
    with pytest.raises(CheckpointError, match=r"must hold one file \.arpa or \.arpa\.gz; found: one\.arpa, two\.arpa"):
        load_language_model(tmp_path, LOWER)


def test_a_kenlm_binary_without_kenlm_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "kenlm", None)
    (tmp_path / "a.binary").write_bytes(b"mmap lm http://kheafield.com/code format version 5\n\0")
    with pytest.raises(MissingExtraError, match=r"KenLM's binary format needs the extra 'lm': pip install"):
        load_language_model(tmp_path / "a.binary", LOWER)


def test_a_saved_model_loads_alone_or_in_a_folder(tmp_path: Path, arpa: Path) -> None:
    (tmp_path / "language_model").mkdir()
    saved = tmp_path / "language_model" / "ngrams.npz"
    read_arpa(arpa).save(saved)
    (saved.parent / "attrs.json").write_text('{"alpha": 0.8}')
    alone, inside = load_language_model(saved, LOWER), load_language_model(tmp_path, LOWER)
    assert (alone.options.alpha, inside.options.alpha) == (0.5, 0.8)
    assert inside.vocabulary is not None
    assert "cab" in inside.vocabulary
    assert best(LOWER, inside, rows("cab", "ccb", LOWER)) == "cab"


def test_silence_is_nothing_unless_an_empty_end_counts_as_an_unknown_word(
    tmp_path: Path, write_arpa: WriteArpa
) -> None:
    path = write_arpa(tmp_path / "a.arpa", ["a", "bad"])
    faint = np.full((3, len(LOWER.labels)), 1e-12)
    faint[:, 0], faint[:, LOWER.labels.index("a")] = 0.97, 0.03
    assert best(LOWER, load_language_model(path, LOWER), np.log(faint)) == "a"
    assert best(LOWER, load_language_model(path, LOWER, empty_is_unknown=False), np.log(faint)) == ""


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"alpha": float("nan")}, "alpha"),
        ({"beta": "x"}, "beta"),
        ({"score_boundary": 1}, "score_boundary"),
        ({"empty_is_unknown": None}, "empty_is_unknown"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        LanguageModelOptions(**options)


@pytest.mark.usefixtures("reader")
def test_loading_is_quiet(arpa: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        load_language_model(arpa, Alphabet(["", " ", *"abcdef"]))
    assert caplog.text == ""
    assert "".join(capfd.readouterr()) == ""
