from __future__ import annotations

import json
import logging
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyctcdecode.alphabet import Alphabet as OracleAlphabet

from streaming_asr.decoding import Alphabet
from streaming_asr.errors import OptionError

MARKS = ("", " ", "|", "_", "<pad>", "[PAD]", "<Pad>", "<unk>", "[UNK]", "<s>", "[CLS]", "<>", "▁", "▁⁇▁", "⁇")
PIECES = ("a", "ab", "▁a", "▁ab", "b▁", "##a", "##b", "##", "a b", "'", "<pad>x", "é")


@given(st.lists(st.sampled_from(MARKS + PIECES), min_size=1, max_size=12))
def test_labels_are_normalized_as_by_pyctcdecode(labels: Sequence[str]) -> None:
    try:
        wanted = OracleAlphabet.build_alphabet(list(labels))
    except ValueError:
        with pytest.raises(OptionError):
            Alphabet(labels)
        return
    alphabet = Alphabet(labels)
    assert (list(alphabet.labels), alphabet.is_bpe) == (wanted.labels, wanted.is_bpe)
    assert Alphabet.loads(wanted.dumps()) == alphabet
    assert json.loads(alphabet.dumps()) == json.loads(wanted.dumps())


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
        (["", "a", "a"], r"come twice: \['a'\]"),
        (["", "▁a", "b c"], r"contain a space: \['b c'\]"),
        ([], "sequence of strings"),
        ("abc", "sequence of strings"),
        (["a", 3], "sequence of strings"),
    ],
)
def test_labels_that_cannot_be_decoded_are_refused(labels: list[str], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        Alphabet(labels)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[]", "'labels', a list, and 'is_bpe'"),
        ('{"labels": "ab", "is_bpe": false}', "'labels', a list"),
        ('{"labels": ["a", 1], "is_bpe": false}', "sequence of strings"),
        ('{"labels": ["a"], "is_bpe": false}', "none of the normalized labels is blank"),
    ],
)
def test_what_is_no_written_alphabet_is_refused(text: str, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        Alphabet.loads(text)


def test_making_one_is_quiet(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        Alphabet(["<pad>", "<s>", "a"])
    assert caplog.messages == []


def test_alphabets_are_equal_if_their_labels_are() -> None:
    assert Alphabet(["<pad>", "|", "a"]) == Alphabet(["", " ", "a"])
    assert hash(Alphabet(["<pad>", "|", "a"])) == hash(Alphabet(["", " ", "a"]))
    assert Alphabet(["", " ", "a"]) != Alphabet(["", " ", "b"])
