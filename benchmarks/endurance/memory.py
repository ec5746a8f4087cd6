"""Whether memory grows: a straight line through what a process held over time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_SETTLING = 0.2
"""So much of a run, at its beginning, does not count: caches fill, the allocator finds its size."""


def resident(process: int) -> float:
    """Resident memory of a process in MiB; 0 if it is not there."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text("ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """Growth per unit of the first number, by least squares, of (position, MiB); 0 of fewer than three samples."""
    settled = samples[int(len(samples) * _SETTLING) :]
    if len(settled) < 3 or settled[0][0] == settled[-1][0]:
        return 0.0
    positions, held = np.array(settled).T
    return float(np.polyfit(positions, held, 1)[0])
