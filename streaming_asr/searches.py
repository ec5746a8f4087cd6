"""The searches of one stream: made anew for every utterance, with the hotwords that hold at that moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from weakref import WeakSet

from streaming_asr.decoding import Alphabet, BeamSearch, GreedySearch, Hotwords, LanguageModel, Search
from streaming_asr.engine import Work
from streaming_asr.errors import OptionError
from streaming_asr.session import Session

HotwordList = Mapping[str, float] | Sequence[str]
"""Words, or phrases, with or without a weight each."""


class SearchFactory:
    """Makes the searches of one stream, one per utterance, with the hotwords that hold at the time."""

    def __init__(
        self,
        alphabet: Alphabet,
        beam_width: int,
        language_model: LanguageModel | None,
        hotwords: HotwordList | None,
    ) -> None:
        if not 1 <= beam_width <= 10_000:
            raise OptionError(f"beam_width is {beam_width}; it must be from 1 to 10000")
        self._alphabet = alphabet
        self._beam_width = beam_width
        self._language_model = language_model
        self.hotwords = Hotwords(hotwords or {}, alphabet)
        self._opened: WeakSet[Search] = WeakSet()

    def open(self) -> Search:
        """A fresh search."""
        search = self._open()
        self._opened.add(search)
        return search

    def _open(self) -> Search:
        if self._beam_width == 1:
            return GreedySearch(self._alphabet)
        return BeamSearch(
            self._alphabet,
            beam_width=self._beam_width,
            language_model=self._language_model,
            hotwords=self.hotwords,
        )

    def change(self, hotwords: HotwordList | None) -> Work:
        """The work that puts new hotwords in force, for the utterance under way too."""
        changed = Hotwords(hotwords or {}, self._alphabet)

        def work(session: Session) -> None:
            self.hotwords = changed
            for search in self._opened:
                search.set_hotwords(changed)

        return work
