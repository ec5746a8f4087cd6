"""A server on a free port of this machine, inside a running event loop: for tests, examples and benchmarks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from streaming_asr_server.access.authentication import ApiKeys
from streaming_asr_server.access.ledger.interface import Ledger
from streaming_asr_server.access.ledger.memory import MemoryLedger
from streaming_asr_server.application import create_application
from streaming_asr_server.models.source import ModelSource
from streaming_asr_server.recognition.interface import Recognition
from streaming_asr_server.running import DrainingServer, uvicorn_config
from streaming_asr_server.service import Service
from streaming_asr_server.settings import Settings


@dataclass(frozen=True, slots=True)
class LocalServer:
    """A server that runs; `port` is the one it was given."""

    service: Service
    server: DrainingServer
    port: int

    @property
    def url(self) -> str:
        """For websockets."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def http(self) -> str:
        """For HTTP."""
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def local_server(
    load: Callable[[], Recognition] | Sequence[ModelSource],
    settings: Settings | None = None,
    *,
    keys: ApiKeys | None = None,
    web: Path | None = None,
    ledger: Ledger | None = None,
    now: Callable[[], float] = time.time,
) -> AsyncIterator[LocalServer]:
    """Run a server of one model, or of several, until the context ends; it is ready when the context begins."""
    settings = replace(settings or Settings(), host="127.0.0.1", port=0)
    service = Service(settings, load=load, keys=keys, ledger=ledger or MemoryLedger(), now=now)
    config = uvicorn_config(create_application(service, web=web), settings)
    server = DrainingServer(config, service, grace_seconds=settings.grace_seconds)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    ticking = asyncio.create_task(server.main_loop())
    try:
        await service.ready()
        yield LocalServer(service, server, server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        await asyncio.gather(ticking, return_exceptions=True)
        await server.shutdown()
