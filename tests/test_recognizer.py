"""The façade over the embedded model, on the recording that comes with it."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import jiwer
import numpy as np
import pytest
import soundfile

import streaming_asr
from streaming_asr import (
    AudioError,
    EndpointOptions,
    FileSource,
    Final,
    GateOptions,
    Latency,
    OptionError,
    Partial,
    Recognizer,
    StreamClosedError,
)
from streaming_asr.audio.samples import Samples
from streaming_asr.events import Event

EMBEDDED = Path(streaming_asr.__file__).parent / "embedded"


@pytest.fixture(scope="module")
def recognizer() -> Iterator[Recognizer]:
    with Recognizer.load(language_model=None) as recognizer:
        yield recognizer


@pytest.fixture(scope="module")
def recording() -> Samples:
    samples, rate = soundfile.read(EMBEDDED / "demo.flac", dtype="float32")
    assert rate == 16_000
    return np.asarray(samples)


def recognize(recognizer: Recognizer, samples: Samples, packet: int, **options: object) -> list[Event]:
    stream = recognizer.stream(**{"sample_rate": 16_000} | options)  # type: ignore[arg-type]
    pieces = [samples[at : at + packet] for at in range(0, len(samples), packet)]
    return [event for piece in pieces for event in stream.push(piece)] + stream.finish()


def finals(events: Sequence[Event]) -> list[Final]:
    return [event for event in events if isinstance(event, Final)]


def without_lag(events: Sequence[Event]) -> list[Event]:
    return [replace(event, lag=0.0) for event in events]


def test_the_bundled_recording_becomes_words(recognizer: Recognizer, recording: Samples) -> None:
    events = recognize(recognizer, recording, 1_600)
    reference = (EMBEDDED / "demo.txt").read_text()
    words = jiwer.RemovePunctuation()(" ".join(reference.lower().split()))
    found = " ".join(final.text for final in finals(events)).lower()
    assert jiwer.wer(words, found) < 0.5
    assert len(finals(events)) == 8


def test_partials_come_before_finals_and_their_committed_words_stay(recognizer: Recognizer, recording: Samples) -> None:
    events = recognize(recognizer, recording, 1_600)
    for final in finals(events):
        partials = [event for event in events if isinstance(event, Partial) and event.utterance == final.utterance]
        assert partials
        texts = [*(partial.committed for partial in partials), final.text]
        assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))
        assert events.index(partials[-1]) < events.index(final)


def test_the_size_of_the_packets_does_not_matter(recognizer: Recognizer, recording: Samples) -> None:
    audio = recording[: 8 * 16_000]
    once = without_lag(recognize(recognizer, audio, len(audio)))
    for packet in (160, 4_096, 50_001):
        assert without_lag(recognize(recognizer, audio, packet)) == once


def test_nothing_comes_of_fewer_samples_than_the_patience(recognizer: Recognizer, recording: Samples) -> None:
    stream = recognizer.stream(sample_rate=16_000)
    at, kept, steps = 0, 0, recognizer.engine.load.steps
    while at < 6 * 16_000:
        if fewer := max(0, stream.patience - 1):
            before = recognizer.engine.load.steps
            assert stream.push(recording[at : at + fewer]) == []
            assert recognizer.engine.load.steps == before
        stream.push(recording[at + fewer : at + fewer + 1])
        at, kept = at + fewer + 1, kept + fewer
    stream.finish()
    assert recognizer.engine.load.steps > steps
    assert kept > 0.9 * at


def test_streams_side_by_side_give_what_each_gives_alone(recognizer: Recognizer, recording: Samples) -> None:
    cuts = [recording[start : start + 5 * 16_000] for start in range(0, 15 * 16_000, 2 * 16_000)]
    alone = [[final.text for final in finals(recognize(recognizer, cut, 1_600))] for cut in cuts]
    together: dict[int, list[str]] = {}

    def run(number: int) -> None:
        events = recognize(recognizer, cuts[number], 320 * (number + 1))
        together[number] = [final.text for final in finals(events)]

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(cuts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[number] for number in range(len(cuts))] == alone
    assert recognizer.engine.load.largest > 1


def test_a_constant_offset_changes_no_word(recording: Samples) -> None:
    audio = recording[: 4 * 16_000]
    with Recognizer.load() as recognizer:
        expected, shifted = (
            [final.text for final in finals(recognize(recognizer, samples, 1_600))]
            for samples in (audio, audio + np.float32(0.1))
        )
    assert shifted == expected != []


def test_every_encoding_of_the_same_audio_gives_the_same_words(recognizer: Recognizer, recording: Samples) -> None:
    audio = recording[: 4 * 16_000]
    integers = np.round(audio * 32_767).astype(np.int16)
    expected = [final.text for final in finals(recognize(recognizer, audio, 1_600))]
    stream = recognizer.stream(sample_rate=16_000, encoding="linear16", channels=2)
    stereo = np.repeat(integers[:, None], 2, axis=1).tobytes()
    events = [event for at in range(0, len(stereo), 3_333) for event in stream.push(stereo[at : at + 3_333])]
    assert [final.text for final in finals(events + stream.finish())] == expected
    arrays = recognizer.stream(sample_rate=16_000)
    assert [final.text for final in finals(arrays.push(integers) + arrays.finish())] == expected


def test_finalize_answers_at_once_and_the_stream_goes_on(recognizer: Recognizer, recording: Samples) -> None:
    stream = recognizer.stream(sample_rate=16_000)
    events = stream.push(recording[: 2 * 16_000]) + stream.finalize()
    assert finals(events)[-1].reason == "finalize"
    assert finals(stream.push(recording[2 * 16_000 :]))


def test_options_of_one_stream_never_touch_another(recognizer: Recognizer, recording: Samples) -> None:
    audio = recording[: 4 * 16_000]
    before = recognize(recognizer, audio, 1_600)
    recognize(
        recognizer,
        audio,
        1_600,
        hotwords={"zebra": 20.0},
        beam_width=3,
        latency=Latency(chunk_ms=320, lookahead_ms=0),
        gate=GateOptions(aggressiveness=0),
        endpoint=EndpointOptions(trailing_silence_ms=200),
        partials=False,
    )
    assert recognize(recognizer, audio, 1_600) == before


def test_greedy_streams_and_alternatives(recognizer: Recognizer, recording: Samples) -> None:
    audio = recording[: 4 * 16_000]
    assert finals(recognize(recognizer, audio, 1_600, beam_width=1))
    final = finals(recognize(recognizer, audio, 1_600, alternatives=3))[0]
    assert len(final.alternatives) == 3
    assert final.alternatives[0].text == final.text
    assert len({alternative.text for alternative in final.alternatives}) == 3


def test_hotwords_change_what_is_recognized_and_say_what_cannot_be_spelled(
    recognizer: Recognizer, recording: Samples
) -> None:
    stream = recognizer.stream(sample_rate=16_000, hotwords={"morning": 5.0, "Zürich": 5.0})
    assert list(stream.hotwords.taken) == ["morning"]
    assert list(stream.hotwords.unspellable) == ["Zürich"]
    stream.push(recording[:16_000])
    assert list(stream.set_hotwords(["mourning"]).taken) == ["mourning"]
    # A word of a lesser reading is what the search finds once it is favoured.
    audio = recording[: 4 * 16_000]
    final = finals(recognize(recognizer, audio, 1_600, alternatives=20))[0]
    rival = next(
        word.text
        for alternative in final.alternatives
        for word in alternative.words
        if word.text not in final.text.split() and len(word.text) > 2
    )
    favoured = finals(recognize(recognizer, audio, 1_600, hotwords={rival: 25.0}))[0]
    assert rival in favoured.text.split()


def test_a_recording_is_transcribed_by_one_call(recognizer: Recognizer, recording: Samples) -> None:
    transcript = recognizer.transcribe(EMBEDDED / "demo.flac")
    expected = finals(recognize(recognizer, recording, 8_000, partials=False))
    assert [replace(final, lag=0.0) for final in transcript.utterances] == without_lag(expected)
    assert transcript.duration == len(recording) / 16_000
    assert transcript.words == tuple(word for final in expected for word in final.words)
    assert transcript.srt().startswith("1\n00:00:0")


def test_a_source_at_any_rate_is_recognized_by_one_loop(
    recognizer: Recognizer, recording: Samples, tmp_path: Path
) -> None:
    path = tmp_path / "telephone.wav"
    soundfile.write(path, recording[: 8 * 16_000 : 2], 8_000)
    with FileSource(path) as source:
        events = list(recognizer.recognize(source, hotwords=["morning"]))
    assert finals(events)
    assert any(isinstance(event, Partial) for event in events)
    assert max(event.end for event in finals(events)) < 8.1


def test_a_file_that_is_not_there_is_told_before_the_first_event(recognizer: Recognizer) -> None:
    with pytest.raises(AudioError, match=r"nowhere\.wav .*not there"):
        recognizer.recognize("nowhere.wav")


def test_the_rate_of_pushed_audio_has_to_be_named(recognizer: Recognizer) -> None:
    with pytest.raises(TypeError, match="sample_rate"):
        recognizer.stream()  # type: ignore[call-arg]


def test_silence_and_noise_give_no_words(recognizer: Recognizer) -> None:
    noise = np.random.default_rng(1).normal(scale=0.03, size=10 * 16_000).astype(np.float32)
    for samples in (np.zeros(10 * 16_000, np.float32), noise):
        assert finals(recognize(recognizer, samples, 1_600)) == []


def test_a_stream_that_was_finished_takes_nothing_more(recognizer: Recognizer) -> None:
    stream = recognizer.stream(sample_rate=16_000)
    stream.finish()
    with pytest.raises(StreamClosedError):
        stream.push(np.zeros(160, np.float32))
    with pytest.raises(StreamClosedError):
        stream.finalize()


def test_bad_audio_is_refused_and_the_stream_goes_on(recognizer: Recognizer, recording: Samples) -> None:
    stream = recognizer.stream(sample_rate=16_000)
    with pytest.raises(AudioError):
        stream.push(np.array([0.0, np.nan], np.float32))
    assert finals(stream.push(recording[: 6 * 16_000]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_width": 0}, "beam_width is 0"),
        ({"sample_rate": 4_000}, "4000"),
        ({"channels": 0}, "0"),
        ({"alternatives": 0}, "alternatives is 0"),
    ],
)
def test_options_that_cannot_work_are_refused(recognizer: Recognizer, options: dict[str, int], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        recognizer.stream(**{"sample_rate": 16_000} | options)  # type: ignore[arg-type]


def test_latencies_fall_back_on_what_suits_the_model() -> None:
    assert Latency(chunk_ms=320).over(Latency(chunk_ms=640, lookahead_ms=0)) == Latency(chunk_ms=320, lookahead_ms=0)
    context = Latency(chunk_ms=650, lookahead_ms=310, left_ms=None, sink_ms=20).context(320)
    assert (context.chunk, context.lookahead, context.left, context.sinks) == (32, 16, None, 1)
    with pytest.raises(OptionError, match="chunk_ms is 0"):
        Latency(chunk_ms=0)


def test_without_kenlm_one_line_says_what_is_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in (EMBEDDED / "english").iterdir():
        if file.is_file():
            (folder / file.name).symlink_to(file)
    (folder / "language_model").mkdir()
    (folder / "language_model" / "lm.binary").write_bytes(b"mmap lm http://kheafield.com/code format version 5\n\0")
    monkeypatch.setitem(__import__("sys").modules, "kenlm", None)
    with caplog.at_level(logging.WARNING), Recognizer.load(folder) as recognizer:
        assert recognizer.languages.default.language_model is None
    assert "pip install 'streaming-asr[lm]'" in caplog.text


@pytest.mark.parametrize("device", ["abacus", "cuda:77"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(OptionError, match=f"device '{device}' cannot be used"):
        Recognizer.load(device=device)
