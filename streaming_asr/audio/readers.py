"""Files and pipes into blocks: WAV and Ogg read here, everything else by FFmpeg; what was left out is noted."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from streaming_asr.audio.containers import AudioLimits, ContainerDecoder
from streaming_asr.audio.encodings import Block
from streaming_asr.audio.resampling import HIGHEST_RATE, LOWEST_RATE
from streaming_asr.errors import AudioError, MissingExtraError

_READ_BYTES: Final = 65_536
_ANY_LENGTH: Final = AudioLimits(free_seconds=1 << 40, header_bytes=1 << 40)
_MOST_FAILURES: Final = 100
"""Attempts in a row to read on behind damage."""
_OPTIONS: Final = {"protocol_whitelist": "none"}
"""A playlist must not make this machine open other files or addresses."""
_LIVE_OPTIONS: Final = {**_OPTIONS, "probesize": "32768", "analyzeduration": "0"}
"""Of a pipe, FFmpeg looks at little before it gives the first packet."""
_STATES_LENGTH: Final = ("mov", "matroska", "flac", "aiff", "asf", "avi", "caf", "w64")
"""FFmpeg's names of containers whose header says how long they are; of others it is guessed from the bit rate."""
_CLOSE: Final = 0.1
"""Seconds by which time stamps may stray before they mean a hole."""
_FREE_SILENCE: Final = 1800.0
_SILENCE_PER_SOUND: Final = 10.0
"""Holes of so many seconds in all, and so many for each second of sound; greater ones are a clock that was set anew."""


class ReadableBytes(Protocol):
    """An open file, or a pipe, which gives as many bytes as there are at the moment."""

    def read(self, size: int, /) -> bytes: ...


class Reader(Protocol):
    """Blocks of one audio track in order; holes in its timeline are filled with silence.

    Lengths in seconds, None where they are not known: `duration` may be a guess, `promised` is what the header states.
    `channels` is what the header states, 0 if nothing. `damage` is complete once all blocks were read.
    """

    duration: float | None
    promised: float | None
    channels: int

    @property
    def damage(self) -> Damage: ...
    def blocks(self) -> Iterator[Block]: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class Damage:
    """Packets that could not be decoded and were left out: how many, of how many seconds, and where the first was.

    `unread` are bytes behind the audio of which nobody knows what they are.
    """

    packets: int = 0
    seconds: float = 0.0
    first: float = 0.0
    unread: int = 0

    def count(self, seconds: float, position: float) -> None:
        """Take note of a packet."""
        self.first = position if self.packets == 0 else self.first
        self.packets += 1
        self.seconds += seconds

    def sentences(self) -> list[str]:
        """What there is to tell; nothing of a recording that is whole."""
        unread = f"{self.unread} bytes behind the end that its header states were not read"
        return [*([self._of_packets()] if self.packets else []), *([unread] if self.unread else [])]

    def _of_packets(self) -> str:
        packets = "a packet" if self.packets == 1 else f"{self.packets} packets"
        length = f" of {self.seconds:.1f} s" if self.seconds else ""
        first = "at" if self.packets == 1 else "the first at"
        return f"damaged: {packets}{length}, {first} {self.first:.1f} s, cannot be decoded"


def is_read_here(head: bytes) -> bool:
    """Whether `StreamReader` reads a file that begins so; 12 bytes tell."""
    kind = head[8:12]
    return (
        head[:4] == b"OggS"
        or (head[:4] in (b"RIFF", b"RF64", b"RIFX") and kind == b"WAVE")
        or (head[:4] == b"FORM" and kind in (b"AIFF", b"AIFC"))
    )


class StreamReader:
    """WAV and AIFF whatever their header says of their length, and Ogg also where one stream follows another.

    FFmpeg ends such files where their header says, and an Ogg file where its streams change.

    Args:
        length: bytes in the file, None if nobody knows. tail: the last of them.

    Raises:
        AudioError: its header is damaged, or it holds something that is not read here.
    """

    def __init__(self, file: ReadableBytes, length: int | None = None, tail: bytes = b"") -> None:
        self.damage: Final = Damage()
        self._file: Final = file
        self._decoder: Final = ContainerDecoder(_ANY_LENGTH)
        self._first: Final[list[Block]] = []
        self._failure: AudioError | None = None
        while self._decoder.track is None and (data := file.read(_READ_BYTES)):
            self._take_first(self._decoder.push(data))
        if self._decoder.track is None:
            self._take_first(self._decoder.finish())
        track = self._decoder.track
        self.channels: int = track.channels if track else 0
        self.promised: float | None = track.seconds if track else None
        self.duration: float | None = self.promised
        if track is not None and length is not None and track.bytes_per_second:
            self.duration = length / track.bytes_per_second
        elif track is not None and track.sample_rate and (page := tail.rfind(b"OggS")) >= 0:
            self.duration = int.from_bytes(tail[page + 6 : page + 14], "little") / track.sample_rate

    def _take_first(self, blocks: Iterator[Block]) -> None:
        """Keep blocks; what is wrong with the audio itself is told behind them."""
        try:
            self._first.extend(blocks)
        except AudioError as error:
            if self._decoder.track is None:
                raise
            self._failure = error

    def blocks(self) -> Iterator[Block]:
        """Read once; raises AudioError where it can be read no further."""
        position = 0.0
        try:
            for block in self._all():
                for _ in range(self._decoder.damaged_packets - self.damage.packets):
                    self.damage.count(0.0, position)
                position += len(block.frames) / block.sample_rate
                yield block
        except AudioError as error:
            raise AudioError(f"it is damaged behind {position:.1f} s: {error}") from error

    def _all(self) -> Iterator[Block]:
        yield from self._first
        self._first.clear()
        if self._failure is not None:
            raise self._failure
        while data := self._file.read(_READ_BYTES):
            yield from self._decoder.push(data)
        yield from self._decoder.finish()

    def close(self) -> None:
        """Free the decoder."""
        self._decoder.close()


class AvReader:
    """One track of whatever FFmpeg reads.

    Args:
        file: a file that can be sought in, or with `live` a pipe.
        track: number of the audio track, from 0, or its language; None for the one that the file marks as its default.

    Raises:
        AudioError: there is no audio in it, or not this track.
        MissingExtraError: PyAV is not installed.
    """

    def __init__(self, file: ReadableBytes, *, live: bool, track: int | str | None) -> None:
        self._av: Final = _load()
        self.damage: Final = Damage()
        self._file: Final = _Counted(file) if live else file
        self._container: Final[Any] = self._open(self._file, _LIVE_OPTIONS if live else _OPTIONS)
        self._end = 0
        try:
            known = [stream for stream in self._container.streams.audio if stream.codec_context is not None]
            self._stream: Final[Any] = _choose(known, track)
        except AudioError:
            self.close()
            raise
        codec = self._stream.codec_context
        if codec.name == "flac":
            codec.options = {"err_detect": "crccheck+explode"}
        self.channels: int = codec.channels
        self.duration: float | None = self._seconds(self._stream.duration, self._stream.time_base)
        self.promised: float | None = self.duration if self._states_length() else None
        if self.duration is None:
            self.duration = self._seconds(self._container.duration, 1 / self._av.time_base)
            alone = len(self._container.streams) == 1
            self.promised = self.duration if alone and self._states_length() else None
        start = self._container.start_time
        longest = self._seconds(self._container.duration, 1 / self._av.time_base)
        self._timeline: Final = Timeline(start / self._av.time_base if start else 0.0, longest)
        self._to_float: tuple[object, Any] | None = None
        self._refusal = ""

    def blocks(self) -> Iterator[Block]:
        """Read once, on behind all damage.

        Raises:
            AudioError: nothing at all can be decoded.
        """
        for packet in self._packets():
            for frame in self._decoded(packet):
                yield from self._placed(frame)
        if self._timeline.position == 0 and (self._refusal or self.damage.packets):
            raise AudioError(self._refusal or f"none of its {self.damage.packets} packets can be decoded")
        if self._container.format.name in _ENDS_AS_STATED and self._end:
            self.damage.unread = _unread(self._file, self._end)

    def close(self) -> None:
        """Free the decoder."""
        self._container.close()

    def _open(self, file: ReadableBytes, options: dict[str, str]) -> Any:
        try:
            return self._av.open(file, options=dict(options), metadata_errors="ignore")
        except self._av.error.FFmpegError as error:
            raise AudioError(error.strerror or str(error)) from error

    def _states_length(self) -> bool:
        return self._container.format.name.split(",")[0] in _STATES_LENGTH

    def _seconds(self, ticks: int | None, tick: Any) -> float | None:
        return float(ticks * tick) if ticks and ticks > 0 else None

    def _packets(self) -> Iterator[Any]:
        failures = 0
        while failures < _MOST_FAILURES:
            try:
                for packet in self._container.demux(self._stream):
                    failures = 0
                    self._end = max(self._end, (packet.pos or 0) + packet.size)
                    yield packet
                return
            except self._av.error.EOFError:
                return
            except (self._av.error.FFmpegError, IndexError):
                # PyAV stumbles over streams that a damaged file seems to begin on the way.
                failures += 1

    def _decoded(self, packet: Any) -> list[Any]:
        try:
            frames: list[Any] = packet.decode()
        except self._av.error.EOFError:
            return []
        except self._av.error.FFmpegError:
            # A tag between two files that were put together is no damage.
            if packet.size and bytes(packet)[:3] not in (b"ID3", b"TAG"):
                self.damage.count(float((packet.duration or 0) * packet.time_base), self._timeline.position)
            return []
        return frames

    def _placed(self, frame: Any) -> Iterator[Block]:
        """A frame, behind the silence that its time stamp asks for."""
        rate, channels = frame.sample_rate, frame.layout.nb_channels
        if not (LOWEST_RATE <= rate <= HIGHEST_RATE and channels):
            self._refusal = f"it has {channels} channels at {rate} Hz; it must be from {LOWEST_RATE} to {HIGHEST_RATE}"
            self.damage.count(frame.samples / rate if rate else 0.0, self._timeline.position)
            return
        hole = round(self._timeline.hole(frame.time) * rate)
        for start in range(0, hole, rate):
            yield Block(np.zeros((min(rate, hole - start), channels), np.float32), rate)
        self._timeline.advance((hole + frame.samples) / rate)
        for converted in self._resampler(frame).resample(frame):
            frames = np.asarray(converted.to_ndarray(), np.float32).reshape(-1, channels)
            # Damaged packets decode into anything, and what is said after them must still be heard.
            if not np.isfinite(frames).all():
                self.damage.count(0.0, self._timeline.position)
                frames = np.nan_to_num(frames)
            yield Block(np.clip(frames, -1.0, 1.0), rate)

    def _resampler(self, frame: Any) -> Any:
        """What brings frames of this format to packed floats; it cannot change its mind."""
        wanted = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._to_float is None or self._to_float[0] != wanted:
            resampler = self._av.AudioResampler(format="flt", layout=frame.layout, rate=frame.sample_rate)
            self._to_float = wanted, resampler
        return self._to_float[1]


class Timeline:
    """Where on the container's clock the audio stands, in seconds; the first moment of the film is 0.

    A film does not end behind its `duration`, where that is known: such a time stamp is damaged.
    """

    def __init__(self, origin: float, duration: float | None = None) -> None:
        self._shift = -origin
        self._end: Final = math.inf if duration is None else duration + 1.0
        self.position = 0.0
        self._silence = 0.0

    def hole(self, time: float | None) -> float:
        """The silence between what was given and audio of a time stamp.

        A clock that jumps back or far ahead was set anew, as where two files were put together: time goes on.
        """
        if time is None:
            return 0.0
        ahead = time + self._shift - self.position
        if ahead > _CLOSE and self._is_credible(ahead):
            self._silence += ahead
            return ahead
        if abs(ahead) > _CLOSE:
            self._shift -= ahead
        return 0.0

    def _is_credible(self, hole: float) -> bool:
        most = _FREE_SILENCE + _SILENCE_PER_SOUND * (self.position - self._silence)
        return self.position + hole <= self._end and self._silence + hole <= most

    def advance(self, seconds: float) -> None:
        """Say that so much was given."""
        self.position += seconds


def _choose(streams: list[Any], track: int | str | None) -> Any:
    if not streams:
        raise AudioError("it has no audio track")
    if track is None:
        return next((stream for stream in streams if int(stream.disposition) & _DEFAULT), streams[0])
    for number, stream in enumerate(streams):
        if track in (number, stream.language):
            return stream
    there = ", ".join(f"{number} ({stream.language or 'no language'})" for number, stream in enumerate(streams))
    raise AudioError(f"it has no audio track {track}; its audio tracks are {there}")


class _Counted:
    """A pipe, how many bytes came out of it, and the last of them."""

    def __init__(self, file: ReadableBytes) -> None:
        self._file: Final = file
        self._last = b""
        self.count = 0

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size)
        self.count += len(data)
        self._last = (self._last + data)[-2 * _READ_BYTES :]
        return data

    def at(self, place: int) -> bytes:
        """Four bytes that came not long ago; fewer if they are gone."""
        start = place - (self.count - len(self._last))
        return self._last[start : start + 4] if start >= 0 else b""


def _unread(file: Any, end: int) -> int:
    """Bytes behind the audio of a file or pipe that was read to `end`; 0 where they are names, pictures or few."""
    if isinstance(file, _Counted):
        file.read(_READ_BYTES)
        name = file.at(end)
        while file.read(_READ_BYTES):
            pass
        left = file.count - end
    else:
        left = file.seek(0, io.SEEK_END) - end
        file.seek(end)
        name = file.read(4)
    is_chunk = re.fullmatch(rb"[A-Za-z][ -~]{3}", name) is not None and name.upper() not in (b"RIFF", b"RF64", b"CAFF")
    return left if left > _FEW_BYTES and not is_chunk else 0


_ENDS_AS_STATED: Final = ("wav", "w64", "caf")
"""FFmpeg's names of containers that it reads to the end that their header states, whatever comes behind."""
_FEW_BYTES: Final = 1024

_DEFAULT: Final = 1
"""FFmpeg's flag of a track that is played unless another is chosen."""


def _load() -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("reading audio files other than WAV", "recognizer") from error
    return av
