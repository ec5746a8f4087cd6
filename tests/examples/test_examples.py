"""The examples run, on the bundled recording."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from streaming_asr.audio.sources import FileSource
from streaming_asr.command_line.demo import RECORDING

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
Run = Callable[..., list[str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run an example as a program with arguments; returns the lines that it prints."""

    def lines_of(name: str, *arguments: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return lines_of


def test_file_to_captions_prints_subtitles(run: Run) -> None:
    lines = run("file_to_captions.py", str(RECORDING))
    assert lines[0] == "1"
    assert lines[1].startswith("00:00:0")


def test_reading_events_tells_partials_finals_and_ends(run: Run) -> None:
    lines = run("reading_events.py", str(RECORDING))
    assert lines[0].endswith("someone speaks")
    assert lines[1].endswith("]")
    assert any("(confidence" in line for line in lines)
    assert "over: " in lines[-1]


def test_hotwords_are_tried_with_and_without(run: Run) -> None:
    without, with_ = run("hotwords.py", str(RECORDING), "mourning:12", "xylophone")
    assert len(without.removeprefix("without:").split()) > 20
    assert len(with_.removeprefix("with:").split()) > 20


def test_finalize_ends_utterances_where_the_program_says(run: Run) -> None:
    lines = run("custom_endpoint.py", str(RECORDING), "3.5", "9.2")
    assert [line.partition("]")[0] for line in lines] == ["[finalize", "[finalize", "[finish"]


def test_the_microphone_example_prints_utterances(capsys: pytest.CaptureFixture[str]) -> None:
    example = runpy.run_path(str(EXAMPLES / "microphone.py"))
    with FileSource(RECORDING) as source:
        example["captions"](source)
    assert len(capsys.readouterr().out.splitlines()) == 8
