"""What the tests of the page share: how one is opened, and what is waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np

from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from tests.web.watching import Watched

OpenPage: TypeAlias = Callable[..., Watched]
"""Opens a page of the scripted server, or of another address, in a new profile."""

PERIOD: Final = 1.0


def sentences() -> Samples:
    """A tone of 0.5 s and silence of 0.5 s, again and again: an utterance of five words every second."""
    times = np.arange(90 * SAMPLE_RATE) / SAMPLE_RATE
    loud = times % PERIOD > 0.5
    samples: Samples = (0.3 * loud * np.sin(2 * np.pi * 400 * times)).astype(np.float32)
    return samples


def until_finals(watched: Watched, number: int) -> None:
    """Wait for so many lines of the transcript."""
    watched.page.wait_for_selector(f"#utterances li:nth-child({number})", state="attached", timeout=60_000)
