"""One checkpoint, whichever way it was saved: from a folder, from the hub, or the one inside this package.

`read_checkpoint` gives plain values: configuration, tensors under the encoder's names, one label per row of the CTC
head. Nothing here runs a network, and nothing in a checkpoint is run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch

from streaming_asr.checkpoints import hub
from streaming_asr.checkpoints.config import Config
from streaming_asr.checkpoints.front_end import read_front_end
from streaming_asr.checkpoints.json_files import read_object
from streaming_asr.checkpoints.languages import adapter_file, choose_language, languages
from streaming_asr.checkpoints.shapes import expected_shapes, head_rows, layer_count
from streaming_asr.checkpoints.tokenizer import read_tokenizer
from streaming_asr.checkpoints.vocabulary import read_vocabulary
from streaming_asr.checkpoints.weights import (
    Tensors,
    adapter_names,
    check_shapes,
    put_adapter,
    read_adapter,
    read_weights,
    weight_files,
)
from streaming_asr.errors import CheckpointError

EMBEDDED: Final = "english"
"""The name of the model inside this package."""
_HEADLESS: Final = ("ForPreTraining", "Model", "ForSequenceClassification", "ForAudioFrameClassification", "ForXVector")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All of a checkpoint that a recognizer needs.

    `config` is `config.json` as it is. `weights` are float32 (float64 where the files hold that) under names without
    the family's prefix, weight norm folded, the adapter of the language put in. `labels`: one per row of the CTC
    head, all different, "" is blank and " " divides words; `blank` is a row, and `special` are the rows that no
    transcript may show (see `vocabulary`). `normalize` and `sampling_rate` (Hz) describe the front end. `name` is what
    was asked for, `folder` where it lies.
    """

    config: Mapping[str, Any]
    weights: Mapping[str, torch.Tensor]
    labels: tuple[str, ...]
    blank: int
    normalize: bool
    sampling_rate: int
    name: str
    folder: Path
    language: str | None
    special: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Location:
    """Where a checkpoint lies: its small files are in `folder`; `fetch` brings others of its `files` there."""

    name: str
    folder: Path
    files: frozenset[str]
    fetch: Callable[[Sequence[str]], None]


def embedded_folder() -> Path:
    """The folder of the model inside this package. Raises `CheckpointError` when this installation lacks it."""
    folder = Path(__file__).parent.parent / "embedded" / EMBEDDED
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: this installation lacks its embedded model; install the package again")
    return folder


def find_folder(name_or_folder: str | Path | None) -> Path | None:
    """The local folder that is meant: the embedded model's for None or "english"; None for the name of a hub model.

    Raises `CheckpointError` for what is neither.
    """
    if name_or_folder is None or name_or_folder == EMBEDDED:
        return embedded_folder()
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise CheckpointError(f"{folder}: is a file; the folder of a checkpoint was expected")
    if isinstance(name_or_folder, str) and hub.is_hub_name(name_or_folder):
        return None
    raise CheckpointError(
        f"{name_or_folder}: there is no such folder; give a folder, a hub name like organization/model or {EMBEDDED!r}"
    )


def read_checkpoint(
    name_or_folder: str | Path | None = None, *, language: str | None = None, revision: str | None = None
) -> Checkpoint:
    """Read a checkpoint: None or "english" for the embedded model, a folder, or a hub name, which is downloaded.

    `language` chooses in a multilingual checkpoint (MMS); `revision` is a branch, tag or commit on the hub. Raises
    `CheckpointError` with one sentence for everything that is missing, broken or of an unsupported kind.
    """
    location = _locate(name_or_folder, revision)
    config = read_object(location.folder / "config.json")
    check_config(location.name, config)
    own_language = read_tokenizer(location.folder).language
    chosen = choose_language(location.name, languages(location.folder, location.files), language, own_language)
    weights = _load(location, config, adapter_file(location.name, location.files, chosen, own_language))
    rows = len(weights["lm_head.weight"])
    vocabulary = read_vocabulary(
        location.folder, rows, language=chosen, pad_token_id=_integer(config.get("pad_token_id"))
    )
    front_end = read_front_end(location.folder)
    return Checkpoint(
        config=config,
        weights=weights,
        labels=vocabulary.labels,
        blank=vocabulary.blank,
        normalize=front_end.normalize,
        sampling_rate=front_end.sampling_rate,
        name=location.name,
        folder=location.folder,
        language=chosen,
        special=vocabulary.special,
    )


def fetch_language_model(checkpoint: Checkpoint) -> Path | None:
    """The `language_model` folder that a checkpoint brings along, downloaded for a hub model; None where it has none.

    Raises `CheckpointError` as `read_checkpoint` does.
    """
    beside = checkpoint.folder / "language_model"
    if beside.is_dir() or find_folder(checkpoint.name) is not None:
        return beside if beside.is_dir() else None
    files = hub.list_files(checkpoint.name, checkpoint.folder)
    inside = sorted(name for name in files if name.startswith("language_model/"))
    if not inside:
        return None
    hub.fetch(checkpoint.name, checkpoint.folder, inside)
    return beside


def _locate(name_or_folder: str | Path | None, revision: str | None) -> Location:
    folder = find_folder(name_or_folder)
    if folder is not None:
        if revision is not None:
            raise CheckpointError(f"{name_or_folder}: only hub models have revisions; leave out {revision!r}")
        shown = EMBEDDED if name_or_folder is None else str(name_or_folder)
        return Location(shown, folder, hub.local_files(folder), fetch=lambda files: None)
    name = str(name_or_folder)
    folder = hub.fetch_settings(name, revision)
    return Location(name, folder, hub.list_files(name, folder), fetch=partial(hub.fetch, name, folder))


def _load(location: Location, config: Mapping[str, Any], adapter: str | None) -> Tensors:
    """The weights of a checkpoint, with one language's adapter; what could be refused is refused before a download."""
    main = weight_files(location.folder, location.files)
    needed = [name for name in (*main, adapter) if name is not None]
    architecture = headless(config)
    if architecture is not None and not all((location.folder / name).exists() for name in needed):
        raise no_head(location.name, architecture)
    location.fetch(needed)
    weights = read_weights([location.folder / name for name in main])
    if adapter is not None:
        origin = location.folder / adapter
        weights = put_adapter(weights, read_adapter(origin), adapter_names(layer_count(config)), str(origin))
    rows = head_rows({name: tuple(tensor.shape) for name, tensor in weights.items()}, location.name)
    if rows is None:
        raise no_head(location.name, architecture)
    check_shapes(weights, expected_shapes(config, rows), location.name)
    return weights


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def check_config(name: str, config: Mapping[str, Any]) -> None:
    """Raises `CheckpointError`, naming the checkpoint, when its configuration is of a kind that cannot be computed."""
    try:
        Config.parse(config)
    except CheckpointError as error:
        raise CheckpointError(f"{name}: {error}") from error


def headless(config: Mapping[str, Any]) -> str | None:
    """The architecture that a configuration names when none of those has a CTC head, else None."""
    listed = config.get("architectures")
    named = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    return named[0] if named and all(name.endswith(_HEADLESS) for name in named) else None


def no_head(name: str, architecture: str | None) -> CheckpointError:
    """The error for a checkpoint that cannot spell, such as one that was only pretrained."""
    what = f"is a {architecture}" if architecture else "has no lm_head"
    return CheckpointError(f"{name}: {what}, without a CTC head to spell words; use one fine-tuned for recognition")
