"""What a teacher says of each frame of recordings, kept on disk: dense targets beside the transcripts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from training.model import Shape

ROWS_FILE: Final = "posteriors.npy"
PLACES_FILE: Final = "posteriors.tsv"


@dataclass(frozen=True, slots=True)
class Posteriors:
    """Natural logarithms (all frames, vocabulary) and where those of each recording begin and end, by its name."""

    rows: npt.NDArray[np.float16]
    places: Mapping[str, tuple[int, int]]

    @classmethod
    def open(cls, folder: Path) -> Posteriors:
        """What `training.teacher` left in a folder; nothing is read until it is asked for."""
        lines = (line.split("\t") for line in (folder / PLACES_FILE).read_text(encoding="utf-8").splitlines())
        places = {name: (int(begin), int(end)) for name, begin, end in lines}
        return cls(np.load(folder / ROWS_FILE, mmap_mode="r"), places)

    def of(self, name: str) -> npt.NDArray[np.float16] | None:
        """One recording, (frames, vocabulary), or nothing where the teacher was not asked."""
        begin, end = self.places.get(name, (0, 0))
        return self.rows[begin:end] if end > begin else None


def spoken_at_another_speed(
    log_probs: npt.NDArray[np.float16], shape: Shape, longer: float, frames: int
) -> npt.NDArray[np.float16]:
    """Posteriors (frames before, vocabulary) for that many frames of a recording that is `longer` times as long now.

    Each frame gets what was said around its middle, in proportion of the two nearest.
    """
    stride, middle = int(np.prod(shape.conv_stride)), shape.samples(1) / 2
    places = ((np.arange(frames) * stride + middle) / longer - middle) / stride
    places = places.clip(0, len(log_probs) - 1)
    lower = places.astype(np.int64)
    upper = np.minimum(lower + 1, len(log_probs) - 1)
    share = (places - lower)[:, None]
    probabilities = (1 - share) * np.exp(log_probs[lower].astype(np.float32))
    probabilities += share * np.exp(log_probs[upper].astype(np.float32))
    return np.log(probabilities + 1e-7).astype(np.float16)
