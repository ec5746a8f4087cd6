"""What the page listens to besides the microphone, and what becomes of its transcript."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from streaming_asr.audio.samples import SAMPLE_RATE
from tests.web.pages import OpenPage, until_finals
from tests.web.watching import Watched

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Three utterances of five words in stereo at 44.1 kHz, one second each."""
    levels = np.tile(np.repeat([0.3, 0.0], 22_050), 3)
    tones = levels * np.sin(2 * np.pi * 400 * np.arange(len(levels)) / 44_100)
    path = tmp_path / "talk.wav"
    soundfile.write(path, np.stack([tones, tones], axis=1), 44_100, subtype="PCM_16")
    return path


def words_of(watched: Watched) -> list[int]:
    return [len(text.split()) for text in watched.finals()]


def test_a_recording_that_is_chosen_is_read_to_its_end(open_page: OpenPage, recording: Path) -> None:
    watched = open_page()
    watched.page.set_input_files("#file", recording)
    until_finals(watched, 3)
    watched.wait_for_phase("idle")
    (finished,) = watched.messages("finished")
    assert finished["samples"] == pytest.approx(3 * SAMPLE_RATE, abs=200)
    assert words_of(watched)[1:] == [5, 5]


def test_a_recording_that_is_dropped_is_read(open_page: OpenPage, recording: Path) -> None:
    watched = open_page()
    drop = """(bytes) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(bytes)], "talk.wav", { type: "audio/wav" }));
      for (const kind of ["dragover", "drop"]) dispatchEvent(new DragEvent(kind, { dataTransfer: data }));
    }"""
    watched.page.evaluate(drop, list(recording.read_bytes()))
    until_finals(watched, 3)
    watched.wait_for_phase("idle")
    assert watched.problems == []


def test_what_is_no_recording_is_named(open_page: OpenPage, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no sound")
    watched = open_page()
    watched.page.set_input_files("#file", tmp_path / "notes.txt")
    assert "cannot play this file: notes.txt" in watched.notice()
    watched.wait_for_phase("idle")


def test_the_sound_of_a_tab_is_listened_to_and_its_end_ends_it(open_page: OpenPage) -> None:
    watched = open_page()
    watched.page.evaluate("""() => {
      const ask = navigator.mediaDevices.getDisplayMedia.bind(navigator.mediaDevices);
      navigator.mediaDevices.getDisplayMedia = async (options) => (window.shared = await ask(options));
    }""")
    watched.page.click("#source-choice")
    watched.page.click('[data-source="tab"]')
    watched.start()
    until_finals(watched, 1)
    watched.page.evaluate("shared.getAudioTracks()[0].dispatchEvent(new Event('ended'))")
    assert "not shared any more" in watched.notice()
    watched.wait_for_phase("idle")


def test_a_tab_without_sound_is_told(open_page: OpenPage) -> None:
    watched = open_page()
    watched.page.evaluate("navigator.mediaDevices.getDisplayMedia = async () => new MediaStream()")
    watched.page.click("#source-choice")
    watched.page.click('[data-source="tab"]')
    watched.page.click("#start")
    assert "no sound" in watched.notice()


def test_the_transcript_is_there_after_a_reload_and_goes_on_behind_it(open_page: OpenPage, recording: Path) -> None:
    watched = open_page()
    watched.page.set_input_files("#file", recording)
    until_finals(watched, 3)
    watched.wait_for_phase("idle")
    texts = watched.finals()
    watched.page.reload()
    assert watched.finals() == texts
    watched.page.set_input_files("#file", recording)
    until_finals(watched, 6)
    starts = [float(time[2:-1]) for time in times_shown(watched)]
    assert starts == sorted(starts)
    assert starts[3] >= 3.0
    watched.wait_for_phase("idle")
    watched.page.click("#save summary")
    watched.page.click("#clear")
    watched.page.reload()
    assert watched.finals() == []


def times_shown(watched: Watched) -> list[str]:
    times: list[str] = watched.page.locator("#utterances time").evaluate_all("(all) => all.map((one) => one.dateTime)")
    return times


def test_a_line_is_corrected_before_it_is_saved(open_page: OpenPage, recording: Path) -> None:
    watched = open_page()
    watched.page.set_input_files("#file", recording)
    until_finals(watched, 3)
    watched.wait_for_phase("idle")
    watched.page.keyboard.press("F2")
    watched.page.keyboard.press("Control+A")
    watched.page.keyboard.type("What was really said")
    watched.page.keyboard.press("Enter")
    assert watched.finals()[2] == "What was really said"
    watched.page.hover("#utterances li:nth-child(1)")
    watched.page.click("#utterances li:nth-child(1) .edit")
    watched.page.keyboard.type(" not this")
    watched.page.keyboard.press("Escape")
    assert "not this" not in watched.finals()[0]
    assert "What was really said" in saved(watched, "srt")
    watched.page.reload()
    assert watched.finals()[2] == "What was really said"


def saved(watched: Watched, ending: str) -> str:
    watched.page.click("#save summary")
    with watched.page.expect_download() as download:
        watched.page.click(f'[data-format="{ending}"]')
    return Path(download.value.path()).read_text("utf-8")


def test_a_line_without_words_is_removed_and_can_be_brought_back(open_page: OpenPage, recording: Path) -> None:
    watched = open_page()
    watched.page.set_input_files("#file", recording)
    until_finals(watched, 3)
    watched.wait_for_phase("idle")
    watched.page.dblclick("#utterances li:nth-child(2) > span")
    watched.page.keyboard.press("Control+A")
    watched.page.keyboard.press("Backspace")
    watched.page.keyboard.press("Enter")
    assert len(watched.finals()) == 2
    watched.page.click("#notice-action")
    assert len(watched.finals()) == 3


def test_text_as_one_reads_it_is_shown_and_the_raw_words_on_demand(open_page: OpenPage) -> None:
    show = """async ([sentences]) => {
      const { applied, EMPTY } = await import("/transcript.js");
      const { worded } = await import("/lettering.js");
      const word = { text: "readable", start: 1, end: 2, confidence: 1 };
      const readable = { committed: "Readable, at last.", tail: "", words: [{ ...word, text: "Readable," }] };
      const final = { type: "final", text: "readable at last", start: 1, end: 2, words: [word], formatted: readable };
      const [line] = applied(EMPTY, final).utterances;
      const { text, words } = worded(line, { sentences, english: true });
      return [text, words[0].text];
    }"""
    page = open_page().page
    assert page.evaluate(show, [True]) == ["Readable, at last.", "Readable,"]
    assert page.evaluate(show, [False]) == ["readable at last", "readable"]
