"""Meters for sessions without a server."""

from __future__ import annotations

from streaming_asr.events import Event
from streaming_asr.protocol import ProtocolError


class IdleMeter:
    """Notes errors and lets everything else pass."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def audio(self, seconds: float) -> None: ...

    def event(self, event: Event) -> None: ...

    def error(self, error: ProtocolError) -> None:
        self.errors.append(error.code)
