"""Raw words in; the same words with marks, capitals and figures out, and what was shown as committed stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming_asr.errors import OptionError
from streaming_asr.events import Formatted, Word
from streaming_asr.text import FormatOptions, Formatter, TextModel
from tests.text.conftest import WORDS, random_model

SAID = st.lists(st.sampled_from([*WORDS, "unlisted", "three", "point", "percent", "oh", "p", "m"]), max_size=25)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[TextModel]:
    return [random_model(tmp_path_factory.mktemp("law"), seed=seed) for seed in range(6)]


def spoken(texts: list[str], pauses: list[float] | None = None) -> list[Word]:
    words, time = [], 0.0
    for place, text in enumerate(texts):
        time += pauses[place] if pauses else 0.1
        words.append(Word(text, time, time + 0.3, 0.5))
        time += 0.3
    return words


def letters(text: str) -> str:
    return re.sub(r"[,.?]", "", text).lower()


@settings(max_examples=60, deadline=None)
@given(
    said=SAID,
    cuts=st.lists(st.tuples(st.integers(0, 25), st.integers(0, 4)), max_size=8),
    seed=st.integers(0, 5),
    lookahead=st.integers(1, 4),
    numbers=st.booleans(),
)
def test_formatted_committed_text_never_changes(
    models: list[TextModel],
    said: list[str],
    cuts: list[tuple[int, int]],
    seed: int,
    lookahead: int,
    numbers: bool,
) -> None:
    """Law 8: whatever the cuts, with tails that come and go."""
    model = models[seed]
    formatter = Formatter(model, FormatOptions(lookahead=lookahead, numbers=numbers))
    words, before = spoken(said), ""
    for committed, wrong in sorted((min(place, len(words)), wrong) for place, wrong in cuts):
        tail = [Word(f"wrong{n}", word.start, word.end, 0.1) for n, word in enumerate(words[committed:][:wrong])]
        shown = formatter.show([*words[:committed], *tail], committed)
        assert shown.committed.startswith(before)
        assert shown.text == " ".join(word.text for word in shown.words)
        before = shown.committed
    final = formatter.finish(words, 0.7)
    assert final.text.startswith(before)
    assert final.committed == final.text
    assert final == Formatter(model, FormatOptions(lookahead=lookahead, numbers=numbers)).finish(words, 0.7)


@settings(max_examples=30, deadline=None)
@given(said=SAID)
def test_without_numbers_the_words_are_the_raw_ones_but_for_case_and_marks(model: TextModel, said: list[str]) -> None:
    final = Formatter(model, FormatOptions(numbers=False)).finish(spoken(said), 0.7)
    assert [letters(word.text) for word in final.words] == said
    assert [(word.start, word.end) for word in final.words] == [(word.start, word.end) for word in spoken(said)]


@settings(max_examples=30, deadline=None)
@given(said=SAID)
def test_a_sentence_begins_with_a_capital(model: TextModel, said: list[str]) -> None:
    final = Formatter(model, FormatOptions(numbers=False)).finish(spoken(said), 0.7)
    opens = True
    for word in final.words:
        assert not opens or word.text == "iPhone" or word.text[0].isupper() or letters(word.text) == "iphone"
        opens = word.text.endswith((".", "?"))


def test_a_figure_lasts_as_long_as_its_words(model: TextModel) -> None:
    formatter = Formatter(model, FormatOptions(punctuate=False))
    words = spoken(["it", "was", "twenty", "twenty", "six", "already"])
    final = formatter.finish(words, None)
    assert final.text == "it was 2026 already"
    assert final.words[2] == Word("2026", words[2].start, words[4].end, 0.5)


def test_a_number_that_may_go_on_does_not_stand_yet(model: TextModel) -> None:
    formatter = Formatter(model, FormatOptions(punctuate=False))
    words = spoken(["it", "was", "twenty", "six", "dollars", "for", "the", "lot"])
    shown = [formatter.show(words[:count], count).committed for count in range(3, 8)]
    assert shown == ["it was", "it was", "it was", "it was $26 for", "it was $26 for the"]


def test_a_long_row_of_numbers_is_not_waited_for_for_ever(model: TextModel) -> None:
    formatter = Formatter(model, FormatOptions(punctuate=False))
    words = spoken(["one"] * 100)
    assert len(formatter.show(words, 100).committed) > 80


def test_another_language_has_no_english_figures(tmp_path: Path) -> None:
    formatter = Formatter(random_model(tmp_path, language="fr"), FormatOptions(punctuate=False))
    assert formatter.finish(spoken(["twenty", "six"]), None).text == "twenty six"


def test_spellings_of_the_caller_come_first(model: TextModel) -> None:
    formatter = Formatter(model, FormatOptions(), spellings={"streamwell": "StreamWell"})
    final = formatter.finish(spoken(["the", "streamwell", "well"]), None)
    assert letters(final.words[1].text) == "streamwell"
    assert final.words[1].text.startswith("StreamWell")


def test_utterances_of_a_stream_follow_each_other(model: TextModel) -> None:
    formatter = Formatter(model, FormatOptions())
    first = formatter.finish(spoken(["one"]), 0.7)
    assert formatter.finish(spoken(["the"]), 0.7).words != first.words
    assert formatter.show([], 0) == Formatted("", "", ())


def test_a_sentence_is_complete_with_a_probability(model: TextModel) -> None:
    formatter = Formatter(model, FormatOptions())
    said = spoken(["well", "i", "the"])
    assert 0 <= formatter.completeness(said, 0.3) <= 1
    assert formatter.completeness(said, 0.0) != formatter.completeness(said, 2.0)


def test_a_lookahead_out_of_range_is_refused() -> None:
    with pytest.raises(OptionError, match="lookahead is 11"):
        FormatOptions(lookahead=11)


def test_what_is_complete_depends_on_all_words_whether_they_stand_or_not(model: TextModel) -> None:
    said = spoken(["well", "i", "the", "one", "of", "march", "well", "the", "i"])
    whole, pieces = Formatter(model, FormatOptions()), Formatter(model, FormatOptions(punctuate=False, numbers=False))
    for count in range(1, len(said) + 1):
        pieces.completeness(said[:count], 0.3)
        pieces.show(said[:count], count)
    assert pieces.completeness(said, 0.3) == whole.completeness(said, 0.3)
    pieces.finish(said, 0.3)
    assert pieces.completeness([], 0.3) == 0
