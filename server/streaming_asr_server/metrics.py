"""What the server counts, for Prometheus; one registry per server, nothing global."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_LAGS: Final = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)

_OF_MODELS: Final[Mapping[str, str]] = {
    "ready": "Whether the model is loaded",
    "streams": "Streams of the model",
    "languages": "Languages that its streams may name",
    "waiting": "Jobs that wait for its inference thread",
    "steps": "Batches that it has computed",
    "chunks": "Chunks in these batches",
}


class Metrics:
    """All metrics of one server.

    `shared` is the folder in which the workers of a server have their metrics: then they are one page.
    """

    def __init__(self, shared: Path | None = None) -> None:
        self.registry = CollectorRegistry()
        self._shared = shared
        self._readings: dict[Gauge, Callable[[], float]] = {}
        self.decoded_seconds = 0.0
        self.streams = self._gauge("streams", "Connections that stream now")
        self.sessions = self._gauge("sessions", "Sessions, with those that wait for their client to come back")
        self.viewers = self._gauge("viewers", "Readers of views")
        self.queued = self._gauge("queued_seconds", "Audio received and not yet given to the recognizer")
        self.waiting = self._gauge("recognizer_waiting", "Jobs that wait for the inference thread")
        self.steps = self._gauge("recognizer_steps", "Batches that the model has computed")
        self.chunks = self._gauge("recognizer_chunks", "Chunks in these batches: chunks / steps is the batch size")
        self._of_models = {name: self._gauge(f"model_{name}", text, "model") for name, text in _OF_MODELS.items()}
        self.realtime = self._gauge("realtime_factor", "Audio seconds decoded per second since the start")
        self.opened = self._counter("streams_opened", "Streams by how they began", "resumed")
        self.refused = self._counter("refused", "Connections refused before the upgrade", "code")
        self.errors = self._counter("errors", "Streams that ended in an error", "code", "fault")
        self.audio = self._counter("audio_seconds", "Audio decoded")
        self.finals = self._counter("finals", "Utterances with words")
        self.words = self._counter("words", "Words in finals")
        self.requests = self._counter("transcriptions", "Recorded files transcribed", "status")
        self.lag: Histogram = Histogram(
            "streaming_asr_lag_seconds",
            "Audio received but not yet decoded when an event was made",
            ["event"],
            buckets=_LAGS,
            registry=self.registry,
        )

    def count_audio(self, seconds: float) -> None:
        """So much audio was decoded."""
        self.decoded_seconds += seconds
        self.audio.inc(seconds)

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        if self._shared is None:
            return bytes(generate_latest(self.registry))
        self.refresh()
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(self._shared))
        return bytes(generate_latest(registry))

    def watch(self, gauge: Gauge, read: Callable[[], float]) -> None:
        """Read a gauge's value when it is asked for; one that is shared, at every `refresh`."""
        if self._shared is None:
            gauge.set_function(read)
        else:
            self._readings[gauge] = read

    def refresh(self) -> None:
        """Let the other workers know the values of the gauges that are watched."""
        for gauge, read in self._readings.items():
            gauge.set(read())

    def watch_model(self, model: str, readings: Mapping[str, Callable[[], float]]) -> None:
        """Read the gauges of a model when they are asked for; their names are those of `_OF_MODELS`."""
        for name, read in readings.items():
            self.watch(self._of_models[name].labels(model), read)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        name = f"streaming_asr_{name}"
        return Gauge(name, text, list(labels), registry=self.registry, multiprocess_mode="livesum")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"streaming_asr_{name}", text, list(labels), registry=self.registry)
