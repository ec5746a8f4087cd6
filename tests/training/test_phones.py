from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from training.configuration import Configuration
from training.corpus import Corpus
from training.phones import Phones, main, pronounce
from training.train import train

needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs the command espeak-ng")


@needs_espeak
def test_words_that_sound_alike_have_the_same_phones() -> None:
    lexicon = pronounce(["NIGHT", "KNIGHT", "THREW", "THROUGH"])
    assert lexicon["NIGHT"] == lexicon["KNIGHT"] == ("n", "aI", "t")
    assert lexicon["THROUGH"] == lexicon["THREW"]


@needs_espeak
def test_a_lexicon_of_a_corpus_is_written_and_read(
    tmp_path: Path, corpus_folder: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["phones", str(tmp_path / "phones.tsv"), str(corpus_folder)])
    main()
    phones = Phones.read(tmp_path / "phones.tsv")
    assert set(phones.rows) == {word for one in corpus.utterances for word in one.transcript.split()}


def test_rows_of_phones_stand_between_words_and_never_for_blanks() -> None:
    phones = Phones.of({"NIGHT": ("n", "aI", "t"), "I": ("aI",)})
    assert phones.names == ("", "|", "aI", "n", "t")
    assert phones.encode("I NIGHT") == [2, 1, 3, 2, 4]
    with pytest.raises(ValueError, match="DAY is not in the lexicon"):
        phones.encode("I DAY")


def test_a_network_learns_phones_that_its_folder_knows_nothing_of(
    configuration: Configuration, corpus: Corpus, tmp_path: Path
) -> None:
    words = sorted({word for one in corpus.utterances for word in one.transcript.split()})
    lexicon = tmp_path / "phones.tsv"
    lexicon.write_text("".join(f"{word}\t{' '.join(word.lower())}\n" for word in words))
    names = load_file(train(replace(configuration, phones=str(lexicon)), progress=False) / "model.safetensors")
    assert not any("phone" in name for name in names)
    assert "lm_head.weight" in names


def test_without_espeak_the_error_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="apt install espeak-ng"):
        pronounce(["WORD"])
