"""The microphone as an iterator of pieces, and which microphones there are."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self, cast

import numpy as np

from streaming_asr.audio.encodings import Frames
from streaming_asr.errors import DeviceError, MissingExtraError, OptionError

INSTALL_PORTAUDIO: Final = (
    "PortAudio, which reads the microphone, is not installed. Debian, Ubuntu: sudo apt install libportaudio2; "
    "Fedora: sudo dnf install portaudio; macOS: brew install portaudio"
)


class InputStream(Protocol):
    """What of a sounddevice stream is used."""

    def start(self) -> None: ...
    def close(self) -> None: ...


class AudioLibrary(Protocol):
    """What of the module sounddevice is used."""

    PortAudioError: type[Exception]

    def query_devices(self, device: int | str | None = None, kind: str | None = None) -> Any: ...
    def query_hostapis(self, index: int | None = None) -> Any: ...
    def InputStream(self, **options: Any) -> InputStream: ...  # noqa: N802


class StreamStatus(Protocol):
    """What of sounddevice's callback flags is used."""

    input_overflow: bool


@dataclass(frozen=True, slots=True)
class InputDevice:
    """A device that can record; `default` is the one used when none is chosen."""

    index: int
    name: str
    host: str
    channels: int
    sample_rate: int
    default: bool


def devices(library: AudioLibrary | None = None) -> list[InputDevice]:
    """All devices that can record, in the order of their indices.

    Raises:
        MissingExtraError: sounddevice is not installed.
        DeviceError: PortAudio is not installed.
    """
    library = library or _sounddevice()
    try:
        default = library.query_devices(kind="input")["index"]
    except (library.PortAudioError, ValueError):
        default = None
    return [
        InputDevice(
            index=found["index"],
            name=found["name"],
            host=library.query_hostapis(found["hostapi"])["name"],
            channels=found["max_input_channels"],
            sample_rate=round(found["default_samplerate"]),
            default=found["index"] == default,
        )
        for found in library.query_devices()
        if found["max_input_channels"] > 0
    ]


def _sounddevice() -> AudioLibrary:
    try:
        import sounddevice
    except ImportError as error:
        raise MissingExtraError("microphone input", "microphone") from error
    except OSError as error:
        raise DeviceError(f"{INSTALL_PORTAUDIO} ({error})") from error
    return cast(AudioLibrary, sounddevice)


class Microphone:
    """A recording device at its native rate, with a bounded queue between it and the reader.

    It records from `start` (or the first piece asked for) to `close`. When the reader is late and the queue full,
    what comes in is dropped; `overflows` counts how often, PortAudio's own overflows included, and `dropped_samples`
    how many frames were thrown away here.

    Args:
        device: index or part of the name as in `devices`; None is the system's default.
        channels: channels to record.
        block_ms: length of a piece in milliseconds.
        queue_ms: audio that may wait for the reader, in milliseconds.
        timeout_s: seconds without audio after which the device is taken to be gone.
        library: the module sounddevice, or what stands in for it.

    Raises:
        MissingExtraError: sounddevice is not installed.
        DeviceError: PortAudio is not installed, there is no such device, or it cannot be opened.
    """

    def __init__(
        self,
        device: int | str | None = None,
        *,
        channels: int = 1,
        block_ms: int = 50,
        queue_ms: int = 10_000,
        timeout_s: float = 10.0,
        library: AudioLibrary | None = None,
    ) -> None:
        if not 1 <= block_ms <= queue_ms:
            raise OptionError(f"block_ms is {block_ms}; it must be from 1 to queue_ms, {queue_ms}")
        self._library: Final = library or _sounddevice()
        found = _find_device(self._library, device)
        self.name: Final[str] = found["name"]
        self.sample_rate: Final = round(found["default_samplerate"])
        self.channels: Final = channels
        self.overflows = 0
        self.dropped_samples = 0
        self._block: Final = max(1, self.sample_rate * block_ms // 1000)
        self._most: Final = self.sample_rate * queue_ms // 1000
        self._timeout: Final = timeout_s
        self._changed: Final = threading.Condition()
        self._queue: Final = deque[Frames]()
        self._queued = 0
        self._stopped = False
        self._closed = False
        self._stream: Final = self._open(found["index"])
        self._started = False

    def start(self) -> None:
        """Begin to record, if that has not happened yet.

        Raises:
            DeviceError: the device cannot be started.
        """
        if self._started or self._closed:
            return
        try:
            self._stream.start()
        except self._library.PortAudioError as error:
            raise DeviceError(f"the microphone {self.name!r} cannot be started: {error}") from error
        self._started = True

    def __iter__(self) -> Iterator[Frames]:
        """Pieces until `close` is called, from any thread; what waits in the queue then is still given.

        Raises:
            DeviceError: the device stopped by itself, or gives nothing for `timeout_s`.
        """
        self.start()
        while (piece := self._next()) is not None:
            yield piece

    def receive(self, frames: Frames, count: int, timing: object, status: StreamStatus) -> None:
        """Take a block from PortAudio's thread: copy it into the queue, or drop and count it if that is full."""
        with self._changed:
            self.overflows += bool(status.input_overflow)
            if self._queued + count > self._most:
                self.overflows += 1
                self.dropped_samples += count
                return
            self._queue.append(np.array(frames, np.float32))
            self._queued += count
            self._changed.notify()

    def close(self) -> None:
        """Stop recording and free the device."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._stream.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next(self) -> Frames | None:
        with self._changed:
            came = self._changed.wait_for(lambda: self._queue or self._closed or self._stopped, self._timeout)
            if self._queue:
                piece = self._queue.popleft()
                self._queued -= len(piece)
                return piece
            if self._closed:
                return None
        what = "stopped" if came else f"gave nothing for {self._timeout:g} s"
        raise DeviceError(f"the microphone {self.name!r} {what}; was it unplugged?")

    def _open(self, index: int) -> InputStream:
        try:
            return self._library.InputStream(
                device=index,
                samplerate=self.sample_rate,
                channels=self.channels,
                dtype="float32",
                blocksize=self._block,
                callback=self.receive,
                finished_callback=self._stop,
            )
        except (self._library.PortAudioError, ValueError) as error:
            raise DeviceError(
                f"the microphone {self.name!r} cannot be opened with {self.channels} channels "
                f"at {self.sample_rate} Hz: {error}"
            ) from error

    def _stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()


def _find_device(library: AudioLibrary, device: int | str | None) -> Any:
    """The one recording device that is meant; PortAudio itself finds it by index or by part of its name."""
    try:
        return library.query_devices(device, kind="input")
    except (library.PortAudioError, ValueError) as error:
        meant = "no microphone was found" if device is None else f"{device!r} is not one microphone ({error})"
        there = ", ".join(f"{found.index}: {found.name}" for found in devices(library)) or "none"
        raise DeviceError(f"{meant}; the recording devices are: {there}") from error
