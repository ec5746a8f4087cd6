"""How many threads a model is given where nobody says: steps of small ones gain nothing by a second one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from streaming_asr.checkpoints.description import describe_local

SMALL_MODEL_PARAMETERS: Final = 20_000_000
"""Up to this size a step of one thread is as soon done as one of two, whose waiting costs more than their work.

`OMP_NUM_THREADS=1 python -m benchmarks.recognizer --model …` beside `=2` shows it. Wav2vec2 base has 94 million.
"""

ALL_CORES: Final = "OMP_NUM_THREADS"
"""What torch itself reads; whoever has set it has chosen."""


def usual_threads(models: Iterable[str | Path | None]) -> int | None:
    """1 if all models of a process are small and on this machine, else None: as many as torch takes by itself."""
    return None if ALL_CORES in os.environ or not all(_is_small(model) for model in models) else 1


def _is_small(model: str | Path | None) -> bool:
    description = describe_local(model)
    return description is not None and (description.parameters or 0) in range(1, SMALL_MODEL_PARAMETERS)
