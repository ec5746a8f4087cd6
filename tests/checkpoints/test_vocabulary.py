"""Every way in which a vocabulary is written down, and the labels that come of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pyctcdecode.alphabet import Alphabet

from streaming_asr.checkpoints.tokenizer import Tokenizer, read_tokenizer
from streaming_asr.checkpoints.vocabulary import Vocabulary, build_vocabulary, read_vocabulary
from streaming_asr.errors import CheckpointError

PLAIN = ("<pad>", "<s>", "</s>", "<unk>", "|", "A", "B", "'")


def write(folder: Path, **files: Any) -> Path:
    """Write JSON files, named without their ending, into a folder."""
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def ids(*tokens: str) -> dict[str, int]:
    return {token: row for row, token in enumerate(tokens)}


def build(
    tokens: Mapping[str, int],
    tokenizer: Tokenizer | None = None,
    rows: int | None = None,
    pad_token_id: int | None = None,
) -> Vocabulary:
    """The vocabulary of tokens, one row for each unless said otherwise."""
    rows = len(tokens) if rows is None else rows
    return build_vocabulary(tokens, tokenizer or Tokenizer(), rows, pad_token_id=pad_token_id, origin="vocab.json")


def shown_labels(vocabulary: Vocabulary) -> dict[int, str]:
    """The labels that a transcript may show, by row."""
    quiet = {*vocabulary.special, vocabulary.blank}
    return {row: label for row, label in enumerate(vocabulary.labels) if row not in quiet}


def assert_pyctcdecode_keeps(vocabulary: Vocabulary) -> None:
    """The labels are what pyctcdecode's alphabet would make of them: unique, with one blank, and normalized."""
    assert Alphabet.build_alphabet(list(vocabulary.labels)).labels == list(vocabulary.labels)


def test_the_pad_token_is_blank_and_the_bar_divides_words() -> None:
    vocabulary = build(ids(*PLAIN), Tokenizer(unknown="<unk>"))
    assert vocabulary.labels == ("", "<s>", "</s>", "⁇", " ", "A", "B", "'")
    assert vocabulary.blank == 0
    assert_pyctcdecode_keeps(vocabulary)


def test_special_tokens_are_never_shown() -> None:
    tokenizer = Tokenizer(unknown="?", specials=frozenset({"*start*"}))
    vocabulary = build(ids("<pad>", "<s>", "[LANG]", "?", "*start*", "a", "|"), tokenizer)
    assert shown_labels(vocabulary) == {5: "a", 6: " "}
    assert vocabulary.special == (1, 2, 3, 4)
    assert_pyctcdecode_keeps(vocabulary)


@pytest.mark.parametrize("pad", ["[PAD]", "<pad>"])
def test_blank_may_be_any_row(pad: str) -> None:
    vocabulary = build(ids("|", "a", "b", "[UNK]", pad), Tokenizer(unknown="[UNK]"))
    assert vocabulary.blank == 4
    assert vocabulary.labels == (" ", "a", "b", "⁇", "")


def test_the_tokenizer_is_believed_rather_than_the_configuration(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        vocabulary = build(ids("a", "|", "[PAD]"), pad_token_id=0)
    assert vocabulary.blank == 2
    assert "pad_token_id 0" in caplog.text


def test_the_configuration_is_believed_where_the_vocabulary_has_no_pad(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        vocabulary = build(ids("blank", "a", "|"), pad_token_id=0)
    assert (vocabulary.blank, vocabulary.labels) == (0, ("", "a", " "))
    assert "row 0 is blank" in caplog.text


def test_a_vocabulary_without_any_blank_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"no pad token <pad> or \[PAD\]"):
        build(ids("a", "b", "|"), pad_token_id=99)


def test_tokens_beyond_the_head_are_left_out() -> None:
    vocabulary = build({**ids("<pad>", "a", "|"), "<s>": 3, "</s>": 4}, rows=3)
    assert vocabulary.labels == ("", "a", " ")


def test_rows_without_a_token_are_special() -> None:
    vocabulary = build({"<pad>": 0, "a": 2, "|": 5}, rows=7)
    assert shown_labels(vocabulary) == {2: "a", 5: " "}
    assert vocabulary.special == (1, 3, 4, 6)
    assert_pyctcdecode_keeps(vocabulary)


def test_added_tokens_fill_the_gaps_of_a_vocabulary(tmp_path: Path) -> None:
    write(tmp_path, vocab={"a": 0, "|": 1}, added_tokens={"[PAD]": 2, "<s>": 3})
    assert read_vocabulary(tmp_path, 3).blank == 2


def test_a_space_is_a_delimiter_of_its_own() -> None:
    assert build(ids("<pad>", " ", "a")).labels == ("", " ", "a")


def test_of_two_delimiters_the_second_is_special() -> None:
    vocabulary = build(ids("<pad>", "|", " ", "a"))
    assert shown_labels(vocabulary) == {1: " ", 3: "a"}
    assert_pyctcdecode_keeps(vocabulary)


def test_a_delimiter_of_another_name_comes_from_the_tokenizer() -> None:
    vocabulary = build(ids("<pad>", "<space>", "|", "a"), Tokenizer(delimiter="<space>"))
    assert vocabulary.labels == ("", " ", "|", "a")


def test_a_lone_word_start_among_characters_is_the_delimiter() -> None:
    assert build(ids("<pad>", "▁", "a", "b")).labels == ("", " ", "a", "b")


def test_word_pieces_keep_their_word_starts() -> None:
    vocabulary = build(ids("<pad>", "<unk>", "▁the", "re", "▁", "s"), Tokenizer(unknown="<unk>"))
    assert vocabulary.labels == ("", "▁⁇▁", "▁the", "re", "▁", "s")
    assert vocabulary.special == (1,)
    assert_pyctcdecode_keeps(vocabulary)


def test_word_pieces_may_have_an_unused_delimiter() -> None:
    vocabulary = build(ids("<pad>", "|", "▁the", "re"))
    assert vocabulary.labels == ("", "▁", "▁the", "re")
    assert_pyctcdecode_keeps(vocabulary)


def test_continuations_are_turned_into_word_starts() -> None:
    vocabulary = build(ids("[PAD]", "[UNK]", "the", "##re", "s", "##s"), Tokenizer(unknown="[UNK]"))
    assert vocabulary.labels == ("", "▁⁇▁", "▁the", "re", "▁s", "s")
    assert_pyctcdecode_keeps(vocabulary)


def test_phonemes_are_units_of_their_own(tmp_path: Path) -> None:
    write(
        tmp_path,
        vocab=ids("<pad>", "<s>", "ə", "oʊ"),
        tokenizer_config={"tokenizer_class": "Wav2Vec2PhonemeCTCTokenizer"},
    )
    vocabulary = read_vocabulary(tmp_path, 4)
    assert shown_labels(vocabulary) == {2: "▁ə", 3: "▁oʊ"}
    assert_pyctcdecode_keeps(vocabulary)


def test_tokens_of_several_characters_stay_whole() -> None:
    assert build(ids("<pad>", "|", "sch", "null", "a")).labels == ("", " ", "sch", "null", "a")


def test_an_empty_token_that_is_not_blank_is_special() -> None:
    vocabulary = build(ids("<pad>", "", "|", "a"))
    assert shown_labels(vocabulary) == {2: " ", 3: "a"}
    assert_pyctcdecode_keeps(vocabulary)


def test_an_empty_pad_token_is_blank() -> None:
    assert build(ids("a", "", "|"), Tokenizer(pad="")).blank == 1


def test_a_second_pad_token_is_special() -> None:
    vocabulary = build(ids("<blank>", "<pad>", "|", "a"), Tokenizer(pad="<blank>"))
    assert (vocabulary.blank, vocabulary.special) == (0, (1,))
    assert_pyctcdecode_keeps(vocabulary)


def test_lower_casing_is_applied_when_the_tokenizer_asks_for_it() -> None:
    assert build(ids("<pad>", "|", "A", "É"), Tokenizer(lower_case=True)).labels == ("", " ", "a", "é")


def test_what_lower_casing_would_make_equal_stays_apart() -> None:
    vocabulary = build(ids("<pad>", "|", "A", "a", "B"), Tokenizer(lower_case=True))
    assert vocabulary.labels == ("", " ", "A", "a", "b")
    assert_pyctcdecode_keeps(vocabulary)


def test_one_language_is_taken_from_a_nested_vocabulary(tmp_path: Path) -> None:
    write(tmp_path, vocab={"eng": ids("<pad>", "|", "a"), "rus": ids("<pad>", "|", "а", "б")})
    assert read_vocabulary(tmp_path, 4, language="rus").labels == ("", " ", "а", "б")
    with pytest.raises(CheckpointError, match="none for 'fra'"):
        read_vocabulary(tmp_path, 4, language="fra")


def test_tokens_may_be_written_as_objects_and_in_either_file(tmp_path: Path) -> None:
    pad = {"content": "[PAD]", "lstrip": False}
    write(tmp_path, special_tokens_map={"pad_token": pad, "unk_token": "[UNK]"}, tokenizer_config={"pad_token": None})
    tokenizer = read_tokenizer(tmp_path)
    assert (tokenizer.pad, tokenizer.unknown) == ("[PAD]", "[UNK]")


def test_the_newer_file_overrules_the_older(tmp_path: Path) -> None:
    write(tmp_path, special_tokens_map={"pad_token": "<pad>"}, tokenizer_config={"pad_token": "[PAD]"})
    assert read_tokenizer(tmp_path).pad == "[PAD]"


def test_added_tokens_that_are_special_are_never_shown(tmp_path: Path) -> None:
    decoder = {"0": {"content": "~x~", "special": True}, "1": {"content": "a", "special": False}}
    write(tmp_path, vocab=ids("~x~", "a", "<pad>", "|"), tokenizer_config={"added_tokens_decoder": decoder})
    assert shown_labels(read_vocabulary(tmp_path, 4)) == {1: "a", 3: " "}


def test_an_alphabet_stands_in_for_a_missing_vocabulary(tmp_path: Path) -> None:
    write(tmp_path, alphabet={"labels": [" ", "a", "b", "⁇", "", "<s>", "</s>"], "is_bpe": False})
    vocabulary = read_vocabulary(tmp_path, 5)
    assert vocabulary == Vocabulary((" ", "a", "b", "⁇", ""), blank=4, special=(3,))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"<pad>": 0, "a"', r"vocab\.json: is truncated or not JSON"),
        ('["<pad>", "a"]', r"vocab\.json: holds a JSON list"),
        ('{"<pad>": "zero"}', r"the id of '<pad>' is 'zero'"),
        ('{"<pad>": 40}', "no token for the 4 rows"),
    ],
)
def test_a_broken_vocabulary_is_one_clear_error(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "vocab.json").write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=message):
        read_vocabulary(tmp_path, 4)


def test_a_missing_vocabulary_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"vocab\.json"):
        read_vocabulary(tmp_path, 4)


@pytest.mark.parametrize("added", [{"<s>": "three"}, {"<s>": None}])
def test_broken_added_tokens_are_named(tmp_path: Path, added: Mapping[str, Any]) -> None:
    write(tmp_path, vocab=ids(*PLAIN), added_tokens=added)
    with pytest.raises(CheckpointError, match=r"added_tokens\.json: the id of '<s>'"):
        read_vocabulary(tmp_path, len(PLAIN))
