"""The channels of a source into those that are heard: their mean, one of them, or each for itself."""

from __future__ import annotations

from typing import Final

import numpy as np

from streaming_asr.audio.encodings import Frames
from streaming_asr.audio.samples import Samples
from streaming_asr.errors import OptionError


class Mixer:
    """Frames of any number of channels into audio of one shape, (samples,) or with `separate` (samples, channels).

    Args:
        channel: the one channel to hear, from 0; None for the mean of all.
        separate: whether each channel is heard for itself.

    Raises:
        OptionError: `channel` is negative, or stands together with `separate`.
    """

    def __init__(self, *, channel: int | None = None, separate: bool = False) -> None:
        if channel is not None and (separate or channel < 0):
            raise OptionError(f"channel is {channel}; it must be 0 or more, and is not for channels heard separately")
        self.channel: Final = channel
        self.separate: Final = separate
        self.columns: int | None = None if separate else 1
        """Channels that come out; None until it is known."""

    def expect(self, channels: int) -> None:
        """Say how many channels the first frames will have.

        Raises:
            OptionError: the channel to hear is not among them.
        """
        if self.channel is not None and self.channel >= channels:
            raise OptionError(f"channel is {self.channel}; it must be from 0 to {channels - 1}")
        if self.columns is None:
            self.columns = channels

    def mixed(self, frames: Frames) -> Samples:
        """(frames, channels) to what is heard.

        Where a stream changes its channels, what is heard keeps its shape: a missing channel is silent then, and for
        the one channel to hear the last one stands in.
        """
        self.columns = frames.shape[1] if self.columns is None else self.columns
        if self.separate:
            return _fitted(frames, self.columns)
        return downmix(frames) if self.channel is None else frames[:, min(self.channel, frames.shape[1] - 1)].copy()


def downmix(frames: Frames) -> Samples:
    """The mean of all channels, (frames, channels) -> (frames,)."""
    # Channel by channel rather than np.mean: the order of the additions must not depend on the length of the piece.
    mixed = frames[:, 0].copy()
    for channel in range(1, frames.shape[1]):
        mixed += frames[:, channel]
    if frames.shape[1] > 1:
        mixed /= frames.shape[1]
    return mixed


def _fitted(frames: Frames, columns: int) -> Samples:
    missing = columns - frames.shape[1]
    return np.pad(frames, ((0, 0), (0, missing))) if missing > 0 else np.ascontiguousarray(frames[:, :columns])
