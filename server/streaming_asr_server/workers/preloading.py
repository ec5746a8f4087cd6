"""Imported by the process from which workers are forked: what it has loaded lies in memory once for all of them.

A forked process shares the pages of its parent until one of them writes: weights, also those that are packed for the
processor, language models and tables are never written. Nothing is loaded where the environment names no plan.
"""

from __future__ import annotations

import gc
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

from streaming_asr.errors import StreamingAsrError
from streaming_asr_server import logs
from streaming_asr_server.workers.plan import PLAN_VARIABLE


def load(file: Path) -> Any:
    """What the plan loads, or the error that was raised."""
    import torch

    plan = pickle.loads(file.read_bytes())
    logs.configure(plan.settings.log_level)
    # The threads of a parallel computation are not there in a forked process, and OpenMP would wait for them.
    torch.set_num_threads(1)
    try:
        result = plan.load(replace(plan.settings, threads=1))
    except StreamingAsrError as error:
        return error
    gc.collect()
    gc.freeze()
    return result


def take(threads: int | None) -> Any:
    """What was loaded before this process was forked, to be used with so many threads. Raises what went wrong."""
    import torch

    if isinstance(_loaded, StreamingAsrError):
        raise _loaded
    if threads is not None:
        torch.set_num_threads(threads)
    return _loaded


_loaded: Any = load(Path(os.environ[PLAN_VARIABLE])) if PLAN_VARIABLE in os.environ else None
