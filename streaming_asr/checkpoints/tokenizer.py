"""What the tokenizer files of a checkpoint say, gathered from the three places where they may say it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from streaming_asr.checkpoints.json_files import read_object_if_there
from streaming_asr.errors import CheckpointError

FILES: Final = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_PHONEME_TOKENIZER: Final = "Wav2Vec2PhonemeCTCTokenizer"


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """The options of a CTC tokenizer that decide how a vocabulary is read; None where nothing is said.

    `added` holds tokens outside the vocabulary file by id; `specials` all tokens that are not text; `language` is the
    one that a checkpoint of many languages was saved in; `phonemes`: every token is a unit of its own.
    """

    pad: str | None = None
    unknown: str | None = None
    delimiter: str | None = None
    lower_case: bool = False
    specials: frozenset[str] = frozenset()
    added: Mapping[int, str] | None = None
    language: str | None = None
    phonemes: bool = False


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer options of a checkpoint folder; every file may be missing. Raises `CheckpointError`."""
    config, older, added = (read_object_if_there(folder / name) for name in FILES)
    tokens = {**older, **{key: value for key, value in config.items() if value is not None}}
    return Tokenizer(
        pad=_content(tokens.get("pad_token")),
        unknown=_content(tokens.get("unk_token", "<unk>")),
        delimiter=_content(tokens.get("word_delimiter_token")),
        lower_case=bool(tokens.get("do_lower_case", False)),
        specials=frozenset(_specials(tokens)),
        added=_added(folder, config, added),
        language=_content(tokens.get("target_lang")),
        phonemes=tokens.get("tokenizer_class") == _PHONEME_TOKENIZER,
    )


def _content(value: Any) -> str | None:
    """A token is written as a string or as an object with its text under "content"."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None


def _entries(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _specials(tokens: Mapping[str, Any]) -> Iterator[str]:
    extra = tokens.get("additional_special_tokens") or tokens.get("extra_special_tokens")
    listed = [*_entries(extra).values(), *(extra if isinstance(extra, list) else [])]
    decoder = _entries(tokens.get("added_tokens_decoder"))
    flagged = [entry for entry in decoder.values() if isinstance(entry, dict) and entry.get("special")]
    named = [tokens.get(f"{role}_token") for role in ("bos", "eos", "unk", "pad", "cls", "sep", "mask")]
    yield from (token for token in map(_content, [*named, *listed, *flagged]) if token is not None)


def _added(folder: Path, config: Mapping[str, Any], older: Mapping[str, Any]) -> dict[int, str]:
    entries: dict[int, str] = {}
    for text, identifier in older.items():
        if not isinstance(identifier, int):
            raise CheckpointError(f"{folder / FILES[2]}: the id of {text!r} is {identifier!r}; an integer was expected")
        entries[identifier] = text
    for identifier, entry in _entries(config.get("added_tokens_decoder")).items():
        token = _content(entry)
        if token is not None and str(identifier).isdecimal():
            entries[int(identifier)] = token
    return entries
