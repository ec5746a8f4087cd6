"""A page of another origin that speaks Vosk's protocol, as Vosk's own browser clients do."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
import soundfile

from tests.web.browsers import OpenBrowser
from tests.web.serving import DEMO, free_port, serving

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

FRIEND: Final = "http://friend.localhost"
STRANGER: Final = "http://stranger.localhost"

CLIENT: Final = """
async ([url, rate, pcm]) => {
  const samples = Uint8Array.from(atob(pcm), (letter) => letter.charCodeAt(0));
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  const replies = [];
  let at = 0;
  return new Promise((resolve) => {
    const next = () => {
      socket.send(at < samples.length ? samples.slice(at, at + 8000) : '{"eof" : 1}');
      at += 8000;
    };
    socket.onopen = () => {
      socket.send(JSON.stringify({ config: { sample_rate: rate } }));
      next();
    };
    socket.onmessage = (message) => {
      replies.push(JSON.parse(message.data));
      if (at < samples.length + 8000) next();
    };
    socket.onclose = (event) => resolve({ code: event.code, replies });
  });
}
"""
"""Sends a recording in pieces, each when the reply to the one before has come; gives the replies and the close."""


@pytest.fixture(scope="module")
def vosk() -> Iterator[tuple[str, str]]:
    """The two addresses of Vosk's protocol, on a server that lets one origin in."""
    port = free_port()
    with serving("--vosk-port", str(port), "--allow-origin", FRIEND) as address:
        yield f"ws://127.0.0.1:{port}/", f"{address.replace('http', 'ws', 1)}/v1/vosk"


@pytest.fixture(scope="module")
def visitor(open_browser: OpenBrowser) -> Any:
    """One browser for all."""
    return open_browser()


def spoken(browser: Any, origin: str, url: str) -> tuple[int, list[dict[str, Any]]]:
    """What a page of an origin gets for the bundled recording: the code of the close, and the replies."""
    samples, rate = soundfile.read(DEMO, dtype="int16")
    page = browser.new_page()
    page.route(f"{origin}/**", lambda route: route.fulfill(content_type="text/html", body="<!doctype html>"))
    page.goto(f"{origin}/")
    ended = page.evaluate(CLIENT, [url, rate, base64.b64encode(samples.tobytes()).decode()])
    page.close()
    return ended["code"], ended["replies"]


@pytest.mark.parametrize("port", [0, 1], ids=["its own port", "the main port"])
def test_a_page_of_an_origin_that_was_named_gets_its_words(visitor: Any, vosk: tuple[str, str], port: int) -> None:
    code, replies = spoken(visitor, FRIEND, vosk[port])
    text = " ".join(reply["text"] for reply in replies if "text" in reply)
    assert code == 1000
    assert any(reply.get("partial") for reply in replies)
    assert len(re.findall(r"\w+", text)) > 20


@pytest.mark.parametrize("port", [0, 1], ids=["its own port", "the main port"])
def test_a_page_of_another_origin_is_refused(visitor: Any, vosk: tuple[str, str], port: int) -> None:
    assert spoken(visitor, STRANGER, vosk[port]) == (1006, [])
