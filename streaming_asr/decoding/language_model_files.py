"""Language models on disk: folders as pyctcdecode and `Wav2Vec2ProcessorWithLM` write them, and single files."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from streaming_asr.decoding.alphabet import Alphabet
from streaming_asr.decoding.arpa import is_arpa, read_arpa, read_arpa_words
from streaming_asr.decoding.language_model import (
    Case,
    KenNgrams,
    LanguageModelOptions,
    NgramLanguageModel,
    Vocabulary,
    kenlm_installed,
)
from streaming_asr.decoding.ngrams import SUFFIX, Ngrams
from streaming_asr.errors import CheckpointError, MissingExtraError

FOLDER: Final = "language_model"
"""Where a folder with an alphabet or a model keeps its language model."""

ATTRIBUTES: Final = "attrs.json"
ATTRIBUTE_NAMES: Final = ("alpha", "beta", "unk_score_offset", "score_boundary")
"""The options that pyctcdecode writes there; it takes no others."""

UNIGRAMS: Final = "unigrams.txt"

_ARPAS: Final = (".arpa", ".arpa.gz")
_BINARIES: Final = (".bin", ".binary", ".klm")

_logger = logging.getLogger(__name__)


def load_language_model(
    path: str | Path,
    alphabet: Alphabet,
    *,
    alpha: float | None = None,
    beta: float | None = None,
    unk_score_offset: float | None = None,
    score_boundary: bool | None = None,
    empty_is_unknown: bool = True,
    unigrams: str | Path | None = None,
    case: Case | Literal["auto"] = "auto",
    encoding: str = "utf-8",
) -> NgramLanguageModel:
    """Load a language model for an alphabet.

    `path` is a folder as `Wav2Vec2ProcessorWithLM` saves it, the `language_model` folder inside one, an ARPA file, a
    file of `Ngrams.save` or a KenLM binary. Only the last needs kenlm; where it is installed it reads ARPA files too,
    large ones faster. Of an ARPA file and a binary of it in one folder, the binary is read if it can be. Known words
    come from `unigrams` (a text file, one word per line), the folder or the model; a KenLM binary alone cannot tell
    them. What is None is taken from the folder's attrs.json, else from pyctcdecode's defaults. If the alphabet has only
    capitals and the model's words have none (or the other way round), words are turned into the model's case and a log
    line says so; `case` says it outright. `encoding` is that of the words' file. `empty_is_unknown` is as pyctcdecode
    has it; recognizers switch it off (`LanguageModelOptions`).

    Raises MissingExtraError for a KenLM binary without kenlm, CheckpointError for files that are missing or unreadable.
    """
    files = _find(Path(path))
    given: dict[str, Any] = {
        "alpha": alpha,
        "beta": beta,
        "unk_score_offset": unk_score_offset,
        "score_boundary": score_boundary,
        "empty_is_unknown": empty_is_unknown,
    }
    options = replace(files.options, **{name: value for name, value in given.items() if value is not None})
    ngrams = read_ngrams(files.model)
    words = _read_words(files, None if unigrams is None else Path(unigrams), ngrams, encoding)
    if words is None:
        _logger.warning("%s does not list its words; give them as `unigrams`, or decoding is worse", files.model)
        return NgramLanguageModel(ngrams, None, options, "as is" if case == "auto" else case, files.model)
    vocabulary = Vocabulary(words)
    chosen = _choose_case(vocabulary, alphabet, files.model) if case == "auto" else case
    return NgramLanguageModel(ngrams, words, options, chosen, files.model)


@dataclass(frozen=True, slots=True)
class _Files:
    model: Path
    arpa: Path | None
    """The ARPA file beside a binary: it lists the words."""
    unigrams: Path | None
    options: LanguageModelOptions


def read_ngrams(path: Path) -> Ngrams | KenNgrams:
    """The n-grams in a file, read by KenLM where it is installed; errors as for `load_language_model`."""
    if path.suffix == SUFFIX:
        return Ngrams.read(path)
    try:
        return KenNgrams.read(path)
    except (MissingExtraError, CheckpointError):
        # KenLM refuses ARPA files that hold single words only, and some that begin with a comment.
        if not is_arpa(path):
            raise
        return read_arpa(path)


def _find(path: Path) -> _Files:
    if path.is_file():
        return _Files(path, None, None, LanguageModelOptions())
    folder = path / FOLDER if (path / FOLDER).is_dir() else path
    if not folder.is_dir():
        kinds = "a folder, an ARPA file, an .npz file or a KenLM binary"
        raise CheckpointError(f"there is no language model at {path}; give {kinds}")
    own, arpas, binaries = (_only(folder, suffixes) for suffixes in ((SUFFIX,), _ARPAS, _BINARIES))
    model = own or ((binaries or arpas) if kenlm_installed() else arpas or binaries)
    if model is None:
        suffixes = " or ".join((SUFFIX, *_ARPAS, *_BINARIES))
        raise CheckpointError(f"{folder} must hold a file {suffixes}; found: none")
    unigrams = folder / UNIGRAMS
    options = _read_options(folder / ATTRIBUTES)
    return _Files(model, arpas, unigrams if unigrams.is_file() else None, options)


def _only(folder: Path, suffixes: tuple[str, ...]) -> Path | None:
    """The one file of a kind, or None; raises CheckpointError where there are several."""
    found = sorted(file for file in folder.iterdir() if file.name.endswith(suffixes) and not file.name.startswith("."))
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise CheckpointError(f"{folder} must hold one file {' or '.join(suffixes)}; found: {names}")
    return found[0] if found else None


def _read_options(path: Path) -> LanguageModelOptions:
    if not path.is_file():
        return LanguageModelOptions()
    try:
        attributes = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(attributes, Mapping):
            raise ValueError("it must be an object")
    except ValueError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    given = {name: attributes[name] for name in ATTRIBUTE_NAMES if attributes.get(name) is not None}
    return LanguageModelOptions(**given)


def _read_words(
    files: _Files, unigrams: Path | None, ngrams: Ngrams | KenNgrams, encoding: str
) -> Collection[str] | None:
    listed = unigrams or files.unigrams
    if listed is not None:
        try:
            return set(listed.read_text(encoding=encoding).split())
        except (OSError, UnicodeDecodeError, LookupError) as error:
            raise CheckpointError(f"the words of the language model cannot be read from {listed}: {error}") from error
    if isinstance(ngrams, Ngrams):
        return ngrams.words
    listing = files.model if is_arpa(files.model) else files.arpa
    return None if listing is None else read_arpa_words(listing)


def _choose_case(vocabulary: Vocabulary, alphabet: Alphabet, path: Path) -> Case:
    """The case in which the alphabet can spell most of the model's words; says so where it is not the words' own."""
    sample = vocabulary.sample()
    spelled: dict[Case, int] = {"as is": sum(alphabet.spellable(word) for word in sample)}
    # The alphabet's capitals are reached from the model's small letters, so the search turns its words the other way.
    spelled["lower"] = sum(word == word.lower() and alphabet.spellable(word.upper()) for word in sample)
    spelled["upper"] = sum(word == word.upper() and alphabet.spellable(word.lower()) for word in sample)
    chosen = max(spelled, key=lambda case: spelled[case])
    if chosen != "as is":
        _logger.warning(
            "the words of %s are %s case and the alphabet is not: they are matched regardless", path, chosen
        )
    if 2 * spelled[chosen] < len(sample):
        share = 100 * spelled[chosen] // len(sample)
        _logger.warning("the alphabet can spell only %d %% of the words of %s; is it of this language?", share, path)
    return chosen
