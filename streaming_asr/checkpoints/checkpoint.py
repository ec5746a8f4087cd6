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
from streaming_asr.checkpoints.embedded import EMBEDDED, embedded_folder
from streaming_asr.checkpoints.front_end import read_front_end
from streaming_asr.checkpoints.json_files import read_object
from streaming_asr.checkpoints.languages import (
    adapter_file,
    choose_language,
    declared_language,
    languages,
    stated_languages,
)
from streaming_asr.checkpoints.shapes import adapter_shapes, expected_shapes, head_rows, layer_count
from streaming_asr.checkpoints.tokenizer import read_tokenizer
from streaming_asr.checkpoints.vocabulary import Vocabulary, read_vocabulary
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

_HEADLESS: Final = ("ForPreTraining", "Model", "ForSequenceClassification", "ForAudioFrameClassification", "ForXVector")


@dataclass(frozen=True, slots=True)
class Location:
    """Where a checkpoint lies: its small files are in `folder`; `fetch` brings others of its `files` there."""

    name: str
    folder: Path
    files: frozenset[str]
    fetch: Callable[[Sequence[str]], None]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All of a checkpoint that a recognizer needs.

    `config` is `config.json` as it is. `weights` are float32 (float64 where the files hold that) under names without
    the family's prefix, weight norm folded, the adapter of `language` put in. `labels`: one per row of the CTC
    head, all different, "" is blank and " " divides words; `blank` is a row, and `special` are the rows that no
    transcript may show (see `vocabulary`). `normalize` and `sampling_rate` (Hz) describe the front end. `location` says
    where the files are. `language` is a BCP 47 tag, None if nothing tells it; of a checkpoint of many `languages` it is
    the code of the one that was read, and `read_language` reads the others.
    """

    config: Mapping[str, Any]
    weights: Mapping[str, torch.Tensor]
    labels: tuple[str, ...]
    blank: int
    normalize: bool
    sampling_rate: int
    location: Location
    language: str | None
    languages: tuple[str, ...] = ()
    special: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """What was asked for."""
        return self.location.name

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        return self.location.folder


@dataclass(frozen=True, slots=True)
class LanguagePart:
    """What of a checkpoint of many languages belongs to one: its adapters and head, and the labels of the head."""

    language: str
    weights: Mapping[str, torch.Tensor]
    labels: tuple[str, ...]
    blank: int
    special: tuple[int, ...]


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

    `language` chooses in a checkpoint of many languages (MMS) and declares that of another; `revision` is a branch, tag
    or commit on the hub. Raises `CheckpointError` with one sentence for everything that is missing, broken or of an
    unsupported kind.
    """
    location = _locate(name_or_folder, revision)
    config = read_object(location.folder / "config.json")
    check_config(location.name, config)
    own_language = read_tokenizer(location.folder).language
    available = languages(location.folder, location.files)
    if available:
        chosen: str | None = choose_language(location.name, available, language, own_language)
    else:
        chosen = declared_language(location.name, stated_languages(location.folder, config), language)
    adapter = adapter_file(location.name, location.files, chosen, own_language) if available else None
    weights = _load(location, config, adapter)
    vocabulary = _vocabulary(location, config, weights, chosen)
    front_end = read_front_end(location.folder)
    return Checkpoint(
        config=config,
        weights=weights,
        labels=vocabulary.labels,
        blank=vocabulary.blank,
        normalize=front_end.normalize,
        sampling_rate=front_end.sampling_rate,
        location=location,
        language=chosen,
        languages=available,
        special=vocabulary.special,
    )


def read_language(checkpoint: Checkpoint, language: str) -> LanguagePart:
    """One language of a checkpoint of many, by any code; downloaded where it lies on the hub.

    Raises `CheckpointError` when the language is not there, or its adapter is missing, truncated or another model's.
    """
    location, config = checkpoint.location, checkpoint.config
    chosen = choose_language(location.name, checkpoint.languages, language, None)
    weights = _language_weights(checkpoint, chosen)
    vocabulary = _vocabulary(location, config, weights, chosen)
    return LanguagePart(chosen, weights, vocabulary.labels, vocabulary.blank, vocabulary.special)


def _language_weights(checkpoint: Checkpoint, language: str) -> Tensors:
    location, names = checkpoint.location, adapter_names(layer_count(checkpoint.config))
    if language == checkpoint.language:
        return {name: checkpoint.weights[name] for name in names}
    own_language = read_tokenizer(location.folder).language
    file = adapter_file(location.name, location.files, language, own_language)
    if file is None:  # the main weights hold it, which have been overlaid by another language
        main = read_weights([location.folder / name for name in weight_files(location.folder, location.files)])
        return {name: tensor for name, tensor in main.items() if name in names}
    location.fetch([file])
    origin = str(location.folder / file)
    return put_adapter({}, _adapter(location, checkpoint.config, file), names, origin)


def _vocabulary(location: Location, config: Mapping[str, Any], weights: Tensors, language: str | None) -> Vocabulary:
    rows = len(weights["lm_head.weight"])
    return read_vocabulary(location.folder, rows, language=language, pad_token_id=_integer(config.get("pad_token_id")))


def _adapter(location: Location, config: Mapping[str, Any], file: str) -> Tensors:
    """The tensors of an adapter file, of the shapes that the configuration promises."""
    path = location.folder / file
    adapter = read_adapter(path)
    rows = head_rows({name: tuple(tensor.shape) for name, tensor in adapter.items()}, str(path))
    if rows is not None and adapter_names(layer_count(config)) <= adapter.keys():
        check_shapes(adapter, adapter_shapes(config, rows), str(path))
    return adapter


def fetch_language_model(checkpoint: Checkpoint, language: str | None = None) -> Path | None:
    """The `language_model` folder that a checkpoint brings along, downloaded for a hub model; None where it has none.

    With `language`, the folder of that name in it. Raises `CheckpointError` as `read_checkpoint` does.
    """
    inside = "language_model" if language is None else f"language_model/{language}"
    beside = checkpoint.folder / inside
    if beside.is_dir() or find_folder(checkpoint.name) is not None:
        return beside if beside.is_dir() else None
    found = sorted(name for name in checkpoint.location.files if name.startswith(f"{inside}/"))
    if not found:
        return None
    checkpoint.location.fetch(found)
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
        origin = str(location.folder / adapter)
        weights = put_adapter(weights, _adapter(location, config, adapter), adapter_names(layer_count(config)), origin)
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
