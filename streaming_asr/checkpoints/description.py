"""What a checkpoint is, told from its small files and the headers of its weights, without loading those."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from streaming_asr.audio.samples import SAMPLE_RATE
from streaming_asr.checkpoints import hub
from streaming_asr.checkpoints.checkpoint import check_config, find_folder, headless, no_head
from streaming_asr.checkpoints.embedded import EMBEDDED
from streaming_asr.checkpoints.front_end import read_front_end
from streaming_asr.checkpoints.headers import read_shapes
from streaming_asr.checkpoints.json_files import read_object
from streaming_asr.checkpoints.languages import languages, stated_languages
from streaming_asr.checkpoints.shapes import Shape, head_rows
from streaming_asr.checkpoints.tags import language_of_name
from streaming_asr.checkpoints.tokenizer import read_tokenizer
from streaming_asr.checkpoints.vocabulary import read_vocabulary
from streaming_asr.checkpoints.weights import encoder_name, weight_files
from streaming_asr.errors import CheckpointError

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Description:
    """A checkpoint in a few values; None where its files do not tell.

    `family` is its `model_type`; `parameters` counts those that recognition uses; `hop` is the distance of two frames
    in samples at 16 kHz; `vocabulary` counts the rows of the CTC head; `size` the bytes of its weights on this disk
    (0: not downloaded). `languages` is empty for a checkpoint that does not say; `language_model`: it has one.
    `refusal` says why it cannot be used, and is None for one that can: such a one can also stream.
    """

    name: str
    folder: Path
    family: str | None
    parameters: int | None
    languages: tuple[str, ...]
    hop: int | None
    vocabulary: int | None
    size: int
    language_model: bool
    refusal: str | None

    @property
    def streams(self) -> bool:
        """Whether it can recognize live audio."""
        return self.refusal is None

    @property
    def frame_ms(self) -> float | None:
        """The distance of two frames in milliseconds."""
        return None if self.hop is None else 1000 * self.hop / SAMPLE_RATE


def describe(name_or_folder: str | Path | None = None, *, revision: str | None = None) -> Description:
    """What a checkpoint is: the embedded one for None, a folder, or a hub model, of which only small files are fetched.

    Raises `CheckpointError` only when there is nothing of that name; a broken one is described with its `refusal`.
    """
    shown = EMBEDDED if name_or_folder is None else str(name_or_folder)
    folder = find_folder(name_or_folder)
    if folder is not None:
        return _describe(shown, folder, downloaded=True)
    folder = hub.cached_folder(shown, revision) or hub.fetch_settings(shown, revision)
    return _describe(shown, folder, downloaded=_has_weights(folder))


def describe_local(name_or_folder: str | Path | None = None) -> Description | None:
    """A model whose files are on this machine; None for one that is yet to come from the hub, or is not there."""
    try:
        return describe(name_or_folder) if name_or_folder is None or Path(name_or_folder).is_dir() else None
    except (CheckpointError, OSError):
        return None


def cached_models() -> tuple[Description, ...]:
    """The usable models in the cache of the hub, by name; downloaded completely, of a supported family."""
    folders = {name: folder for name, folder in hub.cached_folders().items() if _has_weights(folder)}
    found = (_describe(name, folder, downloaded=True) for name, folder in folders.items())
    return tuple(description for description in found if description.streams)


def _has_weights(folder: Path) -> bool:
    return any(name.endswith((".safetensors", ".bin")) for name in hub.local_files(folder))


def _describe(name: str, folder: Path, *, downloaded: bool) -> Description:
    files = hub.local_files(folder)
    config = _attempt(lambda: read_object(folder / "config.json")) or {}
    paths = _attempt(lambda: [folder / file for file in weight_files(folder, files)]) or []
    shapes = _attempt(lambda: _used_shapes(paths)) or {}
    return Description(
        name=name,
        folder=folder,
        family=_text(config.get("model_type")),
        parameters=sum(math.prod(shape) for shape in shapes.values()) or None,
        languages=_attempt(lambda: languages(folder, files)) or _single(name, folder, config),
        hop=_hop(config.get("conv_stride")),
        vocabulary=_attempt(lambda: head_rows(shapes, name)),
        size=sum(path.stat().st_size for path in paths),
        language_model=(folder / "language_model").is_dir(),
        refusal=_refusal(name, folder, downloaded),
    )


def _single(name: str, folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The languages that a checkpoint of one vocabulary states, or that its name hints at."""
    guessed = language_of_name(name)
    return stated_languages(folder, config) or (() if guessed is None else (guessed,))


def _refusal(name: str, folder: Path, downloaded: bool) -> str | None:
    """Why a checkpoint cannot be used: the first thing that reading it would stumble over."""
    try:
        config = read_object(folder / "config.json")
        check_config(name, config)
        read_front_end(folder)
        if not downloaded:
            architecture = headless(config)
            return None if architecture is None else str(no_head(name, architecture))
        _check_head(name, folder, config)
    except CheckpointError as error:
        return str(error)
    return None


def _check_head(name: str, folder: Path, config: Mapping[str, Any]) -> None:
    files = hub.local_files(folder)
    shapes = _used_shapes([folder / file for file in weight_files(folder, files)])
    rows = head_rows(shapes, name)
    if rows is None:
        raise no_head(name, headless(config))
    spoken = languages(folder, files)
    own = read_tokenizer(folder).language
    read_vocabulary(folder, rows, language=own if own in spoken else next(iter(spoken), None))


def _used_shapes(paths: Sequence[Path]) -> Mapping[str, Shape]:
    shapes = {name: shape for path in paths for name, shape in read_shapes(path).items()}
    return {encoder_name(name): shape for name, shape in shapes.items() if encoder_name(name)}


def _hop(strides: Any) -> int | None:
    usable = isinstance(strides, list) and strides and all(isinstance(stride, int) for stride in strides)
    return math.prod(strides) if usable else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _attempt(read: Callable[[], Result]) -> Result | None:
    """A part of a description, or None where the files are too broken to tell; `refusal` says what is wrong."""
    try:
        return read()
    except CheckpointError:
        return None
