"""Raw PCM bytes or arrays into float32 frames, whatever the packets they arrive in."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from streaming_asr.errors import AudioError, OptionError, StreamClosedError

Encoding: TypeAlias = Literal["linear16", "float32", "mulaw", "alaw"]
"""How one sample is written: little-endian int16, little-endian float32, or a G.711 byte."""

Frames: TypeAlias = npt.NDArray[np.float32]
"""Audio of any rate, shape (frames, channels), full scale is 1.0."""


@dataclass(frozen=True, slots=True)
class Block:
    """Decoded audio of any rate, in Hz."""

    frames: Frames
    sample_rate: int


PcmBytes: TypeAlias = bytes | bytearray | memoryview
PcmArray: TypeAlias = npt.NDArray[np.int16] | npt.NDArray[np.float32]
PcmPiece: TypeAlias = PcmBytes | PcmArray
"""What `push` takes: bytes in the declared encoding, or an int16 or float32 array."""

ENCODINGS: Final[tuple[Encoding, ...]] = get_args(Encoding)
BYTES_PER_SAMPLE: Final[Mapping[Encoding, int]] = {"linear16": 2, "float32": 4, "mulaw": 1, "alaw": 1}
MAXIMUM_CHANNELS: Final = 256
INT16_FULL_SCALE: Final = 32768.0
_INT16_STEP: Final = np.float32(1 / INT16_FULL_SCALE)
LOUDEST_FLOAT: Final = 100.0
"""40 dB over full scale: beyond it, float samples are no audio but integers that nobody divided."""

_CONTAINERS: Final[Mapping[bytes, str]] = {
    b"RIFF": "a WAV file",
    b"RF64": "a WAV file",
    b"RIFX": "a WAV file",
    b"FORM": "an AIFF file",
    b"fLaC": "a FLAC file",
    b"OggS": "an Ogg file",
    b"\x1a\x45\xdf\xa3": "a WebM or Matroska file",
    b"caff": "a CAF file",
    b".snd": "an AU file",
    b"ID3\x02": "an MP3 file",
    b"ID3\x03": "an MP3 file",
    b"ID3\x04": "an MP3 file",
}
HEADER_BYTES: Final = 4
"""So many first bytes tell a container from raw audio."""


def container_name(first_bytes: bytes) -> str | None:
    """What kind of file begins with these bytes (at least `HEADER_BYTES`), or None if no container does."""
    return _CONTAINERS.get(bytes(first_bytes[:HEADER_BYTES]))


def mulaw_table() -> npt.NDArray[np.float32]:
    """The values of the 256 mu-law bytes, shape (256,), full scale is 1.0.

    All bits are sent inverted; then a sign bit, three bits of segment and four of step, on a scale shifted by 33
    (132 here, in 16-bit units rather than 14-bit ones). Source: ITU-T G.711 (11/1988), tables 2a and 2b.
    """
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    segment, step = code >> 4 & 7, code & 15
    magnitude = ((step << 3) + 132 << segment) - 132
    return _signed(magnitude, negative=code & 0x80 != 0)


def alaw_table() -> npt.NDArray[np.float32]:
    """The values of the 256 A-law bytes, shape (256,), full scale is 1.0.

    Even bits are sent inverted; then a sign bit (1 is positive), three bits of segment and four of step; the first two
    segments are equally fine. Source: ITU-T G.711 (11/1988), tables 1a and 1b.
    """
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment, step = code >> 4 & 7, code & 15
    middle = (step << 4) + 8 + np.where(segment > 0, 256, 0)
    return _signed(middle << np.maximum(segment - 1, 0), negative=code & 0x80 == 0)


def _signed(magnitude: npt.NDArray[np.int32], negative: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    return (np.where(negative, -magnitude, magnitude) / INT16_FULL_SCALE).astype(np.float32)


class PcmDecoder:
    """Turns raw audio, cut anywhere, into float32 frames.

    Bytes that do not yet make a whole frame wait for the next push. Bytes of an unfinished frame at `finish` (fewer
    than one frame: a sender that was cut off) are dropped and counted in `dropped_bytes`, because one lost sample is no
    reason to lose the words before it.

    Args:
        encoding: how the bytes are to be read; None if only arrays will be pushed.
        channels: interleaved channels, 1 to 256.
        checked: whether floats that are no audio are refused; otherwise whoever asks for them looks at them.

    Raises:
        OptionError: an unknown encoding or a channel count out of range.
    """

    def __init__(self, encoding: Encoding | None = None, channels: int = 1, *, checked: bool = True) -> None:
        if encoding is not None and encoding not in ENCODINGS:
            raise OptionError(f"encoding is {encoding!r}; it must be one of {', '.join(ENCODINGS)}")
        if not 1 <= channels <= MAXIMUM_CHANNELS:
            raise OptionError(f"channels is {channels}; it must be from 1 to {MAXIMUM_CHANNELS}")
        self.encoding: Final = encoding
        self.channels: Final = channels
        self.dropped_bytes = 0
        self._checked: Final = checked
        self._to_float: Final = _converter(encoding)
        self._frame_bytes: Final = channels * BYTES_PER_SAMPLE[encoding] if encoding else 0
        self._pending = b""
        self._header_checked = False
        self._finished = False

    def push(self, piece: PcmPiece) -> Frames:
        """Decode one piece; returns the frames that are complete, shape (frames, channels).

        Bytes are read in the declared encoding. Arrays are int16 or float32 of shape (samples, channels), or (samples,)
        in a stream of one channel.

        Raises:
            AudioError: a container's header, NaN or infinity, samples far over full scale, a wrong type or shape.
            StreamClosedError: the decoder was finished.
        """
        if self._finished:
            raise StreamClosedError("audio was pushed after finish(); open a new stream")
        if isinstance(piece, np.ndarray):
            return self._push_array(piece)
        if isinstance(piece, bytes | bytearray | memoryview):
            return self._push_bytes(bytes(piece))
        raise AudioError(f"audio is {type(piece).__name__}; it must be bytes or a numpy array of int16 or float32")

    def finish(self) -> Frames:
        """End the input; returns the frames that were still held back, shape (frames, channels)."""
        if self._finished:
            return self._no_frames()
        self._header_checked = self._finished = True
        frames = self._whole_frames(self._pending) if self._pending else self._no_frames()
        self.dropped_bytes, self._pending = len(self._pending), b""
        return frames

    def _push_bytes(self, piece: bytes) -> Frames:
        if self.encoding is None:
            raise AudioError(f"bytes were pushed, but no encoding was declared; declare one of {', '.join(ENCODINGS)}")
        data = self._pending + piece if self._pending else piece
        if not self._header_checked:
            if len(data) < HEADER_BYTES:
                self._pending = data
                return self._no_frames()
            _refuse_container(data, self.encoding)
        frames = self._whole_frames(data)
        self._header_checked = True
        return frames

    def _whole_frames(self, data: bytes) -> Frames:
        """Decode the whole frames of `data` and keep what is left; keeps nothing if they are refused."""
        whole = len(data) - len(data) % self._frame_bytes
        frames = self._to_float(data if whole == len(data) else data[:whole]).reshape(-1, self.channels)
        # Integers are audio whatever they are.
        if self.encoding == "float32" and self._checked:
            _refuse_bad_values(frames)
        self._pending = data[whole:]
        return frames

    def _push_array(self, array: npt.NDArray[Any]) -> Frames:
        if self._pending:
            raise AudioError(
                f"an array was pushed while {len(self._pending)} bytes of an unfinished frame wait; "
                "push whole frames of bytes before an array"
            )
        if array.dtype not in (np.dtype(np.int16), np.dtype(np.float32)):
            raise AudioError(f"audio is an array of {array.dtype}; it must be int16 or float32 (use .astype)")
        frames = _as_float(_as_frames(array, self.channels))
        if array.dtype == np.float32:
            _refuse_bad_values(frames)
        self._header_checked = self._header_checked or bool(len(frames))
        return frames

    def _no_frames(self) -> Frames:
        return np.empty((0, self.channels), np.float32)


def _converter(encoding: Encoding | None) -> Callable[[bytes], npt.NDArray[np.float32]]:
    match encoding:
        case "mulaw":
            return _by_table(mulaw_table())
        case "alaw":
            return _by_table(alaw_table())
        case "float32":
            return lambda data: np.frombuffer(data, "<f4").astype(np.float32)
        case _:
            return lambda data: np.frombuffer(data, "<i2") * _INT16_STEP


def _by_table(table: npt.NDArray[np.float32]) -> Callable[[bytes], npt.NDArray[np.float32]]:
    return lambda data: table[np.frombuffer(data, np.uint8)]


def _refuse_container(data: bytes, encoding: Encoding) -> None:
    name = container_name(data)
    if name is not None:
        raise AudioError(
            f"the audio begins with {data[:HEADER_BYTES]!r}: it is {name}, but raw {encoding} was declared; "
            "send the samples without a container, or use an entrance that reads files"
        )


def _as_frames(array: npt.NDArray[Any], channels: int) -> npt.NDArray[Any]:
    if array.ndim == 1 and channels == 1:
        return array.reshape(-1, 1)
    if array.ndim == 2 and array.shape[1] == channels:
        return array
    wanted = "(samples,) or (samples, 1)" if channels == 1 else f"(samples, {channels})"
    raise AudioError(f"audio is an array of shape {array.shape}; this stream takes {wanted}")


def _as_float(frames: npt.NDArray[Any]) -> Frames:
    if frames.dtype == np.int16:
        return np.asarray(frames * _INT16_STEP)
    return np.array(frames, np.float32)


def bad_frame(frames: Frames) -> int | None:
    """Where the first frame is that is no audio: not a number, or far over full scale; None if there is none."""
    # Two reductions see NaN, infinity and loudness alike.
    if frames.size == 0 or (float(frames.min()) >= -LOUDEST_FLOAT and float(frames.max()) <= LOUDEST_FLOAT):
        return None
    return int(np.flatnonzero(~(np.abs(frames) <= LOUDEST_FLOAT).all(axis=1))[0])


def what_is_bad(frames: Frames, where: str) -> str:
    """Why these frames are no audio; `where` names the first of them that is none."""
    if not np.isfinite(frames).all():
        return f"{where} is not a finite number; audio must be free of NaN and infinity"
    return (
        f"float samples reach {float(np.abs(frames).max()):.6g}; full scale is 1.0 (divide integer samples by their "
        f"full scale, or check the byte order, here {sys.byteorder}-endian arrays and little-endian bytes)"
    )


def _refuse_bad_values(frames: Frames) -> None:
    """Raise unless all values are audio."""
    if bad_frame(frames) is not None:
        finite = np.isfinite(frames).all(axis=1)
        raise AudioError(what_is_bad(frames, f"frame {int(finite.argmin())} of this piece"))
