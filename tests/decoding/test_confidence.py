from __future__ import annotations

import numpy as np
import pytest

from streaming_asr.decoding import BeamWord, frame_confidence, spoken_frames, word_confidence


def test_it_runs_from_no_idea_to_certainty() -> None:
    certain = np.array([[-np.inf, 0.0, -np.inf, -np.inf]])
    no_idea = np.log(np.array([[0.25 - 1e-9, 0.25 + 1e-9, 0.25, 0.25]]))
    assert frame_confidence(certain, blank=0)[0] == pytest.approx(1.0)
    assert frame_confidence(no_idea, blank=0)[0] == pytest.approx(0.0, abs=1e-12)


def test_it_is_one_over_the_tokens_that_a_frame_wavers_between() -> None:
    two_of_five = np.array([[1e-12, 0.5, 0.5, 1e-12, 1e-12]])
    assert frame_confidence(np.log(two_of_five), blank=0)[0] == pytest.approx((5 / 2 - 1) / 4)
    four_of_five = np.array([[1e-12, 0.25, 0.25, 0.25, 0.25]])
    assert frame_confidence(np.log(four_of_five), blank=0)[0] == pytest.approx((5 / 4 - 1) / 4)


def test_many_rivals_lower_it_more_than_one() -> None:
    one_rival = np.log(np.array([1e-9, 0.9, 0.1 - 3e-9, 1e-9, 1e-9]))
    many_rivals = np.log(np.array([0.025, 0.9, 0.025, 0.025, 0.025]))
    few, many = frame_confidence(np.stack([one_rival, many_rivals]), blank=0)
    assert 0 < many < few < 1


def test_shapes_are_frames_whatever_their_number_and_precision() -> None:
    assert frame_confidence(np.zeros((0, 5)), blank=0).shape == (0,)
    assert frame_confidence(np.zeros((3, 1)), blank=0).tolist() == [1.0, 1.0, 1.0]
    single = np.log(np.array([[0.5, 0.3, 0.2]], dtype=np.float32))
    double = frame_confidence(single.astype(np.float64), blank=2)
    assert frame_confidence(single, blank=2) == pytest.approx(double, abs=1e-6)


def test_to_be_sure_that_nothing_is_said_is_no_confidence_in_a_word() -> None:
    log_probs = np.log(np.array([[0.98, 0.01, 0.01], [0.5, 0.25, 0.25], [0.01, 0.98, 0.01]]))
    sure, doubtful, spoken = frame_confidence(log_probs, blank=0)
    assert sure < 0.02
    assert doubtful < 0.1
    assert spoken > 0.8
    silent = np.zeros(1, bool)
    assert word_confidence(BeamWord("a", 0, 1), np.array([sure]), silent) == pytest.approx(sure)


def test_a_word_has_the_geometric_mean_of_its_frames_that_are_not_blank() -> None:
    log_probs = np.log(np.array([[0.9, 0.1], [0.1, 0.9], [0.9, 0.1], [0.2, 0.8]]))
    spoken = spoken_frames(log_probs, blank=0)
    assert spoken.tolist() == [False, True, False, True]
    confidence = np.array([0.1, 0.9, 1.0, 0.4])
    assert word_confidence(BeamWord("a", 1, 4), confidence, spoken) == pytest.approx(0.6)
    assert word_confidence(BeamWord("a", 11, 14), confidence, spoken, first=10) == pytest.approx(0.6)
    assert word_confidence(BeamWord("a", 2, 3), confidence, spoken) == pytest.approx(1.0)
    assert word_confidence(BeamWord("a", 7, 9), confidence, spoken) == 0.0
    assert word_confidence(BeamWord("a", 0, 2), np.zeros(4), spoken) < 0.001
