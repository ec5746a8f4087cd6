"""The page when something is not there: a server, a microphone, an output device, room on the screen."""

from __future__ import annotations

import signal
from urllib.parse import urlsplit

import pytest

from tests.web.browsers import DENIED, OpenBrowser
from tests.web.cutting import cutable
from tests.web.pages import OpenPage, until_finals
from tests.web.serving import free_port, scripted_process, scripted_serving
from tests.web.watching import Watched, audio_sent

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def test_a_server_that_is_down_at_the_first_start_is_tried_until_it_is_there(
    open_page: OpenPage, scripted: str
) -> None:
    with cutable(urlsplit(scripted).port or 0) as way:
        watched = open_page(way.address)
        watched.page.wait_for_timeout(1000)
        way.cut()
        watched.page.click("#start")
        assert "does not answer" in watched.notice()
        watched.page.wait_for_timeout(9000)
        assert watched.page.get_attribute("body", "data-phase") in ("waiting", "connecting")
        way.mend()
        watched.wait_for_phase("listening")
        until_finals(watched, 8)
        watched.stop()
    (finished,) = watched.messages("finished")
    assert finished["samples"] == len(audio_sent(watched.sockets)) > 9 * 48_000


def test_the_page_says_that_the_server_is_going_and_moves_on(open_page: OpenPage) -> None:
    port = free_port()
    with scripted_process("-", "32", "3", port=port) as process:
        watched = open_page(f"http://127.0.0.1:{port}")
        watched.start()
        until_finals(watched, 1)
        process.send_signal(signal.SIGTERM)
        watched.page.get_by_text("The server is about to stop").wait_for()
        watched.page.get_by_text("The server has stopped").or_(
            watched.page.get_by_text("Trying again")
        ).first.wait_for()
        process.wait(30)
    with scripted_serving(port=port):
        watched.wait_for_phase("listening")
        until_finals(watched, 5)
        watched.stop()
    (finished,) = watched.messages("finished")
    assert finished["samples"] == len(audio_sent(watched.sockets))


def test_an_overlay_without_a_microphone_says_what_helps(open_browser: OpenBrowser, scripted: str) -> None:
    page = open_browser(None, DENIED).new_page(viewport={"width": 800, "height": 450})
    page.goto(f"{scripted}/?overlay=1")
    watched = Watched(page)
    assert "--use-fake-ui-for-media-stream" in watched.notice()
    box = page.locator("#notice").bounding_box()
    assert box["x"] >= 0
    assert box["y"] >= 0
    assert box["x"] + box["width"] <= 800


def test_a_browser_that_runs_no_audio_is_named_as_the_reason(open_page: OpenPage) -> None:
    watched = open_page()
    watched.page.evaluate("() => { AudioContext.prototype.resume = () => new Promise(() => {}); }")
    watched.page.click("#start")
    watched.page.get_by_text("no output device").wait_for()


@pytest.mark.parametrize(("width", "height"), [(320, 480), (390, 760), (1120, 640)])
@pytest.mark.parametrize("opened", [("settings",), ("share",), ("settings", "overlay")])
def test_the_way_out_of_a_dialog_can_always_be_seen(
    open_page: OpenPage, width: int, height: int, opened: tuple[str, ...]
) -> None:
    page = open_page(viewport={"width": width, "height": height}).page
    for name in opened:
        page.click(f"#open-{name}")
    done = page.locator("dialog[open] .done")
    box = done.bounding_box()
    assert 0 <= box["x"] <= width - box["width"]
    assert 0 <= box["y"] <= height - box["height"]
    done.click()
    assert page.locator("dialog[open]").count() == 0


def test_the_overlay_has_one_panel_behind_all_lines_where_the_address_says(open_page: OpenPage) -> None:
    path = "/?overlay=1&colour=ffcc00&back=102030&dense=0.5&place=top-left&font=Georgia&size=0.5"
    watched = open_page(path=path, viewport={"width": 1280, "height": 720})
    until_finals(watched, 2)
    style = """(name) => getComputedStyle(document.querySelector(name))"""
    page = watched.page
    assert page.evaluate(f"({style})('#committed').color") == "rgb(255, 204, 0)"
    assert page.evaluate(f"({style})('main').backgroundColor").startswith("color(srgb 0.062")
    assert page.evaluate(f"({style})('main').fontFamily").startswith("Georgia")
    backs = page.locator("main *:visible").evaluate_all(
        "(all) => all.map((one) => getComputedStyle(one).backgroundColor)"
    )
    assert set(backs) == {"rgba(0, 0, 0, 0)"}
    box = page.locator("main").bounding_box()
    assert (box["x"], box["y"]) == (64, 36)


def test_the_address_of_the_overlay_is_what_the_preview_shows(open_page: OpenPage) -> None:
    page = open_page(path="/?language=en").page
    page.click("#open-settings")
    page.click("#open-overlay")
    page.fill("#overlay [name=colour]", "#ffcc00")
    page.select_option("#overlay [name=place]", "top-right")
    assert page.input_value("#overlay-address").endswith("/?overlay=1&language=en&colour=ffcc00&place=top-right")
    shown = "getComputedStyle(document.querySelector('#overlay-preview p')).color"
    assert page.evaluate(shown) == "rgb(255, 204, 0)"


def test_the_languages_are_those_of_the_server(open_page: OpenPage) -> None:
    page = open_page().page
    page.click("#open-settings")
    page.wait_for_selector('select[name="language"] option[value="en"]', state="attached")
    options = page.locator('select[name="language"] option').all_text_contents()
    assert options == ["As the model has it", "English (en)"]
