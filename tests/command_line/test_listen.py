"""The microphone's part of `listen`, with a sound library that is played by the test."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streaming_asr.audio.microphone import InputDevice, Microphone
from streaming_asr.command_line.devices import listing
from streaming_asr.command_line.interruption import Interruption
from streaming_asr.command_line.listen import Keeper, tell_losses, until_stopped
from streaming_asr.command_line.transcripts import GrowingTranscript, Input
from streaming_asr.events import Final, Word


class SoundLibrary:
    """One microphone at 8 kHz; `speak` is what its driver would call."""

    PortAudioError: type[Exception] = RuntimeError

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}

    def query_devices(self, device: int | str | None = None, kind: str | None = None) -> Any:
        return {"index": 3, "name": "Desk", "hostapi": 0, "max_input_channels": 1, "default_samplerate": 8000.0}

    def query_hostapis(self, index: int | None = None) -> Any:
        return {"name": "ALSA"}

    def InputStream(self, **options: Any) -> SoundLibrary:  # noqa: N802
        self.options = options
        return self

    def start(self) -> None: ...
    def close(self) -> None: ...

    def speak(self, value: float, frames: int = 400) -> None:
        self.options["callback"](np.full((frames, 1), value, dtype=np.float32), frames, None, Status())


class Status:
    input_overflow = False


def test_what_waits_in_the_queue_at_ctrl_c_is_still_heard() -> None:
    library = SoundLibrary()
    microphone = Microphone(library=library)
    heard = []
    with Interruption() as interruption:
        for value in (0.1, 0.2, 0.3):
            library.speak(value)
        for piece in until_stopped(microphone, interruption):
            heard.append(round(float(piece[0, 0]), 1))
            if len(heard) == 1:
                os.kill(os.getpid(), signal.SIGINT)
    assert heard == [0.1, 0.2, 0.3]


def test_ctrl_c_ends_a_wait_for_a_silent_microphone() -> None:
    microphone = Microphone(library=SoundLibrary(), timeout_s=30)
    with Interruption() as interruption:
        threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        assert list(until_stopped(microphone, interruption)) == []


def test_lost_audio_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    library = SoundLibrary()
    microphone = Microphone(library=library, queue_ms=50)
    tell_losses(microphone)
    assert capsys.readouterr().err == ""
    library.speak(0.1)
    library.speak(0.2)
    tell_losses(microphone)
    assert "audio was lost 1 times (0.1 s)" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.txt", "a.json", "a.srt"])
def test_a_saved_transcript_is_complete_after_every_utterance(name: str, tmp_path: Path) -> None:
    transcript = GrowingTranscript(Input("microphone"))
    keeper = Keeper(transcript, tmp_path / name)
    word = Word("hello", 0.1, 0.4, 0.9)
    for count in (1, 2):
        transcript.finals.append(Final(0, "hello", (word,), 0.1, 0.4, 0.9, (), "silence", 0.0))
        keeper.keep(transcript.finals[-1])
        text = (tmp_path / name).read_text()
        assert text.count('"word": "hello"' if name == "a.json" else "hello") == count
    if name == "a.json":
        assert json.loads(text)["text"] == "hello hello"


def test_a_full_disk_is_told_once_and_does_not_stop_the_listening(capsys: pytest.CaptureFixture[str]) -> None:
    final = Final(0, "hello", (Word("hello", 0.1, 0.4, 0.9),), 0.1, 0.4, 0.9, (), "silence", 0.0)
    keeper = Keeper(GrowingTranscript(Input("microphone"), [final]), Path("/dev/full"))
    keeper.keep(final)
    keeper.keep(final)
    assert capsys.readouterr().err.count("No space left on device") == 1
    with pytest.raises(OSError, match="No space left"):
        keeper.finish()


def test_the_list_of_microphones_marks_the_default() -> None:
    table = listing([InputDevice(0, "Desk", "ALSA", 2, 48_000, False), InputDevice(3, "USB", "ALSA", 1, 16_000, True)])
    assert [list(column.cells) for column in table.columns][:3] == [["", "*"], ["0", "3"], ["Desk", "USB"]]
