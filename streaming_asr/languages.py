"""The languages of one recognizer: what belongs to each, loaded when it is first asked for, bounded in number."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias
from weakref import WeakValueDictionary

from streaming_asr.checkpoints.checkpoint import Checkpoint, fetch_language_model, read_language
from streaming_asr.checkpoints.tags import language_tag, match_language
from streaming_asr.decoding import Alphabet, LanguageModel, load_language_model
from streaming_asr.errors import CheckpointError, MissingExtraError, OptionError
from streaming_asr.model import Encoder, LanguageLayers
from streaming_asr.text import TextModel, load_text_model

logger = logging.getLogger(__name__)

AUTO: Final = "auto"
"""In place of a language: it is found out for each utterance."""

_SHOWN = 12

Chosen: TypeAlias = str | Path | Mapping[str, str | Path] | None
"""A model beside the network: for the default language, one per language, "auto", or none."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Language:
    """What a recognizer has of one language."""

    code: str | None
    """As the checkpoint names it; None if it does not."""
    layers: LanguageLayers
    alphabet: Alphabet
    special: tuple[int, ...]
    """Columns of the logits that are never text: the special tokens other than blank."""
    language_model: LanguageModel | None
    text_model: TextModel | None = None
    """What formats the words for those who read; None leaves them raw."""


class Loader(Protocol):
    """Loads the languages of a checkpoint."""

    @property
    def available(self) -> Sequence[str]:
        """The codes of all languages that the checkpoint has; empty if it does not say."""
        ...

    def default(self) -> Language: ...
    def load(self, code: str) -> Language: ...


@dataclass(frozen=True, slots=True)
class LanguageLoader:
    """Loads languages from a checkpoint, for its encoder."""

    checkpoint: Checkpoint
    encoder: Encoder
    language_models: Chosen
    text_models: Chosen = None

    @property
    def available(self) -> Sequence[str]:
        """The codes of all languages that the checkpoint has; empty if it does not say."""
        own = self.checkpoint.language
        return self.checkpoint.languages or (() if own is None else (own,))

    def default(self) -> Language:
        """The language that the checkpoint was read with."""
        return self._language(self.checkpoint.language, self.encoder.language, self.checkpoint.special)

    def load(self, code: str) -> Language:
        """Another language. Raises CheckpointError if its files are missing or broken."""
        part = read_language(self.checkpoint, code)
        return self._language(part.language, self.encoder.build_language(part), part.special)

    def _language(self, code: str | None, layers: LanguageLayers, special: tuple[int, ...]) -> Language:
        alphabet = Alphabet(layers.labels, by_character=True)
        return Language(code, layers, alphabet, special, self._language_model(code, alphabet), self._text_model(code))

    def _chosen(self, chosen: Chosen, code: str | None) -> str | Path | None:
        """What was chosen for one language: a path, "auto" or None."""
        if isinstance(chosen, Mapping):
            key = None if code is None else match_language(code, chosen)
            return None if key is None else chosen[key]
        return chosen if chosen == "auto" or code == self.checkpoint.language else None

    def _text_model(self, code: str | None) -> TextModel | None:
        wanted = self._chosen(self.text_models, code)
        inside = code if self.checkpoint.languages else None
        return load_text_model(wanted, checkpoint=self.checkpoint.folder, language=code, inside=inside)

    def _language_model(self, code: str | None, alphabet: Alphabet) -> LanguageModel | None:
        wanted = self._chosen(self.language_models, code)
        if wanted == "auto":
            return self._own_language_model(code, alphabet)
        return None if wanted is None else load_language_model(Path(wanted), alphabet, empty_is_unknown=False)

    def _own_language_model(self, code: str | None, alphabet: Alphabet) -> LanguageModel | None:
        """The one that the checkpoint brings along, if it can be used."""
        folder = fetch_language_model(self.checkpoint, code if self.checkpoint.languages else None)
        if folder is None:
            return None
        try:
            path = folder if self.checkpoint.languages else folder.parent
            return load_language_model(path, alphabet, empty_is_unknown=False)
        except MissingExtraError as error:
            logger.warning("decoding without the model's language model: %s", error)
            return None


class Languages:
    """The languages that streams may name.

    Args:
        default: the one of streams that name none; it is always held.
        codes: all that may be named.
        load: loads one of them.
        maximum: the most that are held beside the default; the least recently used are let go. Streams that are open
            keep what they have of a language that was let go; as long as one does, it is not loaded a second time.

    It may be used from any thread. Raises OptionError on a maximum below 1.
    """

    def __init__(
        self, default: Language, codes: Sequence[str], load: Callable[[str], Language], *, maximum: int
    ) -> None:
        if maximum < 1:
            raise OptionError(f"maximum_languages is {maximum}; it must be 1 or more")
        self.default = default
        self.codes = tuple(codes)
        self._load = load
        self._maximum = maximum
        self._held: OrderedDict[str, Language] = OrderedDict()
        self._used: WeakValueDictionary[str, Language] = WeakValueDictionary()
        self._table = threading.Lock()
        self._loading = threading.Lock()

    @classmethod
    def load(
        cls, loader: Loader, wanted: Sequence[str] | Literal["all"] | None, *, maximum: int, now: bool = True
    ) -> Languages:
        """Those that are wanted: a list is loaded `now`, "all" when they are first asked for, None is the default only.

        Raises CheckpointError when one of a list is not there, or its files are missing or broken.
        """
        default = loader.default()
        own = () if default.code is None else (default.code,)
        if wanted is None or wanted == "all":
            return cls(default, own if wanted is None else loader.available, loader.load, maximum=maximum)
        codes = tuple(dict.fromkeys([*own, *(_available(code, loader.available) for code in wanted)]))
        languages = cls(default, codes, loader.load, maximum=maximum)
        for code in codes[: maximum + 1] if now else ():
            languages.get(code)
        return languages

    @property
    def held(self) -> tuple[str, ...]:
        """The codes of those that are in memory beside the default, least recently used first."""
        with self._table:
            return tuple(self._held)

    def get(self, asked: str | None) -> Language:
        """The language of any code that names it, loaded if it is not held.

        Raises:
            OptionError: it is none of these languages.
            CheckpointError: its files are missing or broken.
        """
        code = self._code(asked)
        if code is None or code == self.default.code:
            return self.default
        return self._find(code) or self._find_or_load(code)

    def loaded(self, most: int) -> tuple[Language, ...]:
        """Those that are in memory: the default, then the most recently used, so many at most."""
        with self._table:
            recent = list(reversed(self._held.values()))
        return (self.default, *recent)[:most]

    def _code(self, asked: str | None) -> str | None:
        if asked is None:
            return None
        code = match_language(asked, self.codes)
        if code is None and (self.codes or language_tag(asked) is None):
            there = f"one of {_listed(self.codes)}" if self.codes else "an ISO 639 or BCP 47 code"
            raise OptionError(f"language is {asked!r}; it must be {there}")
        return code

    def _find(self, code: str) -> Language | None:
        """One that is in memory, which is now the most recently used; an open stream may have kept it there."""
        with self._table:
            language = self._held.get(code) or self._used.get(code)
            return None if language is None else self._hold(code, language)

    def _hold(self, code: str, language: Language) -> Language:
        self._held[code] = self._used[code] = language
        self._held.move_to_end(code)
        while len(self._held) > self._maximum:
            self._held.popitem(last=False)
        return language

    def _find_or_load(self, code: str) -> Language:
        with self._loading:  # one at a time; those that are held can be had meanwhile
            if found := self._find(code):
                return found
            language = self._load(code)
            with self._table:
                return self._hold(code, language)


def _available(code: str, available: Sequence[str]) -> str:
    found = match_language(code, available)
    if found is None:
        raise CheckpointError(
            f"the checkpoint has no language {code!r}; it has {', '.join(available[:_SHOWN]) or 'one'}"
        )
    return found


def _listed(codes: Sequence[str]) -> str:
    return ", ".join(codes[:_SHOWN]) + (f" and {len(codes) - _SHOWN} more" if len(codes) > _SHOWN else "")
