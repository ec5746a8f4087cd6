"""What a checkpoint expects of its audio: `preprocessor_config.json`, or the newer `processor_config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from streaming_asr.audio.samples import SAMPLE_RATE
from streaming_asr.checkpoints.json_files import read_object, read_object_if_there
from streaming_asr.errors import CheckpointError

FILES: Final = ("preprocessor_config.json", "processor_config.json")


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """How samples are prepared; the defaults hold for a checkpoint that ships no file about it.

    `sampling_rate` in Hz; `normalize`: zero mean and unit variance over the samples of the utterance.
    """

    sampling_rate: int = SAMPLE_RATE
    normalize: bool = True


def read_front_end(folder: Path) -> FrontEnd:
    """The front end that a checkpoint folder describes.

    Raises `CheckpointError` when a value has the wrong type or the audio is not at 16 kHz, the one rate of the library.
    """
    origin, options = _options(folder)
    rate = options.get("sampling_rate", SAMPLE_RATE)
    normalize = options.get("do_normalize", True)
    if rate != SAMPLE_RATE:
        raise CheckpointError(f"{origin}: sampling_rate is {rate!r}; only models of {SAMPLE_RATE} Hz audio can be used")
    if not isinstance(normalize, bool):
        raise CheckpointError(f"{origin}: do_normalize is {normalize!r}; true or false was expected")
    return FrontEnd(sampling_rate=SAMPLE_RATE, normalize=normalize)


def _options(folder: Path) -> tuple[Path, Mapping[str, Any]]:
    older, newer = (folder / name for name in FILES)
    if older.exists():
        return older, read_object(older)
    nested = read_object_if_there(newer).get("feature_extractor", {})
    if not isinstance(nested, dict):
        raise CheckpointError(f"{newer}: feature_extractor is {nested!r}; an object was expected")
    return newer, nested
