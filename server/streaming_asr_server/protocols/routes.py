"""All routes of all protocols but the native one, and the ports of their own that some protocols have."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from starlette.routing import BaseRoute

from streaming_asr.errors import OptionError
from streaming_asr_server.connection.endpoints import http_route, websocket_route
from streaming_asr_server.connection.serving import Deny, refusal_response
from streaming_asr_server.protocols.audience.route import AudienceEndpoint
from streaming_asr_server.protocols.deepgram.prerecorded import transcribe_recording
from streaming_asr_server.protocols.deepgram.route import denial as deepgram_denial
from streaming_asr_server.protocols.deepgram.route import serve_deepgram, serve_flux
from streaming_asr_server.protocols.openai.client_secrets import ClientSecrets
from streaming_asr_server.protocols.openai.models import list_models, show_model
from streaming_asr_server.protocols.openai.route import (
    create_client_secret,
    create_transcription_session,
    serve_realtime,
)
from streaming_asr_server.protocols.openai.route import denial as openai_denial
from streaming_asr_server.protocols.openai.transcriptions import transcribe
from streaming_asr_server.protocols.twilio.route import TwilioEndpoint, serve_subscriber
from streaming_asr_server.protocols.twilio.subscribers import Subscribers
from streaming_asr_server.protocols.twilio.webhooks import Webhook
from streaming_asr_server.protocols.vosk.server import serve_vosk, vosk_port
from streaming_asr_server.protocols.wyoming.announcing import announced, check_zeroconf
from streaming_asr_server.protocols.wyoming.server import serve_standard_streams, wyoming_tcp
from streaming_asr_server.service import Service

_SUBSCRIBERS_PER_STREAM: Final = 4
_CALLS: Final = "calls"
_OF_DEEPGRAM: Final = ("/v1/listen", "/v2/listen", "/v1/projects", "/v1/auth", "/v1/speak", "/v1/read")
_OUR_OWN: Final = ("/v1/stream", "/v1/tokens", "/v1/info", "/v1/views", "/v1/twilio", "/v1/vosk")


class Protocols:
    """The protocols of one service, as its settings ask for them.

    Raises:
        MissingExtraError: the Wyoming port is to be announced, and the package for that is not installed.
        OptionError: the webhook's address cannot be used.
    """

    def __init__(self, service: Service) -> None:
        settings = service.settings
        if settings.wyoming_zeroconf is not None:
            check_zeroconf()
        self._service = service
        self._created = int(service.now())
        self._subscribers = Subscribers(
            maximum=_SUBSCRIBERS_PER_STREAM * settings.max_streams,
            index=service.peers.index,
            tell=partial(service.peers.tell, _CALLS),
        )
        service.peers.join(_CALLS, self._subscribers)
        self._webhook: Webhook | None = None
        if settings.webhook_url is not None:
            registry = service.metrics.registry
            self._webhook = Webhook(settings.webhook_url, settings.webhook_secret or "", registry=registry)

    def routes(self) -> list[BaseRoute]:
        """Those on the main port."""
        audience = AudienceEndpoint(self._service)
        return [*audience.routes(), *self._deepgram(), *self._openai(), *self._twilio(), *self._vosk()]

    def _deepgram(self) -> list[BaseRoute]:
        return [
            websocket_route("/v1/listen", partial(serve_deepgram, self._service)),
            http_route("/v1/listen", partial(transcribe_recording, self._service), "POST"),
            websocket_route("/v2/listen", partial(serve_flux, self._service)),
        ]

    def _openai(self) -> list[BaseRoute]:
        service = self._service
        secrets = ClientSecrets(service.ledger, lambda: service.now())
        sell_ga = partial(create_client_secret, service, secrets)
        sell_beta = partial(create_transcription_session, service, secrets)
        return [
            websocket_route("/v1/realtime", partial(serve_realtime, service, secrets)),
            http_route("/v1/realtime/client_secrets", sell_ga, "POST"),
            http_route("/v1/realtime/transcription_sessions", sell_beta, "POST"),
            http_route("/v1/audio/transcriptions", partial(transcribe, service), "POST"),
            http_route("/v1/models", partial(list_models, service, self._created)),
            http_route("/v1/models/{name:path}", partial(show_model, service, self._created)),
        ]

    def _twilio(self) -> list[BaseRoute]:
        endpoint = TwilioEndpoint(self._service, self._subscribers, self._webhook)
        subscribe = partial(serve_subscriber, self._service, self._subscribers)
        return [websocket_route("/v1/twilio", endpoint.serve), websocket_route("/v1/twilio/{sid}/events", subscribe)]

    def _vosk(self) -> list[BaseRoute]:
        serve = partial(serve_vosk, self._service)
        return [websocket_route("/v1/vosk", serve), websocket_route("/v1/vosk/{name}", serve)]

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
        for model in settings.models:
            if model.vosk_port is not None:
                await stack.enter_async_context(vosk_port(service, settings.host, model.vosk_port, model.name))
        if settings.wyoming_port is not None:
            port = await stack.enter_async_context(wyoming_tcp(service, settings.host, settings.wyoming_port))
            # One of several workers announces the port for all of them.
            if settings.wyoming_zeroconf is not None and (service.ports is None or service.ports.index == 0):
                await stack.enter_async_context(announced(settings.wyoming_zeroconf, settings.host, port))
        if settings.wyoming_stdio:
            await stack.enter_async_context(_standard_streams(service))


def denial_for(path: str) -> Deny:
    """How the interface that a path belongs to writes a refusal."""
    if path.startswith(_OF_DEEPGRAM):
        return lambda refusal: deepgram_denial(refusal, str(uuid.uuid4()))
    if path.startswith("/v1/") and not path.startswith(_OUR_OWN):
        return openai_denial
    return refusal_response


@asynccontextmanager
async def _standard_streams(service: Service) -> AsyncIterator[None]:
    """Serve standard input and output; the end of the input ends the server, whose parent has gone."""

    async def serve() -> None:
        try:
            await serve_standard_streams(service)
        except Exception as error:
            service.failure = error
            raise
        finally:
            service.exit_requested = True

    task = asyncio.create_task(serve(), name="wyoming over standard streams")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
