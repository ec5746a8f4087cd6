"""Make the recording that `streaming-asr demo` plays: five sentences of ours, spoken by flite's voice `slt`.

    python -m training.demo_recording streaming_asr/embedded

It writes demo.flac (16 kHz, mono, 16 bit) and demo.txt (one sentence per line). The program `flite` must be installed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from streaming_asr.audio.samples import SAMPLE_RATE, Samples, milliseconds_to_samples

SENTENCES = (
    "Good morning, and thank you for coming here today.",
    "The words at the end may still change, but the words before them will always stay.",
    "When I stop for a moment, the line is finished and it moves up.",
    "All of this happens on your own machine, and nothing is sent anywhere.",
    "That is all, now it is your turn.",
)
PAUSE_MS = 1000
"""Long enough to end an utterance: the listener is to see finals, not one long partial."""
LEAD_IN_MS = 300
NOISE_LEVEL = 10 ** (-66 / 20)
"""Standard deviation of the noise floor: a room is never digitally silent, and detectors know it."""
PEAK = 0.7


def spoken(sentence: str) -> Samples:
    """The sentence in the voice `slt`, (samples,)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sentence.wav"
        subprocess.run(["flite", "-voice", "slt", "-t", sentence, "-o", str(path)], check=True)
        samples, rate = soundfile.read(path, dtype="float32")
    if rate != SAMPLE_RATE:
        raise SystemExit(f"flite wrote {rate} Hz; this voice is expected at {SAMPLE_RATE} Hz")
    return np.asarray(samples, dtype=np.float32)


def recording(sentences: tuple[str, ...]) -> Samples:
    """All sentences with pauses between them over a low noise floor, (samples,)."""
    pause = np.zeros(milliseconds_to_samples(PAUSE_MS), dtype=np.float32)
    pieces = [np.zeros(milliseconds_to_samples(LEAD_IN_MS), dtype=np.float32)]
    for sentence in sentences:
        pieces += [spoken(sentence), pause]
    speech = np.concatenate(pieces)
    noise = np.random.default_rng(0).normal(0.0, NOISE_LEVEL, len(speech))
    return np.asarray(speech * (PEAK / np.abs(speech).max()) + noise, dtype=np.float32)


def main() -> None:
    folder = Path(sys.argv[1])
    samples = recording(SENTENCES)
    soundfile.write(folder / "demo.flac", samples, SAMPLE_RATE, subtype="PCM_16")
    (folder / "demo.txt").write_text("\n".join(SENTENCES) + "\n", encoding="utf-8")
    print(f"{folder / 'demo.flac'}: {len(samples) / SAMPLE_RATE:.1f} s")


if __name__ == "__main__":
    main()
