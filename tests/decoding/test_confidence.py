from __future__ import annotations

import math

import numpy as np
import pytest

from streaming_asr.decoding import BeamWord, frame_confidence, spoken_frames, word_confidence


def test_it_runs_from_no_idea_to_certainty() -> None:
    certain = np.log(np.array([[1.0, 1e-300, 1e-300, 1e-300]]))
    no_idea = np.log(np.full((1, 4), 0.25))
    assert frame_confidence(certain)[0] == pytest.approx(1.0)
    assert frame_confidence(no_idea)[0] == pytest.approx(0.0, abs=1e-12)


def test_it_is_the_tsallis_entropy_mapped_exponentially() -> None:
    distribution, exponent = np.array([0.7, 0.2, 0.1]), 1 / 3
    entropy = (1 - sum(p**exponent for p in distribution)) / (exponent - 1)
    greatest = (1 - 3 ** (1 - exponent)) / (exponent - 1)
    expected = (math.exp(-entropy) - math.exp(-greatest)) / (1 - math.exp(-greatest))
    assert frame_confidence(np.log(distribution)[None])[0] == pytest.approx(expected)


def test_doubt_lowers_it_even_where_the_best_token_stays_as_probable() -> None:
    one_rival = np.log(np.array([0.9, 0.1 - 3e-9, 1e-9, 1e-9, 1e-9]))
    many_rivals = np.log(np.array([0.9, 0.025, 0.025, 0.025, 0.025]))
    few, many = frame_confidence(np.stack([one_rival, many_rivals]))
    assert 0 < many < few < 1


def test_shapes_are_frames_whatever_their_number() -> None:
    assert frame_confidence(np.zeros((0, 5))).shape == (0,)
    assert frame_confidence(np.zeros((3, 1))).tolist() == [1.0, 1.0, 1.0]
    assert frame_confidence(np.full((2, 5), -np.inf, dtype=np.float32)).shape == (2,)


def test_a_word_has_the_mean_of_its_frames_that_are_not_blank() -> None:
    log_probs = np.log(np.array([[0.1, 0.9], [0.9, 0.1], [0.2, 0.8], [0.9, 0.1]]))
    spoken = spoken_frames(log_probs, blank=0)
    assert spoken.tolist() == [True, False, True, False]
    confidence = np.array([0.5, 1.0, 0.7, 1.0])
    assert word_confidence(BeamWord("a", 0, 3), confidence, spoken) == pytest.approx(0.6)
    assert word_confidence(BeamWord("a", 10, 13), confidence, spoken, first=10) == pytest.approx(0.6)
    assert word_confidence(BeamWord("a", 1, 2), confidence, spoken) == pytest.approx(1.0)
    assert word_confidence(BeamWord("a", 7, 9), confidence, spoken) == 0.0
