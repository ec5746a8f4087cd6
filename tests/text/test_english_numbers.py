"""Spoken numbers in, figures and the words they stand for out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_asr.text.english_numbers import CONTINUING, OPENING, Figure, find_figures


def written(sentence: str) -> str:
    words = sentence.split()
    text, at = [], 0
    for figure in find_figures(words):
        text += [*words[at : figure.first], figure.text]
        at = figure.last
    return " ".join([*text, *words[at:]])


@pytest.mark.parametrize(
    ("spoken", "expected"),
    [
        ("one hundred and five people", "105 people"),
        ("ten thousand two hundred", "10,200"),
        ("three hundred thousand", "300,000"),
        ("two million", "2 million"),
        ("one million two hundred thousand", "1,200,000"),
        ("two thousand and six", "2006"),
        ("nineteen hundred", "1900"),
        ("three point one four", "3.14"),
        ("zero point five per cent", "0.5%"),
        ("twenty five percent of it", "25% of it"),
        ("one point five billion euros", "€1.5 billion"),
        ("three dollars and fifty cents", "$3.50"),
        ("one dollar", "$1"),
        ("the twenty first century", "the 21st century"),
        ("one hundred and first", "101st"),
        ("the eleventh hour", "the 11th hour"),
        ("in nineteen oh five", "in 1905"),
        ("since nineteen eighty four", "since 1984"),
        ("the nineteen eighties", "the 1980s"),
        ("march third twenty twenty six", "March 3, 2026"),
        ("july four", "July 4"),
        ("june twenty twenty four", "June 2024"),
        ("the third of march nineteen eighty four", "the 3rd of March 1984"),
        ("three thirty p m", "3:30 PM"),
        ("eleven am", "11 AM"),
        ("at five thirty we go", "at 5:30 we go"),
        ("twenty past three", "3:20"),
        ("at twenty five past three we go", "at 3:25 we go"),
        ("five past eleven p m", "11:05 PM"),
        ("half past ten", "10:30"),
        ("by ten to four", "by 3:50"),
        ("at quarter to one", "at 12:45"),
        ("seven o'clock", "7 o'clock"),
        ("five degrees", "5 degrees"),
        ("call nine one one", "call 911"),
        ("five five five one two three four", "555-1234"),
        ("four one five five five five one two three four", "415-555-1234"),
        ("six double five seven one two three", "655-7123"),
    ],
)
def test_spoken_numbers_become_figures(spoken: str, expected: str) -> None:
    assert written(spoken) == expected


@pytest.mark.parametrize(
    "sentence",
    [
        "i have one of them and two of those",
        "a hundred men",
        "the second one",
        "one third of it",
        "we march on",
        "you may go",
        "one two",
        "a point of view",
        "a quarter past three",
        "half of them",
        "from one to two",
        "five to four",
        "nine past masters",
    ],
)
def test_words_that_are_no_figures_in_print_stay_words(sentence: str) -> None:
    assert written(sentence) == sentence


def test_a_figure_keeps_the_span_of_its_words() -> None:
    assert find_figures(["in", "twenty", "twenty", "six", "we"]) == [Figure(1, 4, "2026")]


def test_the_word_in_front_tells_a_time() -> None:
    assert find_figures(["five", "thirty"], before="at") == [Figure(0, 2, "5:30")]
    assert [figure.text for figure in find_figures(["five", "thirty"], before="for")] == ["30"]


@given(st.lists(st.sampled_from([*sorted(CONTINUING), "word"]), max_size=12))
def test_figures_are_in_order_apart_and_begin_with_an_opening_word(words: list[str]) -> None:
    figures = find_figures(words)
    places = [0, *(place for figure in figures for place in (figure.first, figure.last)), len(words)]
    assert places == sorted(places)
    assert all(words[figure.first] in OPENING and figure.first < figure.last for figure in figures)
    assert all(words[place] in CONTINUING for figure in figures for place in range(figure.first, figure.last))
