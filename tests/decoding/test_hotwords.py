from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pyctcdecode.language_model import HotwordScorer

from streaming_asr.audio.samples import FloatArray
from streaming_asr.decoding import Alphabet, BeamSearch, Hotwords
from streaming_asr.errors import OptionError

CHARACTERS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"abcdef'")
ALPHABET = Alphabet(CHARACTERS)


def rows(text: str) -> FloatArray:
    """Log-probabilities (frames, vocabulary), each frame certain of one character; "_" is blank."""
    certain = np.full((len(text), len(CHARACTERS)), -30.0)
    for frame, character in enumerate(text):
        certain[frame, {"_": 0, " ": 4}[character] if character in "_ " else CHARACTERS.index(character)] = 0.0
    return certain


def torn(text: str, other: str, share: float) -> FloatArray:
    """Frames of `text` where `other` has a share of the probability."""
    mixed: FloatArray = np.log(np.exp(rows(text)) * (1 - share) + np.exp(rows(other)) * share)
    return mixed


def test_what_is_taken_and_what_cannot_be_spelled_is_told() -> None:
    hotwords = Hotwords({"Fade": 8.0, "face off": 2, "xylo": 3.0, "bad ape": 1.0, "  ": 1.0}, ALPHABET)
    assert hotwords.taken == ("Fade",)
    assert hotwords.unspellable == {"face off": "o", "xylo": "xylo", "bad ape": "p"}
    assert hotwords.weights == {"fade": 8.0}


def test_every_word_of_a_phrase_earns_its_weight() -> None:
    assert Hotwords({"bad cab": 4.0, "cab": -6.0}, ALPHABET).weights == {"bad": 4.0, "cab": -6.0}


@pytest.mark.parametrize("weight", [10.0, 0.1, -3.3])
def test_beginnings_score_as_in_pyctcdecode_where_all_weights_are_equal(weight: float) -> None:
    words = ["abcd", "abc", "abe", "face", ["fade", "off"][0], "a"]
    ours, oracle = Hotwords(dict.fromkeys(words, weight), ALPHABET), HotwordScorer.build_scorer(words, weight=weight)
    for part in ("a", "ab", "abc", "abcd", "abe", "abf", "f", "fa", "fad", "x"):
        assert (ours.partial(part) or 0.0) == oracle.score_partial_token(part)
        assert (ours.partial(part) is not None) == (part in oracle)


def test_of_hotwords_that_begin_alike_the_one_that_gives_most_counts() -> None:
    hotwords = Hotwords({"ab": 1.0, "abcd": 8.0}, ALPHABET)
    assert hotwords.partial("a") == 2.0
    assert hotwords.partial("abcd") == 8.0


def test_weights_decide_word_by_word() -> None:
    for favoured in ("bad", "bed"):
        search = BeamSearch(ALPHABET, hotwords={"bad": 1.0, "bed": 1.0} | {favoured: 6.0})
        search.push(torn("bad ", "bed ", 0.5))
        assert search.finish()[0].text == favoured


def test_equal_weights_equal_one_weight(random_logits: Any, log_softmax: Any, comparable: Any) -> None:
    for case in range(20):
        log_probs = log_softmax(random_logits(random.Random(case), 40, len(CHARACTERS)))
        found = []
        for hotwords in (["ab", "fed"], {"ab": 10.0, "fed": 10.0}, Hotwords(["ab", "fed"], ALPHABET)):
            search = BeamSearch(ALPHABET, hotwords=hotwords)
            search.push(log_probs)
            found.append(comparable(search.finish()))
        assert found[0] == found[1] == found[2]


def test_hotwords_count_from_where_they_are_set() -> None:
    search = BeamSearch(ALPHABET)
    search.push(torn("bad bad ", "bed bad ", 0.2))
    assert search.beams()[0].text == "bad bad"
    search.set_hotwords({"bed": 9.0})
    assert search.hotwords.taken == ("bed",)
    # The first word is still open between the beams, so the new hotword counts for it too.
    assert search.beams()[0].text == "bed bad"
    search.push(torn("bad", "bed", 0.2))
    assert search.finish()[0].text == "bed bad bed"


def test_words_that_all_beams_share_keep_what_they_earned() -> None:
    search = BeamSearch(ALPHABET, hotwords={"bed": 9.0})
    search.push(rows("bed "))
    assert search.beams()[0].score == pytest.approx(9.0, abs=1e-6)
    search.set_hotwords({"cab": 5.0})
    assert search.beams()[0].score == pytest.approx(9.0, abs=1e-6)
    search.push(rows("cab"))
    search.set_hotwords(None)
    assert search.finish()[0].score == pytest.approx(9.0, abs=1e-6)


def test_setting_the_same_hotwords_again_changes_nothing(random_logits: Any, log_softmax: Any) -> None:
    for case in range(20):
        log_probs = log_softmax(random_logits(random.Random(case), 60, len(CHARACTERS)))
        once, again = (BeamSearch(ALPHABET, hotwords={"ab": 2.0, "fed": 4.0}) for _ in range(2))
        for piece in range(0, 60, 6):
            once.push(log_probs[piece : piece + 6])
            again.push(log_probs[piece : piece + 6])
            again.set_hotwords({"ab": 2.0, "fed": 4.0})
        for mine, other in zip(once.finish(), again.finish(), strict=True):
            assert (mine.text, mine.words) == (other.text, other.words)
            assert math.isclose(mine.score, other.score, abs_tol=1e-9)


def test_setting_hotwords_of_a_fork_leaves_the_search_alone(comparable: Callable[[Any], Any]) -> None:
    search, alone = BeamSearch(ALPHABET), BeamSearch(ALPHABET)
    for one in (search, alone):
        one.push(torn("bad bad", "bed bed", 0.3))
    fork = search.fork()
    fork.set_hotwords({"bed": 9.0})
    fork.push(rows(" bed"))
    for one in (search, alone):
        one.push(rows(" cab"))
    assert fork.finish()[0].text == "bed bed bed"
    assert comparable(search.finish()) == comparable(alone.finish())


@pytest.mark.parametrize(
    ("hotwords", "says"),
    [
        ("fade", "must be a list of strings"),
        ([3], "a hotword is 3"),
        ({"fade": math.inf}, "weight of hotword 'fade' is inf"),
        ({"fade": "much"}, "weight of hotword 'fade' is 'much'"),
        ({"fade": True}, "weight of hotword 'fade' is True"),
    ],
)
def test_what_is_no_hotword_is_refused(hotwords: Any, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        Hotwords(hotwords, ALPHABET)
