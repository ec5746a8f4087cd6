"""Where a model of a server comes from."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from streaming_asr_server.recognition.interface import Recognition


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """How one model is loaded, and when.

    `load` is called on a thread. `name` None is the one that the recognizer has. `languages` are told while the model
    is not loaded. A model that is not loaded `at_start` is loaded when a stream first asks for it; one that had no
    stream for `unload_seconds` is let go, until a stream asks for it again. `max_streams` are the most at once.
    `fingerprint` changes when the files of the model do.
    """

    load: Callable[[], Recognition]
    name: str | None = None
    languages: tuple[str, ...] = ()
    at_start: bool = True
    unload_seconds: float | None = None
    max_streams: int | None = None
    fingerprint: Callable[[], Hashable] = lambda: None
