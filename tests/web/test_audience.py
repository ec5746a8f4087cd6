"""One speaks and shares, others read along."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.web.nodes import nodes, started
from tests.web.pages import OpenPage, until_finals
from tests.web.serving import free_port, scripted_serving
from tests.web.watching import Watched

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def shared(watched: Watched) -> str:
    """The address for the audience, once sharing is switched on."""
    page = watched.page
    page.click("#open-share")
    page.check("#sharing")
    page.wait_for_function("() => document.querySelector('#share-address').value !== ''")
    address: str = page.input_value("#share-address")
    page.click("#share .done")
    return address


def lines(watched: Watched) -> list[str]:
    return [text.upper() for text in watched.finals()]


def test_an_audience_reads_along_and_late_comers_get_what_was_said(open_page: OpenPage) -> None:
    speaker = open_page()
    address = shared(speaker)
    early = open_page(address, path="")
    early.page.locator("#status").get_by_text("Waiting for the speaker").wait_for()
    assert not early.page.is_visible("#start")
    speaker.start()
    until_finals(early, 2)
    late = open_page(address, path="")
    until_finals(late, 3)
    speaker.stop()
    until_finals(early, len(speaker.finals()))
    until_finals(late, len(speaker.finals()))
    assert lines(early) == lines(late) == lines(speaker)
    early.page.locator("#status").get_by_text("Waiting for the speaker").wait_for()
    assert early.problems == []
    assert early.violations() == []


def test_sharing_may_begin_and_end_while_somebody_speaks(open_page: OpenPage) -> None:
    speaker = open_page()
    speaker.start()
    until_finals(speaker, 2)
    reader = open_page(shared(speaker), path="")
    until_finals(reader, 3)
    speaker.page.click("#open-share")
    speaker.page.uncheck("#sharing")
    reader.page.locator("#status").get_by_text("has ended this").wait_for()
    speaker.page.click("#share .done")
    speaker.stop()


def test_the_address_stays_the_same_over_reloads_until_a_new_one_is_asked_for(open_page: OpenPage) -> None:
    speaker = open_page()
    address = shared(speaker)
    speaker.page.reload()
    assert shared(speaker) == address
    speaker.page.click("#open-share")
    speaker.page.click("#share-renew")
    speaker.page.wait_for_function("(old) => document.querySelector('#share-address').value !== old", arg=address)


def test_readers_go_on_when_the_server_was_restarted_and_see_nothing_twice(open_page: OpenPage) -> None:
    port = free_port()
    with scripted_serving(port=port) as server:
        speaker = open_page(server)
        reader = open_page(shared(speaker), path="")
        speaker.start()
        until_finals(reader, 2)
    with scripted_serving(port=port):
        speaker.wait_for_phase("listening")
        until_finals(reader, 5)
        speaker.stop()
        until_finals(reader, len(speaker.finals()))
        assert lines(reader) == lines(speaker)


def test_an_audience_over_a_picture(open_page: OpenPage) -> None:
    speaker = open_page()
    base, _, view = shared(speaker).partition("#")
    overlay = open_page(f"{base}?overlay=1#{view}", path="")
    speaker.start()
    until_finals(overlay, 1)
    assert not overlay.page.is_visible("header")
    assert overlay.page.locator("#utterances li:visible").count() == 1
    speaker.stop()


@pytest.mark.skipif(not nodes(), reason="there is no Node here")
def test_a_program_reads_along_too(open_page: OpenPage, scripted: str) -> None:
    speaker = open_page()
    view = shared(speaker).partition("#view=")[2]
    speaker.start()
    until_finals(speaker, 1)
    process = started(nodes()[0], "watch.mjs", scripted, view, "3")
    printed, problems = process.communicate(timeout=60)
    speaker.stop()
    events: list[dict[str, Any]] = [json.loads(line) for line in printed.splitlines()]
    said = [event["text"] for event in events if event["type"] == "final"]
    assert (problems, said) == ("", [text.lower() for text in lines(speaker)[:3]])
