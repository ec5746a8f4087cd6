"""The last steps of a foreign protocol's route: accept, greet, pump."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.websockets import WebSocket

from streaming_asr.protocol import ProtocolError, Start
from streaming_asr_server.authentication import Principal
from streaming_asr_server.bridge import Bridge
from streaming_asr_server.parking import Opened
from streaming_asr_server.protocols.codec import Outgoing
from streaming_asr_server.pump import Pump, PumpRules
from streaming_asr_server.service import Service


async def serve_bridge(
    service: Service,
    websocket: WebSocket,
    principal: Principal,
    bridge: Bridge,
    *,
    rules: PumpRules,
    greeting: Sequence[Outgoing] = (),
    subprotocol: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> ProtocolError | None:
    """Accept a websocket, say the greeting, and pump it to its end; returns the error that ended it, if one did."""
    meter, sessions = service.meter(principal), service.sessions

    def open_session(start: Start) -> Opened:
        opened = sessions.open(start, owner=principal.name, meter=meter)
        service.metrics.opened.labels(opened.resumed).inc()
        return opened

    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()]
    await websocket.accept(subprotocol, pairs)
    pump = Pump(websocket, bridge, sessions=sessions, open_session=open_session, rules=rules)
    pump.outbox.put(greeting)
    service.connections.add(pump.fail)
    try:
        error = await pump.run()
    finally:
        service.connections.discard(pump.fail)
    if error is not None:
        meter.error(error)
    return error
