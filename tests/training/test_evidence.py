from __future__ import annotations

import pytest

from benchmarks.soak import samples_of
from streaming_asr import Recognizer
from streaming_asr.audio.samples import SAMPLE_RATE
from streaming_asr.command_line.demo import RECORDING
from training.evidence import Told, choose, held_back, told

SPEECH = [Told(0.4, 1, 0), Told(0.6, 2, 1), Told(3.0, 99, 99)]


def test_a_threshold_holds_back_the_utterances_below_it() -> None:
    assert held_back(SPEECH, 0.5) == (101, 0)
    assert held_back(SPEECH, 1.0) == (99, 1)


@pytest.mark.parametrize(("loss", "threshold"), [(0.0, 0.5), (0.01, 1.25)])
def test_the_middle_threshold_with_least_noise_is_chosen_of_those_that_cost_little(
    loss: float, threshold: float
) -> None:
    noise = [Told(0.45, 1, 0), Told(0.7, 2, 0)]
    assert choose(SPEECH, noise, loss) == threshold


def test_utterances_are_compared_with_what_was_said() -> None:
    said = ["good", "morning", "and", "thank", "you", "for", "being", "nowhere"]
    with Recognizer.load() as recognizer:
        first, *_ = told(recognizer, samples_of(RECORDING)[: 5 * SAMPLE_RATE], said)
    assert (first.words, first.right) == (8, 7)
    assert first.evidence > 3
