"""From what a source sends to what the library hears: decode, downmix and resample in one machine."""

from __future__ import annotations

from typing import Final

import numpy as np

from streaming_asr.audio.encodings import Encoding, Frames, PcmDecoder, PcmPiece
from streaming_asr.audio.resampling import Resampler
from streaming_asr.audio.samples import SAMPLE_RATE, Samples
from streaming_asr.errors import OptionError


class AudioInput:
    """Turns raw audio of any encoding, rate and channel count into mono float32 at 16 kHz.

    Args:
        encoding: how bytes are to be read; None if only arrays will be pushed.
        sample_rate: samples per second and channel, 8000 to 192000.
        channels: interleaved channels, 1 to 256.
        channel: the one channel to hear, from 0; None for the mean of all.

    Raises:
        OptionError: an argument is out of range.
        MissingExtraError: resampling is needed and soxr is not installed.
    """

    def __init__(
        self,
        *,
        encoding: Encoding | None = None,
        sample_rate: int = SAMPLE_RATE,
        channels: int = 1,
        channel: int | None = None,
    ) -> None:
        if channel is not None and not 0 <= channel < channels:
            raise OptionError(f"channel is {channel}; it must be from 0 to {channels - 1}")
        self.sample_rate: Final = sample_rate
        self.channels: Final = channels
        self.channel: Final = channel
        self._decoder: Final = PcmDecoder(encoding, channels)
        self._resampler: Final = Resampler(sample_rate)

    @property
    def dropped_bytes(self) -> int:
        """Bytes of an unfinished last frame that `finish` threw away; 0 unless the sender was cut off."""
        return self._decoder.dropped_bytes

    def push(self, piece: PcmPiece) -> Samples:
        """Take in one piece; returns what is ready, shape (samples,).

        Raises:
            AudioError: the piece is not the audio that was declared; nothing of it was taken in.
            StreamClosedError: the input was finished.
        """
        return self._resampler.push(self._mono(self._decoder.push(piece)))

    def finish(self) -> Samples:
        """End the input; returns the rest, shape (samples,). A second call gives nothing."""
        rest = self._decoder.finish()
        if not len(rest):
            return self._resampler.finish()
        pushed = self._resampler.push(self._mono(rest))
        return np.concatenate([pushed, self._resampler.finish()])

    def _mono(self, frames: Frames) -> Samples:
        """(frames, channels) -> (frames,)."""
        return frames[:, self.channel].copy() if self.channel is not None else downmix(frames)


def downmix(frames: Frames) -> Samples:
    """The mean of all channels, (frames, channels) -> (frames,)."""
    # Channel by channel rather than np.mean: the order of the additions must not depend on the length of the piece.
    mixed = frames[:, 0].copy()
    for channel in range(1, frames.shape[1]):
        mixed += frames[:, channel]
    if frames.shape[1] > 1:
        mixed /= frames.shape[1]
    return mixed


def split_channels(
    *, encoding: Encoding | None = None, sample_rate: int = SAMPLE_RATE, channels: int
) -> tuple[AudioInput, ...]:
    """One input per channel, for one stream per speaker: push the same piece to each of them."""
    return tuple(
        AudioInput(encoding=encoding, sample_rate=sample_rate, channels=channels, channel=channel)
        for channel in range(channels)
    )
