"""What to try where a recording gave no words, or doubtful ones."""

from __future__ import annotations

import math
import typing
from collections.abc import Sequence

import numpy as np

from streaming_asr.audio.encodings import Frames
from streaming_asr.audio.gate import GateOptions
from streaming_asr.audio.samples import FloatArray
from streaming_asr.command_line.options import RawAudioOptions
from streaming_asr.events import Final

_SILENCE_DB: typing.Final = -90.0
_DOUBTFUL: typing.Final = 0.5
"""Mean confidence of words that are as likely made up as heard."""


_DEEPEST_HZ: typing.Final = 75.0
"""Hardly anybody speaks so deep for long: audio whose rate was declared too low does."""
_JUDGED_SECONDS: typing.Final = 20.0


class SoundCheck:
    """Keeps the loudest tenth of a second of what is pushed, and the beginning of it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.loudest_db = -math.inf
        self._beginning: list[Frames] = []
        self._rate = 0.0

    def push(self, piece: Frames, seconds: float) -> None:
        """Take note of a piece, (frames, channels), of some seconds."""
        if self.seconds < _JUDGED_SECONDS and len(piece):
            self._beginning.append(piece[:, :1])
            self._rate = len(piece) / seconds
        self.seconds += seconds
        parts = max(1, round(10 * seconds))
        powers = [float(part.var(axis=0, dtype=np.float64).max()) for part in np.array_split(piece, parts) if len(part)]
        self.loudest_db = max([self.loudest_db, *(10 * math.log10(power) for power in powers if power > 0)])

    def pitch_hz(self) -> float | None:
        """The median pitch of the loud moments that have one; None if there are too few."""
        if not self._beginning:
            return None
        samples = np.concatenate(self._beginning)[:, 0]
        length = max(1, round(self._rate / 10))
        moments = samples[: len(samples) // length * length].reshape(-1, length)
        powers = moments.var(axis=1)
        found = [_pitch(moment, self._rate) for moment in moments[powers > powers.max(initial=0.0) / 30]]
        voiced = [pitch for pitch in found if pitch is not None]
        return float(np.median(voiced)) if len(voiced) >= 5 else None


def _pitch(moment: FloatArray, rate: float) -> float | None:
    """The pitch of a tenth of a second, by autocorrelation; None for what repeats itself too little."""
    centred = moment - moment.mean()
    correlation = np.fft.irfft(np.abs(np.fft.rfft(centred, 2 * len(centred))) ** 2)[: len(centred)]
    shortest, longest = round(rate / 500), round(rate / 22)
    # A longer lag has less overlap to add up.
    likeness = (
        correlation[shortest:longest] / (correlation[0] + 1e-20) / (1 - np.arange(shortest, longest) / len(moment))
    )
    best = float(likeness.max(initial=0.0))
    if best < 0.5:
        return None
    return float(rate / (shortest + np.flatnonzero(likeness > 0.9 * best)[0]))


def hint(sound: SoundCheck, finals: Sequence[Final], raw: RawAudioOptions | None, beginning: bytes = b"") -> str | None:
    """A sentence for the person who wonders.

    `raw` is how bytes were read that did not say it themselves, and `beginning` the first of these bytes.
    """
    words = [word for final in finals for word in final.words]
    doubtful = bool(words) and sum(word.confidence for word in words) / len(words) < _DOUBTFUL
    if not sound.seconds or (words and not (doubtful and raw is not None)):
        return None
    if words:
        return f"the words are doubtful; {_declared(raw, sound, beginning)}" if raw else None
    heard = f"no words in {sound.seconds:.1f} s"
    if sound.loudest_db < _SILENCE_DB:
        return f"{heard}: there is only silence; is it the right channel or track?"
    level = f"{heard}, whose loudest moment is at {sound.loudest_db:.0f} dBFS"
    floor = GateOptions().minimum_level_dbfs
    if sound.loudest_db < floor + 3:
        return f"{level}: what is below {floor:.0f} dBFS counts as silence; make it louder, or try --no-gate"
    if raw is None:
        return f"{level}: is it speech in the language of the model? Else try --no-gate"
    return f"{level}: {_declared(raw, sound, beginning)}"


def _declared(raw: RawAudioOptions, sound: SoundCheck, beginning: bytes) -> str:
    if raw.encoding == "linear16" and _is_float(beginning):
        return "its bytes look like float32 rather than linear16; try --encoding float32"
    pitch = sound.pitch_hz()
    if pitch is not None and pitch < _DEEPEST_HZ:
        higher = f"is the rate higher than {raw.sample_rate} Hz, like 48000? Say so by --sample-rate"
        return f"the voice is slow and deep, at {pitch:.0f} Hz: {higher}"
    return (
        f"is it really {raw.encoding} at {raw.sample_rate} Hz with {raw.channels} channels? "
        "Say so by --encoding, --sample-rate and --channels"
    )


def _is_float(data: bytes) -> bool:
    """Whether bytes make sense as float32; integers read so are either next to nothing or no number at all."""
    values = np.frombuffer(data[: len(data) // 4 * 4], "<f4")
    sizes = np.abs(values[values != 0])
    return len(sizes) > 100 and float(((sizes > 1e-9) & (sizes <= 2)).mean()) > 0.95
