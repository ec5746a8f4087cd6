"""A person opens the page and speaks: Chromium, the real server, the embedded model, and a network that breaks."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
from jiwer import cer

from streaming_asr import Recognizer, exports
from streaming_asr.events import Final
from tests.web.browsers import OpenBrowser
from tests.web.cutting import CutableWay, cutable
from tests.web.serving import MICROPHONE_RATE, as_microphone, demo
from tests.web.watching import Pcm, Watched, audio_sent, watch

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "protocol.schema.json").read_text("utf-8"))
SPOKEN = demo(16)
"""Three sentences of the bundled recording, and the beginning of the fourth."""


@dataclass(frozen=True)
class Spoken:
    """What a page showed in the end of the bundled recording, and what the library makes of the audio that it sent."""

    watched: Watched
    finals: list[str]
    audio: Pcm
    reference: list[Final]


def recognized(recognizer: Recognizer, audio: Pcm) -> list[Final]:
    stream = recognizer.stream(encoding="linear16", sample_rate=MICROPHONE_RATE)
    events = [*stream.push(audio.astype("<i2").tobytes()), *stream.finish()]
    return [event for event in events if isinstance(event, Final)]


def break_the_way(way: CutableWay, disturbed: Watched, began: float) -> None:
    """Cut the connection in the middle of words, for a moment and for longer."""
    for at, down in ((5.0, 0.1), (10.0, 2.0)):
        disturbed.page.wait_for_timeout(max(0.0, at - (time.monotonic() - began)) * 1000)
        way.cut()
        disturbed.page.wait_for_timeout(down * 1000)
        way.mend()
        disturbed.wait_for_phase("listening")


@pytest.fixture(scope="module")
def pages(server: str, open_browser: OpenBrowser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Watched]]:
    """Two pages that hear the bundled recording: one in peace, one whose connection is cut twice."""
    wav = as_microphone(SPOKEN, tmp_path_factory.mktemp("web") / "demo.wav")
    with cutable(urlsplit(server).port or 0) as way:
        pages = []
        for address in (server, way.address):
            context = open_browser(wav).new_context(permissions=["microphone", "clipboard-read", "clipboard-write"])
            pages.append(watch(context.new_page()))
            pages[-1].page.goto(address)
        began = time.monotonic()
        for page in pages:
            page.start()
        break_the_way(way, pages[1], began)
        pages[0].page.wait_for_timeout(max(0.0, began + len(SPOKEN) / 16_000 + 0.8 - time.monotonic()) * 1000)
        for page in pages:
            page.stop()
        yield pages


@pytest.fixture(scope="module")
def recognizer() -> Iterator[Recognizer]:
    with Recognizer.load() as recognizer:
        yield recognizer


@pytest.fixture(scope="module")
def spoken(pages: list[Watched], recognizer: Recognizer) -> list[Spoken]:
    audio = [audio_sent(page.sockets) for page in pages]
    return [
        Spoken(page, page.finals(), sent, recognized(recognizer, sent)) for page, sent in zip(pages, audio, strict=True)
    ]


@pytest.fixture
def calm(spoken: list[Spoken]) -> Spoken:
    return spoken[0]


@pytest.fixture
def disturbed(spoken: list[Spoken]) -> Spoken:
    return spoken[1]


def test_words_appear_while_they_are_spoken(calm: Spoken) -> None:
    seen = calm.watched.seen()
    first_words = next(index for index, state in enumerate(seen) if state["tail"] or state["committed"])
    first_final = next(index for index, state in enumerate(seen) if state["finals"])
    assert first_words < first_final
    assert len({(state["committed"], state["tail"]) for state in seen}) > 3 * len(calm.finals)


def test_committed_words_do_not_change_on_the_page(calm: Spoken) -> None:
    seen = calm.watched.seen()
    for before, after in pairwise(seen):
        if before["finals"] == after["finals"] and after["committed"]:
            assert after["committed"].startswith(before["committed"])


def test_finals_are_what_the_library_makes_of_the_same_audio(calm: Spoken) -> None:
    assert [text.upper() for text in calm.finals] == [final.readable.text.upper() for final in calm.reference]
    assert len(calm.finals) >= 3


def test_the_microphone_is_sent_as_it_was_heard(calm: Spoken, recognizer: Recognizer) -> None:
    """The fake microphone changes a little (gain, buffers): the words are nearly those of the file itself."""
    stream = recognizer.stream(sample_rate=16_000)
    events = [*stream.push(SPOKEN), *stream.finish()]
    of_the_file = " ".join(event.text for event in events if isinstance(event, Final))
    assert cer(of_the_file.upper(), " ".join(calm.finals).upper()) < 0.15
    assert len(calm.audio) >= len(SPOKEN) * 3


def test_nothing_is_missing_after_the_connection_was_cut(disturbed: Spoken) -> None:
    resumed = [started["resumed"] for started in disturbed.watched.messages("started")]
    assert resumed == ["no", "session", "session"]
    assert [text.upper() for text in disturbed.finals] == [final.readable.text.upper() for final in disturbed.reference]
    assert len(disturbed.finals) >= 3


def test_the_server_has_heard_every_sample(spoken: list[Spoken]) -> None:
    for each in spoken:
        (finished,) = each.watched.messages("finished")
        assert finished["samples"] == len(each.audio)


def test_times_go_on_after_the_connection_was_cut(disturbed: Spoken) -> None:
    starts = {final["utterance"]: final["start"] for final in disturbed.watched.messages("final")}
    assert list(starts.values()) == pytest.approx([final.start for final in disturbed.reference])


def test_every_message_is_of_the_protocol(spoken: list[Spoken]) -> None:
    client = jsonschema.Draft202012Validator({**SCHEMA, "oneOf": [{"$ref": "#/$defs/client_message"}]})
    server = jsonschema.Draft202012Validator({**SCHEMA, "oneOf": [{"$ref": "#/$defs/server_message"}]})
    for socket in (socket for each in spoken for socket in each.watched.sockets):
        for message in socket.messages:
            client.validate(message)
        for message in socket.heard:
            server.validate(message)


def test_packets_last_20_to_40_milliseconds(calm: Spoken) -> None:
    (socket,) = calm.watched.sockets
    sizes = [len(data) // 2 / MICROPHONE_RATE for data in socket.sent if isinstance(data, bytes)]
    usual = [size for size in sizes if 0.02 <= size <= 0.04]
    assert len(usual) > 0.8 * len(sizes), "all but those that had to wait, which go together, and the last"


def test_latency_was_shown(calm: Spoken) -> None:
    calm.watched.page.wait_for_timeout(300)
    assert calm.watched.page.inner_text("#elapsed").startswith("0:1")
    partials = calm.watched.messages("partial")
    assert all(partial["lag"] >= 0 for partial in partials)


@pytest.mark.parametrize(("ending", "form"), [("txt", "text"), ("srt", "srt"), ("vtt", "vtt")])
def test_files_hold_what_was_said(calm: Spoken, ending: str, form: exports.Format) -> None:
    page = calm.watched.page
    page.click("#save summary")
    with page.expect_download() as download:
        page.click(f'[data-format="{ending}"]')
    assert download.value.suggested_filename.startswith("captions-20")
    assert download.value.suggested_filename.endswith(f".{ending}")
    saved = Path(download.value.path()).read_text("utf-8")
    assert saved.upper() == exports.export(calm.reference, form).upper()


def test_copying_copies_the_text(calm: Spoken) -> None:
    calm.watched.page.click("#copy")
    copied: Any = calm.watched.page.evaluate("navigator.clipboard.readText()")
    assert copied.splitlines() == calm.finals


def test_a_screen_reader_is_told_the_finals_only(calm: Spoken) -> None:
    page = calm.watched.page
    assert page.locator("#announcer p").all_text_contents() == calm.finals[-5:]
    live = "[...document.querySelectorAll('[aria-live], [role=log], [role=status], [role=alert]')]"
    assert page.evaluate(f"{live}.filter((region) => region.closest('main') && region.ariaLive !== 'off').length") == 0


def test_nothing_went_wrong_in_the_browser(calm: Spoken) -> None:
    assert calm.watched.problems == []
    assert calm.watched.violations() == []


def test_only_the_lost_connection_is_complained_about(disturbed: Spoken) -> None:
    assert disturbed.watched.violations() == []
    assert [said for said in disturbed.watched.problems if "net::ERR" not in said] == []
