"""One worker: a whole server in a process of its own, on ports that it shares with others."""

from __future__ import annotations

import asyncio
import signal
import socket
from multiprocessing.connection import Connection
from typing import Final

import uvicorn

from streaming_asr_server.access.authentication import ApiKeys
from streaming_asr_server.access.ledger.opening import open_ledger
from streaming_asr_server.application import create_application
from streaming_asr_server.loading import model_sources
from streaming_asr_server.metrics import Metrics
from streaming_asr_server.ports import SharedPorts
from streaming_asr_server.running import DrainingServer, freeze_loaded, uvicorn_config
from streaming_asr_server.service import Service
from streaming_asr_server.workers.board import Board, Row, patience, status_of_all
from streaming_asr_server.workers.bus import Bus
from streaming_asr_server.workers.plan import READY, Listeners, Plan

_TICKS_PER_SECOND: Final = 10


class Worker:
    """Puts together the server of one worker."""

    def __init__(self, plan: Plan, index: int, listeners: Listeners, control: Connection) -> None:
        settings = plan.settings
        self._index: Final = index
        self._board: Final = Board(plan.board, settings.workers)
        self.ports: Final = SharedPorts(listeners, index=index, patience=self._patience)
        self.service: Final = Service(
            settings,
            load=model_sources(settings) if settings.models else plan.recognition,
            keys=ApiKeys.read(settings.api_key_file) if settings.api_key_file else None,
            announce=self._announce,
            metrics=Metrics(plan.folder),
            ledger=open_ledger(plan.ledger, worker=plan.worker_name(index)),
            ports=self.ports,
            peers=Bus(plan.folder, index=index, workers=settings.workers),
            readiness_of_all=self._status,
        )
        self._control: Final = control

    def run(self) -> None:
        """Serve to the end. Raises what kept the model from being loaded."""
        config = uvicorn_config(create_application(self.service), self.service.settings)
        WorkerServer(config, self, self._control).run()
        if self.service.failure is not None:
            raise self.service.failure

    def _announce(self) -> None:
        freeze_loaded()
        self._control.send(READY)

    def tell(self) -> Row:
        """Write on the board how things are here."""
        admission = self.service.admission
        row = Row(admission.readiness, max(self.ports.connections, admission.streams), admission.room)
        self._board.put(self._index, row)
        return row

    def _patience(self) -> float:
        return patience(self.tell(), self._board.others(self._index))

    def _status(self, own: str) -> str:
        return status_of_all(own, self._board.others(self._index))


class WorkerServer(DrainingServer):
    """Drains also when its supervisor has gone without a word."""

    def __init__(self, config: uvicorn.Config, worker: Worker, control: Connection) -> None:
        super().__init__(config, worker.service, grace_seconds=worker.service.settings.grace_seconds)
        self._worker = worker
        self._control = control

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().add_reader(self._control.fileno(), self._left_alone)
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        self._worker.tell()
        if counter % _TICKS_PER_SECOND == 0:
            self._worker.service.metrics.refresh()
        return await super().on_tick(counter)

    def _left_alone(self) -> None:
        """Nothing is ever sent to a worker: what can be read is the end."""
        asyncio.get_running_loop().remove_reader(self._control.fileno())
        self.handle_exit(signal.SIGTERM, None)
