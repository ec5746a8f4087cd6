from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyctcdecode.alphabet import Alphabet as OracleAlphabet
from pyctcdecode.decoder import BeamSearchDecoderCTC

from streaming_asr.audio.samples import FloatArray
from streaming_asr.decoding import Alphabet, BeamSearch, GreedySearch, Search
from streaming_asr.errors import OptionError, StreamClosedError

CHARACTERS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"abcdef'")
WORD_PIECES = ("", "▁", "▁⁇▁", "▁a", "▁ab", "a", "b", "ab", "c", "▁c", "bc", "c▁")


def rows(tokens: list[int], labels: tuple[str, ...]) -> FloatArray:
    """Log-probabilities (frames, vocabulary) with these best tokens."""
    certain = np.full((len(tokens), len(labels)), -9.0)
    certain[np.arange(len(tokens)), tokens] = -0.1
    return certain


@settings(max_examples=60, deadline=None)
@given(
    labels=st.sampled_from([CHARACTERS, WORD_PIECES]),
    tokens=st.lists(st.integers(0, 11), max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=6),
)
def test_cutting_does_not_matter(labels: tuple[str, ...], tokens: list[int], cuts: list[int]) -> None:
    log_probs = rows(tokens, labels)
    whole, pieces = GreedySearch(Alphabet(labels)), GreedySearch(Alphabet(labels))
    whole.push(log_probs)
    for start, end in pairwise(sorted({0, len(tokens), *(min(cut, len(tokens)) for cut in cuts)})):
        pieces.push(log_probs[start:end])
        pieces.fork().push(log_probs[:3])
    assert pieces.frames == whole.frames == len(tokens)
    assert pieces.finish() == whole.finish()


@settings(max_examples=60, deadline=None)
@given(labels=st.sampled_from([CHARACTERS, WORD_PIECES]), tokens=st.lists(st.integers(0, 11), min_size=1, max_size=40))
def test_it_is_beam_search_of_the_best_tokens(labels: tuple[str, ...], tokens: list[int]) -> None:
    log_probs = rows(tokens, labels)
    greedy = GreedySearch(Alphabet(labels))
    searches: list[Search] = [greedy, BeamSearch(Alphabet(labels), beam_width=1, token_min_logp=0.0)]
    for search in searches:
        search.push(log_probs)
    assert searches[0].beams() == searches[1].beams()
    assert searches[0].agreed() == searches[1].agreed()
    assert searches[0].finish() == searches[1].finish()


def test_it_reads_as_pyctcdecode_reads_the_best_tokens(
    random_logits: Callable[[random.Random, int, int], FloatArray], log_softmax: Callable[[FloatArray], FloatArray]
) -> None:
    oracle = BeamSearchDecoderCTC(OracleAlphabet.build_alphabet(list(CHARACTERS)))
    for case in range(40):
        logits = random_logits(random.Random(case), 50, len(CHARACTERS))
        search = GreedySearch(Alphabet(CHARACTERS))
        search.push(log_softmax(logits))
        best = search.finish()[0]
        text, _, frames, _, score = oracle.decode_beams(logits, beam_width=1, token_min_logp=1.0)[0]
        assert best.text == text
        assert [(word.text, (word.start_frame, word.end_frame)) for word in best.words] == frames
        assert best.score == pytest.approx(score)
    oracle.cleanup()


def test_complete_words_are_agreed_at_once() -> None:
    search = GreedySearch(Alphabet(CHARACTERS))
    search.push(rows([5, 6, 4, 7], CHARACTERS))
    assert [word.text for word in search.agreed()] == ["ab"]
    best = search.beams()[0]
    assert (best.text, best.unfinished) == ("ab c", True)
    assert [beam.text for beam in search.beams(1, skip=1)] == ["c"]
    assert search.beams(0) == []
    assert search.doubts() == [0.0]
    assert search.doubts(skip=1) == []
    assert [search.holdable(words) for words in (["ab", "c"], ["ab"], ["cd"])] == [1, 1, 0]
    search.hold(["ab"])
    with pytest.raises(OptionError, match="does not begin"):
        search.hold(["cd"])


def test_hotwords_are_refused_in_so_many_words() -> None:
    search = GreedySearch(Alphabet(CHARACTERS))
    with pytest.raises(OptionError, match=r"cannot weigh hotwords such as 'fade'.*beam search"):
        search.set_hotwords(["fade"])
    search.set_hotwords(["xyz"])
    assert search.hotwords.unspellable == {"xyz": "xyz"}
    search.set_hotwords(None)
    assert search.hotwords.taken == ()


def test_a_finished_search_is_over() -> None:
    search = GreedySearch(Alphabet(CHARACTERS))
    assert [beam.text for beam in search.finish()] == [""]
    calls: list[Callable[[], Any]] = [
        lambda: search.push(rows([5], CHARACTERS)),
        search.fork,
        search.beams,
        search.finish,
    ]
    for call in calls:
        with pytest.raises(StreamClosedError, match="finished"):
            call()


def test_bad_frames_are_refused() -> None:
    search = GreedySearch(Alphabet(CHARACTERS))
    with pytest.raises(OptionError, match=r"\(frames, 12\) is needed"):
        search.push(np.zeros((2, 3)))
    with pytest.raises(OptionError, match="NaN"):
        search.push(np.full((1, 12), np.nan))
