"""Which text model a recognizer gets, and how its words are spelled by those who name them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from streaming_asr.checkpoints.embedded import EMBEDDED, embedded_folder
from streaming_asr.checkpoints.tags import match_language
from streaming_asr.text.model import TextModel

FOLDER: Final = "text_model"
"""The folder of a text model beside the files of a checkpoint."""


def load_text_model(
    wanted: str | Path | None, *, checkpoint: Path, language: str | None, inside: str | None = None
) -> TextModel | None:
    """The text model that was asked for: "english", a folder, None; or with "auto" what suits a checkpoint.

    That is the one in the checkpoint's folder (of a checkpoint of many languages `inside` the folder of that name), or
    the embedded one where the language is English and this installation has it.

    Raises:
        CheckpointError: the folder holds no text model.
    """
    if wanted is None:
        return None
    if wanted == "auto":
        beside = checkpoint / FOLDER / (inside or "")
        if beside.is_dir():
            return TextModel.load(beside)
        english = language is not None and match_language(language, ("en",)) is not None
        return _embedded() if english and (embedded_folder() / FOLDER).is_dir() else None
    return _embedded() if wanted == EMBEDDED else TextModel.load(Path(wanted).expanduser())


def _embedded() -> TextModel:
    return TextModel.load(embedded_folder() / FOLDER)


def spellings(words: Iterable[str]) -> dict[str, str]:
    """How words are to be written that somebody wrote with a capital, such as hotwords."""
    parts = (part for word in words for part in word.split())
    return {part.lower(): part for part in parts if part != part.lower()}
