"""The server in Ray Serve: copies of it on many cores and machines, behind one address.

    serve run streaming_asr_server.cluster:application replicas=2 max_streams=24

`application` takes the options of `streaming-asr serve`, from its arguments, the environment and the file that
STREAMING_ASR_CONFIG names. `streaming-asr serve --cluster` does the same, on this machine or in the cluster of
RAY_ADDRESS.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

from starlette.types import ASGIApp

from streaming_asr.errors import OptionError
from streaming_asr_server.access.admission import Readiness
from streaming_asr_server.access.authentication import ApiKeys
from streaming_asr_server.access.ledger.opening import open_ledger, process_name
from streaming_asr_server.application import create_application
from streaming_asr_server.connection.read_ahead import ReadAhead
from streaming_asr_server.loading import model_sources
from streaming_asr_server.recognition.interface import Recognition
from streaming_asr_server.service import Service
from streaming_asr_server.settings import Settings, read_settings

logger = logging.getLogger(__name__)

NAME: Final = "streaming-asr"
CHECK_SECONDS: Final = 1.0
"""Between two questions whether a copy is well."""

_MISSED_CHECKS: Final = 3
"""So many questions that do not come make a copy ask whether it is being stopped."""

_CLOSING_SECONDS: Final = 15.0
_FULL_SHARE: Final = 0.75
"""Of `max_streams` on each copy: one more is added above it, and has this much room until it is there."""

_OTHER_REQUESTS: Final = 32
"""Of HTTP at once, beside streams and viewers."""

_ELSEWHERE: Final = "in a cluster, run a server of its own for it"


class Departure:
    """Takes leave of a copy's streams when Ray stops it.

    Ray tells a copy nothing: it sends no new requests, waits for those that are open, and kills. But it asks no longer
    whether the copy is well. When that is missing, `stopping` is asked for the reason; a controller that is away for a
    while is none. A question that comes after all takes the leave back.
    """

    def __init__(self, service: Service, *, stopping: Callable[[], bool], check_seconds: float = CHECK_SECONDS) -> None:
        self._service: Final = service
        self._stopping: Final = stopping
        self._check_seconds: Final = check_seconds
        self._answering = 0
        self._answered_at = asyncio.get_running_loop().time()
        self._leaving: asyncio.Task[None] | None = None
        self._watching: Final = asyncio.create_task(self._watch(), name="departure")

    @contextmanager
    def asked(self) -> Iterator[None]:
        """While Ray's question is being answered."""
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
            self._service.admission.readiness = Readiness.READY
        self._answering += 1
        try:
            yield
        finally:
            self._answering -= 1
            self._answered_at = asyncio.get_running_loop().time()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._check_seconds)
            missing = loop.time() - self._answered_at > _MISSED_CHECKS * self._check_seconds
            if self._answering or self._leaving is not None or not missing:
                continue
            if await self._is_stopping() and not self._answering:
                logger.warning("this copy is being stopped", extra={"streams": self._service.streams})
                self._leaving = asyncio.create_task(self._leave(), name="leave")

    async def _is_stopping(self) -> bool:
        """What the cluster says; one that says nothing of it, or cannot be asked, has stopped nothing yet."""
        try:
            return await asyncio.to_thread(self._stopping)
        except Exception as error:  # noqa: BLE001 - it is asked again in a moment
            logger.warning("the cluster does not say whether this copy is being stopped", extra={"reason": repr(error)})
            return False

    async def _leave(self) -> None:
        """Warn, wait, and send whoever is left elsewhere, with 1012."""
        self._service.drain()
        self._service.warn_connections()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._service.settings.grace_seconds):
                await self._service.until_idle()
        self._service.close_connections()


class Replica:
    """One copy of the server: Ray Serve makes it, asks for its health and its streams, and hands it requests."""

    def __init__(self, settings: Settings, load: Callable[[], Recognition] | None) -> None:
        keys = ApiKeys.read(settings.api_key_file) if settings.api_key_file else None
        ledger = open_ledger(settings.ledger or "memory", worker=process_name())
        models = load or model_sources(settings, max(1, int(settings.replica_cpus)))
        self._service: Final = Service(settings, load=models, keys=keys, ledger=ledger)
        self._departure: Departure | None = None

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """What Ray Serve calls with requests."""
        settings = self._service.settings
        application = create_application(self._service)
        return ReadAhead(application, maximum_bytes=settings.ahead_bytes, message_bytes=settings.message_bytes)

    async def check_health(self) -> None:
        """Whether all models in memory answer; at first, wait until those of the start are loaded.

        Raises:
            Exception: what kept the models from being loaded, or what one of them says.
            TimeoutError: one does not answer.
        """
        await self._service.ready()
        if self._departure is None:
            self._departure = Departure(self._service, stopping=_is_stopping())
        with self._departure.asked():
            async with asyncio.timeout(self._service.settings.stall_seconds):
                await self._service.models.hear_silence()

    def record_autoscaling_stats(self) -> dict[str, float]:
        """For `StreamsPolicy`."""
        return {"streams": float(self._service.admission.streams)}


def _is_stopping() -> Callable[[], bool]:
    """Asks Ray whether copies of the deployment that runs here are being stopped; it waits for the answer."""
    from ray import serve

    context = serve.get_replica_context()

    def is_stopping() -> bool:
        applications = serve.status().applications
        if context.app_name not in applications:
            return True
        states = applications[context.app_name].deployments[context.deployment].replica_states
        return bool(states.get("STOPPING", 0))

    return is_stopping


class ScalingContext(Protocol):
    """What a policy needs of Ray's `AutoscalingContext`."""

    @property
    def aggregated_metrics(self) -> Mapping[str, Mapping[Any, float]]:
        """By the name of a metric, what each copy says."""


class StreamsPolicy:
    """How many copies the open streams need; Ray holds the number between the least and the most, and waits a while."""

    def __init__(self, streams_per_replica: float) -> None:
        self._streams_per_replica: Final = streams_per_replica

    def __call__(self, context: ScalingContext) -> tuple[int, dict[str, Any]]:
        """Copies, and what to remember: nothing."""
        streams = sum(context.aggregated_metrics.get("streams", {}).values())
        return max(1, math.ceil(streams / self._streams_per_replica)), {}


def application(arguments: Mapping[str, Any]) -> Any:
    """For `serve run`, `serve deploy` and RayService: the application with options of `streaming-asr serve`.

    Raises:
        OptionError: an option that there is not, or that cannot work in a cluster.
    """
    file = os.environ.get("STREAMING_ASR_CONFIG")
    return bound(read_settings(arguments, environment=os.environ, file=Path(file) if file else None))


def bound(
    settings: Settings, load: Callable[[], Recognition] | None = None, *, replica: type[Replica] = Replica
) -> Any:
    """A `ray.serve.Application` of copies of the server; `load` is by default what the settings ask for.

    Raises:
        OptionError: an option that cannot work in a cluster.
    """
    from ray import serve

    check_settings(settings)
    settings = replace(settings, cluster=True)
    deployment = serve.deployment(serve.ingress()(replica), name=NAME, **deployment_options(settings))
    return deployment.bind(settings, load)


def check_settings(settings: Settings) -> None:
    """Raises OptionError if something cannot work in a cluster."""
    for name in ("vosk_port", "wyoming_port", "wyoming_stdio", "wyoming_zeroconf"):
        if getattr(settings, name):
            raise OptionError(f"{name} is a door of one process; {_ELSEWHERE}")
    for model in settings.served():
        if model.vosk_port:
            raise OptionError(f"vosk_port of the model {model.name!r} is a door of one process; {_ELSEWHERE}")
        if model.device.startswith("cuda") and not settings.replica_gpus:
            raise OptionError(f"replica_gpus is 0, and device {model.device}; it must be over 0, such as 1 or 0.5")


def deployment_options(settings: Settings) -> dict[str, Any]:
    """How Ray Serve runs the copies."""
    options: dict[str, Any] = {
        "ray_actor_options": {"num_cpus": settings.replica_cpus, "num_gpus": settings.replica_gpus},
        # A copy that is full says so itself, at once and with Retry-After; Ray would let the client wait.
        "max_ongoing_requests": settings.max_streams + settings.max_viewers + _OTHER_REQUESTS,
        "health_check_period_s": CHECK_SECONDS,
        "health_check_timeout_s": settings.stall_seconds + 10,
        "graceful_shutdown_wait_loop_s": 0.5,
        "graceful_shutdown_timeout_s": settings.grace_seconds + _MISSED_CHECKS * CHECK_SECONDS + _CLOSING_SECONDS,
    }
    if settings.max_replicas in (None, settings.replicas):
        return {**options, "num_replicas": settings.replicas}
    policy = {
        "policy_function": "streaming_asr_server.cluster:StreamsPolicy",
        "policy_kwargs": {"streams_per_replica": settings.max_streams * _FULL_SHARE},
    }
    scaling = {"min_replicas": settings.replicas, "max_replicas": settings.max_replicas, "policy": policy}
    scaling |= {"upscale_delay_s": 5.0, "downscale_delay_s": 300.0, "look_back_period_s": 10.0}
    return {**options, "autoscaling_config": scaling}


def run_cluster(settings: Settings, announce: Callable[[], None] = lambda: None) -> None:
    """Run the copies until a signal comes: in the cluster of RAY_ADDRESS, or on this machine.

    Raises:
        OptionError: what cannot work, or cannot be deployed.
    """
    import ray
    from ray import serve

    application = bound(settings)
    ray.init(log_to_driver=settings.log_level == "debug", configure_logging=False)
    http = {"host": settings.host, "port": settings.port}
    if settings.tls_cert is not None:
        http |= {"ssl_certfile": str(settings.tls_cert), "ssl_keyfile": str(settings.tls_key)}
    try:
        serve.start(proxy_location="EveryNode", http_options=http)
        serve.run(application, name=NAME, route_prefix="/")
        # Ray has handlers of its own, which would end this process at once.
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        announce()
        ended.wait()
        serve.delete(NAME)
    except RuntimeError as error:
        raise OptionError(f"the cluster does not run the server: {error}") from error
    finally:
        ray.shutdown()
