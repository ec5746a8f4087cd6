"""A real browser with a fake microphone, and real servers, for tests of the caption page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.web.browsers import OpenBrowser, chromium, launched
from tests.web.pages import OpenPage, sentences
from tests.web.serving import as_microphone, scripted_serving, serving
from tests.web.watching import Watched, watch


@pytest.fixture(scope="module")
def playwright() -> Iterator[Any]:
    """The driver of the browser; while it runs, no other event loop can in this thread, so it ends with its module."""
    if chromium() is None:
        pytest.skip("Chromium is not installed, and CHROMIUM does not name it")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="module")
def open_browser(playwright: Any) -> Iterator[OpenBrowser]:
    """Opens a browser that hears a WAV file once, from the moment that its microphone is opened."""
    with ExitStack() as stack:

        def open_one(wav: Path | None = None, *more: str) -> Any:
            browser = launched(playwright, wav, *more)
            stack.callback(browser.close)
            return browser

        yield open_one


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The real server with the embedded model."""
    with serving() as address:
        yield address


@pytest.fixture(scope="module")
def scripted() -> Iterator[str]:
    """A scripted server for the tests of a module."""
    with scripted_serving() as address:
        yield address


@pytest.fixture(scope="module")
def browser(open_browser: OpenBrowser, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A browser whose microphone hears an utterance every second."""
    return open_browser(as_microphone(sentences(), tmp_path_factory.mktemp("web") / "tones.wav"))


@pytest.fixture
def open_page(browser: Any, scripted: str) -> Iterator[OpenPage]:
    """Opens pages, each in a new profile."""
    with ExitStack() as stack:

        def open_one(address: str = scripted, path: str = "/", **options: Any) -> Watched:
            context = browser.new_context(**options)
            stack.callback(context.close)
            watched = watch(context.new_page())
            watched.page.goto(address + path)
            return watched

        yield open_one
