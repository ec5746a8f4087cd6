from __future__ import annotations

import pytest

from training.transcripts import BLANK, ENGLISH, VOCABULARY, Spelling, is_spellable, least_frames, normalize


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Gunther Zeiner, at Augsburg;", "GUNTHER ZEINER AT AUGSBURG"),
        ("it\u2019s a joy-thrill", "IT'S A JOY THRILL"),
        ("caf\u00e9 na\u00efve", "CAFE NAIVE"),
        ("he said 'never' again", "HE SAID NEVER AGAIN"),
        ("'tis the boys' ball", "'TIS THE BOYS' BALL"),
        ("  two\tspaces ", "TWO SPACES"),
    ],
)
def test_transcripts_are_letters_apostrophes_and_single_spaces(text: str, normal: str) -> None:
    assert normalize(text) == normal


def test_signs_that_are_read_as_words_are_refused() -> None:
    assert is_spellable("a plain one.")
    assert not is_spellable("in 1984")
    assert not is_spellable("5 % & more")
    assert not is_spellable("...")


def test_greedy_decoding_merges_repeats_and_drops_blanks() -> None:
    rows = ENGLISH.encode("HELO")
    path = [BLANK, rows[0], rows[0], rows[1], rows[2], BLANK, rows[2], rows[3], VOCABULARY.index("|"), BLANK]
    assert ENGLISH.decode(path) == "HELLO"
    assert ENGLISH.decode(ENGLISH.encode("A CAT'S")) == "A CAT'S"


def test_another_model_spells_with_its_own_letters() -> None:
    spelling = Spelling(("<s>", "a", " ", "\u00e9", ""), blank=4)
    assert spelling.encode("A \u00e9") == [1, 2, 3]
    assert spelling.decode([1, 1, 4, 1, 2, 3, 0]) == "aa \u00e9"
    with pytest.raises(ValueError, match="does not know: b"):
        spelling.encode("ab")


@pytest.mark.parametrize(("text", "frames"), [("", 0), ("ABC", 3), ("AAB", 4), ("AAA", 5), ("ABA", 3)])
def test_equal_letters_need_a_blank_between_them(text: str, frames: int) -> None:
    assert least_frames(text) == frames
