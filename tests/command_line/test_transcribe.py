"""Files to transcripts, with a recognizer that says what it was told to say."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import soundfile

from streaming_asr.audio.encodings import Frames
from streaming_asr.command_line.captioning import caption
from streaming_asr.command_line.interruption import Interruption
from streaming_asr.command_line.options import RawAudioOptions
from streaming_asr.command_line.recognizers import Ears, SpeechRecognizer
from streaming_asr.command_line.stages import SilentStage
from streaming_asr.command_line.transcribe import Delivery, OutputFormat, transcribe_input
from streaming_asr.command_line.transcripts import GrowingTranscript, check_output, format_of, path_for
from streaming_asr.errors import DeviceError, OptionError


class Opened(Protocol):
    options: dict[str, Any]
    seconds: float


class Recorder(SpeechRecognizer, Protocol):
    """A recognizer that keeps the streams it opened."""

    streams: list[Opened]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Four seconds of stereo at 8 kHz."""
    path = tmp_path / "talk.wav"
    soundfile.write(path, np.zeros((32_000, 2), dtype=np.float32), 8000)
    return path


def transcribed(
    path: Path,
    recognizer: SpeechRecognizer,
    output_format: OutputFormat = "text",
    output: Path | None = None,
    *,
    several: bool = False,
) -> None:
    ears = Ears(recognizer, {"alternatives": 3})
    with Interruption() as interruption:
        transcribe_input(
            str(path),
            ears,
            RawAudioOptions(),
            delivery=Delivery(output_format, output, realtime=False, several=several),
            interruption=interruption,
        )


def test_text_is_one_line_per_utterance(
    recording: Path, recognizer: SpeechRecognizer, capsys: pytest.CaptureFixture[str]
) -> None:
    transcribed(recording, recognizer)
    assert capsys.readouterr().out == "good morning\nthank you all\n"


def test_json_is_one_object_in_the_documented_shape(
    recording: Path, recognizer: SpeechRecognizer, capsys: pytest.CaptureFixture[str]
) -> None:
    transcribed(recording, recognizer, "json")
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["file", "duration", "text", "utterances"]
    assert (found["file"], found["duration"], found["text"]) == (str(recording), 4.0, "good morning thank you all")
    assert list(found["utterances"][0]) == ["start", "end", "text", "confidence", "words"]
    assert found["utterances"][0]["words"][0] == {"word": "good", "start": 0.2, "end": 0.5, "confidence": 0.9}


def test_events_come_as_lines_with_partials_before_finals(
    recording: Path, recognizer: SpeechRecognizer, capsys: pytest.CaptureFixture[str]
) -> None:
    transcribed(recording, recognizer, "events")
    kinds = [json.loads(line)["type"] for line in capsys.readouterr().out.splitlines()]
    assert kinds[:5] == ["SpeechStarted", "Partial", "Partial", "Final", "SpeechEnded"]


def test_the_stream_is_told_rate_channels_and_options(recording: Path, recognizer: Recorder) -> None:
    transcribed(recording, recognizer)
    assert recognizer.streams[0].options == {"sample_rate": 16_000, "channels": 1, "alternatives": 3}
    assert recognizer.streams[0].seconds == pytest.approx(4.0)


def test_a_transcript_can_be_written_to_a_folder(recording: Path, recognizer: SpeechRecognizer) -> None:
    transcribed(recording, recognizer, "srt", recording.parent)
    assert (recording.parent / "talk.srt").read_text().startswith("1\n00:00:00,200 --> ")


def test_texts_of_several_files_have_their_names_above_them(
    recording: Path, recognizer: SpeechRecognizer, capsys: pytest.CaptureFixture[str]
) -> None:
    transcribed(recording, recognizer, several=True)
    assert capsys.readouterr().out.startswith(f"==> {recording} <==\ngood morning\n")


def silence(seconds: int) -> Iterator[Frames]:
    for _ in range(seconds):
        yield np.zeros((16_000, 1), dtype=np.float32)


def test_ctrl_c_ends_the_audio_and_keeps_the_words(recognizer: SpeechRecognizer) -> None:
    def interrupted() -> Iterator[Frames]:
        yield from silence(2)
        os.kill(os.getpid(), signal.SIGINT)
        yield from silence(1000)

    transcript = GrowingTranscript("talk")
    with Interruption() as interruption:
        caption(
            recognizer.stream(sample_rate=16_000),
            interruption.until_asked(interrupted()),
            sample_rate=16_000,
            stage=SilentStage(),
            transcript=transcript,
        )
    assert interruption.asked
    assert [final.text for final in transcript.finals] == ["good morning", "thank you all"]
    assert transcript.seconds == 2.0


def test_what_was_heard_before_a_microphone_vanished_is_kept(recognizer: SpeechRecognizer) -> None:
    def broken() -> Iterator[Frames]:
        yield from silence(1)
        raise DeviceError("unplugged")

    transcript = GrowingTranscript("microphone")
    with pytest.raises(DeviceError):
        caption(
            recognizer.stream(sample_rate=16_000),
            broken(),
            sample_rate=16_000,
            stage=SilentStage(),
            transcript=transcript,
        )
    assert [final.text for final in transcript.finals] == ["good morning", "thank you all"]


@pytest.mark.parametrize(
    ("name", "output_format"),
    [("a.srt", "srt"), ("a.VTT", "vtt"), ("a.json", "json"), ("a.txt", "text"), ("notes", "text")],
)
def test_the_name_of_a_file_says_its_format(name: str, output_format: str) -> None:
    assert format_of(Path(name)) == output_format


def test_an_output_is_a_file_or_a_folder(tmp_path: Path) -> None:
    assert path_for("in/talk.mp3", "vtt", tmp_path / "x.vtt") == tmp_path / "x.vtt"
    assert path_for("in/talk.mp3", "vtt", tmp_path) == tmp_path / "talk.vtt"
    assert path_for("-", "json", tmp_path) == tmp_path / "standard-input.json"


def test_outputs_that_cannot_work_are_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no folder"):
        check_output(["a.wav"], "text", tmp_path / "none" / "a.txt")
    with pytest.raises(OptionError, match="several inputs"):
        check_output(["a.wav", "b.wav"], "text", tmp_path / "a.txt")
    with pytest.raises(OptionError, match="several inputs"):
        check_output(["x/a.wav", "y/a.mp3"], "text", tmp_path)
    with pytest.raises(OptionError, match="name a folder"):
        check_output(["a.wav", "b.wav"], "srt", None)
    check_output(["a.wav", "b.wav"], "srt", tmp_path)
