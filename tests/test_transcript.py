"""What a recording says, as one value."""

from __future__ import annotations

import json

import pytest

from streaming_asr import events
from streaming_asr.errors import OptionError
from streaming_asr.events import Event, SpeechEnded, SpeechStarted, Word
from streaming_asr.exports import export
from streaming_asr.transcript import Transcript


def final(number: int, text: str, start: float) -> events.Final:
    words = tuple(Word(word, start + i, start + i + 0.5, 0.9) for i, word in enumerate(text.split()))
    return events.Final(number, text, words, start, start + len(words), 0.9, (), "silence", 0.0)


TOLD: list[Event] = [
    SpeechStarted(0, 1.0, 0.0),
    final(0, "hello world", 1.0),
    SpeechEnded(0, 2.5, "silence", 0.0),
    final(1, "", 4.0),
    final(2, "again", 5.0),
]


def test_a_transcript_holds_the_finals_that_have_words() -> None:
    transcript = Transcript.of(TOLD, duration=7.0, file="talk.wav")
    assert transcript.text == "hello world again"
    assert [word.text for word in transcript.words] == ["hello", "world", "again"]
    assert [final.utterance for final in transcript.utterances] == [0, 2]


def test_every_format_is_that_of_the_exports() -> None:
    transcript = Transcript.of(TOLD, duration=7.0, file="talk.wav")
    assert transcript.srt() == export(transcript.utterances, "srt")
    assert transcript.vtt() == export(transcript.utterances, "vtt")
    assert transcript.export("text") == "hello world\nagain\n"
    assert json.loads(transcript.json())["file"] == "talk.wav"
    assert json.loads(transcript.json())["duration"] == 7.0
    with pytest.raises(OptionError, match="'pdf'"):
        transcript.export("pdf")  # type: ignore[arg-type]


def test_silence_is_an_empty_transcript() -> None:
    transcript = Transcript.of([])
    assert (transcript.text, transcript.words, transcript.srt()) == ("", (), "")
