"""How a live transcript felt: what was shown and taken back, how late words came, how late finals.

All of it is computed from events and the times at which they arrived, so a real run and a replayed one are measured
alike. Words that were shown and changed: Shangguan et al. 2020, "Analyzing the quality and stability of a streaming
end-to-end on-device speech recognizer". Edit overhead: Baumann et al. 2009, "Assessing and improving the performance
of speech recognition for incremental systems".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise

import numpy as np

from streaming_asr.events import Event, Final, Partial, SpeechStarted


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event and when it arrived, in seconds since the first sample was spoken."""

    time: float
    event: Event


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Median, 95th percentile and greatest of some seconds; `count` of them."""

    p50: float
    p95: float
    maximum: float
    count: int


@dataclass(frozen=True, slots=True)
class Measures:
    """The figures of one run; delays in seconds, None where nothing of the kind happened.

    `final_words`: words of all finals.
    `unstable_words`: words of partials that the next picture of the utterance showed differently or not at all, over
    `final_words`; `unstable_words_but_growing` does not count a last word that merely went on.
    `edit_overhead`: share of all additions and removals of words that were not needed for the finals.
    `committed_revisions`: committed words that changed; must be 0.
    `first_word`: from the start of speech to the first word shown.
    `commit`: from the end of a word to the picture in which it stands.
    `final`: from the end of the last word of an utterance to its final.
    """

    finals: int
    final_words: int
    unstable_words: float | None
    unstable_words_but_growing: float | None
    edit_overhead: float | None
    committed_revisions: int
    first_word: Percentiles | None
    commit: Percentiles | None
    final: Percentiles | None


@dataclass(frozen=True, slots=True)
class _Utterance:
    started: float | None
    partials: tuple[tuple[float, Partial], ...]
    final_time: float
    final: Final

    def texts(self) -> list[list[str]]:
        """Everything shown, in order, as lists of words; the final is the last."""
        return [*(_texts(partial) for _, partial in self.partials), _texts(self.final)]


def measure(arrivals: Iterable[Arrival]) -> Measures:
    """The figures of a run from all its events in the order of their arrival."""
    utterances = list(_utterances(list(arrivals)))
    words = sum(len(utterance.final.words) for utterance in utterances)
    steps = [step for utterance in utterances for step in pairwise(utterance.texts())]
    removed = sum(_removed(before, after) for before, after in steps)
    grown = sum(_only_grew(before, after) for before, after in steps)
    return Measures(
        finals=sum(1 for utterance in utterances if utterance.final.words),
        final_words=words,
        unstable_words=removed / words if words else None,
        unstable_words_but_growing=(removed - grown) / words if words else None,
        edit_overhead=2 * removed / (words + 2 * removed) if words else None,
        committed_revisions=sum(_committed_revisions(utterance) for utterance in utterances),
        first_word=percentiles(delay for utterance in utterances for delay in _first_word(utterance)),
        commit=percentiles(delay for utterance in utterances for delay in _commit_delays(utterance)),
        final=percentiles(
            utterance.final_time - utterance.final.words[-1].end for utterance in utterances if utterance.final.words
        ),
    )


def percentiles(delays: Iterable[float]) -> Percentiles | None:
    """Their median, 95th percentile and maximum, or None of nothing."""
    values = np.fromiter(delays, dtype=np.float64)
    if not len(values):
        return None
    p50, p95 = np.percentile(values, [50, 95])
    return Percentiles(float(p50), float(p95), float(values.max()), len(values))


def _utterances(arrivals: Sequence[Arrival]) -> Iterable[_Utterance]:
    for _, group in groupby(arrivals, key=lambda arrival: arrival.event.utterance):
        own = list(group)
        started = next((a.event.time for a in own if isinstance(a.event, SpeechStarted)), None)
        partials = tuple((a.time, a.event) for a in own if isinstance(a.event, Partial))
        for arrival in own:
            if isinstance(arrival.event, Final):
                yield _Utterance(started, partials, arrival.time, arrival.event)


def _shared(before: Sequence[str], after: Sequence[str]) -> int:
    """How many words both begin with."""
    return next(
        (index for index, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]),
        min(len(before), len(after)),
    )


def _removed(before: Sequence[str], after: Sequence[str]) -> int:
    return len(before) - _shared(before, after)


def _only_grew(before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether the last word, not yet fully heard, is all that changed, and only by going on."""
    shared = _shared(before, after)
    return len(before) == shared + 1 and len(after) > shared and after[shared].startswith(before[shared])


def _texts(event: Partial | Final) -> list[str]:
    """The words that were shown."""
    return [word.text for word in event.words] or event.text.split()


def _committed(partial: Partial) -> int:
    """How many of its words stand."""
    letters = len("".join(partial.committed.split()))
    ends = accumulate(len(text) for text in _texts(partial))
    return sum(end <= letters for end in ends)


def _committed_revisions(utterance: _Utterance) -> int:
    committed = [_texts(partial)[: _committed(partial)] for _, partial in utterance.partials]
    return sum(_removed(before, after) for before, after in pairwise([*committed, _texts(utterance.final)]))


def _first_word(utterance: _Utterance) -> Iterable[float]:
    shown = next((time for time, partial in utterance.partials if partial.text), None)
    if shown is not None and utterance.started is not None:
        yield shown - utterance.started


def _commit_delays(utterance: _Utterance) -> Iterable[float]:
    standing = 0
    shown = [(time, _committed(partial)) for time, partial in utterance.partials]
    for time, committed in [*shown, (utterance.final_time, len(utterance.final.words))]:
        for word in utterance.final.words[standing:committed]:
            yield time - word.end
        standing = max(standing, committed)
