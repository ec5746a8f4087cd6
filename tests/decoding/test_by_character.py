"""Scripts without spaces: characters are words of their own, and nothing else about the search is different."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming_asr.audio.samples import FloatArray
from streaming_asr.decoding import Alphabet, BeamSearch, BeamWord, GreedySearch, Hotwords
from streaming_asr.decoding.phrases import NOTHING, Phrases

CHINESE = ("<pad>", "|", *"东京大学生的", *"abc")
THAI = ("<pad>", "|", *"กครีั่้")
PIECES = ("<pad>", "▁", "▁东京", "大学", "学", "▁ab", "c", "⁇")


def frames_of(text: str, labels: tuple[str, ...], *, doubt: Mapping[int, str] | None = None) -> FloatArray:
    """One frame per character, "_" for blank and " " for the delimiter; `doubt`: what is nearly as likely, by frame."""
    shares = np.full((len(text), len(labels)), 1e-5)
    for frame, character in enumerate(text):
        for share, one in ((0.6, character), (0.4, (doubt or {}).get(frame, character))):
            label = {"_": "<pad>", " ": "|"}.get(one, one)
            shares[frame, labels.index(label)] += share
    return np.asarray(np.log(shares / shares.sum(axis=1, keepdims=True)))


def random_frames(seed: int, frames: int, labels: int) -> FloatArray:
    logits = np.random.default_rng(seed).normal(size=(frames, labels)) * 3
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))


def words_of(text: str, labels: tuple[str, ...]) -> list[tuple[str, bool]]:
    search = BeamSearch(Alphabet(labels, by_character=True))
    search.push(frames_of(text, labels))
    return [(word.text, word.joined) for word in search.finish(1)[0].words]


@pytest.mark.parametrize("labels", [CHINESE, THAI])
@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), width=st.integers(1, 20))
def test_the_texts_and_scores_are_those_of_whole_words(labels: tuple[str, ...], seed: int, width: int) -> None:
    log_probs = random_frames(seed, 30, len(labels))
    found = []
    for by_character in (True, False):
        search = BeamSearch(Alphabet(labels, by_character=by_character), beam_width=width)
        search.push(log_probs)
        found.append([(beam.text, beam.score) for beam in search.finish()])
    assert found[0] == found[1]


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), cut=st.integers(0, 30))
def test_any_cut_gives_what_one_push_gives(seed: int, cut: int) -> None:
    log_probs = random_frames(seed, 30, len(CHINESE))
    whole, pieces = (
        BeamSearch(Alphabet(CHINESE, by_character=True), beam_width=10, hotwords=["东京"]) for _ in range(2)
    )
    whole.push(log_probs)
    for piece in (log_probs[:cut], log_probs[cut:]):
        pieces.push(piece)
    assert pieces.finish() == whole.finish()


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), cut=st.integers(0, 30))
def test_the_greedy_search_reads_the_same_words(seed: int, cut: int) -> None:
    log_probs = random_frames(seed, 30, len(CHINESE))
    alphabet = Alphabet(CHINESE, by_character=True)
    greedy, beam = GreedySearch(alphabet), BeamSearch(alphabet, beam_width=1, token_min_logp=0.0)
    for piece in (log_probs[:cut], log_probs[cut:]):
        greedy.push(piece)
    beam.push(log_probs)
    assert greedy.finish()[0].words == beam.finish()[0].words


def test_each_character_is_a_word_with_its_own_frames() -> None:
    search = BeamSearch(Alphabet(CHINESE, by_character=True))
    search.push(frames_of("东_京京_学", CHINESE))
    expected = (BeamWord("东", 0, 1), BeamWord("京", 2, 4, joined=True), BeamWord("学", 5, 6, joined=True))
    assert search.agreed() == expected[:2]
    assert search.finish(1)[0].words == expected


def test_spaces_that_the_model_writes_stay() -> None:
    assert words_of("东京 大学", CHINESE) == [("东", False), ("京", True), ("大", False), ("学", True)]


def test_letters_of_other_scripts_are_one_word() -> None:
    assert words_of("东abc京ab c", CHINESE) == [("东", False), ("abc", True), ("京", True), ("ab", True), ("c", False)]


def test_marks_stay_with_their_character() -> None:
    assert words_of("กี่ครั้ง"[:6], THAI) == [("กี่", False), ("ค", True), ("รั", True)]


def test_pieces_of_the_model_are_words() -> None:
    search = BeamSearch(Alphabet(PIECES, by_character=True))
    rows = [2, 0, 3, 4, 5, 6, 4]
    shares = np.full((len(rows), len(PIECES)), 1e-5)
    shares[np.arange(len(rows)), rows] = 1
    search.push(np.log(shares / shares.sum(axis=1, keepdims=True)))
    best = search.finish(1)[0]
    assert [word.text for word in best.words] == ["东京", "大学", "学", "abc", "学"]
    assert best.text == "东京大学学 abc学"


def test_an_alphabet_with_spaces_is_not_by_character() -> None:
    assert not Alphabet(["<pad>", "|", *"abc가"], by_character=True).by_character


def test_a_hotword_is_found_inside_of_a_text() -> None:
    doubtful = frames_of("大_东_大_学", CHINESE, doubt={4: "京"})
    for hotwords, text in (([], "大东大学"), (["东京"], "大东京学")):
        search = BeamSearch(Alphabet(CHINESE, by_character=True), hotwords=hotwords)
        search.push(doubtful)
        assert search.beams(1)[0].text == text
        assert search.finish(1)[0].text == text


def test_hotwords_may_change_within_a_text() -> None:
    doubtful = frames_of("大_东_大_学_东_大", CHINESE, doubt={4: "京", 10: "京"})
    search = BeamSearch(Alphabet(CHINESE, by_character=True))
    search.push(doubtful[:8])
    search.set_hotwords(["东京"])
    search.push(doubtful[8:])
    assert search.finish(1)[0].text.endswith("学东京")


def test_a_hotword_that_cannot_be_spelled_is_told() -> None:
    hotwords = Hotwords(["东京", "東京"], Alphabet(CHINESE, by_character=True))
    assert hotwords.taken == ("东京",)
    assert hotwords.unspellable == {"東京": "東"}


@pytest.mark.parametrize(
    ("text", "earned", "promised"),
    [
        ("大学", 4.0, 10 * 2 / 3 - 4),
        ("东京", 0.0, 4.0),
        ("东京大学", 0.0, 8.0),
        ("东京大学的", 4.0, 0.0),  # the whole phrase inside of the one that broke off
        ("东京大学生", 10.0, 0.0),
        ("大学大学生的", 14.0, 0.0),
        ("大学生", 10.0, 0.0),
        ("的大", 0.0, 10 / 3),
    ],
)
def test_what_phrases_earn(text: str, earned: float, promised: float) -> None:
    state = Phrases({"东京大学生": 10.0, "大学": 4.0, "大学生": 10.0}).after(NOTHING, text)
    assert state.earned == earned
    assert state.promised == pytest.approx(promised)
