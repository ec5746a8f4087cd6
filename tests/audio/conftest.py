"""Speech for what must tell it from noise."""

from __future__ import annotations

import numpy as np
import pytest

from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from streaming_asr.command_line.demo import RECORDING


@pytest.fixture(scope="session")
def speech() -> Samples:
    """Eight seconds of the bundled recording, which begins to speak within its first second."""
    soundfile = pytest.importorskip("soundfile")
    samples, rate = soundfile.read(RECORDING, dtype="float32", stop=8 * SAMPLE_RATE)
    assert rate == SAMPLE_RATE
    return np.asarray(samples, np.float32)
