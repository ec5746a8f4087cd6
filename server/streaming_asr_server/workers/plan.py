"""What a supervisor gives to its workers. Nothing heavy is imported here: the supervisor itself has no model."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from streaming_asr.errors import StreamingAsrError
from streaming_asr_server import logs
from streaming_asr_server.settings import Settings

READY: Final = "ready"
"""What a worker says when it takes streams; anything else is why it cannot."""

PLAN_VARIABLE: Final = "STREAMING_ASR_WORKERS_PLAN"
"""The file of the plan whose model `preloading` loads when it is imported."""

_FAILED: Final = 2

Listeners = Mapping[int, Sequence[socket.socket]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What all workers have in common. `load` is given the settings; `folder` is theirs as long as they run.

    `name` is that of the server among all that use the ledger. With `shared_weights` the model is loaded once, in a
    process from which the workers are forked.
    """

    settings: Settings
    load: Callable[[Settings], Any]
    folder: Path
    ledger: str
    name: str
    shared_weights: bool = False

    @property
    def file(self) -> Path:
        """Where the plan itself lies."""
        return self.folder / "plan"

    def recognition(self) -> Any:
        """The model of a worker: the one that was loaded for all, or one of its own."""
        if not self.shared_weights:
            return self.load(self.settings)
        from streaming_asr_server.loading import threads_of
        from streaming_asr_server.workers import preloading

        return preloading.take(threads_of(self.settings))

    @property
    def board(self) -> Path:
        return self.folder / "board"

    def worker_name(self, index: int) -> str:
        """The name of a worker in the ledger."""
        return f"{self.name}-{index}"


def work(plan: Plan, index: int, listeners: Listeners, control: Connection) -> None:
    """The main function of a worker's process; serves until a signal comes, or its supervisor has gone."""
    # The signals of a terminal go to the supervisor alone, which passes them on.
    os.setpgid(0, 0)
    from streaming_asr_server.workers.worker import Worker

    logs.configure(plan.settings.log_level, worker=index)
    try:
        Worker(plan, index, listeners, control).run()
    except StreamingAsrError as error:
        control.send(str(error))
        raise SystemExit(_FAILED) from error
