"""Detects a stream that stands still: audio goes in, and nothing becomes final."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from streaming_asr.audio.samples import SAMPLE_RATE, seconds
from streaming_asr.endpointing import EndpointOptions
from streaming_asr.protocol import ProtocolError, Start

_LONGEST_UTTERANCE_MS: Final = EndpointOptions().maximum_length_ms or float("inf")


@dataclass(frozen=True, slots=True)
class Watchdog:
    """Two rules: one piece takes at most `answer_seconds`; and what was decoded becomes final sooner or later.

    Nothing may stay undecided for longer than the longest utterance and `slack_seconds`.
    """

    answer_seconds: float = 20.0
    slack_seconds: float = 30.0

    def check(self, start: Start, *, decoded: int, acknowledged: int) -> None:
        """Both in samples at 16 kHz. Raises ProtocolError "stalled"."""
        asked = start.endpoint.get("maximum_length_ms")
        longest = (asked if isinstance(asked, int | float) else _LONGEST_UTTERANCE_MS) / 1000
        undecided = decoded - acknowledged
        if undecided > (longest + self.slack_seconds) * SAMPLE_RATE:
            raise ProtocolError("stalled", f"{seconds(undecided):.0f} s of audio were heard and did not become words")
