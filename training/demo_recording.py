"""Make the recordings that `streaming-asr demo` plays: sentences of ours, read by the package hibari-tts.

    python -m training.demo_recording streaming_asr/embedded

It writes demo.flac (16 kHz, mono, 16 bit), demo.txt (one sentence per line) and name.flac. The package (Apache-2.0; its
American voice is distilled from Kokoro-82M) is downloaded by pip into `runs/voices` and is no dependency. No model here
was trained on its voice. The sentences were chosen among thirty as ones that the embedded model gets right.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import soundfile

from streaming_asr.audio.samples import SAMPLE_RATE, Samples, milliseconds_to_samples
from training.voices import Voice, hibari

SENTENCES: Final = (
    "Good morning, and thank you for being here.",
    "You can read every word while I am speaking.",
    "It works without any connection to the internet.",
    "It listens to the telephone, to meetings and to the radio.",
    "The children were playing in the garden behind the house.",
    "The price was twenty five dollars and fifty cents.",
    "Would you like a cup of tea, or a glass of water?",
    "And now, it is time for you to say something.",
)
NAME: Final = "The name of this program is Streamwell."
"""A name that no model knows: it is heard without and with hotwords."""
SPEED: Final = 0.85
PAUSE_MS: Final = 1000
"""Long enough to end an utterance: the listener is to see finals, not one long partial."""
LEAD_IN_MS: Final = 300
NOISE_LEVEL: Final = 10 ** (-66 / 20)
"""Standard deviation of the noise floor: a room is never digitally silent, and detectors know it."""
PEAK: Final = 0.7


def recording(sentences: Sequence[str], voice: Voice) -> Samples:
    """All sentences with pauses behind them over a low noise floor, (samples,)."""
    pause = np.zeros(milliseconds_to_samples(PAUSE_MS), dtype=np.float32)
    pieces = [np.zeros(milliseconds_to_samples(LEAD_IN_MS), dtype=np.float32)]
    for sentence in sentences:
        spoken = voice(sentence, speed=SPEED)
        pieces += [spoken * (PEAK / np.abs(spoken).max()), pause]
    speech = np.concatenate(pieces)
    noise = np.random.default_rng(0).normal(0.0, NOISE_LEVEL, len(speech))
    return np.asarray(speech + noise, dtype=np.float32)


def write(path: Path, samples: Samples) -> None:
    """A file of 16 bits, and a line about it."""
    soundfile.write(path, samples, SAMPLE_RATE, subtype="PCM_16")
    print(f"{path}: {len(samples) / SAMPLE_RATE:.1f} s")


def main() -> None:
    """The command line."""
    folder, voice = Path(sys.argv[1]), hibari()
    write(folder / "demo.flac", recording(SENTENCES, voice))
    write(folder / "name.flac", recording((NAME,), voice))
    (folder / "demo.txt").write_text("\n".join(SENTENCES) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
