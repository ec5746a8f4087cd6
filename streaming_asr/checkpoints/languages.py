"""Checkpoints of many languages (MMS): one adapter file and one vocabulary per language."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from streaming_asr.checkpoints.json_files import read_object_if_there
from streaming_asr.errors import CheckpointError

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


def choose_language(name: str, available: Collection[str], asked: str | None, default: str | None) -> str | None:
    """The language to load: the one asked for, else the checkpoint's own; None for a checkpoint without languages.

    Raises `CheckpointError`, with near matches, when the language is not there or must be named and is not.
    """
    if not available:
        if asked is not None:
            raise CheckpointError(f"{name}: has one vocabulary and no languages to choose from; leave out {asked!r}")
        return None
    chosen = asked if asked is not None else default
    if chosen is None:
        raise CheckpointError(f"{name}: say which language to load, {_some(available)}")
    if chosen not in available:
        near = difflib.get_close_matches(chosen, available, n=5, cutoff=0.4)
        hint = f"near it are {', '.join(near)}" if near else _some(available)
        raise CheckpointError(f"{name}: has no language {chosen!r}; {hint}")
    return chosen


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
