"""The page with a scripted server: keys, limits, a server that is killed, keyboard, settings, overlay."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from streaming_asr_server.access.authentication import hash_key, new_key
from websockets.sync.client import connect

from tests.web.browsers import DENIED, OpenBrowser
from tests.web.cutting import cutable
from tests.web.pages import PERIOD, OpenPage, until_finals
from tests.web.serving import free_port, scripted_serving
from tests.web.watching import Watched, audio_sent

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


def mode(watched: Watched) -> str | None:
    found: str | None = watched.page.evaluate("document.documentElement.dataset.mode ?? null")
    return found


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A server that asks for a key and serves one stream at a time: its address, and a key."""
    key, path = new_key(), tmp_path_factory.mktemp("keys") / "keys.toml"
    path.write_text(f'[[keys]]\nname = "someone"\nsha256 = "{hash_key(key)}"\n')
    with scripted_serving(str(path), "1") as address:
        yield address, key


def test_a_server_with_keys_is_asked_in_plain_words(open_page: OpenPage, guarded: tuple[str, str]) -> None:
    address, key = guarded
    watched = open_page(address)
    watched.page.click("#start")
    assert "asks for an API key" in watched.notice()
    watched.page.click("#notice-action")
    watched.page.keyboard.type("wrong")
    watched.page.keyboard.press("Enter")
    watched.page.click("#start")
    assert "did not accept" in watched.notice()
    watched.page.click("#notice-action")
    watched.page.fill('input[name="key"]', key)
    watched.page.click("#close-settings")
    watched.start()
    until_finals(watched, 1)
    watched.stop()
    assert key not in watched.page.evaluate("JSON.stringify(localStorage)")


def test_a_key_in_the_address_is_used(open_page: OpenPage, guarded: tuple[str, str]) -> None:
    address, key = guarded
    watched = open_page(address, f"/#key={key}")
    watched.start()
    watched.stop()
    assert key not in str(watched.sockets[0].sent)


def test_a_full_server_says_so(open_page: OpenPage, guarded: tuple[str, str]) -> None:
    address, key = guarded
    with connect(f"ws{address[4:]}/v1/stream?token={key}") as other:
        other.send(json.dumps({"type": "start"}))
        other.recv(timeout=10)
        watched = open_page(address, f"/#key={key}")
        watched.page.click("#start")
        assert "server is full" in watched.notice()
        watched.wait_for_phase("idle")


def test_a_language_that_the_model_does_not_have_is_named(open_page: OpenPage) -> None:
    watched = open_page(path="/?language=xx")
    watched.page.click("#start")
    assert "cannot work with these settings" in watched.notice()
    assert "'xx'" in watched.notice()


def test_no_permission_is_told_in_plain_words(open_browser: OpenBrowser, scripted: str) -> None:
    page = open_browser(None, DENIED).new_page()
    page.goto(scripted)
    watched = Watched(page)
    page.click("#start")
    assert "permission to use the microphone" in watched.notice()
    watched.wait_for_phase("idle")


def test_a_server_that_was_killed_and_restarted_loses_no_word(open_page: OpenPage) -> None:
    port = free_port()
    with cutable(port) as way:
        with scripted_serving(port=port):
            watched = open_page(way.address)
            watched.start()
            until_finals(watched, 1)
        assert "what you say is kept" in watched.notice()
        with scripted_serving(port=port):
            watched.wait_for_phase("listening")
            until_finals(watched, 4)
            watched.stop()
    assert [started["resumed"] for started in watched.messages("started")] == ["no", "position"]
    # The microphone may have been opened within a tone.
    starts = [final["start"] for final in watched.messages("final")][1:]
    assert starts == pytest.approx([starts[0] + PERIOD * number for number in range(len(starts))], abs=0.11)
    assert {len(text.split()) for text in watched.finals()[1:-1]} <= {5, 6}
    (finished,) = watched.messages("finished")
    assert finished["samples"] == len(audio_sent(watched.sockets))


def test_beyond_the_bound_the_page_says_what_it_did_not_hear(open_page: OpenPage, browser: Any, scripted: str) -> None:
    with cutable(urlsplit(scripted).port or 0) as way:
        watched = open_page(way.address)
        watched.page.route("**/javascript/stream.js", lambda route: _with_two_seconds(route))
        watched.page.reload()
        watched.start()
        until_finals(watched, 1)
        way.cut()
        watched.page.get_by_text("no more can be").wait_for()
        watched.page.wait_for_timeout(1500)
        way.mend()
        watched.page.get_by_text("were not heard").wait_for()
        until_times_are_shifted(watched, by=1.0)
        watched.stop()
    (finished,) = watched.messages("finished")
    assert finished["samples"] == len(audio_sent(watched.sockets))


def until_times_are_shifted(watched: Watched, *, by: float) -> None:
    """Wait for an utterance after the gap: on the page it stands later than on the clock of the stream."""
    deadline = time.monotonic() + 20
    while not starts_shown(watched)[-1] > watched.messages("final")[-1]["start"] + by:
        assert time.monotonic() < deadline, f"the last one is at {starts_shown(watched)[-1]}"
        watched.page.wait_for_timeout(100)


def starts_shown(watched: Watched) -> list[float]:
    """The times of the utterances on the page, in seconds."""
    times = watched.page.locator("#utterances time").evaluate_all("(all) => all.map((time) => time.dateTime)")
    return [float(time[2:-1]) for time in times]


def _with_two_seconds(route: Any) -> None:
    response = route.fetch()
    route.fulfill(response=response, body=response.text().replace("HELD_SECONDS = 300", "HELD_SECONDS = 2"))


def test_space_starts_and_stops_wherever_no_field_has_the_focus(open_page: OpenPage) -> None:
    watched = open_page()
    for button in ("#theme", "#save summary", "#start", "#open-settings"):
        watched.page.focus(button)
        watched.page.keyboard.press("Space")
        watched.page.wait_for_selector('body:not([data-phase="idle"])')
        watched.page.keyboard.press("Space")
        watched.wait_for_phase("idle")
    assert watched.page.get_attribute("html", "data-theme") is None
    assert not watched.page.is_visible("#settings")


def test_space_starts_and_enter_stops(open_page: OpenPage) -> None:
    watched = open_page()
    watched.page.keyboard.press("Space")
    watched.wait_for_phase("listening")
    watched.page.keyboard.press("Enter")
    watched.wait_for_phase("idle")
    watched.page.click("#open-settings")
    watched.page.fill('textarea[name="hotwords"]', "")
    watched.page.type('textarea[name="hotwords"]', "two words")
    watched.page.keyboard.press("Escape")
    assert not watched.page.is_visible("#settings")
    assert watched.page.get_attribute("body", "data-phase") == "idle"


def test_large_type_fills_the_screen_and_escape_leaves_it(open_page: OpenPage) -> None:
    watched = open_page()
    watched.page.click("#large")
    assert mode(watched) == "stage"
    size = float(watched.page.evaluate("parseFloat(getComputedStyle(document.querySelector('#live')).fontSize)"))
    assert size > 50
    watched.page.keyboard.press("Escape")
    watched.page.wait_for_selector("html:not([data-mode])")
    assert mode(watched) is None


def test_hotwords_change_while_it_listens_and_are_kept(open_page: OpenPage) -> None:
    watched = open_page()
    watched.start()
    watched.page.click("#open-settings")
    watched.page.fill('textarea[name="hotwords"]', "Streamwell = 8\nx2")
    watched.page.click("#close-settings")
    assert "cannot spell: x2" in watched.notice()
    watched.stop()
    updates = [message for message in watched.sockets[0].messages if message["type"] == "update"]
    assert updates == [{"type": "update", "hotwords": {"Streamwell": 8, "x2": 10}}]
    watched.page.reload()
    assert watched.page.input_value('textarea[name="hotwords"]') == "Streamwell = 8\nx2"


def test_a_second_recording_goes_on_below_the_first(open_page: OpenPage) -> None:
    watched = open_page()
    for number in (1, 2):
        watched.start()
        until_finals(watched, number)
        watched.stop()
    starts = starts_shown(watched)
    assert starts == sorted(starts)
    assert starts[1] > starts[0] + 0.8


def test_a_transcript_can_be_cleared_and_brought_back(open_page: OpenPage) -> None:
    watched = open_page()
    watched.start()
    until_finals(watched, 1)
    watched.stop()
    texts = watched.finals()
    watched.page.click("#save summary")
    watched.page.click("#clear")
    assert watched.finals() == []
    watched.page.click("#notice-action")
    assert watched.finals() == texts


def test_the_overlay_starts_by_itself_and_shows_words_only(open_page: OpenPage) -> None:
    watched = open_page(path="/?overlay=1", color_scheme="dark")
    until_finals(watched, 2)
    page = watched.page
    assert [page.is_visible(part) for part in ("header", "footer", "#empty", "time >> nth=0")] == [False] * 4
    assert page.locator("#utterances li:visible").count() == 1
    colour = "getComputedStyle(document.querySelector('{}')).backgroundColor"
    assert [page.evaluate(colour.format(part)) for part in ("html", "body")] == ["rgba(0, 0, 0, 0)"] * 2
    assert watched.problems == []
    assert watched.violations() == []


def test_the_theme_follows_the_system_until_a_person_chooses(open_page: OpenPage) -> None:
    watched = open_page(color_scheme="dark")
    colour = "getComputedStyle(document.body).backgroundColor"
    dark = watched.page.evaluate(colour)
    watched.page.click("#theme")
    light = watched.page.evaluate(colour)
    assert (dark, light) == ("rgb(21, 23, 27)", "rgb(251, 250, 247)")
    watched.page.reload()
    assert watched.page.evaluate(colour) == light


@pytest.mark.parametrize("width", [320, 390, 800])
def test_nothing_stands_out_of_a_small_screen(open_page: OpenPage, width: int) -> None:
    watched = open_page(viewport={"width": width, "height": 700})
    watched.page.click("#save summary")
    outside = """() => [...document.querySelectorAll("header *, footer *, main *")].filter((part) => {
      const {left, right, width} = part.getBoundingClientRect();
      return width > 1 && (left < 0 || right > innerWidth);
    }).map((part) => part.id || part.tagName)"""
    assert watched.page.evaluate(outside) == []


def test_the_policy_lets_in_nothing_else(open_page: OpenPage) -> None:
    watched = open_page()
    ask = """() => new Promise((resolve) => {
      addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
      const script = document.createElement("script");
      script.textContent = "window.injected = true";
      document.head.append(script);
    })"""
    assert watched.page.evaluate(ask) == "script-src-elem"
    assert watched.page.evaluate("window.injected ?? null") is None


CLOSE_A_MICROPHONE_THAT_ANSWERS_LATE = """async () => {
    const { openMicrophone } = await import("/javascript/index.js");
    let port;
    const post = MessagePort.prototype.postMessage;
    MessagePort.prototype.postMessage = function (message, ...rest) {
        if (message === "flush") port = this;
        else post.call(this, message, ...rest);
    };
    const microphone = await openMicrophone();
    let packets = 0;
    microphone.onpacket = () => packets++;
    await microphone.begin();
    while (packets === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    await microphone.close();
    const heard = packets;
    port.dispatchEvent(new MessageEvent("message", { data: { samples: new Int16Array(1), level: 0 } }));
    return [heard, packets];
}"""


def test_a_closed_microphone_hands_nothing_over(open_page: OpenPage) -> None:
    """Its processor may be too busy to answer in time; audio behind the `finish` would break the stream."""
    heard, packets = open_page().page.evaluate(CLOSE_A_MICROPHONE_THAT_ANSWERS_LATE)
    assert heard > 0
    assert packets == heard
