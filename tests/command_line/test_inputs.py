"""What a file name on the command line means, and what a pipe holds."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streaming_asr.audio.encodings import Frames
from streaming_asr.command_line.inputs import duration, open_input
from streaming_asr.command_line.options import RawAudioOptions
from streaming_asr.errors import AudioError
from tests.audio.recordings import FIRST, SECOND, coded, index_first, spans, tone, wav

RAW = RawAudioOptions(encoding="mulaw", sample_rate=8000, channels=2)
LINEAR = RawAudioOptions()


class Standard:
    """What stands in for `sys.stdin`: a file, or a pipe that somebody fills."""

    def __init__(self, buffer: io.BufferedIOBase | io.BufferedReader) -> None:
        self.buffer = buffer

    def isatty(self) -> bool:
        return False


@contextmanager
def piped(monkeypatch: pytest.MonkeyPatch, content: bytes) -> Iterator[None]:
    """Standard input as a pipe that holds `content`."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as read, os.fdopen(writing, "wb") as write:

        def fill() -> None:
            write.write(content)
            write.close()

        filling = threading.Thread(target=fill)
        filling.start()
        monkeypatch.setattr(sys, "stdin", Standard(read))
        yield
        filling.join()


def samples_of(name: str, raw: RawAudioOptions = LINEAR) -> Frames:
    with open_input(name, raw) as source:
        assert (source.sample_rate, source.channels) == (16_000, 1)
        return np.concatenate(list(source))


def test_a_recording_knows_its_own_rate_whatever_the_raw_options_say(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(22_050, dtype=np.float32), 22_050)
    assert len(samples_of(str(tmp_path / "a.wav"), RAW)) == 16_000
    with open_input(str(tmp_path / "a.wav"), RAW) as source:
        assert duration(source) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("name", ["a.raw", "a.PCM", "a.ul", "a.alaw"])
def test_a_file_without_header_is_what_the_raw_options_say(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(bytes(16_000))
    assert len(samples_of(str(tmp_path / name), RAW)) == 16_000


def test_a_raw_file_that_is_not_there_is_named() -> None:
    with pytest.raises(AudioError, match=r"nowhere\.raw"), open_input("nowhere.raw", RAW):
        pass


FILES = {
    "wav": ("wav", "pcm_s16le"),
    "mp3 with a tag": ("mp3", "libmp3lame"),
    "adts": ("adts", "aac"),
    "ogg": ("ogg", "libopus"),
    "webm": ("webm", "libopus"),
    "transport stream": ("mpegts", "aac"),
    "mp4": ("mp4", "aac"),
    "aiff": ("aiff", "pcm_s16be"),
}


@pytest.mark.parametrize("name", FILES)
def test_standard_input_takes_what_files_take(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    content = coded([tone(FIRST, 1, 48_000)], *FILES[name])
    with piped(monkeypatch, content):
        assert spans(samples_of("-")) == [pytest.approx((FIRST, 0.0, 1.0), abs=0.13)]
    (tmp_path / "file").write_bytes(content)
    with (tmp_path / "file").open("rb") as file:
        monkeypatch.setattr(sys, "stdin", Standard(file))
        assert spans(samples_of("-")) == [pytest.approx((FIRST, 0.0, 1.0), abs=0.13)]


def test_an_mp3_stream_without_any_tag_is_no_raw_audio(monkeypatch: pytest.MonkeyPatch) -> None:
    content = coded([tone(FIRST, 1, 48_000)], "mp3", "libmp3lame")
    with piped(monkeypatch, content[content.index(b"\xff\xfb") :]):
        assert spans(samples_of("-")) == [pytest.approx((FIRST, 0.0, 1.0), abs=0.13)]


def test_an_mp4_file_whose_index_comes_last_is_read_to_its_end_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with piped(monkeypatch, coded([tone(FIRST, 1, 48_000)], "mp4", "aac")):
        assert len(samples_of("-")) > 15_000
    assert "standard input is an MP4 file whose index comes last" in capsys.readouterr().err


def test_mp4_files_one_behind_the_other_are_all_heard_from_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    movies = [index_first(coded([tone(hertz, 1, 48_000)], "mp4", "aac")) for hertz in (FIRST, SECOND)]
    with piped(monkeypatch, b"".join(movies)):
        found = spans(samples_of("-"))
    assert found == [pytest.approx((FIRST, 0.0, 1.0), abs=0.13), pytest.approx((SECOND, 1.0, 2.0), abs=0.13)]


def test_raw_samples_in_a_pipe_are_what_the_options_say(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = (tone(FIRST, 1) * 32_767).astype("<i2").tobytes()
    with piped(monkeypatch, samples):
        assert spans(samples_of("-")) == [pytest.approx((FIRST, 0.0, 1.0))]


def test_a_named_pipe_is_read_like_standard_input(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    filling = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[wav(tone(FIRST, 1))])
    filling.start()
    assert spans(samples_of(str(tmp_path / "pipe"))) == [pytest.approx((FIRST, 0.0, 1.0))]
    filling.join()


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "standard input is empty"), (b"Dear Sir or Madam,\n" * 9, "standard input is text, not audio: it begins")],
)
def test_a_pipe_without_audio_is_named(content: bytes, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with piped(monkeypatch, content), pytest.raises(AudioError, match=said):
        samples_of("-")


def test_standard_input_that_is_closed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(AudioError, match="standard input is closed"):
        samples_of("-")
