"""Vosk, Wyoming and Twilio: their routes, and the ports of their own that run beside the main one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

from streaming_asr.errors import OptionError
from streaming_asr_server.protocols.twilio.route import TwilioEndpoint, serve_subscriber
from streaming_asr_server.protocols.twilio.subscribers import Subscribers
from streaming_asr_server.protocols.twilio.webhooks import Webhook
from streaming_asr_server.protocols.vosk.server import serve_vosk, vosk_port
from streaming_asr_server.protocols.wyoming.announcing import announced, check_zeroconf
from streaming_asr_server.protocols.wyoming.server import serve_standard_streams, wyoming_tcp
from streaming_asr_server.service import Service

_SUBSCRIBERS_PER_STREAM: Final = 4


class MoreProtocols:
    """What a service has of these protocols, as its settings say.

    Raises:
        MissingExtraError: the Wyoming port is to be announced, and the package for that is not installed.
        OptionError: the webhook's address cannot be used.
    """

    def __init__(self, service: Service) -> None:
        settings = service.settings
        if settings.wyoming_zeroconf is not None:
            check_zeroconf()
        self._service = service
        self._subscribers = Subscribers(maximum=_SUBSCRIBERS_PER_STREAM * settings.max_streams)
        self._webhook: Webhook | None = None
        if settings.webhook_url is not None:
            registry = service.metrics.registry
            self._webhook = Webhook(settings.webhook_url, settings.webhook_secret or "", registry=registry)

    def routes(self) -> list[BaseRoute]:
        """Those on the main port."""

        async def vosk(websocket: WebSocket) -> None:
            await serve_vosk(self._service, websocket)

        async def subscriber(websocket: WebSocket) -> None:
            await serve_subscriber(self._service, self._subscribers, websocket)

        return [
            WebSocketRoute("/v1/vosk", vosk),
            WebSocketRoute("/v1/twilio", TwilioEndpoint(self._service, self._subscribers, self._webhook)),
            WebSocketRoute("/v1/twilio/{sid}/events", subscriber),
        ]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen on the other ports, and deliver to the webhook, until the context ends.

        A port that cannot be had becomes the failure of the service, which ends the server.
        """
        async with AsyncExitStack() as stack:
            try:
                await self._begin(stack)
            except (OSError, OptionError) as error:
                self._service.failure = OptionError(f"a port that was asked for cannot be used: {error}")
            yield

    async def _begin(self, stack: AsyncExitStack) -> None:
        """Raises OSError for a port that is taken, OptionError for a name that cannot be announced."""
        service, settings = self._service, self._service.settings
        if self._webhook is not None:
            await stack.enter_async_context(self._webhook.running())
        if settings.vosk_port is not None:
            await stack.enter_async_context(vosk_port(service, settings.host, settings.vosk_port))
        if settings.wyoming_port is not None:
            port = await stack.enter_async_context(wyoming_tcp(service, settings.host, settings.wyoming_port))
            if settings.wyoming_zeroconf is not None:
                await stack.enter_async_context(announced(settings.wyoming_zeroconf, settings.host, port))
        if settings.wyoming_stdio:
            await stack.enter_async_context(_standard_streams(service))


@asynccontextmanager
async def _standard_streams(service: Service) -> AsyncIterator[None]:
    """Standard input and output; when the input ends, whoever started this process has gone."""

    async def serve() -> None:
        try:
            await serve_standard_streams(service)
        except Exception as error:
            service.failure = error
            raise
        finally:
            service.ended = True

    task = asyncio.create_task(serve(), name="wyoming over standard streams")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
