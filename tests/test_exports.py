"""Exports: what viewers and programs read, from final events alone."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming_asr import events
from streaming_asr.errors import OptionError
from streaming_asr.events import Word
from streaming_asr.exports import FORMATS, Format, SubtitleOptions, cues, export, wrapped
from streaming_asr.scripts import columns


def final(*words: tuple[str, float, float], number: int = 0) -> events.Final:
    spoken_words = tuple(Word(text, start, end, 0.9) for text, start, end in words)
    start, end = (spoken_words[0].start, spoken_words[-1].end) if spoken_words else (0.0, 0.0)
    text = " ".join(word.text for word in spoken_words)
    return events.Final(number, text, spoken_words, start, end, 0.9, (), "silence", 0.0)


def spoken(text: str, start: float = 0.0, second_per_word: float = 0.4) -> events.Final:
    words = text.split()
    return final(
        *((word, start + i * second_per_word, start + (i + 0.9) * second_per_word) for i, word in enumerate(words))
    )


HELLO = final(("hello", 1.0, 1.4), ("world", 1.5, 2.25))
AGAIN = final(("again", 5.00049, 6.0), number=1)


def test_text_is_one_line_per_utterance() -> None:
    assert export([HELLO, final(), AGAIN], "text") == "hello world\nagain\n"


def test_json_is_the_documented_object() -> None:
    assert json.loads(export([HELLO, final(), AGAIN], "json", file="a.wav", duration=7.12345)) == {
        "file": "a.wav",
        "duration": 7.123,
        "text": "hello world again",
        "utterances": [
            {
                "start": 1.0,
                "end": 2.25,
                "text": "hello world",
                "confidence": 0.9,
                "words": [
                    {"word": "hello", "start": 1.0, "end": 1.4, "confidence": 0.9},
                    {"word": "world", "start": 1.5, "end": 2.25, "confidence": 0.9},
                ],
            },
            {
                "start": 5.0,
                "end": 6.0,
                "text": "again",
                "confidence": 0.9,
                "words": [{"word": "again", "start": 5.0, "end": 6.0, "confidence": 0.9}],
            },
        ],
    }


def test_json_keeps_letters_of_all_scripts() -> None:
    assert "größe 你好" in export([spoken("größe 你好")], "json")


def test_srt_numbers_its_cues() -> None:
    assert export([HELLO, AGAIN], "srt") == (
        "1\n00:00:01,000 --> 00:00:02,250\nhello world\n\n2\n00:00:05,000 --> 00:00:06,000\nagain\n"
    )


def test_vtt_has_a_header_and_escapes_markup() -> None:
    assert export([final(("<a&b>", 3661.0, 3663.5))], "vtt") == (
        "WEBVTT\n\n01:01:01.000 --> 01:01:03.500\n&lt;a&amp;b&gt;\n"
    )


@pytest.mark.parametrize(("output_format", "nothing"), [("text", ""), ("srt", ""), ("vtt", "WEBVTT\n")])
def test_nothing_said_is_an_empty_transcript(output_format: Format, nothing: str) -> None:
    assert export([], output_format) == nothing
    assert export([final()], output_format) == nothing


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(OptionError, match="'pdf'; it must be one of text, json, srt, vtt"):
        export([], "pdf")  # type: ignore[arg-type]


def test_lines_are_even_and_as_few_as_possible() -> None:
    options = SubtitleOptions(line_length=42)
    assert wrapped(spoken("a short line").words, options) == ("a short line",)
    assert wrapped(spoken("the quick brown fox jumps over the lazy dog again").words, options) == (
        "the quick brown fox jumps",
        "over the lazy dog again",
    )


def by_character(text: str) -> events.Final:
    """A character is a word, 0.2 s long; a mark belongs to the one before it."""
    words: list[Word] = []
    for character in text:
        if unicodedata.category(character) == "Mn":
            words[-1] = replace(words[-1], text=words[-1].text + character)
        else:
            start = 0.2 * len(words)
            words.append(Word(character, start, start + 0.2, 0.9, joined=bool(words)))
    return events.Final(0, text, tuple(words), 0.0, words[-1].end, 0.9, (), "silence", 0.0)


def test_lines_are_as_wide_as_they_are_shown() -> None:
    options = SubtitleOptions(line_length=20, lines=1)
    assert [cue.lines for cue in cues([by_character("东京" * 10)], options)] == [("东京" * 5,)] * 2
    # Marks take no room of their own.
    assert [cue.lines for cue in cues([by_character("กี่" * 40)], options)] == [("กี่" * 20,)] * 2


def test_words_of_scripts_without_spaces_are_divided_by_width_and_marks_stay_with_their_letter() -> None:
    lines = [cue.lines[0] for cue in cues([final(("한국어" * 8 + "กี่" * 30, 0.0, 6.0))], SubtitleOptions(lines=1))]
    assert "".join(lines) == "한국어" * 8 + "กี่" * 30
    assert all(not unicodedata.category(line[0]).startswith("M") for line in lines)
    assert all(columns(line) <= 42 for line in lines)


def test_arabic_and_hebrew_are_written_in_the_order_of_speech() -> None:
    text = "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd"
    for form in ("text", "srt", "vtt"):
        assert f"{text}\n" in export([spoken(text)], form)


def test_a_cue_ends_where_the_speaker_pauses() -> None:
    before = spoken("one two three four five six seven eight nine").words
    after = spoken("ten eleven twelve thirteen fourteen fifteen sixteen", start=before[-1].end + 0.7).words
    both = final(*((word.text, word.start, word.end) for word in before + after))
    assert [" ".join(cue.lines) for cue in cues([both])] == [
        "one two three four five six seven eight nine",
        "ten eleven twelve thirteen fourteen fifteen sixteen",
    ]


def test_a_cue_ends_with_its_sentence_before_it_is_full() -> None:
    first = "We went down to the river."
    second = "Nobody had told us how cold the water would be at that time of the year."
    shown = [" ".join(cue.lines) for cue in cues([spoken(f"{first} {second}", second_per_word=0.2)])]
    assert shown == [first, second]
    assert " ".join(cues([spoken(f"{first[:-1]} {second}", second_per_word=0.2)])[0].lines) != first[:-1]


def test_a_long_pause_always_begins_a_new_cue() -> None:
    assert len(cues([final(("a", 0.0, 0.2), ("b", 2.0, 2.2))])) == 2


def test_a_short_cue_stays_to_be_read_unless_the_next_one_comes() -> None:
    times = [(cue.start, cue.end) for cue in cues([final(("a", 0.0, 0.1)), final(("b", 0.5, 0.6))])]
    assert times == [(0, 500), (500, 1500)]


def test_a_script_without_spaces_is_divided_by_width() -> None:
    (first, second) = cues([final(("字" * 50, 0.0, 10.0))], SubtitleOptions(line_length=42, longest=9))
    assert [len(line) for line in first.lines + second.lines] == [21, 21, 8]
    assert first.end == second.start == 200 * sum(map(len, first.lines))
    assert second.end == 10000


words_strategy = st.lists(
    st.tuples(
        st.text(st.characters(categories=["L", "P", "S"]), min_size=1, max_size=60),
        st.floats(-0.2, 3, allow_nan=False),
        st.floats(0, 2, allow_nan=False),
    ),
    max_size=60,
)


def at_times(timed: list[tuple[str, float, float]]) -> events.Final:
    words, now = [], 0.2
    for text, gap, length in timed:
        start = max(0.0, now + gap)
        now = start + length
        words.append((text, start, now))
    return final(*words)


@settings(max_examples=60, deadline=None)
@given(words_strategy)
def test_subtitles_keep_every_letter_within_their_limits_and_never_overlap(
    timed: list[tuple[str, float, float]],
) -> None:
    said = at_times(timed)
    shown = cues([said])
    assert re.sub(r"\s", "", "".join(line for cue in shown for line in cue.lines)) == re.sub(r"\s", "", said.text)
    assert all(len(cue.lines) <= 2 and max(map(len, cue.lines)) <= 42 for cue in shown)
    assert all(cue.start < cue.end for cue in shown)
    assert all(first.end <= second.start for first, second in pairwise(shown))


def test_a_long_speech_is_divided_in_reasonable_time() -> None:
    shown = cues([spoken("word " * 3000)])
    assert max(cue.end - cue.start for cue in shown) <= 7000


@pytest.mark.parametrize(("name", "value"), [("line_length", 0), ("lines", 0), ("pause", -1.0), ("shortest", 9.0)])
def test_bad_options_are_named_with_their_value(name: str, value: float) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(OptionError, match=f"{name} is {value}; it must be"):
        SubtitleOptions(**options)


def test_every_format_is_offered() -> None:
    assert all(export([HELLO], output_format) for output_format in FORMATS)
