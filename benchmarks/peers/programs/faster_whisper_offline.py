"""Recordings to texts with faster-whisper, whole recordings at once, greedy: run by its own interpreter.

    python faster_whisper_offline.py MODEL_FOLDER RECORDINGS.npz RESULT.json

The arrays of the file are float32 at 16 kHz, in the order of their names. The result holds the texts and the CPU time
in seconds. Stands alone: nothing of this project is in that environment.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np


def main(folder: str, recordings: str, result: str) -> None:
    """Recognize all arrays of a file."""
    from faster_whisper import WhisperModel

    model = WhisperModel(folder, device="cpu", compute_type="float32", cpu_threads=1)
    with np.load(recordings) as arrays:
        samples = [arrays[name] for name in sorted(arrays)]
    began = time.process_time()
    texts = [_text(model, one) for one in samples]
    seconds = time.process_time() - began
    Path(result).write_text(json.dumps({"texts": texts, "seconds": seconds}), encoding="utf-8")


def _text(model: object, samples: np.ndarray) -> str:
    options = {"language": "en", "beam_size": 1, "temperature": 0.0, "condition_on_previous_text": False}
    segments, _ = model.transcribe(samples, **options)  # type: ignore[attr-defined]
    return " ".join(segment.text.strip() for segment in segments)


if __name__ == "__main__":
    main(*sys.argv[1:])
