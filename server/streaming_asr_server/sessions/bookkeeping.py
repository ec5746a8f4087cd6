"""Tells the ledger what this worker holds, and learns from it which of its sessions go on elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from streaming_asr_server.access.admission import Admission
from streaming_asr_server.access.ledger.interface import Ledger, LedgerError
from streaming_asr_server.sessions.registry import SessionRegistry

logger = logging.getLogger(__name__)

RENEWAL_SECONDS: Final = 1.0


class Bookkeeper:
    """Renews what is known of one worker; `sessions` gives its registry, None before there is one.

    A ledger that is away disturbs nothing that runs: what was to be told is told when it is back.
    """

    def __init__(self, ledger: Ledger, admission: Admission, sessions: Callable[[], SessionRegistry | None]) -> None:
        self._ledger: Final = ledger
        self._admission: Final = admission
        self._sessions: Final = sessions
        self._away = False
        self._renewing: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Renew every second from now on."""
        self._renewing = asyncio.create_task(self._renew_for_ever(), name="ledger")

    async def stop(self) -> None:
        """Tell what was counted last, and that nothing is held any more; then let go of the ledger."""
        if self._renewing is None:
            return
        self._renewing.cancel()
        await asyncio.gather(self._renewing, *self._telling, return_exceptions=True)
        await self.renew()
        await self._ledger.close()

    def take(self, session: str, owner: str) -> None:
        """A session goes on here. Told in the background: nothing depends on it but another worker's memory."""
        task = asyncio.create_task(_quietly(self._ledger.take_session(session, owner)))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def renew(self) -> None:
        """Tell everything once, and give up the sessions that others took."""
        sessions = self._sessions()
        owners = {session.id: session.owner for session in sessions or ()}
        try:
            elsewhere = await self._ledger.renew(self._admission.held, owners)
            await self._admission.settle()
        except LedgerError as error:
            if not self._away:
                logger.warning("the ledger cannot be reached; open streams go on", extra={"reason": str(error)})
            self._away = True
            return
        if self._away:
            logger.info("the ledger can be reached again")
        self._away = False
        if sessions is not None:
            sessions.give_up(elsewhere)

    async def _renew_for_ever(self) -> None:
        while True:
            await self.renew()
            await asyncio.sleep(RENEWAL_SECONDS)


async def _quietly(message: Awaitable[None]) -> None:
    with suppress(LedgerError):
        await message
