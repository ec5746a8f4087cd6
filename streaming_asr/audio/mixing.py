"""The channels of a source into those that are recognized: their mean, one of them, or each for itself."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streaming_asr.audio.encodings import Block, Frames
from streaming_asr.audio.samples import Samples
from streaming_asr.errors import AudioError, OptionError


class Mixer:
    """Frames of any number of channels into audio of one shape, (samples,) or with `separate` (samples, channels).

    Args:
        channel: the one channel to recognize, from 0; None for the mean of all, or the loudest where they cancel out.
        separate: whether each channel is recognized by itself.

    Raises:
        OptionError: `channel` is negative, or stands together with `separate`.
    """

    def __init__(self, *, channel: int | None = None, separate: bool = False) -> None:
        if channel is not None and (separate or channel < 0):
            raise OptionError(
                f"channel is {channel}; it must be 0 or more, and is not for channels recognized separately"
            )
        self.channel: Final = channel
        self.separate: Final = separate
        self.columns: int | None = None if separate else 1
        """Channels that come out; None until it is known."""
        self._mean: Mean | None = None
        self._begun = False

    def expect(self, channels: int) -> None:
        """Say how many channels the first block will have.

        Raises:
            OptionError: the channel to recognize is not among them.
        """
        if self.channel is not None and self.channel >= channels:
            raise OptionError(f"channel is {self.channel}; it must be from 0 to {channels - 1}")
        if self.columns is None:
            self.columns = channels

    def mixed(self, block: Block) -> Samples:
        """What is recognized of a block.

        Where a stream changes its channels, what comes out keeps its shape: a missing channel is silent then, and for
        the one channel to recognize the last one stands in.

        Raises:
            AudioError: the channel to recognize is not in the first block.
        """
        frames, channels = block.frames, block.frames.shape[1]
        if not self._begun:
            self._begin(channels)
        if self.separate:
            return _fitted(frames, self.columns or channels)
        if self.channel is not None:
            return frames[:, min(self.channel, channels - 1)].copy()
        if self._mean is None or (self._mean.channels, self._mean.sample_rate) != (channels, block.sample_rate):
            self._mean = Mean(channels, block.sample_rate)
        return self._mean.push(frames)

    def _begin(self, channels: int) -> None:
        try:
            self.expect(channels)
        except OptionError as error:
            raise AudioError(str(error)) from error
        self._begun = True


class Mean:
    """The mean of all channels; while they cancel each other out, the loudest one alone.

    A cable with swapped wires turns one channel over: the mean of a voice and the same voice upside down is silence.
    Whether that is so is judged in blocks of 50 ms, from about the last quarter of a second, and holds from the next
    block on.
    """

    def __init__(self, channels: int, sample_rate: int) -> None:
        self.channels: Final = channels
        self.sample_rate: Final = sample_rate
        self._block: Final = max(1, sample_rate // 20)
        self._filled = 0
        self._powers: npt.NDArray[np.float64] = np.zeros(channels)
        self._mean_power = 0.0
        self._alone: int | None = None

    def push(self, frames: Frames) -> Samples:
        """(frames, channels) -> (frames,)."""
        if self.channels == 1:
            return frames[:, 0]
        mean = downmix(frames)
        chosen, at = mean.copy(), 0
        while at < len(frames):
            part = slice(at, at + self._block - self._filled)
            if self._alone is not None:
                chosen[part] = frames[part, self._alone]
            self._measure(frames[part], mean[part])
            at = part.stop
        return chosen

    def _measure(self, frames: Frames, mean: Samples) -> None:
        self._powers += np.square(frames, dtype=np.float64).sum(axis=0)
        self._mean_power += float(np.square(mean, dtype=np.float64).sum())
        self._filled += len(frames)
        if self._filled < self._block:
            return
        self._filled = 0
        self._judge()
        self._powers *= _KEPT
        self._mean_power *= _KEPT

    def _judge(self) -> None:
        power = float(self._powers.mean())
        if power < _SILENCE * self._block:
            return
        # Channels that have nothing in common give 1 / channels here, equal ones give 1.
        share = self._mean_power / power * self.channels
        if share < _CANCELS:
            self._alone = int(self._powers.argmax())
        elif share > _ADDS_UP:
            self._alone = None


_KEPT: Final = 0.8
_CANCELS: Final = 0.1
_ADDS_UP: Final = 0.3
_SILENCE: Final = 1e-9
"""Mean square of what is too quiet to be judged, -90 dBFS."""


def downmix(frames: Frames) -> Samples:
    """The mean of all channels, (frames, channels) -> (frames,)."""
    # Channel by channel rather than np.mean: the order of the additions must not depend on the length of the piece.
    mixed = frames[:, 0].copy()
    for channel in range(1, frames.shape[1]):
        mixed += frames[:, channel]
    if frames.shape[1] > 1:
        mixed /= frames.shape[1]
    return mixed


def _fitted(frames: Frames, columns: int) -> npt.NDArray[Any]:
    missing = columns - frames.shape[1]
    return np.pad(frames, ((0, 0), (0, missing))) if missing > 0 else np.ascontiguousarray(frames[:, :columns])
