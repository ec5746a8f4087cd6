"""The natural voice that pip downloads into `runs/voices`; it is no dependency.

It is American, a woman's (hibari-tts, Apache-2.0, distilled from Kokoro-82M, Apache-2.0); a core reads 200 times as
fast as it speaks.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import soxr

from streaming_asr.audio.samples import SAMPLE_RATE, Samples

FOLDER: Final = Path("runs/voices")
RUNTIME: Final = "onnxruntime==1.32.0"
HIBARI: Final = "hibari-tts==0.2.1"

Voice = Callable[..., Samples]
"""(text, speed=1.0, seed=0) -> (samples,) at 16 kHz; a speed of 2 takes half as long."""


def hibari(folder: Path = FOLDER) -> Voice:
    """The American voice of hibari-tts."""
    download(folder / "hibari", "hibari", HIBARI, RUNTIME)
    package: Any = __import__("hibari")
    voice = package.Hibari(threads=1)

    def read(text: str, speed: float = 1.0, seed: int = 0) -> Samples:
        return at_our_rate(voice(text, speed=speed, seed=seed), package.SAMPLE_RATE)

    return read


def download(folder: Path, package: str, *requirements: str) -> None:
    """Downloads packages by pip unless `package` lies in the folder, and lets Python find them."""
    if not (folder / package).exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        subprocess.run([*pip, *requirements], check=True)
    sys.path.append(str(folder))


def at_our_rate(samples: Any, rate: int) -> Samples:
    """(samples,) at any rate -> (samples,) at 16 kHz."""
    return np.asarray(soxr.resample(np.asarray(samples, dtype=np.float32), rate, SAMPLE_RATE, "HQ"), dtype=np.float32)
