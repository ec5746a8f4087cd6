"""The package in somebody else's page: the very lines of its README."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

README: Final = Path(__file__).parents[2] / "client" / "javascript" / "README.md"
STRANGER: Final = "http://elsewhere.localhost/"
"""An origin that the scripted server lets in."""


def test_five_lines_caption_a_page_of_another_origin(browser: Any, scripted: str) -> None:
    example = re.search(r"```html\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert example is not None
    html = example.group(1).replace("http://127.0.0.1:8765", scripted)
    page = browser.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.route(f"{STRANGER}**", lambda route: route.fulfill(content_type="text/html", body=html))
    page.goto(STRANGER)
    page.wait_for_function("() => /^w[0-9]+( w[0-9]+)+$/.test(captions.textContent)", timeout=60_000)
    assert problems == []
    page.close()
