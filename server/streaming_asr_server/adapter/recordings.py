"""Recorded files that come in one request: kept on disk, and recognized a second of audio at a time.

`recognize` goes in the order of the library's loop (`streaming_asr.recognition`): push every piece, finish, and only
then raise what ended the audio. It is a loop of its own because it awaits between the steps, where it counts for the
key, checks limits and sees that the client has gone; the library's blocks, and would need a thread for each upload.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from streaming_asr.audio.encodings import HEADER_BYTES, Frames, container_name
from streaming_asr.audio.files import FileSource
from streaming_asr.audio.input import AudioInput
from streaming_asr.audio.samples import Samples, seconds
from streaming_asr.errors import AudioError, OptionError
from streaming_asr.events import Event
from streaming_asr.protocol import Start
from streaming_asr.text import FormatOptions
from streaming_asr_server.access.admission import Refusal
from streaming_asr_server.service import KeyMeter, Service
from streaming_asr_server.sessions.decoding import AudioFormat

_PIECE_MS: Final = 1_000
_SUFFIX: Final = re.compile(r"\.[A-Za-z0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Recording:
    """A file on this machine's disk; `name` is what its sender calls it, for errors."""

    path: Path
    name: str


@asynccontextmanager
async def on_disk(pieces: AsyncIterable[bytes], name: str) -> AsyncIterator[Recording]:
    """A file made of these pieces, for as long as the context lasts; memory does not grow with it."""
    shown = " ".join(name.split())[:100] or "the file"
    suffix = Path(shown).suffix
    with TemporaryDirectory(prefix="streaming-asr-") as folder:
        path = Path(folder) / f"upload{suffix if _SUFFIX.fullmatch(suffix) else ''}"
        with path.open("wb") as target:
            async for piece in pieces:
                await asyncio.to_thread(target.write, piece)
        yield Recording(path, shown)


async def limited(pieces: AsyncIterable[bytes], limit: int) -> AsyncIterator[bytes]:
    """The pieces of a body, refused as soon as it is longer than the limit, whatever its header says."""
    taken = 0
    async for piece in pieces:
        taken += len(piece)
        if taken > limit:
            raise Refusal(413, "too_big", f"the upload is over {limit} bytes")
        yield piece


@dataclass(frozen=True, slots=True)
class Recognized:
    """The events of one more second of a recording, of which `position` seconds are done.

    The last one has `notes` about what of the recording could not be read.
    """

    events: tuple[Event, ...]
    position: float
    notes: tuple[str, ...] = ()


async def recognize(
    service: Service,
    recording: Recording,
    start: Start,
    *,
    meter: KeyMeter,
    gone: Callable[[], Awaitable[bool]],
    formatted: FormatOptions | None = None,
    audio: AudioFormat | None = None,
    channel: int | None = None,
    track: int | str | None = None,
) -> AsyncGenerator[Recognized, None]:
    """Run a recording through a stream of its own, as fast as it goes, until the client has `gone`.

    `audio` says what it is, where it is no file but raw samples; `channel` is the one to recognize, None their mean,
    and `track` the audio track of a film, None its default. Raises AudioError, behind the events of what was
    read before, OptionError, ProtocolError; no error names a path of this machine.
    """
    stream = service.models.open(await service.models.prepare(start), formatted=formatted)
    position = 0
    async with AsyncExitStack() as stack:
        stack.callback(stream.close)
        source = await asyncio.to_thread(_open, recording, audio, channel, track)
        stack.callback(source.close)
        pieces = iter(source)
        while isinstance(samples := await asyncio.to_thread(_next_samples, pieces), np.ndarray):
            if await gone():
                raise OptionError("the client has gone")
            events = tuple(await stream.push(samples))
            position += len(samples)
            _check_length(seconds(position), service)
            meter.audio(seconds(len(samples)))
            yield _counted(Recognized(events, seconds(position)), meter)
        rest = tuple(await stream.finish())
        yield _counted(Recognized(rest, seconds(position), tuple(source.notes)), meter)
        if samples is not None:
            raise samples


def _counted(recognized: Recognized, meter: KeyMeter) -> Recognized:
    for event in recognized.events:
        meter.event(event)
    return recognized


def _next_samples(pieces: Iterator[Frames]) -> Samples | AudioError | None:
    """The next piece, or what ended them; None at a good end."""
    try:
        piece = next(pieces, None)
    except AudioError as error:
        return error
    return None if piece is None else piece[:, 0]


async def channels_of(recording: Recording, audio: AudioFormat | None, *, track: int | str | None = None) -> int:
    """How many channels a recording, or one audio track of it, has. Raises AudioError."""
    return await asyncio.to_thread(_channels_of, recording, audio, track)


def _channels_of(recording: Recording, audio: AudioFormat | None, track: int | str | None) -> int:
    if audio is not None and _is_raw(recording, audio):
        return audio.channels
    with FileSource(recording.path, name=recording.name, track=track) as source:
        return source.file_channels


def _is_raw(recording: Recording, audio: AudioFormat | None) -> bool:
    """Whether raw samples were declared, and no file was sent all the same."""
    if audio is None or audio.bytes_per_second is None:
        return False
    with recording.path.open("rb") as file:
        return container_name(file.read(HEADER_BYTES)) is None


class _Raw:
    """Raw samples on disk, as the mean of their channels or one of them, mono at 16 kHz."""

    notes: Final[Sequence[str]] = ()

    def __init__(self, path: Path, audio: AudioFormat, channel: int | None) -> None:
        self._file: Final = path.open("rb")
        self._piece_bytes: Final = 2 * (audio.piece_bytes or 0)
        self._input: Final = AudioInput(
            encoding=audio.encoding, sample_rate=audio.sample_rate, channels=audio.channels, channel=channel
        )

    def __iter__(self) -> Iterator[Frames]:
        while piece := self._file.read(self._piece_bytes):
            yield self._input.push(piece)[:, None]
        yield self._input.finish()[:, None]

    def close(self) -> None:
        self._file.close()


def _open(
    recording: Recording, audio: AudioFormat | None, channel: int | None, track: int | str | None
) -> FileSource | _Raw:
    if audio is not None and _is_raw(recording, audio):
        return _Raw(recording.path, audio, channel)
    return FileSource(recording.path, piece_ms=_PIECE_MS, channel=channel, track=track, name=recording.name)


def _check_length(length: float, service: Service) -> None:
    if length > service.settings.stream_seconds:
        raise OptionError(f"the recording is longer than {service.settings.stream_seconds:g} s")
