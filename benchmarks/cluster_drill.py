"""A Ray of its own on this machine with the server in it, and what happens to people who speak while it changes."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from streaming_asr_client import Backoff, ClientOptions, connect
from streaming_asr_server.cluster import NAME, bound
from streaming_asr_server.local import local_server
from streaming_asr_server.models.source import ModelSource
from streaming_asr_server.recognition.interface import Recognition
from streaming_asr_server.recognition.scripted import ScriptedRecognition, tone_words
from streaming_asr_server.settings import Settings, read_settings

from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from streaming_asr.events import Event, Final

PACKET = SAMPLE_RATE // 10
SCRIPTED = "benchmarks.cluster_drill:scripted"
SLOW = "benchmarks.cluster_drill:slow"
MODEL = "streaming_asr_server.cluster:application"
GRACE_SECONDS = 2.0
SLOW_SECONDS = 0.2
_ROOT = Path(__file__).parents[1]
_PATIENT = ClientOptions(backoff=Backoff(first=0.1, longest=1.0, give_up_seconds=180), open_seconds=20)


def scripted(arguments: Mapping[str, Any]) -> Any:
    """For Ray: the server with a recognizer that has no model."""
    return bound(read_settings(arguments, environment={}), ScriptedRecognition)


class Cluster:
    """Ray on this machine with the server's copies; `deploy` changes them as a RayService would."""

    def __init__(self, port: int, import_path: str) -> None:
        self.port = port
        self.url = f"ws://127.0.0.1:{port}"
        self.import_path = import_path

    def deploy(self, replicas: int, **arguments: Any) -> None:
        """Make it so many copies; other arguments than before replace all of them. Does not wait."""
        from ray import serve
        from ray.serve.schema import ServeDeploySchema

        settings = {"grace_seconds": GRACE_SECONDS, "max_streams": 64, "replica_cpus": 0.5, **arguments}
        application = {
            "name": NAME,
            "import_path": self.import_path,
            "route_prefix": "/",
            "args": settings,
            "deployments": [{"name": NAME, "num_replicas": replicas}],
        }
        serve.context._get_global_client().deploy_apps(ServeDeploySchema(applications=[application]))

    async def replace(self, replicas: int, **arguments: Any) -> None:
        """Deploy, and wait until so many copies run and none that ran before; the arguments must be new ones."""
        before = set(self.processes())
        await asyncio.to_thread(self.deploy, replicas, **arguments)
        await self.until(lambda states: states == {"RUNNING": replicas} and not before & set(self.processes()))

    async def until(self, condition: Callable[[Mapping[str, int]], bool]) -> None:
        """Wait until the numbers of copies by state are so, four minutes at most."""
        async with asyncio.timeout(240):
            while not condition(await asyncio.to_thread(self.states)):  # noqa: ASYNC110 - Ray tells nobody
                await asyncio.sleep(0.3)

    def states(self) -> Mapping[str, int]:
        """How many copies are in which state."""
        from ray import serve

        found = serve.status().applications.get(NAME)
        deployments = found.deployments if found is not None else {}
        return dict(deployments[NAME].replica_states) if NAME in deployments else {}

    def processes(self, kind: str = "ServeReplica:") -> list[int]:
        """Process ids of the copies, or of the `ProxyActor`."""
        found = []
        for folder in Path("/proc").iterdir():
            with suppress(OSError):
                if folder.name.isdigit() and folder.joinpath("cmdline").read_bytes().startswith(
                    f"ray::{kind}".encode()
                ):
                    found.append(int(folder.name))
        return found


@contextmanager
def cluster(port: int, import_path: str = SCRIPTED) -> Iterator[Cluster]:
    """Start Ray, without its dashboard and with little memory for objects; end it with all copies."""
    import ray
    from ray import serve

    paths = [_ROOT, _ROOT / "server", _ROOT / "client"]
    os.environ["PYTHONPATH"] = os.pathsep.join([*map(str, paths), os.environ.get("PYTHONPATH", "")])
    ray.init(
        num_cpus=16,
        object_store_memory=100 << 20,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
    )
    try:
        serve.start(proxy_location="EveryNode", http_options={"port": port})
        yield Cluster(port, import_path)
    finally:
        ray.shutdown()


@dataclass(slots=True)
class Speaker:
    """One who speaks in real time until told to stop; `audio` is what was said, `events` what came back.

    `options` are those of the stream; `models` are the names of the models that it was given, one after the other.
    """

    seed: int
    source: Callable[[int], Samples]
    options: Mapping[str, Any] = field(default_factory=dict)
    models: list[str] = field(default_factory=list)
    audio: list[Samples] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    async def speak(self, url: str, over: asyncio.Event) -> None:
        """Open a stream and speak."""
        async with connect(url, sample_rate=16_000, client=_PATIENT, **self.options) as stream:

            async def send() -> None:
                said, began = self.source(self.seed), time.monotonic()
                for number, start in enumerate(range(0, len(said) - PACKET + 1, PACKET), 1):
                    if over.is_set():
                        break
                    piece = said[start : start + PACKET]
                    self.audio.append(piece)
                    await stream.send(piece)
                    await asyncio.sleep(max(0.0, began + number * PACKET / SAMPLE_RATE - time.monotonic()))
                await stream.finish()

            sending = asyncio.create_task(send())
            async for event in stream:
                self.events.append(event)
                if stream.started is not None and [stream.started.model] != self.models[-1:]:
                    self.models.append(stream.started.model)
            await sending

    @property
    def finals(self) -> list[tuple[int, str, float, float]]:
        """Number, text and times of what was recognized."""
        return [
            (event.utterance, event.text, event.start, event.end) for event in self.events if isinstance(event, Final)
        ]


def scripted_speech(seed: int) -> Samples:
    """Ten minutes of words and pauses for the scripted recognizer."""
    rng = random.Random(seed)
    numbers: list[int] = []
    while len(numbers) < 6_000:
        numbers += [rng.randint(11, 900) for _ in range(rng.randint(1, 30))] + [0] * rng.randint(3, 12)
    return tone_words(numbers[:6_000])


async def undisturbed(
    audio: Samples, load: Callable[[], Recognition] | Sequence[ModelSource], **options: Any
) -> list[tuple[int, str, float, float]]:
    """What a server of one process makes of the same audio, sent at once; `options` are those of the stream."""
    async with (
        local_server(load, Settings(max_streams=64)) as server,
        connect(server.url, sample_rate=16_000, **options) as stream,
    ):

        async def send() -> None:
            for start in range(0, len(audio), PACKET):
                await stream.send(audio[start : start + PACKET])
            await stream.finish()

        sending = asyncio.create_task(send())
        events = [event async for event in stream]
        await sending
    return [(event.utterance, event.text, event.start, event.end) for event in events if isinstance(event, Final)]


class _Counting(logging.Handler):
    """Counts why servers ended connections, as the client's log tells it."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.codes: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        code = getattr(record, "code", None)
        if code is not None:
            self.codes[str(code)] += 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a drill has shown: the speakers, why servers ended connections, and what was done when."""

    speakers: Sequence[Speaker]
    reasons: Mapping[str, int]
    steps: Sequence[tuple[float, str]]


async def drill(
    running: Cluster, speakers: int, source: Callable[[int], Samples] = scripted_speech, **arguments: Any
) -> Outcome:
    """Kill, add, drain and replace copies of the server while so many people speak."""
    running.deploy(2, **arguments)
    await running.until(lambda states: states == {"RUNNING": 2})
    people = [Speaker(seed, source) for seed in range(speakers)]
    over, counting, began = asyncio.Event(), _Counting(), time.monotonic()
    told = logging.getLogger("streaming_asr_client.connection")
    told.addHandler(counting)
    told.setLevel(logging.INFO)
    speaking = [asyncio.create_task(person.speak(running.url, over)) for person in people]
    steps: list[tuple[float, str]] = []
    changes: Sequence[tuple[str, Callable[[], Awaitable[None]]]] = (
        ("killed one of two copies", lambda: _kill(running)),
        ("added a third copy", lambda: _scale(running, 3, arguments)),
        ("drained one of three copies", lambda: _scale(running, 2, arguments)),
        ("replaced all copies", lambda: _replace(running, arguments)),
    )
    try:
        for name, change in changes:
            await asyncio.sleep(3)
            steps.append((time.monotonic() - began, name))
            await change()
        await asyncio.sleep(3)
    finally:
        over.set()
        told.removeHandler(counting)
    await asyncio.gather(*speaking)
    return Outcome(people, counting.codes, steps)


async def _kill(running: Cluster) -> None:
    os.kill(running.processes()[0], signal.SIGKILL)
    await running.until(lambda states: states != {"RUNNING": 2})
    await running.until(lambda states: states == {"RUNNING": 2})


async def _scale(running: Cluster, replicas: int, arguments: Mapping[str, Any]) -> None:
    await asyncio.to_thread(running.deploy, replicas, **arguments)
    await running.until(lambda states: states == {"RUNNING": replicas})


async def _replace(running: Cluster, arguments: Mapping[str, Any]) -> None:
    await running.replace(2, **{**arguments, "token_seconds": 59})


def said(person: Speaker) -> Samples:
    """All that somebody said, (samples,)."""
    return np.concatenate(person.audio)


def slow(arguments: Mapping[str, Any]) -> Any:
    """For Ray: as `scripted`, but each piece of audio takes its time."""
    return bound(read_settings(arguments, environment={}), partial(ScriptedRecognition, delay=SLOW_SECONDS))
