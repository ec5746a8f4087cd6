"""What a recording says, as one value: its utterances and words, and the formats that players and programs read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from streaming_asr import events
from streaming_asr.events import Event, Word
from streaming_asr.exports import Format, SubtitleOptions, export


@dataclass(frozen=True, slots=True)
class Transcript:
    """The finals of one recording that have words, in order; `duration` of the audio in seconds, `file` as named."""

    utterances: tuple[events.Final, ...]
    duration: float = 0.0
    file: str | None = None

    @classmethod
    def of(cls, told: Iterable[Event], *, duration: float = 0.0, file: str | None = None) -> Self:
        """The transcript of all events of a stream."""
        finals = tuple(event for event in told if isinstance(event, events.Final) and event.text)
        return cls(finals, duration, file)

    @property
    def text(self) -> str:
        """All that was said, in one line."""
        return " ".join(final.text for final in self.utterances)

    @property
    def formatted(self) -> str:
        """All that was said, in one line, with marks, capitals and figures if a text model is there."""
        return " ".join(final.readable.text for final in self.utterances)

    @property
    def words(self) -> tuple[Word, ...]:
        """All words, with their times in seconds."""
        return tuple(word for final in self.utterances for word in final.words)

    def srt(self, options: SubtitleOptions | None = None) -> str:
        """Subtitles in the SubRip format."""
        return self.export("srt", options)

    def vtt(self, options: SubtitleOptions | None = None) -> str:
        """Subtitles in the WebVTT format."""
        return self.export("vtt", options)

    def json(self) -> str:
        """One JSON object with file, duration, text, utterances and words."""
        return self.export("json")

    def export(self, output_format: Format, options: SubtitleOptions | None = None) -> str:
        """The transcript as "text" (a line per utterance), "json", "srt" or "vtt"; it ends in a newline unless empty.

        `options` count for subtitles. Raises OptionError for an unknown format.
        """
        return export(self.utterances, output_format, file=self.file, duration=self.duration, options=options)
