"""Which language a checkpoint recognizes: a stated one, or one of many (MMS), each with adapter and vocabulary."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from streaming_asr.checkpoints.json_files import read_object_if_there
from streaming_asr.checkpoints.tags import language_of_name, language_tag, match_language
from streaming_asr.errors import CheckpointError

_logger = logging.getLogger(__name__)

_ADAPTER: Final = re.compile(r"adapter\.(?P<language>[^/]+)\.(?:safetensors|bin)")
_SHOWN: Final = 8


def vocabulary_languages(vocabulary: Mapping[str, Any]) -> tuple[str, ...]:
    """The languages of a nested `vocab.json`, sorted; none for a flat one."""
    return tuple(sorted(name for name, value in vocabulary.items() if isinstance(value, dict)))


def languages(folder: Path, files: Collection[str]) -> tuple[str, ...]:
    """The languages that a checkpoint has a vocabulary or else an adapter file for, sorted; none for most."""
    nested = vocabulary_languages(read_object_if_there(folder / "vocab.json"))
    found = {match["language"] for match in map(_ADAPTER.fullmatch, files) if match}
    return nested or tuple(sorted(found))


def choose_language(name: str, available: Collection[str], asked: str | None, default: str | None) -> str:
    """The language to load of a checkpoint of many: the one asked for, by any code, else the checkpoint's own.

    Raises `CheckpointError`, with near matches, when the language is not there or must be named and is not.
    """
    chosen = asked if asked is not None else default
    if chosen is None:
        raise CheckpointError(f"{name}: say which language to load, {_some(available)}")
    found = match_language(chosen, available)
    if found is None:
        near = difflib.get_close_matches(chosen, available, n=5, cutoff=0.4)
        hint = f"near it are {', '.join(near)}" if near else _some(available)
        raise CheckpointError(f"{name}: has no language {chosen!r}; {hint}")
    return found


def declared_language(name: str, stated: Sequence[str], asked: str | None) -> str | None:
    """The language of a checkpoint of one vocabulary, as a BCP 47 tag: declared, else stated, else hinted at by name.

    `stated` are the languages that its files name. Raises `CheckpointError` when the declared one is none of them, or
    no language at all.
    """
    if asked is None:
        tags = [language_tag(code) for code in stated]
        return tags[0] if len(tags) == 1 else None if tags else language_of_name(name)
    tag = language_tag(asked)
    if tag is None:
        raise CheckpointError(f"{name}: {asked!r} is no language code; write ISO 639 or BCP 47, like fr or pt-BR")
    if stated and match_language(asked, stated) is None:
        raise CheckpointError(f"{name}: recognizes {', '.join(stated)}, not {asked!r}")
    return tag


def stated_languages(folder: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The languages that a checkpoint's files name: the metadata of its README, or its configuration."""
    for value in (_metadata(folder / "README.md").get("language"), config.get("language"), config.get("languages")):
        listed = value if isinstance(value, list) else [value]
        codes = tuple(code for code in listed if isinstance(code, str) and language_tag(code) is not None)
        if codes:
            return codes
    return ()


def _metadata(readme: Path) -> Mapping[str, Any]:
    """The front matter of a model card; nothing where there is none, or one that is broken."""
    from huggingface_hub.repocard import metadata_load
    from yaml import YAMLError

    if not readme.is_file():
        return {}
    try:
        return metadata_load(readme) or {}
    except (ValueError, YAMLError, UnicodeDecodeError) as error:
        _logger.info("%s: its metadata cannot be read (%s)", readme, type(error).__name__)
        return {}


def adapter_file(name: str, files: Collection[str], language: str | None, default: str | None) -> str | None:
    """The adapter file of a language, safetensors before pickle; None when the main weights already hold it.

    Raises `CheckpointError` when the language is not the checkpoint's own and has no adapter file.
    """
    if language is None:
        return None
    for candidate in (f"adapter.{language}.safetensors", f"adapter.{language}.bin"):
        if candidate in files:
            return candidate
    if language != default:
        raise CheckpointError(f"{name}: adapter.{language}.safetensors is missing, so {language!r} cannot be loaded")
    return None


def _some(available: Collection[str]) -> str:
    ordered = sorted(available)
    more = f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else ""
    return f"one of {', '.join(ordered[:_SHOWN])}{more}"
