"""A stream that stands still is detected."""

from __future__ import annotations

import pytest
from streaming_asr_server.sessions.watchdog import Watchdog

from streaming_asr.audio.samples import SAMPLE_RATE
from streaming_asr.protocol import ProtocolError, Start


def test_audio_that_never_becomes_final_is_a_stall() -> None:
    watchdog, start = Watchdog(slack_seconds=30), Start(endpoint={"maximum_length_ms": 10_000})
    watchdog.check(start, decoded=40 * SAMPLE_RATE, acknowledged=0)
    with pytest.raises(ProtocolError, match="41 s of audio") as stalled:
        watchdog.check(start, decoded=41 * SAMPLE_RATE, acknowledged=0)
    assert stalled.value.code == "stalled"


def test_the_longest_utterance_is_the_usual_one_where_nobody_chose() -> None:
    watchdog = Watchdog(slack_seconds=30)
    watchdog.check(Start(), decoded=150 * SAMPLE_RATE, acknowledged=100 * SAMPLE_RATE)
    with pytest.raises(ProtocolError):
        watchdog.check(Start(), decoded=151 * SAMPLE_RATE, acknowledged=100 * SAMPLE_RATE)
