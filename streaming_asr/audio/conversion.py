"""Blocks of any rate and channel count to what is recognized, at 16 kHz."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from streaming_asr.audio.encodings import Block
from streaming_asr.audio.mixing import Mixer
from streaming_asr.audio.resampling import Resampler
from streaming_asr.audio.samples import Samples
from streaming_asr.errors import AudioError, OptionError


class Conversion:
    """Mixes and resamples blocks whose rate and channels may change on the way.

    What comes out has the shape (samples,), or with `separate` (samples, channels).

    Args:
        channel: the one channel to recognize, from 0; None for the mean of all.
        separate: whether each channel is recognized by itself.
    """

    def __init__(self, *, channel: int | None = None, separate: bool = False) -> None:
        self._mixer: Final = Mixer(channel=channel, separate=separate)
        self._resampler: Resampler | None = None

    @property
    def columns(self) -> int | None:
        """Channels that come out; None until it is known."""
        return self._mixer.columns

    @property
    def held(self) -> int:
        """Samples at 16 kHz that the resampler holds back, one more at most."""
        return 0 if self._resampler is None else self._resampler.held

    def expect(self, channels: int) -> None:
        """Say how many channels the first block has; raises OptionError if the one to recognize is not among them."""
        self._mixer.expect(channels)

    def push(self, block: Block) -> Sequence[Samples]:
        """A block at 16 kHz; where the rate changes, preceded by the rest of the audio at the old one.

        Raises:
            AudioError: the rate is out of range, or the channel to recognize was never there.
        """
        mixed = self._mixer.mixed(block)
        if self._resampler is not None and self._resampler.rate == block.sample_rate:
            return [self._resampler.push(mixed)]
        return self._at_other_rate(mixed, block.sample_rate)

    def _at_other_rate(self, mixed: Samples, rate: int) -> list[Samples]:
        rest = self.finish()
        try:
            self._resampler = self._open(rate)
        except OptionError as error:
            raise AudioError(f"the audio cannot be used: {error}") from error
        return [rest, self._resampler.push(mixed)]

    def flush(self) -> Samples:
        """What the resampler holds back, without an end."""
        rest = self.finish()
        self._resampler = None
        return rest

    def finish(self) -> Samples:
        """What the resampler holds back."""
        return self.nothing() if self._resampler is None else self._resampler.finish()

    def nothing(self) -> Samples:
        """No samples, in the shape of what comes out."""
        return np.empty((0, self.columns or 0) if self._mixer.separate else 0, np.float32)

    def _open(self, rate: int) -> Resampler:
        return Resampler(rate, self.columns if self._mixer.separate else None)
