"""From the vocabulary files of a checkpoint to one label per row of its CTC head.

Labels follow the conventions of pyctcdecode 0.5.0's alphabet after its normalization: "" is blank, " " divides words,
"⁇" is the unknown token; in a word-piece vocabulary a leading "▁" begins a word. They are all different, as that
alphabet demands. Rows that must never show in a transcript (unknown, sentence marks, ids without a token) keep a
bracketed label and are listed as `special`: whoever decodes gives them no probability.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from streaming_asr.checkpoints.json_files import read_object
from streaming_asr.checkpoints.languages import vocabulary_languages
from streaming_asr.checkpoints.tokenizer import Tokenizer, read_tokenizer
from streaming_asr.errors import CheckpointError

_logger = logging.getLogger(__name__)

BLANK: Final = ""
SPACE: Final = " "
UNKNOWN: Final = "⁇"
WORD_START: Final = "▁"
_CONTINUATION: Final = "##"
_PADS: Final = ("<pad>", "[PAD]")
_BRACKETED: Final = re.compile(r"[<\[].+[>\]]")
_UNKNOWNS: Final = ("<unk>", "[unk]")
_PADS_LOWER: Final = tuple(pad.lower() for pad in _PADS)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The labels of a CTC head, one per row; `blank` is a row, `special` are the rows that no transcript may show."""

    labels: tuple[str, ...]
    blank: int
    special: tuple[int, ...]


def read_vocabulary(
    folder: Path, rows: int, *, language: str | None = None, pad_token_id: int | None = None
) -> Vocabulary:
    """The labels of a checkpoint folder whose CTC head has `rows` rows.

    `language` selects from a nested `vocab.json`; `pad_token_id`, from the model's configuration, is only believed
    when the vocabulary has no pad token. Tokens with ids beyond the head are left out. Raises `CheckpointError` when
    files are missing or broken, the language is not there, or no row can be blank.
    """
    tokenizer = read_tokenizer(folder)
    if not (folder / "vocab.json").exists() and (folder / "alphabet.json").exists():
        return _from_alphabet(folder / "alphabet.json", rows)
    return build_vocabulary(
        _token_ids(folder / "vocab.json", language),
        tokenizer,
        rows,
        pad_token_id=pad_token_id,
        origin=str(folder / "vocab.json"),
    )


def build_vocabulary(
    ids: Mapping[str, int], tokenizer: Tokenizer, rows: int, *, pad_token_id: int | None, origin: str
) -> Vocabulary:
    """The labels for `rows` rows from token ids and tokenizer options; `origin` names the file in messages."""
    tokens = _by_row(ids, tokenizer.added or {}, rows)
    if not any(token is not None for token in tokens):
        raise CheckpointError(f"{origin}: has no token for the {rows} rows of the CTC head; is it another model's?")
    blank = _blank_row(tokens, tokenizer, pad_token_id, origin)
    spelled = _spell(tokens, tokenizer, blank)
    labels, special = _distinct(tokens, spelled, tokenizer.unknown, origin)
    return Vocabulary(labels, blank, special)


def _token_ids(path: Path, language: str | None) -> Mapping[str, int]:
    content: Mapping[str, Any] = read_object(path)
    nested = vocabulary_languages(content)
    if nested and language not in nested:
        raise CheckpointError(f"{path}: holds the vocabularies of {len(nested)} languages, but none for {language!r}")
    ids: Mapping[str, Any] = content[language] if nested and language is not None else content
    for token, identifier in ids.items():
        if isinstance(identifier, bool) or not isinstance(identifier, int) or identifier < 0:
            raise CheckpointError(f"{path}: the id of {token!r} is {identifier!r}; a whole number from 0 was expected")
    return ids


def _by_row(ids: Mapping[str, int], added: Mapping[int, str], rows: int) -> list[str | None]:
    tokens: list[str | None] = [None] * rows
    for token, row in ids.items():
        if row < rows and tokens[row] is None:
            tokens[row] = token
    for row, token in added.items():
        if row < rows and tokens[row] is None and token not in ids:
            tokens[row] = token
    return tokens


def _blank_row(tokens: Sequence[str | None], tokenizer: Tokenizer, pad_token_id: int | None, origin: str) -> int:
    """Blank is the pad token: the tokenizer's own, else one of the usual names, else what the configuration says."""
    named = [tokenizer.pad] if tokenizer.pad is not None else list(_PADS)
    found = next((tokens.index(token) for token in named if token in tokens), None)
    if found is None and pad_token_id is not None and 0 <= pad_token_id < len(tokens):
        _logger.warning("%s: has no %s; row %d is blank, as config.json says", origin, " or ".join(named), pad_token_id)
        return pad_token_id
    if found is None:
        raise CheckpointError(f"{origin}: has no pad token {' or '.join(named)}, so no row of the CTC head is blank")
    if pad_token_id is not None and pad_token_id != found:
        _logger.warning("%s: config.json says pad_token_id %d; row %d is the pad token", origin, pad_token_id, found)
    return found


def _spell(tokens: Sequence[str | None], tokenizer: Tokenizer, blank: int) -> list[str | None]:
    """The label of each row that can be shown, "" for blank and None for the others."""
    delimiter = _delimiter(tokens, tokenizer)
    continued = any(_is_continuation(token) for token in tokens)
    pieces = continued or tokenizer.phonemes or any(_starts_word(token, delimiter) for token in tokens)
    labels: list[str | None] = []
    for row, token in enumerate(tokens):
        if row == blank:
            labels.append(BLANK)
        elif token is not None and token == delimiter:
            labels.append(WORD_START if pieces else SPACE)
        elif token is None or _is_special(token, tokenizer):
            labels.append(None)
        elif continued or tokenizer.phonemes:
            labels.append(token.removeprefix(_CONTINUATION) if _is_continuation(token) else WORD_START + token)
        else:
            labels.append(token)
    return labels if not tokenizer.lower_case else _lower(labels)


def _delimiter(tokens: Sequence[str | None], tokenizer: Tokenizer) -> str | None:
    """The token between words; a lone "▁" is one only in a vocabulary whose other tokens are characters."""
    for candidate in (tokenizer.delimiter, "|", SPACE, WORD_START):
        if candidate is not None and candidate in tokens:
            others = (token for token in tokens if token is not None and token != candidate)
            if candidate != WORD_START or not any(token.startswith(WORD_START) for token in others):
                return candidate
    return None


def _is_continuation(token: str | None) -> bool:
    return token is not None and len(token) > len(_CONTINUATION) and token.startswith(_CONTINUATION)


def _starts_word(token: str | None, delimiter: str | None) -> bool:
    return token is not None and token != delimiter and token.startswith(WORD_START)


def _is_special(token: str, tokenizer: Tokenizer) -> bool:
    listed = _is_unknown(token, tokenizer.unknown) or token in tokenizer.specials
    return listed or token == BLANK or _BRACKETED.fullmatch(token) is not None


def _lower(labels: Sequence[str | None]) -> list[str | None]:
    """Lower-cased labels; where two would become one, the row that was lower-case already keeps the name."""
    taken = set(labels)
    lowered: list[str | None] = []
    for label in labels:
        small = None if label is None else label.lower()
        fits = small is not None and (small == label or small not in taken)
        lowered.append(small if fits else label)
        taken.add(lowered[-1])
    return lowered


def _distinct(
    tokens: Sequence[str | None], spelled: Sequence[str | None], unknown: str | None, origin: str
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Labels without repetition, and the rows of special tokens."""
    labels: list[str] = []
    special: list[int] = []
    mark = f"{WORD_START}{UNKNOWN}{WORD_START}" if _is_pieces(spelled) else UNKNOWN
    taken = {label for label in spelled if label is not None}
    for row, (token, label) in enumerate(zip(tokens, spelled, strict=True)):
        if label is not None and label not in labels:
            labels.append(label)
            continue
        if label is not None:
            _logger.warning("%s: token %r reads like an earlier one and is left out", origin, token)
        special.append(row)
        hidden = mark if token is not None and _is_unknown(token, unknown) else _hidden_label(row, token)
        labels.append(hidden if hidden not in taken else f"<unused-{row}>")
        taken.add(labels[-1])
    return tuple(labels), tuple(special)


def _is_pieces(labels: Sequence[str | None]) -> bool:
    return any(label is not None and label.startswith(WORD_START) for label in labels)


def _is_unknown(token: str, unknown: str | None) -> bool:
    return token == unknown or token.strip(WORD_START) == UNKNOWN or token.lower() in _UNKNOWNS


def _hidden_label(row: int, token: str | None) -> str:
    """A bracketed label: the token's own, where that is one which pyctcdecode's alphabet leaves as it is."""
    kept = token is not None and _BRACKETED.fullmatch(token) and SPACE not in token and token.lower() not in _PADS_LOWER
    return token if token is not None and kept else f"<unused-{row}>"


def _from_alphabet(path: Path, rows: int) -> Vocabulary:
    """The labels of an `alphabet.json`, which a processor with a language model has."""
    labels = read_object(path).get("labels")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise CheckpointError(f"{path}: labels is {labels!r}; a list of strings was expected")
    pad = next((label for label in (BLANK, *_PADS, "_") if label in labels[:rows]), None)
    ids = {label: row for row, label in enumerate(labels)}
    return build_vocabulary(ids, Tokenizer(pad=pad), rows, pad_token_id=None, origin=str(path))
