"""A long recording in parts: cut in pauses, and the same words as in one piece."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import soundfile

from streaming_asr.audio.encodings import Frames
from streaming_asr.audio.gate import GateOptions
from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from streaming_asr.command_line.demo import RECORDING
from streaming_asr.command_line.options import ModelOptions, RecognitionOptions
from streaming_asr.command_line.recognizers import open_recognizer
from streaming_asr.command_line.workers import PART_SECONDS, Cutter, Part, Workers
from streaming_asr.errors import AudioError, CheckpointError
from streaming_asr.events import Final
from streaming_asr.recognition import stream_events
from streaming_asr.transcript import Transcript

PAUSE = np.random.default_rng(0).standard_normal(2 * SAMPLE_RATE).astype(np.float32) * 1e-4


def recording() -> Samples:
    """Five sentences of the bundled recording twice, with pauses: longer than a part."""
    speech, _ = soundfile.read(RECORDING, dtype="float32", stop=22 * SAMPLE_RATE)
    return np.concatenate([speech, PAUSE, speech, PAUSE])


def pieces(samples: Samples) -> Iterator[Frames]:
    for start in range(0, len(samples), SAMPLE_RATE // 2):
        yield samples[start : start + SAMPLE_RATE // 2, None]


def cut(samples: Samples) -> list[Part]:
    cutter = Cutter(GateOptions())
    return [*(part for piece in pieces(samples) for part in cutter.push(piece[:, 0])), *cutter.finish()]


def test_parts_end_in_pauses_and_together_are_the_whole() -> None:
    samples = recording()
    parts = cut(samples)
    assert len(parts) == 2
    assert len(parts[0].samples) >= PART_SECONDS * SAMPLE_RATE
    for part in parts:
        assert np.array_equal(part.samples, samples[part.first : part.first + len(part.samples)])
    assert parts[0].first == 0
    assert parts[1].first < len(parts[0].samples) < len(samples)
    # A sentence may just begin: too little of it for the gate.
    pause = samples[parts[1].first : len(parts[0].samples) - SAMPLE_RATE // 20]
    assert np.abs(pause).max() < 5e-3
    assert parts[1].first + len(parts[1].samples) == len(samples)


def test_a_recording_without_pauses_is_one_part() -> None:
    speech, _ = soundfile.read(RECORDING, dtype="float32", stop=3 * SAMPLE_RATE)
    samples = np.tile(speech[8_000:], 20)
    assert len(cut(samples)) == 1


def test_parts_recognized_apart_have_the_words_and_times_of_the_whole() -> None:
    samples = recording()

    def damaged() -> Iterator[Frames]:
        yield from pieces(samples)
        raise AudioError("it ends here")

    model, recognition = ModelOptions(lm="none"), RecognitionOptions(beam_width=1)
    found: list[Final] = []
    with Workers(2, model, recognition) as workers:
        assert workers.load() == {}
        with pytest.raises(AudioError, match="it ends here"):
            found.extend(workers.finals(damaged()))
    with open_recognizer(model, recognition) as configured:
        stream = configured.stream(sample_rate=SAMPLE_RATE, channels=1)
        whole = Transcript.of(stream_events(stream, pieces(samples)))
    assert [final.utterance for final in found] == list(range(len(found)))
    assert [final.text for final in found] == [final.text for final in whole.utterances]
    assert [word.start for final in found for word in final.words] == [word.start for word in whole.words]


def test_a_model_that_cannot_be_loaded_is_told_by_the_first_worker() -> None:
    with (
        pytest.raises(CheckpointError, match="nowhere/at/all"),
        Workers(1, ModelOptions(model="nowhere/at/all"), RecognitionOptions()) as workers,
    ):
        workers.load()
