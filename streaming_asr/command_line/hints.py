"""What to try where a recording gave no words, or doubtful ones."""

from __future__ import annotations

import math
import typing
from collections.abc import Sequence

import numpy as np

from streaming_asr.audio.encodings import Frames
from streaming_asr.audio.gate import GateOptions
from streaming_asr.command_line.options import RawAudioOptions
from streaming_asr.events import Final

_SILENCE_DB: typing.Final = -90.0
_DOUBTFUL: typing.Final = 0.5
"""Mean confidence of words that are as likely made up as heard."""


class SoundCheck:
    """Keeps the loudest tenth of a second of what is pushed."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.loudest_db = -math.inf

    def push(self, piece: Frames, seconds: float) -> None:
        """Take note of a piece, (frames, channels), of some seconds."""
        self.seconds += seconds
        parts = max(1, round(10 * seconds))
        powers = [float(part.var(axis=0, dtype=np.float64).max()) for part in np.array_split(piece, parts) if len(part)]
        self.loudest_db = max([self.loudest_db, *(10 * math.log10(power) for power in powers if power > 0)])


def hint(sound: SoundCheck, finals: Sequence[Final], raw: RawAudioOptions | None) -> str | None:
    """A sentence for the person who wonders; `raw` is how bytes were read that did not say it themselves."""
    words = [word for final in finals for word in final.words]
    doubtful = bool(words) and sum(word.confidence for word in words) / len(words) < _DOUBTFUL
    if not sound.seconds or (words and not (doubtful and raw is not None)):
        return None
    if words:
        return f"the words are doubtful; {_declared(raw)}" if raw else None
    heard = f"no words in {sound.seconds:.1f} s"
    if sound.loudest_db < _SILENCE_DB:
        return f"{heard}: there is only silence; is it the right channel or track?"
    level = f"{heard}, whose loudest moment is at {sound.loudest_db:.0f} dBFS"
    floor = GateOptions().minimum_level_dbfs
    if sound.loudest_db < floor + 3:
        return f"{level}: what is below {floor:.0f} dBFS counts as silence; make it louder, or try --no-gate"
    return f"{level}: {_declared(raw) if raw else 'is it speech in the language of the model? Else try --no-gate'}"


def _declared(raw: RawAudioOptions) -> str:
    return (
        f"is it really {raw.encoding} at {raw.sample_rate} Hz with {raw.channels} channels? "
        "Say so by --encoding, --sample-rate and --channels"
    )
