"""Files to transcripts, with a recognizer that says what it was told to say."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import soundfile

from streaming_asr.audio.encodings import Frames
from streaming_asr.command_line.delivery import Delivery, delivery_of
from streaming_asr.command_line.displays import NoDisplay
from streaming_asr.command_line.interruption import Interruption
from streaming_asr.command_line.options import ChoiceOptions, ModelOptions, RawAudioOptions, RecognitionOptions
from streaming_asr.command_line.recognition_loop import recognize_and_show
from streaming_asr.command_line.recognizers import ConfiguredRecognizer, SpeechRecognizer
from streaming_asr.command_line.transcripts import GrowingTranscript, Input, check_output, format_of, path_for
from streaming_asr.command_line.work import Wish, Work
from streaming_asr.errors import DeviceError, OptionError
from streaming_asr.exports import Format


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
    output_format: Format | None = "text",
    output: Path | None = None,
    *,
    several: bool = False,
    choice: ChoiceOptions | None = None,
    channel: int | None = None,
) -> None:
    wish = Wish(ModelOptions(), RecognitionOptions(), RawAudioOptions(), choice or ChoiceOptions(), workers=1)
    with ExitStack() as stack, Interruption() as interruption:
        work = Work(stack, wish, Delivery(output_format, output, False, several), interruption)
        work.use(ConfiguredRecognizer(recognizer, {"alternatives": 3}))
        work.transcribe(Input(str(path), channel, apart=channel is not None))


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
    transcribed(recording, recognizer, None)
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

    transcript = GrowingTranscript(Input("talk"))
    with Interruption() as interruption:
        recognize_and_show(
            recognizer.stream(sample_rate=16_000),
            interruption.until_asked(interrupted()),
            sample_rate=16_000,
            display=NoDisplay(),
            transcript=transcript,
        )
    assert interruption.asked
    assert [final.text for final in transcript.finals] == ["good morning", "thank you all"]
    assert transcript.seconds == 2.0


def test_what_was_heard_before_a_microphone_vanished_is_kept(recognizer: SpeechRecognizer) -> None:
    def broken() -> Iterator[Frames]:
        yield from silence(1)
        raise DeviceError("unplugged")

    transcript = GrowingTranscript(Input("microphone"))
    with pytest.raises(DeviceError):
        recognize_and_show(
            recognizer.stream(sample_rate=16_000),
            broken(),
            sample_rate=16_000,
            display=NoDisplay(),
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
    assert path_for(Input("in/talk.mp3"), "vtt", tmp_path / "x.vtt") == tmp_path / "x.vtt"
    assert path_for(Input("in/talk.mp3"), "vtt", tmp_path) == tmp_path / "talk.vtt"
    assert path_for(Input("-"), "json", tmp_path) == tmp_path / "standard-input.json"


def inputs(*names: str | Path) -> list[Input]:
    return [Input(str(name)) for name in names]


def test_outputs_that_cannot_work_are_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no folder"):
        check_output(inputs("a.wav"), "text", tmp_path / "none" / "a.txt")
    with pytest.raises(OptionError, match="several inputs"):
        check_output(inputs("a.wav", "b.wav"), "text", tmp_path / "a.txt")
    with pytest.raises(OptionError, match="several inputs"):
        check_output(inputs("x/a.wav", "y/a.mp3"), "text", tmp_path)
    with pytest.raises(OptionError, match="name a folder"):
        check_output(inputs("a.wav", "b.wav"), "srt", None)
    check_output(inputs("a.wav", "b.wav"), "srt", tmp_path)


def test_no_recording_is_overwritten(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="is an input"):
        check_output(inputs(recording), "text", recording)
    other = tmp_path / "other.txt"
    other.write_bytes(recording.read_bytes())
    with pytest.raises(OptionError, match=r"other\.txt is a recording"):
        check_output(inputs(recording), "text", other)
    (tmp_path / "talk.txt").write_text("an older transcript")
    check_output(inputs(recording), "text", tmp_path)


def test_a_suffix_that_says_no_format_is_refused() -> None:
    with pytest.raises(OptionError, match=r"film\.doc: \.doc says no format; end it in \.txt, \.json, \.srt, \.vtt"):
        format_of(Path("film.doc"))


def test_the_name_of_the_output_chooses_the_format_unless_one_is_given(tmp_path: Path) -> None:
    talk = inputs("talk.wav")
    assert delivery_of(talk, None, tmp_path / "film.srt", realtime=False).format == "srt"
    assert delivery_of(talk, "vtt", tmp_path / "film.srt", realtime=False).format == "vtt"
    assert delivery_of(talk, None, None, realtime=False).format == "text"


def test_a_transcript_that_cannot_be_written_goes_to_standard_output(
    recording: Path, recognizer: SpeechRecognizer, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OSError, match="/dev/full cannot be written: No space left on device; the transcript is on"):
        transcribed(recording, recognizer, "text", Path("/dev/full"))
    assert capsys.readouterr().out == "good morning\nthank you all\n"


def test_a_channel_that_is_heard_apart_has_a_transcript_of_its_own(
    recording: Path, recognizer: SpeechRecognizer, capsys: pytest.CaptureFixture[str]
) -> None:
    transcribed(recording, recognizer, "json", channel=1)
    found = json.loads(capsys.readouterr().out)
    assert (found["file"], found["channel"]) == (str(recording), 1)
    transcribed(recording, recognizer, "srt", recording.parent, channel=1)
    assert (recording.parent / "talk.channel-1.srt").exists()


def test_a_recording_without_words_gets_a_hint(
    recording: Path, capsys: pytest.CaptureFixture[str], silent: SpeechRecognizer
) -> None:
    transcribed(recording, silent)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "no words in 4.0 s: there is only silence" in captured.err
    rate = 16_000
    quiet = 0.001 * np.sin(np.arange(rate, dtype=np.float32))
    soundfile.write(recording, quiet, rate, subtype="FLOAT")
    transcribed(recording, silent)
    assert "no words in 1.0 s, whose loudest moment is at -63 dBFS: what is below -60 dBFS" in capsys.readouterr().err
