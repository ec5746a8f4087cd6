"""From what a source sends to what the library recognizes: decode, mix and resample in one machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal, Protocol, TypeAlias

import numpy as np

from streaming_asr.audio.codecs import OpusPackets
from streaming_asr.audio.containers import AudioLimits, ContainerDecoder
from streaming_asr.audio.conversion import Conversion
from streaming_asr.audio.demuxing import PIECE_BYTES, Track
from streaming_asr.audio.encodings import ENCODINGS, HEADER_BYTES, Block, Encoding, PcmDecoder, PcmPiece, container_name
from streaming_asr.audio.resampling import Resampler
from streaming_asr.audio.samples import SAMPLE_RATE, Samples, seconds
from streaming_asr.errors import AudioError, StreamClosedError

InputEncoding: TypeAlias = Encoding | Literal["opus", "container"]
"""Raw samples; `opus`: bare Opus packets, one in each piece; `container`: WAV, Ogg, WebM, FLAC, MP3, AAC or AIFF,
told apart by their first bytes."""

INPUT_ENCODINGS: Final[tuple[InputEncoding, ...]] = (*ENCODINGS, "opus", "container")

LONGEST_PIECE: Final = SAMPLE_RATE // 2
"""Samples that `pieces` gives at once at most."""


class AudioInput:
    """Turns audio of any encoding, rate and channel count into float32 at 16 kHz.

    What comes out has the shape (samples,), or with `separate` (samples, channels).

    Args:
        encoding: how bytes are to be read; None if only arrays will be pushed.
        sample_rate: samples per second and channel, 8000 to 192000; a container says it itself, Opus has none.
        channels: interleaved channels, 1 to 256, for Opus 1 or 2; a container says it itself.
        channel: the one channel to recognize, from 0; None for the mean of all.
        separate: whether each channel is recognized by itself.
        detect: whether bytes that begin like a container are read as one although raw samples were declared.
        limits: what a sender may ask for.

    Raises:
        OptionError: an argument is out of range.
        MissingExtraError: resampling or Opus is needed and its package is not installed.
    """

    def __init__(
        self,
        *,
        encoding: InputEncoding | None = None,
        sample_rate: int = SAMPLE_RATE,
        channels: int = 1,
        channel: int | None = None,
        separate: bool = False,
        detect: bool = False,
        limits: AudioLimits | None = None,
    ) -> None:
        self._limits: Final = limits or AudioLimits()
        self._decoder: Final = _open_decoder(encoding, sample_rate, channels, self._limits, detect=detect)
        self._conversion: Final = Conversion(channel=channel, separate=separate)
        if encoding != "container" and not detect:
            self._conversion.expect(channels)
        if encoding in (None, *ENCODINGS):
            Resampler(sample_rate)  # Tells at once what would be told with the first piece.
        self._produced = 0
        self._finished = False

    @property
    def channels(self) -> int | None:
        """Channels that come out: 1, or with `separate` all of them; None until a container has said how many."""
        return self._conversion.columns

    @property
    def held(self) -> int:
        """Samples at 16 kHz that the resampler holds back, one more at most."""
        return self._conversion.held

    @property
    def track(self) -> Track | None:
        """What a container holds, once it has said so."""
        return self._decoder.track

    @property
    def dropped_bytes(self) -> int:
        """Bytes of an unfinished last frame that `finish` threw away; 0 unless the sender was cut off."""
        return self._decoder.dropped_bytes

    @property
    def damaged_packets(self) -> int:
        """Packets that could not be decoded and were left out."""
        return self._decoder.damaged_packets

    def push(self, piece: PcmPiece) -> Samples:
        """Take in one piece; returns all that is ready.

        Raises:
            AudioError: the piece is not the audio that was declared; of raw audio, nothing of it was taken in.
            StreamClosedError: the input was finished.
        """
        decoder = self._decoder
        return self._joined(self._raw(piece, decoder) if isinstance(decoder, RawSamples) else self._converted(piece))

    def pieces(self, piece: PcmPiece) -> Iterator[Samples]:
        """Take in one piece little by little, so that no step takes long or much memory; to be iterated to the end.

        Each step reads at most 4 KiB and gives at most half a second, or nothing. A packet of Opus is one step.

        Raises:
            AudioError: the piece is not the audio that was declared; what came out before is right.
            StreamClosedError: the input was finished.
        """
        for part in self._parts(piece):
            for samples in self._converted(part):
                for start in range(0, len(samples), LONGEST_PIECE):
                    yield samples[start : start + LONGEST_PIECE]
            yield self._conversion.nothing()

    def flush(self) -> Samples:
        """What the resampler holds back, without an end: no sample that came in is missing then.

        What a codec holds back, a few milliseconds, comes with the audio behind it.
        """
        return self._conversion.nothing() if self._finished else self._counted(self._conversion.flush())

    def finish(self) -> Samples:
        """End the input; returns the rest. A second call gives nothing.

        Raises:
            AudioError: a container ended before its first audio.
        """
        if self._finished:
            return self._conversion.nothing()
        self._finished = True
        decoded = [samples for block in self._decoder.finish() for samples in self._conversion.push(block)]
        return self._joined(map(self._counted, [*decoded, self._conversion.finish()]))

    def _parts(self, piece: PcmPiece) -> Iterable[PcmPiece]:
        if isinstance(piece, np.ndarray) or self._decoder.whole:
            return [piece]
        return (piece[start : start + PIECE_BYTES] for start in range(0, max(len(piece), 1), PIECE_BYTES))

    def _converted(self, piece: PcmPiece) -> Iterator[Samples]:
        if self._finished:
            raise StreamClosedError("audio was pushed after finish(); open a new stream")
        for block in self._decoder.push(piece):
            for samples in self._conversion.push(block):
                yield self._counted(samples)

    def _raw(self, piece: PcmPiece, decoder: RawSamples) -> list[Samples]:
        """As `_converted`, in one step: raw samples come in the smallest packets of all."""
        if self._finished:
            raise StreamClosedError("audio was pushed after finish(); open a new stream")
        return [self._counted(samples) for samples in self._conversion.push(decoder.block(piece))]

    def _counted(self, samples: Samples) -> Samples:
        self._produced += len(samples)
        longest = self._limits.longest_seconds
        if longest is not None and seconds(self._produced) > longest:
            raise AudioError(f"the audio is longer than {longest:g} s; a stream may hold no more")
        return samples

    def _joined(self, pieces: Iterable[Samples]) -> Samples:
        collected = [piece for piece in pieces if len(piece)]
        if len(collected) == 1:
            return collected[0]
        # How many channels come out may be known only behind the first of the pieces.
        joined: Samples = np.concatenate([self._conversion.nothing(), *collected])
        return joined


class _Decoder(Protocol):
    @property
    def whole(self) -> bool:
        """Whether pieces must not be cut."""
        ...

    @property
    def track(self) -> Track | None: ...
    @property
    def dropped_bytes(self) -> int: ...
    @property
    def damaged_packets(self) -> int: ...

    def push(self, piece: PcmPiece, /) -> Iterator[Block]: ...
    def finish(self) -> Iterator[Block]: ...


def _open_decoder(
    encoding: InputEncoding | None, sample_rate: int, channels: int, limits: AudioLimits, *, detect: bool
) -> _Decoder:
    match encoding:
        case "container":
            return ContainerDecoder(limits)
        case "opus":
            return OpusPackets(channels)
        case _:
            raw = RawSamples(encoding, sample_rate, channels)
            return DetectedContainer(raw, limits) if detect else raw


class RawSamples:
    """Bare samples, or arrays, at a declared rate."""

    whole: Final = False
    track: Final = None
    damaged_packets: Final = 0

    def __init__(self, encoding: Encoding | None, sample_rate: int, channels: int) -> None:
        self._pcm: Final = PcmDecoder(encoding, channels)
        self._rate: Final = sample_rate

    @property
    def dropped_bytes(self) -> int:
        """Bytes of an unfinished last frame that `finish` threw away."""
        return self._pcm.dropped_bytes

    def push(self, piece: PcmPiece, /) -> Iterator[Block]:
        """The frames that are complete."""
        yield self.block(piece)

    def block(self, piece: PcmPiece) -> Block:
        """The frames that are complete."""
        return Block(self._pcm.push(piece), self._rate)

    def finish(self) -> Iterator[Block]:
        """The frames that were held back."""
        yield Block(self._pcm.finish(), self._rate)


class DetectedContainer:
    """Raw samples as declared, or the container that a sender sent all the same."""

    whole: Final = False

    def __init__(self, raw: RawSamples, limits: AudioLimits) -> None:
        self._raw: Final = raw
        self._limits: Final = limits
        self._head = b""
        self._chosen: _Decoder | None = None

    @property
    def track(self) -> Track | None:
        """What a container holds."""
        return self._chosen.track if self._chosen else None

    @property
    def dropped_bytes(self) -> int:
        """As the decoder that was chosen counts them."""
        return self._chosen.dropped_bytes if self._chosen else 0

    @property
    def damaged_packets(self) -> int:
        """As the decoder that was chosen counts them."""
        return self._chosen.damaged_packets if self._chosen else 0

    def push(self, piece: PcmPiece, /) -> Iterator[Block]:
        """Look at the first bytes, once, then decode them with all that follow."""
        if self._chosen is None and not isinstance(piece, np.ndarray):
            self._head += bytes(piece)
            if len(self._head) < HEADER_BYTES:
                return
            piece, self._head = self._head, b""
        if self._chosen is None:
            found = isinstance(piece, bytes) and container_name(piece) is not None
            self._chosen = ContainerDecoder(self._limits) if found else self._raw
        yield from self._chosen.push(piece)

    def finish(self) -> Iterator[Block]:
        """The rest."""
        if self._chosen is None:
            self._chosen = self._raw
            yield from self._chosen.push(self._head)
        yield from self._chosen.finish()
