"""Where the embedded English model lies; reading that needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from streaming_asr.errors import CheckpointError

EMBEDDED: Final = "english"
"""The name of the model inside this package."""


def embedded_folder() -> Path:
    """The folder of the model inside this package. Raises `CheckpointError` when this installation lacks it."""
    folder = Path(__file__).parent.parent / "embedded" / EMBEDDED
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: this installation lacks its embedded model; install the package again")
    return folder
