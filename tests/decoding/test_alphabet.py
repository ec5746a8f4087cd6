from __future__ import annotations

import logging

import pytest

from streaming_asr.decoding import Alphabet
from streaming_asr.errors import OptionError


def test_characters_know_blank_and_delimiter() -> None:
    alphabet = Alphabet(["<pad>", "<s>", "</s>", "<unk>", "|", "a", "b"])
    assert alphabet.labels == ("", "<s>", "</s>", "⁇", " ", "a", "b")
    assert (alphabet.blank, alphabet.is_bpe) == (0, False)
    assert [index for index, opens in enumerate(alphabet.opens) if opens] == [4]


def test_normalized_labels_stay_as_they_are() -> None:
    labels = ("a", "b", " ", "", "<s>")
    assert Alphabet(labels).labels == labels
    assert Alphabet(labels).blank == 3


def test_word_pieces_of_both_styles_begin_words() -> None:
    sentencepiece = Alphabet(["", "▁⁇▁", "▁ab", "c"])
    assert sentencepiece.is_bpe
    assert sentencepiece.opens == (False, True, True, False)
    assert sentencepiece.closes == (False, True, False, False)
    assert sentencepiece.pieces == ("", "⁇", "ab", "c")
    assert Alphabet(["[PAD]", "[UNK]", "ab", "##c"]).labels == ("", "▁⁇▁", "▁ab", "c")


def test_a_missing_blank_is_appended() -> None:
    assert Alphabet(["a", " "]).labels == ("a", " ", "")


def test_equal_labels_are_one_symbol() -> None:
    alphabet = Alphabet(["", "<pad>", " ", "a"])
    assert alphabet.labels == ("", "", " ", "a")
    assert alphabet.symbols == (0, 0, 2, 3)


def test_words_are_spelled_by_characters() -> None:
    alphabet = Alphabet(["", " ", "A", "B", "'"])
    assert alphabet.spellable("AB'A")
    assert not alphabet.spellable("AB C")
    assert not alphabet.spellable("")
    assert alphabet.missing("ABÇAD") == "ÇD"
    assert alphabet.missing("AB") == ""


def test_words_are_spelled_by_pieces_only_as_far_as_they_join() -> None:
    alphabet = Alphabet(["", "▁a", "▁ab", "bc", "d"])
    assert alphabet.spellable("abc")
    assert alphabet.spellable("abbcd")
    assert not alphabet.spellable("ac")
    assert alphabet.missing("ac") == "c"
    assert alphabet.missing("axc") == "x"


def test_a_word_is_recased_to_what_can_be_spelled() -> None:
    upper = Alphabet(["", " ", *"ABCß"])
    assert upper.recase("abc") == "ABC"
    assert upper.recase("Abc") == "ABC"
    assert upper.recase("xyz") is None
    assert Alphabet(["", " ", *"abc"]).recase("ABC") == "abc"
    assert Alphabet(["", " ", *"abcABC"]).recase("aBc") == "aBc"


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (["", "a", "a"], "duplicate"),
        (["", "▁a", "b c"], "Space token"),
        ([], "sequence of strings"),
        ("abc", "sequence of strings"),
        (["a", 3], "sequence of strings"),
    ],
)
def test_labels_that_cannot_be_decoded_are_refused(labels: list[str], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        Alphabet(labels)


def test_making_one_is_quiet(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        Alphabet(["<pad>", "<s>", "a"])
    assert caplog.messages == []


def test_alphabets_are_equal_if_their_labels_are() -> None:
    assert Alphabet(["<pad>", "|", "a"]) == Alphabet(["", " ", "a"])
    assert hash(Alphabet(["<pad>", "|", "a"])) == hash(Alphabet(["", " ", "a"]))
    assert Alphabet(["", " ", "a"]) != Alphabet(["", " ", "b"])
