"""Transcripts from final events: plain text, JSON, and subtitles as SubRip (srt) and WebVTT (vtt)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any, Final, Literal, TypeAlias, get_args

from streaming_asr import events
from streaming_asr.errors import OptionError
from streaming_asr.events import Word
from streaming_asr.scripts import columns

Format: TypeAlias = Literal["text", "json", "srt", "vtt"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
_DECIMALS: Final = 3
"""Times are given to the millisecond, confidences to the thousandth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtitleOptions:
    """How subtitles are laid out.

    Attributes:
        line_length: most columns of a line: a wide character (Chinese, Japanese, Korean) fills two, a mark on another
            character none. A longer word is divided.
        lines: most lines of a cue.
        shortest: seconds that a cue stays at least, if the next one lets it.
        longest: seconds of speech that a cue holds at most, a single word apart.
        pause: seconds of silence between two words that always begin a new cue.

    Raises:
        OptionError: a value is out of range.
    """

    line_length: int = 42
    lines: int = 2
    shortest: float = 1.0
    longest: float = 7.0
    pause: float = 1.5

    def __post_init__(self) -> None:
        for name in ("line_length", "lines", "longest", "pause"):
            if getattr(self, name) <= 0:
                raise OptionError(f"{name} is {getattr(self, name)}; it must be over 0")
        if not 0 <= self.shortest <= self.longest:
            raise OptionError(f"shortest is {self.shortest}; it must be from 0 to longest, {self.longest}")


@dataclass(frozen=True, slots=True)
class Cue:
    """A subtitle: what is shown from `start` to `end`, both in milliseconds."""

    start: int
    end: int
    lines: tuple[str, ...]


def export(
    finals: Iterable[events.Final],
    output_format: Format,
    *,
    file: str | None = None,
    duration: float = 0.0,
    options: SubtitleOptions | None = None,
) -> str:
    """The transcript in a format, ending in a newline unless it is empty.

    `file` and `duration` (seconds) stand in JSON only, `options` count for subtitles only.

    Raises:
        OptionError: an unknown format.
    """
    match output_format:
        case "text":
            return to_text(finals)
        case "json":
            return json.dumps(to_object(finals, file=file, duration=duration), ensure_ascii=False) + "\n"
        case "srt":
            return to_srt(finals, options)
        case "vtt":
            return to_vtt(finals, options)
    raise OptionError(f"the format is {output_format!r}; it must be one of {', '.join(FORMATS)}")


def to_text(finals: Iterable[events.Final]) -> str:
    """One line per utterance that has words, as one reads it."""
    return "".join(f"{final.readable.text}\n" for final in finals if final.text)


def to_object(finals: Iterable[events.Final], *, file: str | None, duration: float) -> dict[str, Any]:
    """The transcript of one file as an object for JSON; times and `duration` in seconds."""
    said = [final for final in finals if final.text]
    return {
        "file": file,
        "duration": round(duration, _DECIMALS),
        "text": " ".join(final.text for final in said),
        **_formatted([final.formatted for final in said]),
        "utterances": [_utterance(final) for final in said],
    }


def _utterance(final: events.Final) -> dict[str, Any]:
    return {
        "start": round(final.start, _DECIMALS),
        "end": round(final.end, _DECIMALS),
        "text": final.text,
        **_formatted([final.formatted]),
        "confidence": round(final.confidence, _DECIMALS),
        "words": [_word(word) for word in final.words],
    }


def _formatted(parts: Sequence[events.Formatted | None]) -> dict[str, Any]:
    """The text as one reads it, where a text model has made it."""
    known = [part.text for part in parts if part is not None]
    return {"formatted": " ".join(known)} if known and len(known) == len(parts) else {}


def _word(word: Word) -> dict[str, Any]:
    return {
        "word": word.text,
        "start": round(word.start, _DECIMALS),
        "end": round(word.end, _DECIMALS),
        "confidence": round(word.confidence, _DECIMALS),
    }


def to_srt(finals: Iterable[events.Final], options: SubtitleOptions | None = None) -> str:
    """Subtitles in the SubRip format, for players and video editors."""
    return "\n".join(
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n" + "".join(f"{line}\n" for line in cue.lines)
        for number, cue in enumerate(cues(finals, options), start=1)
    )


def to_vtt(finals: Iterable[events.Final], options: SubtitleOptions | None = None) -> str:
    """Subtitles in the WebVTT format, for web pages. Source: W3C WebVTT, sections 4.1 and 4.2.2 (escapes)."""
    blocks = [
        f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n" + "".join(f"{_escaped(line)}\n" for line in cue.lines)
        for cue in cues(finals, options)
    ]
    return "\n".join(["WEBVTT\n", *blocks])


def _escaped(line: str) -> str:
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(milliseconds: int, point: str) -> str:
    seconds, thousandths = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{thousandths:03}"


def cues(finals: Iterable[events.Final], options: SubtitleOptions | None = None) -> list[Cue]:
    """Divide finals into subtitles: in order of time, never overlapping, broken where speech pauses."""
    options = options or SubtitleOptions()
    groups = [
        group
        for final in finals
        for run in _runs(_divided(_words(final), options.line_length), options.pause)
        for group in _grouped(run, options)
    ]
    timed = _timed([(group[0].start, group[-1].end) for group in groups], options.shortest)
    return [Cue(start, end, wrapped(group, options)) for group, (start, end) in zip(groups, timed, strict=True)]


def _words(final: events.Final) -> list[Word]:
    """The words as one reads them; the text as one word where a model gives no words."""
    readable = final.readable
    words = readable.words or (Word(readable.text, final.start, final.end, final.confidence),)
    return [word for word in words if word.text.strip()]


def _divided(words: Iterable[Word], most: int) -> list[Word]:
    """Cut words that fill more than a line (scripts without spaces), their time in proportion to the characters."""
    return [part for word in words for part in _parts(word, most)]


def _parts(word: Word, most: int) -> list[Word]:
    text = " ".join(word.text.split())
    second = (word.end - word.start) / len(text)
    parts: list[Word] = []
    for begin, stop in pairwise(_cuts(text, most)):
        start, end = word.start + begin * second, word.start + stop * second
        parts.append(Word(text[begin:stop], start, end, 1.0, word.joined if begin == 0 else True))
    return parts


def _cuts(text: str, most: int) -> list[int]:
    """Where a text is cut so that no part has more columns; no mark is cut off its character."""
    places, wide = [0], 0
    for place, character in enumerate(text):
        width = columns(character)
        if wide + width > most and wide:
            places.append(place)
            wide = 0
        wide += width
    return [*places, len(text)]


def _runs(words: Sequence[Word], pause: float) -> list[list[Word]]:
    """Words between which nobody pauses for long."""

    def take(runs: list[list[Word]], word: Word) -> list[list[Word]]:
        if runs and word.start - runs[-1][-1].end < pause:
            runs[-1].append(word)
        else:
            runs.append([word])
        return runs

    return reduce(take, words, [])


def _grouped(words: Sequence[Word], options: SubtitleOptions) -> list[list[Word]]:
    """The best division of a run into cues: few, evenly filled, ending where there is a pause.

    Dynamic programming over the places where a cue may end; a cue holds a bounded number of words, so that the work
    grows with the length of the run only.
    """
    best: list[tuple[float, int]] = [
        (0.0, 0)
    ]  # cost of the words before a place, and where the last cue before it began
    for stop in range(1, len(words) + 1):
        best.append(min(_candidates(words, stop, best, options)))
    groups: list[list[Word]] = []
    stop = len(words)
    while stop:
        start = best[stop][1]
        groups.append(list(words[start:stop]))
        stop = start
    return groups[::-1]


def _candidates(
    words: Sequence[Word], stop: int, best: Sequence[tuple[float, int]], options: SubtitleOptions
) -> Iterable[tuple[float, int]]:
    """Cost and start of every cue that may end at a place."""
    after = words[stop].start - words[stop - 1].end if stop < len(words) else options.pause
    for start in range(stop - 1, -1, -1):
        group = words[start:stop]
        fits = len(_filled(group, options.line_length)) <= options.lines
        if len(group) > 1 and not (fits and group[-1].end - group[0].start <= options.longest):
            return
        filled = sum(columns(word.text) + (not word.joined) for word in group)
        unfilled = 1 - filled / (options.line_length * options.lines)
        # A pause of 0.6 s is worth nearly a cue more; longer ones say no more about where a phrase ends.
        worth = 0.8 * min(1.0, max(0.0, after) / 0.6)
        yield best[start][0] + 1 + unfilled**2 - max(worth, _worth(words[stop - 1].text)), start


def _worth(text: str) -> float:
    """What it is worth, in cues, to end a cue behind a word: sentence ends come first, then commas."""
    if text.endswith((".", "?", "!", "。", "？", "！")):
        return 0.95
    return 0.4 if text.endswith((",", ";", ":", "、", "，", "；", "：", "،")) else 0.0


def wrapped(words: Sequence[Word], options: SubtitleOptions) -> tuple[str, ...]:
    """Break words into the fewest lines that hold them, as even as that allows."""
    widest = options.line_length
    lines = _filled(words, widest)
    for width in range(widest - 1, 0, -1):
        narrower = _filled(words, width)
        if len(narrower) > len(lines) or max(map(columns, narrower)) > width:
            break
        lines = narrower
    return tuple(lines)


def _filled(words: Sequence[Word], width: int) -> list[str]:
    lines: list[str] = []
    wide = 0
    for word in words:
        gap = "" if word.joined else " "
        own = columns(word.text)
        if lines and wide + len(gap) + own <= width:
            lines[-1] += gap + word.text
            wide += len(gap) + own
        else:
            lines.append(word.text)
            wide = own
    return lines


def _timed(spans: Sequence[tuple[float, float]], shortest: float) -> list[tuple[int, int]]:
    """Spans of seconds as milliseconds that never overlap, each as long as asked for where the next one lets it."""
    starts = [round(start * 1000) for start, _ in spans]
    timed: list[tuple[int, int]] = []
    for index, (_, end) in enumerate(spans):
        start = max(starts[index], timed[-1][1] if timed else 0)
        spoken = max(round(end * 1000), start + 1)
        room = starts[index + 1] if index + 1 < len(spans) else start + round(shortest * 1000)
        timed.append((start, max(spoken, min(start + round(shortest * 1000), room))))
    return timed
